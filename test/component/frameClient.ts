/**
 * A client of a WSServer that shows each frame that the server sends, and each read of the socket: it reads when the test says
 * so, and sends nothing of its own accord but the pongs, if it is to. It reads strictly: what RFC 6455 forbids a server is an
 * error.
 */
import { once } from "node:events"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { checkOpened } from "../conformance/client.ts"
import { agree, Decompressor } from "../conformance/wire/deflate.ts"
import { CLOSE, CONTINUATION, PING, pong, TEXT } from "../conformance/wire/frame.ts"
import { encodeHead, newKey, parseResponse, plus, requestHead, values } from "../conformance/wire/http.ts"
import { type ServerFrame, ServerFrameReader } from "../conformance/wire/reader.ts"
import { until } from "./until.ts"

export interface Options {
  /** Whether pings are answered. Default: true. */
  readonly pongs?: boolean
  /** Whether permessage-deflate is offered. */
  readonly deflate?: boolean
  /** Whether it speaks TLS, whatever certificate it is shown. */
  readonly secure?: boolean
}

/** A message, put together. */
export interface Message {
  readonly isText: boolean
  readonly payload: Buffer
  readonly isCompressed: boolean
  /** The sizes of its frames. */
  readonly sizes: ReadonlyArray<number>
}

export class FrameClient {
  readonly socket: Net.Socket
  readonly frames: Array<ServerFrame> = []
  /** What each read brought since the opening, in bytes. */
  readonly reads: Array<number> = []
  /** Takes the frames of data in place of `frames`. */
  sink: ((frame: ServerFrame) => void) | undefined
  received = 0
  isOver = false
  /** What the server did that it must not. */
  fault: unknown
  private readonly reader = new ServerFrameReader()
  private readonly pongs: boolean
  private readonly decompressor: Decompressor | undefined

  constructor(socket: Net.Socket, behind: Buffer, pongs: boolean, decompressor: Decompressor | undefined) {
    this.socket = socket
    this.pongs = pongs
    this.decompressor = decompressor
    socket.on("data", (chunk: Buffer) => this.take(chunk))
    const end = () => (this.isOver = true)
    socket.on("end", end).on("error", end).on("close", end)
    if (behind.length > 0) this.take(behind)
  }

  static async open(port: number, options: Options = {}): Promise<FrameClient> {
    const to = { host: "127.0.0.1", port, allowHalfOpen: true, noDelay: true }
    const socket = options.secure === true ? Tls.connect({ ...to, rejectUnauthorized: false }) : Net.connect(to)
    const key = newKey()
    const offer = "permessage-deflate"
    const plain = requestHead(`127.0.0.1:${port}`, "/", key)
    const head = options.deflate === true ? plus(plain, "Sec-WebSocket-Extensions", offer) : plain
    socket.write(encodeHead(head))
    let received: Buffer = Buffer.alloc(0)
    let response = parseResponse(received)
    while (response === undefined) {
      const [chunk] = await once(socket, "data")
      received = Buffer.concat([received, chunk])
      response = parseResponse(received)
    }
    checkOpened(response, key)
    const [answer] = values(response, "Sec-WebSocket-Extensions")
    const agreement = answer === undefined ? undefined : agree(offer, answer)
    const decompressor =
      agreement && new Decompressor({ windowBits: agreement.serverWindow, takeover: agreement.serverTakeover })
    return new FrameClient(socket, response.rest, options.pongs ?? true, decompressor)
  }

  private take(chunk: Buffer): void {
    this.reads.push(chunk.length)
    this.received += chunk.length
    try {
      for (const frame of this.reader.push(chunk)) {
        if (frame.opcode < CLOSE && this.sink !== undefined) this.sink(frame)
        else this.frames.push(frame)
        if (frame.opcode === PING && this.pongs) this.socket.write(pong(frame.payload))
      }
    } catch (error) {
      this.fault ??= error
    }
  }

  /** Frames of data. */
  get data(): ReadonlyArray<ServerFrame> {
    return this.frames.filter((frame) => frame.opcode < CLOSE)
  }

  /** How many messages are complete. */
  get complete(): number {
    return this.data.filter((frame) => frame.fin).length
  }

  /** The payloads of data that came, one after the other. */
  get bytes(): Buffer {
    return Buffer.concat(this.data.map((frame) => frame.payload))
  }

  /** Waits for so many messages, and puts all together that are complete. */
  async messages(count: number): Promise<ReadonlyArray<Message>> {
    await until(`${count} messages`, () => this.fault !== undefined || this.complete >= count)
    if (this.fault !== undefined) throw this.fault
    const messages: Array<Message> = []
    let open: Array<ServerFrame> = []
    for (const frame of this.data) {
      if ((frame.opcode === CONTINUATION) === (open.length === 0)) {
        throw new Error("a message began within another, or was continued before it began")
      }
      open.push(frame)
      if (!frame.fin) continue
      const [first] = open
      const isCompressed = first?.rsv === 4
      const payload = Buffer.concat(open.map((one) => one.payload))
      messages.push({
        isText: first?.opcode === TEXT,
        isCompressed,
        payload: isCompressed && this.decompressor !== undefined ? await this.inflate(frame, payload) : payload,
        sizes: open.map((one) => one.payload.length)
      })
      open = []
    }
    return messages
  }

  /** Each message goes through the window once, however often it is looked at. */
  private readonly inflated = new Map<ServerFrame, Buffer>()
  private async inflate(last: ServerFrame, payload: Buffer): Promise<Buffer> {
    const known = this.inflated.get(last)
    if (known !== undefined) return known
    const plain = (await this.decompressor?.decompress(payload)) ?? payload
    this.inflated.set(last, plain)
    return plain
  }

  /** Waits for so many messages, and gives them as text. */
  async texts(count: number): Promise<ReadonlyArray<string>> {
    return (await this.messages(count)).map((message) => message.payload.toString())
  }

  /** Frames in one write. */
  send(...frames: ReadonlyArray<Uint8Array>): void {
    this.socket.write(Buffer.concat(frames))
  }

  /** Reads no more, until `resume`. */
  pause(): void {
    this.socket.pause()
  }
  resume(): void {
    this.socket.resume()
  }

  /** Reads a piece, then nothing for a while, and so on until it is to `stop`. */
  readSlowly(millis: number): { readonly stop: () => void } {
    const { socket } = this
    const pause = () => socket.pause()
    socket.on("data", pause)
    const timer = setInterval(() => socket.resume(), millis)
    return {
      stop: () => {
        clearInterval(timer)
        socket.off("data", pause)
        socket.resume()
      }
    }
  }

  destroy(): void {
    this.decompressor?.dispose()
    this.socket.destroy()
  }
}
