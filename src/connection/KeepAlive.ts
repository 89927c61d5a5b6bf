/**
 * The watch over many connections: one fiber that sweeps them all, in place of timers in each. It pings peers that are silent and
 * gives up those that stay silent (RFC 6455 section 5.5.2), closes connections that are idle (1001) or too old (1008), gives up
 * peers that do not answer a Close frame when nobody waits for it, and reports the bytes that passed.
 *
 * Silence counts only while a reader waits for the transport: a peer whose bytes we do not take is not silent. The sweep
 * comes a quarter of the shortest limit apart, so a limit bites at most that much late.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as CloseCode from "../protocol/CloseCode.ts"
import { Connection } from "./internal/connection.ts"
import { millis } from "./internal/monotonic.ts"
import { type Member, Roster } from "./internal/roster.ts"
import * as Now from "./internal/now.ts"
import type { Limits } from "./Limits.ts"
import { closePatience } from "./internal/patience.ts"
import * as Telemetry from "./Telemetry.ts"
import type { WebSocket } from "./WebSocket.ts"
import { lost, peerTimeout } from "./WebSocketError.ts"

/**
 * The watch over all connections of a server or a client. See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface KeepAlive {
  /** Watches a connection until `forget` is called with the result. Only connections of this package can be watched. */
  readonly watch: (webSocket: WebSocket) => Watch | undefined
  readonly forget: (watch: Watch | undefined) => void
  /** How many connections are watched. */
  readonly size: () => number
  /** How many of them are open. */
  readonly open: () => number
}

/**
 * A connection that is watched.
 *
 * @category models
 * @since 0.1.0
 */
export interface Watch {
  readonly webSocket: WebSocket
}

/** What the sweep remembers of a connection, in milliseconds since it began: small numbers, that take no memory of their own. */
interface Watched extends Watch, Member {
  readonly webSocket: Connection
  readonly openedAt: number
  bytes: number
  unsent: number
  taken: number
  /** What was taken when the peer was last heard. */
  heard: number
  seenAt: number
  progress: number
  activeAt: number
  /** When a ping was sent that is not answered, or 0. */
  probedAt: number
  // not there before a connection ends, and then it takes memory
  /** Since when the peer owes its Close frame and has taken nothing of what was sent before ours. */
  closingAt?: number | undefined
  /** It has reached a limit, and is being closed. */
  closes?: true
}

/**
 * A ping waits behind what was written before it, of which the system holds some megabytes and does not say how many. So a peer is
 * given `pongTimeout` once more for as many bytes as this that were written since it was heard, up to `congestedPatience` times;
 * and at once for as long if the system takes no more.
 */
const bytesPerPatience = 128 * 1024
const congestedPatience = 10

const patience = ({ heard, taken, unsent }: Watched): number =>
  unsent > 0 ? congestedPatience : Math.min(congestedPatience, 1 + Math.floor((taken - heard) / bytesPerPatience))

/** After so many connections others have their turn: all may be due at once, after a restart, and each ping is a write. */
const breath = 500

const maxTick = 5000
const minTick = 5

/**
 * Starts a watch that ends with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (limits: Limits): Effect.fn.Return<KeepAlive, never, Scope.Scope> {
  const scope = yield* Effect.scope
  const roster = new Roster<Watched>()
  const clock = yield* Clock.Clock
  const context = yield* Effect.context<never>()
  // so that 0 is before everything
  const start = millis(clock) - 1
  // by `floor`, since the difference of two large numbers is kept in an object of its own, also if it is small
  const sinceStart = (): number => Math.floor(millis(clock) - start)
  const tick = Math.max(
    minTick,
    Math.min(maxTick, Math.min(limits.pingInterval, limits.pongTimeout, limits.idleTimeout, limits.maxLifetime) / 4)
  )

  const act = (self: Effect.Effect<void>) => Effect.asVoid(Effect.forkIn(self, scope))

  /** Most often there is nothing to wait for, and no fiber is needed: many connections are pinged in one turn. */
  const probe = (connection: Connection): Effect.Effect<void> | undefined => {
    const wait = Now.begin(connection.probe)
    return wait === undefined ? undefined : act(Effect.ignore(wait))
  }

  const visit = (watch: Watched, now: number): Effect.Effect<void> | undefined => {
    const { webSocket: connection } = watch
    const { inbound, outbound, taken } = connection
    // another watch may have reported them
    const isHeard = inbound.bytes !== watch.bytes
    // a peer that takes what waits for it is alive, even if its pongs wait behind that
    if (isHeard || (watch.unsent > 0 && taken !== watch.taken)) {
      watch.seenAt = now
      watch.probedAt = 0
    }
    if (isHeard) watch.heard = taken
    if (watch.closingAt !== undefined && taken !== watch.taken) watch.closingAt = undefined
    watch.bytes = inbound.bytes
    watch.unsent = connection.unsent
    watch.taken = taken
    const progress = inbound.progress + outbound.progress
    if (progress !== watch.progress) {
      watch.progress = progress
      watch.activeAt = now
    }
    if (watch.closes === true) return undefined
    if (connection.isForsaken) return act(connection.abort(lost("the transport is gone")))
    if (connection.isClosing) {
      // most often somebody waits for it, and not as long as this
      watch.closingAt ??= now
      if (now - watch.closingAt < closePatience(connection)) return undefined
      return act(connection.giveUpClosing)
    }
    if (!connection.isOpen) return undefined
    if (now - watch.openedAt >= limits.maxLifetime) {
      return limitClose(watch, "maxLifetime", CloseCode.policyViolation, "the connection reached its maximum age")
    }
    if (now - watch.activeAt >= limits.idleTimeout) {
      return limitClose(watch, "idleTimeout", CloseCode.goingAway, "the connection was idle for too long")
    }
    if (!inbound.reading) {
      // its silence is ours; but a ping still finds out that it is gone. A client that closed and left would answer it by a
      // reset, though, and what it has left behind be lost: only where its end is another's business is that worth it
      if (now - watch.seenAt < limits.pingInterval || (connection.hasUnread && !connection.keepsReading))
        return undefined
      // the system finds it out by what waits already, and pings would pile up behind that
      if (watch.unsent > 0) return undefined
      watch.seenAt = now
      watch.probedAt = 0
      return probe(connection)
    }
    if (watch.probedAt !== 0) {
      if (now - watch.probedAt < limits.pongTimeout * patience(watch)) return undefined
      return act(Effect.andThen(Telemetry.limitHit("pongTimeout"), connection.abort(peerTimeout("pong"))))
    }
    if (now - watch.seenAt < limits.pingInterval) return undefined
    watch.probedAt = now
    return probe(connection)
  }

  const limitClose = (watch: Watched, limit: string, code: number, reason: string) => {
    watch.closes = true
    return act(Effect.andThen(Telemetry.limitHit(limit), watch.webSocket.shutdown({ code, reason })))
  }

  const sweep = Effect.gen(function* () {
    const now = sinceStart()
    let visited = 0
    for (const watch of roster) {
      const action = visit(watch, now)
      if (action !== undefined) yield* action
      watch.webSocket.reportBytes(context)
      if (++visited % breath === 0) yield* Effect.yieldNow
    }
  })
  // a sweep that comes late, since the process did something else, comes behind what was sent to it meanwhile: it yields before
  const turn = Effect.andThen(Effect.andThen(Effect.sleep(tick), Effect.yieldNow), sweep)
  yield* Effect.forkScoped(Effect.forever(turn, { disableYield: true }))

  return {
    size: () => roster.size,
    open: () => {
      let open = 0
      for (const { webSocket } of roster) if (webSocket.isOpen) open++
      return open
    },
    // every WebSocket that this package makes is a Connection
    watch: (webSocket) => {
      if (!(webSocket instanceof Connection)) return undefined
      const now = sinceStart()
      const watch: Watched = {
        webSocket,
        place: -1,
        openedAt: now,
        bytes: 0,
        unsent: 0,
        taken: 0,
        heard: 0,
        seenAt: now,
        progress: 0,
        activeAt: now,
        probedAt: 0
      }
      roster.add(watch)
      Telemetry.connections.modifyUnsafe(1, context)
      return watch
    },
    forget: (watch) => {
      // all that `watch` gives are
      if (watch === undefined || !roster.delete(watch as Watched)) return
      Telemetry.connections.modifyUnsafe(-1, context)
    }
  }
})
