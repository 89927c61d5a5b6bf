/**
 * A WebSocket client that does only what the test says, but for the Pongs: no Close in answer to a Close, no FIN. It logs in
 * order what comes: `open` or the status of a refusal, `text` and `binary` for each message unless a sink takes them,
 * `close CODE`, `ping`, and the `end`, `reset` and `closed` of TCP.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { randomBytes } from "node:crypto"
import * as Net from "node:net"
import * as Tls from "node:tls"
import * as Frames from "./frames.ts"
import { Tcp } from "./tcp.ts"

export interface Options {
  readonly path?: string | undefined
  readonly headers?: ReadonlyArray<string> | undefined
  /** Whether pings are answered. Default: true. */
  readonly pongs?: boolean | undefined
  /** Over TLS, whoever the server is. Default: false. */
  readonly tls?: boolean | undefined
}

export interface Message {
  readonly opcode: number
  readonly payload: Buffer
  /** How many frames it came in. */
  readonly frames: number
}

const headEnd = "\r\n\r\n"

export class RawClient extends Tcp {
  /** The status of the HTTP answer. */
  status: number | undefined
  /** The HTTP answer: its head if it was 101, and all of it if it was not. */
  answer = ""
  readonly messages: Array<Message> = []
  closeCode: number | undefined
  closeReason = ""
  /** Bytes of data frames' payloads that came. */
  payloadBytes = 0
  /** Takes the payloads in place of `messages`. */
  sink: ((piece: Buffer) => void) | undefined

  readonly #pongs: boolean
  #open: { readonly opcode: number; frames: number; readonly parts: Array<Buffer> } = {
    opcode: 0,
    frames: 0,
    parts: []
  }

  readonly #reader = new Frames.FrameReader({
    start: (opcode) => {
      if (opcode === Frames.continuation) this.#open.frames++
      else this.#open = { opcode, frames: 1, parts: [] }
    },
    payload: (piece) => {
      this.payloadBytes += piece.length
      if (this.sink === undefined) this.#open.parts.push(Buffer.from(piece))
      else this.sink(piece)
    },
    end: (fin) => {
      if (!fin || this.sink !== undefined) return
      const { frames, opcode, parts } = this.#open
      this.messages.push({ opcode, payload: Buffer.concat(parts), frames })
      this.add(opcode === Frames.text ? "text" : "binary")
    },
    control: (opcode, payload) => this.#control(opcode, payload)
  })

  constructor(socket: Net.Socket, options: Options) {
    super(socket)
    this.#pongs = options.pongs ?? true
  }

  protected override take(chunk: Buffer): void {
    if (this.status === 101) return this.#reader.push(chunk)
    this.answer += chunk.toString("latin1")
    const end = this.answer.indexOf(headEnd)
    if (end === -1 || this.status !== undefined) return
    this.status = Number(/^HTTP\/1\.1 (\d{3}) /.exec(this.answer)?.[1])
    if (this.status !== 101) return this.add(String(this.status))
    const rest = Buffer.from(this.answer.slice(end + headEnd.length), "latin1")
    this.answer = this.answer.slice(0, end)
    this.add("open")
    if (rest.length > 0) this.#reader.push(rest)
  }

  #control(opcode: number, payload: Buffer): void {
    if (opcode === Frames.close) {
      this.closeCode = payload.length === 0 ? 1005 : payload.readUInt16BE(0)
      this.closeReason = payload.subarray(2).toString()
      this.add(`close ${this.closeCode}`)
    } else if (opcode === Frames.ping) {
      this.add("ping")
      if (this.#pongs && this.socket.writable) this.socket.write(Frames.frame(Frames.pong, payload))
    } else {
      this.add("pong")
    }
  }

  /** All payload bytes that came, if no sink took them. */
  get bytes(): Buffer {
    return Buffer.concat(this.messages.map((message) => message.payload))
  }

  /** Waits until this many payload bytes have come. */
  untilPayload(bytes: number, millis?: number): Effect.Effect<true> {
    const what = `${bytes} bytes of payload`
    return this.watch.until<true>(what, () => this.payloadBytes >= bytes, millis)
  }

  send(opcode: number, payload: Uint8Array | string, options?: Frames.FrameOptions): Effect.Effect<boolean> {
    return this.write(Frames.frame(opcode, payload, options))
  }

  sendClose(code?: number, reason?: string): Effect.Effect<boolean> {
    return this.send(Frames.close, Frames.closePayload(code, reason))
  }

  /** These bytes as one binary message of one frame, however many they are: they are taken as there is room. */
  sendFrame(length: number, payload: Iterable<Uint8Array>): Effect.Effect<boolean> {
    return this.writeAll(oneFrame(length, payload))
  }

  /** Each of these as a binary message. */
  sendAll(payloads: Iterable<Uint8Array>): Effect.Effect<boolean> {
    return this.writeAll(eachFrame(payloads))
  }
}

function* oneFrame(length: number, payload: Iterable<Uint8Array>): Generator<Uint8Array> {
  const mask = randomBytes(4)
  yield Frames.header(Frames.binary, length, { mask })
  let at = 0
  for (const piece of payload) {
    yield Frames.masked(piece, mask, at)
    at += piece.length
  }
}

function* eachFrame(payloads: Iterable<Uint8Array>): Generator<Uint8Array> {
  for (const payload of payloads) yield Frames.frame(Frames.binary, payload)
}

/** The request that opens a connection, in the RFC's own words. */
export const requestHead = (port: number, options: Options = {}): string =>
  [
    `GET ${options.path ?? "/"} HTTP/1.1`,
    `Host: 127.0.0.1:${port}`,
    "Upgrade: websocket",
    "Connection: Upgrade",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "Sec-WebSocket-Version: 13",
    ...(options.headers ?? []),
    headEnd.slice(2)
  ].join("\r\n")

/** Connects and sends the request; the answer is not awaited. */
export const request = (port: number, options: Options = {}): Effect.Effect<RawClient, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<RawClient>((resume) => {
      const to = { host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true }
      const socket = options.tls === true ? Tls.connect({ ...to, rejectUnauthorized: false }) : Net.connect(to)
      socket.once("error", (error) => resume(Effect.die(error)))
      socket.once(options.tls === true ? "secureConnect" : "connect", () => {
        socket.removeAllListeners("error")
        const client = new RawClient(socket, options)
        socket.write(requestHead(port, options))
        resume(Effect.succeed(client))
      })
      return Effect.sync(() => void socket.destroy())
    }),
    (client) => client.release
  )

/** The same, and waits for the 101. */
export const open = (port: number, options: Options = {}): Effect.Effect<RawClient, never, Scope.Scope> =>
  Effect.tap(request(port, options), (client) => client.until("open"))
