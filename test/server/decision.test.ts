import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import { lost } from "../../src/connection/WebSocketError.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { type OpenRequest, Refusal } from "../../src/server/OpenRequest.ts"
import { layerRequests, WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { close, settled, shown, text } from "../connection/connected.ts"
import { counting } from "../connection/metrics.ts"
import { memoryServer } from "./memory-listener.ts"
import { collectingLogs, echo, type Logged } from "./serving.ts"

const errors = (logs: ReadonlyArray<Logged>) => logs.filter(({ level }) => level === "Error").map((log) => log.text)

const run = Effect.fnUntraced(function* (handler: (webSocket: WebSocket) => Effect.Effect<unknown, unknown>) {
  const memory = yield* memoryServer()
  const fiber = yield* Effect.forkChild(memory.server.run(handler))
  yield* settled
  return { ...memory, stop: Fiber.interrupt(fiber) }
})

const decide = Effect.fnUntraced(function* (handler: (open: OpenRequest) => Effect.Effect<unknown, unknown>) {
  const memory = yield* memoryServer()
  const fiber = yield* Effect.forkChild(memory.server.runRequests(handler))
  yield* settled
  return { ...memory, stop: Fiber.interrupt(fiber) }
})

describe("run", () => {
  it.effect("gives each connection to the handler with its request, and closes it with 1000 when that succeeds", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer()
      const seen: Array<unknown> = []
      yield* Effect.forkChild(
        server.run((webSocket, request) => {
          seen.push([request.path, request.headers["x-one"]])
          return webSocket.send("hello")
        })
      )
      yield* settled
      const { peer } = yield* open({ headers: { "x-one": "1" } })
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "hello"])
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1000, ""])
      assert.deepStrictEqual(seen, [["/", "1"]])
    })
  )

  const failures: ReadonlyArray<readonly [string, Effect.Effect<never, unknown>]> = [
    // a handler may fail with anything
    // @effect-diagnostics-next-line globalErrorInEffectFailure:off
    ["an error", Effect.fail(new Error("the database is away"))],
    ["an error that is no Error", Effect.fail("the database is away")],
    ["a defect", Effect.die(new Error("the database is away"))],
    ["a Refusal that comes too late", Effect.fail(new Refusal({ status: 403, reason: "the database is away" }))],
    [
      "a throw",
      Effect.sync(() => {
        throw new Error("the database is away")
      })
    ]
  ]
  for (const [what, failure] of failures) {
    it.effect(`closes with 1011 and logs one line when the handler ends with ${what}`, () =>
      collectingLogs((logs) =>
        Effect.gen(function* () {
          const { open, server } = yield* run(() => failure)
          const { answer, end, peer } = yield* open()
          yield* answer
          assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1011, ""])
          yield* peer.send(close(1011))
          yield* peer.end
          yield* settled
          const logged = errors(logs)
          assert.strictEqual(logged.length, 1)
          assert.include(logged[0], "the database is away")
          assert.strictEqual(yield* server.connections, 0)
          assert.strictEqual(end.held(), 0)
        })
      )
    )
  }

  it.effect("goes on with other connections when a handler fails, or throws before it gives an effect", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        let first = true
        const { open } = yield* run((webSocket) => {
          if (!first) return echo(webSocket)
          first = false
          throw new Error("boom")
        })
        const bad = yield* open()
        assert.deepStrictEqual(shown(yield* bad.peer.next).slice(0, 2), [Opcode.close, 1011])
        const good = yield* open()
        yield* good.peer.send(text("still serving"))
        assert.deepStrictEqual(shown(yield* good.peer.next), [Opcode.text, "still serving"])
      })
    )
  )

  it.effect("does not log the faults of a peer: a violation, a reset, a FIN", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { open, server } = yield* run(echo)
        const violating = yield* open()
        yield* violating.peer.sendBytes(new Uint8Array([0xff]))
        yield* violating.peer.end
        const cut = yield* open()
        yield* cut.peer.reset
        const half = yield* open()
        yield* half.peer.end
        yield* settled
        assert.deepStrictEqual(errors(logs), [])
        assert.strictEqual(yield* server.connections, 0)
      })
    )
  )

  it.effect("logs a mistake of the handler's own use of the connection", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { open } = yield* run((webSocket) => webSocket.close(1005))
        const { peer } = yield* open()
        assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1011, ""])
        yield* peer.send(close(1011))
        yield* peer.end
        yield* settled
        assert.strictEqual(errors(logs).length, 1)
        assert.include(errors(logs)[0], "1005")
      })
    )
  )

  it.effect("interrupted, closes all connections with 1001 and waits until they are closed", () =>
    Effect.gen(function* () {
      const { open, server, stop } = yield* run(echo)
      const clients = yield* Effect.forEach([1, 2, 3], () => open())
      yield* settled
      const stopping = yield* Effect.forkChild(stop)
      for (const { peer } of clients) assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1001, ""])
      assert.isUndefined(stopping.pollUnsafe())
      for (const { peer } of clients) {
        yield* peer.send(close(1001))
        assert.isUndefined(stopping.pollUnsafe())
        yield* peer.end
      }
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* server.connections, 0)
      for (const { end } of clients) assert.strictEqual(end.held(), 0)
    })
  )

  it.effect("interrupted, waits no longer than closeTimeout for clients that do not answer", () =>
    Effect.gen(function* () {
      const { open, stop } = yield* run(echo)
      const { end } = yield* open()
      yield* settled
      const stopping = yield* Effect.forkChild(stop)
      yield* settled
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(stopping)
      assert.strictEqual(end.held(), 0)
    })
  )
})

describe("layerRequests", () => {
  it.effect("gives each request to the handler for as long as the layer lives", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer()
      const layer = layerRequests(
        Effect.fnUntraced(function* ({ accept, request }) {
          if (request.path !== "/room") return yield* new Refusal({ status: 404, reason: "There is no such room." })
          yield* Effect.flatMap(accept, echo)
        })
      )
      const scope = yield* Scope.make()
      yield* Layer.buildWithScope(Layer.provide(layer, Layer.succeed(WebSocketServer)(server)), scope)
      yield* settled
      assert.strictEqual((yield* Effect.flip((yield* open({ target: "/" })).answer)).status, 404)
      const { answer, peer } = yield* open({ target: "/room" })
      yield* answer
      yield* peer.send(text("hello"))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "hello"])
      yield* Effect.forkChild(Scope.close(scope, Exit.void))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1001, ""])
    })
  )
})

describe("runRequests", () => {
  it.effect("shows the request, what will be agreed on and where it came from before anything is answered", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer({ subprotocols: ["b", "a"], compression: { contextTakeover: true } })
      const seen = yield* Deferred.make<OpenRequest>()
      yield* Effect.forkChild(
        server.runRequests((request) => Effect.andThen(Deferred.succeed(seen, request), Effect.never))
      )
      yield* settled
      yield* open({
        remoteAddress: "192.0.2.7",
        headers: {
          "sec-websocket-protocol": "a, b",
          "sec-websocket-extensions": "permessage-deflate; client_max_window_bits"
        }
      })
      const request = yield* Deferred.await(seen)
      assert.strictEqual(request.remoteAddress, "192.0.2.7")
      assert.strictEqual(request.acceptance.subprotocol, "b")
      assert.strictEqual(request.acceptance.compression?.serverMaxWindowBits, 15)
      assert.deepStrictEqual(request.acceptance.headers, {
        "sec-websocket-protocol": "b",
        "sec-websocket-extensions": "permessage-deflate"
      })
      assert.strictEqual(yield* server.connections, 1, "counts while it is opening")
    })
  )

  it.effect("a Refusal is the HTTP answer, with its headers, and is counted by its status", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const refusal = new Refusal({ status: 401, reason: "Who are you?", headers: { "www-authenticate": "Bearer" } })
        const { open, server } = yield* decide(() => Effect.fail(refusal))
        const count = yield* counting(
          Telemetry.refusals,
          "401",
          Effect.gen(function* () {
            const { answer, end } = yield* open()
            assert.deepStrictEqual(yield* Effect.exit(answer), Exit.fail(refusal))
            yield* settled
            assert.strictEqual(end.held(), 0)
          })
        )
        assert.strictEqual(count, 1)
        assert.deepStrictEqual(errors(logs), [])
        assert.strictEqual(yield* server.connections, 0)
      })
    )
  )

  const undecided: ReadonlyArray<readonly [string, (open: OpenRequest) => Effect.Effect<unknown, unknown>, boolean]> = [
    ["no decision", () => Effect.void, false],
    ["an error", () => Effect.fail("boom"), true],
    ["a defect", () => Effect.die("boom"), true],
    [
      "a throw",
      () => {
        throw new Error("boom")
      },
      true
    ],
    [
      "the failure of another connection",
      // as of a client's WebSocket that the handler has to another server
      () => Effect.fail(lost(new Error("the other server went away"))),
      true
    ]
  ]
  for (const [what, handler, logged] of undecided) {
    it.effect(`${what} is answered with 500${logged ? " and logged" : ""}`, () =>
      collectingLogs((logs) =>
        Effect.gen(function* () {
          const { open, server } = yield* decide(handler)
          const { answer } = yield* open()
          yield* settled
          const waiting = yield* Effect.forkChild(Effect.flip(answer))
          yield* settled
          assert.isDefined(waiting.pollUnsafe(), "it is answered")
          assert.strictEqual((yield* Fiber.join(waiting)).status, 500)
          assert.strictEqual(errors(logs).length, logged ? 1 : 0)
          assert.strictEqual(yield* server.connections, 0)
        })
      )
    )
  }

  it.effect("interrupted during the decision, answers 503", () =>
    Effect.gen(function* () {
      const { open, server, stop } = yield* decide(() => Effect.never)
      const { answer } = yield* open()
      yield* settled
      yield* stop
      assert.strictEqual((yield* Effect.flip(answer)).status, 503)
      assert.strictEqual(yield* server.connections, 0)
    })
  )

  it.effect("the connection lives until the handler ends, whatever scopes the handler has of its own", () =>
    Effect.gen(function* () {
      const { open } = yield* decide((request) =>
        Effect.gen(function* () {
          const webSocket = yield* Effect.scoped(request.accept)
          yield* webSocket.send("still open")
          yield* echo(webSocket)
        })
      )
      const { peer } = yield* open()
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "still open"])
      yield* peer.send(text("and open"))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "and open"])
    })
  )

  it.effect("accepting twice answers once: both give the one connection, or the second fails", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const sockets: Array<WebSocket> = []
        const { open } = yield* decide((request) =>
          Effect.gen(function* () {
            for (let i = 0; i < 2; i++) sockets.push(yield* request.accept)
            yield* Stream.runDrain(sockets[0]!.messages)
          })
        )
        const { end, peer } = yield* open()
        yield* settled
        assert.strictEqual(new Set(sockets).size, 1)
        yield* peer.send(close(1000))
        yield* peer.end
        yield* settled
        assert.strictEqual(end.held(), 0)
      })
    )
  )
})
