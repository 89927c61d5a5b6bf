/**
 * An echo server that compresses every message, whatever its size, at zlib's own level and with the largest window; each by
 * itself, or with `--compression=takeover` in the context of those before. Prints `ready ws://HOST:PORT`.
 * Usage: `node --conditions=source bench/servers/deflate-echo.ts HOST:PORT --compression=fresh|takeover`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Layer } from "effect"
import { WebSocket, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"
import { endpoint, hasContextTakeover } from "../peers/endpoint.ts"
import { layerReady } from "./ready.ts"

const Echo = WebSocketServer.layerHandler((webSocket) =>
  WebSocket.runForEachArray(webSocket, (messages) => webSocket.sendAll(messages))
)

const Server = NodeWebSocketServer.layer({
  ...endpoint(process.argv[2]),
  compression: { contextTakeover: hasContextTakeover(), threshold: 0 }
})

Layer.mergeAll(Echo, layerReady).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
