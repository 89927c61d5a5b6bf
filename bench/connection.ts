/**
 * One connection of the load generator: a raw `node:net` or `node:tls` socket that reads into one buffer shared by all, opens with the
 * least handshake RFC 6455 asks of a client (§4.1) or with none (`tcp`, `tls`), checks the first bytes that come back against
 * the pattern, and counts the rest. Everything that should not happen is told to `load.fail`.
 */
import * as net from "node:net"
import * as tls from "node:tls"
import { FrameReader, maskedFrame, matches } from "./frames.ts"
import type { Scheme } from "./server.ts"

/** Whether bytes are framed; otherwise they are the payload. */
export const speaksWebSocket = (scheme: Scheme): boolean => scheme === "ws" || scheme === "wss"

export interface LoadOptions {
  readonly scheme: Scheme
  readonly host: string
  readonly port: number
  readonly mode: "echo" | "upload" | "download" | "handshake" | "idle"
  /** Whether the server keeps message boundaries: an echo server does, a proxy need not. */
  readonly boundaries: boolean
  readonly size: number
  /** Messages in flight on each connection. */
  readonly depth: number
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
  running: boolean
  /** Payload bytes, both ways. */
  sent: number
  received: number
  inFlight: number
  /** Called when something came or nothing is in flight any more. */
  progress: () => void
  readonly fail: (reason: string) => void
}

const key = "dGhlIHNhbXBsZSBub25jZQ=="
const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
const closeFrame = maskedFrame(8, Buffer.from([0x03, 0xe8]))
const pongFrame = maskedFrame(10, Buffer.alloc(0))
const readBuffer = Buffer.alloc(256 * 1024)

export class Connection {
  readonly opened: Promise<void>
  readonly closed: Promise<void>
  private readonly load: Load
  private readonly socket: net.Socket
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

  constructor(load: Load) {
    this.load = load
    const opened = Promise.withResolvers<void>()
    const closed = Promise.withResolvers<void>()
    this.opened = opened.promise
    this.closed = closed.promise
    this.resolveOpened = opened.resolve
    this.resolveClosed = closed.resolve
    this.reader = new FrameReader({
      payload: (buffer, start, end) => this.payload(buffer, start, end),
      message: () => this.finals++,
      control: (opcode) => this.control(opcode),
      violation: (reason) => load.fail(`the server broke the protocol: ${reason}`)
    })
    const { host, port, scheme } = load.options
    const onread = { buffer: readBuffer, callback: (length: number) => this.read(length) }
    const address = { host, port, noDelay: true, onread }
    const isSecure = scheme === "wss" || scheme === "tls"
    this.socket = isSecure ? tls.connect({ ...address, rejectUnauthorized: false }) : net.connect(address)
    this.socket.on(isSecure ? "secureConnect" : "connect", () => this.connected())
    this.socket.on("drain", () => this.pump())
    this.socket.on("error", (error) => this.ended(error.message))
    this.socket.on("close", () => this.ended("end of stream"))
  }

  /** Sends so many messages in one write. */
  send(count: number): void {
    this.messagesSent += count
    this.load.inFlight += count
    this.load.sent += count * this.load.options.size
    this.socket.write(this.load.messages.subarray(0, count * this.load.frameLength))
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
    if (this.messagesBack !== this.messagesSent || (this.load.options.mode === "echo" && this.partial !== 0)) {
      return `${this.messagesBack} messages and ${this.partial} bytes came back of ${this.messagesSent} messages sent`
    }
    const { boundaries, scheme } = this.load.options
    if (speaksWebSocket(scheme) && boundaries && this.finals !== this.messagesSent) {
      return `${this.messagesSent} messages came back as ${this.finals}`
    }
    return undefined
  }

  private connected(): void {
    const { host, port, scheme } = this.load.options
    if (!speaksWebSocket(scheme)) return this.open()
    const fields = [
      "Upgrade: websocket",
      "Connection: Upgrade",
      "Sec-WebSocket-Version: 13",
      `Sec-WebSocket-Key: ${key}`
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

  private read(length: number): boolean {
    if (this.state === "opening") this.readHead(length)
    else if (!speaksWebSocket(this.load.options.scheme)) this.payload(readBuffer, 0, length)
    else this.reader.feed(readBuffer, 0, length)
    if (this.load.options.mode === "echo") this.answer()
    else if (this.load.options.mode === "download") this.load.progress()
    return true
  }

  private readHead(length: number): void {
    this.head += readBuffer.toString("latin1", 0, length)
    const end = this.head.indexOf("\r\n\r\n")
    if (end < 0) return
    const head = this.head.slice(0, end)
    const rest = Buffer.from(this.head.slice(end + 4), "latin1")
    this.head = ""
    if (!head.startsWith("HTTP/1.1 101 ")) return this.load.fail(`expected 101, got: ${head.split("\r\n")[0]}`)
    if (!head.includes(accept)) return this.load.fail("the server's Sec-WebSocket-Accept is wrong")
    this.open()
    this.reader.feed(rest, 0, rest.length)
  }

  private payload(buffer: Buffer, start: number, end: number): void {
    const { expected, fail } = this.load
    if (this.checked < expected.length) {
      const stop = Math.min(end, start + expected.length - this.checked)
      if (!matches(buffer, start, stop, expected, this.checked)) fail("other bytes came back than were sent")
      this.checked += stop - start
    }
    this.load.received += end - start
    this.partial += end - start
  }

  private answer(): void {
    if (this.partial < this.load.options.size) return
    const count = Math.floor(this.partial / this.load.options.size)
    this.partial -= count * this.load.options.size
    this.messagesBack += count
    this.load.inFlight -= count
    if (this.messagesBack > this.messagesSent) this.load.fail("more messages came back than were sent")
    else if (this.load.running) this.send(count)
    else if (this.load.inFlight === 0) this.load.progress()
  }

  private control(opcode: number): void {
    if (opcode === 9) this.socket.write(pongFrame)
    if (opcode !== 8) return
    if (this.load.options.mode !== "handshake") return this.load.fail("the server sent a Close frame")
    this.state = "closing"
    this.socket.end()
  }
}
