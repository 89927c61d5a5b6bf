/**
 * permessage-deflate at work (RFC 7692 section 7.2): messages of one connection in and out of their compressed form, by the
 * parameters that were agreed on. The algorithm itself is a service, `Zlib`, since a platform has it.
 *
 * **Details**
 *
 * There is no long-lived compressor. A message is compressed in one call, and where context takeover was agreed on, the
 * window that the messages before it left is handed to that call as its dictionary: the same window by other means. So a
 * connection holds at most the window of each direction (32 KiB at 15 bits, nothing without context takeover), and what it
 * holds is a plain buffer.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type { Agreement, Policy } from "../protocol/PerMessageDeflate.ts"
import type { ProtocolError } from "../protocol/ProtocolError.ts"

/**
 * Raw DEFLATE (RFC 1951).
 *
 * @category services
 * @since 0.1.0
 */
export class Zlib extends Context.Service<
  Zlib,
  {
    /** Compresses, ending with an empty stored block (a "sync flush"), whose last four bytes are 00 00 FF FF. */
    readonly deflate: (
      bytes: Uint8Array,
      options: { readonly windowBits: number; readonly level: number; readonly dictionary: Uint8Array | undefined }
    ) => Effect.Effect<Uint8Array>
    /** Inflates to at most `maxSize` bytes; fails with `InvalidCompressedData` or `MessageTooBig`. */
    readonly inflate: (
      bytes: Uint8Array,
      options: { readonly maxSize: number; readonly dictionary: Uint8Array | undefined }
    ) => Effect.Effect<Uint8Array, ProtocolError>
  }
>()("effect-websocket/connection/Deflate/Zlib") {}

/**
 * The bytes that a window of this size holds after a message, given what it held before: a copy.
 *
 * @internal
 */
export const slide = (before: Uint8Array | undefined, message: Uint8Array, windowBits: number): Uint8Array => {
  const size = 1 << windowBits
  if (message.length >= size) return message.slice(message.length - size)
  const kept = before === undefined ? 0 : Math.min(before.length, size - message.length)
  const window = new Uint8Array(kept + message.length)
  if (before !== undefined) window.set(before.subarray(before.length - kept))
  window.set(message, kept)
  return window
}

const tail = new Uint8Array([0, 0, 0xff, 0xff])

/**
 * The codec of one connection. Calls in one direction must not overlap: the order of messages is the order of the window.
 *
 * @category models
 * @since 0.1.0
 */
export interface Codec {
  /** Messages of fewer bytes are not compressed. */
  readonly threshold: number
  /** The window that messages are compressed with, as the base-2 logarithm of its size in bytes. */
  readonly windowBits: number
  /** Whether messages may refer to those before them. */
  readonly contextTakeover: boolean
  /** What the compressed form of a message by itself depends on, in a number: codecs of the same form give the same bytes. */
  readonly form: number
  /** The window that the messages sent so far have left at the peer, if there is context takeover. */
  window: Uint8Array | undefined
  /**
   * The compressed form by this window, and the window that it leaves once it is sent; or `undefined` if the message is
   * below the threshold or does not get smaller.
   */
  readonly compress: (
    message: Uint8Array,
    window: Uint8Array | undefined
  ) => Effect.Effect<{ readonly bytes: Uint8Array; readonly window: Uint8Array | undefined } | undefined>
  readonly decompress: (compressed: Uint8Array, maxSize: number) => Effect.Effect<Uint8Array, ProtocolError>
}

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: {
  readonly zlib: Zlib["Service"]
  readonly role: "server" | "client"
  readonly agreement: Agreement
  readonly policy: Policy
}): Codec => {
  const { agreement, role, zlib } = options
  const server = { bits: agreement.serverMaxWindowBits, fresh: agreement.serverNoContextTakeover }
  const client = { bits: agreement.clientMaxWindowBits, fresh: agreement.clientNoContextTakeover }
  const [ours, theirs] = role === "server" ? [server, client] : [client, server]
  const threshold = options.policy.threshold ?? 1024
  const level = options.policy.level ?? 6
  let received: Uint8Array | undefined
  return {
    threshold,
    windowBits: ours.bits,
    contextTakeover: !ours.fresh,
    form: ours.bits * 16 + level,
    window: undefined,
    compress: Effect.fnUntraced(function* (message, window) {
      if (message.length < threshold) return undefined
      const deflated = yield* zlib.deflate(message, { windowBits: ours.bits, level, dictionary: window })
      // section 7.2.1: the four bytes of the flush are not sent
      if (deflated.length - tail.length >= message.length) return undefined
      return {
        bytes: deflated.subarray(0, deflated.length - tail.length),
        window: ours.fresh ? undefined : slide(window, message, ours.bits)
      }
    }),
    decompress: Effect.fnUntraced(function* (compressed, maxSize) {
      // section 7.2.2
      const whole = new Uint8Array(compressed.length + tail.length)
      whole.set(compressed)
      whole.set(tail, compressed.length)
      const message = yield* zlib.inflate(whole, { maxSize, dictionary: received })
      // the peer's window may be larger than what it named, never than 15 bits
      if (!theirs.fresh) received = slide(received, message, theirs.bits)
      return message
    })
  }
}
