/**
 * A proxy whose clients say where to: `ws://127.0.0.1:6080/?address=db1.internal:5432`. `ALLOW` has what they may ask for, rules
 * with blanks between; whatever a name leads to is judged once it is looked up, and that very address is connected to.
 *
 *   ALLOW='*.internal:5432 192.168.1.*:5900-5910' npm run example examples/client-targets.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { ClientRoute, TargetPolicy, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeWebSocketServer } from "effect-websocket/node"

const Proxy = Layer.unwrap(
  Effect.gen(function* () {
    const allow = yield* Config.String("ALLOW")
    const policy = yield* Effect.fromResult(TargetPolicy.make({ allow: allow.split(" ") }))
    // the text of the request is judged by the route, and what a name turns out to be by the dialler
    return WebSocketProxy.layer({ target: ClientRoute.make({ policy }) }).pipe(
      Layer.provide(NodeDialer.layer({ policy }))
    )
  })
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(6080)) })

Layer.mergeAll(Proxy, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
