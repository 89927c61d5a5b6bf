/**
 * A WebSocket in front of a TCP service.
 *
 *   TARGET=localhost:5900 npm run example examples/proxy.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { Target, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeWebSocketServer } from "effect-websocket/node"

const Proxy = Layer.unwrap(
  Effect.map(Config.schema(Target.FromString, "TARGET"), (target) => WebSocketProxy.layer({ target }))
)

const Server = NodeWebSocketServer.layerConfig({
  port: Config.Int("PORT").pipe(Config.withDefault(6080)),
  subprotocols: Config.succeed(["binary"])
})

Layer.mergeAll(Proxy, WebSocketServer.layerLogAddress).pipe(
  Layer.provide([NodeDialer.layer({ dialTimeout: "5 seconds" }), Server]),
  Layer.launch,
  NodeRuntime.runMain
)
