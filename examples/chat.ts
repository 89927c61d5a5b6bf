/**
 * A chat: what one client says, every other one hears.
 *
 *   npm run example examples/chat.ts
 *
 * A client that does not read holds up nobody: what it has not taken is bounded, and beyond that it misses what is said.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Stream } from "effect"
import { Hub, WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Chat = Layer.unwrap(
  Effect.map(Hub.make({ maxUnsent: 64 * 1024 }), (hub) =>
    WebSocketServer.layerHandler(
      Effect.fnUntraced(function* (socket) {
        yield* hub.subscribe("room", socket)
        yield* socket.send("Welcome. What you say goes to everyone else.")
        yield* Stream.runForEach(socket.messages, (message) =>
          typeof message === "string"
            ? hub.publish("room", message, { except: socket })
            : socket.close(1003, "text only")
        )
      })
    )
  )
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(8080)) })

Layer.mergeAll(Chat, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
