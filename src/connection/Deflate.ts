/**
 * permessage-deflate at work (RFC 7692 section 7.2): messages of one connection in and out of their compressed form, by the
 * parameters that were agreed on. The algorithm itself is a service, `Zlib`, since a platform has it.
 *
 * **Details**
 *
 * A connection has no compressor of its own, but at most the last bytes that went in each direction ({@link Window}): up to
 * 32 KiB at 15 bits, as much as was sent or received, and nothing at all without context takeover. Compressors are the
 * `Zlib` service's, which has few and lends them: one that has just compressed for a connection goes on where it was, and
 * another is given the window as its dictionary, the same by other means. So an idle connection costs no more for having
 * agreed on compression.
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
    /** Compresses, with references into the window if one is given, ending with an empty stored block (a "sync flush"), whose last four bytes are 00 00 FF FF. */
    readonly deflate: (
      bytes: Uint8Array,
      options: { readonly windowBits: number; readonly level: number; readonly window: Window | undefined }
    ) => Effect.Effect<Uint8Array>
    /** Inflates to at most `maxSize` bytes; fails with `InvalidCompressedData` or `MessageTooBig`. */
    readonly inflate: (
      bytes: Uint8Array,
      options: { readonly maxSize: number; readonly window: Window | undefined }
    ) => Effect.Effect<Uint8Array, ProtocolError>
  }
>()("effect-websocket/connection/Deflate/Zlib") {}

/** The bytes of a window in a ring, that grows with what it holds. */
class Ring {
  private bytes = new Uint8Array(0)
  /** Where the next byte goes, and how many are held. */
  private at = 0
  private held = 0
  /** How many bytes have ever been added. */
  end = 0
  private readonly size: number

  constructor(size: number) {
    this.size = size
  }

  add(message: Uint8Array): void {
    this.end += message.length
    const fresh = message.length > this.size ? message.subarray(message.length - this.size) : message
    const needed = Math.min(this.size, this.held + fresh.length)
    if (needed > this.bytes.length) this.grow(needed)
    const first = Math.min(fresh.length, this.bytes.length - this.at)
    this.bytes.set(first === fresh.length ? fresh : fresh.subarray(0, first), this.at)
    if (first < fresh.length) this.bytes.set(fresh.subarray(first), 0)
    this.at = (this.at + fresh.length) % this.bytes.length
    this.held = needed
  }

  /** By a quarter at a time: what is held in advance is held for as long as the connection. */
  private grow(needed: number): void {
    const bytes = new Uint8Array(Math.min(this.size, needed + (needed >> 2)))
    bytes.set(this.content)
    this.bytes = bytes
    this.at = this.held % bytes.length
  }

  /** What is held, in order. */
  get content(): Uint8Array {
    const { at, bytes, held } = this
    const out = new Uint8Array(held)
    const tail = Math.min(held, at)
    out.set(bytes.subarray(at - tail, at), held - tail)
    if (tail < held) out.set(bytes.subarray(bytes.length - (held - tail)), 0)
    return out
  }

  get capacity(): number {
    return this.bytes.length
  }
}

/**
 * What the messages so far have left in the LZ77 window of one direction: their last bytes, at most the window's size. It is
 * used as a value, but the memory behind it is one buffer that each window hands to the next: once a newer window continues
 * it, the old one is outdated and its `bytes` are `undefined`.
 *
 * @category models
 * @since 0.1.0
 */
export class Window {
  private readonly ring: Ring
  private readonly bits: number
  /** How many bytes have gone through it. */
  readonly end: number
  /** Whether several connections have it, so that none may go on in its buffer. */
  private readonly isShared: boolean

  private constructor(ring: Ring, bits: number, isShared: boolean) {
    this.ring = ring
    this.bits = bits
    this.end = ring.end
    this.isShared = isShared
  }

  /** A window of 2^bits bytes that nothing has gone through. It takes no memory before something does. */
  static empty(bits: number): Window {
    return new Window(new Ring(1 << bits), bits, false)
  }

  /** The window that one message leaves, for any number of connections. */
  static shared(bits: number, message: Uint8Array): Window {
    const ring = new Ring(1 << bits)
    ring.add(message)
    return new Window(ring, bits, true)
  }

  /** The same for all windows that went on from one: what a compressor knows it by. */
  get history(): object {
    return this.ring
  }

  /** The bytes of memory that are held. */
  get capacity(): number {
    return this.ring.capacity
  }

  /** A copy of its bytes; `undefined` if there are none, or it is outdated. */
  get bytes(): Uint8Array | undefined {
    return this.end === 0 || this.ring.end !== this.end ? undefined : this.ring.content
  }

  /** The window after another message. This one is outdated then. */
  slide(message: Uint8Array): Window {
    let { ring } = this
    if (this.isShared || ring.end !== this.end) {
      const { bytes } = this
      ring = new Ring(1 << this.bits)
      if (bytes !== undefined) ring.add(bytes)
    }
    ring.add(message)
    return new Window(ring, this.bits, false)
  }
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
  window: Window | undefined
  /**
   * The compressed form by this window, and the window that it leaves once it is sent; or `undefined` if the message is
   * below the threshold or does not get smaller.
   */
  readonly compress: (
    message: Uint8Array,
    window: Window | undefined
  ) => Effect.Effect<{ readonly bytes: Uint8Array; readonly window: Window | undefined } | undefined>
  /** The same by no window, as it may go to other connections of this form as well. */
  readonly compressAlone: (message: Uint8Array) => Effect.Effect<Uint8Array | undefined>
  readonly decompress: (compressed: Uint8Array, maxSize: number) => Effect.Effect<Uint8Array, ProtocolError>
}

/**
 * The codec of one connection, by what it has agreed on.
 *
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
  // an empty message has nothing to compress, and a stream that was flushed already would not even say that
  const threshold = Math.max(1, options.policy.threshold ?? 1024)
  const level = options.policy.level ?? 6
  let received = theirs.fresh ? undefined : Window.empty(theirs.bits)
  const deflated = (message: Uint8Array, window: Window | undefined) =>
    Effect.map(zlib.deflate(message, { windowBits: ours.bits, level, window }), (bytes) =>
      // section 7.2.1: the four bytes of the flush are not sent
      bytes.length - tail.length < message.length ? bytes.subarray(0, bytes.length - tail.length) : undefined
    )
  return {
    threshold,
    windowBits: ours.bits,
    contextTakeover: !ours.fresh,
    form: ours.bits * 16 + level,
    window: undefined,
    compress: (message, before) => {
      if (message.length < threshold) return nothing
      const window = ours.fresh ? undefined : (before ?? Window.empty(ours.bits))
      return Effect.map(deflated(message, window), (bytes) =>
        bytes === undefined ? undefined : { bytes, window: window?.slide(message) }
      )
    },
    compressAlone: (message) => (message.length < threshold ? nothing : deflated(message, undefined)),
    decompress: (compressed, maxSize) => {
      // section 7.2.2
      const whole = new Uint8Array(compressed.length + tail.length)
      whole.set(compressed)
      whole.set(tail, compressed.length)
      return Effect.map(zlib.inflate(whole, { maxSize, window: received }), (message) => {
        // the peer's window may be larger than what it named, never than 15 bits
        received = received?.slide(message)
        return message
      })
    }
  }
}

const nothing = Effect.succeed(undefined)
