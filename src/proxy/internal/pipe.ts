/**
 * The pipe itself: a client's connection, the transport of its target, and the bytes between them, by the table at the head of
 * `WebSocketProxy.ts`.
 */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Result from "effect/Result"
import type * as Socket from "effect/socket/Socket"
import type { Connection, Settling } from "../../connection/internal/connection.ts"
import { pullToEnd } from "../../connection/internal/ending.ts"
import * as Flow from "../../connection/internal/flow.ts"
import * as Now from "../../connection/internal/now.ts"
import type { Host, Parked } from "../../connection/internal/parked.ts"
import * as Transport from "../../connection/Transport.ts"
import { connectionClosed, type WebSocketError } from "../../connection/WebSocketError.ts"
import * as CloseCode from "../../protocol/CloseCode.ts"
import type { CloseInfo } from "../../protocol/ConnectionState.ts"
import { pieces } from "./cutting.ts"
import type { Ending, Endings } from "./endings.ts"
import { Observed } from "./observed.ts"
import type { PipeOptions } from "./pipeOptions.ts"

const utf8 = { ignoreBOM: true } as const

/** Whether the target ended its side in order, as against a reset or a failure. */
const isEnd = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000

const targetFailed: CloseCode.CloseStatus = { code: CloseCode.internalError, reason: "the target failed" }
const goingAway: CloseCode.CloseStatus = { code: CloseCode.goingAway, reason: "" }
const targetEnded: CloseCode.CloseStatus = { code: CloseCode.normal, reason: "" }

const encoder = new TextEncoder()

/** Most often they are, and then no array is made of them. */
const areBytes = (chunks: NonEmptyReadonlyArray<Uint8Array | string>): chunks is NonEmptyReadonlyArray<Uint8Array> =>
  chunks.every((chunk) => typeof chunk !== "string")

/** How the way from the client ended. */
type ClientResult = Result.Result<void, WebSocketError | Socket.SocketError>

/**
 * A client, a target, and the two directions between them: up in the fiber that runs the pipe, or without one while nothing comes; down
 * without one, as long as there is nothing to be waited for.
 */
export class Pipe
  implements
    Settling,
    Transport.FreeTaker<never, WebSocketError | Socket.SocketError, never>,
    Flow.Receiver<NonEmptyReadonlyArray<Uint8Array>, Socket.SocketError, never>,
    Parked,
    Host,
    Ending
{
  private readonly client: Connection
  private readonly target: Transport.Transport
  private readonly text: TextDecoder | undefined
  private readonly observed: Observed | undefined
  private readonly segment: PipeOptions["segment"]
  private onFailure: PipeOptions["onFailure"]
  private readonly isWhole: PipeOptions["isWhole"]
  private down: Fiber.Fiber<void> | undefined = undefined
  // declared, so that it takes no memory before
  declare private hasEnded: true | undefined
  /** Goes on when the target has said all, where the way down has no fiber. */
  private whenSaid: ((next: Effect.Effect<void>) => void) | undefined = undefined
  /** The target's writer has all that the client sent. */
  private isDelivered = false
  private readonly endings: Endings
  place = -1
  seen: number | undefined = undefined
  looksLeft = 0
  /** The way from the client, while it waits without a fiber, and whose wait that is. */
  private up: Parked | undefined = undefined
  private host: Host | undefined = undefined

  constructor(client: Connection, target: Transport.Transport, options: PipeOptions, endings: Endings) {
    this.client = client
    this.target = target
    this.endings = endings
    this.text = options.messages === "text" ? new TextDecoder("utf-8", utf8) : undefined
    this.observed = options.observer && new Observed(options.observer, target.writer)
    this.segment = options.segment
    this.onFailure = options.onFailure
    this.isWhole = options.isWhole
  }

  /** Begins both directions; to be called once, in the fiber that goes on with what it gives. */
  run(): Effect.Effect<void, Socket.SocketError> {
    this.start()
    return this.observed === undefined
      ? this.client.inbound.flowPayloads(this)
      : this.fromClient((result) => this.received(result))
  }

  private start(): void {
    const { reader } = this.target
    if (reader.flowNow === undefined) this.goDown(this.fromTarget)
    else reader.flowNow(this)
    this.client.keepsReading = true
  }

  /** The pipe, if it can do without a fiber for the way from the client, too. */
  park(): Parked | undefined {
    if (this.observed !== undefined) return undefined
    this.up = Flow.parkedOf(this.client.inbound.flowPayloads(this))
    return this.up && this
  }

  begin(host: Host): void {
    if (this.host === undefined) {
      this.watch()
      this.start()
    }
    this.host = host
    this.up!.begin(this)
  }

  resume(next: Effect.Effect<unknown, unknown, unknown>): void {
    this.host!.resume(next)
  }

  /** What is waited for is the target's writer, and nothing of the application's. */
  within<E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, R> {
    return self
  }

  again(): Effect.Effect<void> | undefined {
    return this.host!.again()
  }

  interrupted(): Effect.Effect<unknown, unknown, unknown> {
    return this.up!.interrupted()
  }

  /** What the client sends has ended. */
  received(result: ClientResult): Effect.Effect<void, Socket.SocketError> {
    if (Result.isSuccess(result)) return this.isWhole === undefined ? this.saidAll : this.closed(this.isWhole)
    const error = result.failure
    // what came before is the target's still, and then it is ended
    if (this.client.hasLeft && error._tag === "WebSocketError") return Effect.void
    this.tell(error)
    return Effect.andThen(error._tag === "SocketError" ? this.failClient : Effect.void, this.reset)
  }

  /** The client closed. The target has all that it sent, and may finish sending. */
  private get saidAll(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const wait = Now.begin(this.delivered)
      return wait === undefined ? this.targetSaid : Effect.andThen(wait, this.targetSaid)
    })
  }

  /** The same, if it has said all that it had to. If we closed first, whatever it answers, it is by our own code. */
  private closed(isWhole: (info: CloseInfo) => boolean): Effect.Effect<void> {
    const { client } = this
    return Effect.flatMap(client.closed, (info) => {
      const { begun } = client
      const first =
        begun === undefined ? info : { ...info, code: begun.code ?? CloseCode.noStatus, reason: begun.reason }
      if (isWhole(first)) return this.saidAll
      this.tell(connectionClosed(first))
      return this.cutOff
    })
  }

  /** The target gets what came, as far as it takes it, and then a reset, so that it does not take that for the whole. */
  private get cutOff(): Effect.Effect<void> {
    return Effect.andThen(this.inCloseTimeout(this.target.writer.flushed ?? Effect.void), this.reset)
  }

  /** Waits for it no longer than that, also where nothing else may interrupt. */
  private inCloseTimeout(self: Effect.Effect<unknown, unknown>): Effect.Effect<void> {
    return Effect.ignore(Effect.timeoutOption(Effect.interruptible(self), this.client.limits.closeTimeout))
  }

  /** The rest of the way down, which has a fiber from now on. */
  private goDown(rest: Effect.Effect<void, WebSocketError | Socket.SocketError>): Fiber.Fiber<void> {
    const down = Effect.catchCause(
      Effect.catch(rest, (error) => this.downEnded(error)),
      // nobody else would learn of a defect here, and the client would wait for ever
      (cause) =>
        Cause.hasInterruptsOnly(cause)
          ? Effect.void
          : Effect.andThen(Effect.logError("A pipe failed", cause), this.closeClient(targetFailed))
    )
    const fiber = Effect.runForkWith(this.endings.context)(down)
    this.down = fiber
    return fiber
  }

  /** Waits until the target has said all, or has been waited for long enough. */
  private get targetSaid(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const { down } = this
      if (down !== undefined) return resume(Effect.asVoid(Fiber.await(down)))
      this.whenSaid = resume
      return Effect.sync(() => void (this.whenSaid = undefined))
    })
  }

  private said(next: Effect.Effect<void>): void {
    const { whenSaid } = this
    this.whenSaid = undefined
    whenSaid?.(next)
  }

  /** Reports only the first failure: later ones are caused by it. */
  private tell(error: WebSocketError | Socket.SocketError): void {
    const { onFailure } = this
    this.onFailure = undefined
    onFailure?.(error)
  }

  /** The target takes no more: nothing reads on for it. */
  private get failClient(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.client.keepsReading = false
      return this.client.shutdown(targetFailed)
    })
  }

  release(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    const { client, down, target } = this
    // what follows has bounds of its own, and the client may end in the midst of it, or after
    client.onSettled(undefined)
    this.endings.delete(this)
    if (down === undefined) target.reader.forget?.()
    const stop = down === undefined || down.pollUnsafe() !== undefined ? undefined : Fiber.interrupt(down)
    const leave = this.leave(exit)
    const gone = target.ends.destroy(client.limits.closeTimeout)
    if (stop === undefined && leave === undefined) return Now.begin(gone)
    return Effect.andThen(Effect.andThen(stop ?? Effect.void, leave ?? Effect.void), gone)
  }

  /** On an interruption, tells the client that it is over, and delivers what the client has sent by then. */
  private leave(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined {
    const { client, target } = this
    if (Exit.isSuccess(exit) || !Cause.hasInterruptsOnly(exit.cause)) return undefined
    // the observer may be what is waited for
    this.observed?.leaveOut()
    const deliver = this.fromClient(() => Effect.void)
    return (
      this.isDelivered ? Effect.void : Effect.andThen(client.beginClose(goingAway), this.inCloseTimeout(deliver))
    ).pipe(
      Effect.andThen(this.isWhole === undefined || this.isDelivered ? target.ends.end : this.cutOff),
      // to leave unread what the target sends would be a reset, and destroy what it has not read
      Effect.andThen(this.inCloseTimeout(this.discard))
    )
  }

  /** The target has all that the client sent, and the end. */
  private get delivered(): Effect.Effect<void> {
    return Now.make(() => {
      this.isDelivered = true
      return Now.begin(this.target.ends.end)
    })
  }

  /** When the client is gone, the target's time begins. */
  watch(): void {
    this.client.onSettled(this)
  }

  settled(): void {
    this.endings.add(this)
  }

  get progress(): number {
    return this.isDelivered ? -1 : (this.target.writer.taken ?? 0)
  }

  /** It takes nothing of what it is to get, or has all and does not end. */
  giveUp(): Effect.Effect<void> {
    if (!this.isDelivered) return this.reset
    return Effect.suspend(() => {
      this.said(Effect.void)
      return this.down === undefined ? Effect.void : Fiber.interrupt(this.down)
    })
  }

  private get reset(): Effect.Effect<void> {
    return Transport.reset(this.target)
  }

  /** What the client sends, to its end. */
  private fromClient<E>(received: (result: ClientResult) => Effect.Effect<void, E>): Effect.Effect<void, E> {
    const { observed } = this
    const { inbound } = this.client
    if (observed === undefined) return inbound.flowPayloads({ receive: (chunks) => this.receive(chunks), received })
    return Effect.matchEffect(observed.rest, {
      onFailure: (error) => received(Result.fail(error)),
      onSuccess: () =>
        inbound.flowWatched(observed, {
          receive: (items) => {
            const first = items[0]
            return items.length === 1 && first instanceof Uint8Array ? this.receive([first]) : observed.pass(items)
          },
          received
        })
    })
  }

  receive(chunks: NonEmptyReadonlyArray<Uint8Array>): Effect.Effect<void, Socket.SocketError> | undefined {
    const isOwn = chunks.length === 1 && this.client.inbound.owns(chunks[0])
    return Transport.write(this.target.writer, chunks, isOwn ? chunks : undefined)
  }

  /** What the target sends, to its end, which is a failure. */
  private get fromTarget(): Effect.Effect<never, WebSocketError | Socket.SocketError> {
    return Effect.flatten(Transport.flow(this.target.reader, this))
  }

  take(
    chunks: NonEmptyReadonlyArray<Uint8Array | string>
  ): Effect.Effect<never, WebSocketError | Socket.SocketError> | undefined {
    const wait = Now.begin(this.toClient(chunks))
    return wait === undefined ? undefined : Effect.andThen(wait, this.fromTarget)
  }

  goOn(next: Effect.Effect<never, WebSocketError | Socket.SocketError>): void {
    // the client has already closed, so only release the waiter; send nothing
    if (this.hasEnded && this.whenSaid !== undefined) this.said(Effect.void)
    else this.said(Effect.asVoid(Fiber.await(this.goDown(next))))
  }

  onEnd(error: Socket.SocketError): Effect.Effect<never, Socket.SocketError> {
    this.hasEnded = true
    return Effect.fail(error)
  }

  /** The target's end closes the client. If the client takes no more, the target is read to its end and discarded. */
  private downEnded(error: WebSocketError | Socket.SocketError): Effect.Effect<void> {
    if (error._tag !== "SocketError") return this.discard
    if (isEnd(error)) return this.closeClient(targetEnded)
    // no failure if the client has closed
    if (this.client.isOpen) this.tell(error)
    return this.closeClient(targetFailed)
  }

  private get discard(): Effect.Effect<void> {
    return pullToEnd(this.target.reader)
  }

  private toClient(chunks: NonEmptyReadonlyArray<Uint8Array | string>): Effect.Effect<void, WebSocketError> {
    const { client, segment, target, text } = this
    if (text !== undefined) {
      let out = ""
      for (const chunk of chunks) out += typeof chunk === "string" ? chunk : text.decode(chunk, { stream: true })
      return out === "" ? Effect.void : client.send(out)
    }
    const all = areBytes(chunks)
      ? chunks
      : Arr.map(chunks, (chunk) => (typeof chunk === "string" ? encoder.encode(chunk) : chunk))
    const cut = segment === undefined ? undefined : pieces(all, segment)
    if (cut !== undefined) return client.outbound.sendPieces(cut)
    return chunks.length === 1 && target.reader.isExclusive?.(all[0]) === true
      ? client.outbound.sendOwned(all[0])
      : client.sendAll(all)
  }

  /** Says that there is no more, and gives the client its time to say the same. */
  private closeClient(status: CloseCode.CloseStatus): Effect.Effect<void> {
    const { client, text } = this
    const rest = text?.decode() ?? ""
    return Effect.ignore(rest === "" ? Effect.void : client.send(rest)).pipe(
      Effect.andThen(client.beginClose(status)),
      // `run` goes on reading what the client still sends
      Effect.andThen(client.awaitClose(Effect.never))
    )
  }
}

/** Pipes until both sides have ended. In a function of its own, since what the end closes over lives as long as the connection. */
export const toItsEnd = (
  pipe: Pipe,
  restore: <A, E, R>(self: Effect.Effect<A, E, R>) => Effect.Effect<A, E, R>
): Effect.Effect<void, Socket.SocketError> =>
  Effect.suspend(() => {
    pipe.watch()
    return Effect.onExit(
      Effect.suspend(() => restore(pipe.run())),
      (exit) => pipe.release(exit) ?? Effect.void
    )
  })
