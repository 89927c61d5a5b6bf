/**
 * The pings of a connection, those that it sends and those that it answers (RFC 6455 sections 5.5.2 and 5.5.3).
 */
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { isMessage } from "../../protocol/Message.ts"
import * as Opcode from "../../protocol/Opcode.ts"
import { invalidUsage, type WebSocketError } from "../WebSocketError.ts"
import type { Gate, Outbound } from "./outbound.ts"

interface PendingPing {
  readonly payload: Uint8Array
  readonly answered: Deferred.Deferred<void, WebSocketError>
}

export class Pings {
  private readonly outbound: Outbound
  private readonly gate: Gate
  private pending: Array<PendingPing> = []
  private count = 0
  /** Pongs on their way, and the payload of the latest Ping that came meanwhile. */
  private ponging: Fiber.Fiber<void> | undefined
  private late: Uint8Array | undefined

  constructor(outbound: Outbound, gate: Gate) {
    this.outbound = outbound
    this.gate = gate
  }

  ping(payload: Uint8Array | undefined): Effect.Effect<Duration.Duration, WebSocketError> {
    const refused = this.refused("ping", payload)
    if (refused !== undefined) return refused
    // each is told from the others by its payload
    const ping: PendingPing = { payload: payload ?? fourBytes(++this.count), answered: Deferred.makeUnsafe() }
    this.pending.push(ping)
    return Effect.timed(
      Effect.andThen(this.outbound.control(Opcode.ping, ping.payload), Deferred.await(ping.answered))
    ).pipe(
      Effect.map(([duration]) => duration),
      Effect.onExit(() => Effect.sync(() => void (this.pending = this.pending.filter((other) => other !== ping))))
    )
  }

  send(payload: Uint8Array): Effect.Effect<void, WebSocketError> {
    return this.refused("ping", payload) ?? this.outbound.control(Opcode.ping, payload)
  }

  pong(payload: Uint8Array): Effect.Effect<void, WebSocketError> {
    return this.refused("pong", payload) ?? this.outbound.control(Opcode.pong, payload)
  }

  private refused(name: string, payload: Uint8Array | undefined): Effect.Effect<never, WebSocketError> | undefined {
    if (payload === undefined) return this.gate.refused
    if (typeof payload === "string" || !isMessage(payload)) {
      return Effect.fail(invalidUsage(`a ${name} carries a Uint8Array; something else was given`))
    }
    return payload.length > 125
      ? Effect.fail(invalidUsage(`a ${name} carries at most 125 bytes; ${payload.length} were given`))
      : this.gate.refused
  }

  /**
   * Section 5.5.3: a Pong may answer the latest of several Pings; an unsolicited one means nothing. Whoever waits for it may end
   * the reader, which is still busy with what came with the Pong, and so is told after that.
   */
  pongReceived(payload: Uint8Array): void {
    const index = this.pending.findLastIndex((ping) => equalBytes(ping.payload, payload))
    for (const ping of this.pending.splice(0, index + 1)) {
      queueMicrotask(() => Deferred.doneUnsafe(ping.answered, Effect.void))
    }
  }

  /**
   * Section 5.5.2. Not waited for, since two peers that each wait for the other to read would wait for ever; and while pongs
   * are held up, only the latest ping is remembered, which section 5.5.3 allows.
   */
  answer(payloads: ReadonlyArray<Uint8Array>): Effect.Effect<void> {
    if (!this.gate.answersPings) return Effect.void
    if (this.ponging !== undefined) {
      this.late = payloads.at(-1)
      return Effect.void
    }
    const send = (payloads: ReadonlyArray<Uint8Array>): Effect.Effect<void> =>
      Effect.flatMap(Effect.ignore(this.outbound.pongs(payloads)), () => {
        const { late } = this
        this.late = undefined
        if (late !== undefined && this.gate.answersPings) return send([late])
        this.ponging = undefined
        return Effect.void
      })
    return Effect.map(Effect.forkDetach(send(payloads), { startImmediately: true }), (fiber) => {
      if (fiber.pollUnsafe() === undefined) this.ponging = fiber
    })
  }

  /** The connection has ended. */
  fail(error: WebSocketError): void {
    for (const ping of this.pending.splice(0)) Deferred.doneUnsafe(ping.answered, Effect.fail(error))
  }

  get stop(): Effect.Effect<void> {
    return this.ponging === undefined ? Effect.void : Fiber.interrupt(this.ponging)
  }
}

const fourBytes = (n: number): Uint8Array => new Uint8Array([n >>> 24, n >>> 16, n >>> 8, n])

const equalBytes = (a: Uint8Array, b: Uint8Array): boolean =>
  a.length === b.length && a.every((byte, i) => byte === b[i])
