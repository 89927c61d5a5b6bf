/**
 * The suite's client: an opened WebSocket connection whose frames are sent as the case wants them, and whose answers
 * are read strictly, as events. It does nothing of its own accord: no pong, no Close, no FIN.
 */
import * as assert from "node:assert/strict"
import { isUtf8 } from "node:buffer"
import { type Agreement, agree, Compressor, Decompressor } from "./wire/deflate.ts"
import { BINARY, CLOSE, close, CONTINUATION, fragments, PING, pieces, PONG, TEXT } from "./wire/frame.ts"
import { acceptOf, encodeHead, type Header, newKey, requestHead, type Response, tokens, values } from "./wire/http.ts"
import { ServerFrameReader, type ServerFrame } from "./wire/reader.ts"
import type { Ending, Pause, Tcp } from "./wire/tcp.ts"

export type Event =
  | { readonly type: "message"; readonly opcode: number; readonly payload: Buffer; readonly compressed: boolean }
  | { readonly type: "pong"; readonly payload: Buffer }
  | { readonly type: "close"; readonly code: number | undefined; readonly reason: string }
  | { readonly type: "end"; readonly how: Ending }

export interface MessageOptions {
  readonly opcode: number
  /** The payload (the compressed one, if it is compressed) goes in fragments of this size. */
  readonly fragment?: number
  readonly compress?: boolean
}

const show = (payload: Buffer): string =>
  payload.length <= 24 ? `<${payload.toString("hex")}>` : `<${payload.subarray(0, 24).toString("hex")}…>`

const describe = (event: Event): string => {
  switch (event.type) {
    case "message": {
      const kind = event.opcode === TEXT ? "text" : "binary"
      return `a ${kind} message of ${event.payload.length} octets ${show(event.payload)}`
    }
    case "pong":
      return `a Pong of ${event.payload.length} octets ${show(event.payload)}`
    case "close":
      return event.code === undefined ? "a Close without a code" : `a Close ${event.code} "${event.reason}"`
    case "end":
      return event.how === "end" ? "the end of the connection" : "a reset of the connection"
  }
}

export class Peer {
  readonly tcp: Tcp
  readonly response: Response
  readonly agreement: Agreement | undefined
  readonly #reader = new ServerFrameReader()
  readonly #compressor: Compressor | undefined
  #decompressor: Decompressor | undefined
  #frames: Array<ServerFrame> = []
  #read = 0
  #violation: unknown
  #closing = false
  #open: { readonly opcode: number; readonly compressed: boolean; readonly parts: Array<Buffer> } | undefined

  constructor(tcp: Tcp, response: Response, agreement: Agreement | undefined) {
    this.tcp = tcp
    this.response = response
    this.agreement = agreement
    if (agreement !== undefined) {
      this.#compressor = new Compressor({ windowBits: agreement.clientWindow, takeover: agreement.clientTakeover })
      this.#decompressor = new Decompressor({ windowBits: agreement.serverWindow, takeover: agreement.serverTakeover })
    }
    tcp.drainTo((chunk) => {
      try {
        for (const frame of this.#reader.push(chunk)) {
          this.#frames.push(frame)
          if (frame.opcode === CLOSE) this.#closing = true
        }
      } catch (error) {
        this.#violation ??= error
      }
    })
  }

  /** These frames, or parts of frames, in one write. */
  send(...parts: ReadonlyArray<Uint8Array>): void {
    this.tcp.write(parts)
  }

  /** The same for a list, which may be long. */
  sendAll(parts: ReadonlyArray<Uint8Array>): void {
    this.tcp.write(parts)
  }

  /** Each part in a write of its own; it stops when the server has sent its Close. */
  async sendApart(parts: Iterable<Uint8Array>, pause: Pause = "turn"): Promise<void> {
    await this.tcp.writeApart(parts, pause, () => this.#closing)
  }

  /** All of it, cut in chops of `size` octets. */
  async sendChopped(stream: Uint8Array, size: number): Promise<void> {
    await this.sendApart(pieces(stream, size))
  }

  async sendMessage(payload: Uint8Array | string, options: MessageOptions): Promise<void> {
    let content = typeof payload === "string" ? Buffer.from(payload) : payload
    if (options.compress === true) {
      assert.ok(this.#compressor !== undefined, "permessage-deflate was not negotiated")
      content = await this.#compressor.compress(content)
    }
    const cut = options.fragment === undefined ? [content] : pieces(content, options.fragment)
    this.sendAll(fragments(options.opcode, cut, options.compress === true ? { rsv: 4 } : undefined))
  }

  /** Reads the server's compressed messages with this codec from now on. */
  decompressWith(decompressor: Decompressor): void {
    this.#decompressor?.dispose()
    this.#decompressor = decompressor
  }

  /** What the server does next. Its own Pings are passed over. */
  async next(what: string): Promise<Event> {
    for (;;) {
      const frame = await this.tcp.until(what, () => this.#take())
      if (frame === "end" || frame === "reset") return { type: "end", how: frame }
      if (frame.opcode === PING) continue
      if (frame.opcode >= CLOSE) {
        assert.equal(frame.rsv, 0, "the server set a reserved bit in a control frame")
        return frame.opcode === PONG ? { type: "pong", payload: frame.payload } : this.#closeEvent(frame.payload)
      }
      const message = await this.#assemble(frame)
      if (message !== undefined) return message
    }
  }

  async expectMessage(opcode: number, payload: Uint8Array | string): Promise<{ readonly compressed: boolean }> {
    const expected = typeof payload === "string" ? Buffer.from(payload) : Buffer.from(payload)
    const wanted: Event = { type: "message", opcode, payload: expected, compressed: false }
    const event = await this.next(describe(wanted))
    if (event.type !== "message" || event.opcode !== opcode || !event.payload.equals(expected)) {
      assert.fail(`expected ${describe(wanted)}, got ${describe(event)}`)
    }
    return event
  }

  async expectText(payload: Uint8Array | string): Promise<void> {
    await this.expectMessage(TEXT, payload)
  }

  async expectBinary(payload: Uint8Array | string): Promise<void> {
    await this.expectMessage(BINARY, payload)
  }

  async expectPong(payload: Uint8Array | string): Promise<void> {
    const wanted: Event = { type: "pong", payload: Buffer.from(payload) }
    const event = await this.next(describe(wanted))
    if (event.type !== "pong" || !event.payload.equals(wanted.payload)) {
      assert.fail(`expected ${describe(wanted)}, got ${describe(event)}`)
    }
  }

  /** A Close with one of these codes; `undefined` stands for a Close without a code. */
  async expectClose(...codes: ReadonlyArray<number | undefined>): Promise<{ readonly reason: string }> {
    const wanted = `a Close with ${codes.map((code) => code ?? "no code").join(" or ")}`
    const event = await this.next(wanted)
    if (event.type !== "close" || !codes.includes(event.code)) assert.fail(`expected ${wanted}, got ${describe(event)}`)
    return event
  }

  /** The server's FIN, which it owes without waiting for ours, and nothing before it. */
  async expectEnd(...allowed: ReadonlyArray<Ending>): Promise<void> {
    const wanted = "the server to end the connection"
    const event = await this.next(wanted)
    const endings = allowed.length === 0 ? ["end"] : allowed
    if (event.type !== "end" || !endings.includes(event.how)) assert.fail(`expected ${wanted}, got ${describe(event)}`)
    this.tcp.end()
  }

  /** RFC 6455 section 7.1.7: a Close with one of these codes, then the end, whatever else we had sent. */
  async expectFailure(...codes: ReadonlyArray<number>): Promise<void> {
    await this.expectClose(...codes)
    await this.expectEnd("end", "reset")
  }

  /** The closing handshake, begun by us. */
  async finish(): Promise<void> {
    this.send(close(1000))
    await this.expectClose(1000)
    await this.expectEnd()
  }

  dispose(): void {
    this.tcp.destroy()
    this.#compressor?.dispose()
    this.#decompressor?.dispose()
  }

  #take(): ServerFrame | Ending | undefined {
    const frame = this.#frames[this.#read]
    if (frame !== undefined) {
      this.#read++
      if (this.#read === this.#frames.length) {
        this.#frames = []
        this.#read = 0
      }
      return frame
    }
    if (this.#violation !== undefined) throw this.#violation
    const ending = this.tcp.ending
    if (ending === "end" && this.#reader.pending > 0) assert.fail("the server ended the connection within a frame")
    return ending
  }

  async #assemble(frame: ServerFrame): Promise<Event | undefined> {
    if (frame.opcode === CONTINUATION) {
      assert.ok(this.#open !== undefined, "the server continued a message that it had not begun")
      assert.equal(frame.rsv, 0, "the server set a reserved bit in a continuation")
    } else {
      assert.ok(this.#open === undefined, "the server began a message within another one")
      const compressed = frame.rsv === 4 && this.agreement !== undefined
      assert.ok(compressed || frame.rsv === 0, `the server set reserved bits that were not negotiated: ${frame.rsv}`)
      this.#open = { opcode: frame.opcode, compressed, parts: [] }
    }
    const message = this.#open
    message.parts.push(frame.payload)
    if (!frame.fin) return undefined
    this.#open = undefined
    const [only] = message.parts
    const raw = message.parts.length === 1 && only !== undefined ? only : Buffer.concat(message.parts)
    const payload =
      message.compressed && this.#decompressor !== undefined ? await this.#decompressor.decompress(raw) : raw
    assert.ok(message.opcode !== TEXT || isUtf8(payload), "the server sent a text message that is not UTF-8")
    return { type: "message", opcode: message.opcode, payload, compressed: message.compressed }
  }

  #closeEvent(payload: Buffer): Event {
    assert.notEqual(payload.length, 1, "the server sent a Close with half a code")
    if (payload.length === 0) return { type: "close", code: undefined, reason: "" }
    const code = payload.readUInt16BE(0)
    const reason = payload.subarray(2)
    assert.ok(isUtf8(reason), "the server sent a Close whose reason is not UTF-8")
    return { type: "close", code, reason: reason.toString() }
  }
}

export interface OpenOptions {
  /** The value of Sec-WebSocket-Extensions; each member of a list gets a header line of its own. */
  readonly offer?: string | ReadonlyArray<string>
  readonly headers?: ReadonlyArray<Header>
  /** Octets that go out in one write with the head. */
  readonly behind?: Uint8Array
}

/** Holds a 101 against RFC 6455 section 4.2.2. */
export const checkOpened = (response: Response, key: string): void => {
  assert.equal(response.status, 101, `expected 101, got ${response.statusLine}: ${response.body.toString()}`)
  assert.match(response.statusLine, /^HTTP\/1\.1 /)
  assert.deepEqual(values(response, "Sec-WebSocket-Accept"), [acceptOf(key)])
  assert.deepEqual(tokens(response, "Upgrade"), ["websocket"])
  assert.ok(tokens(response, "Connection").includes("upgrade"), "the response has no Connection: Upgrade")
  assert.deepEqual(values(response, "Content-Length"), [], "a 101 has no body, so it has no Content-Length")
  assert.deepEqual(values(response, "Transfer-Encoding"), [], "a 101 has no body, so it has no Transfer-Encoding")
}

/** The opening handshake on a fresh TCP connection. */
export const open = async (tcp: Tcp, host: string, target: string, options: OpenOptions): Promise<Peer> => {
  const key = newKey()
  const base = requestHead(host, target, key)
  const lines = options.offer === undefined ? [] : typeof options.offer === "string" ? [options.offer] : options.offer
  const offered = lines.map((line): Header => ["Sec-WebSocket-Extensions", line])
  const head = encodeHead({ ...base, headers: [...base.headers, ...offered, ...(options.headers ?? [])] })
  tcp.write([head, options.behind ?? Buffer.alloc(0)])
  const response = await tcp.response()
  checkOpened(response, key)
  const extensions = values(response, "Sec-WebSocket-Extensions")
  if (lines.length === 0) assert.deepEqual(extensions, [], "the server accepts what was not offered")
  assert.ok(extensions.length <= 1, "the server answers with more than one Sec-WebSocket-Extensions")
  const [answer] = extensions
  return new Peer(tcp, response, answer === undefined ? undefined : agree(lines.join(", "), answer))
}
