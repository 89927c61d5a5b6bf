/**
 * Rows about the memory of connections that wait: what many of them add to a server that has seen few, or as many
 * as the row says, one server after another.
 */
import { blaming, noCpu, patience, startRig } from "../rig.ts"
import type { Measurement, MeasureOptions, Rig, Run } from "../rig.ts"
import type { Row, ServerName } from "../rows.ts"
import { peakResidentBytes, residentBytes } from "../server.ts"

const fewConnections = 20
const settleSeconds = 5

const idle = async ({ row, server, load }: Rig): Promise<Measurement> => {
  const hold = async (count: number, seconds: number): Promise<number> => {
    await load.call("open", count, 3 * patience)
    if (row.exchanged !== undefined) await load.call("exchange", row.exchanged, 3 * patience)
    await load.call("hold", seconds, seconds + patience)
    return residentBytes(server.pid)
  }
  const before = await hold(row.held ?? fewConnections, settleSeconds / 2)
  const after = await hold(row.connections, settleSeconds)
  return {
    first: (after - before) / row.connections,
    second: undefined,
    peakBytes: peakResidentBytes(server.pid),
    seconds: settleSeconds,
    cpu: noCpu
  }
}

export const measureIdle = async (
  row: Row,
  names: ReadonlyArray<ServerName>,
  options: MeasureOptions
): Promise<Run> => {
  const run: { [Name in ServerName]?: Measurement } = {}
  for (const name of names) {
    await using rig = await blaming(name, undefined, () => startRig(row, name, options))
    run[name] = await blaming(rig.name, rig.server, () => idle(rig))
  }
  return run
}
