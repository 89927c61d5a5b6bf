/**
 * One connection of the load generator: a raw `node:net` or `node:tls` socket that reads into one buffer shared by all, opens with the
 * least handshake RFC 6455 asks of a client (§4.1) or with none (`tcp`, `tls`), or a stream of HTTP/2 (`http2.ts`). It checks the first bytes that come back against
 * the pattern, and counts the rest: messages by their size, or by their frames where they are compressed. What has come is
 * told to `load.arrived`, and everything that should not happen to `load.fail`.
 */
import type { ClientHttp2Stream } from "node:http2"
import * as net from "node:net"
import type { Duplex } from "node:stream"
import * as tls from "node:tls"
import { FrameReader, maskedFrame, matches } from "./frames.ts"
import type { FrameSink } from "./frames.ts"
import { Inspector } from "./loads/compressed.ts"
import type { CompressedMessages, Compression } from "./loads/compressed.ts"
import type { Scheme } from "./server.ts"

/** Whether bytes are framed; otherwise they are the payload. */
export const speaksWebSocket = (scheme: Scheme): boolean => scheme === "ws" || scheme === "wss"

export interface LoadOptions {
  readonly scheme: Scheme
  readonly host: string
  readonly port: number
  /** The address to connect from, for more connections than one has ports. Default: what the system takes. */
  readonly from?: string | undefined
  readonly mode: "echo" | "turns" | "latency" | "broadcast" | "upload" | "download" | "handshake" | "idle"
  /** Whether the server keeps message boundaries: an echo server does, a proxy need not. */
  readonly boundaries: boolean
  readonly size: number
  /** Messages in flight on each connection. */
  readonly depth: number
  /** Whether permessage-deflate is asked for, and how. */
  readonly compression?: Compression | undefined
  /** Whether the WebSockets are streams of connections of HTTP/2. */
  readonly http2?: boolean | undefined
}

/** What the connections of one load share. */
export interface Load {
  readonly options: LoadOptions
  /** One message's payload. */
  readonly expected: Buffer
  /** As many messages as are ever written at once, framed, and the length of one. */
  readonly messages: Buffer
  readonly frameLength: number
  readonly batch: number
  /** What is sent in their place with permessage-deflate. */
  readonly compressed: CompressedMessages | undefined
  running: boolean
  /** Payload bytes, both ways. */
  sent: number
  received: number
  inFlight: number
  /** Called when something came or nothing is in flight any more. */
  progress: () => void
  /** Called after every read, with the number of messages that it completed. */
  arrived: (connection: Connection, messages: number) => void
  readonly fail: (reason: string) => void
}

const key = "dGhlIHNhbXBsZSBub25jZQ=="
const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
const closeFrame = maskedFrame(8, Buffer.from([0x03, 0xe8]))
const pongFrame = maskedFrame(10, Buffer.alloc(0))
const extensions: Readonly<Record<Compression, string>> = {
  takeover: "permessage-deflate; client_max_window_bits",
  fresh: "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"
}
const readBuffer = Buffer.alloc(256 * 1024)

export class Connection {
  readonly opened: Promise<void>
  readonly closed: Promise<void>
  private readonly load: Load
  private readonly socket: Duplex
  private readonly reader: FrameReader
  private readonly resolveOpened: () => void
  private readonly resolveClosed: () => void
  private head = ""
  private state: "opening" | "open" | "closing" | "closed" = "opening"
  private checked = 0
  private partial = 0
  private messagesSent = 0
  private messagesBack = 0
  private finals = 0
  private readonly inspector: Inspector | undefined

  /** One that `inspects` inflates all that comes back. A `stream` has been asked for already. */
  constructor(load: Load, inspects = false, stream?: ClientHttp2Stream) {
    this.load = load
    const { compression } = load.options
    const isInspected = inspects && load.compressed !== undefined && compression !== undefined
    this.inspector = isInspected ? new Inspector(load.compressed, compression) : undefined
    const opened = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<void>()
    this.opened = opened.promise
    this.closed = closed.promise
    this.resolveOpened = opened.resolve
    this.resolveClosed = closed.resolve
    const sink: FrameSink = {
      payload: (buffer, start, end) => this.payload(buffer, start, end),
      message: () => this.message(),
      control: (opcode) => this.control(opcode),
      violation: (reason) => load.fail(`the server broke the protocol: ${reason}`)
    }
    this.reader = new FrameReader(sink, compression !== undefined)
    this.socket = stream === undefined ? this.connect() : this.requested(stream)
    this.socket.on("drain", () => this.pump())
    this.socket.on("error", (error) => this.ended(error.message))
    this.socket.on("close", () => this.ended("end of stream"))
  }

  /** Messages that came back. */
  get back(): number {
    return this.messagesBack
  }

  /** Sends so many messages: in one write, but for those that are compressed, of which each is another. */
  send(count: number): void {
    const { compressed, frameLength, messages } = this.load
    const before = this.messagesSent
    this.messagesSent += count
    this.load.inFlight += count
    this.load.sent += count * this.load.options.size
    if (compressed === undefined) return void this.socket.write(messages.subarray(0, count * frameLength))
    for (let sent = before; sent < before + count; sent++) this.socket.write(compressed.frame(sent))
  }

  /** Sends batches of messages as long as they are taken; goes on by itself on `drain`. */
  pump(): void {
    if (this.load.options.mode !== "upload") return
    while (this.load.running && !this.socket.writableNeedDrain) {
      this.load.sent += this.load.batch * this.load.options.size
      this.socket.write(this.load.messages)
    }
  }

  /** The closing handshake from the client's side (§7.1.2); `closed` resolves when the server has done its half. */
  close(): void {
    if (speaksWebSocket(this.load.options.scheme)) return void this.socket.write(closeFrame)
    this.state = "closing"
    this.socket.end()
  }

  /** What is wrong when nothing should be in flight. */
  complaint(): string | undefined {
    if (this.messagesBack !== this.messagesSent || this.partial !== 0) {
      return `${this.messagesBack} messages and ${this.partial} bytes came back of ${this.messagesSent} messages sent`
    }
    const { boundaries, scheme } = this.load.options
    if (speaksWebSocket(scheme) && boundaries && this.finals !== this.messagesSent) {
      return `${this.messagesSent} messages came back as ${this.finals}`
    }
    return undefined
  }

  private connect(): net.Socket {
    const { from, host, port, scheme } = this.load.options
    const onread = { buffer: readBuffer, callback: (length: number) => this.read(readBuffer, length) }
    const address = { host, port, noDelay: true, onread, ...(from !== undefined && { localAddress: from }) }
    const isSecure = scheme === "wss" || scheme === "tls"
    const socket = isSecure ? tls.connect({ ...address, rejectUnauthorized: false }) : net.connect(address)
    return socket.on(isSecure ? "secureConnect" : "connect", () => this.connected())
  }

  private requested(stream: ClientHttp2Stream): Duplex {
    stream.once("response", ({ ":status": status }) => {
      if (status === 200) this.open()
      else this.load.fail(`expected 200, got: ${status}`)
    })
    return stream.on("data", (chunk: Buffer) => this.read(chunk, chunk.length))
  }

  private connected(): void {
    const { compression, host, port, scheme } = this.load.options
    if (!speaksWebSocket(scheme)) return this.open()
    const fields = [
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${key}`,
      ...(compression === undefined ? [] : [`Sec-WebSocket-Extensions: ${extensions[compression]}`])
    ]
    this.socket.write(`GET / HTTP/1.1\r\nHost: ${host}:${port}\r\n${fields.join("\r\n")}\r\n\r\n`)
  }

  private open(): void {
    this.state = "open"
    this.resolveOpened()
  }

  private ended(reason: string): void {
    const state = this.state
    this.state = "closed"
    if (state === "closing") this.resolveClosed()
    else if (state === "open") this.load.fail(`the server closed a connection (${reason})`)
    else if (state === "opening") this.load.fail(`the server closed before it had answered the handshake (${reason})`)
  }

  private read(buffer: Buffer, length: number): boolean {
    if (this.state === "opening") this.readHead(buffer, length)
    else if (!speaksWebSocket(this.load.options.scheme)) this.payload(buffer, 0, length)
    else this.reader.feed(buffer, 0, length)
    this.load.arrived(this, this.arrived())
    return true
  }

  private readHead(buffer: Buffer, length: number): void {
    this.head += buffer.toString("latin1", 0, length)
    const end = this.head.indexOf("\r\n\r\n")
    if (end < 0) return
    const head = this.head.slice(0, end)
    const rest = Buffer.from(this.head.slice(end + 4), "latin1")
    this.head = ""
    if (!head.startsWith("HTTP/1.1 101 ")) return this.load.fail(`expected 101, got: ${head.split("\r\n")[0]}`)
    if (!head.includes(accept)) return this.load.fail("the server's Sec-WebSocket-Accept is wrong")
    if (!this.isAgreed(head)) return this.load.fail("the server did not agree on compression as it was asked to")
    this.open()
    this.reader.feed(rest, 0, rest.length)
  }

  /** Whether the server took the extension, with the context takeover that the row is about. */
  private isAgreed(head: string): boolean {
    const { compression } = this.load.options
    const answer = /^sec-websocket-extensions:(.*)$/im.exec(head)?.[1] ?? ""
    if (compression === undefined) return answer === ""
    const isFresh = answer.includes("server_no_context_takeover") && answer.includes("client_no_context_takeover")
    const isTakeover = !answer.includes("no_context_takeover")
    return answer.includes("permessage-deflate") && (compression === "fresh" ? isFresh : isTakeover)
  }

  private payload(buffer: Buffer, start: number, end: number): void {
    const { compressed, expected, fail } = this.load
    this.load.received += end - start
    if (compressed !== undefined) return this.inspector?.payload(buffer.subarray(start, end))
    if (this.checked < expected.length) {
      const stop = Math.min(end, start + expected.length - this.checked)
      if (!matches(buffer, start, stop, expected, this.checked)) fail("other bytes came back than were sent")
      this.checked += stop - start
    }
    this.partial += end - start
  }

  private message(): void {
    this.finals++
    const complaint = this.inspector?.message()
    if (complaint !== undefined) this.load.fail(complaint)
  }

  /** The messages that have come since it was last asked. */
  private arrived(): number {
    const { compressed, options } = this.load
    const { size } = options
    const count = compressed === undefined ? Math.floor(this.partial / size) : this.finals - this.messagesBack
    if (compressed === undefined) this.partial -= count * size
    this.messagesBack += count
    return count
  }

  private control(opcode: number): void {
    if (opcode === 9) this.socket.write(pongFrame)
    if (opcode !== 8) return
    if (this.load.options.mode !== "handshake") return this.load.fail("the server sent a Close frame")
    this.state = "closing"
    this.socket.end()
  }
}
