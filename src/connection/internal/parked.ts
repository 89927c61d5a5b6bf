/**
 * What waits for a peer without a fiber. A fiber that waits holds its stack, its context and the wait itself, which is a third of what an
 * idle connection takes. So where a handler would do nothing but wait, it ends, and what it goes on with, once there is something to do,
 * has a fiber of its own.
 */
import type * as Effect from "effect/Effect"
import type * as Exit from "effect/Exit"

const isParking = Symbol("effect-websocket/parking")

interface Parking {
  [isParking]?: true
}

/**
 * Says of a handler's effect that it may end before its connection. To who wraps it in another it has to last as long: that one does not
 * say so, and then the effect keeps its fiber.
 */
export const parking = <A, E, R>(handler: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> => {
  const parking: Effect.Effect<A, E, R> & Parking = handler
  parking[isParking] = true
  return parking
}

export const mayPark = (handler: Effect.Effect<unknown, unknown, unknown>): boolean =>
  // an effect is no other object than those of its own module
  (handler as Parking)[isParking] === true

/** Whose wait it is. */
export interface Host {
  /** Does this, in a fiber. */
  resume(next: Effect.Effect<unknown, unknown, unknown>): void
  /** An effect that is not the connection's own, and may be the application's: its fiber may have to last as long as the connection. */
  within<E, R>(self: Effect.Effect<unknown, E, R>): Effect.Effect<unknown, E, R>
  /** What was resumed ends with this, and another wait begins; `undefined` if its fiber has to stay. */
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
