/**
 * One run of a row: every server with its own load and target in fresh processes, all gone at the end. Each server is
 * warmed up; then the servers are loaded in turn, in short slices, so that a slow spell of the machine falls on all of
 * them. A slice ends when everything in flight has arrived, and CPU time is read from before the first slice to after
 * the last (between its slices a server idles), so that cost and count belong to the same work. Memory is measured one
 * server after another. Fails with the reason when a server cannot be measured.
 */
import { reasonOf, sleep, start } from "./agent.ts"
import type { Agent } from "./agent.ts"
import type { BackendCommands } from "./backend.ts"
import type { LoadCommands, LoadOptions } from "./load.ts"
import { commandOf } from "./rows.ts"
import type { Row, ServerName } from "./rows.ts"
import { cpuSeconds, peakResidentBytes, residentBytes, startServer } from "./server.ts"
import type { Server } from "./server.ts"

export interface Measurement {
  /** CPU seconds for one message, byte or handshake; resident bytes for one idle connection. */
  readonly cost: number
  /** Messages, bytes or handshakes a second. */
  readonly rate: number | undefined
  readonly peakBytes: number
  /** Seconds under load, and the CPU seconds of each process for it. */
  readonly seconds: number
  readonly cpu: Cpu
}
interface Cpu {
  readonly server: number
  readonly load: number
  readonly target: number
}

/** One measurement of every server. */
export type Run = Readonly<Partial<Record<ServerName, Measurement>>>

export interface MeasureOptions {
  readonly seconds: number
  readonly nodeArguments?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
  /** Around the measured time of each server, for a profiler. */
  readonly begin?: (server: Server) => Promise<void>
  readonly end?: (server: Server) => Promise<void>
}

interface Rig extends AsyncDisposable {
  readonly name: ServerName
  readonly row: Row
  readonly server: Server
  readonly load: Agent<LoadCommands>
  readonly target: Agent<BackendCommands> | undefined
}

const patience = 30
const slices = 4
const shortestWarmUp = 0.25
const fewConnections = 20
const idleSettle = 5
/** How long a dying server may take until its exit is known. */
const deathSeconds = 0.2

const targetModes = { echo: "echo", upload: "sink", download: "source", idle: "echo", handshake: "echo" } as const

const startRig = async (row: Row, name: ServerName, options: MeasureOptions): Promise<Rig> => {
  await using resources = new AsyncDisposableStack()
  const target = row.role === "proxy" ? resources.use(start<BackendCommands>("backend.ts")) : undefined
  const listening = await target?.call("listen", { mode: targetModes[row.kind], size: row.size }, patience)
  const command = commandOf(name, row, `127.0.0.1:${listening?.port ?? 0}`)
  const server = resources.use(await startServer(command, options.nodeArguments, options.environment))
  if (row.kind === "handshake" && server.scheme === "tcp")
    throw new Error("a tcp:// server has no handshake to measure")
  const load = resources.use(start<LoadCommands>("load.ts"))
  const { scheme, host, port } = server
  const { kind: mode, size, depth } = row
  const loadOptions: LoadOptions = { scheme, host, port, mode, size, depth, boundaries: row.role === "echo" }
  await load.call("prepare", { server: server.pid, options: loadOptions }, patience)
  const owned = resources.move()
  return { name, row, server, load, target, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Runs a step; a failure says which server it was and, when that has died, its last words. */
const blaming = async <A>(name: ServerName, server: Server | undefined, step: () => Promise<A>): Promise<A> => {
  try {
    return await step()
  } catch (error) {
    await sleep(deathSeconds)
    throw new Error(`${name}: ${reasonOf(error)}${server?.obituary() ?? ""}`, { cause: error })
  }
}

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

const cpuOf = ({ server, load, target }: Rig): Cpu => ({
  server: cpuSeconds(server.pid),
  load: cpuSeconds(load.pid),
  target: target === undefined ? 0 : cpuSeconds(target.pid)
})

interface Flow {
  readonly slice: (seconds: number) => Promise<void>
  readonly finish: () => Promise<Measurement>
}

/** Opens the connections, warms the server up, and begins to measure. */
const startFlow = async (rig: Rig, options: MeasureOptions): Promise<Flow> => {
  const { row, server, load } = rig
  if (row.kind !== "handshake") await load.call("open", row.connections, patience)
  const drive = driver(rig)
  await drive(Math.max(shortestWarmUp, options.seconds / 2))
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
      const after = cpuOf(rig)
      await options.end?.(server)
      if (count === 0) throw new Error("nothing came through")
      const cpu = {
        server: after.server - before.server,
        load: after.load - before.load,
        target: after.target - before.target
      }
      return { cost: cpu.server / count, rate: count / seconds, peakBytes: peakResidentBytes(server.pid), seconds, cpu }
    }
  }
}

const idle = async ({ row, server, load }: Rig): Promise<Measurement> => {
  await load.call("open", fewConnections, patience)
  await load.call("hold", idleSettle / 2, patience)
  const before = residentBytes(server.pid)
  await load.call("open", row.connections, 3 * patience)
  await load.call("hold", idleSettle, patience)
  return {
    cost: (residentBytes(server.pid) - before) / row.connections,
    rate: undefined,
    peakBytes: peakResidentBytes(server.pid),
    seconds: idleSettle,
    cpu: { server: 0, load: 0, target: 0 }
  }
}

export const measure = async (row: Row, names: ReadonlyArray<ServerName>, options: MeasureOptions): Promise<Run> => {
  const run: { [Name in ServerName]?: Measurement } = {}
  if (row.kind === "idle") {
    for (const name of names) {
      await using rig = await blaming(name, undefined, () => startRig(row, name, options))
      run[name] = await blaming(rig.name, rig.server, () => idle(rig))
    }
    return run
  }
  await using resources = new AsyncDisposableStack()
  const flows: Array<readonly [Rig, Flow]> = []
  for (const name of names) {
    const rig = resources.use(await blaming(name, undefined, () => startRig(row, name, options)))
    flows.push([rig, await blaming(rig.name, rig.server, () => startFlow(rig, options))])
  }
  for (let slice = 0; slice < slices; slice++) {
    // There and back again: neither the first nor the last place is always the same server's.
    for (const [rig, flow] of slice % 2 === 0 ? flows : flows.toReversed()) {
      await blaming(rig.name, rig.server, () => flow.slice(options.seconds / slices))
    }
  }
  for (const [rig, flow] of flows) run[rig.name] = await blaming(rig.name, rig.server, flow.finish)
  return run
}
