/**
 * A connection: `Inbound` and `Outbound` over one transport, and the closing handshake between the two. See `WebSocket.ts`
 * for the contract.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import type * as Context from "effect/Context"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import type * as Pull from "effect/Pull"
import type * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import * as CloseCode from "../../protocol/CloseCode.ts"
import * as ConnectionState from "../../protocol/ConnectionState.ts"
import type * as Message from "../../protocol/Message.ts"
import type * as MessageEvent from "../../protocol/MessageEvent.ts"
import * as Opcode from "../../protocol/Opcode.ts"
import type { ProtocolError } from "../../protocol/ProtocolError.ts"
import type { Codec } from "../Deflate.ts"
import type { Limits } from "../Limits.ts"
import { isPreparedMessage, prepare, type PreparedMessage } from "../PreparedMessage.ts"
import * as Telemetry from "../Telemetry.ts"
import * as Transport from "../Transport.ts"
import { connectionClosed, invalidUsage, lost, peerTimeout, violation, type WebSocketError } from "../WebSocketError.ts"
import type { Owner } from "./decision.ts"
import { limitKinds, once, pullToEnd, statusOf } from "./ending.ts"
import { Inbound } from "./inbound.ts"
import type { ItemPull } from "./items.ts"
import * as Now from "./now.ts"
import { type FragmentsOptions, type Gate, Outbound } from "./outbound.ts"
import { bounded, brief, type Slow } from "./patience.ts"
import { Pings } from "./pings.ts"
import type { Terms } from "./terms.ts"
import { toSocket } from "./toSocket.ts"

export interface Options {
  readonly terms: Terms
  readonly subprotocol?: string | undefined
  readonly codec?: Codec | undefined
  readonly transport: Transport.Transport
}

/** Is told that it is known how the connection ended. */
export interface Settling {
  settled(): void
}

export const TypeId = "~effect-websocket/connection/WebSocket"

export class Connection implements Owner, Gate, Slow {
  declare readonly [TypeId]: typeof TypeId
  static {
    Object.defineProperty(this.prototype, TypeId, { value: TypeId })
  }
  readonly subprotocol: string | undefined
  readonly inbound: Inbound
  readonly outbound: Outbound
  private readonly ends: Transport.Ends

  private state: ConnectionState.State = ConnectionState.open
  info: ConnectionState.CloseInfo | undefined
  private transportLost = false

  /** Somebody reads to the end, so that closing must not discard what comes: see `shutdown`. */
  keepsReading = false
  private settling: Settling | undefined
  private reportedReceived = 0
  private reportedSent = 0

  // declared, so that they take no memory before there is one, and on most connections never
  declare private settled: Deferred.Deferred<ConnectionState.CloseInfo> | undefined
  declare private pings: Pings | undefined
  /** We went without waiting for the peer: that its bytes end then is no loss of the connection. */
  declare hasLeft: true | undefined
  /** The reason that `abort` gives for the end. It replaces the loss of the transport, which `abort` itself causes. */
  declare private aborted: WebSocketError | undefined
  /** The end of a client's connection after its closing handshake. */
  declare private leaving: Fiber.Fiber<void> | undefined
  /** The Close frame that went first, if it was ours. */
  declare begun: CloseCode.CloseStatus | undefined

  constructor(options: Options) {
    const { codec, terms, transport } = options
    this.subprotocol = options.subprotocol
    this.ends = transport.ends
    this.inbound = new Inbound({ terms, reader: transport.reader, owner: this, codec })
    this.outbound = new Outbound({ role: terms.role, writer: transport.writer, codec, gate: this })
  }

  get role(): "server" | "client" {
    return this.inbound.terms.role
  }
  get limits(): Limits {
    return this.inbound.terms.limits
  }
  get isCompressed(): boolean {
    return this.inbound.codec !== undefined
  }

  // ---- reading -------------------------------------------------------------------------------------------------------

  get pullMessages(): Pull.Pull<NonEmptyReadonlyArray<Message.Message>, WebSocketError> {
    return this.inbound.pullMessages
  }
  get pullPayloads(): Pull.Pull<NonEmptyReadonlyArray<Uint8Array>, WebSocketError> {
    return this.inbound.pullPayloads
  }
  get messages(): Stream.Stream<Message.Message, WebSocketError> {
    return Stream.fromPull(Effect.sync(() => this.inbound.pullMessages))
  }
  get fragments(): Stream.Stream<Message.Fragment, WebSocketError> {
    return Stream.fromPull(Effect.sync(() => this.inbound.pullFragments))
  }
  get payloads(): Stream.Stream<Uint8Array, WebSocketError> {
    return Stream.fromPull(Effect.sync(() => this.inbound.pullPayloads))
  }
  pullEvents(
    gathering: MessageEvent.Gathering = asTheyCome
  ): Pull.Pull<NonEmptyReadonlyArray<MessageEvent.MessageEvent>, WebSocketError> {
    return this.inbound.pullEvents(gathering)
  }
  get socket(): Socket.Socket {
    return toSocket(this)
  }

  // ---- sending -------------------------------------------------------------------------------------------------------

  /** Why nothing can be sent any more, if so. */
  get refusal(): WebSocketError | undefined {
    const { info, state } = this
    return this.isOpen ? undefined : connectionClosed(info ?? (state._tag === "Closed" ? state.info : undefined))
  }
  get refused(): Effect.Effect<never, WebSocketError> | undefined {
    const { refusal } = this
    return refusal === undefined ? undefined : Effect.fail(refusal)
  }

  send(
    message: Message.Message | PreparedMessage,
    options?: { readonly transfer?: boolean | undefined }
  ): Effect.Effect<void, WebSocketError> {
    return isPreparedMessage(message) ? this.outbound.sendPrepared(prepare(message)) : this.sendAll([message], options)
  }
  sendAll(
    messages: NonEmptyReadonlyArray<Message.Message>,
    options?: { readonly transfer?: boolean | undefined }
  ): Effect.Effect<void, WebSocketError> {
    return this.outbound.sendAll(messages, options?.transfer)
  }
  sendFragments<E, R>(
    fragments: Stream.Stream<string, E, R> | Stream.Stream<Uint8Array, E, R>,
    options: FragmentsOptions = {}
  ): Effect.Effect<void, WebSocketError | E, R> {
    return this.outbound.sendFragments(
      fragments,
      this.beginClose({ code: CloseCode.internalError, reason: "a message could not be completed" }),
      options
    )
  }
  /** Waits until the system has taken all that was sent. */
  get flushed(): Effect.Effect<void, WebSocketError> {
    const { flushed } = this.outbound.writer
    return flushed === undefined ? Effect.void : Effect.mapError(flushed, lost)
  }

  // ---- pings ---------------------------------------------------------------------------------------------------------

  ping(payload?: Uint8Array): Effect.Effect<Duration.Duration, WebSocketError> {
    return Effect.suspend(() => this.keepPings.ping(payload))
  }

  pong(payload: Uint8Array = noBytes): Effect.Effect<void, WebSocketError> {
    return Effect.suspend(() => this.keepPings.pong(payload))
  }

  /** A ping whose pong nobody waits for. */
  sendPing(payload: Uint8Array): Effect.Effect<void, WebSocketError> {
    return Effect.suspend(() => this.keepPings.send(payload))
  }

  /** A sign that an answer is wanted. */
  get probe(): Effect.Effect<void, WebSocketError> {
    return this.outbound.control(Opcode.ping, noBytes)
  }

  pongReceived(payload: Uint8Array): void {
    this.pings?.pongReceived(payload)
  }

  answerPings(payloads: ReadonlyArray<Uint8Array>): Effect.Effect<void> {
    return this.keepPings.answer(payloads)
  }

  /** Made for the first ping: most connections never see one. */
  private get keepPings(): Pings {
    return (this.pings ??= new Pings(this.outbound, this))
  }

  // ---- closing -------------------------------------------------------------------------------------------------------

  /** The transport is gone, and nobody has learned of it by reading. */
  get isForsaken(): boolean {
    return !this.transportLost && this.inbound.reader.isGone === true && !this.inbound.reading
  }

  /** It has ended, or cannot but end: nothing goes out any more, whatever is still to be read. */
  get isOver(): boolean {
    return this.info !== undefined || this.inbound.reader.isGone === true
  }

  get hasUnread(): boolean {
    return this.inbound.reader.hasUnread === true
  }

  /** See `Transport.Writer`. */
  get unsent(): number {
    return this.outbound.writer.unsent ?? 0
  }
  get taken(): number {
    return this.outbound.writer.taken ?? 0
  }

  get isOpen(): boolean {
    return this.state._tag === "Open"
  }

  get answersPings(): boolean {
    return this.state._tag !== "Closed"
  }

  /** Our Close frame is out, and the peer's is awaited. */
  get isClosing(): boolean {
    return this.state._tag === "CloseSent" && this.info === undefined
  }

  get closed(): Effect.Effect<ConnectionState.CloseInfo> {
    return Effect.suspend(() =>
      this.info !== undefined ? Effect.succeed(this.info) : Deferred.await((this.settled ??= Deferred.makeUnsafe()))
    )
  }

  close(
    code: number = CloseCode.normal,
    reason = "",
    options?: { readonly wait?: boolean | undefined }
  ): Effect.Effect<void, WebSocketError> {
    if (!CloseCode.isValid(code)) {
      return Effect.fail(invalidUsage(`close code ${code} may not be sent: use 1000-1003, 1007-1014 or 3000-4999`))
    }
    return options?.wait === false ? this.leave(code, reason) : this.shutdown({ code, reason })
  }

  /** Sends a Close frame and does not wait for the answer: everything that was sent is still delivered, behind this. */
  private leave(code: number, reason: string): Effect.Effect<void> {
    return Effect.andThen(
      this.beginClose({ code, reason }),
      Effect.suspend(() => {
        this.hasLeft = true
        this.settle({ code, reason, wasClean: false })
        return this.leaveBehind(brief(this.flushed, this.lastEnd))
      })
    )
  }

  /** Sends a Close frame if none is out, and does not wait for the answer. */
  beginClose(status: CloseCode.CloseStatus): Effect.Effect<void> {
    return Effect.suspend(() => this.advance({ _tag: "Close", status }) ?? Effect.void)
  }

  /** The whole closing handshake, bounded: a peer that does not play its part is cut off. */
  shutdown(status: CloseCode.CloseStatus): Effect.Effect<void> {
    return Effect.andThen(
      this.beginClose(status),
      Effect.suspend(() => this.awaitClose(this.keepsReading ? Effect.never : this.inbound.discard))
    )
  }

  /** Waits for the peer's Close frame while somebody reads; gives it up after `closeTimeout`. */
  awaitClose(reading: Effect.Effect<unknown>): Effect.Effect<void> {
    return Effect.suspend(() =>
      this.info !== undefined
        ? Effect.void
        : bounded(this, Effect.raceFirst(Effect.asVoid(reading), Effect.asVoid(this.closed)), this.giveUpClosing)
    )
  }

  /** The peer has not played its part in time: it is cut off, and counted. */
  get giveUpClosing(): Effect.Effect<void> {
    return Effect.suspend(() => Effect.andThen(Telemetry.limitHit("closeTimeout"), this.abort(peerTimeout("close"))))
  }

  /** Takes a step of the closing handshake, and sends the Close frame that is due. Returns what there is to wait for, if anything. */
  private advance(event: ConnectionState.Event): Now.Wait {
    const { send, state } = ConnectionState.step(this.state, event)
    this.state = state
    if (state._tag === "CloseSent") this.begun = state.status
    if (send === undefined) return undefined
    const wait = Now.begin(this.outbound.control(Opcode.close, CloseCode.encodeStatus(send)))
    return wait === undefined ? undefined : bounded(this, Effect.ignore(wait), Effect.void)
  }

  /**
   * Section 5.5.1: a Close frame is answered by one; section 7.1.1: then the server ends the byte stream first, and the client behind it,
   * however long its scope goes on. Whoever waits for the end may end the byte stream, too, and so learns of it behind that.
   */
  closeReceived(status: CloseCode.CloseStatus): ItemPull {
    return once(
      Effect.suspend(() => {
        const wait = this.advance({ _tag: "CloseReceived", status })
        return wait === undefined ? this.bothClosed() : Effect.andThen(wait, () => this.bothClosed())
      }),
      Cause.done()
    )
  }

  private bothClosed(): Effect.Effect<void> {
    const settled = Effect.sync(() => void (this.state._tag === "Closed" && this.settle(this.state.info)))
    if (this.role === "client") {
      // the server ends the byte stream, or is not waited for any longer
      return Effect.andThen(settled, this.leaveBehind(bounded(this, pullToEnd(this.inbound.reader), Effect.void)))
    }
    const wait = Now.begin(this.ends.end)
    return wait === undefined ? settled : Effect.andThen(wait, settled)
  }

  /** Goes on with what is left of a connection that is over; the end of its scope waits for that. */
  private leaveBehind(rest: Effect.Effect<void>): Effect.Effect<void> {
    if (this.leaving !== undefined) return Effect.void
    const gone = Effect.andThen(rest, this.ends.destroy(this.limits.closeTimeout))
    return Effect.map(Effect.forkDetach(gone), (leaving) => void (this.leaving = leaving))
  }

  /** Section 7.1.7: say why, then end. */
  violated(error: ProtocolError): ItemPull {
    const { closeCode: code, message: reason } = error
    return once(
      (limitKinds.has(error.kind) ? Telemetry.limitHit(error.kind) : Effect.void).pipe(
        Effect.andThen(this.beginClose({ code, reason })),
        Effect.andThen(this.ends.end),
        Effect.andThen(Effect.sync(() => this.settle({ code, reason, wasClean: false })))
      ),
      Effect.fail(violation(error))
    )
  }

  transportEnded(error: Socket.SocketError): ItemPull {
    const wasClosed = this.state._tag === "Closed" && this.aborted === undefined
    this.loseTransport()
    return wasClosed ? Cause.done() : Effect.fail(this.aborted ?? lost(error))
  }

  private loseTransport(): void {
    this.transportLost = true
    const { state } = ConnectionState.step(this.state, { _tag: "TransportEnd" })
    this.state = state
    if (state._tag === "Closed") this.settle(state.info)
  }

  /** Gives the connection up; a reader that waits fails with the error. */
  abort(error: WebSocketError): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.aborted ??= error
      this.loseTransport()
      // a peer that is silent is told in the clearest way; what one that is slow has not read yet is still its own
      return error.reason._tag === "PeerTimeout" && error.reason.awaited === "close"
        ? this.ends.cut
        : Transport.reset({ writer: this.outbound.writer, ends: this.ends })
    })
  }

  /** Sets who is told, once, how the connection ended; it replaces the one that was set before. */
  onSettled(who: Settling | undefined): void {
    this.settling = this.info === undefined ? who : undefined
    if (this.info !== undefined) who?.settled()
  }

  private settle(info: ConnectionState.CloseInfo): void {
    if (this.info !== undefined) return
    this.info = info
    if (this.settled !== undefined) Deferred.doneUnsafe(this.settled, Effect.succeed(info))
    const { settling } = this
    this.settling = undefined
    settling?.settled()
    this.pings?.fail(connectionClosed(info))
  }

  /** The end of the scope: the closing handshake if it is still to be done, and the end of the byte stream. */
  release(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.keepsReading = false
      const isClosed = this.transportLost || this.info !== undefined
      return isClosed ? this.finish() : Effect.flatMap(this.shutdown(statusOf(exit)), () => this.finish())
    })
  }

  private finish(): Effect.Effect<void> {
    return Effect.flatMap(this.endTransport(), () =>
      this.pings === undefined ? this.report : Effect.andThen(this.pings.stop, this.report)
    )
  }

  /** Ends the byte stream. The peer ends its side first, since destroying a stream with unread bytes would lose unsent ones, too. */
  private endTransport(): Effect.Effect<void> {
    if (this.transportLost) return this.ends.destroy(this.limits.closeTimeout)
    return this.leaving === undefined ? this.lastEnd : Effect.asVoid(Fiber.await(this.leaving))
  }

  private get lastEnd(): Effect.Effect<void> {
    const { ends } = this
    const { closeTimeout } = this.limits
    if (ends.leave !== undefined && !this.inbound.reading) return ends.leave(closeTimeout)
    return Effect.andThen(Effect.andThen(ends.end, bounded(this, this.drain, Effect.void)), ends.destroy(closeTimeout))
  }

  /** Reads the transport to its end, after any reader that is still there. The bytes that come now belong to no frame. */
  private get drain(): Effect.Effect<void> {
    return Effect.andThen(this.inbound.discard, pullToEnd(this.inbound.reader))
  }

  private get report(): Effect.Effect<void> {
    return Effect.contextWith((context: Context.Context<never>) => {
      this.settle({ code: CloseCode.abnormal, reason: "", wasClean: false })
      this.reportBytes(context)
      Telemetry.closes.updateUnsafe(String(this.info!.code), context)
      return Effect.void
    })
  }

  /** Adds what passed since the last time to the metrics. */
  reportBytes(context: Context.Context<never>): void {
    const received = this.inbound.bytes - this.reportedReceived
    const sent = this.outbound.bytes - this.reportedSent
    if (received === 0 && sent === 0) return
    this.reportedReceived = this.inbound.bytes
    this.reportedSent = this.outbound.bytes
    Telemetry.receivedBytes.updateUnsafe(received, context)
    Telemetry.sentBytes.updateUnsafe(sent, context)
  }
}

const noBytes = new Uint8Array(0)

const asTheyCome: MessageEvent.Gathering = { pieceSize: 0, wholeMessages: false }
