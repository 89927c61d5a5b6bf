/**
 * The zlib streams of a process for messages that are done at once: one for all messages that stand by themselves, and a bounded
 * number that still have a connection's window, so that its next message goes on where the last one ended. The connections that
 * were active last have one; another connection gets a new one with its window as the dictionary.
 */
import type { Buffer } from "node:buffer"
import * as Zlib from "node:zlib"
import type { Window } from "../../connection/Deflate.ts"
import { areSupported, type Fault, ZlibStream } from "./zlibStreams.ts"

/**
 * So many streams of each kind keep a window. At 15 bits a compressor takes 256 KiB and a decompressor 44, so all of them
 * at most 75 MiB.
 */
export const maxKept = 256

/** Makes a stream that has seen the dictionary. */
type Open = (dictionary: Uint8Array | undefined) => ZlibStream | undefined

class Pool {
  private readonly kept = new Map<object, { readonly stream: ZlibStream; readonly end: number }>()

  get size(): number {
    return this.kept.size
  }

  /**
   * Runs a message through a stream that has seen this window and nothing else. `seen` says how much of a window's history
   * a stream has seen after what came out.
   */
  run(
    window: Window,
    open: Open,
    input: Uint8Array,
    maxSize: number,
    seen: (output: Buffer) => number
  ): Buffer | Fault | undefined {
    const { history } = window
    const held = this.kept.get(history)
    this.kept.delete(history)
    let stream: ZlibStream | undefined
    if (held?.end === window.end) ({ stream } = held)
    else {
      held?.stream.close()
      stream = open(window.bytes)
    }
    if (stream === undefined) return undefined
    const output = stream.write(input, maxSize)
    if (typeof output === "string") {
      stream.close()
      return output
    }
    this.kept.set(history, { stream, end: window.end + seen(output) })
    if (this.kept.size > maxKept) this.closeOldest()
    return output
  }

  private closeOldest(): void {
    for (const [history, { stream }] of this.kept) {
      this.kept.delete(history)
      return stream.close()
    }
  }
}

const deflates = new Pool()
const inflates = new Pool()

/** Those without a window, by what they were made with. */
const alone = new Map<string, ZlibStream>()

/** Runs a message through a stream that is as if new. */
const runAlone = (key: string, open: Open, input: Uint8Array, maxSize: number): Buffer | Fault | undefined => {
  const stream = alone.get(key) ?? open(undefined)
  if (stream === undefined) return undefined
  alone.set(key, stream)
  const output = stream.write(input, maxSize)
  if (typeof output === "string") {
    alone.delete(key)
    stream.close()
  } else stream.reset()
  return output
}

/** Compresses with a flush at the end; `undefined` where this cannot be done. */
export const deflate = (
  input: Uint8Array,
  options: { readonly windowBits: number; readonly level: number; readonly window: Window | undefined }
): Buffer | undefined => {
  // of nothing a stream that has just been flushed says nothing, not even that
  if (input.length === 0 || !areSupported()) return undefined
  const { level, window, windowBits } = options
  const open: Open = (dictionary) =>
    ZlibStream.from(Zlib.createDeflateRaw({ windowBits, level, ...(dictionary === undefined ? {} : { dictionary }) }))
  const output =
    window === undefined
      ? runAlone(`${windowBits}/${level}`, open, input, Infinity)
      : deflates.run(window, open, input, Infinity, () => input.length)
  return typeof output === "string" ? undefined : output
}

/** Inflates to at most `maxSize` bytes; `undefined` where this cannot be done. */
export const inflate = (
  input: Uint8Array,
  options: { readonly maxSize: number; readonly window: Window | undefined }
): Buffer | Fault | undefined => {
  if (!areSupported()) return undefined
  const { maxSize, window } = options
  const open: Open = (dictionary) =>
    ZlibStream.from(Zlib.createInflateRaw(dictionary === undefined ? {} : { dictionary }))
  return window === undefined
    ? runAlone("inflate", open, input, maxSize)
    : inflates.run(window, open, input, maxSize, (output) => output.length)
}

/** How many streams keep a window, and how many need none: all that is held. */
export const held = () => ({ deflates: deflates.size, inflates: inflates.size, alone: alone.size })
