/**
 * Metrics of several processes as one: what was counted adds up, also what a process counted that is gone; what is measured now
 * adds up over the processes that are. Quantiles of several processes are not those of all, and left out.
 */
import type * as Metric from "effect/Metric"

export type Series = ReadonlyArray<Metric.Metric.Snapshot>

type Snapshot = Metric.Metric.Snapshot
type Histogram = Extract<Snapshot, { readonly type: "Histogram" }>["state"]

const add = (a: number | bigint, b: number | bigint): number | bigint =>
  typeof a === "bigint" && typeof b === "bigint" ? a + b : Number(a) + Number(b)

const addMaps = <K>(a: Iterable<readonly [K, number]>, b: Iterable<readonly [K, number]>): Map<K, number> => {
  const sum = new Map(a)
  for (const [key, count] of b) sum.set(key, (sum.get(key) ?? 0) + count)
  return sum
}

const addSpans = (a: Omit<Histogram, "buckets">, b: Omit<Histogram, "buckets">) => ({
  count: a.count + b.count,
  sum: a.sum + b.sum,
  min: Math.min(a.min, b.min),
  max: Math.max(a.max, b.max)
})

/** Two of the same kind and name. */
const plus = (a: Snapshot, b: Snapshot): Snapshot => {
  if (a.type === "Counter" && b.type === "Counter") {
    return { ...a, state: { ...a.state, count: add(a.state.count, b.state.count) } }
  }
  if (a.type === "Gauge" && b.type === "Gauge") return { ...a, state: { value: add(a.state.value, b.state.value) } }
  if (a.type === "Frequency" && b.type === "Frequency") {
    return { ...a, state: { occurrences: addMaps(a.state.occurrences, b.state.occurrences) } }
  }
  if (a.type === "Histogram" && b.type === "Histogram") {
    const buckets = [...addMaps(a.state.buckets, b.state.buckets)]
    return { ...a, state: { buckets, ...addSpans(a.state, b.state) } }
  }
  if (a.type === "Summary" && b.type === "Summary") {
    return { ...a, state: { quantiles: [], ...addSpans(a.state, b.state) } }
  }
  return a
}

/** What it is called by: its kind, name and attributes. */
export const keyOf = ({ attributes = {}, id, type }: Snapshot): string =>
  JSON.stringify([type, id, Object.entries(attributes).toSorted(([a], [b]) => (a < b ? -1 : 1))])

/** All of them as one. */
export const sum = (all: Iterable<Series>): Series => {
  const sums = new Map<string, Snapshot>()
  for (const series of all) {
    for (const one of series) {
      const key = keyOf(one)
      const before = sums.get(key)
      sums.set(key, before === undefined ? one : plus(before, one))
    }
  }
  return [...sums.values()]
}

/** What is left of a process that is gone: what it counted, and none of what it had. */
export const counted = (series: Series): Series =>
  series.map((one) => (one.type === "Gauge" ? { ...one, state: { value: 0 } } : one))
