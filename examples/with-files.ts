/**
 * A page and the WebSocket that it opens, from one port: the files of a folder, such as noVNC's, and a proxy to what they show.
 * An application that answers more than files has `NodeStaticFiles.make` behind a route of its own.
 *
 *   FILES=/usr/share/novnc TARGET=localhost:5900 npm run example examples/with-files.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { Target, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeStaticFiles, NodeWebSocketServer } from "effect-websocket/node"

const settings = Config.all({
  port: Config.Int("PORT").pipe(Config.withDefault(6080)),
  root: Config.String("FILES"),
  target: Config.schema(Target.FromString, "TARGET")
})

const Program = Layer.unwrap(
  Effect.map(settings, ({ port, root, target }) =>
    WebSocketServer.layerLogAddress.pipe(
      // the address is told when all is there
      Layer.provideMerge(Layer.mergeAll(NodeStaticFiles.layer({ root }), WebSocketProxy.layer({ target }))),
      Layer.provide([NodeDialer.layer(), NodeWebSocketServer.layerHttp({ port, subprotocols: ["binary"] })])
    )
  )
)

Program.pipe(Layer.launch, NodeRuntime.runMain)
