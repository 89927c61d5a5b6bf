/**
 * Runs an effect for each batch of a pull until that is done: `Stream.runForEachArray`, without what a stream holds.
 */
import * as Effect from "effect/Effect"
import * as Pull from "effect/Pull"

export const forEachBatch = <A, X, E, E2, R>(
  pull: Pull.Pull<A, E>,
  f: (batch: A) => Effect.Effect<X, E2, R>
): Effect.Effect<void, Pull.ExcludeDone<E> | E2, R> =>
  Pull.catchDone(Effect.forever(Effect.flatMap(pull, f), { disableYield: true }), () => Effect.void)
