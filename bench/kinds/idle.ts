/**
 * Rows about the memory of connections that wait: what many of them add to a server that has seen few, or as many
 * as the row says, each time when it has settled or, where the row says so, has rested for as long as a runtime takes to give back
 * what it needed to open them. The servers are filled one after another, and rest together.
 */
import { blaming, noCpu, patience, startRig } from "../rig.ts"
import type { Measurement, MeasureOptions, Rig, Run } from "../rig.ts"
import type { Row, ServerName } from "../rows.ts"
import { peakResidentBytes, residentBytes } from "../server.ts"

const fewConnections = 20
const settleSeconds = 5

/** Opens so many connections more and, where the row says so, has them exchange messages. */
const fill = async ({ row, load }: Rig, count: number): Promise<void> => {
  await load.call("open", count, 3 * patience)
  if (row.exchanged !== undefined) await load.call("exchange", row.exchanged, 3 * patience)
}

const residentAfter = async ({ server, load }: Rig, seconds: number): Promise<number> => {
  await load.call("hold", seconds, seconds + patience)
  return residentBytes(server.pid)
}

export const measureIdle = async (
  row: Row,
  names: ReadonlyArray<ServerName>,
  options: MeasureOptions
): Promise<Run> => {
  const seconds = options.quick === true ? 0 : (row.rests ?? 0)
  const run: { [Name in ServerName]?: Measurement } = {}
  await using resources = new AsyncDisposableStack()
  const rigs: Array<Rig> = []
  const together = <A>(step: (rig: Rig) => Promise<A>): Promise<ReadonlyArray<A>> =>
    Promise.all(rigs.map((rig) => blaming(rig.name, rig.server, () => step(rig))))

  /** What a server has when so many more have come, and what when all servers have rested. */
  const filled = async (rig: Rig, count: number): Promise<number> => {
    await fill(rig, count)
    return residentAfter(rig, settleSeconds)
  }
  const rested = (settled: ReadonlyArray<number>): Promise<ReadonlyArray<number>> =>
    seconds === 0 ? Promise.resolve(settled) : together((rig) => residentAfter(rig, seconds))

  const few: Array<number> = []
  for (const name of names) {
    const rig = resources.use(await blaming(name, undefined, () => startRig(row, name, options)))
    rigs.push(rig)
    few.push(await blaming(name, rig.server, () => filled(rig, rig.row.held ?? fewConnections)))
  }
  const before = await rested(few)
  const fresh: Array<number> = []
  for (const rig of rigs) fresh.push(await blaming(rig.name, rig.server, () => filled(rig, rig.row.connections)))
  const after = await rested(fresh)
  for (const [index, { name, row, server }] of rigs.entries()) {
    const each = (resident: number | undefined): number =>
      ((resident ?? Number.NaN) - (before[index] ?? Number.NaN)) / row.connections
    run[name] = {
      first: each(after[index]),
      second: each(fresh[index]),
      peakBytes: peakResidentBytes(server.pid),
      seconds,
      cpu: noCpu
    }
  }
  return run
}
