/**
 * A client that is a TCP socket and nothing more, for what no WebSocket client would do: requests byte by byte, frames
 * behind a request in one segment, silence, resets. It reads only while somebody waits for something, and at most what was
 * asked for is taken, so a test can leave its peer's bytes in the network. The socket is destroyed with the scope.
 */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import { setTimeout as delay } from "node:timers/promises"
import { bytesOf, close, type FrameParts, shown } from "../connection/connected.ts"
import { failsAsReset } from "../../src/node/internal/endOfStream.ts"
import * as Frame from "../../src/protocol/Frame.ts"

export interface Response {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  readonly body: string
}

export type Ending = "FIN" | "reset"

/** A request to upgrade as every client sends it; more or other headers are by name, `undefined` leaves one out. */
export const upgradeRequest = (headers: Readonly<Record<string, string | undefined>> = {}, target = "/"): string => {
  const all: Record<string, string | undefined> = {
    Host: "localhost",
    Connection: "Upgrade",
    Upgrade: "websocket",
    "Sec-WebSocket-Version": "13",
    "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ==",
    ...headers
  }
  const lines = Object.entries(all).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}\r\n`]))
  return `GET ${target} HTTP/1.1\r\n${lines.join("")}\r\n`
}

/** What a connection is made of: a TCP socket, or a stream of HTTP/2. */
export type Line = Net.Socket | Http2.ClientHttp2Stream

export class Wire<L extends Line = Net.Socket> {
  readonly socket: L
  private held = Buffer.alloc(0)
  private over: Ending | undefined
  private readonly decoder = Frame.decoder({ masking: "forbidden", maxFrameSize: 2 ** 30 })
  private readonly frames: Array<Frame.Frame> = []

  constructor(socket: L) {
    this.socket = socket
    socket.on("end", () => {
      if (!failsAsReset(socket)) this.over ??= "FIN"
    })
    socket.on("error", () => (this.over ??= "reset"))
    socket.on("close", () => (this.over ??= "reset"))
  }

  write(data: string | Uint8Array): void {
    this.socket.write(data)
  }

  send(...frames: ReadonlyArray<FrameParts>): void {
    this.write(bytesOf("client", frames))
  }

  /** The response to a request; fails if the connection ends without one. */
  readonly response: Effect.Effect<Response> = Effect.promise(async () => {
    let end: number
    while ((end = this.held.indexOf("\r\n\r\n")) === -1) await this.more("a response")
    const [first = "", ...lines] = this.held.subarray(0, end).toString("latin1").split("\r\n")
    const headers = Object.fromEntries(
      lines.map((line) => [line.slice(0, line.indexOf(":")).toLowerCase(), line.slice(line.indexOf(":") + 1).trim()])
    )
    this.held = this.held.subarray(end + 4)
    const length = Number(headers["content-length"] ?? 0)
    while (this.held.length < length) await this.more("the body of a response")
    const body = this.held.subarray(0, length).toString()
    this.held = this.held.subarray(length)
    return { status: Number(first.split(" ")[1]), headers, body }
  })

  /** The next frame of the server; fails if the connection ends without one. */
  readonly next: Effect.Effect<Frame.Frame> = Effect.promise(async () => {
    for (;;) {
      const frame = this.frames.shift()
      if (frame !== undefined) return frame
      if (this.held.length === 0) await this.more("a frame")
      const { held } = this
      this.held = Buffer.alloc(0)
      this.frames.push(...this.decoder.push(held))
    }
  })

  /** How the server ends the connection. What it still sends is dropped. */
  readonly ended: Effect.Effect<Ending> = Effect.promise(async () => {
    while (this.over === undefined) await this.more(undefined)
    return this.over
  })

  /** Our FIN. */
  end(): void {
    this.socket.end()
  }

  reset(): void {
    const line: Line = this.socket
    if (line instanceof Net.Socket) line.resetAndDestroy()
    else line.close(Http2.constants.NGHTTP2_CANCEL)
  }

  /** Reads until something more has come, or the end. */
  private async more(what: string | undefined): Promise<void> {
    for (;;) {
      const chunk: Buffer | null = this.socket.read()
      if (chunk !== null) {
        this.held = what === undefined ? Buffer.alloc(0) : Buffer.concat([this.held, chunk])
        return
      }
      if (this.over !== undefined) {
        if (what === undefined) return
        throw new Error(`the server ended the connection (${this.over}) where ${what} was expected`)
      }
      // either way something happens: bytes, the end, or the loss of the connection
      const wake = new AbortController()
      const events = ["readable", "end", "close"].map((event) =>
        once(this.socket, event, { signal: wake.signal }).catch(() => undefined)
      )
      await Promise.race([...events, delay(1000, undefined, { signal: wake.signal }).catch(() => undefined)])
      wake.abort()
    }
  }
}

/** Connects to a port of this machine. */
export const connect = (port: number, host = "127.0.0.1"): Effect.Effect<Wire, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = Net.connect({ host, port, allowHalfOpen: true, noDelay: true })
      await once(socket, "connect")
      return new Wire(socket)
    }),
    (wire) => Effect.sync(() => wire.socket.destroy())
  )

/** Connects and upgrades; the answer is to be 101. */
export const upgraded = Effect.fnUntraced(function* (
  port: number,
  headers: Readonly<Record<string, string | undefined>> = {}
) {
  const wire = yield* connect(port)
  wire.write(upgradeRequest(headers))
  const response = yield* wire.response
  if (response.status !== 101) return yield* Effect.die(new Error(`${response.status} came: ${response.body}`))
  return Object.assign(wire, { headers: response.headers })
})

/** The answer to one request on a connection of its own. */
export const ask = Effect.fnUntraced(function* (port: number, request: string) {
  const wire = yield* connect(port)
  wire.write(request)
  return yield* wire.response
}, Effect.scoped)

/** Plays a client's part to the end: gives the next frame, which is to be a Close, and answers it. */
export const leave = (wire: Wire) =>
  Effect.gen(function* () {
    const frame = yield* wire.next
    wire.send(close(1000))
    yield* wire.ended
    wire.end()
    return shown(frame)
  })
