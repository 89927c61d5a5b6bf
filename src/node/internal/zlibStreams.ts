/**
 * Compressors and decompressors that outlive a call. Making one costs more than a small message: its tables are a quarter of a
 * megabyte to allocate and clear. `node:zlib` offers either one call with a stream of its own, or a stream whose every write
 * goes through the thread pool; what lies between is `writeSync` of a stream's handle, which is how its own synchronous calls
 * work. It is in no documentation, so it is looked for, tried once, and done without where it is missing or behaves otherwise.
 */
import { constVoid } from "effect/Function"
import { Buffer } from "node:buffer"
import * as Zlib from "node:zlib"

const { Z_SYNC_FLUSH } = Zlib.constants

type Stream = Zlib.DeflateRaw | Zlib.InflateRaw

interface Handle {
  writeSync(
    flush: number,
    input: Uint8Array,
    inputAt: number,
    inputSize: number,
    output: Uint8Array,
    outputAt: number,
    outputSize: number
  ): void
}

const hasWriteSync = (handle: unknown): handle is Handle =>
  typeof handle === "object" && handle !== null && typeof Reflect.get(handle, "writeSync") === "function"

/** Output goes here first: it is as large as what comes out of a small input in one step. */
const scratch = Buffer.allocUnsafeSlow(80 * 1024)

/** Why nothing came out. `"rest"`: a final block has ended the stream before the end of the input. */
export type Fault = "tooBig" | "invalid" | "rest"

/** A stream whose writes are done when they return. */
export class ZlibStream {
  private readonly stream: Stream
  private readonly handle: Handle
  /** Room left in the output, input left. */
  private readonly state: Uint32Array

  private constructor(stream: Stream, handle: Handle, state: Uint32Array) {
    this.stream = stream
    this.handle = handle
    this.state = state
    // an error is found in the stream by whoever wrote
    stream.on("error", constVoid)
  }

  static from(stream: Stream): ZlibStream | undefined {
    const handle: unknown = Reflect.get(stream, "_handle")
    const state: unknown = Reflect.get(stream, "_writeState")
    return hasWriteSync(handle) && state instanceof Uint32Array ? new ZlibStream(stream, handle, state) : undefined
  }

  /** Gives all of a message and flushes. After a fault the stream is of no use any more. */
  write(input: Uint8Array, maxSize: number): Buffer | Fault {
    const { handle, state, stream } = this
    let parts: Array<Buffer> | undefined
    let size = 0
    let at = 0
    for (;;) {
      handle.writeSync(Z_SYNC_FLUSH, input, at, input.length - at, scratch, 0, scratch.length)
      if (stream.errored !== null) return "invalid"
      const made = scratch.length - state[0]!
      at = input.length - state[1]!
      size += made
      if (size > maxSize) return "tooBig"
      const part = Buffer.from(scratch.subarray(0, made))
      if (state[0] !== 0) {
        if (at < input.length) return "rest"
        if (parts === undefined) return part
        parts.push(part)
        return Buffer.concat(parts, size)
      }
      ;(parts ??= []).push(part)
    }
  }

  /** Forgets what went through it. */
  reset(): void {
    this.stream.reset()
  }

  close(): void {
    this.stream.close()
  }
}

const tryOut = (): boolean => {
  const deflate = ZlibStream.from(Zlib.createDeflateRaw())
  const inflate = ZlibStream.from(Zlib.createInflateRaw())
  try {
    const message = Buffer.from("once and again, once and again")
    for (let i = 0; i < 2; i++) {
      const there = deflate?.write(message, Infinity)
      if (!(there instanceof Buffer) || there.readUInt32BE(there.length - 4) !== 0xffff) return false
      const back = inflate?.write(there, Infinity)
      if (!(back instanceof Buffer) || !back.equals(message)) return false
      deflate?.reset()
      inflate?.reset()
    }
    return true
  } catch {
    return false
  } finally {
    deflate?.close()
    inflate?.close()
  }
}

let works: boolean | undefined

/** Whether this Node has what streams that outlive a call need. */
export const areSupported = (): boolean => (works ??= tryOut())
