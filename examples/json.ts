/**
 * Messages in JSON: requests are decoded by a schema, and answers are encoded by one. A client that sends anything else is closed
 * with 1008.
 *
 *   npm run example examples/json.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Schema, Stream } from "effect"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Request = Schema.Union([
  Schema.TaggedStruct("Add", { a: Schema.Finite, b: Schema.Finite }),
  Schema.TaggedStruct("Greet", { name: Schema.String })
])
const Answer = Schema.Struct({ answer: Schema.Union([Schema.Finite, Schema.String]) })

const decode = Schema.decodeUnknownEffect(Schema.fromJsonString(Request))
const encode = Schema.encodeEffect(Schema.fromJsonString(Answer))

const answer = (request: typeof Request.Type) =>
  Effect.succeed({ answer: request._tag === "Add" ? request.a + request.b : `Hello, ${request.name}!` })

const Api = WebSocketServer.layerHandler((socket) =>
  Stream.runForEach(socket.messages, (message) =>
    decode(message).pipe(
      Effect.flatMap(answer),
      Effect.flatMap(encode),
      Effect.flatMap((text) => socket.send(text)),
      Effect.catchTag("SchemaError", () => socket.close(1008, "what came is no request"))
    )
  )
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(8080)) })

Layer.mergeAll(Api, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
