/**
 * An echo server: every message goes back to its sender.
 *
 *   npm run example examples/echo.ts
 *
 * `socket.messages` is a stream that ends when the client closes. Leaving the handler closes the connection, so there is
 * nothing to clean up.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Layer, Stream } from "effect"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Echo = WebSocketServer.layerHandler((socket) =>
  Stream.runForEach(socket.messages, (message) => socket.send(message))
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(8080)) })

Layer.mergeAll(Echo, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
