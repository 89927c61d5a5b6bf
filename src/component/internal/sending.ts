/**
 * Sending on a connection of the server, in the two ways of the documents. With Timeout 0 on plaintext it does not wait: what
 * is sent goes out together at the end of this turn of the event loop, and fails with 10035 when too much waits already.
 * Otherwise it waits until the system has taken it.
 */
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Connection } from "../../connection/internal/connection.ts"
import type { Outgoing } from "../../connection/internal/outbound.ts"
import type { Message } from "../../protocol/Message.ts"
import { ComponentError, fromUnknown } from "../ComponentError.ts"
import { DataFormats } from "../Enums.ts"
import { settled } from "./settled.ts"
import { fits, fragments, Segments, sizeOf } from "./segments.ts"
import type { WSServerEvents } from "../Events.ts"
import type { Link } from "./link.ts"

/** What may wait in the process if OutBufferSize says nothing, in bytes. */
const defaultQueue = 65536

const strict = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const utf8 = new TextEncoder()

export class Sending {
  bytesSent = 0
  readyToSend = true
  dataFormat: DataFormats = DataFormats.dfAutomatic
  readonly segments = new Segments()
  private readonly link: Link<WSServerEvents>
  readonly connection: Connection
  /** What goes out at the end of this turn. */
  private pending: Array<Outgoing> = []
  private pendingBytes = 0
  /** What is being compressed, and so not with the transport yet. */
  private inFlight = 0
  /** The last of that. */
  private landing: Fiber.Fiber<unknown, unknown> | undefined
  private isScheduled = false

  constructor(link: Link<WSServerEvents>, connection: Connection) {
    this.link = link
    this.connection = connection
  }

  private get isAsync(): boolean {
    return this.link.timeout === 0 && !this.link.host.isSecure()
  }

  /** Send: what kind of frame it becomes is for DataFormat to say. */
  send(data: string | Uint8Array, signal: AbortSignal | undefined): Promise<void> {
    switch (this.dataFormat) {
      case DataFormats.dfText:
        return this.message(typeof data === "string" ? data : this.textOf(data), true, signal)
      case DataFormats.dfBinary:
        return this.message(bytesOf(data), false, signal)
      case DataFormats.dfPing:
        return this.control(this.connection.sendPing(bytesOf(data)), signal)
      case DataFormats.dfPong:
        return this.control(this.connection.pong(bytesOf(data)), signal)
      default:
        return this.message(data, typeof data === "string", signal)
    }
  }

  private textOf(bytes: Uint8Array): string {
    try {
      return strict.decode(bytes)
    } catch (cause) {
      throw new ComponentError(10022, { detail: "Data: expected UTF-8, since DataFormat is dfText.", cause })
    }
  }

  private control(frame: Effect.Effect<void, unknown>, signal: AbortSignal | undefined): Promise<void> {
    this.flush()
    return this.wait(frame, signal)
  }

  message(payload: Message, isText: boolean, signal: AbortSignal | undefined): Promise<void> {
    const { refusal } = this.connection
    if (refusal !== undefined) throw new ComponentError(4202, { cause: refusal })
    if (this.isAsync) {
      if (signal?.aborted === true) throw new ComponentError(301, { cause: signal.reason })
      this.queue(payload, isText)
      return settled
    }
    this.bytesSent = 0
    this.flush()
    // of at least one piece
    const pieces = fragments(payload, isText, this.maxFrameSize) as [Outgoing]
    return this.wait(Effect.andThen(this.connection.outbound.sendPieces(pieces), this.connection.flushed), signal)
  }

  /** Waits for an operation on the connection, for as long as anything moves. */
  wait<A>(effect: Effect.Effect<A, unknown>, signal: AbortSignal | undefined): Promise<A> {
    const { connection, link } = this
    return link.waiting.run(effect, {
      timeout: link.timeout,
      progress: () => connection.taken + connection.inbound.bytes,
      signal,
      otherwise: 4202
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
    this.pending.push(piece)
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
    const limit = this.link.host.store.values.OutBufferSize || defaultQueue
    if (this.pendingBytes + this.waitingBytes < limit) return false
    this.flush()
    return this.waitingBytes >= limit
  }

  private get waitingBytes(): number {
    return this.connection.unsent + this.inFlight
  }

  /** Gives what waits to the transport, in one write. */
  flush(): void {
    const { pending, pendingBytes } = this
    if (pending.length === 0) return
    this.pending = []
    this.pendingBytes = 0
    const { connection, link } = this
    // bytes may be compressed elsewhere for a while; what is not compressed is with the transport when this returns
    const isLate = connection.isCompressed
    if (isLate) this.inFlight += pendingBytes
    // of at least one piece
    const fiber = link.host.fork(connection.outbound.sendPieces(pending as [Outgoing]))
    if (!isLate) return
    this.landing = fiber
    fiber.addObserver(() => {
      this.inFlight -= pendingBytes
      if (this.landing === fiber) this.landing = undefined
    })
  }

  /** Until all that was sent so far is before whatever is sent next, such as a Close frame. */
  get landed(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.flush()
      return this.landing === undefined ? Effect.void : Effect.asVoid(Fiber.await(this.landing))
    })
  }

  /** Tells, once all that waits is taken, that there is room again. */
  private block(): void {
    if (!this.readyToSend) return
    this.readyToSend = false
    const { connection, link } = this
    const fiber = link.host.fork(Effect.andThen(this.landed, connection.flushed))
    fiber.addObserver((exit) => {
      if (exit._tag === "Failure") return
      this.readyToSend = true
      void link.emit("ReadyToSend", () => ({ connectionId: link.connectionId }))
    })
  }

  // ---- pings ---------------------------------------------------------------------------------------------------------

  /** Waits for the pong; with Timeout 0 on plaintext the Ping event alone tells of it. */
  ping(signal: AbortSignal | undefined): Promise<void> {
    const { connection } = this
    this.flush()
    const ping = Effect.asVoid(connection.ping())
    if (!this.isAsync) return this.wait(ping, signal)
    const { refusal } = connection
    if (refusal !== undefined) throw fromUnknown(refusal, 4202)
    return this.wait(connection.probe, signal)
  }
}

const bytesOf = (data: string | Uint8Array): Uint8Array => (typeof data === "string" ? utf8.encode(data) : data)
