/**
 * The other end of a proxy, for programs that speak no WebSocket: a TCP port of this machine whose connections lead to the
 * proxy at `URL`, each through a WebSocket of its own, and so to the proxy's target. It is what `effect-websocket tunnel` does.
 *
 *   URL=wss://redis.example PORT=6379 npm run example examples/tunnel.ts
 *
 * Neither side reads faster than the other takes. The end of one is the end of both, since a WebSocket has no half of one.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Layer } from "effect"
import { NetAddress } from "effect/net"
import { SocketServer } from "effect/socket"
import { Tunnel } from "effect-websocket"
import { NodeTcpListener, NodeWebSocketClient } from "effect-websocket/node"

const Listening = Layer.unwrap(
  Effect.gen(function* () {
    const port = yield* Config.Int("PORT").pipe(Config.withDefault(0))
    return NodeTcpListener.layer({ port })
  })
)

const Leading = Layer.unwrap(
  Effect.gen(function* () {
    const url = yield* Config.URL("URL")
    const { address } = yield* SocketServer.SocketServer
    yield* Console.log(`listening on tcp://${NetAddress.formatSocketAddress(address)}`)
    return Tunnel.layer({ url })
  })
)

Leading.pipe(Layer.provide([Listening, NodeWebSocketClient.layer()]), Layer.launch, NodeRuntime.runMain)
