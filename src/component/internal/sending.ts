/**
 * Sending on a connection of the server, in the two ways of the documents. With Timeout 0 on plaintext it does not wait: what
 * is sent goes out together at the end of this turn of the event loop, and fails with 10035 when too much waits already.
 * Otherwise it waits until the system has taken it.
 */
import * as Arr from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Connection } from "../../connection/internal/connection.ts"
import { whole } from "../../connection/internal/memory.ts"
import * as Now from "../../connection/internal/now.ts"
import { type Outgoing, pack } from "../../connection/internal/outbound.ts"
import { bounded } from "../../connection/internal/patience.ts"
import { peerTimeout, type WebSocketError } from "../../connection/WebSocketError.ts"
import { Batch, copyThreshold } from "../../protocol/FrameEncoder.ts"
import type { Message } from "../../protocol/Message.ts"
import { ComponentError, invalid } from "../ComponentError.ts"
import { DataFormats } from "../Enums.ts"
import { copied, Delivery } from "./delivery.ts"
import { settled } from "./settled.ts"
import { fits, fragments, Segments, sizeOf } from "./segments.ts"
import type { WSServerEvents } from "../Events.ts"
import type { Link } from "./link.ts"
import type { GoesOn } from "./waiting.ts"

/** What may wait in the process if OutBufferSize says nothing, in bytes. */
const defaultQueue = 65536

/**
 * How many bytes may wait to be compressed. They wait for a thread and not for the client, so OutBufferSize does not apply to
 * them: without compression the system would take them at once, about as many as it takes of an idle connection.
 */
const compressing = 4 * 1024 * 1024

/** RFC 6455 section 5.5. */
const maxControl = 125

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const utf8 = new TextEncoder()

export class Sending {
  bytesSent = 0
  readyToSend = true
  dataFormat: DataFormats = DataFormats.dfAutomatic
  readonly segments = new Segments()
  private readonly link: Link<WSServerEvents>
  readonly connection: Connection
  /** OutBufferSize as it was when the connection opened: it is set for connections to come. */
  private readonly limit: number
  /** What goes out at the end of this turn: in frames, or to be compressed. */
  private readonly frames = new Batch()
  /** What large pieces were copied to, which nobody else has. */
  private copies: Array<Message> = []
  private pieces: Array<Outgoing> = []
  private pendingBytes = 0
  /** What is being compressed, or is behind a file, and so not with the transport yet. */
  private inFlight = 0
  /** The last of that. */
  private landing: Fiber.Fiber<unknown, unknown> | undefined
  /** Messages that somebody waits for, and the one that nobody does any more. */
  private deliveries: Set<Fiber.Fiber<unknown, unknown>> | undefined
  /** The wait of `empty`. */
  private emptying: Fiber.Fiber<void, WebSocketError> | undefined
  private isScheduled = false

  constructor(link: Link<WSServerEvents>, connection: Connection) {
    this.link = link
    this.connection = connection
    this.limit = link.host.store.values.OutBufferSize || defaultQueue
  }

  private get isAsync(): boolean {
    return this.link.timeout === 0 && this.link.session === undefined
  }

  /** Send: what kind of frame it becomes is for DataFormat to say. */
  send(data: string | Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    switch (this.dataFormat) {
      case DataFormats.dfText:
        return this.message(data, true, signal)
      case DataFormats.dfBinary:
        return this.message(data, false, signal)
      case DataFormats.dfPing:
        return this.control(data, (payload) => this.connection.sendPing(payload), signal)
      case DataFormats.dfPong:
        return this.control(data, (payload) => this.connection.pong(payload), signal)
      default:
        return this.message(data, typeof data === "string", signal)
    }
  }

  private control(
    data: Message,
    frame: (payload: Uint8Array) => Effect.Effect<void, unknown>,
    signal: AbortSignal | undefined
  ): Promise<void> {
    const payload = bytesOf(checked(data))
    if (payload.length > maxControl) {
      throw invalid("Data", `at most ${maxControl} bytes for a ping or a pong`, payload.length)
    }
    this.mustBeOpen()
    this.bytesSent = 0
    if (!this.isAsync) {
      this.flush()
      return this.wait(frame(payload), signal)
    }
    this.launch(frame(payload), signal)
    this.bytesSent = payload.length
    return settled
  }

  message(data: Message, isText: boolean, signal: AbortSignal | undefined): Promise<void> {
    // text that is no UTF-8 would end the connection
    const payload = isText && typeof checked(data) !== "string" ? textOf(data) : checked(data)
    this.mustBeOpen()
    mustGoOn(signal)
    if (this.isAsync) {
      this.queue(payload, isText)
      return settled
    }
    // another message cannot begin within one of MessageLength
    if (this.segments.isWithin) throw new ComponentError(135)
    this.bytesSent = 0
    this.flush()
    const pieces = fragments(payload, isText, this.maxFrameSize)
    return this.deliver(new Delivery(this.connection, pieces, typeof payload !== "string"), signal)
  }

  private deliver(delivery: Delivery, signal: AbortSignal | undefined): Promise<void> {
    if (delivery.isSimple) return this.wait(delivery.step, signal, delivery)
    const fiber = this.link.host.fork(delivery.run(this.empty))
    const deliveries = (this.deliveries ??= new Set())
    deliveries.add(fiber)
    fiber.addObserver(() => deliveries.delete(fiber))
    const leave = Effect.suspend(() => {
      if (!delivery.isBegun) return Fiber.interrupt(fiber)
      delivery.leave()
      return Effect.void
    })
    return this.wait(
      Effect.onInterrupt(Fiber.join(fiber), () => leave),
      signal,
      delivery
    )
  }

  /**
   * Waits until nothing is unsent. Unlike `flushed` it may be interrupted any number of times: the transport keeps a wait of
   * `flushed` that was given up.
   */
  get empty(): Effect.Effect<void, WebSocketError> {
    return Effect.suspend(() =>
      // more may be sent meanwhile
      this.connection.unsent === 0 ? Effect.void : Effect.andThen(Fiber.join(this.emptied), this.empty)
    )
  }

  private get emptied(): Fiber.Fiber<void, WebSocketError> {
    const { connection, emptying, link } = this
    if (emptying !== undefined) return emptying
    const fiber = link.host.fork(connection.flushed)
    this.emptying = fiber
    fiber.addObserver(() => (this.emptying = undefined))
    return fiber
  }

  /** Throws 4202 once the connection closes. */
  mustBeOpen(): void {
    const { refusal } = this.connection
    if (refusal !== undefined) throw new ComponentError(4202, { cause: refusal })
  }

  /** Waits for an operation on the connection, for as long as anything moves. */
  wait<A>(effect: Effect.Effect<A, unknown>, signal: AbortSignal | undefined, goesOn?: GoesOn): Promise<A> {
    const { connection, link } = this
    return link.waiting.run(effect, {
      timeout: link.timeout,
      progress: () => connection.taken + connection.inbound.bytes,
      signal,
      otherwise: 4202,
      goesOn
    })
  }

  get maxFrameSize(): number {
    return this.link.host.store.values.MaxFrameSize
  }

  // ---- without waiting -----------------------------------------------------------------------------------------------

  private queue(payload: Message, isText: boolean): void {
    this.bytesSent = 0
    const { maxFrameSize, segments } = this
    if (segments.remaining === 0 && fits(payload, maxFrameSize)) {
      this.add({ isText, payload, first: true, last: true })
    } else {
      for (const piece of segments.of(payload, isText, maxFrameSize)) {
        this.add(piece)
        segments.sent(piece)
      }
    }
  }

  private add(piece: Outgoing): void {
    if (this.isFull()) {
      // what was sent in part was no failure to send: the next call goes on behind it
      if (this.bytesSent === 0) this.block()
      throw new ComponentError(10035)
    }
    const size = sizeOf(piece.payload)
    // the caller may write to its bytes again when its call returns, which is before they are written
    if (this.connection.isCompressed) this.pieces.push(copied(piece))
    else if (size <= copyThreshold) pack(this.frames, piece)
    else {
      const copy = copied(piece)
      pack(this.frames, copy)
      this.copies.push(copy.payload)
    }
    this.pendingBytes += size
    this.bytesSent += size
    if (this.isScheduled) return
    this.isScheduled = true
    process.nextTick(this.goOut)
  }

  private readonly goOut = () => {
    this.isScheduled = false
    this.flush()
  }

  private isFull(): boolean {
    const { connection, limit } = this
    if (this.pendingBytes + connection.unsent + this.inFlight < limit) return false
    this.flush()
    const { isCompressed, unsent } = connection
    return isCompressed
      ? unsent >= limit || this.inFlight >= Math.max(limit, compressing)
      : unsent + this.inFlight >= limit
  }

  /** Gives what waits to the transport, in one write. */
  flush(): void {
    const { connection, link, pendingBytes } = this
    const sending = this.sendPending()
    if (sending === undefined) return
    this.pendingBytes = 0
    const { outbound } = connection
    const { bytes } = outbound
    const wait = Now.begin(sending)
    if (wait === undefined) return
    const fiber = link.host.fork(wait)
    if (outbound.bytes !== bytes || fiber.pollUnsafe() !== undefined) return
    this.inFlight += pendingBytes
    this.landing = fiber
    fiber.addObserver(() => {
      this.inFlight -= pendingBytes
      if (this.landing === fiber) this.landing = undefined
    })
  }

  /** Takes what waits, if anything does. */
  private sendPending(): Effect.Effect<void, WebSocketError> | undefined {
    const { connection, pieces } = this
    if (!connection.isCompressed) {
      const { copies } = this
      const buffers = this.frames.take()
      if (!Arr.isReadonlyArrayNonEmpty(buffers)) return undefined
      if (copies.length > 0) this.copies = []
      return connection.outbound.sendPacked(buffers, whole(copies))
    }
    if (!Arr.isReadonlyArrayNonEmpty(pieces)) return undefined
    this.pieces = []
    return connection.outbound.sendPieces(pieces, { waits: false })
  }

  /** Until all that was sent so far is before a Close frame, or the client is given up. A file is not waited for. */
  get landed(): Effect.Effect<void> {
    return Effect.suspend(() => {
      const { connection } = this
      const landed = this.land() ?? Effect.void
      if (this.deliveries === undefined || this.deliveries.size === 0) return landed
      return Effect.andThen(landed, bounded(connection, this.delivered, connection.abort(peerTimeout("close"))))
    })
  }

  private get delivered(): Effect.Effect<void> {
    return Effect.suspend(() => Effect.forEach([...(this.deliveries ?? [])], Fiber.await, { discard: true }))
  }

  /** Until what does not wait is before whatever is sent next; gives what is to be waited for, if anything. */
  land(): Effect.Effect<void> | undefined {
    this.flush()
    return this.connection.isCompressed ? this.given : undefined
  }

  /** Until the transport has all that was sent so far. */
  private get given(): Effect.Effect<void> {
    return this.landing === undefined ? Effect.void : Effect.asVoid(Fiber.await(this.landing))
  }

  /** Starts a send that does not wait, unless too much waits already. */
  private launch(frame: Effect.Effect<void, unknown>, signal: AbortSignal | undefined): void {
    mustGoOn(signal)
    if (this.isFull()) {
      this.block()
      throw new ComponentError(10035)
    }
    this.flush()
    this.link.host.fork(frame)
  }

  /** Tells, once all that waits is taken, that there is room again. */
  private block(): void {
    if (!this.readyToSend) return
    this.readyToSend = false
    const { connection, link } = this
    const fiber = link.host.fork(this.given.pipe(Effect.andThen(this.delivered), Effect.andThen(connection.flushed)))
    fiber.addObserver((exit) => {
      if (exit._tag === "Failure") return
      this.readyToSend = true
      void link.emit("ReadyToSend", () => ({ connectionId: link.connectionId }))
    })
  }

  // ---- pings ---------------------------------------------------------------------------------------------------------

  /** Waits for the pong; with Timeout 0 on plaintext the Ping event alone tells of it. */
  ping(
    signal: AbortSignal | undefined,
    reading: (ping: Effect.Effect<void, WebSocketError>) => Effect.Effect<void, WebSocketError>
  ): Promise<void> {
    this.mustBeOpen()
    if (this.isAsync) {
      this.launch(Effect.ignore(this.connection.probe), signal)
      return settled
    }
    this.flush()
    return this.wait(reading(Effect.asVoid(this.connection.ping())), signal)
  }
}

const mustGoOn = (signal: AbortSignal | undefined): void => {
  if (signal?.aborted === true) throw new ComponentError(301, { cause: signal.reason })
}

/** Not every caller has types. */
const checked = (data: Message): Message => {
  if (typeof data === "string") return data
  if (!(data instanceof Uint8Array)) throw invalid("Data", "text or bytes", data)
  if (data.length === 0 && isDetached(data.buffer)) {
    throw invalid("Data", "bytes that are still the caller's", "bytes whose buffer was transferred")
  }
  return data
}

const isDetached = (buffer: ArrayBufferLike): boolean => buffer instanceof ArrayBuffer && buffer.detached

const bytesOf = (data: Message): Uint8Array => (typeof data === "string" ? utf8.encode(data) : data)

const textOf = (data: Message): string => {
  try {
    return strict.decode(bytesOf(data))
  } catch (cause) {
    throw new ComponentError(10022, { detail: "Data: expected UTF-8, since it is sent as text.", cause })
  }
}
