/**
 * The engine of a connection: the decoder and a sink over the transport's reader, `Outbound` over its writer, and the
 * closing handshake between the two. See `WebSocket.ts` for the contract.
 *
 * Order is kept by one rule: what a read brought is delivered before anything that read also decided (a violation, a Close
 * frame) is acted upon. So a message is answered before the Close frame that came right behind it is.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Metric from "effect/Metric"
import type * as Pull from "effect/Pull"
import * as Result from "effect/Result"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import * as CloseCode from "../../protocol/CloseCode.ts"
import * as ConnectionState from "../../protocol/ConnectionState.ts"
import { FrameDecoder } from "../../protocol/FrameDecoder.ts"
import * as Message from "../../protocol/Message.ts"
import * as Opcode from "../../protocol/Opcode.ts"
import { ProtocolError } from "../../protocol/ProtocolError.ts"
import type { Codec } from "../Deflate.ts"
import type { Limits } from "../Limits.ts"
import * as Telemetry from "../Telemetry.ts"
import type * as Transport from "../Transport.ts"
import { TypeId, type WebSocket } from "../WebSocket.ts"
import { connectionClosed, invalidUsage, lost, violation, type WebSocketError } from "../WebSocketError.ts"
import { Outbound } from "./outbound.ts"

type Item = Message.Message | Message.Fragment | Message.CompressedMessage
type Items = NonEmptyReadonlyArray<Item>
type ItemPull = Pull.Pull<Items, WebSocketError>
type ActiveSink = Message.Messages | Message.Fragments | Message.Payloads

const utf8 = new TextEncoder()

/** Compressed messages of one read are inflated in portions of about this many bytes, so that memory stays bounded. */
const inflatePortion = 256 * 1024

/** Kinds of violation that are limits of ours, for the metric. */
const limitKinds = new Set(["FrameTooBig", "MessageTooBig", "TooManyFragments", "TooManyControlFrames"])

interface PendingPing {
  readonly payload: Uint8Array
  readonly answered: Deferred.Deferred<void, WebSocketError>
}

export interface Options {
  readonly role: "server" | "client"
  readonly subprotocol?: string | undefined
  readonly codec?: Codec | undefined
  readonly limits: Limits
  readonly clock: Clock.Clock
  readonly transport: Transport.Transport
}

export class Connection implements WebSocket {
  declare readonly [TypeId]: typeof TypeId
  static {
    Object.defineProperty(this.prototype, TypeId, { value: TypeId })
  }
  readonly role: "server" | "client"
  readonly subprotocol: string | undefined
  readonly outbound: Outbound
  readonly limits: Limits
  /** Bytes that came. */
  received = 0
  /** Whether a reader waits for the transport, so that silence is the peer's. */
  reading = false
  /** Set when bytes came; the sweep clears it. */
  seen = false
  /** Set when data came; the sweep clears it. */
  active = false

  private readonly codec: Codec | undefined
  private readonly clock: Clock.Clock
  private readonly reader: Transport.Reader
  private readonly writer: Transport.Writer
  private readonly ends: Transport.Ends
  private readonly decoder: FrameDecoder
  private readonly read: ItemPull
  private readonly pull: ItemPull
  private sink: ActiveSink | undefined
  private state: ConnectionState.State = ConnectionState.open

  // decided by a read, and acted upon at the next pull
  private violated: ProtocolError | undefined
  private closeFrame: CloseCode.CloseStatus | undefined
  private backlog: ReadonlyArray<Item> | undefined

  private pings: Array<Uint8Array> | undefined
  private pending: Array<PendingPing> | undefined
  private controlFrames = 0
  private controlWindow = 0
  /** What `abort` says the end was, in place of the loss of the transport that it brings about. */
  private aborted: WebSocketError | undefined
  /** What every further pull gives. */
  private terminal: ItemPull | undefined
  private transportLost = false
  private info: ConnectionState.CloseInfo | undefined
  private settled: Deferred.Deferred<ConnectionState.CloseInfo> | undefined
  /** The buffer of the chunk that was decoded last, if nobody else holds it. */
  private exclusive: ArrayBufferLike | undefined

  constructor(options: Options) {
    this.role = options.role
    this.subprotocol = options.subprotocol
    this.codec = options.codec
    this.limits = options.limits
    this.clock = options.clock
    this.reader = options.transport.reader
    this.writer = options.transport.writer
    this.ends = options.transport.ends
    this.decoder = new FrameDecoder({
      masking: options.role === "server" ? "required" : "forbidden",
      allowRsv1: options.codec !== undefined,
      maxFrameSize: options.limits.maxFrameSize
    })
    this.outbound = new Outbound({
      role: options.role,
      writer: this.writer,
      codec: options.codec,
      gate: this
    })
    this.read = Effect.matchEffect(this.reader.pull, {
      onSuccess: (chunks) => this.receive(chunks),
      onFailure: (error) => this.transportEnded(error)
    })
    this.pull = Effect.suspend(() => this.next())
  }

  /** Why nothing can be sent any more, if so. */
  get refusal(): WebSocketError | undefined {
    return this.state._tag === "Open" ? undefined : connectionClosed(this.info)
  }

  get isCompressed(): boolean {
    return this.codec !== undefined
  }

  // ---- reading -------------------------------------------------------------------------------------------------------

  private next(): ItemPull {
    if (this.backlog !== undefined) return inflate(this, this.backlog)
    if (this.terminal !== undefined) return this.terminal
    if (this.violated !== undefined) return this.failConnection(this.violated)
    if (this.closeFrame !== undefined) return this.answerClose(this.closeFrame)
    this.reading = true
    return this.read
  }

  // Each sink yields its own kind of item, which the one `pull` cannot know: the sink chosen here is the reason of the casts.
  get pullMessages(): Pull.Pull<NonEmptyReadonlyArray<Message.Message>, WebSocketError> {
    if (!(this.sink instanceof Message.Messages)) this.sink = new Message.Messages(this.limits, this)
    return this.pull as Pull.Pull<NonEmptyReadonlyArray<Message.Message>, WebSocketError>
  }
  get pullFragments(): Pull.Pull<NonEmptyReadonlyArray<Message.Fragment>, WebSocketError> {
    if (!(this.sink instanceof Message.Fragments)) this.sink = new Message.Fragments(this.limits, this)
    return this.pull as Pull.Pull<NonEmptyReadonlyArray<Message.Fragment>, WebSocketError>
  }
  get pullPayloads(): Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, WebSocketError> {
    if (!(this.sink instanceof Message.Payloads)) this.sink = new Message.Payloads(this.limits, this)
    return this.pull as Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, WebSocketError>
  }
  get messages(): Stream.Stream<Message.Message, WebSocketError> {
    return Stream.fromPull(Effect.sync(() => this.pullMessages))
  }
  get fragments(): Stream.Stream<Message.Fragment, WebSocketError> {
    return Stream.fromPull(Effect.sync(() => this.pullFragments))
  }
  get payloads(): Stream.Stream<Uint8Array, WebSocketError> {
    return Stream.fromPull(Effect.sync(() => this.pullPayloads))
  }

  /** Whether these bytes, just pulled, are all that is left of a chunk that nobody else holds. */
  owns(payload: Uint8Array): boolean {
    return this.exclusive !== undefined && payload.buffer === this.exclusive
  }

  private receive(chunks: NonEmptyReadonlyArray<Uint8Array | string>): ItemPull {
    this.reading = false
    this.seen = true
    const sink = (this.sink ??= new Message.Messages(this.limits, this))
    try {
      for (let i = 0; i < chunks.length; i++) {
        const chunk = chunks[i]!
        const bytes = typeof chunk === "string" ? utf8.encode(chunk) : chunk
        this.received += bytes.length
        this.exclusive = chunks.length === 1 && this.reader.isExclusive?.(bytes) === true ? bytes.buffer : undefined
        this.decoder.push(bytes, sink)
        if (sink instanceof Message.Payloads) sink.flush()
      }
    } catch (error) {
      if (!(error instanceof ProtocolError)) throw error
      if (sink instanceof Message.Payloads) sink.flush()
      this.violated = error
    }
    const items = sink.out as Array<Item>
    if (items.length > 0) {
      sink.out = []
      this.active = true
    }
    if (this.pings !== undefined) {
      const pings = this.pings
      this.pings = undefined
      return Effect.matchEffect(this.outbound.pongs(pings), {
        onSuccess: () => this.deliver(items),
        // the read side will say how the transport ended
        onFailure: () => this.deliver(items)
      })
    }
    return this.deliver(items)
  }

  private deliver(items: ReadonlyArray<Item>): ItemPull {
    if (items.length === 0) return this.pull
    return this.codec === undefined ? Effect.succeed(items as Items) : inflate(this, items)
  }

  decompress(bytes: Uint8Array): Effect.Effect<Uint8Array, ProtocolError> {
    return this.codec!.decompress(bytes, this.limits.maxMessageSize)
  }

  /** Delivers what is ready; what is left, and a violation, is for the next pull. */
  postpone(out: Array<Item>, rest: ReadonlyArray<Item>, error: ProtocolError | undefined): ItemPull {
    this.backlog = rest.length > 0 ? rest : undefined
    this.violated ??= error
    return out.length > 0 ? Effect.succeed(out as unknown as Items) : this.pull
  }

  openMessage(isText: boolean, bytes: Uint8Array): Result.Result<Item, ProtocolError> {
    return Result.try({
      try: (): Item => {
        const text = isText ? Message.decodeText(bytes) : undefined
        if (this.sink instanceof Message.Messages) return text ?? bytes
        return this.sink instanceof Message.Fragments ? { isText, first: true, last: true, payload: bytes } : bytes
      },
      catch: (error) => {
        if (error instanceof ProtocolError) return error
        throw error
      }
    })
  }

  /** Called by the decoder for each control frame, inside `receive`. */
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void {
    this.countControlFrame()
    switch (opcode) {
      case Opcode.ping:
        // section 5.5.2; nothing follows our own Close frame
        if (this.state._tag === "Open") (this.pings ??= []).push(payload)
        return
      case Opcode.pong: {
        // section 5.5.3: a Pong may answer the latest of several Pings; an unsolicited one means nothing
        const index = this.pending?.findLastIndex((ping) => equalBytes(ping.payload, payload)) ?? -1
        for (const ping of this.pending?.splice(0, index + 1) ?? []) Deferred.doneUnsafe(ping.answered, Effect.void)
        return
      }
      case Opcode.close: {
        const status = CloseCode.decodeStatus(payload)
        if (Result.isFailure(status)) throw status.failure
        this.closeFrame = status.success
        decoder.stop()
      }
    }
  }

  private countControlFrame(): void {
    if (++this.controlFrames <= this.limits.maxControlFrameRate) return
    const now = this.clock.currentTimeMillisUnsafe()
    if (now - this.controlWindow < 1000) {
      throw new ProtocolError({
        kind: "TooManyControlFrames",
        message: `more than ${this.limits.maxControlFrameRate} control frames came in a second`
      })
    }
    this.controlWindow = now
    this.controlFrames = 1
  }

  // ---- sending -------------------------------------------------------------------------------------------------------

  send(message: Message.Message): Effect.Effect<void, WebSocketError> {
    return this.outbound.sendAll([message])
  }
  sendAll(messages: NonEmptyReadonlyArray<Message.Message>): Effect.Effect<void, WebSocketError> {
    return this.outbound.sendAll(messages)
  }
  sendFragments<E, R>(
    fragments: Stream.Stream<string, E, R> | Stream.Stream<Uint8Array, E, R>
  ): Effect.Effect<void, WebSocketError | E, R> {
    return Effect.onError(this.outbound.sendFragments(fragments), () =>
      this.beginClose({ code: CloseCode.internalError, reason: "a message could not be completed" })
    )
  }

  ping(payload: Uint8Array = new Uint8Array(0)): Effect.Effect<Duration.Duration, WebSocketError> {
    return Effect.suspend(() => {
      if (payload.length > 125) {
        return Effect.fail(invalidUsage(`a ping carries at most 125 bytes; ${payload.length} were given`))
      }
      if (this.state._tag !== "Open") return Effect.fail(connectionClosed(this.info))
      const ping: PendingPing = { payload, answered: Deferred.makeUnsafe() }
      ;(this.pending ??= []).push(ping)
      return Effect.timed(
        Effect.andThen(this.outbound.control(Opcode.ping, payload), Deferred.await(ping.answered))
      ).pipe(
        Effect.map(([duration]) => duration),
        Effect.onExit(() => Effect.sync(() => void (this.pending = this.pending?.filter((other) => other !== ping))))
      )
    })
  }

  /** A ping that nobody waits for. */
  get probe(): Effect.Effect<void> {
    return Effect.ignore(this.outbound.control(Opcode.ping, new Uint8Array(0)))
  }

  get socket(): Socket.Socket {
    return toSocket(this)
  }

  // ---- closing -------------------------------------------------------------------------------------------------------

  get closed(): Effect.Effect<ConnectionState.CloseInfo> {
    return Effect.suspend(() =>
      this.info !== undefined ? Effect.succeed(this.info) : Deferred.await((this.settled ??= Deferred.makeUnsafe()))
    )
  }

  get isOpen(): boolean {
    return this.state._tag === "Open"
  }

  close(code: number = CloseCode.normal, reason = ""): Effect.Effect<void, WebSocketError> {
    return CloseCode.isValid(code)
      ? Effect.asVoid(this.shutdown({ code, reason }))
      : Effect.fail(invalidUsage(`close code ${code} may not be sent: use 1000-1003, 1007-1014 or 3000-4999`))
  }

  /** Sends a Close frame if none is out, and does not wait for the answer. */
  beginClose(status: CloseCode.CloseStatus): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { send, state } = ConnectionState.step(this.state, { _tag: "Close", status })
      this.state = state
      return send === undefined ? Effect.void : this.sendClose(send)
    })
  }

  /** The whole closing handshake, bounded: a peer that does not play its part is cut off. */
  shutdown(status: CloseCode.CloseStatus): Effect.Effect<void> {
    return this.beginClose(status).pipe(
      Effect.andThen(Effect.suspend(() => (this.reading ? Effect.asVoid(this.closed) : this.discard))),
      this.bounded(Effect.suspend(() => this.abort(lost("no Close frame came in answer to ours"))))
    )
  }

  /** Reads to the end of the connection for nobody. */
  private get discard(): Effect.Effect<void> {
    return Effect.ignore(Effect.forever(this.pull, { disableYield: true }))
  }

  private sendClose(status: CloseCode.CloseStatus): Effect.Effect<void> {
    return this.outbound
      .control(Opcode.close, CloseCode.encodeStatus(status))
      .pipe(Effect.ignore, this.bounded(Effect.void))
  }

  private bounded(orElse: Effect.Effect<void>): (self: Effect.Effect<void>) => Effect.Effect<void> {
    return (self) =>
      Effect.timeoutOrElse(Effect.interruptible(self), { duration: this.limits.closeTimeout, orElse: () => orElse })
  }


  /** Section 5.5.1: a Close frame is answered by one; section 7.1.1: then the server ends the byte stream first. */
  private answerClose(received: CloseCode.CloseStatus): ItemPull {
    const { send, state } = ConnectionState.step(this.state, { _tag: "CloseReceived", status: received })
    this.state = state
    if (state._tag === "Closed") this.settle(state.info)
    this.terminal = Cause.done()
    return (send === undefined ? Effect.void : this.sendClose(send)).pipe(
      Effect.andThen(this.role === "server" ? this.ends.end : Effect.void),
      Effect.andThen(this.terminal)
    )
  }

  /** Section 7.1.7: say why, then end. */
  private failConnection(error: ProtocolError): ItemPull {
    this.terminal = Effect.fail(violation(error))
    this.decoder.stop()
    const limit = limitKinds.has(error.kind) ? Telemetry.limitHit(error.kind) : Effect.void
    return limit.pipe(
      Effect.andThen(this.beginClose({ code: error.closeCode, reason: error.message })),
      Effect.andThen(this.ends.end),
      Effect.andThen(Effect.sync(() => this.settle({ code: error.closeCode, reason: error.message, wasClean: false }))),
      Effect.andThen(this.terminal)
    )
  }

  private transportEnded(error: Socket.SocketError): ItemPull {
    this.reading = false
    this.transportLost = true
    const { state } = ConnectionState.step(this.state, { _tag: "TransportEnd" })
    this.state = state
    if (state._tag === "Closed") this.settle(state.info)
    return (this.terminal ??= Effect.fail(this.aborted ?? lost(error)))
  }

  /** Resets the transport; a reader that waits fails with the error. */
  abort(error: WebSocketError): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.aborted ??= error
      this.transportLost = true
      return Effect.ignore(this.writer.write(new Socket.CloseEvent(CloseCode.abnormal)))
    })
  }

  private settle(info: ConnectionState.CloseInfo): void {
    if (this.info !== undefined) return
    this.info = info
    if (this.settled !== undefined) Deferred.doneUnsafe(this.settled, Effect.succeed(info))
    for (const ping of this.pending?.splice(0) ?? []) {
      Deferred.doneUnsafe(ping.answered, Effect.fail(connectionClosed(info)))
    }
  }

  /** The end of the scope. Nothing reads any more but what is here. */
  release(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.reading = false
      if (this.transportLost) return Effect.void
      const code = Exit.isSuccess(exit)
        ? CloseCode.normal
        : Cause.hasInterruptsOnly(exit.cause)
          ? CloseCode.goingAway
          : CloseCode.internalError
      return Effect.andThen(
        this.state._tag === "Open" ? this.shutdown({ code, reason: "" }) : Effect.void,
        Effect.suspend(() => (this.transportLost ? Effect.void : this.linger))
      )
    }).pipe(Effect.andThen(this.ends.destroy), Effect.andThen(Effect.suspend(() => this.report)))
  }

  /** Ends our side, and waits for the peer to end its own: to destroy what is unread would destroy what is unsent too. */
  private get linger(): Effect.Effect<void> {
    return this.ends.end.pipe(
      Effect.andThen(Effect.forever(this.reader.pull, { disableYield: true })),
      Effect.ignore,
      this.bounded(Effect.void)
    )
  }

  private get report(): Effect.Effect<void> {
    this.settle({ code: CloseCode.abnormal, reason: "", wasClean: false })
    return Effect.andThen(this.reportBytes, Metric.update(Telemetry.closes, String(this.info!.code)))
  }

  private reportedReceived = 0
  private reportedSent = 0
  /** Adds what passed since the last time to the metrics. */
  get reportBytes(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const received = this.received - this.reportedReceived
      const sent = this.outbound.bytes - this.reportedSent
      this.reportedReceived = this.received
      this.reportedSent = this.outbound.bytes
      return Effect.andThen(Metric.update(Telemetry.receivedBytes, received), Metric.update(Telemetry.sentBytes, sent))
    })
  }
}

/** Inflates what is compressed of the items, up to a portion of output; the rest waits for the next pull. */
const inflate = Effect.fnUntraced(function* (
  self: Connection,
  items: ReadonlyArray<Item>
): Effect.fn.Return<Items, WebSocketError | Cause.Done> {
  const out: Array<Item> = []
  let size = 0
  let i = 0
  while (i < items.length && size < inflatePortion) {
    const item = items[i++]!
    if (!(item instanceof Message.CompressedMessage)) {
      out.push(item)
      continue
    }
    const inflated = yield* Effect.result(self.decompress(item.bytes))
    const opened = Result.flatMap(inflated, (bytes) => self.openMessage(item.isText, bytes))
    if (Result.isFailure(opened)) return yield* self.postpone(out, [], opened.failure)
    size += Result.isSuccess(inflated) ? inflated.success.length : 0
    out.push(opened.success)
  }
  return yield* self.postpone(out, items.slice(i), undefined)
})

const equalBytes = (a: Uint8Array, b: Uint8Array): boolean => a.length === b.length && a.every((byte, i) => byte === b[i])

/** Effect's `Socket` of messages: every end is a `SocketCloseError` with the close code, as its contract wants. */
const toSocket = (connection: Connection): Socket.Socket => {
  const closeError = (code: number, closeReason?: string) =>
    new Socket.SocketError({ reason: new Socket.SocketCloseError({ code, closeReason }) })
  const writeError = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })
  const pull: Socket.Reader["pull"] = Effect.suspend(() => connection.pullMessages).pipe(
    Effect.catch((error) =>
      Cause.isDone(error)
        ? Effect.flatMap(connection.closed, (info) => Effect.fail(closeError(info.code, info.reason)))
        : Effect.fail(closeError(error.closeCode, error.message))
    )
  )
  const writer: Socket.Writer = {
    write: (chunk) =>
      Socket.isCloseEvent(chunk)
        ? Effect.mapError(connection.close(chunk.code, chunk.reason), writeError)
        : Effect.mapError(connection.send(chunk), writeError),
    writeAll: (chunks) => Effect.mapError(connection.sendAll(chunks), writeError)
  }
  return Socket.make({
    reader: Effect.succeed({ pull, upgrade: Socket.SocketUpgradeError.unsupported }),
    writer: Effect.succeed(writer)
  })
}
