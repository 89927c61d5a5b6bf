/**
 * A server that sends each message to all of its clients. Prints `ready ws://HOST:PORT`.
 * Usage: `node --conditions=source bench/servers/broadcast.ts HOST:PORT [--http2]`.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Effect, Layer } from "effect"
import { Broadcast, WebSocket, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"
import { endpoint } from "../peers/endpoint.ts"
import { layerReady } from "./ready.ts"

const clients = new Set<WebSocket.WebSocket>()

const ToAll = WebSocketServer.layerHandler((webSocket) =>
  Effect.acquireUseRelease(
    Effect.sync(() => clients.add(webSocket)),
    () =>
      WebSocket.runForEachArray(webSocket, (messages) =>
        Effect.forEach(messages, (message) => Broadcast.send(clients, message), { discard: true })
      ),
    () => Effect.sync(() => clients.delete(webSocket))
  )
)

const Server = NodeWebSocketServer.layer({ ...endpoint(process.argv[2]), http2: process.argv.includes("--http2") })

Layer.mergeAll(ToAll, layerReady).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
