/**
 * Which target a request is for. A route looks at the request and gives the targets to try, in their order, or refuses. It is a
 * function, and this module combines routes. The proxy asks its route before it dials, and dials before it answers, so that
 * whatever goes wrong is an HTTP status.
 *
 * A route that a request does not fit fails with 404, and {@link firstOf} then asks the next one. Any other refusal is final: a
 * client that one route refuses gets in by no other.
 *
 * **Example** (Two services and a pair of databases)
 *
 * ```ts
 * import { Router, Target } from "effect-websocket"
 *
 * const vnc = new Target.Target({ host: "desk.internal", port: 5900 })
 * const mqtt = new Target.Target({ host: "broker.internal", port: 1883 })
 * const databases = [1, 2].map((n) => new Target.Target({ host: `db${n}.internal`, port: 5432 })) as [Target.Target, Target.Target]
 *
 * export const route = Router.firstOf(
 *   Router.subprotocol("mqtt", mqtt),
 *   Router.path("/vnc", vnc),
 *   Router.path("/db/*", Router.roundRobin(databases))
 * )
 * ```
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Equal from "effect/Equal"
import * as Layer from "effect/Layer"
import { Refusal } from "../protocol/OpeningHandshake.ts"
import { duration } from "../protocol/internal/option.ts"
import type { OpenRequest } from "../server/OpenRequest.ts"
import type { DialError } from "./Dialer.ts"
import { hostName, nameFits } from "./internal/hostName.ts"
import * as PathPattern from "./internal/pathPattern.ts"
import { type AnyTarget, Target, UnixTarget } from "./Target.ts"

/**
 * Targets, and what else a route has decided with them.
 *
 * @category models
 * @since 0.1.0
 */
export class Choice extends Data.Class<{
  readonly targets: NonEmptyReadonlyArray<AnyTarget>
  /** The subprotocol to answer, one of those that the client offers. Default: what the server's policy chose. */
  readonly subprotocol?: string | undefined
  /** Called with the error of each target that could not be connected to. */
  readonly onDialError?: ((error: DialError) => Effect.Effect<void>) | undefined
}> {}

/**
 * Where a request goes: one target, or several to try one after the other until one can be connected to.
 *
 * @category models
 * @since 0.1.0
 */
export type Destination = AnyTarget | NonEmptyReadonlyArray<AnyTarget> | Choice

/**
 * A destination in its full form.
 *
 * @category getters
 * @since 0.1.0
 */
export const choice = (destination: Destination): Choice => {
  if (destination instanceof Choice) return destination
  const isOne = destination instanceof Target || destination instanceof UnixTarget
  return new Choice({ targets: isOne ? [destination] : destination })
}

/**
 * The targets in the order in which they are tried.
 *
 * @category getters
 * @since 0.1.0
 */
export const targets = (destination: Destination): NonEmptyReadonlyArray<AnyTarget> => choice(destination).targets

/**
 * Chooses by the request; failing with a `Refusal` refuses it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Route<E = never, R = never> {
  (open: OpenRequest): Effect.Effect<Destination, E | Refusal, R>
}

/**
 * The route of a proxy, as a service.
 *
 * @category services
 * @since 0.1.0
 */
export class Router extends Context.Service<Router, { readonly route: Route }>()("effect-websocket/proxy/Router") {}

/**
 * A route as the service. What the route needs is taken from the context of the layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <R = never>(route: Route<never, R>): Layer.Layer<Router, never, R> =>
  Layer.effect(Router)(
    Effect.contextWith((context: Context.Context<R>) =>
      Effect.succeed({ route: (open: OpenRequest) => Effect.provide(route(open), context) })
    )
  )

/**
 * The same for all requests. Several targets are tried in their order at each request; see {@link failover} too.
 *
 * @category constructors
 * @since 0.1.0
 */
export const to = (destination: Destination): Route => {
  const answer = Effect.succeed(choice(destination))
  return () => answer
}

/**
 * What a route says to a request that it does not fit: 404.
 *
 * @category errors
 * @since 0.1.0
 */
export const notFound = new Refusal({ status: 404, reason: "There is nothing here." })

const missing = Effect.fail(notFound)

const routeOf = <E, R>(onward: Destination | Route<E, R>): Route<E, R> =>
  typeof onward === "function" ? onward : to(onward)

/**
 * For requests that fit a condition.
 *
 * @category constructors
 * @since 0.1.0
 */
export const when = <E = never, R = never>(
  fits: (open: OpenRequest) => boolean,
  onward: Destination | Route<E, R>
): Route<E, R> => {
  const route = routeOf(onward)
  return (open) => (fits(open) ? route(open) : missing)
}

/**
 * By the path of the request. A segment `:name` of the pattern takes any one segment, and `*` at its end takes the rest, which
 * may be none: `/db/*` is `/db` and whatever is below it. All else is compared exactly, case included and the request's percent
 * encoding taken away. The last argument may be a function, which gets the named segments by their names, and the rest as `*`.
 * Throws for a pattern with `*` before its end.
 *
 * **Example** (A name for each machine)
 *
 * ```ts
 * import { Effect } from "effect"
 * import { Router, Target } from "effect-websocket"
 *
 * const desks = new Map([["ann", new Target.Target({ host: "ann.internal", port: 5900 })]])
 *
 * export const route = Router.path("/desk/:who", (_, { who }) => {
 *   const target = desks.get(who)
 *   return target === undefined ? Effect.fail(Router.notFound) : Effect.succeed(target)
 * })
 * ```
 *
 * @category constructors
 * @since 0.1.0
 */
export const path = <const Pattern extends `/${string}`, E = never, R = never>(
  pattern: Pattern,
  onward: Destination | ((open: OpenRequest, params: PathPattern.Params<Pattern>) => Effect.Effect<Destination, E, R>)
): Route<Exclude<E, Refusal>, R> => {
  const find = PathPattern.compile(pattern)
  // what fails with a Refusal or with the rest of E fails with E
  const route = (typeof onward === "function" ? onward : to(onward)) as (
    open: OpenRequest,
    params: PathPattern.Params<Pattern>
  ) => Effect.Effect<Destination, Exclude<E, Refusal> | Refusal, R>
  return (open) => {
    const params = find(open.request.path)
    return params === undefined ? missing : route(open, params)
  }
}

/**
 * By the name in the Host header, whatever its port: `db.example`, or `*.example` for any name below it. With TLS,
 * {@link serverName} uses the name that the client asked for in the handshake.
 *
 * @category constructors
 * @since 0.1.0
 */
export const host = <E = never, R = never>(pattern: string, onward: Destination | Route<E, R>): Route<E, R> => {
  const fits = nameFits(pattern)
  return when(({ request }) => fits(hostName(request)), onward)
}

/**
 * By the name that the client asked for in TLS (RFC 6066 section 3), with patterns as {@link host} has them. Without TLS, or
 * where the client named nobody, it does not fit.
 *
 * @category constructors
 * @since 0.1.0
 */
export const serverName = <E = never, R = never>(pattern: string, onward: Destination | Route<E, R>): Route<E, R> => {
  const fits = nameFits(pattern)
  return when(({ peer }) => fits(peer?.tls?.serverName), onward)
}

/**
 * For clients that offer a subprotocol, which is then agreed on (RFC 6455 section 4.2.2), whatever the server's policy says. In
 * {@link firstOf} the order is that of our preference.
 *
 * @category constructors
 * @since 0.1.0
 */
export const subprotocol = <E = never, R = never>(name: string, onward: Destination | Route<E, R>): Route<E, R> => {
  const route = routeOf(onward)
  return (open) =>
    open.request.subprotocols.includes(name)
      ? Effect.map(route(open), (found) => {
          const chosen = choice(found)
          return new Choice({ ...chosen, subprotocol: chosen.subprotocol ?? name })
        })
      : missing
}

type Some = ReadonlyArray<Route<unknown, unknown>>
type ErrorOf<Routes extends Some> = Exclude<Effect.Error<ReturnType<Routes[number]>>, Refusal>
type ServicesOf<Routes extends Some> = Effect.Services<ReturnType<Routes[number]>>

/**
 * The first route that the request fits. If it fits none, the answer is that of the last route.
 *
 * @category combinators
 * @since 0.1.0
 */
export const firstOf = <const Routes extends Some>(...routes: Routes): Route<ErrorOf<Routes>, ServicesOf<Routes>> => {
  type Answer = Effect.Effect<Destination, ErrorOf<Routes> | Refusal, ServicesOf<Routes>>
  const ask = (open: OpenRequest, index: number): Answer => {
    const route = routes[index]
    if (route === undefined) return missing
    // the types of all routes together are those of each
    const answer = route(open) as Answer
    return index === routes.length - 1
      ? answer
      : Effect.catch(answer, (error) =>
          error instanceof Refusal && error.status === 404 ? ask(open, index + 1) : Effect.fail(error)
        )
  }
  return (open) => ask(open, 0)
}

/**
 * How targets that are gone are treated. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface BalanceOptions {
  /**
   * How long a target that could not be connected to is tried only after the others. It is never left out: if all are down, all
   * are tried. Default: 10 seconds; 0 forgets at once.
   */
  readonly skipFor?: Duration.Input | undefined
}

/** What has nothing to do with the target. */
const isOurs = ({ kind }: DialError): boolean => kind === "Exhausted" || kind === "NotAllowed"

const balanced = (among: NonEmptyReadonlyArray<AnyTarget>, options: BalanceOptions, nextStart: () => number): Route => {
  const skipFor = duration("skipFor", options.skipFor, "10 seconds")
  const entries = among.map((target) => ({ target, goneUntil: 0 }))
  const onDialError = (error: DialError) =>
    Effect.map(Clock.currentTimeMillis, (now) => {
      if (isOurs(error)) return
      for (const entry of entries) if (Equal.equals(entry.target, error.target)) entry.goneUntil = now + skipFor
    })
  const choose = Effect.map(Clock.currentTimeMillis, (now) => {
    const start = nextStart()
    const order = [...entries.slice(start), ...entries.slice(0, start)]
    const isGone = ({ goneUntil }: { readonly goneUntil: number }) => goneUntil > now
    const [first, ...others] = [...order.filter((entry) => !isGone(entry)), ...order.filter(isGone)]
    return new Choice({ targets: [first!.target, ...others.map(({ target }) => target)], onDialError })
  })
  return () => choose
}

/**
 * The first of the targets that can be connected to, in their order at each request. One that could not be connected to recently
 * is tried last, so that not every client waits for it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const failover = (among: NonEmptyReadonlyArray<AnyTarget>, options: BalanceOptions = {}): Route =>
  balanced(among, options, () => 0)

/**
 * The targets in turn: each request begins with the next one, and goes on to those after it if that cannot be connected to. Each
 * route has its own turns, so make it once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const roundRobin = (among: NonEmptyReadonlyArray<AnyTarget>, options: BalanceOptions = {}): Route => {
  let turn = -1
  return balanced(among, options, () => (turn = (turn + 1) % among.length))
}
