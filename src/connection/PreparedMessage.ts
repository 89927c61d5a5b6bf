/**
 * A message for many connections: encoded once, and compressed once for each set of parameters that the connections have
 * agreed on. {@link WebSocket.send} takes it in place of a message, and `Broadcast` and `Hub` write the same buffer to every
 * socket.
 *
 * - Where permessage-deflate is agreed on (RFC 7692), the message is compressed by itself, without the window of any
 *   connection, so that all whose window and level are the same share its bytes. It goes plain where it is below the
 *   threshold of the connection's policy or does not get smaller.
 * - With context takeover that is legal too (section 7.2.1): the peer's window moves on as by any message. Ours is then the
 *   prepared message itself, one copy for all connections, so what is sent next may refer to it but to nothing before it.
 * - A client masks each frame with a key of its own (RFC 6455 section 5.3): there only the message is shared.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Semaphore from "effect/Semaphore"
import * as FrameEncoder from "../protocol/FrameEncoder.ts"
import { isMessage, type Message, noMessage } from "../protocol/Message.ts"
import * as Opcode from "../protocol/Opcode.ts"
import { type Codec, Window } from "./Deflate.ts"

/**
 * Marks a prepared message.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const TypeId = "~effect-websocket/connection/PreparedMessage"

/**
 * A message that is encoded once. See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface PreparedMessage {
  readonly [TypeId]: typeof TypeId
  /** What was prepared. */
  readonly message: Message
}

/**
 * Prepares a message: a string as text, bytes as binary. The bytes must not change as long as it is used. Nothing is encoded
 * before it is sent. Throws for what is neither.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (message: Message): PreparedMessage => new Prepared(message)

/**
 * Whether this is a message that {@link make} has prepared.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isPreparedMessage = (u: unknown): u is PreparedMessage => u instanceof Prepared

/**
 * What `Broadcast` and a connection work with.
 *
 * @internal
 */
export const prepare = (message: Message | PreparedMessage): Prepared =>
  // a prepared message has no other maker than `make`
  isPreparedMessage(message) ? (message as Prepared) : new Prepared(message)

/**
 * A whole unmasked frame, and if it is compressed the window that it leaves, as far as we keep it.
 *
 * @category models
 * @since 0.1.0
 */
export interface SharedFrame {
  readonly bytes: Uint8Array
  readonly window: Window | undefined
}

const utf8 = new TextEncoder()

/**
 * A prepared message as a connection has it.
 *
 * @category models
 * @since 0.1.0
 */
export class Prepared implements PreparedMessage {
  declare readonly [TypeId]: typeof TypeId
  static {
    Object.defineProperty(this.prototype, TypeId, { value: TypeId })
  }
  readonly message: Message
  private encoded: Uint8Array | undefined
  private plain: SharedFrame | undefined
  /** By `Codec.form`: few, since it is made of nothing but a window's size and a level. */
  private readonly compressed = new Map<number, SharedFrame>()
  /** So that a message is compressed once even where many ask at once. */
  private readonly lock = Semaphore.makeUnsafe(1)

  constructor(message: Message) {
    if (!isMessage(message)) throw new TypeError(noMessage)
    this.message = message
  }

  private get payload(): Uint8Array {
    const { message } = this
    return typeof message === "string" ? (this.encoded ??= utf8.encode(message)) : message
  }

  /** Bytes of payload. */
  get size(): number {
    return this.payload.length
  }

  /** The frame for a connection with this codec; `undefined` if it is to be compressed first, which `frame` does. */
  frameNow(codec: Codec | undefined): SharedFrame | undefined {
    if (codec === undefined || this.payload.length < codec.threshold) return this.plainFrame
    return this.compressed.get(codec.form)
  }

  frame(codec: Codec | undefined): Effect.Effect<SharedFrame> {
    return Effect.suspend(() => {
      const frame = this.frameNow(codec)
      return frame !== undefined || codec === undefined
        ? Effect.succeed(frame ?? this.plainFrame)
        : this.lock.withPermits(1)(this.compress(codec))
    })
  }

  private compress(codec: Codec): Effect.Effect<SharedFrame> {
    return Effect.suspend(() => {
      const made = this.compressed.get(codec.form)
      if (made !== undefined) return Effect.succeed(made)
      const { payload } = this
      return Effect.map(codec.compressAlone(payload), (deflated) => {
        const frame =
          deflated === undefined
            ? this.plainFrame
            : // a copy: whoever gave the bytes may change them when all is sent, and the window stays
              { bytes: this.encode(true, deflated), window: Window.shared(codec.windowBits, payload) }
        this.compressed.set(codec.form, frame)
        return frame
      })
    })
  }

  private get plainFrame(): SharedFrame {
    return (this.plain ??= { bytes: this.encode(false, this.payload), window: undefined })
  }

  /** In a buffer of its own: it may be kept for long. */
  private encode(rsv1: boolean, payload: Uint8Array): Uint8Array {
    const frame = new Uint8Array(FrameEncoder.headerSize(payload.length, false) + payload.length)
    const opcode = typeof this.message === "string" ? Opcode.text : Opcode.binary
    frame.set(payload, FrameEncoder.writeHeader(frame, 0, FrameEncoder.firstByte(true, rsv1, opcode), payload.length))
    return frame
  }
}
