/**
 * `node bench/hold.ts --connections 100000 --workers 8`: opens so many WebSocket connections to `echo --workers N`, has each echo a
 * message, holds them, and prints the resident memory of all the server's processes before and after, and what that is for
 * each connection.
 *
 * The server is the one that `npm run build` makes. A process has so many descriptors (`ulimit -n`) and an address so many ports, so there are as many clients and source addresses
 * (127.0.0.x) as it takes; the workers have to be enough for their share.
 */
import { existsSync, readFileSync } from "node:fs"
import { parseArgs } from "node:util"
import { reasonOf, sleep, start } from "./agent.ts"
import type { HoldCommands } from "./holder.ts"
import { cpuSeconds, residentBytes, startServer } from "./server.ts"

/** What a process needs beside its connections. */
const spare = 500
/** The most from one source address, well below the ports that there are. */
const perAddress = 10_000
const settleSeconds = 5
/** How long all of them may take to open. */
const openSeconds = 1800

const positive = (name: string, text: string): number => {
  const value = Number(text)
  if (!Number.isInteger(value) || value < 1) throw new Error(`--${name}: expected a number from 1 on, got ${text}`)
  return value
}

/** The most descriptors of a process: Node takes as many as it may have. */
const descriptors = (): number => {
  const limit = /^Max open files\s+\S+\s+(\d+)/m.exec(readFileSync("/proc/self/limits", "latin1"))?.[1]
  return limit === undefined ? Infinity : Number(limit)
}

const MB = 1e6
const megabytes = (bytes: number) => `${(bytes / MB).toFixed(1)} MB`

const run = async (connections: number, workers: number): Promise<void> => {
  const most = descriptors() - spare
  if (connections / workers > most) {
    throw new Error(
      `a process has ${most + spare} descriptors here: --workers ${Math.ceil(connections / most)} or more`
    )
  }
  if (!existsSync(new URL("../dist/cli/main.js", import.meta.url))) throw new Error("npm run build comes first")
  const limits = ["--max-connections", String(connections + workers), "--ping-interval", "infinity"]
  await using server = await startServer([
    "node",
    "dist/cli/main.js",
    "echo",
    "127.0.0.1:0",
    ...(workers === 1 ? [] : ["--workers", String(workers)]),
    ...limits
  ])
  await sleep(1)
  const before = residentBytes(server.pid)
  const cpuBefore = cpuSeconds(server.pid)
  const began = performance.now()

  const addresses = Array.from({ length: Math.ceil(connections / perAddress) }, (_, i) => `127.0.0.${i + 2}`)
  const clients = Math.ceil(connections / Math.min(most, perAddress))
  const holders = Array.from({ length: clients }, () => start<HoldCommands>("./holder.ts"))
  try {
    await Promise.all(
      holders.map((holder, i) => {
        const count = Math.floor(connections / clients) + (i < connections % clients ? 1 : 0)
        const { host, port } = server
        return holder.call("open", { host, port, count, from: [addresses[i % addresses.length]!] }, openSeconds)
      })
    )
    const seconds = (performance.now() - began) / 1000
    const cpu = cpuSeconds(server.pid) - cpuBefore
    await sleep(settleSeconds)
    const lost = await Promise.all(holders.map((holder) => holder.call("lost", undefined, 30)))
    const gone = lost.reduce((total, one) => total + one, 0)
    if (gone > 0) throw new Error(`${gone} connections were lost${server.obituary()}`)
    const after = residentBytes(server.pid)
    console.log(`${connections} connections open, each with a message echoed, with --workers ${workers}`)
    console.log(
      `opened in ${seconds.toFixed(1)} s, ${((cpu / connections) * MB).toFixed(0)} µs of the server's CPU each`
    )
    console.log(`resident: ${megabytes(after)} in all, ${megabytes(before)} before`)
    console.log(`for each connection: ${((after - before) / connections / 1000).toFixed(2)} KB`)
  } finally {
    await Promise.all(holders.map((holder) => holder[Symbol.asyncDispose]()))
  }
}

try {
  const { values } = parseArgs({
    options: { connections: { type: "string", default: "20000" }, workers: { type: "string", default: "4" } }
  })
  await run(positive("connections", values.connections), positive("workers", values.workers))
} catch (error) {
  console.error(`hold: ${reasonOf(error)}`)
  process.exitCode = 1
}
