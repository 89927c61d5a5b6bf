/**
 * `--compress`: permessage-deflate with a client that is not ours (`ws`), both ways, to its close. The target never notices.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { WebSocket } from "ws"
import * as CommandLine from "./commandLine.ts"
import { soon } from "./connected.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { Watch } from "./watch.ts"

class Client {
  readonly watch = new Watch(() => `${this.received} bytes, close ${this.closeCode}`)
  readonly socket: WebSocket
  received = 0
  closeCode: number | undefined
  readonly texts: Array<string> = []
  sink: (chunk: Buffer) => void = () => {}

  constructor(port: number, options: WebSocket.ClientOptions) {
    this.socket = new WebSocket(`ws://127.0.0.1:${port}`, options)
    this.socket.binaryType = "nodebuffer"
    this.socket.on("message", (data: Buffer, isBinary) => {
      this.received += data.length
      if (isBinary) this.sink(data)
      else this.texts.push(data.toString())
      this.watch.changed()
    })
    this.socket.on("open", () => this.watch.changed())
    this.socket.on("close", (code) => {
      this.closeCode = code
      this.watch.changed()
    })
    this.socket.on("error", () => this.watch.changed())
  }

  send(data: Uint8Array | string): Effect.Effect<void> {
    return Effect.callback<void>((resume) => this.socket.send(data, () => resume(Effect.void)))
  }
}

const open = (port: number, options: WebSocket.ClientOptions = {}): Effect.Effect<Client, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.sync(() => new Client(port, { perMessageDeflate: { threshold: 0 }, ...options })),
    (client) =>
      Effect.suspend(() => {
        if (client.closeCode !== undefined) return Effect.void
        client.socket.terminate()
        return Effect.asVoid(client.watch.until("the end", () => client.closeCode !== undefined))
      })
  ).pipe(Effect.tap((client) => client.watch.until("open", () => client.socket.readyState === WebSocket.OPEN)))

const started = Effect.fnUntraced(function* (options: WebSocket.ClientOptions = {}, ...flags: ReadonlyArray<string>) {
  const listener = yield* RawTarget.listen()
  const proxy = yield* CommandLine.proxy(listener, "--compress", ...flags)
  const client = yield* open(proxy.port, options)
  const target = yield* listener.accept
  return { listener, proxy, client, target }
})

/** Easy to compress, and every line another. */
const lines = (count: number): string => Array.from({ length: count }, (_, i) => `line ${i} of some text\n`).join("")

describe.concurrent("--compress", { timeout: 30_000 }, () => {
  it.live("is agreed on, and messages of all sizes reach the target as they were", () =>
    Effect.gen(function* () {
      const { client, target } = yield* started()
      assert.match(client.socket.extensions, /permessage-deflate/)
      const sizes = [0, 1, 125, 126, 1000, 5000, 65535, 65536, 100_000, 1_000_000]
      const total = sizes.reduce((sum, size) => sum + size, 0)
      const source = Pattern.bytes(1, total)
      let at = 0
      for (const size of sizes) yield* client.send(source.subarray(at, (at += size)))
      yield* client.send(lines(10_000))
      const text = Buffer.from(lines(10_000))
      yield* target.untilReceived(total + text.length)
      assert.isTrue(target.bytes.equals(Buffer.concat([source, text])))
    })
  )

  it.live("what the target sends reaches the client, compressed where that is worth it", () =>
    Effect.gen(function* () {
      const { client, target } = yield* started()
      const chunks: Array<Buffer> = []
      client.sink = (chunk) => void chunks.push(chunk)
      const text = Buffer.from(lines(100_000))
      const noise = Pattern.bytes(2, 300_000)
      yield* target.write(text)
      yield* target.write(noise)
      yield* target.write(Buffer.from("short"))
      yield* client.watch.until("all", () => client.received === text.length + noise.length + 5)
      assert.isTrue(Buffer.concat(chunks).equals(Buffer.concat([text, noise, Buffer.from("short")])))
    })
  )

  it.live("it takes far fewer bytes on the wire", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* CommandLine.proxy(listener, "--compress")
      const client = yield* RawClient.open(proxy.port, { headers: ["Sec-WebSocket-Extensions: permessage-deflate"] })
      const target = yield* listener.accept
      const text = Buffer.from(lines(50_000))
      yield* target.write(text)
      yield* target.end()
      yield* client.until("close 1000")
      assert.isBelow(client.payloadBytes, text.length / 4)
    })
  )

  it.live("a client that does not offer it is served without", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* CommandLine.proxy(listener, "--compress")
      const client = yield* RawClient.open(proxy.port)
      const target = yield* listener.accept
      assert.notMatch(client.answer, /sec-websocket-extensions/i)
      yield* client.send(Frames.binary, "up")
      yield* target.untilReceived(2)
      yield* target.write(Buffer.from(lines(1000)))
      yield* client.untilPayload(lines(1000).length)
      assert.strictEqual(client.bytes.toString(), lines(1000))
    })
  )

  it.live("without the flag it is not agreed on", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* CommandLine.proxy(listener)
      const client = yield* open(proxy.port)
      assert.strictEqual(client.socket.extensions, "")
    })
  )

  it.live("with --text the messages are text", () =>
    Effect.gen(function* () {
      const { client, target } = yield* started({}, "--text")
      const text = "é€😀 ".repeat(20_000)
      yield* target.write(Buffer.from(text))
      yield* client.watch.until("all", () => client.received === Buffer.byteLength(text))
      assert.isTrue(client.texts.join("") === text)
    })
  )

  it.live.each([
    ["context takeover", {}],
    ["no context takeover", { serverNoContextTakeover: true, clientNoContextTakeover: true }],
    ["small windows", { serverMaxWindowBits: 9, clientMaxWindowBits: 9 }]
  ] as const)("%s: 1,000 messages each way at once", ([, perMessageDeflate]) =>
    Effect.gen(function* () {
      const { client, target } = yield* started({ perMessageDeflate: { threshold: 0, ...perMessageDeflate } })
      const up = new Pattern.Checker(3)
      const down = new Pattern.Checker(4)
      target.sink = (chunk) => up.push(chunk)
      client.sink = (chunk) => down.push(chunk)
      const total = 1_000_000
      yield* Effect.all(
        [
          Effect.forEach(Pattern.pieces(3, total, 1000), (piece) => client.send(piece), { discard: true }),
          Effect.forEach(Pattern.pieces(4, total, 1000), (piece) => target.write(piece), { discard: true })
        ],
        { concurrency: "unbounded" }
      )
      yield* target.untilReceived(total)
      yield* client.watch.until("all", () => client.received === total)
      assert.deepStrictEqual([up.fault, down.fault], [undefined, undefined])
    })
  )

  it.live("nothing is lost when the target closes at once, nor when the client does", () =>
    Effect.gen(function* () {
      const { client, listener, proxy, target } = yield* started()
      const total = 5_000_000
      const down = new Pattern.Checker(5)
      client.sink = (chunk) => down.push(chunk)
      yield* target.writeAll(Pattern.pieces(5, total))
      yield* target.end()
      yield* client.watch.until("the end", () => client.closeCode !== undefined)
      assert.deepStrictEqual([down.fault, down.received, client.closeCode], [undefined, total, 1000])

      const other = yield* open(proxy.port)
      const second = yield* listener.accept
      const up = new Pattern.Checker(6)
      second.sink = (chunk) => up.push(chunk)
      for (const piece of Pattern.pieces(6, total)) other.socket.send(piece)
      other.socket.close(1000)
      yield* second.until("end")
      assert.deepStrictEqual([up.fault, up.received], [undefined, total])
      yield* second.end()
      yield* other.watch.until("the end", () => other.closeCode !== undefined)
      assert.strictEqual(other.closeCode, 1000)
    })
  )

  it.live("a message that inflates to more than the limit: Close 1009, and the target is reset", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target: listener.target, compression: {}, maxMessageSize: 100_000 })
      const client = yield* open(proxy.port)
      const target = yield* listener.accept
      yield* client.send(Buffer.alloc(100_000))
      yield* target.untilReceived(100_000)
      yield* client.send(Buffer.alloc(100_001))
      yield* client.watch.until("the end", () => client.closeCode !== undefined)
      assert.strictEqual(client.closeCode, 1009)
      yield* target.until("reset", soon)
      assert.strictEqual(target.received, 100_000)
    })
  )

  it.live("the limit is --compress-limit", () =>
    Effect.gen(function* () {
      const { client, target } = yield* started({}, "--compress-limit", "2MiB")
      yield* client.send(Buffer.alloc(2 * 1024 * 1024))
      yield* target.untilReceived(2 * 1024 * 1024)
      yield* client.send(Buffer.alloc(2 * 1024 * 1024 + 1))
      yield* client.watch.until("the end", () => client.closeCode !== undefined)
      assert.strictEqual(client.closeCode, 1009)
    })
  )

  it.live("compressed bytes that do not inflate: Close 1007, and the target is reset", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target: listener.target, compression: {} })
      const client = yield* RawClient.open(proxy.port, { headers: ["Sec-WebSocket-Extensions: permessage-deflate"] })
      const target = yield* listener.accept
      yield* client.send(Frames.binary, Buffer.from([0xff, 0xff, 0xff]), { rsv: 4 })
      yield* client.until("close 1007", soon)
      yield* target.until("reset", soon)
    })
  )
})
