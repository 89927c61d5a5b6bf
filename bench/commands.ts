/**
 * The commands of the servers. The project's own come from `BENCH_ECHO` and `BENCH_PROXY` when they are set (words split
 * at spaces, `{TARGET}` stands for the target's `HOST:PORT`). What is about the start of a process runs as JavaScript, as
 * users have it, ours built anew and the peers without their types; everything else from its sources.
 */
import { spawnSync } from "node:child_process"
import { mkdirSync, mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs"
import { stripTypeScriptTypes } from "node:module"
import { join } from "node:path"
import { fileURLToPath } from "node:url"
import { certificateFile } from "./certificate.ts"
import type { Row, ServerName } from "./rows.ts"

const project = fileURLToPath(new URL("..", import.meta.url))
const anyPort = "127.0.0.1:0"
const overrides: Readonly<Record<Row["role"], string>> = { echo: "BENCH_ECHO", proxy: "BENCH_PROXY" }

/** Whether another server stands in for ours. */
export const overridden = (): boolean => Object.values(overrides).some((name) => process.env[name] !== undefined)

let isBuilt = false

/** Our command line as `npm run build` makes it; built once for a run of the benchmark. */
const built = (): string => {
  if (!isBuilt) {
    const { error, status, stdout } = spawnSync("npm", ["run", "-s", "build"], { cwd: project, encoding: "utf8" })
    if (status !== 0) throw new Error(`npm run build failed: ${error?.message ?? stdout.split("\n")[0]}`)
    isBuilt = true
  }
  return "dist/cli/main.js"
}

let peers: string | undefined

/** The folder of the peers without their types. It is below `node_modules`, where they find `ws`. */
const plainPeers = (): string => {
  if (peers !== undefined) return peers
  const cache = join(project, "node_modules/.cache")
  mkdirSync(cache, { recursive: true })
  const folder = mkdtempSync(join(cache, "bench-"))
  process.on("exit", () => rmSync(folder, { recursive: true, force: true }))
  const sources = join(project, "bench/peers")
  for (const name of readdirSync(sources)) {
    const text = stripTypeScriptTypes(readFileSync(join(sources, name), "utf8"))
    writeFileSync(join(folder, name.replace(/\.ts$/, ".mjs")), text.replaceAll('.ts"', '.mjs"'))
  }
  peers = folder
  return folder
}

/** A process of Node that does nothing but say that it is up. */
const bareNode = ["node", "-e", 'setInterval(() => {}, 1 << 30); console.log("ready tcp://127.0.0.1:1")']

const ownCommand = (row: Row, target: string): ReadonlyArray<string> => {
  const { compression, few, role, server } = row
  const targets = role === "proxy" ? [target] : []
  if (server !== undefined) {
    const file = server === "broadcast" ? server : `${server}-${role}`
    const options = compression === undefined ? [] : [`--compression=${compression}`]
    return ["node", "--conditions=source", `bench/servers/${file}.ts`, anyPort, ...targets, ...options]
  }
  const own = process.env[overrides[role]]
  if (own !== undefined) return own.split(/\s+/).map((word) => word.replace("{TARGET}", target))
  const program = row.kind === "start" ? built() : "src/cli/main.ts"
  return ["node", program, role, anyPort, ...targets, ...(few === undefined ? [] : ["--max-connections", "100000"])]
}

const peerCommand = (peer: string, row: Row, target: string): ReadonlyArray<string> => {
  const { compression, kind, role, server } = row
  const name = `${peer}-${server === "broadcast" ? server : server === "deflate" ? `${server}-${role}` : role}`
  const file = kind === "start" ? join(plainPeers(), `${name}.mjs`) : `bench/peers/${name}.ts`
  const options = compression === undefined ? [] : [`--compression=${compression}`]
  return ["node", file, anyPort, ...(role === "proxy" ? [target] : []), ...options]
}

/** The command line of a server for a row. */
export const commandOf = (server: ServerName, row: Row, target: string): ReadonlyArray<string> => {
  const certificate = row.tls === true ? certificateFile() : undefined
  const { server: _, ...core } = row
  switch (server) {
    case "node":
      return bareNode
    case "ws":
    case "net": {
      const peer = peerCommand(server, row, target)
      return certificate === undefined ? peer : [...peer, `--cert=${certificate}`]
    }
    default: {
      const own = ownCommand(server === "core" ? core : row, target)
      return certificate === undefined ? own : [...own, "--cert", certificate]
    }
  }
}
