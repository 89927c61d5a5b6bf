/**
 * How a handler is tested: with a server on a port of its own, and a client to which a path is a URL.
 *
 *   npx vitest run examples/handler.test.ts
 */
import { assert, layer } from "@effect/vitest"
import { Effect, Layer, Stream } from "effect"
import { WebSocketClient, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Greeter = WebSocketServer.layerHandler((socket, { path }) =>
  Stream.runForEach(socket.messages, (message) =>
    typeof message === "string" ? socket.send(`${message} from ${path}`) : socket.close(1003, "text only")
  )
)

layer(Greeter.pipe(Layer.provideMerge(NodeWebSocketServer.layerTest())))("greeter", (it) => {
  it.effect("greets from the path that was asked for", () =>
    Effect.gen(function* () {
      const socket = yield* WebSocketClient.connect("/garden")
      yield* socket.send("hello")
      const greetings = yield* socket.messages.pipe(Stream.take(1), Stream.runCollect)
      assert.deepStrictEqual(greetings, ["hello from /garden"])
    })
  )

  it.effect("takes no bytes", () =>
    Effect.gen(function* () {
      const socket = yield* WebSocketClient.connect("/garden")
      yield* socket.send(new Uint8Array(3))
      yield* Stream.runDrain(socket.messages)
      assert.deepStrictEqual(yield* socket.closed, { code: 1003, reason: "text only", wasClean: true })
    })
  )
})
