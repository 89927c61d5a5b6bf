/**
 * What was measured, as text: paired ratios (peer / ours where less is better, ours / peer where more is, so that above 1
 * is better for us everywhere) with median and range over the runs, whether that reaches the goal, and the medians they
 * come from. Pure but for the reading of the machine's shape.
 */
import { cpus, release, totalmem } from "node:os"
import type { Measurement, Run } from "./rig.ts"
import { figuresOf, peerTitle } from "./rows.ts"
import type { Figure, PeerName, Row, ServerName } from "./rows.ts"

/** The runs of a row. */
export interface Result {
  readonly row: Row
  readonly runs: ReadonlyArray<Run>
  readonly failure: string | undefined
}

export const median = (values: ReadonlyArray<number>): number => {
  const sorted = values.toSorted((a, b) => a - b)
  const middle = sorted.length >> 1
  const high = sorted[middle] ?? Number.NaN
  return sorted.length % 2 === 1 ? high : ((sorted[middle - 1] ?? Number.NaN) + high) / 2
}

const number = (value: number): string =>
  Number.isNaN(value) ? "–" : value >= 1000 ? value.toFixed(0) : value >= 100 ? value.toFixed(1) : value.toFixed(2)

const spread = (values: ReadonlyArray<number>): string =>
  values.length === 0
    ? "–"
    : `${number(median(values))} (${number(Math.min(...values))}–${number(Math.max(...values))})`

const present = <A>(value: A | undefined): value is A => value !== undefined

const pairs = (runs: ReadonlyArray<Run>, peer: PeerName): ReadonlyArray<readonly [Measurement, Measurement]> =>
  runs.flatMap(({ ours, [peer]: other }) => (ours === undefined || other === undefined ? [] : [[ours, other] as const]))

export const headings = [
  "",
  "against",
  "ratio",
  "goal",
  "ours, peer",
  "second ratio",
  "ours, peer",
  "peak RSS, MB: ours, peer"
]
const none = "–"

type Value = (measurement: Measurement) => number | undefined

/** The medians of ours and of the peer. */
const medians = (paired: ReadonlyArray<readonly [Measurement, Measurement]>, of: Value, scale: number): string =>
  [0, 1].map((side) => number(scale * median(paired.map((pair) => of(pair[side]!)).filter(present)))).join(", ")

const ratios = (
  paired: ReadonlyArray<readonly [Measurement, Measurement]>,
  figure: Figure,
  of: Value
): ReadonlyArray<number> =>
  paired.map(([ours, other]) => {
    const ratio = (of(other) ?? Number.NaN) / (of(ours) ?? Number.NaN)
    return figure.better === "less" ? ratio : 1 / ratio
  })

const first: Value = (measurement) => measurement.first
const second: Value = (measurement) => measurement.second

/** The median of a row's first ratio against a peer, and whether that is as much as is wanted. */
const attained = (result: Result, peer: PeerName): { readonly goal: number; readonly isMet: boolean } | undefined => {
  const goal = result.row.goals?.[peer]
  if (goal === undefined) return undefined
  const found = ratios(pairs(result.runs, peer), figuresOf(result.row).first, first)
  return { goal, isMet: result.failure === undefined && median(found) >= goal }
}

const cells = (result: Result, peer: PeerName): ReadonlyArray<string> => {
  const figures = figuresOf(result.row)
  const paired = pairs(result.runs, peer)
  const ratio = (figure: Figure, of: Value) => `${figure.name} ${spread(ratios(paired, figure, of))}`
  const values = (figure: Figure, of: Value) => `${medians(paired, of, figure.scale)} ${figure.unit}`
  const goal = attained(result, peer)
  return [
    result.row.title,
    peerTitle(result.row, peer),
    ratio(figures.first, first),
    goal === undefined ? none : `${number(goal.goal)}, ${goal.isMet ? "met" : "**missed**"}`,
    values(figures.first, first),
    figures.second === undefined ? none : ratio(figures.second, second),
    figures.second === undefined ? none : values(figures.second, second),
    medians(paired, (measurement) => measurement.peakBytes, 1e-6)
  ]
}

export const lines = (result: Result): ReadonlyArray<ReadonlyArray<string>> =>
  result.failure === undefined
    ? result.row.peers.map((peer) => cells(result, peer))
    : [[result.row.title, "", `failed: ${result.failure}`, "", "", "", "", ""]]

/** A table of Markdown. */
export const tabulate = (head: ReadonlyArray<string>, body: ReadonlyArray<ReadonlyArray<string>>): string =>
  [head, head.map(() => "---"), ...body].map((row) => `| ${row.join(" | ")} |`).join("\n")

export const markdown = (results: ReadonlyArray<Result>): string => tabulate(headings, results.flatMap(lines))

/** How many of the goals are met. */
export const goals = (results: ReadonlyArray<Result>): string => {
  const all = results.flatMap((result) => result.row.peers.map((peer) => attained(result, peer)).filter(present))
  return `${all.filter(({ isMet }) => isMet).length} of ${all.length} goals met`
}

/** One line for each peer, for the terminal. */
export const summary = (result: Result): string =>
  lines(result)
    .map(
      ([title = "", peer = "", ratio = "", goal = "", values = "", secondRatio = "", secondValues = "", peak = ""]) =>
        result.failure === undefined
          ? [
              result.row.name.padEnd(21),
              peer.padEnd(12),
              ratio.padEnd(26),
              `goal ${goal.replaceAll("*", "")}`.padEnd(19),
              secondRatio.padEnd(32),
              `${values} | ${secondValues} | peak ${peak} MB  (${title})`
            ].join(" ")
          : `${result.row.name.padEnd(21)} ${ratio}`
    )
    .join("\n")

/** One line for one measurement: what each process spent, to see whether the server was the bottleneck. */
export const detail = (row: Row, run: number, server: ServerName, measurement: Measurement | undefined): string => {
  if (measurement === undefined) return ""
  const figures = figuresOf(row)
  const { cpu, seconds } = measurement
  const value = (figure: Figure | undefined, of: Value): string =>
    figure === undefined
      ? ""
      : `${figure.name} ${number((of(measurement) ?? Number.NaN) * figure.scale)} ${figure.unit}, `
  const share = (value: number): string => `${value.toFixed(2)} s`
  return (
    `  ${row.name.padEnd(21)} run ${run} ${server.padEnd(4)} ${value(figures.first, first)}${value(figures.second, second)}` +
    `peak ${number(measurement.peakBytes / 1e6)} MB; in ${share(seconds)} CPU server ${share(cpu.server)}, ` +
    `load ${share(cpu.load)}, target ${share(cpu.target)}`
  )
}

/** What the numbers were taken on. */
export const machine = (): string => {
  const processors = cpus()
  return [
    processors[0]?.model.trim() ?? "unknown CPU",
    `${processors.length} cores`,
    `${(totalmem() / 2 ** 30).toFixed(0)} GiB of memory`,
    `Node ${process.version}`,
    `${process.platform} ${release()}`
  ].join(", ")
}
