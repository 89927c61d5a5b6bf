/**
 * The other end of a proxy, for programs that speak no WebSocket: a TCP port of this machine whose connections lead to the
 * proxy at `URL`, each through a WebSocket of its own, and so to the proxy's target.
 *
 *   URL=wss://redis.example PORT=6379 npm run example examples/tunnel.ts
 *
 * Neither side reads faster than the other takes. The end of one is the end of both, since a WebSocket has no half of one.
 */
import { NodeRuntime } from "@effect/platform-node"
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { Config, Console, Effect, Layer } from "effect"
import { NetAddress } from "effect/net"
import { SocketServer } from "effect/socket"
import { WebSocketClient, WebSocketProxy } from "effect-websocket"
import { NodeWebSocketClient } from "effect-websocket/node"

const tunnel = Effect.gen(function* () {
  const url = yield* Config.URL("URL")
  const server = yield* SocketServer.SocketServer
  yield* Console.log(`listening on tcp://${NetAddress.formatSocketAddress(server.address)}`)
  return yield* server.run((tcp) =>
    WebSocketClient.connect(url).pipe(
      Effect.flatMap((webSocket) => WebSocketProxy.pipeWebSocket(webSocket, tcp)),
      Effect.scoped,
      Effect.tapError((error) => Effect.logWarning(`a connection failed: ${error.message}`)),
      // a socket that nobody has read from stays open: this reads from it, and lets it go
      Effect.catch(() => Effect.scoped(tcp.reader))
    )
  )
})

const Listening = Layer.unwrap(
  Effect.gen(function* () {
    const port = yield* Config.Int("PORT").pipe(Config.withDefault(0))
    return NodeSocketServer.layer({ host: "127.0.0.1", port, allowHalfOpen: true })
  })
)

tunnel.pipe(Effect.provide([Listening, NodeWebSocketClient.layer()]), NodeRuntime.runMain)
