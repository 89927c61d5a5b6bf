/**
 * The receiving half of a connection: the transport's reader through the decoder into a sink, a batch at each pull. One rule
 * keeps the order: the messages of a read are delivered before a violation or a Close frame in the same read is acted upon. So a
 * message is answered before the Close frame right behind it.
 *
 * One fiber reads the transport at a time; another that pulls meanwhile waits for its turn. Control frames are handled in
 * passing. What is decided is acted upon by the `Owner`.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import type * as Socket from "effect/socket/Socket"
import * as CloseCode from "../../protocol/CloseCode.ts"
import { FrameDecoder } from "../../protocol/FrameDecoder.ts"
import * as Message from "../../protocol/Message.ts"
import * as MessageEvent from "../../protocol/MessageEvent.ts"
import * as Opcode from "../../protocol/Opcode.ts"
import { ProtocolError } from "../../protocol/ProtocolError.ts"
import type { Codec } from "../Deflate.ts"
import type * as Transport from "../Transport.ts"
import { invalidUsage, type WebSocketError } from "../WebSocketError.ts"
import { Backlog, type Opened } from "./backlog.ts"
import { ControlRate } from "./controlRate.ts"
import { actUpon, type Decision, type Owner } from "./decision.ts"
import * as Flow from "./flow.ts"
import type { Item, ItemPull, Items, ItemSink, Way } from "./items.ts"
import { opened } from "./opened.ts"
import type { Terms } from "./terms.ts"

const utf8 = new TextEncoder()
const nothing: ReadonlyArray<never> = []

/** Long enough for a reader that is woken to pull again, if it is not busy with what it got. */
const aWhile = Effect.repeat(Effect.yieldNow, { times: 10 })

export class Inbound implements Message.Controls, Transport.Waiting, Flow.Batches {
  /** Bytes that came. */
  bytes = 0
  /** Whether somebody waits for the transport, so that it is the peer that is silent. */
  reading = false
  turns = 0
  readonly terms: Terms
  /** `undefined` while a new one would do the same: most connections wait most of the time. */
  private decoder: FrameDecoder | undefined
  /** The progress of all earlier decoders. */
  private decoded = 0
  // made when somebody pulls: most connections flow
  private pulls: Pulls | undefined
  /** While set, the current pull stops before a Close frame or violation instead of acting on it. */
  private isHeld = false
  readonly reader: Transport.Reader
  private readonly owner: Owner
  readonly codec: Codec | undefined
  private way: Way = Message.Messages
  /** The way's sink. Most are made when bytes come and dropped with the decoder. */
  private sink: ItemSink | Message.Discard | undefined
  private decision: Decision | undefined
  private controlRate: ControlRate | undefined
  /** The buffer of the chunk that was decoded last, if nobody else holds it. */
  private exclusive: ArrayBufferLike | undefined

  // declared, so that they take no memory where there never is one, as on most connections
  /** Resumes the other readers that wait for their turn. */
  declare private queue: Array<() => void> | undefined
  /** Needed only if the peer sends pings or compresses. */
  declare private backlog: Backlog | undefined
  declare private pings: Array<Uint8Array> | undefined

  constructor(options: {
    readonly terms: Terms
    readonly reader: Transport.Reader
    readonly owner: Owner
    readonly codec: Codec | undefined
  }) {
    this.terms = options.terms
    this.reader = options.reader
    this.owner = options.owner
    this.codec = options.codec
    if ("waiting" in this.reader) this.reader.waiting = this
  }

  /** Where batches come from. If a reader is interrupted while it waits for one, its turn ends. */
  get source(): Transport.Source {
    const { reader } = this
    if ("waiting" in reader) return reader
    return { pull: Effect.onInterrupt(reader.pull, () => Effect.sync(() => this.endTurn())) }
  }

  private get keepDecoder(): FrameDecoder {
    return (this.decoder ??= new FrameDecoder({
      masking: this.terms.role === "server" ? "required" : "forbidden",
      allowRsv1: this.codec !== undefined,
      maxFrameSize: this.terms.limits.maxFrameSize
    }))
  }

  /** Grows with every piece of data: while it stays the same, none has come. */
  get progress(): number {
    return this.decoded + (this.decoder?.progress ?? 0)
  }

  /** Those of who reads in this way; others of the same way have the same. */
  private pullsOf(way: Way): Pulls {
    if (this.pulls?.way === way) return this.pulls
    return (this.pulls = {
      way,
      pull: Effect.suspend(() => {
        this.isHeld = false
        return this.next(way)
      }),
      more: Effect.suspend(() => (this.isHeld && this.isDecided && !this.hasBacklog ? Cause.done() : this.next(way))),
      read: Effect.matchEffect(this.source.pull, {
        onSuccess: (chunks) => this.receive(chunks),
        onFailure: (error) => this.end(error)
      })
    })
  }
  private get more(): ItemPull {
    return this.pullsOf(this.way).more
  }

  // Each sink yields its own kind of item, which a pull does not know: the way chosen here is the reason of the casts.
  get pullMessages(): Pull.Pull<NonEmptyReadonlyArray<Message.Message>, WebSocketError> {
    return this.pullsOf(Message.Messages).pull as Pull.Pull<NonEmptyReadonlyArray<Message.Message>, WebSocketError>
  }
  /** {@link pullMessages} again and again. */
  flowMessages<E, R, F>(
    receiver: Flow.Receiver<NonEmptyReadonlyArray<Message.Message>, E, R, F>
  ): Effect.Effect<void, F, R> {
    return this.flow(Message.Messages, receiver as Flow.Receiver<Items, E, R, F>)
  }
  get pullFragments(): Pull.Pull<NonEmptyReadonlyArray<Message.Fragment>, WebSocketError> {
    return this.pullsOf(Message.Fragments).pull as Pull.Pull<NonEmptyReadonlyArray<Message.Fragment>, WebSocketError>
  }
  get pullPayloads(): Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, WebSocketError> {
    return this.pullsOf(Message.Payloads).pull as Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, WebSocketError>
  }
  /** {@link pullPayloads} again and again. */
  flowPayloads<E, R, F>(
    receiver: Flow.Receiver<NonEmptyReadonlyArray<Uint8Array>, E, R, F>
  ): Effect.Effect<void, F, R> {
    return this.flow(Message.Payloads, receiver as Flow.Receiver<Items, E, R, F>)
  }

  pullEvents(
    gathering: MessageEvent.Gathering
  ): Pull.Pull<NonEmptyReadonlyArray<MessageEvent.MessageEvent>, WebSocketError> {
    return Effect.suspend(() => {
      // who asks for each pull anew goes on with what is begun
      const way = this.way instanceof MessageEvent.Events ? this.way : this.events(gathering)
      return this.pullsOf(way).pull as Pull.Pull<NonEmptyReadonlyArray<MessageEvent.MessageEvent>, WebSocketError>
    })
  }

  /** A way of {@link flowEvents} and {@link pullHeld}. */
  events(gathering: MessageEvent.Gathering): MessageEvent.Events {
    return new MessageEvent.Events(this.terms.limits, this, gathering)
  }

  /** {@link pullEvents} again and again. */
  flowEvents<E, R, F>(
    way: MessageEvent.Events,
    receiver: Flow.Receiver<NonEmptyReadonlyArray<MessageEvent.MessageEvent>, E, R, F>
  ): Effect.Effect<void, F, R> {
    return this.flow(way, receiver as Flow.Receiver<Items, E, R, F>)
  }

  /** Gives out bytes, and the pieces of the messages that are watched. */
  flowWatched<E, R, F>(
    watching: MessageEvent.Watching,
    receiver: Flow.Receiver<NonEmptyReadonlyArray<Uint8Array | MessageEvent.Piece>, E, R, F>
  ): Effect.Effect<void, F, R> {
    // who comes back to it goes on with what is begun
    const { way } = this
    const watched =
      way instanceof MessageEvent.Watched ? way : new MessageEvent.Watched(this.terms.limits, this, watching)
    return this.flow(watched, receiver as Flow.Receiver<Items, E, R, F>)
  }

  /** Whether the next pull acts upon a Close frame, a violation or the end. */
  get isDecided(): boolean {
    return this.decision !== undefined
  }

  /** The next batch, without acting upon a Close frame or violation: it ends there instead. */
  pullHeld(way: MessageEvent.Events): Pull.Pull<NonEmptyReadonlyArray<MessageEvent.MessageEvent>, WebSocketError> {
    return Effect.suspend(() => {
      this.isHeld = true
      return this.pullsOf(way).more as Pull.Pull<NonEmptyReadonlyArray<MessageEvent.MessageEvent>, WebSocketError>
    })
  }

  /**
   * Changes to another way of reading. It fails in the middle of a message, and while something is read, or left to give out, in the first way.
   * What is discarded stays discarded.
   */
  private change(way: Way): ItemPull | undefined {
    if (way === this.way || this.sink instanceof Message.Discard) return undefined
    const isBegun = this.decoder?.isInMessage === true && !this.isDecided
    if (isBegun || this.reading || this.hasBacklog) return inTheMidst
    this.way = way
    this.sink = undefined
    return undefined
  }

  /** Reads to the end and discards everything, once it is its turn. */
  get discard(): Effect.Effect<void> {
    return Effect.ignore(Effect.forever(this.discardNext, { disableYield: true }))
  }

  private get discardNext(): ItemPull {
    return Effect.suspend(() => {
      // a reader that is there already goes first, also with its next pull
      if (this.reading || this.backlog?.isBusy === true) return this.turn(Effect.andThen(aWhile, this.discardNext))
      if (!(this.sink instanceof Message.Discard)) this.sink = new Message.Discard(this)
      this.backlog?.clear()
      return this.pullsOf(this.way).pull
    })
  }

  /** Whether these bytes, just pulled, are all that is left of a chunk that nobody else holds. */
  owns(payload: Uint8Array): boolean {
    return this.exclusive !== undefined && payload.buffer === this.exclusive
  }

  /** Gives each batch to the receiver until the end, as soon as it comes, as long as nobody else wants to read. */
  private flow<E, R, F>(way: Way, receiver: Flow.Receiver<Items, E, R, F>): Effect.Effect<void, F, R> {
    return Flow.run(this, way, receiver)
  }

  /** Begins to read. If there is something else to do first, returns that instead. */
  beginRead(way: Way): ItemPull | undefined {
    this.isHeld = false
    if (!this.mayBegin) return this.next(way)
    const refused = this.change(way)
    if (refused !== undefined) return refused
    this.reading = true
    this.letGo()
    return undefined
  }

  get mayBegin(): boolean {
    return !this.hasBacklog && !this.isDecided && !this.reading
  }

  letGo(): void {
    this.exclusive = undefined
  }

  /** Whether the reader may read on without ending its turn. */
  get mayReadOn(): boolean {
    return this.queue === undefined && !this.isDecided
  }

  /** Whether what was read needs more than to be given out. */
  get mustDeliver(): boolean {
    return this.pings !== undefined || this.codec !== undefined
  }

  forgotten(): void {
    this.endTurn()
  }

  private next(way: Way): ItemPull {
    const refused = this.change(way)
    if (refused !== undefined) return refused
    const { backlog, decision } = this
    if (backlog?.isBusy === true) return this.turn(this.more)
    if (backlog?.isEmpty === false) return this.fromBacklog(backlog)
    if (decision !== undefined) return (this.decision = actUpon(decision, this.owner)).pull
    if (this.reading) return this.turn(this.more)
    this.reading = true
    this.letGo()
    return this.pullsOf(way).read
  }

  private turn(then: ItemPull): ItemPull {
    const waits = Effect.callback<void>((resume) => {
      const go = () => resume(Effect.void)
      ;(this.queue ??= []).push(go)
      return Effect.sync(() => void (this.queue = this.queue?.filter((other) => other !== go)))
    })
    return Effect.andThen(waits, then)
  }

  endTurn(): void {
    this.leaveTurn()
    this.wake()
  }

  private leaveTurn(): void {
    this.reading = false
    this.turns++
  }

  /** The reader that has just read gets the first chance at the rest; the others wake after it. */
  private wakeSoon(): void {
    if (this.queue !== undefined) queueMicrotask(() => this.wake())
  }

  private wake(): void {
    const { queue } = this
    if (queue === undefined) return
    this.queue = undefined
    for (const go of queue) go()
  }

  end(error: Socket.SocketError): ItemPull {
    if (this.decision?._tag !== "End") this.decision = { _tag: "End", pull: this.owner.transportEnded(error) }
    const { pull } = this.decision
    this.endTurn()
    return pull
  }

  private receive(chunks: NonEmptyReadonlyArray<Uint8Array | string>): ItemPull {
    const items = this.decode(chunks)
    if (this.mustDeliver) return this.deliver(items)
    this.endTurn()
    // what is not empty is
    return items.length === 0 ? this.more : Effect.succeed(items as unknown as Items)
  }

  decode(chunks: NonEmptyReadonlyArray<Uint8Array | string>): ReadonlyArray<Item> {
    const { way } = this
    const sink = (this.sink ??= typeof way === "function" ? new way(this.terms.limits, this) : way)
    const decoder = this.keepDecoder
    try {
      for (let i = 0; i < chunks.length; i++) {
        const chunk = chunks[i]!
        const bytes = typeof chunk === "string" ? utf8.encode(chunk) : chunk
        this.bytes += bytes.length
        const isExclusive = chunks.length === 1 && this.reader.isExclusive?.(bytes) === true
        this.exclusive = isExclusive ? bytes.buffer : undefined
        if (sink instanceof Message.Messages) sink.sharesChunk = false
        decoder.push(bytes, sink)
        if (sink instanceof Message.Payloads) sink.flush()
        // what it brought was copied: it is part of a larger message, or text
        else if (isExclusive && sink instanceof Message.Messages && !sink.sharesChunk) this.reader.free?.(bytes)
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) {
        this.endTurn()
        throw error
      }
      if (sink instanceof Message.Payloads) sink.flush()
      this.decision = { _tag: "Violation", error }
    }
    const items = sink instanceof Message.Discard ? nothing : sink.take()
    if (decoder.isFresh) {
      this.decoded += decoder.progress
      this.decoder = undefined
      if (!(sink instanceof Message.Discard)) this.sink = undefined
    }
    return items
  }

  /** Ends the turn, and gives out what was read once pings are answered and messages inflated. */
  deliver(items: ReadonlyArray<Item>): ItemPull {
    this.keep(items)
    this.leaveTurn()
    this.wakeSoon()
    const answer = this.answer()
    return answer === undefined ? this.more : Effect.flatMap(answer, () => this.more)
  }

  answer(): Effect.Effect<void> | undefined {
    const { pings } = this
    if (pings === undefined) return undefined
    this.pings = undefined
    return this.owner.answerPings(pings)
  }

  /** Leaves what was read to the next pull. */
  private keep(items: ReadonlyArray<Item>): void {
    if (items.length === 0) return
    this.backlog ??= new Backlog({ open: (message) => this.open(message), onFree: () => this.wakeSoon() })
    this.backlog.add(items)
  }

  private get hasBacklog(): boolean {
    return this.backlog !== undefined && (this.backlog.isBusy || !this.backlog.isEmpty)
  }

  /** Delivers the messages that are ready, and leaves the others, and a violation, to the next pull. */
  private fromBacklog(backlog: Backlog): ItemPull {
    return Effect.flatMap(backlog.portion, (portion) => {
      if (portion === undefined) return this.more
      const { error, ready } = portion
      if (error !== undefined) {
        // what came behind it in the same read is void, and so is what was decided there
        this.keepDecoder.stop()
        this.decision = { _tag: "Violation", error }
      }
      return ready.length > 0 ? Effect.succeed(ready as unknown as Items) : this.more
    })
  }

  private open(message: Message.CompressedMessage): Effect.Effect<Opened, ProtocolError> {
    return Effect.flatMap(this.codec!.decompress(message.bytes, this.terms.limits.maxMessageSize), (bytes) =>
      Effect.fromResult(Result.map(opened(message, bytes, this.way), (item) => ({ item, size: bytes.length })))
    )
  }

  /** Called by the decoder for each control frame, inside `receive`. */
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void {
    const { clock, limits } = this.terms
    ;(this.controlRate ??= new ControlRate(clock, limits.maxControlFrameRate)).add()
    if (opcode === Opcode.ping) {
      ;(this.pings ??= []).push(payload)
    } else if (opcode === Opcode.pong) {
      this.owner.pongReceived(payload)
    } else {
      const status = CloseCode.decodeStatus(payload)
      if (Result.isFailure(status)) throw status.failure
      this.decision = { _tag: "Close", status: status.success }
      decoder.stop()
    }
  }
}

const inTheMidst: ItemPull = Effect.failSync(() =>
  invalidUsage("the connection cannot be read in another way before what was begun in the first is read to its end")
)

/** What a connection is pulled by. */
interface Pulls {
  readonly way: Way
  readonly pull: ItemPull
  /** What a pull goes on with that has nothing to give yet. */
  readonly more: ItemPull
  readonly read: ItemPull
}
