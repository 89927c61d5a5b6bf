/**
 * How many connections a server takes: in all, from one address, and how often one address may try. It is asked before
 * anything else is spent on a client: by a listener that speaks nothing but WebSocket when a connection comes, before a byte of
 * it is read (`NodeUpgradeListener.Options.admission`), and otherwise when its request has come.
 *
 * An IPv6 address counts by its network of 64 bits, since one client has all of them (RFC 4291 section 2.5.1); an IPv4-mapped
 * one is its IPv4 address. A client without an address (a unix socket) counts for the total alone.
 *
 * The rate is a token bucket: it holds the handshakes that may come at once, and fills at the rate.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { number } from "../protocol/internal/option.ts"
import { Denial } from "./Denial.ts"
import * as Bucket from "./internal/bucket.ts"

/**
 * The most that a server lets in. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The most connections at a time, those in their opening handshake included; more get 503. Default: 10,000. */
  readonly maxConnections?: number | undefined
  /** The most connections at a time from one address; more get 429. Default: no limit but `maxConnections`. */
  readonly maxConnectionsPerAddress?: number | undefined
  /**
   * The most opening handshakes in one second from one address; more get 429 and the time to come back. It may be less than
   * one: 0.1 is one in ten seconds. Default: no limit.
   */
  readonly maxHandshakeRatePerAddress?: number | undefined
  /** How many of them may come at once, if the address has been quiet before. Default: as many as in one second, at least one. */
  readonly maxHandshakeBurstPerAddress?: number | undefined
  /**
   * The most addresses without a connection whose rate is remembered; those that tried the longest ago are forgotten first.
   * Default: 16,384, which is about 2 MiB.
   */
  readonly maxAddresses?: number | undefined
}

/**
 * Counts who is in. See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Admission {
  /**
   * Counts a connection before anything of it is read, or says why it is refused. Each connection that was counted needs one
   * `goAway`. Its request, for which `enter` is called with the same object as its `peer`, is not counted for its address again. Of
   * several, as over HTTP/2, that is one at a time; for the rate it is the first.
   */
  readonly knock: (peer: From) => Denial | undefined
  readonly goAway: (peer: From) => void
  /** Counts a request, or says why it is refused. Each request that was counted needs one `leave`. */
  readonly enter: (from: From) => Denial | undefined
  readonly leave: (from: From) => void
  /** How many requests and WebSocket connections are in. */
  readonly size: () => number
}

/**
 * Where a request or a connection comes from. The fields are read only if a limit is by address, when it comes; when it leaves,
 * they must give the same.
 *
 * @category models
 * @since 0.1.0
 */
export interface From {
  readonly remoteAddress?: string | undefined
  readonly peer?: From | undefined
}

interface Visitor extends Bucket.Bucket {
  readonly key: string
  connections: number
}

const denied = (kind: Denial["kind"], reason: string, retryAfter?: number) =>
  new Denial({ kind, policy: "limits", reason, challenges: [], retryAfter })

/**
 * What an address counts by.
 *
 * @category decoding
 * @since 0.1.0
 */
export const keyOf = (address: string): string => {
  if (!address.includes(":")) return address
  const parsed = NetAddress.ipFromString(address.split("%")[0]!)
  // what is no address counts by itself
  if (Result.isFailure(parsed)) return address
  const canonical = NetAddress.toCanonical(parsed.success)
  if (NetAddress.isIpv4Address(canonical)) return NetAddress.formatIp(canonical)
  const network = NetAddress.ipv6ToSegments(canonical).slice(0, 4)
  return network.map((group) => group.toString(16)).join(":")
}

/**
 * The default of `maxConnections`.
 *
 * @category constants
 * @since 0.1.0
 */
export const defaultMaxConnections = 10_000

/**
 * An option that cannot be one, such as `NaN` or a negative number, is a defect.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options): Effect.Effect<Admission> =>
  Effect.map(Clock.Clock, (clock) => {
    const maxConnections = number("maxConnections", options.maxConnections, defaultMaxConnections)
    const perAddress = number("maxConnectionsPerAddress", options.maxConnectionsPerAddress, Infinity)
    const perSecond = number("maxHandshakeRatePerAddress", options.maxHandshakeRatePerAddress, Infinity, "above 0")
    const burst = number("maxHandshakeBurstPerAddress", options.maxHandshakeBurstPerAddress, perSecond)
    const rate = { perSecond, burst: Math.max(1, burst) }
    const maxAddresses = Math.max(1, number("maxAddresses", options.maxAddresses, 16_384))
    const byAddress = perAddress !== Infinity || perSecond !== Infinity
    /** Those with connections, of whom there are no more than connections. */
    const present = new Map<string, Visitor>()
    /** Those without, who tried last at the end. */
    const absent = new Map<string, Visitor>()
    // weak, since the tables of a `Map` would keep whoever comes and goes (`connection/internal/roster.ts`)
    const inside = new WeakMap<From, Visitor>()
    const atDoor = new WeakSet<From>()
    /** Those of them that have a request in which was counted with them: of several on one connection (HTTP/2) others count. */
    const used = new WeakSet<From>()
    /** Those of them whose first handshake has come, which their knock was counted for. */
    const begun = new WeakSet<From>()
    let knocked = 0
    let size = 0

    const visitorAt = (key: string): Visitor =>
      present.get(key) ??
      absent.get(key) ?? { key, connections: 0, tokens: rate.burst, time: clock.currentTimeMillisUnsafe() }

    /** Puts a visitor where it belongs. What nobody has to remember, a full bucket, is forgotten. */
    const place = (visitor: Visitor): void => {
      const { key } = visitor
      absent.delete(key)
      if (visitor.connections > 0) return void present.set(key, visitor)
      present.delete(key)
      if (perSecond === Infinity || Bucket.level(visitor, rate, clock.currentTimeMillisUnsafe()) >= rate.burst) return
      absent.set(key, visitor)
      if (absent.size > maxAddresses) absent.delete(absent.keys().next().value!)
    }

    const take = (visitor: Visitor): Denial | undefined => {
      if (perSecond === Infinity) return undefined
      const now = clock.currentTimeMillisUnsafe()
      visitor.tokens = Bucket.level(visitor, rate, now)
      visitor.time = now
      if (visitor.tokens >= 1) {
        visitor.tokens--
        return undefined
      }
      const wait = Bucket.secondsToOne(visitor.tokens, rate)
      return denied("maxHandshakeRatePerAddress", `more than ${perSecond} handshakes a second from its address`, wait)
    }

    /** The limits, from the first that bites. */
    const count = (from: From, total: number): Denial | undefined => {
      const address = byAddress ? from.remoteAddress : undefined
      if (address === undefined) return total >= maxConnections ? tooMany() : undefined
      const visitor = visitorAt(keyOf(address))
      const why =
        take(visitor) ??
        (visitor.connections >= perAddress
          ? denied(
              "maxConnectionsPerAddress",
              `it has ${perAddress} connections from its address, the most there may be`
            )
          : total >= maxConnections
            ? tooMany()
            : undefined)
      if (why === undefined) {
        visitor.connections++
        inside.set(from, visitor)
      }
      place(visitor)
      return why
    }

    /** A request that is counted with its connection, whose handshake is not if others came before it (HTTP/2). */
    const again = (knocker: From): Denial | undefined => {
      const visitor = begun.has(knocker) ? inside.get(knocker) : undefined
      begun.add(knocker)
      return (visitor && take(visitor)) ?? (size >= maxConnections ? tooMany() : undefined)
    }

    const release = (from: From): void => {
      const visitor = inside.get(from)
      if (visitor === undefined) return
      inside.delete(from)
      visitor.connections--
      place(visitor)
    }

    const tooMany = () =>
      denied("maxConnections", `the server has ${maxConnections} connections, the most there may be`)

    return {
      size: () => size,
      knock: (peer) => {
        const why = count(peer, knocked)
        if (why !== undefined) return why
        if (!atDoor.has(peer)) knocked++
        atDoor.add(peer)
        return undefined
      },
      goAway: (peer) => {
        if (!atDoor.delete(peer)) return
        knocked--
        release(peer)
      },
      enter: (from) => {
        const knocker = knocked > 0 && from.peer !== undefined && atDoor.has(from.peer) ? from.peer : undefined
        const isCounted = knocker !== undefined && !used.has(knocker)
        const why = isCounted ? again(knocker) : count(from, size)
        if (why !== undefined) return why
        size++
        if (isCounted) used.add(knocker)
        return undefined
      },
      leave: (from) => {
        size--
        if (inside.has(from)) release(from)
        else if (knocked > 0 && from.peer !== undefined) used.delete(from.peer)
      }
    }
  })
