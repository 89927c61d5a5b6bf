import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import * as Net from "node:net"
import * as zlib from "node:zlib"
import WS from "ws"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { bytesOf, close, shown, text } from "../connection/connected.ts"
import { eventually } from "../server/serving.ts"
import { ask, connect, upgraded, upgradeRequest } from "../server/wire.ts"
import { listening, run, start } from "./command.ts"

const MiB = 1024 * 1024

const open = (url: string, options: WS.ClientOptions = {}) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = new WS(url, { perMessageDeflate: false, maxPayload: 128 * MiB, ...options })
      await once(socket, "open")
      return socket
    }),
    (socket) => Effect.sync(() => socket.terminate())
  )

const nextMessage = (socket: WS) => Effect.promise(async () => (await once(socket, "message"))[0] as Buffer)

const ipv6 = await new Promise<boolean>((resolve) => {
  const probe = Net.createServer()
  probe.once("error", () => resolve(false))
  probe.listen(0, "::1", () => probe.close(() => resolve(true)))
})

describe.concurrent("the ready line", () => {
  it.live(
    "has the address as it is reached: the real port, the default host, brackets around IPv6",
    (context) =>
      Effect.gen(function* () {
        const [plain, all] = yield* Effect.all([listening("echo", "0"), listening("echo", "0.0.0.0:0")], {
          concurrency: 2
        })
        assert.strictEqual(plain.host, "127.0.0.1")
        assert.isAbove(plain.port, 0)
        assert.strictEqual(all.host, "0.0.0.0")
        yield* upgraded(all.port)
        yield* open(plain.url)
        assert.strictEqual(plain.stdout().split("\n").length, 2)
        if (!ipv6) return context.skip("this machine has no ::1")
        const six = yield* listening("echo", "[::1]:0")
        assert.strictEqual(six.host, "[::1]")
        const socket = yield* open(six.url)
        socket.send("over IPv6")
        assert.strictEqual(String(yield* nextMessage(socket)), "over IPv6")
      }),
    30_000
  )
})

describe.concurrent("echo", () => {
  it.live(
    "takes the client's first subprotocol and any origin, unless --origin says which",
    () =>
      Effect.gen(function* () {
        const [any, some] = yield* Effect.all(
          [
            listening("echo", "0"),
            listening("echo", "0", "--origin", "https://a.example", "--origin", "https://*.b.example")
          ],
          { concurrency: 2 }
        )
        const { headers } = yield* upgraded(any.port, { Origin: "https://c.example", "Sec-WebSocket-Protocol": "x, y" })
        assert.strictEqual(headers["sec-websocket-protocol"], "x")
        const status = (origin: string) =>
          Effect.map(ask(some.port, upgradeRequest({ Origin: origin })), (_) => _.status)
        assert.strictEqual(yield* status("https://a.example"), 101)
        assert.strictEqual(yield* status("https://www.b.example"), 101)
        assert.strictEqual(yield* status("https://c.example"), 403)
      }),
    30_000
  )

  it.live(
    "has its limits by flags: connections, idle and life time, silence, the handshake",
    () =>
      Effect.gen(function* () {
        const [idle, old, dead, one, late] = yield* Effect.all(
          [
            listening("echo", "0", "--idle-timeout", "300ms"),
            listening("echo", "0", "--max-lifetime", "0.3"),
            listening("echo", "0", "--ping-interval", "100ms", "--pong-timeout", "200 millis"),
            listening("echo", "0", "--max-connections", "1"),
            listening("echo", "0", "--handshake-timeout", "400ms")
          ],
          { concurrency: 5 }
        )
        const closeOf = (port: number) =>
          Effect.flatMap(upgraded(port), (wire) => Effect.map(wire.next, (frame) => shown(frame).slice(0, 2)))
        const silent = Effect.gen(function* () {
          const wire = yield* upgraded(dead.port)
          const ping = yield* wire.next
          return [ping.opcode, yield* wire.ended]
        })
        const full = Effect.gen(function* () {
          const slow = yield* connect(late.port)
          yield* upgraded(one.port)
          const refused = yield* ask(one.port, upgradeRequest())
          return [refused.status, (yield* slow.response).status]
        })
        const [byIdle, byAge, bySilence, byCount] = yield* Effect.all(
          [closeOf(idle.port), closeOf(old.port), silent, full],
          { concurrency: 4 }
        )
        assert.deepStrictEqual(byIdle, [Opcode.close, 1001])
        assert.deepStrictEqual(byAge, [Opcode.close, 1008])
        assert.deepStrictEqual(bySilence, [Opcode.ping, "reset"])
        assert.deepStrictEqual(byCount, [503, 408])
      }),
    30_000
  )

  it.live(
    "sends back 64 MiB in one frame and in many, no byte more, and compresses when that is offered",
    () =>
      Effect.gen(function* () {
        const { stderr, url } = yield* listening("echo", "0")
        const socket = yield* open(url)
        const message = Buffer.alloc(64 * MiB)
        for (let i = 0; i < message.length; i += 4096) message.writeUInt32LE(i, i)
        socket.send(message)
        assert.isTrue(message.equals(yield* nextMessage(socket)))
        const piece = 16 * 1024
        for (let at = 0; at < message.length; at += piece) {
          socket.send(message.subarray(at, at + piece), { fin: at + piece === message.length })
        }
        assert.isTrue(message.equals(yield* nextMessage(socket)))
        const compressing = yield* open(url, { perMessageDeflate: { threshold: 0 } })
        assert.include(compressing.extensions, "permessage-deflate")
        compressing.send(message)
        assert.isTrue(message.equals(yield* nextMessage(compressing)))
        const tooBig = yield* open(url)
        tooBig.send(Buffer.alloc(64 * MiB + 1))
        const [code] = yield* Effect.promise(() => once(tooBig, "close"))
        assert.strictEqual(code, 1009)
        assert.strictEqual(stderr(), "")
      }),
    90_000
  )

  it.live(
    "takes durations in every form that its help and its messages name",
    () =>
      Effect.gen(function* () {
        const wrong: Array<string> = []
        const forms = [
          ["infinity", "30", "30s", "1.5m", "0"],
          ["Infinity", "2h", "250ms", "30 seconds", "10 minutes"]
        ]
        yield* Effect.forEach(
          forms,
          ([idle, lifetime, handshake, ping, drain]) =>
            Effect.gen(function* () {
              const flags = [`--idle-timeout=${idle}`, `--max-lifetime=${lifetime}`, `--handshake-timeout=${handshake}`]
              const running = yield* start([
                "echo",
                "0",
                ...flags,
                `--ping-interval=${ping}`,
                `--drain-timeout=${drain}`
              ])
              const ready = yield* Effect.race(
                Effect.as(
                  Effect.catchCause(running.line(1), () => Effect.never),
                  true
                ),
                Effect.as(running.ended, false)
              )
              if (!ready) wrong.push(running.stderr())
              yield* running.kill("SIGTERM")
            }).pipe(Effect.scoped),
          { concurrency: 2, discard: true }
        )
        assert.deepStrictEqual(wrong, [])
      }),
    30_000
  )

  it.live(
    "gives a client 10 seconds for its handshake, unless told",
    () =>
      Effect.gen(function* () {
        const { port } = yield* listening("echo", "0")
        const begin = performance.now()
        const wire = yield* connect(port)
        assert.strictEqual((yield* wire.response).status, 408)
        const millis = performance.now() - begin
        assert.isTrue(millis >= 9_900 && millis < 13_000, `${millis}`)
      }),
    30_000
  )
})

describe("--context-takeover", () => {
  const offer = { "Sec-WebSocket-Extensions": "permessage-deflate" }

  it.live(
    "takes a message that refers to an earlier one; without it each is to be compressed by itself",
    () =>
      Effect.gen(function* () {
        const compressor = zlib.createDeflateRaw()
        yield* Effect.addFinalizer(() => Effect.sync(() => compressor.close()))
        /** In the same window as all before, whatever was answered. */
        const compressed = (message: string) =>
          Effect.promise(async () => {
            compressor.write(message)
            await new Promise<void>((resolve) => compressor.flush(zlib.constants.Z_SYNC_FLUSH, resolve))
            // RFC 7692 section 7.2.1
            return (compressor.read() as Buffer).subarray(0, -4)
          })
        const message = Array.from({ length: 500 }, (_, i) => i).join()
        const [first, second] = [yield* compressed(message), yield* compressed(message)]
        assert.isBelow(second.length, 50)

        const sent = (wire: Effect.Success<ReturnType<typeof upgraded>>) => {
          for (const payload of [first, second]) wire.send({ opcode: Opcode.text, rsv1: true, payload })
        }
        const each = yield* upgraded((yield* listening("echo", "0")).port, offer)
        assert.match(
          each.headers["sec-websocket-extensions"]!,
          /server_no_context_takeover; client_no_context_takeover/
        )
        sent(each)
        yield* each.next
        assert.deepStrictEqual(shown(yield* each.next).slice(0, 2), [Opcode.close, 1007])

        const target = Net.createServer((socket) => void socket.on("error", () => {}).pipe(socket)).listen(
          0,
          "127.0.0.1"
        )
        yield* Effect.addFinalizer(() => Effect.sync(() => void target.close()))
        yield* Effect.promise(() => once(target, "listening"))
        const { port } = target.address() as Net.AddressInfo
        for (const command of [
          ["echo", "0"],
          ["proxy", "0", `127.0.0.1:${port}`, "--compress"]
        ]) {
          const wire = yield* upgraded((yield* listening(...command, "--context-takeover")).port, offer)
          assert.strictEqual(wire.headers["sec-websocket-extensions"], "permessage-deflate")
          const inflater = zlib.createInflateRaw()
          yield* Effect.addFinalizer(() => Effect.sync(() => inflater.close()))
          let text = ""
          inflater.on("data", (data: Buffer) => (text += data.toString()))
          sent(wire)
          while (text !== message + message) {
            const { fin, payload, rsv1 } = yield* wire.next
            if (rsv1) inflater.write(payload)
            if (rsv1 && fin) inflater.write(Buffer.from([0, 0, 0xff, 0xff]))
            if (!rsv1) text += Buffer.from(payload).toString()
            yield* Effect.promise(() => new Promise<void>((resolve) => inflater.flush(resolve)))
          }
        }
      }),
    60_000
  )
})

describe.concurrent("proxy", () => {
  it.live(
    "is ready before its target is there; then it carries bytes, and is an honest 502 when it is gone",
    () =>
      Effect.gen(function* () {
        const target = Net.createServer((socket) => void socket.pipe(socket)).listen(0, "127.0.0.1")
        yield* Effect.addFinalizer(() => Effect.sync(() => void target.close()))
        yield* Effect.promise(() => once(target, "listening"))
        const { port } = target.address() as Net.AddressInfo
        // the address is none of the flag's before it, though it could be its value
        const proxy = yield* listening("proxy", "--text", "0", `127.0.0.1:${port}`)
        const wire = yield* upgraded(proxy.port)
        wire.send(text("through and back"))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "through and back"])
        wire.send(close(1000))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
        yield* Effect.promise(() => new Promise((resolve) => target.close(resolve)))
        assert.strictEqual((yield* ask(proxy.port, upgradeRequest())).status, 502)
        assert.strictEqual((yield* ask(proxy.port, upgradeRequest({ Origin: "https://evil.example" }))).status, 403)
      }),
    30_000
  )
})

/** A port that was free a moment ago, for a process that cannot tell its own. */
const freePort = Effect.promise(
  () =>
    new Promise<number>((resolve) => {
      const probe = Net.createServer().listen(0, "127.0.0.1", () => {
        const { port } = probe.address() as Net.AddressInfo
        probe.close(() => resolve(port))
      })
    })
)

const answers = (port: number): Effect.Effect<boolean> =>
  Effect.promise(
    () =>
      new Promise((resolve) => {
        const socket = Net.connect(port, "127.0.0.1", () => {
          socket.destroy()
          resolve(true)
        })
        socket.on("error", () => resolve(false))
      })
  )

describe.concurrent("clients that break off anywhere", () => {
  const get = "GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
  const beginnings: ReadonlyArray<string | Uint8Array> = [
    "",
    "GET / HT",
    get,
    upgradeRequest(),
    get + upgradeRequest(),
    upgradeRequest() + upgradeRequest(),
    get + get + upgradeRequest(),
    upgradeRequest({ "Sec-WebSocket-Version": "1" }),
    upgradeRequest({ "Content-Length": "10" }) + "half",
    "nonsense\r\n\r\n",
    Buffer.concat([Buffer.from(upgradeRequest()), bytesOf("client", [text("x"), { ...text("y"), fin: false }])])
  ]
  it.live(
    "do not end the process, and leave not a word in its log",
    () =>
      Effect.gen(function* () {
        const running = yield* listening("echo", "0")
        for (const pause of [0, 2, 20]) {
          for (const beginning of beginnings) {
            yield* Effect.forEach(
              ["reset", "end"] as const,
              (way) =>
                Effect.gen(function* () {
                  const wire = yield* connect(running.port)
                  wire.write(beginning)
                  if (pause > 0) yield* Effect.sleep(pause)
                  wire[way]()
                  yield* Effect.sleep(pause)
                }).pipe(Effect.scoped, Effect.repeat({ times: 2 })),
              { concurrency: 2, discard: true }
            )
          }
        }
        const wire = yield* upgraded(running.port)
        wire.send(text("still here"), close(1000))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still here"])
        wire.end()
        yield* running.kill("SIGTERM")
        const ended = yield* running.ended
        assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
      }),
    30_000
  )
})

describe.concurrent("an output that nobody reads", () => {
  it.live(
    "is no reason to fall over: the server serves and ends in order, and help just ends",
    () =>
      Effect.gen(function* () {
        const port = yield* freePort
        const server = yield* start(["echo", `${port}`], "closed")
        const help = yield* start(["--help"], "closed")
        yield* eventually("it listens", answers(port))
        const wire = yield* upgraded(port)
        wire.send(text("hi"), close(1000))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "hi"])
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
        wire.end()
        yield* server.kill("SIGTERM")
        const ended = yield* server.ended
        assert.deepStrictEqual([ended.code, ended.stderr], [0, ""])
        const helped = yield* help.ended
        assert.deepStrictEqual([helped.code, helped.signal, helped.stderr], [0, null, ""])
        assert.strictEqual((yield* run("--version")).code, 0)
      }),
    30_000
  )
})
