/**
 * Effects that may begin without a fiber: their first part runs at once in the caller's turn, and only what has to be waited for
 * after that, if anything, needs a fiber. Everywhere else they are effects like any other.
 */
import * as Effect from "effect/Effect"
import * as Effectable from "effect/Effectable"
import * as Exit from "effect/Exit"

/** What is to be waited for, if anything. */
export type Wait<E = never> = Effect.Effect<void, E> | undefined

class Now<E> extends Effectable.Class<void, E> {
  readonly begin: () => Wait<E>

  constructor(begin: () => Wait<E>) {
    super()
    this.begin = begin
  }

  override asEffect(): Effect.Effect<void, E> {
    return this.begin() ?? Effect.void
  }
}

export const make = <E>(begin: () => Wait<E>): Effect.Effect<void, E> => new Now(begin)

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
  if (effect instanceof Now) return attempt(effect.begin)
  return Exit.isExit(effect) && Exit.isSuccess(effect) ? undefined : effect
}
