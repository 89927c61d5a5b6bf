/**
 * How many connections a server takes: in all, from one address, and how often one address may try. One decision before
 * anything else is spent on a request.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Telemetry from "../connection/Telemetry.ts"
import { Refusal } from "../protocol/OpeningHandshake.ts"

/**
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The most connections at a time, those in their opening handshake included; more get 503. Default: 10,000. */
  readonly maxConnections?: number | undefined
  /** The most connections at a time from one address; more get 429. Default: no limit but `maxConnections`. */
  readonly maxConnectionsPerAddress?: number | undefined
  /** The most opening handshakes in one second from one address; more get 429. Default: no limit. */
  readonly maxHandshakeRatePerAddress?: number | undefined
}

/**
 * @category models
 * @since 0.1.0
 */
export interface Admission {
  /** Admits a request from this address until the scope ends, or refuses it. */
  readonly admit: (address: string | undefined) => Effect.Effect<void, Refusal, Scope.Scope>
  /** How many are admitted. */
  readonly size: () => number
}

interface Visitor {
  connections: number
  handshakes: number
  second: number
}

/** Addresses of the current second that have no connection are forgotten when this many are known. */
const sweepThreshold = 4096

const refuse = (limit: string, refusal: Refusal) => Effect.andThen(Telemetry.limitHit(limit), Effect.fail(refusal))

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Admission> =>
  Effect.map(Clock.Clock, (clock) => {
    const maxConnections = options.maxConnections ?? 10_000
    const perAddress = options.maxConnectionsPerAddress ?? Infinity
    const rate = options.maxHandshakeRatePerAddress ?? Infinity
    const visitors = new Map<string, Visitor>()
    const byAddress = perAddress !== Infinity || rate !== Infinity
    let size = 0

    const visit = (address: string): Visitor => {
      const second = Math.floor(clock.currentTimeMillisUnsafe() / 1000)
      if (visitors.size >= sweepThreshold) {
        for (const [key, visitor] of visitors) {
          if (visitor.connections === 0 && visitor.second !== second) visitors.delete(key)
        }
      }
      let visitor = visitors.get(address)
      if (visitor === undefined) visitors.set(address, (visitor = { connections: 0, handshakes: 0, second }))
      if (visitor.second !== second) {
        visitor.second = second
        visitor.handshakes = 0
      }
      return visitor
    }

    const admit = (address: string | undefined): Effect.Effect<void, Refusal, Scope.Scope> =>
      Effect.uninterruptible(
        Effect.suspend((): Effect.Effect<void, Refusal, Scope.Scope> => {
          const visitor = byAddress && address !== undefined ? visit(address) : undefined
          if (visitor !== undefined && ++visitor.handshakes > rate) {
            return refuse(
              "maxHandshakeRatePerAddress",
              new Refusal({ status: 429, reason: "Too many handshakes from this address.", headers: { "retry-after": "1" } })
            )
          }
          if (visitor !== undefined && visitor.connections >= perAddress) {
            return refuse(
              "maxConnectionsPerAddress",
              new Refusal({ status: 429, reason: "Too many connections from this address." })
            )
          }
          if (size >= maxConnections) {
            return refuse("maxConnections", new Refusal({ status: 503, reason: "The server has as many connections as it takes." }))
          }
          size++
          if (visitor !== undefined) visitor.connections++
          return Effect.addFinalizer(() =>
            Effect.sync(() => {
              size--
              if (visitor !== undefined) visitor.connections--
            })
          )
        })
      )
    return { admit, size: () => size }
  })
