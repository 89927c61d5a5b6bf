/**
 * Rows about what connections leave behind: the resident memory of a server after many have come and gone, as a multiple
 * of what it was after a tenth of them, one server after another. A server that forgets nothing grows with every one.
 */
import { blaming, cpuOf, cpuSince, patience, startRig } from "../rig.ts"
import type { Measurement, MeasureOptions, Rig, Run } from "../rig.ts"
import type { Row, ServerName } from "../rows.ts"
import { peakResidentBytes, residentBytes } from "../server.ts"

const settleSeconds = 5
const warmUpShare = 0.1
const quickShare = 0.02
/** What even a slow machine opens and closes in a second. */
const slowest = 250

const churn = async (rig: Rig, count: number): Promise<Measurement> => {
  const { row, server, load } = rig
  const openAndClose = async (count: number): Promise<void> => {
    await load.call("run", { seconds: 0, width: row.connections, count }, patience + count / slowest)
  }
  const settled = async (): Promise<number> => {
    await load.call("hold", settleSeconds, settleSeconds + patience)
    return residentBytes(server.pid)
  }
  await openAndClose(count * warmUpShare)
  const before = await settled()
  const cpuBefore = cpuOf(rig)
  const began = performance.now()
  await openAndClose(count)
  const seconds = (performance.now() - began) / 1000
  const cpu = cpuSince(rig, cpuBefore)
  const after = await settled()
  return { first: after / before, second: cpu.server / count, peakBytes: peakResidentBytes(server.pid), seconds, cpu }
}

export const measureChurn = async (
  row: Row,
  names: ReadonlyArray<ServerName>,
  options: MeasureOptions
): Promise<Run> => {
  const count = (row.openings ?? 0) * (options.quick === true ? quickShare : 1)
  const run: { [Name in ServerName]?: Measurement } = {}
  for (const name of names) {
    await using rig = await blaming(name, undefined, () => startRig(row, name, options))
    run[name] = await blaming(rig.name, rig.server, () => churn(rig, count))
  }
  return run
}
