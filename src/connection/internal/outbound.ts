/**
 * The sending half of a connection: messages and control frames into batches, batches into the transport's writer. It knows
 * whether sending is still allowed, and nothing about receiving.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as Semaphore from "effect/Semaphore"
import type * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import * as FrameEncoder from "../../protocol/FrameEncoder.ts"
import { isMessage, type Message, noMessage } from "../../protocol/Message.ts"
import * as Opcode from "../../protocol/Opcode.ts"
import type { Codec, Window } from "../Deflate.ts"
import type { Prepared, SharedFrame } from "../PreparedMessage.ts"
import * as Transport from "../Transport.ts"
import { invalidUsage, lost, type WebSocketError } from "../WebSocketError.ts"
import { whole } from "./memory.ts"
import { randomBytes } from "./randomBytes.ts"
import * as Now from "./now.ts"

type Wait = Now.Wait<WebSocketError>

// a batch is filled and taken without an interruption, so all connections of a role share one
const serverBatch = new FrameEncoder.Batch()
const clientBatch = new FrameEncoder.Batch(() => randomBytes(4))

const textFrame = FrameEncoder.firstByte(true, false, Opcode.text)
const binaryFrame = FrameEncoder.firstByte(true, false, Opcode.binary)
const utf8 = new TextEncoder()
const rsv1 = 0x40

const toLost = (error: Socket.SocketError): WebSocketError => lost(error)

const unsendable = Effect.fail(invalidUsage(noMessage))

/** Begins it, and waits no longer. */
export const launched = (write: Effect.Effect<void, WebSocketError>): Effect.Effect<void> =>
  Effect.asVoid(Effect.forkDetach(Effect.ignore(write), { startImmediately: true }))

/** What a message that waits for its turn counts for at least, in bytes: about what its fiber takes. */
const leastWaiting = 1024

/** Nobody looks at the buffers of a batch after it is written, and it never is empty. */
const nonEmpty = (buffers: Array<Uint8Array>) => buffers as unknown as NonEmptyReadonlyArray<Uint8Array>

/** A piece of a message that is to be sent. Bytes of a text message are UTF-8, cut where the sender likes. */
export interface Outgoing {
  readonly isText: boolean
  readonly payload: Message
  /** Whether the message begins, and whether it ends, with this piece. */
  readonly first: boolean
  readonly last: boolean
}

const pieceFrame = ({ first, isText, last }: Outgoing): number =>
  FrameEncoder.firstByte(last, false, !first ? Opcode.continuation : isText ? Opcode.text : Opcode.binary)

/** Adds a piece to a batch. */
export const pack = (batch: FrameEncoder.Batch, piece: Outgoing): void => {
  if (typeof piece.payload === "string") batch.string(pieceFrame(piece), piece.payload)
  else batch.frame(pieceFrame(piece), piece.payload)
}

/** Whether a code unit is the first of the two that a code point beyond U+FFFF is made of in a string. */
export const isFirstHalf = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff

const wholeMessage = (payload: Message): Outgoing => ({
  isText: typeof payload === "string",
  payload,
  first: true,
  last: true
})

/** Bytes whose buffers nobody else has. */
type Owned = ReadonlyArray<Uint8Array> | undefined

/** How a message is sent in fragments. */
export interface FragmentsOptions {
  /** Whether an interruption ends the message with what was sent, and not the connection. Default: `false`. */
  readonly mayEndEarly?: boolean | undefined
  /** What kind of message a stream without elements is, which nothing else says. Default: `"binary"`. */
  readonly ifEmpty?: "text" | "binary" | undefined
}

/** Says whether messages may be sent. */
export interface Gate {
  /** Fails with why nothing can be sent any more, if so. */
  readonly refused: Effect.Effect<never, WebSocketError> | undefined
  /** Whether a Ping is to be answered: also behind our own Close frame, until the peer's has come (section 5.5.2). */
  readonly answersPings: boolean
}

export class Outbound {
  /** Bytes given to the transport. */
  bytes = 0
  /** Grows with every write of data: while it stays the same, none has been sent. */
  progress = 0
  /** Bytes of shared frames that wait for their turn, or for a transport that does not say how many bytes are unsent. */
  waiting = 0
  /** How many senders have the lock or wait for it. */
  private turns = 0
  readonly writer: Transport.Writer
  private readonly batch: FrameEncoder.Batch
  private readonly codec: Codec | undefined
  private readonly gate: Gate
  /** Orders messages that cannot be written in one step: fragmented ones, and all where there is compression. */
  private lock: Semaphore.Semaphore | undefined

  constructor(options: {
    readonly role: "server" | "client"
    readonly writer: Transport.Writer
    readonly codec: Codec | undefined
    readonly gate: Gate
  }) {
    this.writer = options.writer
    this.batch = options.role === "server" ? serverBatch : clientBatch
    this.codec = options.codec
    this.gate = options.gate
    this.lock = options.codec === undefined ? undefined : Semaphore.makeUnsafe(1)
  }

  /** The buffers of messages that are given away are freed when they are written, if the transport can. */
  sendAll(messages: NonEmptyReadonlyArray<Message>, isGivenAway = false): Effect.Effect<void, WebSocketError> {
    return Now.make(() => {
      // anything may come where the types say `any`, and half of a frame would be sent to whoever is next to have the batch
      if (!messages.every(isMessage)) return unsendable
      return this.sendNow(messages, isGivenAway ? whole(messages) : undefined)
    })
  }

  /** Sends at once as far as possible. Returns an effect if there is something to wait for. */
  private sendNow(messages: NonEmptyReadonlyArray<Message>, owned: Owned): Wait {
    const { refused } = this.gate
    if (refused !== undefined) return refused
    if (this.lock === undefined) return this.write(messages, owned)
    return this.inTurn(
      this.lock,
      this.codec === undefined
        ? this.plain(messages, owned)
        : compressed(this, messages.map(wholeMessage), this.codec, identity)
    )
  }

  /**
   * Sends pieces, of one message or several, in one write. Whoever leaves a message open must be the only one who sends. If it
   * must wait for its turn and `waits` is false, it does not wait for room in the transport after that.
   */
  sendPieces(
    pieces: NonEmptyReadonlyArray<Outgoing>,
    { waits }: { readonly waits: boolean } = { waits: true }
  ): Effect.Effect<void, WebSocketError> {
    const { lock } = this
    if (lock === undefined) return this.givePieces(pieces)
    return this.inTurn(lock, this.givePieces(pieces, undefined, waits ? identity : launched))
  }

  /** The same for a caller that has the turn, or finds it free. */
  givePieces(
    pieces: NonEmptyReadonlyArray<Outgoing>,
    owned?: Owned,
    give: (write: Effect.Effect<void, WebSocketError>) => Effect.Effect<void, WebSocketError> = identity
  ): Effect.Effect<void, WebSocketError> {
    if (this.codec !== undefined) return compressed(this, pieces, this.codec, give)
    return give(
      Now.make((): Wait => {
        const { refused } = this.gate
        if (refused !== undefined) return refused
        for (const piece of pieces) pack(this.batch, piece)
        return this.flushData(owned)
      })
    )
  }

  /** Whether nobody has the turn or waits for it. */
  get isFree(): boolean {
    return this.turns === 0
  }

  /** Has the turn until the effect is done: messages that are sent meanwhile come behind. */
  exclusively<A, E, R>(self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return this.inTurn((this.lock ??= Semaphore.makeUnsafe(1)), self)
  }

  /** The same for pieces that a server, which does not compress, has packed by itself; those that it owns are given away. */
  sendPacked(buffers: NonEmptyReadonlyArray<Uint8Array>, owned: Owned): Effect.Effect<void, WebSocketError> {
    const { lock } = this
    const write = Now.make(() => this.gate.refused ?? this.giveData(buffers, owned))
    return lock === undefined ? write : this.inTurn(lock, launched(write))
  }

  private inTurn<A, E, R>(lock: Semaphore.Semaphore, self: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> {
    return Effect.suspend(() => {
      this.turns++
      return Effect.ensuring(
        lock.withPermits(1)(self),
        Effect.sync(() => void this.turns--)
      )
    })
  }

  /** What was sent and the system has not taken, as far as the transport says it, with what waits for its turn. */
  get backlog(): number {
    return this.waiting + (this.writer.unsent ?? 0)
  }

  /** Sends what is encoded already, in its turn. */
  sendPrepared(prepared: Prepared): Effect.Effect<void, WebSocketError> {
    // a client masks every frame anew
    if (this.batch !== serverBatch) return this.sendAll([prepared.message])
    return Now.make(() => {
      const { refused } = this.gate
      if (refused !== undefined) return refused
      const frame = this.codec === undefined ? this.frameAtOnce(prepared) : undefined
      return frame !== undefined ? this.writeShared(frame) : this.sendAfter(Effect.void, prepared)
    })
  }

  /**
   * The same, but keeps the turn until the effect has run and the transport has the message: anything that is sent meanwhile
   * comes after it.
   */
  sendAfter(before: Effect.Effect<void, WebSocketError>, prepared: Prepared): Effect.Effect<void, WebSocketError> {
    const { codec } = this
    return this.inTurn(
      (this.lock ??= Semaphore.makeUnsafe(1)),
      Effect.flatMap(Effect.andThen(before, prepared.frame(codec)), (frame) => {
        const { refused } = this.gate
        if (refused !== undefined) return refused
        if (this.batch !== serverBatch) return this.write([prepared.message]) ?? Effect.void
        const { window } = frame
        if (codec === undefined || window === undefined) return this.writeShared(frame) ?? Effect.void
        codec.window = undefined
        return Effect.map(this.writeShared(frame) ?? Effect.void, () => this.slid(window))
      })
    )
  }

  /** Begins to send it in its turn. Until the transport has it, it counts as backlog. */
  sendSoon(prepared: Prepared): Effect.Effect<void> {
    return Effect.suspend(() => {
      const size = Math.max(prepared.size, leastWaiting)
      this.waiting += size
      return launched(
        Effect.ensuring(
          this.sendPrepared(prepared),
          Effect.sync(() => void (this.waiting -= size))
        )
      )
    })
  }

  /** Sends a prepared message if that needs no waiting, and says whether it did. */
  offer(prepared: Prepared): boolean {
    const { writer } = this
    if (writer.offer === undefined || this.batch !== serverBatch) return false
    const frame = this.frameAtOnce(prepared)
    if (frame === undefined || !writer.offer(frame.bytes)) return false
    this.progress++
    this.bytes += frame.bytes.length
    if (frame.window !== undefined) this.slid(frame.window)
    return true
  }

  /** Whether a shared frame must be made before `offer` can have it. */
  lacksFrame(prepared: Prepared): boolean {
    return this.codec !== undefined && this.batch === serverBatch && prepared.frameNow(this.codec) === undefined
  }
  makeFrame(prepared: Prepared): Effect.Effect<SharedFrame> {
    return prepared.frame(this.codec)
  }

  /** Nothing may overtake a message that is being compressed, nor come between the fragments of one that is open. */
  private frameAtOnce(prepared: Prepared): SharedFrame | undefined {
    return this.turns === 0 ? prepared.frameNow(this.codec) : undefined
  }

  private writeShared(frame: SharedFrame): Wait {
    return this.giveData([frame.bytes])
  }

  /** A message that refers to nothing before it has moved the peer's window on: of ours, it is all that is known. */
  private slid(window: Window): void {
    if (this.codec?.contextTakeover === true) this.codec.window = window
  }

  /** Behind the lock: the connection may have begun to close while it was waited for. */
  private plain(messages: NonEmptyReadonlyArray<Message>, owned: Owned): Effect.Effect<void, WebSocketError> {
    return Effect.suspend(() => this.gate.refused ?? this.write(messages, owned) ?? Effect.void)
  }

  private write(messages: NonEmptyReadonlyArray<Message>, owned?: Owned): Wait {
    const { batch } = this
    for (const message of messages) {
      if (typeof message === "string") batch.string(textFrame, message)
      else batch.frame(binaryFrame, message)
    }
    return this.flushData(owned)
  }

  /** Data frames that are ready but for their headers. */
  writeFrames(frames: ReadonlyArray<readonly [b0: number, payload: Uint8Array]>): Effect.Effect<void, WebSocketError> {
    const { refused } = this.gate
    if (refused !== undefined) return refused
    for (const [b0, payload] of frames) this.batch.frame(b0, payload)
    return this.flushData() ?? Effect.void
  }

  /**
   * Sends bytes, whose buffer nobody else has, as one binary message. If there is room before them, a server's header goes there; a
   * client masks them where they are.
   */
  sendOwned(bytes: Uint8Array): Effect.Effect<void, WebSocketError> {
    return Now.make(() => {
      const { batch, codec, lock } = this
      if (codec !== undefined || lock !== undefined) return this.sendNow([bytes], [bytes])
      const { refused } = this.gate
      if (refused !== undefined) return refused
      const framed = batch === serverBatch ? FrameEncoder.inFront(binaryFrame, bytes) : undefined
      if (framed !== undefined) return this.giveData([framed], [framed])
      batch.frame(binaryFrame, bytes, true)
      return this.flushData([bytes])
    })
  }

  /** `abandon` is run if the message fails when it has begun, and if it is interrupted then and `mayEndEarly` is not set. */
  sendFragments<E, R>(
    fragments: Stream.Stream<string, E, R> | Stream.Stream<Uint8Array, E, R>,
    abandon: Effect.Effect<void>,
    options: FragmentsOptions
  ): Effect.Effect<void, WebSocketError | E, R> {
    return Effect.suspend(() => this.beginFragments(fragments, abandon, options))
  }

  private beginFragments<E, R>(
    fragments: Stream.Stream<string, E, R> | Stream.Stream<Uint8Array, E, R>,
    abandon: Effect.Effect<void>,
    options: FragmentsOptions
  ): Effect.Effect<void, WebSocketError | E, R> {
    const lock = (this.lock ??= Semaphore.makeUnsafe(1))
    const { batch } = this
    let opcode: Opcode.Opcode | undefined
    let isText = options.ifEmpty === "text"
    // each frame is encoded by itself, and a piece may end within a code point
    let half = ""
    const frame = (fin: boolean, payload: string | Uint8Array): Effect.Effect<void, WebSocketError> => {
      const { refused } = this.gate
      if (refused !== undefined) return refused
      const b0 = FrameEncoder.firstByte(fin, false, opcode ?? (isText ? Opcode.text : Opcode.binary))
      opcode = Opcode.continuation
      if (typeof payload === "string") batch.string(b0, payload)
      else batch.frame(b0, payload)
      return this.flushData() ?? Effect.void
    }
    const give = (piece: string | Uint8Array): Effect.Effect<void, WebSocketError> => {
      if (!isMessage(piece)) return unsendable
      isText = typeof piece === "string"
      if (typeof piece !== "string") return frame(false, piece)
      const text = half + piece
      const end = isFirstHalf(text.charCodeAt(text.length - 1)) ? text.length - 1 : text.length
      half = text.slice(end)
      return end === 0 && half !== "" ? Effect.void : frame(false, text.slice(0, end))
    }
    const last = Effect.suspend(() => frame(true, half))
    // widened: a stream of strings or of bytes is a stream of either
    const pieces = fragments as Stream.Stream<string | Uint8Array, E, R>
    return pieces.pipe(
      Stream.runForEach((piece) => Effect.suspend(() => give(piece))),
      Effect.andThen(last),
      Effect.onError((cause) => {
        if (opcode === undefined) return Effect.void
        if (options.mayEndEarly !== true || !Cause.hasInterruptsOnly(cause)) return abandon
        // the frames before have been given to the transport whole, and nobody waits for the last
        return launched(last)
      }),
      (message) => this.inTurn(lock, message)
    )
  }

  /** A control frame goes between whatever frames are on their way; it needs no lock. */
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array): Effect.Effect<void, WebSocketError> {
    return Now.make(() => {
      this.batch.frame(FrameEncoder.firstByte(true, false, opcode), payload)
      return this.flush()
    })
  }

  /** Pongs, in the order of their pings, in one write. */
  pongs(payloads: ReadonlyArray<Uint8Array>): Effect.Effect<void, WebSocketError> {
    return Effect.suspend(() => {
      for (const payload of payloads) this.batch.frame(FrameEncoder.firstByte(true, false, Opcode.pong), payload)
      return this.flush() ?? Effect.void
    })
  }

  private flushData(owned?: Owned): Wait {
    return this.giveData(nonEmpty(this.batch.take()), owned)
  }

  private flush(): Wait {
    return this.give(nonEmpty(this.batch.take()))
  }

  private giveData(buffers: NonEmptyReadonlyArray<Uint8Array>, owned?: Owned): Wait {
    this.progress++
    return this.give(buffers, owned)
  }

  private give(buffers: NonEmptyReadonlyArray<Uint8Array>, owned?: Owned): Wait {
    for (let i = 0; i < buffers.length; i++) this.bytes += buffers[i]!.length
    const wait = Transport.write(this.writer, buffers, owned)
    return wait === undefined ? undefined : Effect.mapError(wait, toLost)
  }
}

/**
 * Compressing may take a while, so frames are put together only when all messages are ready. The window moves on when they are
 * written; if that is interrupted, nobody knows what the peer has, and the next message refers to none before it.
 */
const compressed = Effect.fnUntraced(function* (
  self: Outbound,
  pieces: ReadonlyArray<Outgoing>,
  codec: Codec,
  give: (write: Effect.Effect<void, WebSocketError>) => Effect.Effect<void, WebSocketError>
): Effect.fn.Return<void, WebSocketError> {
  const frames: Array<readonly [number, Uint8Array]> = []
  let { window } = codec
  for (const piece of pieces) {
    const bytes = typeof piece.payload === "string" ? utf8.encode(piece.payload) : piece.payload
    // a message is compressed whole or not at all
    const deflated = piece.first && piece.last ? yield* codec.compress(bytes, window) : undefined
    frames.push([pieceFrame(piece) | (deflated === undefined ? 0 : rsv1), deflated?.bytes ?? bytes])
    window = deflated?.window ?? window
  }
  codec.window = undefined
  yield* give(self.writeFrames(frames))
  codec.window = window
})
