/**
 * The commands of the servers. The project's own is what `npm run build` makes, or comes from `BENCH_ECHO`, `BENCH_PROXY` and `BENCH_TUNNEL`
 * when they are set (words split at spaces, `{TARGET}` stands for the target's `HOST:PORT`). All run as JavaScript, as users have them.
 */
import { built } from "./built.ts"
import { certificateFile } from "./certificate.ts"
import type { Row, ServerName } from "./rows.ts"

const anyPort = "127.0.0.1:0"
const overrides: Readonly<Record<Row["role"], string>> = {
  echo: "BENCH_ECHO",
  proxy: "BENCH_PROXY",
  tunnel: "BENCH_TUNNEL"
}

/** Whether another server stands in for ours. */
export const overridden = (): boolean => Object.values(overrides).some((name) => process.env[name] !== undefined)

/** A process of Node that does nothing but say that it is up. */
const bareNode = ["node", "-e", 'setInterval(() => {}, 1 << 30); console.log("ready tcp://127.0.0.1:1")']

const ownCommand = (row: Row, target: string): ReadonlyArray<string> => {
  const { compression, few, http2, role, server } = row
  const targets = role === "echo" ? [] : [role === "tunnel" ? `ws://${target}/` : target]
  if (server !== undefined) {
    const file = server === "broadcast" ? server : `${server}-${role}`
    const options = [
      ...(compression === undefined ? [] : [`--compression=${compression}`]),
      ...(http2 === true ? ["--http2"] : [])
    ]
    return ["node", built(`servers/${file}`), anyPort, ...targets, ...options]
  }
  const own = process.env[overrides[role]]
  if (own !== undefined) return own.split(/\s+/).map((word) => word.replace("{TARGET}", target))
  return [
    "node",
    "dist/cli/main.js",
    role,
    anyPort,
    ...targets,
    ...(few === undefined ? [] : ["--max-connections", "100000"]),
    ...(http2 === true ? ["--http2"] : [])
  ]
}

/** What a peer's program does, by its name. */
const peerWork = (peer: string, server: Row["server"], role: Row["role"]): string => {
  if (server === "broadcast") return server
  if (server === "deflate") return `${server}-${role}`
  // a pipe of bytes is the same at both ends
  return peer === "net" && role === "tunnel" ? "proxy" : role
}

const peerCommand = (peer: string, row: Row, target: string): ReadonlyArray<string> => {
  const { compression, role, server } = row
  const name = `${peer}-${peerWork(peer, server, role)}`
  const options = compression === undefined ? [] : [`--compression=${compression}`]
  return ["node", built(`peers/${name}`), anyPort, ...(role === "echo" ? [] : [target]), ...options]
}

/** The command line of what a tunnel of that server leads to, in front of the target. */
export const farEndOf = (server: ServerName, row: Row, target: string): ReadonlyArray<string> =>
  commandOf(server === "net" ? "net" : "ours", { ...row, role: "proxy" }, target)

/** The command line of a server for a row. */
export const commandOf = (server: ServerName, row: Row, target: string): ReadonlyArray<string> => {
  const certificate = row.tls === true ? certificateFile() : undefined
  const { http2: _, server: __, ...core } = row
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
