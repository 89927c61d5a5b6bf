/**
 * A proxy that chooses its target in more than one way: MQTT clients by the subprotocol that they offer, desktops by the path
 * and a table of one's own, and all else under `/db` by turns between two databases. Whatever fits none of it gets 404.
 *
 *   MQTT=localhost:1883 DESK=localhost:5900 DB1=localhost:5432 DB2=localhost:5433 npm run example examples/router.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { Router, Target, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeWebSocketServer } from "effect-websocket/node"

const target = (name: string) => Config.schema(Target.FromString, name)

const Routes = Layer.unwrap(
  Effect.gen(function* () {
    const services = yield* Config.all({
      mqtt: target("MQTT"),
      desk: target("DESK"),
      db1: target("DB1"),
      db2: target("DB2")
    })

    // a route of one's own is a function: this one could as well ask a database
    const desks: Router.Route = Router.path("/desk/:who", (_, { who }) =>
      who === "ann" ? Effect.succeed(services.desk) : Effect.fail(Router.notFound)
    )

    return Router.layer(
      Router.firstOf(
        Router.subprotocol("mqtt", services.mqtt),
        desks,
        Router.path("/db/*", Router.roundRobin([services.db1, services.db2]))
      )
    )
  })
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(6080)) })

Layer.mergeAll(WebSocketProxy.layerRouter(), WebSocketServer.layerLogAddress).pipe(
  Layer.provide([Routes, NodeDialer.layer(), Server]),
  Layer.launch,
  NodeRuntime.runMain
)
