/**
 * `node bench/hold.ts --connections 100000 --workers 8`: opens so many WebSocket connections to `echo --workers N`, has each echo a
 * message, holds them, and prints the resident memory of all the server's processes before and after, and what that is for
 * each connection: when they have settled, and when they have rested for as long as `--rest` says, in seconds.
 *
 * The server is the one that `npm run build` makes. A process has so many descriptors (`ulimit -n`) and an address so many ports, so there are as many clients and source addresses
 * (127.0.x.y) as it takes; the workers have to be enough for their share. The server pings them meanwhile, as it does by default.
 */
import { existsSync, readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { reasonOf, sleep, start } from "./agent.ts"
import type { LoadCommands, LoadOptions } from "./load.ts"
import { blaming, patience } from "./rig.ts"
import { restSeconds } from "./rows.ts"
import { cpuSeconds, residentBytes, startServer } from "./server.ts"

/** What a process needs beside its connections. */
const spare = 500
/** The most from one source address, well below the ports that there are. */
const perAddress = 10_000
const settleSeconds = 5
/** How long all of them may take to open. */
const openSeconds = 1800

const whole = (name: string, text: string, least: number): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < least)
    throw new Error(`--${name}: expected a whole number from ${least} on, got ${text}`)
  return value
}

/** The most descriptors of a process: Node takes as many as it may have. */
const descriptors = (): number => {
  const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1]
  return limit === undefined ? Infinity : Number(limit)
}

/** An address of this machine for each load, beside that of the server. */
const addressOf = (index: number): string => `127.0.${1 + Math.floor(index / 250)}.${1 + (index % 250)}`

const MB = 1e6
const megabytes = (bytes: number) => `${(bytes / MB).toFixed(1)} MB`

const run = async (connections: number, workers: number, rest: number): Promise<void> => {
  const most = descriptors() - spare
  if (connections / workers > most) {
    throw new Error(
      `a process has ${most + spare} descriptors here: --workers ${Math.ceil(connections / most)} or more`
    )
  }
  if (!existsSync(new URL("../dist/cli/main.js", import.meta.url))) throw new Error("npm run build comes first")
  const several = workers === 1 ? [] : ["--workers", String(workers)]
  const limits = ["--max-connections", String(connections + workers)]
  await using resources = new AsyncDisposableStack()
  const server = resources.use(
    await startServer(["node", "dist/cli/main.js", "echo", "127.0.0.1:0", ...several, ...limits])
  )
  await sleep(1)
  const before = residentBytes(server.pid)
  const cpuBefore = cpuSeconds(server.pid)
  const began = performance.now()

  const count = Math.ceil(connections / Math.min(most, perAddress))
  const loads = Array.from({ length: count }, () => resources.use(start<LoadCommands>("load.ts")))
  const all = async (step: (load: (typeof loads)[number], index: number) => Promise<void>): Promise<void> => {
    await blaming("ours", server, () => Promise.all(loads.map(step)))
  }
  await all(async (load, index) => {
    const { host, port, scheme } = server
    const options: LoadOptions = {
      scheme,
      host,
      port,
      from: addressOf(index),
      mode: "idle",
      boundaries: true,
      size: 20,
      depth: 1
    }
    await load.call("prepare", { server: server.pid, options }, patience)
    const share = Math.floor(connections / count) + (index < connections % count ? 1 : 0)
    await load.call("open", share, openSeconds)
    await load.call("exchange", 1, openSeconds)
  })
  const seconds = (performance.now() - began) / 1000
  const cpu = cpuSeconds(server.pid) - cpuBefore
  console.log(`${connections} connections open, each with a message echoed, with --workers ${workers}`)
  console.log(`opened in ${seconds.toFixed(1)} s, ${((cpu / connections) * MB).toFixed(0)} µs of the server's CPU each`)
  console.log(`resident: ${megabytes(before)} before`)
  const wait = async (seconds: number, total: number): Promise<void> => {
    await all((load) => load.call("hold", seconds, seconds + patience))
    const after = residentBytes(server.pid)
    const each = (after - before) / connections / 1000
    console.log(`after ${total} s: ${megabytes(after)} in all, ${each.toFixed(2)} KB for each connection`)
  }
  await wait(settleSeconds, settleSeconds)
  if (rest > 0) await wait(rest, settleSeconds + rest)
}

for (const signal of ["SIGINT", "SIGTERM", "SIGHUP"] as const) process.on(signal, () => process.exit(130))
try {
  const { values } = parseArgs({
    options: {
      connections: { type: "string", default: "20000" },
      workers: { type: "string", default: "4" },
      rest: { type: "string", default: String(restSeconds) }
    }
  })
  const { connections, rest, workers } = values
  await run(whole("connections", connections, 1), whole("workers", workers, 1), whole("rest", rest, 0))
} catch (error) {
  console.error(`hold: ${reasonOf(error)}`)
  process.exitCode = 1
}
