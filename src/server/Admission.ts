/**
 * How many connections a server takes: in all, from one address, and how often one address may try. One decision before
 * anything else is spent on a request.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
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
  /** Counts a request in, or says why not. Who is admitted must leave, once. */
  readonly enter: (from: From) => Refused | undefined
  readonly leave: (from: From) => void
  /** How many are in. */
  readonly size: () => number
}

/**
 * Where a request comes from. It is asked for only where a limit is by address.
 *
 * @category models
 * @since 0.1.0
 */
export interface From {
  readonly remoteAddress: string | undefined
}

/**
 * The limit that bit, and what the client is told.
 *
 * @category models
 * @since 0.1.0
 */
export interface Refused {
  readonly limit: keyof Options
  readonly refusal: Refusal
}

interface Visitor {
  connections: number
  handshakes: number
  second: number
}

/** Addresses of the current second that have no connection are forgotten when this many are known. */
const sweepThreshold = 4096

const refused = (
  limit: keyof Options,
  status: number,
  reason: string,
  headers: Record<string, string> = {}
): Refused => ({
  limit,
  refusal: new Refusal({ status, reason, headers })
})
const tooManyHandshakes = refused("maxHandshakeRatePerAddress", 429, "Too many handshakes from this address.", {
  "retry-after": "1"
})
const tooManyFromAddress = refused("maxConnectionsPerAddress", 429, "Too many connections from this address.")
const tooMany = refused("maxConnections", 503, "The server has as many connections as it takes.")

/**
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Admission> =>
  Effect.map(Clock.Clock, (clock) => {
    const maxConnections = options.maxConnections ?? 10_000
    const perAddress = options.maxConnectionsPerAddress ?? Infinity
    const rate = options.maxHandshakeRatePerAddress ?? Infinity
    const byAddress = perAddress !== Infinity || rate !== Infinity
    const visitors = new Map<string, Visitor>()
    const inside = new Map<From, Visitor>()
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

    return {
      size: () => size,
      enter: (from) => {
        const address = byAddress ? from.remoteAddress : undefined
        const visitor = address === undefined ? undefined : visit(address)
        if (visitor !== undefined && ++visitor.handshakes > rate) return tooManyHandshakes
        if (visitor !== undefined && visitor.connections >= perAddress) return tooManyFromAddress
        if (size >= maxConnections) return tooMany
        size++
        if (visitor !== undefined) {
          visitor.connections++
          inside.set(from, visitor)
        }
        return undefined
      },
      leave: (from) => {
        size--
        const visitor = inside.get(from)
        if (visitor === undefined) return
        visitor.connections--
        inside.delete(from)
      }
    }
  })
