/**
 * Which target a request is for. A route looks at the request and gives the targets to try, in their order, or refuses; it is a
 * function, and what is in here makes one of others. The proxy asks its route before it dials, and dials before it
 * answers, so that whatever goes wrong is an HTTP status.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type { Refusal } from "../protocol/OpeningHandshake.ts"
import type { OpenRequest } from "../server/OpenRequest.ts"
import { type AnyTarget, Target, UnixTarget } from "./Target.ts"

/**
 * Where a request goes: one target, or several to try one after the other until one can be connected to.
 *
 * @category models
 * @since 0.1.0
 */
export type Destination = AnyTarget | NonEmptyReadonlyArray<AnyTarget>

/**
 * The targets in the order in which they are tried.
 *
 * @category getters
 * @since 0.1.0
 */
export const targets = (destination: Destination): NonEmptyReadonlyArray<AnyTarget> =>
  destination instanceof Target || destination instanceof UnixTarget ? [destination] : destination

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
 * @category services
 * @since 0.1.0
 */
export class Router extends Context.Service<Router, { readonly route: Route }>()("effect-websocket/proxy/Router") {}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer = (route: Route): Layer.Layer<Router> => Layer.succeed(Router)({ route })

/**
 * The same for all requests.
 *
 * @category constructors
 * @since 0.1.0
 */
export const to = (destination: Destination): Route => {
  const answer = Effect.succeed(destination)
  return () => answer
}
