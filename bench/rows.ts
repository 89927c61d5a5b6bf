/**
 * The rows of the benchmark, as data: what is loaded, how, and against whom; and the commands of the servers. The
 * project's own come from `BENCH_ECHO` and `BENCH_PROXY` when they are set (words split at spaces, `{TARGET}` stands
 * for the target's `HOST:PORT`).
 */
import { certificateFile } from "./certificate.ts"

export type PeerName = "ws" | "net" | "core"
export type ServerName = "ours" | PeerName

export interface Row {
  readonly name: string
  readonly title: string
  readonly kind: "echo" | "upload" | "download" | "idle" | "handshake"
  readonly role: "echo" | "proxy"
  /** Payload bytes of a message, or of a write of the target for a download. */
  readonly size: number
  /** `idle`: connections held. `handshake`: openings at a time. */
  readonly connections: number
  /** Messages in flight on each connection. */
  readonly depth: number
  readonly peers: ReadonlyArray<PeerName>
  /** Whether ours is a component, of which the core is a peer. */
  readonly component?: boolean
  /** Whether clients speak TLS; the target never does. */
  readonly tls?: boolean
}

const both: ReadonlyArray<PeerName> = ["ws", "net"]
const KiB = 1024

const small = (role: Row["role"], depth: number): Row => ({
  name: `${role}-${depth}`,
  title: `${role === "echo" ? "echo" : "proxied echo"}, 100 bytes, ${depth} in flight, 50 connections`,
  kind: "echo",
  role,
  size: 100,
  connections: 50,
  depth,
  peers: both
})

const bulk = (kind: "upload" | "download", size: number, label: string): Row => ({
  name: `${kind}-${label.replace(" ", "").toLowerCase()}`,
  title: `proxied ${kind}, ${label}, 4 connections`,
  kind,
  role: "proxy",
  size,
  connections: 4,
  depth: 1,
  peers: both
})

const idle = (role: Row["role"]): Row => ({
  name: `idle-${role}`,
  title: `memory of an idle ${role === "echo" ? "connection" : "proxied pair"}, 2,000 held`,
  kind: "idle",
  role,
  size: 1,
  connections: 2000,
  depth: 1,
  peers: both
})

const handshake = (role: Row["role"]): Row => ({
  name: `handshake-${role}`,
  title: `open, 101, close${role === "proxy" ? ", proxied" : ""}, 32 at a time`,
  kind: "handshake",
  role,
  size: 1,
  connections: 32,
  depth: 1,
  peers: ["ws"]
})

/** What the component costs beside the core that it stands on. */
const component = (row: Row): Row => ({
  ...row,
  name: `component-${row.name}`,
  title: `component: ${row.title}`,
  peers: ["core"],
  component: true
})

/** The same over TLS 1.3 with an RSA certificate: against `ws` behind `node:https`, and plain `node:tls`. */
const tls = (row: Row): Row => ({
  ...row,
  name: `tls-${row.name}`,
  title: `TLS: ${row.title}`,
  peers: both,
  tls: true
})

export const rows: ReadonlyArray<Row> = [
  small("echo", 1),
  small("echo", 10),
  small("proxy", 1),
  small("proxy", 10),
  bulk("upload", 64 * KiB, "64 KiB"),
  bulk("upload", 1024 * KiB, "1 MiB"),
  bulk("download", 64 * KiB, "64 KiB"),
  bulk("download", 1024 * KiB, "1 MiB"),
  idle("echo"),
  idle("proxy"),
  handshake("echo"),
  handshake("proxy"),
  component(small("echo", 1)),
  component(small("echo", 10)),
  component(small("proxy", 1)),
  component(small("proxy", 10)),
  component(bulk("download", 64 * KiB, "64 KiB")),
  tls(small("echo", 1)),
  tls(small("echo", 10)),
  tls(bulk("upload", 64 * KiB, "64 KiB")),
  tls(bulk("download", 64 * KiB, "64 KiB")),
  tls(handshake("echo"))
]

export interface Unit {
  /** What the cost is counted in, and by what the raw cost (CPU seconds or bytes, for one unit) is multiplied. */
  readonly cost: string
  readonly costScale: number
  /** The same for the throughput; none where nothing flows. */
  readonly rate: string | undefined
  readonly rateScale: number
}

const units: Readonly<Record<Row["kind"], Unit>> = {
  echo: { cost: "µs/message", costScale: 1e6, rate: "k/s", rateScale: 1e-3 },
  upload: { cost: "s/GB", costScale: 1e9, rate: "MB/s", rateScale: 1e-6 },
  download: { cost: "s/GB", costScale: 1e9, rate: "MB/s", rateScale: 1e-6 },
  idle: { cost: "KB", costScale: 1e-3, rate: undefined, rateScale: 1 },
  handshake: { cost: "µs", costScale: 1e6, rate: "/s", rateScale: 1 }
}
export const unitOf = (row: Row): Unit => units[row.kind]

const anyPort = "127.0.0.1:0"
const overrides: Readonly<Record<Row["role"], string>> = { echo: "BENCH_ECHO", proxy: "BENCH_PROXY" }

/** Whether another server stands in for ours. */
export const overridden = (): boolean => Object.values(overrides).some((name) => process.env[name] !== undefined)

/** The command line of a server for a row. */
export const commandOf = (server: ServerName, row: Row, target: string): ReadonlyArray<string> => {
  const { component = false, role, tls = false } = row
  const targets = role === "proxy" ? [target] : []
  const certificate = tls ? certificateFile() : undefined
  if (component && server === "ours") {
    return ["node", "--conditions=source", `bench/servers/component-${role}.ts`, anyPort, ...targets]
  }
  const own =
    process.env[overrides[role]] ?? `node src/cli/main.ts ${role} ${anyPort}${role === "proxy" ? " {TARGET}" : ""}`
  if (server === "ours" || server === "core") {
    const words = own.split(/\s+/).map((word) => word.replace("{TARGET}", target))
    return certificate === undefined ? words : [...words, "--cert", certificate]
  }
  const peer = ["node", `bench/peers/${server}-${role}.ts`, anyPort, ...targets]
  return certificate === undefined ? peer : [...peer, `--cert=${certificate}`]
}
