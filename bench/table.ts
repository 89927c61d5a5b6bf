/**
 * The table of the README, in which a run replaces the rows that it has measured and leaves the others: all rows take two hours. Each
 * says when and how it was measured; rows of another machine do not stay. Pure but for `write`.
 */
import { readFileSync, writeFileSync } from "node:fs"
import { headings, lines, machine, type Result, tabulate } from "./report.ts"
import { rows } from "./rows.ts"

const startMarker = "<!-- bench:start -->"
const endMarker = "<!-- bench:end -->"

/** The lines of a table that are measurements, as cells. */
const measurements = (block: string): ReadonlyArray<ReadonlyArray<string>> =>
  block
    .split("\n")
    .filter((line) => line.startsWith("| ") && !line.startsWith("| ---") && !line.startsWith("|  |"))
    .map((line) => line.slice(2, -2).split(" | "))

/** The order of the rows. */
const place = ([title]: ReadonlyArray<string>): number => rows.findIndex((row) => row.title === title)

/** The new block: of `before` stays what is of this machine, of rows that there still are, and was not measured now. */
export const merge = (before: string, results: ReadonlyArray<Result>, how: string, shape: string): string => {
  const measured = results.flatMap((result) => lines(result).map((cells) => [...cells, how]))
  const now = new Set(measured.map(([title]) => title))
  const kept = before.includes(shape)
    ? measurements(before).filter((cells) => !now.has(cells[0]) && place(cells) >= 0)
    : []
  const body = [...kept, ...measured].toSorted((a, b) => place(a) - place(b))
  const goals = body.map((cells) => cells[3] ?? "").filter((goal) => /met|missed/.test(goal))
  const met = goals.filter((goal) => goal.endsWith(", met")).length
  const head = `${shape}; ${met} of ${goals.length} goals met. The last column has the day, and the runs and their length.`
  return [startMarker, "", head, "", tabulate([...headings, "measured"], body), "", endMarker].join("\n")
}

/** Puts what was measured into the README. */
export const write = (results: ReadonlyArray<Result>, runs: number, seconds: number): void => {
  const path = new URL("README.md", import.meta.url)
  const text = readFileSync(path, "utf8")
  const from = text.indexOf(startMarker)
  const to = text.indexOf(endMarker) + endMarker.length
  if (from < 0 || to < from) throw new Error(`expected ${startMarker} and ${endMarker} in bench/README.md`)
  const how = `${new Date().toISOString().slice(0, 10)}, ${runs} × ${seconds} s`
  writeFileSync(path, text.slice(0, from) + merge(text.slice(from, to), results, how, machine()) + text.slice(to))
}
