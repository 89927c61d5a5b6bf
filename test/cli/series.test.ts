/** Metrics of several processes as one. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Metric } from "effect"
import { deserialize, serialize } from "node:v8"
import { format } from "../../src/cli/metrics.ts"
import * as Series from "../../src/cli/series.ts"

/** What a process that did this would say of itself, as it comes over the channel. */
const process = (self: Effect.Effect<unknown>): Effect.Effect<Series.Series> =>
  Effect.andThen(self, Metric.snapshot).pipe(
    Effect.map((series) => deserialize(serialize(series)) as Series.Series),
    Effect.provideService(Metric.MetricRegistry, new Map())
  )

const lines = (series: Series.Series) => format(series).trimEnd().split("\n").toSorted()

const bytes = Metric.counter("bytes_total", { description: "Bytes", incremental: true })
const big = Metric.counter("big_total", { bigint: true })
const open = Metric.gauge("open")
const kinds = Metric.frequency("kinds_total")
const sizes = Metric.histogram("sizes", { boundaries: [1, 10] })
const times = Metric.summary("times", { maxAge: "1 minute", maxSize: 10, quantiles: [0.5] })

describe("Series", () => {
  it.effect("adds up what was counted and what is, by name and attributes", () =>
    Effect.gen(function* () {
      const one = yield* process(
        Effect.all([
          Metric.update(bytes, 5),
          Metric.update(big, 2n ** 60n),
          Metric.update(open, 2),
          Metric.update(kinds, "a"),
          Metric.update(kinds, "b"),
          Metric.update(sizes, 5),
          Metric.update(times, 1),
          Metric.update(Metric.withAttributes(bytes, { of: "x" }), 1)
        ])
      )
      const other = yield* process(
        Effect.all([
          Metric.update(bytes, 7),
          Metric.update(big, 1n),
          Metric.update(open, 3),
          Metric.update(kinds, "b"),
          Metric.update(sizes, 0.5),
          Metric.update(sizes, 50),
          Metric.update(times, 3)
        ])
      )
      assert.deepStrictEqual(
        lines(Series.sum([one, other])),
        [
          "# HELP bytes_total Bytes",
          "# TYPE bytes_total counter",
          "bytes_total 12",
          'bytes_total{of="x"} 1',
          "# TYPE big_total counter",
          `big_total ${2n ** 60n + 1n}`,
          "# TYPE open gauge",
          "open 5",
          "# TYPE kinds_total counter",
          'kinds_total{key="a"} 1',
          'kinds_total{key="b"} 2',
          "# TYPE sizes histogram",
          'sizes_bucket{le="1"} 1',
          'sizes_bucket{le="10"} 2',
          'sizes_bucket{le="+Inf"} 3',
          "sizes_sum 55.5",
          "sizes_count 3",
          "# TYPE times summary",
          "times_sum 4",
          "times_count 2"
        ].toSorted()
      )
    })
  )

  it.effect("keeps what a process has counted that is gone, and of what it had none", () =>
    Effect.gen(function* () {
      const gone = yield* process(Effect.all([Metric.update(bytes, 5), Metric.update(open, 2)]))
      assert.deepStrictEqual(lines(Series.sum([Series.counted(gone)])), [
        "# HELP bytes_total Bytes",
        "# TYPE bytes_total counter",
        "# TYPE open gauge",
        "bytes_total 5",
        "open 0"
      ])
    })
  )
})
