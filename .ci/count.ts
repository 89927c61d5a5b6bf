/**
 * `node .ci/count.ts FILE...`: sums vitest's JSON reports into one closing line.
 */
import { existsSync, readFileSync } from "node:fs"

interface Report {
  readonly numPassedTests: number
  readonly numFailedTests: number
  readonly numPendingTests: number
  readonly numTodoTests: number
}

const reports: ReadonlyArray<Report> = process.argv
  .slice(2)
  .filter((file) => existsSync(file))
  .map((file) => JSON.parse(readFileSync(file, "utf8")))
const sum = (count: (report: Report) => number): number => reports.reduce((total, report) => total + count(report), 0)

console.log(
  `${sum((report) => report.numPassedTests)} passed, ${sum((report) => report.numFailedTests)} failed, ` +
    `${sum((report) => report.numPendingTests + report.numTodoTests)} skipped`
)
