/**
 * A WebSocket handler beside an effect/http application on one port: requests to upgrade go to the handler, all others to
 * the routes.
 *
 *   npm run example examples/with-http.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Stream } from "effect"
import { HttpRouter, HttpServerResponse } from "effect/http"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Routes = HttpRouter.add("GET", "/health", Effect.succeed(HttpServerResponse.text("ok\n")))

const Echo = WebSocketServer.layerHandler((socket) =>
  Stream.runForEach(socket.messages, (message) => socket.send(message))
)

const Server = Layer.unwrap(
  Effect.map(Config.Int("PORT").pipe(Config.withDefault(8080)), (port) => NodeWebSocketServer.layerHttp({ port }))
)

Layer.mergeAll(
  Echo,
  HttpRouter.serve(Routes, { disableLogger: true, disableListenLog: true }),
  WebSocketServer.layerLogAddress
).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
