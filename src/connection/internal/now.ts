/**
 * Effects that may begin without a fiber: their first part runs at once in the caller's turn, and only what has to be waited for
 * after that, if anything, needs a fiber. Everywhere else they are effects like any other.
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

/** Calls a function. If it throws, that is a defect, as it would be in a fiber. */
export const attempt = <A>(f: () => A): A | Effect.Effect<never> => {
  try {
    return f()
  } catch (defect) {
    return Effect.die(defect)
  }
}

/**
 * Begins the effect, if it can begin without a fiber. Returns what there is to wait for, if anything; that is the effect itself
 * if it cannot.
 */
export const begin = <A, E, R>(effect: Effect.Effect<A, E, R>): Effect.Effect<A | void, E, R> | undefined => {
  // an effect is no other object than those of its own module
  const now: Now<E> = effect as Now<E>
  if (now[run] === undefined) return Exit.isExit(effect) && Exit.isSuccess(effect) ? undefined : effect
  return attempt(now[run])
}
