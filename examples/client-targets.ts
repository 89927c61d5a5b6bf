/**
 * A proxy whose clients say where to: `ws://127.0.0.1:6080/?address=db1.internal:5432`. `ALLOW` has what they may ask for, rules
 * with blanks between; whatever a name leads to is judged once it is looked up, and that very address is connected to.
 *
 *   ALLOW='*.internal:5432 192.168.1.*:5900-5910' npm run example examples/client-targets.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Result } from "effect"
import { OpenRequest, Target, TargetPolicy, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeWebSocketServer } from "effect-websocket/node"

const noTarget = new OpenRequest.Refusal({ status: 400, reason: "Say where to: ?address=host:port" })

const Proxy = WebSocketProxy.layer({
  target: ({ request }) =>
    Result.match(Target.parseClient(request.query.get("address") ?? ""), {
      onFailure: () => Effect.fail(noTarget),
      onSuccess: Effect.succeed
    })
})

const Dialer = Layer.unwrap(
  Effect.gen(function* () {
    const allow = yield* Config.String("ALLOW")
    return NodeDialer.layer({ policy: yield* Effect.fromResult(TargetPolicy.make({ allow: allow.split(" ") })) })
  })
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(6080)) })

Layer.mergeAll(Proxy, WebSocketServer.layerLogAddress).pipe(
  Layer.provide([Dialer, Server]),
  Layer.launch,
  NodeRuntime.runMain
)
