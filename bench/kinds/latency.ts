/**
 * Rows about latency: every server gets the same messages on the same schedule, at half of what `ws` carries when the same
 * connections send as fast as it answers, one message in flight on each. So none of them is overloaded, and the latency is
 * that of a server which has room left.
 */
import { blaming, cpuOf, cpuSince, patience, startRig } from "../rig.ts"
import type { Measurement, MeasureOptions, Rig, Run } from "../rig.ts"
import type { Row, ServerName } from "../rows.ts"
import { peakResidentBytes } from "../server.ts"
import { inSlices, warmUpSeconds } from "./flow.ts"

const shareOfMost = 0.5

/** Loads a server by schedule, or without a rate as fast as it answers; gives messages. */
const load = ({ load, name, server }: Rig, seconds: number, rate?: number): Promise<number> =>
  blaming(name, server, () => load.call("run", { seconds, width: 0, rate }, seconds + patience))

export const measureLatency = async (
  row: Row,
  names: ReadonlyArray<ServerName>,
  options: MeasureOptions
): Promise<Run> => {
  await using resources = new AsyncDisposableStack()
  const warmUp = warmUpSeconds(options)
  const rigs: Array<Rig> = []
  for (const name of names) {
    const rig = resources.use(await blaming(name, undefined, () => startRig(row, name, options)))
    await blaming(name, rig.server, () => rig.load.call("open", row.connections, patience))
    await load(rig, warmUp)
    rigs.push(rig)
  }
  const scale = rigs.find(({ name }) => name === "ws") ?? rigs[0]
  if (scale === undefined) return {}
  const began = performance.now()
  const most = ((await load(scale, warmUp)) / (performance.now() - began)) * 1000
  const rate = most * shareOfMost
  const before = new Map<Rig, ReturnType<typeof cpuOf>>()
  for (const rig of rigs) {
    await load(rig, warmUp, rate)
    await rig.load.call("latencies", undefined, patience)
    await options.begin?.(rig.server)
    before.set(rig, cpuOf(rig))
  }
  let seconds = 0
  await inSlices(rigs, options.seconds, async (rig, length) => {
    seconds += length / rigs.length
    await load(rig, length, rate)
  })
  const run: { [Name in ServerName]?: Measurement } = {}
  for (const rig of rigs) {
    const cpu = cpuSince(rig, before.get(rig) ?? cpuOf(rig))
    await options.end?.(rig.server)
    const { p50, p99 } = await rig.load.call("latencies", undefined, patience)
    run[rig.name] = { first: p99, second: p50, peakBytes: peakResidentBytes(rig.server.pid), seconds, cpu }
  }
  return run
}
