import { NodeRuntime } from "@effect/platform-node"
import { Layer, Stream } from "effect"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"

const Echo = WebSocketServer.layerHandler((socket) => Stream.runForEach(socket.messages, (m) => socket.send(m)))

Echo.pipe(Layer.provide(NodeWebSocketServer.layer({ port: 9001 })), Layer.launch, NodeRuntime.runMain)
