/**
 * A proxy that chooses the target by the path of the request: `/vnc` and `/db` go to two services, and every other path is
 * refused with 404 before any connection is made.
 *
 *   VNC=localhost:5900 DB=localhost:5432 npm run example examples/proxy-by-path.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { OpenRequest, Target, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeWebSocketServer } from "effect-websocket/node"

const Proxy = Layer.unwrap(
  Effect.gen(function* () {
    const routes = yield* Config.all({
      "/vnc": Config.schema(Target.FromString, "VNC"),
      "/db": Config.schema(Target.FromString, "DB")
    })
    const isRoute = (path: string): path is keyof typeof routes => Object.hasOwn(routes, path)

    return WebSocketProxy.layer({
      target: ({ request }) =>
        isRoute(request.path)
          ? Effect.succeed(routes[request.path])
          : Effect.fail(new OpenRequest.Refusal({ status: 404, reason: "There is no service at this path." }))
    })
  })
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(6080)) })

Layer.mergeAll(Proxy, WebSocketServer.layerLogAddress).pipe(
  Layer.provide([NodeDialer.layer(), Server]),
  Layer.launch,
  NodeRuntime.runMain
)
