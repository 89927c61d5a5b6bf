/**
 * Rows about the start: how long from the spawn of a server's process to its ready line, and how much memory it has taken
 * by then, before its first connection. A run starts every server several times, in turn, and takes the medians.
 */
import { commandOf } from "../commands.ts"
import { blaming, inTurn, noCpu } from "../rig.ts"
import type { Measurement, MeasureOptions, Run } from "../rig.ts"
import { median } from "../report.ts"
import type { Row, ServerName } from "../rows.ts"
import { cpuSeconds, peakResidentBytes, residentBytes, startServer } from "../server.ts"

/** In place of a target: a proxy does not dial before it has a client. */
const nowhere = "127.0.0.1:9"
const startsPerSecond = 2

const startOnce = async (command: ReadonlyArray<string>, options: MeasureOptions): Promise<Measurement> => {
  const began = performance.now()
  await using server = await startServer(command, options.nodeArguments, options.environment)
  const seconds = (performance.now() - began) / 1000
  return {
    first: seconds,
    second: residentBytes(server.pid),
    peakBytes: peakResidentBytes(server.pid),
    seconds,
    cpu: { ...noCpu, server: cpuSeconds(server.pid) }
  }
}

const medianOf = (starts: ReadonlyArray<Measurement>, of: (start: Measurement) => number): number =>
  median(starts.map(of))

const typical = (starts: ReadonlyArray<Measurement>): Measurement => ({
  first: medianOf(starts, ({ first }) => first),
  second: medianOf(starts, ({ second }) => second ?? Number.NaN),
  peakBytes: medianOf(starts, ({ peakBytes }) => peakBytes),
  seconds: medianOf(starts, ({ seconds }) => seconds),
  cpu: { ...noCpu, server: medianOf(starts, ({ cpu }) => cpu.server) }
})

export const measureStart = async (
  row: Row,
  names: ReadonlyArray<ServerName>,
  options: MeasureOptions
): Promise<Run> => {
  const starts = new Map<ServerName, Array<Measurement>>(names.map((name) => [name, []]))
  const rounds = Math.max(1, Math.round(options.seconds * startsPerSecond))
  for (let round = 0; round < rounds; round++) {
    for (const name of inTurn(names, round)) {
      const command = commandOf(name, row, nowhere)
      starts.get(name)?.push(await blaming(name, undefined, () => startOnce(command, options)))
    }
  }
  return Object.fromEntries([...starts].map(([name, measured]) => [name, typical(measured)]))
}
