/**
 * Rows in which something flows: what does one message, byte or handshake cost, and how many are there in a second. Each
 * server is warmed up; then all are loaded in turn, in short slices. A slice ends when everything in flight has arrived,
 * and CPU time is read from before the first slice to after the last (between its slices a server idles), so that cost
 * and count belong to the same work.
 */
import { blaming, cpuOf, cpuSince, inTurn, patience, startRig } from "../rig.ts"
import type { Measurement, MeasureOptions, Rig, Run } from "../rig.ts"
import type { Row, ServerName } from "../rows.ts"
import { peakResidentBytes } from "../server.ts"

const slices = 4
const shortestWarmUp = 0.25

/** Of handshakes, so many for each second that is measured: fewer pass in the time than V8 waits for to compile what they run. */
const handshakesBefore = 2000

/** How long a server is loaded before it is measured. */
export const warmUpSeconds = (options: MeasureOptions): number => Math.max(shortestWarmUp, options.seconds / 2)

/** Loads the server for so long and gives what it carried: messages, payload bytes or handshakes. */
const driver = ({ row, load, target }: Rig): ((seconds: number) => Promise<number>) => {
  const run = (seconds: number) => load.call("run", { seconds, width: row.connections }, seconds + patience)
  let total = 0
  if (row.kind === "upload") {
    return async (seconds) => {
      const sent = await run(seconds)
      total += sent
      await target?.call("received", total, patience)
      return sent
    }
  }
  if (row.kind === "download") {
    return async (seconds) => {
      await target?.call("source", true, patience)
      await load.call("hold", seconds, seconds + patience)
      const before = total
      total = (await target?.call("source", false, patience)) ?? 0
      await load.call("received", total, patience)
      return total - before
    }
  }
  return run
}

interface Flow {
  readonly slice: (seconds: number) => Promise<void>
  readonly finish: () => Promise<Measurement>
}

/** Opens the connections, warms the server up, and begins to measure. */
const startFlow = async (rig: Rig, options: MeasureOptions): Promise<Flow> => {
  const { row, server, load } = rig
  if (row.kind !== "handshake") await load.call("open", row.connections, 3 * patience)
  const drive = driver(rig)
  let warmed = 0
  do warmed += await drive(warmUpSeconds(options))
  while (row.kind === "handshake" && warmed < handshakesBefore * options.seconds)
  await options.begin?.(server)
  const before = cpuOf(rig)
  let count = 0
  let seconds = 0
  return {
    slice: async (length) => {
      const began = performance.now()
      count += await drive(length)
      seconds += (performance.now() - began) / 1000
    },
    finish: async () => {
      const cpu = cpuSince(rig, before)
      await options.end?.(server)
      if (count === 0) throw new Error("nothing came through")
      return {
        first: cpu.server / count,
        second: count / seconds,
        peakBytes: peakResidentBytes(server.pid),
        seconds,
        cpu
      }
    }
  }
}

/** Runs slices of the measured time on all servers in turn. */
export const inSlices = async <A>(
  servers: ReadonlyArray<A>,
  seconds: number,
  slice: (server: A, seconds: number) => Promise<void>
): Promise<void> => {
  for (let round = 0; round < slices; round++) {
    for (const server of inTurn(servers, round)) await slice(server, seconds / slices)
  }
}

export const measureFlow = async (
  row: Row,
  names: ReadonlyArray<ServerName>,
  options: MeasureOptions
): Promise<Run> => {
  await using resources = new AsyncDisposableStack()
  const flows: Array<readonly [Rig, Flow]> = []
  for (const name of names) {
    const rig = resources.use(await blaming(name, undefined, () => startRig(row, name, options)))
    flows.push([rig, await blaming(rig.name, rig.server, () => startFlow(rig, options))])
  }
  await inSlices(flows, options.seconds, ([rig, flow], seconds) =>
    blaming(rig.name, rig.server, () => flow.slice(seconds))
  )
  const run: { [Name in ServerName]?: Measurement } = {}
  for (const [rig, flow] of flows) run[rig.name] = await blaming(rig.name, rig.server, flow.finish)
  return run
}
