/**
 * A client that stays: it prints what a server sends, and connects again when the connection is lost.
 *
 *   URL=ws://127.0.0.1:8080 npm run example examples/client.ts
 *
 * `connect` gives a connection that belongs to the scope: leaving it closes the connection in order. What may pass, such as a server
 * that is not up yet, is tried again after 0.1, 0.2, 0.4 seconds and so on, up to 5; what will not, such as a refusal, ends the program.
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect, Schedule, Stream } from "effect"
import { WebSocketClient } from "effect-websocket"
import { NodeWebSocketClient } from "effect-websocket/node"

const backoff = Schedule.jittered(Schedule.min([Schedule.exponential("100 millis"), Schedule.spaced("5 seconds")]))

const listen = Effect.gen(function* () {
  const url = yield* Config.URL("URL")
  const socket = yield* WebSocketClient.connect(url).pipe(
    Effect.tapError((error) => Console.warn(error.message)),
    Effect.retry({ schedule: backoff, while: (error) => error.isTransient })
  )
  yield* socket.send("hello")
  yield* Stream.runForEach(socket.messages, (message) => Console.log(message))
}).pipe(
  Effect.scoped,
  Effect.catchTag("WebSocketError", (error) => Console.warn(error.message))
)

// a server that is restarted closes its connections: they are opened again, and not all of them at once
const program = Effect.repeat(listen, Schedule.jittered(Schedule.spaced("500 millis")))

program.pipe(Effect.provide(NodeWebSocketClient.layer({ compression: true })), NodeRuntime.runMain)
