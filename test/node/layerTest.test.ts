/**
 * The server and the client that tests of handlers are written with.
 */
import { assert, describe, it, layer } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import { echo, serving } from "../server/serving.ts"

/** Says what was asked for, and sends back what comes. */
const Teller = WebSocketServer.layerHandler((socket, { target }) => Effect.andThen(socket.send(target), echo(socket)))

const greeted = (url: string | URL) =>
  Effect.flatMap(WebSocketClient.connect(url), ({ messages }) => Stream.runCollect(Stream.take(messages, 1)))

layer(Teller.pipe(Layer.provideMerge(NodeWebSocketServer.layerTest({ maxLifetime: "10 seconds" }))))(
  "layerTest",
  (it) => {
    it.effect.each([
      { url: "/room?name=garden", target: "/room?name=garden" },
      { url: "room", target: "/room" },
      { url: "?name=garden", target: "/?name=garden" },
      { url: "", target: "/" }
    ])("takes $url for $target of the server", ({ target, url }) =>
      Effect.map(greeted(url), (greeting) => assert.deepStrictEqual(greeting, [target]))
    )

    it.effect("takes a whole URL for what it is", () =>
      Effect.gen(function* () {
        const { url } = yield* serving((socket) => socket.send("another"))
        assert.deepStrictEqual(yield* greeted(url), ["another"])
        assert.deepStrictEqual(yield* greeted(new URL(url)), ["another"])
      })
    )

    it.effect("refuses what is no URL", () =>
      Effect.gen(function* () {
        const { reason } = yield* Effect.flip(WebSocketClient.connect("http://"))
        assert.strictEqual(reason._tag, "InvalidRequest")
      })
    )

    it.effect("lives by the clock of the test", () =>
      Effect.gen(function* () {
        const socket = yield* WebSocketClient.connect("/")
        const reading = yield* Effect.forkChild(Stream.runDrain(socket.messages))
        yield* TestClock.adjust("9 seconds")
        assert.isUndefined(reading.pollUnsafe())
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual((yield* socket.closed).code, 1008)
      })
    )
  }
)

describe("layerTest", () => {
  it.effect("has a port of its own for each", () =>
    Effect.gen(function* () {
      const address = Effect.map(WebSocketServer.WebSocketServer, (server) => server.address)
      const both = yield* Effect.all([
        Effect.provide(address, NodeWebSocketServer.layerTest()),
        Effect.provide(address, NodeWebSocketServer.layerTest())
      ])
      assert.notDeepEqual(both[0], both[1])
    })
  )
})
