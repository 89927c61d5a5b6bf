import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { NetAddress } from "effect/net"
import * as NodeUpgradeListener from "../../src/node/NodeUpgradeListener.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { Refusal } from "../../src/server/OpenRequest.ts"
import { bytesOf, close, shown, text } from "../connection/connected.ts"
import { ask, connect, upgraded, upgradeRequest } from "./wire.ts"
import { collectingLogs, deciding, drain, echo, eventually, listening, noneOpen, serving } from "./serving.ts"

describe("the answer", () => {
  it.live(
    "is 101 with the accept key of the RFC's example, and no compression or subprotocol that was not asked for",
    () =>
      Effect.gen(function* () {
        const { port } = yield* serving(drain, { subprotocols: ["chat"], compression: {} })
        const { headers } = yield* upgraded(port)
        assert.strictEqual(headers["sec-websocket-accept"], "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
        assert.isUndefined(headers["sec-websocket-protocol"])
        assert.isUndefined(headers["sec-websocket-extensions"])
      })
  )

  it.live("agrees on the server's first subprotocol that is offered, on the client's first, or on none", () =>
    Effect.gen(function* () {
      const cases = [
        [["b", "a"], "a, b", "b"],
        ["first", "a, b", "a"],
        [["c"], "a, b", undefined],
        [undefined, "a", undefined]
      ] as const
      for (const [subprotocols, offered, agreed] of cases) {
        const { port } = yield* serving((webSocket) => webSocket.send(String(webSocket.subprotocol)), { subprotocols })
        const wire = yield* upgraded(port, { "Sec-WebSocket-Protocol": offered })
        assert.strictEqual(wire.headers["sec-websocket-protocol"], agreed)
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, String(agreed)])
      }
    })
  )

  it.live("to a Refusal of the handler has its status, headers and reason, and ends the connection", () =>
    Effect.gen(function* () {
      const { port } = yield* deciding(() =>
        Effect.fail(
          new Refusal({ status: 401, reason: "Wer da? 🎈", headers: { "www-authenticate": 'Basic realm="x"' } })
        )
      )
      const wire = yield* connect(port)
      wire.write(upgradeRequest())
      const response = yield* wire.response
      assert.deepStrictEqual([response.status, response.body], [401, "Wer da? 🎈\n"])
      assert.strictEqual(response.headers["www-authenticate"], 'Basic realm="x"')
      assert.strictEqual(response.headers["connection"], "close")
      assert.strictEqual(yield* wire.ended, "FIN")
    })
  )

  it.live("is of the handler that runs last, and of the other when that has ended, whichever it is", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        for (const ended of [0, 1]) {
          const { port, server } = yield* listening()
          const said = Effect.gen(function* () {
            const wire = yield* upgraded(port)
            return shown(yield* wire.next)[1]
          }).pipe(Effect.scoped)
          const run = (name: string) =>
            Effect.tap(
              Effect.forkChild(
                server.run((webSocket) => webSocket.send(name)),
                { startImmediately: true }
              ),
              Effect.yieldNow
            )
          const both = [yield* run("first"), yield* run("second")]
          assert.strictEqual(yield* said, "second")
          yield* Fiber.interrupt(both[ended]!)
          assert.strictEqual(yield* said, ["second", "first"][ended])
          yield* Fiber.interrupt(both[1 - ended]!)
          assert.strictEqual((yield* ask(port, upgradeRequest())).status, 503)
        }
        assert.deepStrictEqual(
          logs.map(({ level, text }) => [level, text.slice(0, 16)]),
          [
            ["Warn", "A second handler"],
            ["Warn", "A second handler"]
          ]
        )
      }).pipe(Effect.scoped)
    )
  )

  it.live("to who throws before there is an effect is 500, and the fault is logged", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { listener } = yield* NodeUpgradeListener.make({ port: 0 })
        const throwing = listener.run((): Effect.Effect<void> => {
          throw new Error("not today")
        })
        yield* Effect.forkScoped(throwing, { startImmediately: true })
        yield* Effect.yieldNow
        const { address } = listener
        if (!NetAddress.isInetAddress(address)) return assert.fail("it listens on no port")
        assert.strictEqual((yield* ask(address.port, upgradeRequest())).status, 500)
        assert.match(logs[0]?.text ?? "", /not today/)
      }).pipe(Effect.scoped)
    )
  )

  it.live("while nothing runs is 503, and the same server serves when something does", () =>
    Effect.gen(function* () {
      const { port, server } = yield* listening()
      assert.strictEqual((yield* ask(port, upgradeRequest())).status, 503)
      const running = yield* Effect.forkChild(server.run(drain))
      yield* Effect.yieldNow
      assert.strictEqual((yield* ask(port, upgradeRequest())).status, 101)
      running.interruptUnsafe()
      yield* Fiber.await(running)
      assert.strictEqual((yield* ask(port, upgradeRequest())).status, 503)
    })
  )
})

describe("origins", () => {
  const cases: ReadonlyArray<
    readonly [string, "same-origin" | "any" | ReadonlyArray<string> | undefined, string, string | undefined, number]
  > = [
    ["the page's own host is the same origin", undefined, "a.example", "http://a.example", 101],
    ["whatever its scheme and case", "same-origin", "A.example:443", "https://a.EXAMPLE", 101],
    ["another port is another origin", "same-origin", "a.example:8080", "http://a.example", 403],
    ["another host is", "same-origin", "a.example", "https://b.example", 403],
    ["a subdomain is", "same-origin", "a.example", "https://www.a.example", 403],
    ["IPv6 has brackets", "same-origin", "[::1]:8080", "http://[::1]:8080", 101],
    ["the opaque origin of a sandboxed page is no one's", "same-origin", "a.example", "null", 403],
    ["nonsense is no one's", "same-origin", "a.example", "a.example", 403],
    ["no origin is no browser", "same-origin", "a.example", undefined, 101],
    ["a list takes what it names", ["https://a.example", "https://b.example:8443"], "x", "https://b.example:8443", 101],
    ["and nothing else", ["https://a.example"], "a.example", "http://a.example", 403],
    ["not even its own host", ["https://a.example"], "b.example", "https://b.example", 403],
    ["a star takes any subdomain", ["https://*.a.example"], "x", "https://deep.er.a.example", 101],
    ["but not the domain itself", ["https://*.a.example"], "x", "https://a.example", 403],
    ["nor one that only ends like it", ["https://*.a.example"], "x", "https://evil-a.example", 403],
    ["an empty list takes no page", [], "a.example", "https://a.example", 403],
    ["any takes all", "any", "a.example", "null", 101]
  ]
  for (const [title, origin, host, came, status] of cases) {
    it.live(`${title}: ${came} at ${host}`, () =>
      Effect.gen(function* () {
        const { port } = yield* serving(drain, origin === undefined ? {} : { origin })
        const response = yield* ask(port, upgradeRequest({ Host: host, Origin: came }))
        assert.strictEqual(response.status, status)
      })
    )
  }
})

describe("bytes that come with the request", () => {
  it.live("are the first frames: none is lost or moved", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      const wire = yield* connect(port)
      const frames = Array.from({ length: 200 }, (_, i) => text(`message ${i}`))
      wire.write(Buffer.concat([Buffer.from(upgradeRequest()), bytesOf("client", frames)]))
      assert.strictEqual((yield* wire.response).status, 101)
      for (let i = 0; i < 200; i++) assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, `message ${i}`])
    })
  )

  it.live("wait for a slow decision, however many they are, and in bounded memory", () =>
    Effect.gen(function* () {
      const decision = yield* Deferred.make<void>()
      const total = yield* Deferred.make<number>()
      const { port } = yield* deciding((open) =>
        Effect.gen(function* () {
          yield* Deferred.await(decision)
          const webSocket = yield* open.accept
          const size = yield* Stream.runFold(
            webSocket.payloads,
            () => 0,
            (sum, bytes) => sum + bytes.length
          )
          yield* Deferred.succeed(total, size)
        })
      )
      const wire = yield* connect(port)
      wire.write(upgradeRequest())
      const payload = new Uint8Array(1024 * 1024)
      for (let i = 0; i < 32; i++) wire.send({ opcode: Opcode.binary, payload })
      wire.send(close(1000))
      yield* Effect.sleep("100 millis")
      // what the server does not take stays with the client and the kernels between
      assert.isAbove(wire.socket.writableLength, 16 * 1024 * 1024)
      yield* Deferred.succeed(decision, undefined)
      assert.strictEqual(yield* Deferred.await(total), 32 * 1024 * 1024)
    })
  )

  it.live("split anywhere, head and frames arrive all the same", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      const whole = Buffer.concat([Buffer.from(upgradeRequest()), bytesOf("client", [text("hi"), close(1000)])])
      const cuts = Array.from({ length: 24 }, (_, i) => whole.length - 24 + i)
      yield* Effect.forEach(
        cuts,
        (cut) =>
          Effect.gen(function* () {
            const wire = yield* connect(port)
            wire.write(whole.subarray(0, cut))
            yield* Effect.sleep("5 millis")
            wire.write(whole.subarray(cut))
            assert.strictEqual((yield* wire.response).status, 101)
            assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "hi"])
            assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
          }).pipe(Effect.scoped),
        { concurrency: 8 }
      )
    })
  )
})

describe("a client that goes during the decision", () => {
  for (const way of ["reset", "FIN"] as const) {
    for (const then of ["accept", "refuse"] as const) {
      it.live(`by ${way}, and the server would ${then}: its handler ends, and nothing is left or logged`, () =>
        collectingLogs((logs) =>
          Effect.gen(function* () {
            const decision = yield* Deferred.make<void>()
            const asked = yield* Deferred.make<void>()
            const { port, server } = yield* deciding((open) =>
              Effect.gen(function* () {
                yield* Deferred.succeed(asked, undefined)
                yield* Deferred.await(decision)
                if (then === "refuse") return yield* new Refusal({ status: 403, reason: "no" })
                yield* drain(yield* open.accept)
              })
            )
            const wire = yield* connect(port)
            wire.write(upgradeRequest())
            yield* Deferred.await(asked)
            if (way === "reset") wire.reset()
            else wire.end()
            yield* Effect.sleep("30 millis")
            yield* Deferred.succeed(decision, undefined)
            if (way === "FIN" && then === "accept") {
              assert.strictEqual((yield* wire.response).status, 101)
              yield* wire.ended
            }
            yield* eventually("the slot is free", noneOpen(server))
            yield* Effect.sleep("20 millis")
            assert.deepStrictEqual(
              logs.filter(({ level }) => level === "Error" || level === "Warn"),
              []
            )
            // and the server goes on
            assert.strictEqual((yield* ask(port, "GET / HTTP/1.1\r\nHost: a\r\n\r\n")).status, 426)
          })
        )
      )
    }
  }
})

describe("two servers of one process", () => {
  it.live("share no state: limits, handlers and connections are each one's own", () =>
    Effect.gen(function* () {
      const one = yield* serving((webSocket) => Effect.andThen(webSocket.send("one"), drain(webSocket)), {
        maxConnections: 1
      })
      const two = yield* serving((webSocket) => Effect.andThen(webSocket.send("two"), drain(webSocket)))
      const first = yield* upgraded(one.port)
      const second = yield* upgraded(two.port)
      assert.deepStrictEqual([shown(yield* first.next)[1], shown(yield* second.next)[1]], ["one", "two"])
      assert.strictEqual((yield* ask(one.port, upgradeRequest())).status, 503)
      yield* upgraded(two.port)
      first.end()
      yield* one.stop
      assert.deepStrictEqual([yield* one.server.connections, yield* two.server.connections], [0, 2])
      second.send({ opcode: Opcode.ping })
      assert.strictEqual((yield* second.next).opcode, Opcode.pong)
    })
  )
})
