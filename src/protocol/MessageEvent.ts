/**
 * All that a peer sends, in its order: the pieces of messages, and the pings and pongs between them. This is the fifth sink of
 * the frame decoder, beside those of `Message.ts`, for code that tells an application what came and when. A frame comes in one
 * piece if it is not larger than `pieceSize`, and so may a whole message; text comes as a string too.
 *
 * It holds no more than it gathers: a piece, or a message within `maxMessageSize` (Close 1009 beyond it).
 *
 * `Watched` is for code that passes bytes on and sometimes has to report them: it gives events of the messages that are watched,
 * and the bytes of the others as `Payloads` does.
 *
 * @since 0.1.0
 */
import type { FrameDecoder, Sink } from "./FrameDecoder.ts"
import {
  Base,
  CompressedMessage,
  type Controls,
  decodeText,
  type Fragment,
  GatheredText,
  type Limits,
  Payloads,
  TextPieces
} from "./Message.ts"
import * as Opcode from "./Opcode.ts"

/**
 * A piece of a message.
 *
 * @category models
 * @since 0.1.0
 */
export interface Piece extends Fragment {
  /** What a piece of text completes of the text: the pieces put together are the message. `undefined` if it is binary. */
  readonly text: string | undefined
}

/**
 * A Ping that was answered, or a Pong (RFC 6455 sections 5.5.2 and 5.5.3).
 *
 * @category models
 * @since 0.1.0
 */
export class ControlFrame {
  readonly opcode: Opcode.ControlOpcode
  /** At most 125 bytes. */
  readonly payload: Uint8Array
  constructor(opcode: Opcode.ControlOpcode, payload: Uint8Array) {
    this.opcode = opcode
    this.payload = payload
  }
}

/**
 * A piece of a message, or a ping or pong.
 *
 * @category models
 * @since 0.1.0
 */
export type MessageEvent = Piece | ControlFrame

/**
 * How much is put together. It is read anew for each frame and message, and so may change.
 *
 * @category models
 * @since 0.1.0
 */
export interface Gathering {
  /** A frame of at most this many bytes comes in one piece, a larger one in pieces of at most as much. 0: each as it arrives. */
  readonly pieceSize: number
  /** Whether a message comes whole. */
  readonly wholeMessages: boolean
}

/**
 * Whether this is a ping or pong, and no piece of a message.
 *
 * @category guards
 * @since 0.1.0
 */
export const isControlFrame = (event: MessageEvent): event is ControlFrame => event instanceof ControlFrame

/**
 * The event of a message that came whole.
 *
 * @category constructors
 * @since 0.1.0
 */
export const whole = (isText: boolean, payload: Uint8Array): Piece => ({
  isText,
  first: true,
  last: true,
  payload,
  text: isText ? decodeText(payload) : undefined
})

const utf8 = new TextEncoder()

/**
 * Yields the pieces of messages, and the pings and pongs between them.
 *
 * @category sinks
 * @since 0.1.0
 */
export class Events extends Base<MessageEvent | CompressedMessage> {
  private readonly gathering: Gathering
  private pieces: TextPieces | undefined
  /** The text of a message that is put together. */
  private text: GatheredText | undefined
  private first = true
  private gathers = false
  private heldSize = 0

  constructor(limits: Limits, controls: Controls, gathering: Gathering) {
    super(limits, controls)
    this.gathering = gathering
  }

  override control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void {
    super.control(opcode, payload, decoder)
    if (opcode !== Opcode.close) this.out.push(new ControlFrame(opcode, payload))
  }

  frameStart(decoder: FrameDecoder): void {
    if (decoder.opcode !== Opcode.continuation) {
      this.gathers = this.gathering.wholeMessages
      this.first = true
      this.pieces = undefined
      this.text = undefined
    }
    this.begin(decoder, this.gathers)
  }

  framePayload(chunk: Uint8Array, start: number, end: number, decoder: FrameDecoder): void {
    const isEnd = decoder.remaining === 0
    if (this.compressed || this.gathers) {
      if (decoder.fin && end - start === this.size) return this.finish(chunk.subarray(start, end))
      if (this.isText && !this.compressed) (this.text ??= new GatheredText()).push(chunk.subarray(start, end))
      else this.keep(chunk, start, end, decoder.fin ? this.size : this.limits.maxMessageSize)
      return
    }
    const pieceSize = this.gathering.pieceSize || this.heldSize + end - start
    let at = start
    while (at < end) {
      const take = Math.min(end - at, Math.max(1, pieceSize - this.heldSize))
      const completes = at + take === end && isEnd
      if (this.heldSize === 0 && (completes || take === pieceSize)) {
        this.add(chunk.subarray(at, at + take), completes && decoder.fin)
      } else {
        this.keep(chunk, at, at + take, Math.min(pieceSize, this.heldSize + take + decoder.remaining))
        if (completes || this.heldSize >= pieceSize) this.add(this.releaseAll(), completes && decoder.fin)
      }
      at += take
    }
  }

  frameEnd(decoder: FrameDecoder): void {
    if (this.compressed || this.gathers) {
      if (decoder.fin && this.first) this.finishHeld()
    } else if (decoder.length === 0) {
      this.add(new Uint8Array(0), decoder.fin)
    }
  }

  private keep(chunk: Uint8Array, start: number, end: number, announced: number): void {
    this.hold(chunk, start, end, announced)
    this.heldSize += end - start
  }

  private releaseAll(): Uint8Array {
    this.heldSize = 0
    return this.release()
  }

  private finishHeld(): void {
    if (this.text === undefined) return this.finish(this.releaseAll())
    const text = this.text.end()
    this.text = undefined
    this.out.push({ isText: true, first: true, last: true, payload: utf8.encode(text), text })
  }

  /** A message is whole. */
  private finish(bytes: Uint8Array): void {
    this.first = false
    this.out.push(this.compressed ? new CompressedMessage(this.isText, bytes, true) : whole(this.isText, bytes))
  }

  private add(payload: Uint8Array, last: boolean): void {
    const { first, isText } = this
    if (first && last) {
      this.out.push(whole(isText, payload))
    } else {
      const text = isText ? this.decode(payload, last) : undefined
      this.out.push({ isText, first, last, payload, text })
    }
    this.first = false
  }

  private decode(payload: Uint8Array, last: boolean): string {
    this.pieces ??= new TextPieces()
    const text = this.pieces.push(payload)
    return last ? text + this.pieces.end() : text
  }
}

/**
 * Whether messages are watched, and how much is put together for who watches.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watching {
  /** Asked where a message begins, for all of it. */
  readonly isWatching: () => boolean
  readonly gathering: Gathering
}

/**
 * The bytes of messages, and the events of those that are watched; in order.
 *
 * @category sinks
 * @since 0.1.0
 */
export class Watched implements Sink {
  private readonly payloads: Payloads
  private readonly events: Events
  private readonly watching: Watching
  private readonly controls: Controls
  private isWatched = false
  private out: Array<Uint8Array | MessageEvent | CompressedMessage> = []

  constructor(limits: Limits, controls: Controls, watching: Watching) {
    this.payloads = new Payloads(limits, controls)
    this.events = new Events(limits, controls, watching.gathering)
    this.watching = watching
    this.controls = controls
  }

  private get current(): Payloads | Events {
    return this.isWatched ? this.events : this.payloads
  }

  control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void {
    this.controls.control(opcode, payload, decoder)
  }

  frameStart(decoder: FrameDecoder): void {
    if (decoder.opcode !== Opcode.continuation && this.watching.isWatching() !== this.isWatched) {
      this.collect()
      this.isWatched = !this.isWatched
    }
    this.current.frameStart(decoder)
  }

  framePayload(chunk: Uint8Array, start: number, end: number, decoder: FrameDecoder): void {
    this.current.framePayload(chunk, start, end, decoder)
  }

  frameEnd(decoder: FrameDecoder): void {
    this.current.frameEnd(decoder)
  }

  private collect(): void {
    // what moves payloads together must not move one over an event's
    this.payloads.flush()
    for (const item of this.current.take()) this.out.push(item)
  }

  /** Takes what is ready. */
  take(): ReadonlyArray<Uint8Array | MessageEvent | CompressedMessage> {
    this.collect()
    const { out } = this
    this.out = []
    return out
  }
}
