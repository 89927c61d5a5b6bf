/**
 * From frames to what an application reads (RFC 6455 sections 5.4 and 5.6): four sinks for the frame decoder. `Messages`
 * assembles whole messages, `Fragments` passes on each piece with its place in the message, `Payloads` passes on bytes alone
 * and `Discard` nothing. All but the last hold text to UTF-8 as it arrives, so that a bad byte fails the connection within
 * the piece that carries it (section 8.1).
 *
 * A sink collects what is ready; whoever pushed takes it with `take`. What it holds is bounded: `Messages` by the size of a
 * message, the others by nothing more than the chunk at hand and, for compressed messages, the size of one of these.
 *
 * @since 0.1.0
 */
import type { FrameDecoder, Sink } from "./FrameDecoder.ts"
import * as Opcode from "./Opcode.ts"
import { type Kind, ProtocolError } from "./ProtocolError.ts"

/**
 * A message: a text message is a string, a binary message its bytes. The bytes may be a view of a buffer
 * that they share with the messages that came with them: change them as you like, but `slice()` what you keep for long or
 * transfer.
 *
 * @category models
 * @since 0.1.0
 */
export type Message = string | Uint8Array

/**
 * Whether this is a message: a string, or an array of bytes, of whatever realm.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isMessage = (u: unknown): u is Message =>
  typeof u === "string" ||
  u instanceof Uint8Array ||
  (ArrayBuffer.isView(u) && "BYTES_PER_ELEMENT" in u && u.BYTES_PER_ELEMENT === 1)

/**
 * What is said to whoever gives something else.
 *
 * @internal
 */
export const noMessage = "a message is a string or a Uint8Array; something else was given"

/**
 * A message that is still compressed (RFC 7692 section 6): inflating is not this module's business.
 *
 * @category models
 * @since 0.1.0
 */
export class CompressedMessage {
  readonly isText: boolean
  readonly bytes: Uint8Array
  /** Whether it becomes an event (`MessageEvent.ts`). */
  readonly isEvent: boolean
  constructor(isText: boolean, bytes: Uint8Array, isEvent = false) {
    this.isText = isText
    this.bytes = bytes
    this.isEvent = isEvent
  }
}

/**
 * A piece of a message as it arrived. Pieces follow the network and not the sender's frames: an intermediary may have split
 * or joined those (section 5.4).
 *
 * @category models
 * @since 0.1.0
 */
export interface Fragment {
  /** Whether the message is text. A piece may end inside a code point. */
  readonly isText: boolean
  /** Whether the message begins with this piece. */
  readonly first: boolean
  /** Whether the message ends with this piece. */
  readonly last: boolean
  readonly payload: Uint8Array
}

/**
 * Limits of what a sink takes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Limits {
  /** The largest message in bytes that is assembled; a larger one fails with 1009. */
  readonly maxMessageSize: number
  /** The most frames that a message may be made of when it is assembled; more fail with 1008. */
  readonly maxFragments: number
}

/**
 * Where the control frames go, whichever sink takes the data.
 *
 * @category models
 * @since 0.1.0
 */
export interface Controls {
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void
}

const utf8Options = { fatal: true, ignoreBOM: true } as const
const wholeText = new TextDecoder("utf-8", utf8Options)
const streaming = { stream: true } as const
const nothing: ReadonlyArray<never> = Object.freeze([])
const noBytes: Uint8Array = new Uint8Array(0)

const fail = (kind: Kind, message: string): never => {
  throw new ProtocolError({ kind, message })
}
const notUtf8 = (): never => fail("InvalidUtf8", "a text message is not UTF-8")

/**
 * The text of bytes that are UTF-8 as a whole.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeText = (bytes: Uint8Array): string => {
  try {
    return wholeText.decode(bytes)
  } catch {
    return notUtf8()
  }
}

/**
 * Decodes text piece by piece, and fails within the piece that has the first byte that cannot be UTF-8.
 *
 * @internal
 */
export class TextPieces {
  private readonly decoder = new TextDecoder("utf-8", utf8Options)
  push(bytes: Uint8Array): string {
    try {
      return this.decoder.decode(bytes, streaming)
    } catch {
      return notUtf8()
    }
  }
  end(): string {
    try {
      return this.decoder.decode()
    } catch {
      return notUtf8()
    }
  }
}

/** So many characters of small pieces are put together at a time. */
const gathered = 4096

/**
 * The text of a message that comes in pieces. V8 keeps a sum of strings as a tree of its parts, which takes 32 bytes for each until somebody
 * looks into it: a message of one character to a frame would take 32 times its size.
 */
export class GatheredText {
  private readonly pieces = new TextPieces()
  private text = ""
  private recent = ""
  seen = 0
  push(bytes: Uint8Array): void {
    this.recent += this.pieces.push(bytes)
    if (this.recent.length >= gathered) this.gather()
  }
  end(): string {
    this.recent += this.pieces.end()
    this.gather()
    return this.text
  }
  private gather(): void {
    // to look at a character makes one string of the tree; one that nobody keeps would not be looked at
    this.seen = this.recent.charCodeAt(0)
    this.text += this.recent
    this.recent = ""
  }
}

/** Bytes that grow to twice what has come, never past what was announced: little is set aside for bytes that may never come. */
class Accumulator {
  private bytes = noBytes
  private length = 0
  push(chunk: Uint8Array, start: number, end: number, announced: number): void {
    const needed = this.length + end - start
    if (needed > this.bytes.length) {
      const grown = new Uint8Array(Math.max(needed, Math.min(announced, Math.max(1024, needed * 2))))
      grown.set(this.bytes.subarray(0, this.length))
      this.bytes = grown
    }
    this.bytes.set(end - start === chunk.length ? chunk : chunk.subarray(start, end), this.length)
    this.length = needed
  }
  take(): Uint8Array {
    const { bytes, length } = this
    this.bytes = noBytes
    this.length = 0
    return bytes.length === length ? bytes : bytes.subarray(0, length)
  }
}

/**
 * What all sinks that deliver share: the kind of the open message, its size, and its compressed bytes.
 *
 * @category sinks
 * @since 0.1.0
 */
export abstract class Base<Item> implements Sink {
  private ready: Array<Item> | undefined
  protected isText = false
  protected compressed = false
  /** Bytes of the open message that have come or are announced by the current frame. */
  protected size = 0
  private fragments = 0
  /** The bytes that are held of the open message, if any. */
  private held: Accumulator | undefined
  protected readonly limits: Limits
  private readonly controls: Controls

  constructor(limits: Limits, controls: Controls) {
    this.limits = limits
    this.controls = controls
  }

  control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void {
    this.controls.control(opcode, payload, decoder)
  }

  /** What is ready; made for the first item, since most connections wait most of the time. */
  get out(): Array<Item> {
    return (this.ready ??= [])
  }

  /** Takes what is ready. */
  take(): ReadonlyArray<Item> {
    const { ready } = this
    this.ready = undefined
    return ready ?? nothing
  }

  /** Begins or continues the message; `assembled` says whether its bytes will be held, and so must be bounded. */
  protected begin(decoder: FrameDecoder, assembled: boolean): void {
    if (decoder.opcode !== Opcode.continuation) {
      this.isText = decoder.opcode === Opcode.text
      this.compressed = decoder.rsv1
      this.size = 0
      this.fragments = 0
    }
    this.size += decoder.length
    this.fragments++
    if (!assembled && !this.compressed) return
    const { maxFragments, maxMessageSize } = this.limits
    if (this.size > maxMessageSize) {
      fail("MessageTooBig", `a message of ${this.size} bytes or more came; at most ${maxMessageSize} are taken`)
    }
    if (this.fragments > maxFragments) {
      fail("TooManyFragments", `a message came in more than ${maxFragments} fragments`)
    }
  }

  /** Holds a piece of the open message; `announced` is the most that it can become. */
  protected hold(chunk: Uint8Array, start: number, end: number, announced: number): void {
    ;(this.held ??= new Accumulator()).push(chunk, start, end, announced)
  }

  /** What is held, which is the whole message by now. */
  protected release(): Uint8Array {
    // not a shared one: it is the receiver's own, who may transfer it
    const bytes = this.held?.take() ?? new Uint8Array(0)
    this.held = undefined
    return bytes
  }

  abstract frameStart(decoder: FrameDecoder): void
  abstract framePayload(chunk: Uint8Array, start: number, end: number, decoder: FrameDecoder): void
  abstract frameEnd(decoder: FrameDecoder): void
}

/**
 * Assembles messages.
 *
 * @category sinks
 * @since 0.1.0
 */
export class Messages extends Base<Message | CompressedMessage> {
  /** Whether something that was put out since this was set to false is a part of the chunk it came in. */
  sharesChunk = false
  /** Set while a text message comes in more than one piece. */
  private text: GatheredText | undefined
  /** The payload of a message that came whole, in one piece of one frame. */
  private whole: Uint8Array | undefined

  frameStart(decoder: FrameDecoder): void {
    this.begin(decoder, true)
  }

  framePayload(chunk: Uint8Array, start: number, end: number, decoder: FrameDecoder): void {
    if (end - start === this.size && decoder.fin) {
      this.whole = chunk.subarray(start, end)
      if (!this.isText || this.compressed) this.sharesChunk = true
    } else if (this.isText && !this.compressed) {
      ;(this.text ??= new GatheredText()).push(chunk.subarray(start, end))
    } else {
      this.hold(chunk, start, end, decoder.fin ? this.size : this.limits.maxMessageSize)
    }
  }

  frameEnd(decoder: FrameDecoder): void {
    if (!decoder.fin) return
    if (this.text !== undefined) {
      this.out.push(this.text.end())
      this.text = undefined
      return
    }
    const bytes = this.whole ?? this.release()
    this.whole = undefined
    this.out.push(this.compressed ? new CompressedMessage(this.isText, bytes) : this.isText ? decodeText(bytes) : bytes)
  }
}

/**
 * Passes on the pieces of messages. A compressed message comes whole, to be inflated.
 *
 * @category sinks
 * @since 0.1.0
 */
export class Fragments extends Base<Fragment | CompressedMessage> {
  private pieces: TextPieces | undefined
  private first = true

  frameStart(decoder: FrameDecoder): void {
    this.begin(decoder, false)
    if (decoder.opcode !== Opcode.continuation) {
      this.first = true
      this.pieces = this.isText && !this.compressed ? new TextPieces() : undefined
    }
  }

  framePayload(chunk: Uint8Array, start: number, end: number, decoder: FrameDecoder): void {
    if (this.compressed) return this.hold(chunk, start, end, this.limits.maxMessageSize)
    this.add(chunk.subarray(start, end), decoder.fin && decoder.remaining === 0)
  }

  frameEnd(decoder: FrameDecoder): void {
    if (!decoder.fin) return
    if (this.compressed) this.out.push(new CompressedMessage(this.isText, this.release()))
    else if (decoder.length === 0) this.add(new Uint8Array(0), true)
  }

  private add(payload: Uint8Array, last: boolean): void {
    this.pieces?.push(payload)
    if (last) this.pieces?.end()
    this.out.push({ isText: this.isText, first: this.first, last, payload })
    this.first = false
  }
}

/**
 * Passes on the bytes of messages without their boundaries, as a byte stream that travels over WebSocket has none. The
 * payloads of one chunk are moved together in it, over the headers between them, and go out as one piece.
 *
 * @category sinks
 * @since 0.1.0
 */
export class Payloads extends Base<Uint8Array | CompressedMessage> {
  private pieces: TextPieces | undefined
  private chunk = noBytes
  private from = 0
  private to = 0

  frameStart(decoder: FrameDecoder): void {
    this.begin(decoder, false)
    if (decoder.opcode !== Opcode.continuation) {
      this.pieces = this.isText && !this.compressed ? new TextPieces() : undefined
    }
  }

  framePayload(chunk: Uint8Array, start: number, end: number): void {
    if (this.compressed) return this.hold(chunk, start, end, this.limits.maxMessageSize)
    this.pieces?.push(chunk.subarray(start, end))
    if (this.chunk !== chunk) {
      this.flush()
      this.chunk = chunk
      this.from = start
      this.to = end
    } else {
      if (this.to !== start) chunk.copyWithin(this.to, start, end)
      this.to += end - start
    }
  }

  frameEnd(decoder: FrameDecoder): void {
    if (!decoder.fin) return
    this.pieces?.end()
    this.pieces = undefined
    if (!this.compressed) return
    this.flush()
    this.out.push(new CompressedMessage(this.isText, this.release()))
  }

  /** Puts what is gathered of the current chunk into `out`; call it after each chunk. */
  flush(): void {
    if (this.to > this.from) this.out.push(this.chunk.subarray(this.from, this.to))
    this.chunk = noBytes
    this.from = this.to = 0
  }
}

/**
 * Passes on nothing: what is left of a connection that closes.
 *
 * @category sinks
 * @since 0.1.0
 */
export class Discard implements Sink {
  private readonly controls: Controls
  constructor(controls: Controls) {
    this.controls = controls
  }
  frameStart(): void {}
  framePayload(): void {}
  frameEnd(): void {}
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void {
    this.controls.control(opcode, payload, decoder)
  }
}
