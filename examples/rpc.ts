/**
 * effect/rpc over WebSocket: the server runs on `WebSocketServer.layerSocketServer`, which is effect's own `SocketServer`, and
 * the client is effect's own over the WebSocket that the platform has.
 *
 *   npm run example examples/rpc.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Console, Effect, Layer, Schema } from "effect"
import { NetAddress } from "effect/net"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { Socket, SocketServer } from "effect/socket"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

class Greetings extends RpcGroup.make(
  Rpc.make("Greet", { payload: { name: Schema.String }, success: Schema.String })
) {}

const Handlers = Greetings.toLayer({ Greet: ({ name }) => Effect.succeed(`Hello, ${name}!`) })

const Server = RpcServer.layer(Greetings).pipe(
  Layer.provide(Handlers),
  Layer.provide(RpcServer.layerProtocolSocketServer)
)

const Client = Layer.unwrap(
  Effect.map(SocketServer.SocketServer, ({ address }) =>
    RpcClient.layerProtocolSocket().pipe(
      Layer.provide(Socket.layerWebSocket(`ws://${NetAddress.formatSocketAddress(address)}`)),
      Layer.provide(Socket.layerWebSocketConstructorGlobal)
    )
  )
)

const program = Effect.gen(function* () {
  const client = yield* RpcClient.make(Greetings)
  yield* Console.log(yield* client.Greet({ name: "WebSocket" }))
}).pipe(Effect.scoped)

const Live = Layer.mergeAll(Server, Client).pipe(
  Layer.provide(WebSocketServer.layerSocketServer),
  Layer.provide(NodeWebSocketServer.layer({ port: 0 })),
  Layer.provide(RpcSerialization.layerNdjson)
)

NodeRuntime.runMain(Effect.provide(program, Live))
