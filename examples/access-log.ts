/**
 * A server that writes down who came, and how that ended: a line of JSON for each request and for each end of a connection.
 *
 *   LOG=access.log npm run example examples/access-log.ts
 *
 * `annotate` adds to the entries of a request what the application knows of it, here the room that it is for.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Stream } from "effect"
import { OpenRequest, WebSocketServer } from "effect-websocket"
import { NodeAccessLog, NodeWebSocketServer } from "effect-websocket/node"

const rooms = new Set(["garden", "kitchen"])

const Rooms = WebSocketServer.layerRequests(
  Effect.fnUntraced(function* (open) {
    const room = open.request.path.slice(1)
    open.annotate("room", room)
    if (!rooms.has(room)) return yield* new OpenRequest.Refusal({ status: 404, reason: "There is no such room." })
    const socket = yield* open.accept
    yield* Stream.runForEach(socket.messages, (message) => socket.send(message))
  })
)

const Log = Layer.unwrap(Effect.map(Config.String("LOG"), (file) => NodeAccessLog.layer({ file })))

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(8080)) }).pipe(
  Layer.provide(Log)
)

Layer.mergeAll(Rooms, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch, NodeRuntime.runMain)
