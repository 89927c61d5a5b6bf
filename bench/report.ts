/**
 * What was measured, as text: paired ratios (peer / ours for cost, ours / peer for throughput, so that above 1 is better
 * for us in both) with median and range over the runs, the medians they come from, and the Markdown table of the
 * README. Pure but for `writeReadme` and the reading of the machine's shape.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { cpus } from "node:os"
import type { Measurement, Run } from "./measure.ts"
import { unitOf } from "./rows.ts"
import type { PeerName, Row, ServerName } from "./rows.ts"

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

const headings = ["", "against", "cost, peer / ours", "throughput, ours / peer"]
const medianHeadings = ["cost: ours, peer", "throughput: ours, peer", "peak RSS, MB: ours, peer"]

const cells = (result: Result, peer: PeerName): ReadonlyArray<string> => {
  const { cost, costScale, rate, rateScale } = unitOf(result.row)
  const paired = pairs(result.runs, peer)
  const both = (of: (measurement: Measurement) => number | undefined, scale: number): string =>
    [0, 1].map((side) => number(scale * median(paired.map((pair) => of(pair[side]!)).filter(present)))).join(", ")
  const rates = paired.map(([ours, other]) => (ours.rate ?? Number.NaN) / (other.rate ?? Number.NaN))
  return [
    result.row.title,
    peer,
    spread(paired.map(([ours, other]) => other.cost / ours.cost)),
    rate === undefined ? "–" : spread(rates),
    `${both((measurement) => measurement.cost, costScale)} ${cost}`,
    rate === undefined ? "–" : `${both((measurement) => measurement.rate, rateScale)} ${rate}`,
    both((measurement) => measurement.peakBytes, 1e-6)
  ]
}

const lines = (result: Result): ReadonlyArray<ReadonlyArray<string>> =>
  result.failure === undefined
    ? result.row.peers.map((peer) => cells(result, peer))
    : [[result.row.title, "", `failed: ${result.failure}`, "", "", "", ""]]

export const markdown = (results: ReadonlyArray<Result>): string => {
  const table = [[...headings, ...medianHeadings], headings.concat(medianHeadings).map(() => "---")]
  const body = results.flatMap(lines)
  return [...table, ...body].map((row) => `| ${row.join(" | ")} |`).join("\n")
}

/** One line for each peer, for the terminal. */
export const summary = (result: Result): string =>
  lines(result)
    .map(([title = "", peer = "", cost = "", throughput = "", ...medians]) =>
      result.failure !== undefined
        ? `${result.row.name.padEnd(16)} ${cost}`
        : `${result.row.name.padEnd(16)} ${peer.padEnd(4)} cost ${cost.padEnd(20)} throughput ${throughput.padEnd(20)} ` +
          `${medians.join(" | ")}  (${title})`
    )
    .join("\n")

/** One line for one measurement: what each process spent, to see whether the server was the bottleneck. */
export const detail = (row: Row, run: number, server: ServerName, measurement: Measurement | undefined): string => {
  if (measurement === undefined) return ""
  const { cost, costScale, rate, rateScale } = unitOf(row)
  const { cpu, seconds } = measurement
  const flowed = `${number((measurement.rate ?? Number.NaN) * rateScale)} ${rate ?? ""}`
  const share = (value: number): string => `${value.toFixed(2)} s`
  return (
    `  ${row.name.padEnd(16)} run ${run} ${server.padEnd(4)} ${number(measurement.cost * costScale)} ${cost}, ${flowed}, ` +
    `peak ${number(measurement.peakBytes / 1e6)} MB; in ${share(seconds)} CPU server ${share(cpu.server)}, ` +
    `load ${share(cpu.load)}, target ${share(cpu.target)}`
  )
}

export const machine = (): string => {
  const processors = cpus()
  return `${processors[0]?.model.trim() ?? "unknown CPU"}, ${processors.length} cores, Node ${process.version}, ${process.platform}`
}

const startMarker = "<!-- bench:start -->"
const endMarker = "<!-- bench:end -->"

/** Puts the table between the README's markers. */
export const writeReadme = (results: ReadonlyArray<Result>, command: string): void => {
  const path = new URL("README.md", import.meta.url)
  const text = readFileSync(path, "utf8")
  const from = text.indexOf(startMarker)
  const to = text.indexOf(endMarker)
  if (from < 0 || to < from) throw new Error(`expected ${startMarker} and ${endMarker} in bench/README.md`)
  const date = new Date().toISOString().slice(0, 10)
  const block = [startMarker, "", `${date}, ${machine()}: \`${command}\``, "", markdown(results), ""].join("\n")
  writeFileSync(path, `${text.slice(0, from)}${block}\n${text.slice(to)}`)
}
