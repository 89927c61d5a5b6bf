/**
 * One message to many connections: encoded once, and one write of the same buffer for each. There is no fiber and no promise for
 * each connection, and none waits for another: if a connection cannot take the message at once, because it is compressing another
 * message or sending one in fragments, the message waits for its turn there alone.
 *
 * A connection that does not read what is sent to it is slow once more than `maxUnsent` bytes wait for it. What becomes of it
 * is a policy: it is passed over (`"skip"`), or closed with 1008 (`"close"`), or waited for (`"wait"`). `Telemetry.limits`
 * counts each time as `maxUnsent`.
 *
 * Broadcasts one after the other reach every connection in that order; those of several fibers at once have no order, but it
 * is the same for all connections that are not slow.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { identity } from "effect/Function"
import * as CloseCode from "../protocol/CloseCode.ts"
import type { Message } from "../protocol/Message.ts"
import { number } from "../protocol/internal/option.ts"
import { Connection } from "./internal/connection.ts"
import { launched } from "./internal/outbound.ts"
import { prepare, type Prepared, type PreparedMessage } from "./PreparedMessage.ts"
import * as Telemetry from "./Telemetry.ts"
import type { WebSocket } from "./WebSocket.ts"

/**
 * Who does not get a broadcast, and how slow connections are treated. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * A connection is slow when more than this many bytes wait for it: bytes that the system has not taken yet, and broadcasts that
   * wait for their turn. A connection below the limit gets the whole message, so it may exceed the limit by one message. Default:
   * 1 MiB.
   */
  readonly maxUnsent?: number | undefined
  /**
   * What becomes of a slow connection:
   *
   * - `"skip"`: it does not get this message.
   * - `"close"`: it is closed with 1008, and what waits for it is given up after `closeTimeout`.
   * - `"wait"`: the broadcast is done when it has taken what waits for it and has this message, too. The others have theirs
   *   before. It has at most as long as the connection's own `pongTimeout` leaves it.
   *
   * Default: `"skip"`.
   */
  readonly slow?: "skip" | "close" | "wait" | undefined
  /** A connection that does not get the message, such as the one that it came from. */
  readonly except?: WebSocket | undefined
}

/**
 * How a broadcast went. Connections that were closing or closed are in neither number.
 *
 * @category models
 * @since 0.1.0
 */
export interface Report {
  /** How many connections were given the message; with `"wait"` the slow ones, too. */
  readonly sent: number
  /** How many were slow. */
  readonly slow: number
}

/**
 * The default of `maxUnsent`.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultMaxUnsent = 1024 * 1024

/**
 * Sends a message to all of the connections that are open. It never fails: a connection that ends meanwhile does not get the
 * message, and its own reader learns of the end.
 *
 * @category combinators
 * @since 0.1.0
 */
export const send = (
  connections: Iterable<WebSocket>,
  message: Message | PreparedMessage,
  options: Options = {}
): Effect.Effect<Report> =>
  Effect.suspend(() => {
    const prepared = prepare(message)
    const receivers: Array<WebSocket> = []
    for (const webSocket of connections) if (webSocket !== options.except) receivers.push(webSocket)
    const spread = Effect.suspend(() => spreadOut(receivers, prepared, options))
    const lacking = formsLacking(receivers, prepared)
    return lacking === undefined ? spread : Effect.andThen(lacking, spread)
  })

/** Compresses for those that want it, once for each form, before anybody is written to: so the order is the same for all. */
const formsLacking = (receivers: ReadonlyArray<WebSocket>, prepared: Prepared): Effect.Effect<void> | undefined => {
  for (const receiver of receivers) {
    if (!(receiver instanceof Connection) || !receiver.isOpen || !receiver.outbound.lacksFrame(prepared)) continue
    return Effect.andThen(
      receiver.outbound.makeFrame(prepared),
      Effect.suspend(() => formsLacking(receivers, prepared) ?? Effect.void)
    )
  }
  return undefined
}

/** Writes to all that can take it at once, and then sees to the others. */
const spreadOut = (
  receivers: ReadonlyArray<WebSocket>,
  prepared: Prepared,
  options: Options
): Effect.Effect<Report> => {
  const maxUnsent = number("maxUnsent", options.maxUnsent, defaultMaxUnsent)
  const { slow: policy = "skip" } = options
  let sent = 0
  let slow = 0
  const others: Array<Effect.Effect<void>> = []
  const waits: Array<Effect.Effect<void>> = []
  for (const receiver of receivers) {
    if (!(receiver instanceof Connection)) {
      // somebody else's: all that is known of it is how to send
      sent++
      others.push(launched(receiver.send(prepared)))
      continue
    }
    const { outbound } = receiver
    if (!receiver.isOpen) continue
    if (outbound.backlog > maxUnsent) {
      slow++
      others.push(Telemetry.limitHit("maxUnsent"))
      if (policy === "wait") {
        sent++
        waits.push(Effect.ignore(outbound.sendAfter(receiver.flushed, prepared)))
      } else if (policy === "close") {
        others.push(launched(receiver.close(CloseCode.policyViolation, tooSlow, { wait: false })))
      }
      continue
    }
    sent++
    if (!outbound.offer(prepared)) others.push(outbound.sendSoon(prepared))
  }
  const report: Report = { sent, slow }
  if (others.length === 0) return Effect.succeed(report)
  return Effect.as(
    Effect.andThen(
      Effect.forEach(others, identity, { discard: true }),
      Effect.forEach(waits, identity, { concurrency: "unbounded", discard: true })
    ),
    report
  )
}

const tooSlow = "what is sent is not read"
