/**
 * What one server is measured with: its own process, a load generator and, behind a proxy, a target, and between a tunnel and its
 * target a proxy, all fresh and all gone at the end; and what a measurement gives.
 */
import { reasonOf, sleep, start } from "./agent.ts"
import type { Agent } from "./agent.ts"
import type { BackendCommands } from "./backend.ts"
import { commandOf, farEndOf } from "./commands.ts"
import type { LoadCommands, LoadOptions } from "./load.ts"
import type { Row, ServerName } from "./rows.ts"
import { cpuSeconds, startServer } from "./server.ts"
import type { Server } from "./server.ts"

export interface Measurement {
  /** The number that the row is about, in seconds or bytes for one unit, and the other one: see `figuresOf`. */
  readonly first: number
  readonly second: number | undefined
  readonly peakBytes: number
  /** Seconds under load, and the CPU seconds of each process for it. */
  readonly seconds: number
  readonly cpu: Cpu
}
export interface Cpu {
  readonly server: number
  readonly load: number
  readonly target: number
}

/** One measurement of every server. */
export type Run = Readonly<Partial<Record<ServerName, Measurement>>>

export interface MeasureOptions {
  readonly seconds: number
  /** Whether it is only to be seen that a row works: what goes by number and not by time is cut short. */
  readonly quick?: boolean
  readonly nodeArguments?: ReadonlyArray<string>
  readonly environment?: Readonly<Record<string, string>>
  /** Around the measured time of each server, for a profiler. */
  readonly begin?: (server: Server) => Promise<void>
  readonly end?: (server: Server) => Promise<void>
}

export interface Rig extends AsyncDisposable {
  readonly name: ServerName
  readonly row: Row
  readonly server: Server
  readonly load: Agent<LoadCommands>
  readonly target: Agent<BackendCommands> | undefined
}

/** How long a step may take beside the time that it is given. */
export const patience = 30
/** How long a dying server may take until its exit is known. */
const deathSeconds = 0.2

const targetModes = { upload: "sink", download: "source" } as const
const isBulk = (kind: Row["kind"]): kind is keyof typeof targetModes => kind in targetModes

const modeOf = (kind: Row["kind"]): LoadOptions["mode"] => {
  if (kind === "start") throw new Error("nothing loads a server that only starts")
  return kind === "churn" ? "handshake" : kind
}

export const startRig = async (base: Row, name: ServerName, options: MeasureOptions): Promise<Rig> => {
  const row = name === "few" ? { ...base, ...base.few } : base
  await using resources = new AsyncDisposableStack()
  const target = row.role === "echo" ? undefined : resources.use(start<BackendCommands>("backend.ts"))
  const targetMode = isBulk(row.kind) ? targetModes[row.kind] : "echo"
  const listening = await target?.call("listen", { mode: targetMode, size: row.size }, patience)
  const address = `127.0.0.1:${listening?.port ?? 0}`
  const farEnd = row.role === "tunnel" ? resources.use(await startServer(farEndOf(name, row, address))) : undefined
  const command = commandOf(name, row, farEnd === undefined ? address : `${farEnd.host}:${farEnd.port}`)
  const server = resources.use(await startServer(command, options.nodeArguments, options.environment))
  const mode = modeOf(row.kind)
  if (mode === "handshake" && server.scheme === "tcp" && row.role !== "tunnel")
    throw new Error("a tcp:// server has no handshake to measure")
  const load = resources.use(start<LoadCommands>("load.ts"))
  const { scheme, host, port } = server
  const { compression, depth, size } = row
  const boundaries = row.role === "echo"
  const http2 = row.http2 === true && name === "ours"
  const loadOptions: LoadOptions = { scheme, host, port, mode, size, depth, boundaries, compression, http2 }
  await load.call("prepare", { server: server.pid, options: loadOptions }, patience)
  const owned = resources.move()
  return { name, row, server, load, target, [Symbol.asyncDispose]: () => owned.disposeAsync() }
}

/** Runs a step; a failure says which server it was and, when that has died, its last words. */
export const blaming = async <A>(name: ServerName, server: Server | undefined, step: () => Promise<A>): Promise<A> => {
  try {
    return await step()
  } catch (error) {
    await sleep(deathSeconds)
    throw new Error(`${name}: ${reasonOf(error)}${server?.obituary() ?? ""}`, { cause: error })
  }
}

export const cpuOf = ({ server, load, target }: Rig): Cpu => ({
  server: cpuSeconds(server.pid),
  load: cpuSeconds(load.pid),
  target: target === undefined ? 0 : cpuSeconds(target.pid)
})

/** The CPU seconds since then. */
export const cpuSince = (rig: Rig, before: Cpu): Cpu => {
  const now = cpuOf(rig)
  return { server: now.server - before.server, load: now.load - before.load, target: now.target - before.target }
}

export const noCpu: Cpu = { server: 0, load: 0, target: 0 }

/** There and back again: neither the first nor the last place is always the same server's. */
export const inTurn = <A>(servers: ReadonlyArray<A>, round: number): ReadonlyArray<A> =>
  round % 2 === 0 ? servers : servers.toReversed()
