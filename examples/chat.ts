/**
 * A chat: what one client says, every other one hears.
 *
 *   npm run example examples/chat.ts
 *
 * A client that does not read holds up nobody: what is published waits in a queue of its own, of which the oldest messages
 * are dropped when it is full.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, PubSub, Stream } from "effect"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

interface Said {
  readonly by: object
  readonly text: string
}

const Chat = Layer.unwrap(
  Effect.gen(function* () {
    const room = yield* PubSub.sliding<Said>(256)

    return WebSocketServer.layerHandler(
      Effect.fnUntraced(function* (socket) {
        const me = {}
        const heard = yield* PubSub.subscribe(room)
        // a child fiber: it ends with the handler
        yield* Stream.fromSubscription(heard).pipe(
          Stream.filter((said) => said.by !== me),
          Stream.runForEach((said) => socket.send(said.text)),
          Effect.forkChild
        )
        yield* socket.send("Welcome. What you say goes to everyone else.")
        yield* Stream.runForEach(socket.messages, (message) =>
          typeof message === "string"
            ? PubSub.publish(room, { by: me, text: message })
            : socket.close(1003, "text only")
        )
      })
    )
  })
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(8080)) })

Layer.mergeAll(Chat, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
