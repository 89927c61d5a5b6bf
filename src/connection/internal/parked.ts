/**
 * Waiting for a peer without a fiber. A fiber that waits holds its stack, its context and the wait itself: a third of the memory of an
 * idle connection. So a handler that would only wait ends. Once there is something to do, it goes on in a new fiber.
 */
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

const isParking = Symbol("effect-websocket/parking")

interface Parking {
  [isParking]?: true
}

/**
 * Marks a handler's effect as one that may end before its connection. Code that wraps the effect may rely on it lasting as long as the
 * connection. Such wrappers are not marked, so the effect keeps its fiber.
 */
export const parking = <A, E, R>(handler: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const parking: Effect.Effect<A, E, R> & Parking = handler
  parking[isParking] = true
  return parking
}

export const mayPark = (handler: Effect.Effect<unknown, unknown, unknown>): boolean =>
  // an effect is no other object than those of its own module
  (handler as Parking)[isParking] === true

/** The owner of a wait without a fiber. */
export interface Host {
  /** Runs this in a fiber. */
  resume(next: Effect.Effect<unknown, unknown, unknown>): void
  /** For an effect that may be the application's: once it has run in a fiber, that fiber may have to last as long as the connection. */
  within<E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, R>
  /** The last effect of a resumed fiber, after which another wait begins; `undefined` if the fiber has to stay. */
  again(): Effect.Effect<void> | undefined
}

export interface Parked {
  /** Waits, until the host is given what to do next, which may be in this very call. */
  begin(host: Host): void
  /** Ends the wait; gives what is to be done in its place, which is interrupted. */
  interrupted(): Effect.Effect<unknown, unknown, unknown>
  /** Done once, when no further wait begins, whether there was one or not; gives what is to be waited for, if anything. */
  release?(exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> | undefined
}
