/**
 * The rows of the benchmark, as data: what is loaded, how, against whom, and what the project wants to reach there.
 */
import type { Compression } from "./loads/compressed.ts"

/**
 * `core` is our own command line beside a component or beside HTTP/2, `few` our own server with fewer connections or without compression, `node` a
 * process of Node that does nothing.
 */
export type PeerName = "ws" | "net" | "core" | "few" | "node"
export type ServerName = "ours" | PeerName

export interface Row {
  readonly name: string
  readonly title: string
  readonly kind:
    | "echo"
    | "turns"
    | "latency"
    | "broadcast"
    | "upload"
    | "download"
    | "idle"
    | "handshake"
    | "churn"
    | "start"
  /** A tunnel leads to a proxy of ours, and through that to the target; with plain `net`, both are its pipe. */
  readonly role: "echo" | "proxy" | "tunnel"
  /** Payload bytes of a message, or of a write of the target for a download. */
  readonly size: number
  /** `idle`: connections held. `handshake`, `churn`: openings at a time. */
  readonly connections: number
  /** Messages in flight on each connection. */
  readonly depth: number
  readonly peers: ReadonlyArray<PeerName>
  /** The ratio to reach against a peer, in the first figure of the row. */
  readonly goals?: Readonly<Partial<Record<PeerName, number>>>
  /** A server of `servers` in place of our command line; its peers are of the same name. */
  readonly server?: "component" | "broadcast" | "deflate"
  /** permessage-deflate, and how. */
  readonly compression?: Compression | undefined
  /** `idle`: messages that each connection has exchanged before it is idle. */
  readonly exchanged?: number
  /** `idle`: connections that are held already when it begins. Default: 20. */
  readonly held?: number
  /** `idle`: for how many seconds they wait before they count. Default: not longer than others to settle. */
  readonly rests?: number
  /** In what the peer `few` differs. */
  readonly few?: { readonly connections: number } | { readonly held: number } | { readonly compression: undefined }
  /** `churn`: connections opened and closed in all. */
  readonly openings?: number
  /** Whether clients speak TLS; the target never does. */
  readonly tls?: boolean
  /** Whether clients of ours speak HTTP/2, without TLS: `core` is the same over HTTP/1.1. */
  readonly http2?: boolean
}

const both: ReadonlyArray<PeerName> = ["ws", "net"]
const KiB = 1024
const count = (value: number): string => value.toLocaleString("en-US")

const small = (role: Row["role"], depth: number, goals: Row["goals"] = {}): Row => ({
  name: `${role}-${depth}`,
  title: `${role === "echo" ? "echo" : "proxied echo"}, 100 bytes, ${depth} in flight, 50 connections`,
  kind: "echo",
  role,
  size: 100,
  connections: 50,
  depth,
  peers: both,
  goals
})

const large: Row = {
  name: "echo-64kib",
  title: "echo, 64 KiB, 1 in flight, 10 connections",
  kind: "echo",
  role: "echo",
  size: 64 * KiB,
  connections: 10,
  depth: 1,
  peers: both,
  goals: { ws: 1.3, net: 1 / 1.5 }
}

const bulk = (kind: "upload" | "download", size: number, label: string, goals: Row["goals"] = {}): Row => ({
  name: `${kind}-${label.replace(" ", "").toLowerCase()}`,
  title: `proxied ${kind}, ${label}, 4 connections`,
  kind,
  role: "proxy",
  size,
  connections: 4,
  depth: 1,
  peers: both,
  goals
})

const broadcast = (depth: number): Row => ({
  name: `broadcast-${depth}`,
  title: `broadcast, 100 bytes, ${depth} in flight, to 1,000 connections`,
  kind: "broadcast",
  role: "echo",
  size: 100,
  connections: 1000,
  depth,
  peers: both,
  goals: { ws: 3 },
  server: "broadcast"
})

const contexts: Readonly<Record<Compression, string>> = {
  fresh: "without context takeover",
  takeover: "with context takeover"
}
const suffixes: Readonly<Record<Compression, string>> = { fresh: "", takeover: "-takeover" }

const deflate = (compression: Compression): Row => ({
  name: `deflate-echo${suffixes[compression]}`,
  title: `compressed echo, 1 KiB of JSON, 1 in flight, 50 connections, ${contexts[compression]}`,
  kind: "echo",
  role: "echo",
  size: KiB,
  connections: 50,
  depth: 1,
  peers: ["ws"],
  goals: { ws: 1.5 },
  server: "deflate",
  compression
})

/** As many as count beside what a process takes once, and as may be: a pair has two of the 20,000 files of a process. */
const held = 8000
/** Until V8 has given back what the opening took, which it does after 100 to 120 seconds, of all servers. */
export const restSeconds = 130

const idle = (role: Row["role"]): Row => ({
  name: `idle-${role}`,
  title: `memory of an idle ${role === "echo" ? "connection" : "proxied pair"}, ${count(held)} held`,
  kind: "idle",
  role,
  size: 1,
  connections: held,
  depth: 1,
  peers: both,
  goals: { ws: 1, net: 1 / 1.5 },
  rests: restSeconds
})

const idleDeflate = (compression: Compression): Row => ({
  name: `idle-deflate${suffixes[compression]}`,
  title: `memory of an idle connection after 20 compressed messages, 2,000 held, ${contexts[compression]}`,
  kind: "idle",
  role: "echo",
  size: KiB,
  connections: 2000,
  depth: 1,
  peers: ["ws"],
  goals: { ws: 2 },
  server: "deflate",
  compression,
  exchanged: 20
})

const handshake = (role: Row["role"], goals: Row["goals"] = {}): Row => ({
  name: `handshake-${role}`,
  title: `open, 101, close${role === "proxy" ? ", proxied" : ""}, 32 at a time`,
  kind: "handshake",
  role,
  size: 1,
  connections: 32,
  depth: 1,
  peers: ["ws"],
  goals
})

const latency = (role: Row["role"]): Row => ({
  name: `latency-${role}`,
  title: `${role === "echo" ? "echo" : "proxied echo"}, 100 bytes, 50 connections, at half the most that ws can do`,
  kind: "latency",
  role,
  size: 100,
  connections: 50,
  depth: 1,
  peers: both,
  goals: { ws: 1, net: 1 / 1.3 }
})

const start = (role: Row["role"]): Row => ({
  name: `start-${role}`,
  title: `start of ${role === "echo" ? "an echo server" : "a proxy"}, until it is ready`,
  kind: "start",
  role,
  size: 1,
  connections: 0,
  depth: 1,
  peers: ["ws", "net", "node"]
})

/** How far a message or a connection may get dearer with many connections: a fifth. */
const flat = 1 / 1.2

const grow = (connections: number): Row => ({
  name: `grow-echo-${connections}`,
  title: `echo, 100 bytes, 1 in flight over ${count(connections)} connections`,
  kind: "turns",
  role: "echo",
  size: 100,
  connections,
  depth: 1,
  peers: ["few"],
  goals: { few: flat },
  few: { connections: 1 }
})

/** The first connections pay for the room that the collector takes once: those after them are compared. */
const growMemory: Row = {
  name: "grow-idle",
  title: "memory of an idle connection, 8,000 beside 10,000",
  kind: "idle",
  role: "echo",
  size: 1,
  connections: 8000,
  depth: 1,
  held: 10_000,
  peers: ["few"],
  goals: { few: flat },
  few: { held: 2000 }
}

/** What was compressed leaves nothing behind: both have exchanged the same messages. */
const idleCompressed: Row = {
  ...growMemory,
  name: "idle-compressed",
  title: `memory of an idle connection after 20 compressed messages, 8,000 beside 2,000, ${contexts.fresh}`,
  size: KiB,
  held: 2000,
  compression: "fresh",
  exchanged: 20,
  few: { compression: undefined }
}

const churn: Row = {
  ...handshake("echo"),
  name: "churn",
  title: "memory after 200,000 connections have come and gone, for that before",
  kind: "churn",
  openings: 200_000
}

/** What the component costs beside the core that it stands on. */
const component = (row: Row): Row => ({
  ...row,
  name: `component-${row.name}`,
  title: `component: ${row.title}`,
  peers: ["core"],
  goals: {},
  server: "component"
})

/** The other end of the proxy, which is a client: bytes of TCP come, and go to the proxy as messages. */
const tunnel = (row: Row): Row => ({
  ...row,
  name: `tunnel-${row.name}`,
  title: `tunnel: ${row.title}`,
  role: "tunnel",
  goals: {}
})

/** The same over TLS 1.3 with an RSA certificate: against `ws` behind `node:https`, and plain `node:tls`. */
const tls = (row: Row): Row => ({
  ...row,
  name: `tls-${row.name}`,
  title: `TLS: ${row.title}`,
  peers: both,
  goals: {},
  tls: true
})

/** What sharing connections costs, and what it saves (RFC 8441): against the same WebSockets over HTTP/1.1. */
const http2 = (row: Row): Row => ({
  ...row,
  name: `http2-${row.name}`,
  title: `HTTP/2: ${row.title}`,
  peers: ["core"],
  goals: {},
  http2: true
})

export const rows: ReadonlyArray<Row> = [
  small("echo", 1, { ws: 1.1, net: 1 / 1.25 }),
  small("echo", 10, { ws: 5, net: 1 / 1.6 }),
  large,
  small("proxy", 1, { ws: 1.1, net: 1 / 1.4 }),
  small("proxy", 10, { ws: 3, net: 1 / 1.6 }),
  latency("echo"),
  latency("proxy"),
  bulk("upload", 64 * KiB, "64 KiB", { ws: 1.5, net: 1.1 }),
  bulk("upload", 1024 * KiB, "1 MiB", { ws: 1.5, net: 1.1 }),
  bulk("download", 64 * KiB, "64 KiB", { ws: 1.3, net: 1.15 }),
  bulk("download", 1024 * KiB, "1 MiB", { ws: 1.3, net: 1.15 }),
  broadcast(1),
  broadcast(10),
  deflate("fresh"),
  deflate("takeover"),
  idleDeflate("fresh"),
  idleDeflate("takeover"),
  idle("echo"),
  idle("proxy"),
  handshake("echo", { ws: 1.3 }),
  handshake("proxy", { ws: 1.3 }),
  start("echo"),
  start("proxy"),
  grow(100),
  grow(1000),
  grow(10_000),
  growMemory,
  idleCompressed,
  churn,
  component(small("echo", 1)),
  component(small("echo", 10)),
  component(small("proxy", 1)),
  component(small("proxy", 10)),
  component(bulk("download", 64 * KiB, "64 KiB")),
  tunnel(small("proxy", 1)),
  tunnel(small("proxy", 10)),
  tunnel(bulk("upload", 64 * KiB, "64 KiB")),
  tunnel(bulk("download", 64 * KiB, "64 KiB")),
  { ...tunnel(handshake("proxy")), title: "tunnel: open, 1 byte there and back, close, 32 at a time", peers: both },
  tunnel(idle("proxy")),
  tls(small("echo", 1)),
  tls(small("echo", 10)),
  tls(large),
  tls(bulk("upload", 64 * KiB, "64 KiB")),
  tls(bulk("download", 64 * KiB, "64 KiB")),
  tls(handshake("echo")),
  http2(small("echo", 1)),
  http2(small("echo", 10)),
  http2(large),
  http2(bulk("upload", 64 * KiB, "64 KiB")),
  http2(bulk("download", 64 * KiB, "64 KiB")),
  // `ws` speaks HTTP/1.1 alone
  { ...http2(broadcast(1)), peers: ["ws"] },
  { ...http2(broadcast(10)), peers: ["ws"] },
  http2(idle("echo")),
  http2({ ...handshake("echo"), title: "open, 200, close, 32 at a time" })
]

/** What a peer is called beside a row. */
export const peerTitle = (row: Row, peer: PeerName): string => {
  if (peer === "node") return "bare node"
  if (peer === "core" && row.http2 === true) return "ours, over HTTP/1.1"
  if (peer !== "few") return peer
  if (row.few !== undefined && "compression" in row.few) return "ours, not compressed"
  const few = { ...row, ...row.few }
  return few.held === undefined ? `ours, over ${count(few.connections)}` : `ours, beside ${count(few.held)}`
}

/** A number of a row: what it is called and counted in, and by what the raw value is multiplied for that. */
export interface Figure {
  readonly name: string
  readonly unit: string
  readonly scale: number
  readonly better: "less" | "more"
}
/** The number that a row is about, to which goals refer, and another one if there is any. */
export interface Figures {
  readonly first: Figure
  readonly second: Figure | undefined
}

const cost = (unit: string, scale: number): Figure => ({ name: "CPU", unit, scale, better: "less" })
const rate = (unit: string, scale: number): Figure => ({ name: "throughput", unit, scale, better: "more" })
const memory = (unit: string, scale: number): Figure => ({ name: "memory", unit, scale, better: "less" })
const time = (name: string, unit: string, scale: number): Figure => ({ name, unit, scale, better: "less" })

const perMessage: Figures = { first: cost("µs/message", 1e6), second: rate("k/s", 1e-3) }
const perByte: Figures = { first: cost("s/GB", 1e9), second: rate("MB/s", 1e-6) }

const perIdle: Figures = { first: memory("KB/connection", 1e-3), second: undefined }
const perRested: Figures = { ...perIdle, second: { ...perIdle.first, name: "memory at first" } }

const figures: Readonly<Record<Row["kind"], Figures>> = {
  echo: perMessage,
  turns: perMessage,
  broadcast: perMessage,
  latency: { first: time("p99", "µs", 1e6), second: time("p50", "µs", 1e6) },
  upload: perByte,
  download: perByte,
  idle: perIdle,
  handshake: { first: cost("µs/connection", 1e6), second: rate("/s", 1) },
  churn: { first: memory("times that before", 1), second: cost("µs/connection", 1e6) },
  start: { first: time("time", "ms", 1e3), second: memory("MB", 1e-6) }
}
export const figuresOf = (row: Row): Figures => (row.rests === undefined ? figures[row.kind] : perRested)
