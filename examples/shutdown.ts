/**
 * An end in order. At SIGTERM nobody else comes in, and whoever is connected has a minute to come to an end; then the rest is told, and
 * closed with 1001.
 *
 *   DRAIN="10 seconds" npm run example examples/shutdown.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Duration, Effect, Layer, Stream } from "effect"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Echo = WebSocketServer.layerHandler((socket) =>
  Stream.runForEach(socket.messages, (message) => socket.send(message)).pipe(
    // the time is over, and the connection still open
    Effect.onInterrupt(() => Effect.ignore(socket.send("The server ends. Come back in a moment.")))
  )
)

const Server = NodeWebSocketServer.layerConfig({
  port: Config.Int("PORT").pipe(Config.withDefault(8080)),
  drainTimeout: Config.Duration("DRAIN").pipe(Config.withDefault(Duration.minutes(1)))
})

Layer.mergeAll(Echo, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
