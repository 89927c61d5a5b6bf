/**
 * What the metrics say. They belong to the process, so a test compares before and after.
 */
import { Effect, Metric } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"

const occurrences = (metric: typeof Telemetry.limits, name: string): Effect.Effect<number> =>
  Effect.map(Metric.value(metric), (state) => state.occurrences.get(name) ?? 0)

/** Runs the effect and says how often a limit bit meanwhile. */
export const countingLimit = <A, E, R>(name: string, self: Effect.Effect<A, E, R>): Effect.Effect<number, E, R> =>
  counting(Telemetry.limits, name, self)

/** The same for any of the metrics that count by name. */
export const counting = <A, E, R>(
  metric: typeof Telemetry.limits,
  name: string,
  self: Effect.Effect<A, E, R>
): Effect.Effect<number, E, R> =>
  Effect.gen(function* () {
    const before = yield* occurrences(metric, name)
    yield* self
    return (yield* occurrences(metric, name)) - before
  })
