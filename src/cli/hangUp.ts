/**
 * SIGHUP has files read again. Everything that follows files registers here; if nothing does, the signal is logged and ends
 * nothing, so that one `kill -HUP` suits every server.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { task } from "./workers/channel.ts"

const readers = new Set<() => void>()

/** Reads again at each signal, until the scope ends. A failure is logged, and the previous content stays in use. */
export const reads = (
  again: Effect.Effect<void, { readonly message: string }>
): Effect.Effect<void, never, Scope.Scope> =>
  Effect.gen(function* () {
    const runFork = Effect.runForkWith(yield* Effect.context<never>())
    const reader = () =>
      void runFork(
        Effect.catch(again, ({ message }) => Effect.logError(`SIGHUP: what was read before stays in use: ${message}`))
      )
    yield* Effect.acquireRelease(
      Effect.sync(() => void readers.add(reader)),
      () => Effect.sync(() => void readers.delete(reader))
    )
  })

/** Takes the signal, until the scope ends. */
export const take: Effect.Effect<void, never, Scope.Scope> = Effect.gen(function* () {
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const onHangUp = () => {
    for (const reader of readers) reader()
    // of several workers the first says it for all
    if (readers.size === 0 && (task === undefined || task.index === 0)) {
      runFork(Effect.logInfo("SIGHUP: there are no files to read again"))
    }
  }
  yield* Effect.acquireRelease(
    Effect.sync(() => void process.on("SIGHUP", onHangUp)),
    () => Effect.sync(() => void process.off("SIGHUP", onHangUp))
  )
})
