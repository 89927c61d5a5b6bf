/**
 * `npm run bench -- [--runs N] [--seconds S] [--only REGEX] [--quick] [--verbose] [--write]`: measures the rows, ours
 * and every peer in turn within each run, prints the ratios, and exits with 1 when a row failed.
 */
import { parseArgs } from "node:util"
import { reasonOf } from "./agent.ts"
import { overridden } from "./commands.ts"
import { measure } from "./measure.ts"
import { detail, goals, machine, markdown, summary } from "./report.ts"
import type { Result } from "./report.ts"
import type { Run } from "./rig.ts"
import { rows } from "./rows.ts"
import type { Row, ServerName } from "./rows.ts"
import * as Table from "./table.ts"

interface Options {
  readonly runs: number
  readonly seconds: number
  readonly quick: boolean
  readonly only: RegExp
  readonly verbose: boolean
  readonly write: boolean
}

const positive = (name: string, text: string): number => {
  const value = Number(text)
  if (!(value > 0)) throw new Error(`--${name}: expected a number above 0, got ${text}`)
  return value
}

const optionsOf = (argv: ReadonlyArray<string>): Options => {
  const { values } = parseArgs({
    args: [...argv],
    options: {
      runs: { type: "string" },
      seconds: { type: "string" },
      only: { type: "string", default: "" },
      quick: { type: "boolean", default: false },
      verbose: { type: "boolean", default: false },
      write: { type: "boolean", default: false }
    }
  })
  const quick = values.quick
  return {
    runs: Math.ceil(positive("runs", values.runs ?? (quick ? "1" : "7"))),
    seconds: positive("seconds", values.seconds ?? (quick ? "0.5" : "2")),
    quick,
    only: new RegExp(values.only),
    verbose: values.verbose,
    write: values.write
  }
}

const measureRow = async (row: Row, options: Options): Promise<Result> => {
  const order: ReadonlyArray<ServerName> = ["ours", ...row.peers]
  const runs: Array<Run> = []
  try {
    for (let index = 0; index < options.runs; index++) {
      // Every other run goes the other way round: a drift of the machine favours nobody.
      const names = index % 2 === 0 ? order : order.toReversed()
      const run = await measure(row, names, options)
      runs.push(run)
      if (options.verbose) console.log(order.map((name) => detail(row, index + 1, name, run[name])).join("\n"))
    }
    return { row, runs, failure: undefined }
  } catch (error) {
    return { row, runs, failure: reasonOf(error) }
  }
}

const main = async (): Promise<void> => {
  const argv = process.argv.slice(2)
  const options = optionsOf(argv)
  if (options.write && overridden())
    throw new Error("--write: the table is of our own servers, unset BENCH_ECHO, BENCH_PROXY and BENCH_TUNNEL")
  const chosen = rows.filter((row) => options.only.test(row.name))
  if (chosen.length === 0) throw new Error(`--only: no row matches; rows: ${rows.map((row) => row.name).join(" ")}`)
  console.log(`${machine()}; ${options.runs} runs of ${options.seconds} s; above 1 is better for us\n`)
  const results: Array<Result> = []
  for (const row of chosen) {
    const result = await measureRow(row, options)
    results.push(result)
    console.log(summary(result))
  }
  console.log(`\n${markdown(results)}\n\n${goals(results)}`)
  const failed = results.some((result) => result.failure !== undefined)
  if (failed) process.exitCode = 1
  if (options.write && failed) console.error("\nbench/README.md is left as it was: a row failed")
  else if (options.write) Table.write(results, options.runs, options.seconds)
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130))
main().catch((error: unknown) => {
  console.error(reasonOf(error))
  process.exit(2)
})
