/**
 * Who keeps connections that wait without a fiber (`parked.ts`): a listener, which waits for them and interrupts them as it does with the
 * fibers of its handlers.
 */
import type * as Effect from "effect/Effect"
import type { Member } from "./roster.ts"

/**
 * A connection that waits without a fiber.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ongoing extends Member {
  /** Ends it, as interrupting its fiber would. */
  interrupt(): void
}

/**
 * Keeps a connection whose handler's fiber has ended. Whoever hands it over sees the fiber end before the connection does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Keeper<R> {
  /** From now on it is waited for and interrupted like the fiber of a handler. */
  keep(ongoing: Ongoing): void
  /** Runs the next effect in a fiber, which takes the place of the connection that was kept. */
  goOn(ongoing: Ongoing, next: Effect.Effect<unknown, unknown, R>): void
}

const isKept = Symbol("effect-websocket/kept")

/** Who handles connections of a `SocketServer`, and may have a keeper for them. */
type Handler<A, R> = (connection: A, keeper?: Keeper<R>) => Effect.Effect<unknown, unknown, R>

/**
 * Marks a handler that takes a keeper besides the connection, and ends the connection itself, when it is over: its effect may end before.
 * A server that knows nothing of this gives it no keeper, and then its effect lasts as long as the connection.
 */
export const kept = <H extends object>(handler: H): H => Object.assign(handler, { [isKept]: true })

/** The handler with its keeper, if it is one that takes a keeper. */
export const keptOf = <A, R>(
  handler: (connection: A) => Effect.Effect<unknown, unknown, R>
): Handler<A, R> | undefined => (isKept in handler ? handler : undefined)
