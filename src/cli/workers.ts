/**
 * `--workers` and `--metrics`: one process or several on one port, and what they count. Several are a first one, which listens,
 * and workers, which serve; `workers/first.ts` says why so. A worker runs the command as it was typed, and does in its place what a
 * process alone does. A process alone has nothing of this, and does not load it.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import { availableParallelism } from "node:os"
import type * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import * as Admission from "../server/Admission.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import type { UsageError } from "./Address.ts"
import { task, type WorkersError } from "./workers/channel.ts"
import { Announce } from "./ready.ts"
import type { Series } from "./series.ts"
import { optional, usage } from "./typed.ts"
import type { Worker } from "./workers/worker.ts"

/** The most workers that may be asked for. */
const maxWorkers = 256

/** The flags of every command that listens. */
export const server = {
  workers: optional(
    "workers",
    "N|auto",
    "Serve with N processes on the one port, or one for each core; limits by address are for each of them (1)"
  ),
  metrics: optional(
    "metrics",
    "[HOST:]PORT",
    "Serve what is counted at http://HOST:PORT/metrics, for Prometheus (host 127.0.0.1)"
  )
}

/** What was typed for them, and for flags that go with one process alone. */
export interface WorkersFlags {
  readonly metrics: Option.Option<string>
  readonly workers: Option.Option<string>
  readonly runOnce?: boolean
  readonly runFor?: Option.Option<string>
  readonly runUntilIdle?: Option.Option<string>
}

/** A process that serves: alone, or as a worker. */
export interface Serving {
  readonly options: NodeWebSocketServer.Options
  /** Runs what serves, as this process is to run it. */
  readonly run: <A, E, R>(
    self: Effect.Effect<A, E, R>
  ) => Effect.Effect<A | void, E | UsageError | ListenError, R | Scope.Scope>
}

/** A process that has others serve, for as long as this runs. */
export interface Leading {
  readonly options: undefined
  readonly lead: Effect.Effect<never, UsageError | ListenError | WorkersError, Scope.Scope>
}

const countOf = ({ workers }: WorkersFlags): Effect.Effect<number, UsageError> => {
  const text = Option.getOrElse(workers, () => "1")
  const count =
    text === "auto" ? Math.min(maxWorkers, availableParallelism()) : /^\d{1,4}$/.test(text) ? Number(text) : 0
  return count >= 1 && count <= maxWorkers
    ? Effect.succeed(count)
    : Effect.fail(usage(`--workers expects a number from 1 to ${maxWorkers}, or auto; got ${JSON.stringify(text)}`))
}

/** What can be said of the flags before anything is started. */
const check = Effect.fnUntraced(function* (
  flags: WorkersFlags,
  workers: number,
  maxConnections: number
): Effect.fn.Return<void, UsageError> {
  const alone = [
    ["run-once", flags.runOnce === true],
    ["run-for", flags.runFor !== undefined && Option.isSome(flags.runFor)],
    ["run-until-idle", flags.runUntilIdle !== undefined && Option.isSome(flags.runUntilIdle)]
  ] as const
  const stray = alone.find(([, isGiven]) => isGiven)
  if (stray !== undefined) return yield* usage(`--${stray[0]} is for one process, and cannot be had with --workers`)
  if (maxConnections < workers) {
    return yield* usage(
      `--max-connections is divided between the workers, and ${maxConnections} cannot be between ${workers}`
    )
  }
})

/** Serves what is counted, if that was asked for. */
const serveMetrics = ({ metrics }: WorkersFlags, snapshot: Effect.Effect<Series>) =>
  Option.match(metrics, {
    onNone: () => Effect.void,
    onSome: (address) =>
      Effect.flatMap(
        Effect.promise(() => import("./metrics.ts")),
        ({ serve }) => serve(address, snapshot)
      )
  })

/** What this process is. */
export const make = Effect.fnUntraced(function* (
  flags: WorkersFlags,
  options: NodeWebSocketServer.Options
): Effect.fn.Return<Serving | Leading, UsageError, Scope.Scope> {
  if (task !== undefined) {
    const { make } = yield* Effect.promise(() => import("./workers/worker.ts"))
    return asWorker(yield* make(task), options)
  }
  const workers = yield* countOf(flags)
  if (workers === 1) {
    return { options, run: (self) => Effect.andThen(serveMetrics(flags, Metric.snapshot), self) }
  }
  const { maxConnections = Admission.defaultMaxConnections } = options
  yield* check(flags, workers, maxConnections)
  const lead = Effect.gen(function* () {
    const { make } = yield* Effect.promise(() => import("./workers/first.ts"))
    const first = yield* make({
      workers,
      maxConnections,
      options,
      hasMetrics: Option.isSome(flags.metrics)
    })
    yield* serveMetrics(flags, first.snapshot)
    return yield* first.run
  })
  return { options: undefined, lead }
})

const asWorker = (worker: Worker, options: NodeWebSocketServer.Options): Serving => ({
  options: { ...options, accepted: worker.accepted, maxConnections: worker.task.maxConnections },
  run: (self) =>
    Effect.raceFirst(self, worker.end).pipe(
      Effect.provideService(Announce, (notes, line) => worker.say({ kind: "ready", notes, line }))
    )
})
