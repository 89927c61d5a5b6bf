/**
 * A proxy whose clients name a token, and not a target: `ws://127.0.0.1:6080/?token=...`. The file has lines of
 * `TOKEN: host:port`, and is read again when it changes. A request without a token of it gets 404.
 *
 *   TOKENS=tokens.txt npm run example examples/tokens.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer } from "effect"
import { TokenSource, WebSocketProxy, WebSocketServer } from "effect-websocket"
import { NodeDialer, NodeTokenSource, NodeWebSocketServer } from "effect-websocket/node"

const Tokens = Layer.unwrap(Effect.map(Config.String("TOKENS"), (path) => NodeTokenSource.layerFile({ path })))

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(6080)) })

Layer.mergeAll(WebSocketProxy.layer({ target: TokenSource.route() }), WebSocketServer.layerLogAddress).pipe(
  Layer.provide([Tokens, NodeDialer.layer(), Server]),
  Layer.launch,
  NodeRuntime.runMain
)
