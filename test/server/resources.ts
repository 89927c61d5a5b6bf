/**
 * What a server holds of the process, and what it holds after connections that ended in every way.
 */
import { assert } from "@effect/vitest"
import { Effect, Metric, type Duration } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import * as LeanReads from "../../src/node/internal/leanReads.ts"
import { eventually } from "./serving.ts"

/** The fibers that have begun and not ended. */
export interface Fibers {
  readonly active: number
}

/** Runs with a counter of its fibers. */
export const countingFibers = <A, E, R>(self: (fibers: Fibers) => Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
  Effect.suspend(() => {
    const fibers = { active: 0 }
    const counting: Metric.FiberRuntimeMetricsService = {
      recordFiberStart: () => void fibers.active++,
      recordFiberEnd: () => void fibers.active--
    }
    return Effect.provideService(
      Effect.suspend(() => self(fibers)),
      Metric.FiberRuntimeMetrics,
      counting
    )
  })

/** What keeps the process busy. */
const held = ({ active }: Fibers) => {
  const counts: Record<string, number> = {}
  for (const name of process.getActiveResourcesInfo()) counts[name] = (counts[name] ?? 0) + 1
  const { TCPSocketWrap = 0, TLSWrap = 0, Timeout = 0 } = counts
  return { sockets: TCPSocketWrap + TLSWrap, timers: Timeout, fibers: active, readBuffers: LeanReads.countOwners() }
}

/** Does as a client tells it: to close, to fail, or nothing. */
export const obey = (webSocket: WebSocket, message: unknown): Effect.Effect<void, unknown> => {
  if (message === "bye") return webSocket.close()
  return message === "fail" ? Effect.fail("as asked") : Effect.void
}

/** Makes these visits again and again, more than 200 in all, and waits until the process holds no more than before; nor are connections counted. */
export const leavesNothing = Effect.fnUntraced(function* (
  fibers: Fibers,
  visits: ReadonlyArray<Effect.Effect<unknown>>,
  settle: Effect.Effect<void>,
  rest: Duration.Input
) {
  const gauge = Effect.map(Metric.value(Telemetry.connections), ({ value }) => value)
  const counted = yield* gauge
  // what a process makes once and keeps, such as the thread pool's, is made here
  yield* Effect.all(visits, { concurrency: 10, discard: true })
  yield* Effect.andThen(settle, Effect.sleep(rest))
  const before = held(fibers)
  const rounds = Array.from({ length: 12 }, () => visits).flat()
  assert.isAbove(rounds.length, 200)
  yield* Effect.all(rounds, { concurrency: 20, discard: true })
  yield* settle
  yield* eventually(
    "sockets, timers, fibers and read buffers are as before",
    Effect.sync(() => {
      const now = held(fibers)
      const kinds = ["sockets", "timers", "fibers", "readBuffers"] as const
      return kinds.every((kind) => now[kind] <= before[kind])
    })
  )
  assert.strictEqual(yield* gauge, counted)
})
