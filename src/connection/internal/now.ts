/**
 * Effects that may begin without a fiber: what they do first is done in the turn that asks for it, and only what is to be waited for
 * then, if anything, needs one. To anybody else they are effects like any other.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"

/** What is to be waited for, if anything. */
export type Wait<E = never> = Effect.Effect<void, E> | undefined

const run = Symbol("effect-websocket/Now")

interface Now<E> {
  [run]?: () => Wait<E>
}

export const make = <E>(begin: () => Wait<E>): Effect.Effect<void, E> => {
  const effect: Effect.Effect<void, E> & Now<E> = Effect.suspend(() => begin() ?? Effect.void)
  effect[run] = begin
  return effect
}

/** How an effect ends that is known to have ended already: it is its own `Exit`. */
export const exitOf = <A, E, R>(effect: Effect.Effect<A, E, R>): Exit.Exit<A, E> | undefined =>
  // the guard forgets of what
  Exit.isExit(effect) ? (effect as Exit.Exit<A, E>) : undefined

/** Calls what may throw, which is a defect then, as it would be in a fiber. */
export const attempt = <A>(f: () => A): A | Effect.Effect<never> => {
  try {
    return f()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/** Begins the effect, if it may begin so; gives what is to be waited for, which is the effect itself if it may not. */
export const begin = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | void, E, R> | undefined => {
  // an effect is no other object than those of its own module
  const now: Now<E> = effect as Now<E>
  if (now[run] === undefined) return Exit.isExit(effect) && Exit.isSuccess(effect) ? undefined : effect
  return attempt(now[run])
}
