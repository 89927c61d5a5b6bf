/**
 * The names of clients and the addresses of names, as an access list asks for them. A look-up is shared by all who ask for the
 * same, bounded in time and remembered for a while. It never fails: what cannot be looked up has no address and no name.
 *
 * @since 0.1.0
 */
import type * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Dns from "effect/net/Dns"
import type * as Host from "effect/net/Host"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Semaphore from "effect/Semaphore"
import { duration, number } from "../protocol/internal/option.ts"

/**
 * How long look-ups take and are remembered. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long a look-up is waited for; one that takes longer counts as failed until its answer comes. Default: 2 seconds. */
  readonly lookupTimeout?: Duration.Input | undefined
  /** How long an answer is used. Default: 1 minute. */
  readonly timeToLive?: Duration.Input | undefined
  /** How long a failure stands before the next try. Default: 5 seconds. */
  readonly failureTimeToLive?: Duration.Input | undefined
  /** The most answers remembered, of names and of addresses each; those not asked for the longest go first. Default: 1024. */
  readonly cacheSize?: number | undefined
}

/**
 * Looks up names and addresses. A look-up that fails or takes too long gives an empty list.
 *
 * @category services
 * @since 0.1.0
 */
export class ClientNames extends Context.Service<
  ClientNames,
  {
    /** The addresses of a name (forward look-up). */
    readonly addressesOf: (name: Host.DomainName) => Effect.Effect<ReadonlyArray<NetAddress.IpAddress>>
    /** The names that the owner of an address claims for it (reverse look-up): a claim, and no proof. */
    readonly namesOf: (address: NetAddress.IpAddress) => Effect.Effect<ReadonlyArray<Host.DomainName>>
  }
>()("effect-websocket/server/ClientNames") {}

/**
 * The most forward look-ups at a time. The system's resolver holds a thread for each, also when nobody waits any more, and Node
 * has four, which compression needs too.
 */
const maxForwardLookups = 2

/** When a look-up is given up that no resolver answers: longer than the system's own takes with all its tries. */
const giveUp = "2 minutes"

interface Answer<A> {
  readonly fiber: Fiber.Fiber<ReadonlyArray<A>, unknown>
  /** Until when those who ask wait for it. */
  readonly deadline: number
  /** Until when it is used: always, while it is looked up. */
  expires: number
}

/**
 * The look-ups over a `Dns`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<ClientNames["Service"], never, Dns.Dns | Scope.Scope> {
  const dns = yield* Dns.Dns
  const clock = yield* Clock.Clock
  const scope = yield* Effect.scope
  const forward = yield* Semaphore.make(maxForwardLookups)
  const lookupTimeout = duration("lookupTimeout", options.lookupTimeout, "2 seconds", "above 0")
  const timeToLive = duration("timeToLive", options.timeToLive, "1 minute")
  const failureTimeToLive = duration("failureTimeToLive", options.failureTimeToLive, "5 seconds")
  const cacheSize = Math.max(1, number("cacheSize", options.cacheSize, 1024))

  /**
   * A look-up with a memory. `effect/Cache` would interrupt a look-up that nobody waits for any more: the system's resolver does
   * not stop for that, and a name whose servers hang would take one thread after the other.
   */
  const remembered = <A>(
    lookup: (key: string) => Effect.Effect<ReadonlyArray<A>, Dns.DnsError | Cause.TimeoutError>
  ) => {
    const answers = new Map<string, Answer<A>>()

    const start = Effect.fnUntraced(function* (key: string) {
      const fiber = yield* Effect.forkIn(
        Effect.tapError(
          Effect.suspend(() => lookup(key)),
          (error) => Effect.logDebug(`An access list could not look up ${key}: ${error.message}`)
        ),
        scope
      )
      const answer: Answer<A> = { fiber, deadline: clock.currentTimeMillisUnsafe() + lookupTimeout, expires: Infinity }
      fiber.addObserver((exit) => {
        answer.expires = clock.currentTimeMillisUnsafe() + (Exit.isSuccess(exit) ? timeToLive : failureTimeToLive)
      })
      return answer
    })

    return Effect.fnUntraced(function* (key: string): Effect.fn.Return<ReadonlyArray<A>> {
      const now = clock.currentTimeMillisUnsafe()
      const known = answers.get(key)
      const answer = known === undefined || known.expires <= now ? yield* start(key) : known
      // what was asked for last is at the end of the map
      answers.delete(key)
      answers.set(key, answer)
      const [oldest] = answers.keys()
      if (answers.size > cacheSize) answers.delete(oldest!)
      const { deadline, fiber } = answer
      const exit =
        fiber.pollUnsafe() ??
        (deadline > now
          ? Option.getOrUndefined(yield* Effect.timeoutOption(Fiber.await(fiber), deadline - now))
          : undefined)
      return exit !== undefined && Exit.isSuccess(exit) ? exit.value : []
    })
  }

  const addressesOf = remembered((name) => forward.withPermit(Effect.timeout(dns.lookup(name), giveUp)))
  const namesOf = remembered((address) => Effect.timeout(dns.reverse(address), giveUp))
  return {
    addressesOf,
    namesOf: (address) => namesOf(NetAddress.formatIp(address))
  }
})

/**
 * Client names from effect's `Dns` service. For Node there is `NodeClientNames.layer`, which brings one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<ClientNames, never, Dns.Dns> =>
  Layer.effect(ClientNames)(make(options))
