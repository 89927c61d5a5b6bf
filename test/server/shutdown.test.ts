import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Duration, Effect, Exit, Fiber, Layer, Scope, Stream } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { close, shown, text } from "../connection/connected.ts"
import { countingLimit } from "../connection/metrics.ts"
import { deciding, drain, echo, listening, portOf, serving, steady } from "./serving.ts"
import { ask, connect, leave, upgraded, upgradeRequest } from "./wire.ts"

/** How many milliseconds it takes. */
const timed = <A, E, R>(self: Effect.Effect<A, E, R>) =>
  Effect.map(Effect.timed(self), ([duration]) => Duration.toMillis(duration))

describe("interrupting run", () => {
  it.live("closes all connections with 1001 and is done when the clients have answered", () =>
    Effect.gen(function* () {
      const { port, server, stop } = yield* serving(echo)
      const wires = yield* Effect.forEach(Array.from({ length: 20 }), () => upgraded(port))
      const stopping = yield* Effect.forkChild(stop)
      for (const wire of wires) assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1001, ""])
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* server.connections, 0)
      assert.strictEqual((yield* ask(port, upgradeRequest())).status, 503)
    })
  )

  it.live("answers requests that wait for their decision with 503", () =>
    Effect.gen(function* () {
      const { port, stop } = yield* deciding(() => Effect.never)
      const wire = yield* connect(port)
      wire.write(upgradeRequest())
      yield* Effect.sleep("20 millis")
      const stopping = yield* Effect.forkChild(stop)
      assert.strictEqual((yield* wire.response).status, 503)
      wire.end()
      yield* Fiber.join(stopping)
    })
  )

  it.live(
    "with drainTimeout lets connections go on, refuses new ones with 503, and closes with 1001 at the deadline",
    () =>
      Effect.gen(function* () {
        const { port, stop } = yield* serving(echo, { drainTimeout: "300 millis" })
        const wire = yield* upgraded(port)
        const stopping = yield* Effect.forkChild(timed(stop))
        yield* Effect.sleep("100 millis")
        assert.strictEqual((yield* ask(port, upgradeRequest())).status, 503)
        wire.send(text("still served"))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still served"])
        assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1001, ""])
        assert.isAtLeast(yield* Fiber.join(stopping), 290)
      })
  )

  it.live("with drainTimeout is done as soon as the last connection has ended by itself", () =>
    Effect.gen(function* () {
      for (const drainTimeout of ["1 minute", "Infinity"] as const) {
        const { port, stop } = yield* serving(echo, { drainTimeout })
        const wire = yield* upgraded(port)
        const stopping = yield* Effect.forkChild(stop)
        wire.send(close(1000))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
        wire.end()
        yield* Fiber.join(stopping)
      }
    })
  )
})

describe("the end of the layer", () => {
  it.live("frees the port for another server at once", () =>
    Effect.gen(function* () {
      const first = yield* Effect.scoped(
        Effect.gen(function* () {
          const { port } = yield* serving(drain)
          const wire = yield* upgraded(port)
          yield* Effect.forkScoped(Effect.ignoreCause(leave(wire)))
          return port
        })
      )
      const again = yield* listening({ port: first })
      assert.strictEqual(again.port, first)
    })
  )

  it.live("ends connections with 1001 whose handler was forked by somebody who goes on", () =>
    Effect.gen(function* () {
      const scope = yield* Scope.make()
      const context = yield* Layer.buildWithScope(NodeWebSocketServer.layer({ port: 0 }), scope)
      const server = Context.get(context, WebSocketServer)
      const running = yield* Effect.forkChild(server.run(drain))
      const wire = yield* upgraded(portOf(server))
      const ending = yield* Effect.forkChild(Scope.close(scope, Exit.void))
      assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1001, ""])
      yield* Fiber.join(ending)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(running)))
    })
  )

  const clients: Record<string, (port: number) => Effect.Effect<unknown, never, Scope.Scope>> = {
    "a client that says nothing": (port) => connect(port),
    "a client with half a head": (port) => Effect.map(connect(port), (wire) => wire.write("GET / HTTP/1.1\r\nHo")),
    "a request that is answered slowly": (port) =>
      Effect.map(connect(port), (wire) => wire.write("GET /slow HTTP/1.1\r\nHost: a\r\n\r\n")),
    "a keep-alive connection": (port) =>
      Effect.flatMap(connect(port), (wire) => {
        wire.write("GET /fast HTTP/1.1\r\nHost: a\r\n\r\n")
        return wire.response
      }),
    "a refusal that its client does not end": (port) =>
      Effect.flatMap(connect(port), (wire) => {
        wire.write(upgradeRequest({ "Sec-WebSocket-Version": "1" }))
        return wire.response
      })
  }
  for (const [what, client] of Object.entries(clients)) {
    it.live(`does not wait for ${what}`, () =>
      Effect.gen(function* () {
        const scope = yield* Scope.make()
        const Routes = Layer.mergeAll(
          HttpRouter.add("GET", "/slow", Effect.never),
          HttpRouter.add("GET", "/fast", Effect.succeed(HttpServerResponse.text("ok")))
        )
        const App = HttpRouter.serve(Routes, { disableLogger: true, disableListenLog: true })
        const context = yield* Layer.buildWithScope(
          Layer.provideMerge(App, NodeWebSocketServer.layerHttp({ port: 0 })),
          scope
        )
        const server = Context.get(context, WebSocketServer)
        yield* Effect.forkIn(server.run(drain), scope)
        const port = portOf(server)
        yield* client(port)
        // whoever came before has been accepted by then
        yield* Effect.scoped(ask(port, "GET /fast HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n"))
        const millis = yield* timed(Scope.close(scope, Exit.void))
        // of what would wait for it, nothing takes less than ten seconds
        assert.isBelow(millis, 5000)
      })
    )
  }
})

/** Sends until the client's and the kernels' buffers are full. */
const floods = (webSocket: Parameters<typeof drain>[0]) =>
  Effect.forever(webSocket.send(new Uint8Array(256 * 1024)), { disableYield: true })

describe("a client that takes nothing", () => {
  it.live("holds its sender back: what waits for it in memory is bounded, and nothing is lost", () =>
    Effect.gen(function* () {
      const sent = { count: 0 }
      const total = 400
      const { port } = yield* serving((webSocket) =>
        Stream.range(1, total).pipe(
          Stream.runForEach(() =>
            Effect.andThen(
              webSocket.send(new Uint8Array(256 * 1024)),
              Effect.sync(() => void sent.count++)
            )
          )
        )
      )
      const before = process.memoryUsage().arrayBuffers
      const wire = yield* upgraded(port)
      assert.isBelow(yield* steady(() => sent.count), 100)
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 16 * 1024 * 1024)
      for (let i = 0; i < total; i++) assert.strictEqual((yield* wire.next).payload.length, 256 * 1024)
      assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1000, ""])
    })
  )

  it.live("is cut off after closeTimeout when run is interrupted", () =>
    Effect.gen(function* () {
      const { port, server, stop } = yield* serving(floods, { closeTimeout: "200 millis" })
      yield* upgraded(port)
      yield* Effect.sleep("50 millis")
      assert.isBelow(yield* timed(stop), 1500)
      assert.strictEqual(yield* server.connections, 0)
    })
  )

  it.live(
    "cannot hold on by sending a Close frame: sending what is buffered is bounded by closeTimeout as well",
    () =>
      Effect.gen(function* () {
        const { port, stop } = yield* serving(
          (webSocket) => Effect.raceFirst(Effect.ignore(floods(webSocket)), Effect.ignore(drain(webSocket))),
          { closeTimeout: "200 millis" }
        )
        const wire = yield* upgraded(port)
        yield* Effect.sleep("50 millis")
        wire.send(close(1000))
        yield* Effect.sleep("50 millis")
        assert.isBelow(yield* timed(Effect.timeoutOption(stop, "3 seconds")), 2000)
      }),
    12_000
  )

  it.live("and closeTimeout is counted when it bites", () =>
    Effect.gen(function* () {
      const bites = yield* countingLimit(
        "closeTimeout",
        Effect.gen(function* () {
          const ended = yield* Deferred.make<void>()
          const { port } = yield* serving(
            (webSocket) => Effect.ensuring(webSocket.close(), Deferred.succeed(ended, undefined)),
            { closeTimeout: "100 millis" }
          )
          yield* upgraded(port)
          yield* Deferred.await(ended)
        }).pipe(Effect.scoped)
      )
      assert.strictEqual(bites, 1)
    })
  )
})
