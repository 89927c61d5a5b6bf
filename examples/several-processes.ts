/**
 * A server on several cores: the first process starts the others, each a whole server on the same port, and node:cluster gives
 * them connections by turns. Each answer says whose it is.
 *
 *   npm run example examples/several-processes.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Effect, Layer, Schedule, Stream } from "effect"
import { WebSocketServer } from "effect-websocket"
import { NodeWebSocketServer } from "effect-websocket/node"
import cluster from "node:cluster"
import { availableParallelism } from "node:os"

const Echo = WebSocketServer.layerHandler((socket) =>
  Stream.runForEach(socket.messages, (message) => socket.send(`${process.pid}: ${message}`))
)

const Server = NodeWebSocketServer.layerConfig({ port: Config.Int("PORT").pipe(Config.withDefault(8080)) })

const serve = Layer.mergeAll(Echo, WebSocketServer.layerLogAddress).pipe(Layer.provide(Server), Layer.launch)

const worker = Effect.acquireRelease(
  Effect.sync(() => cluster.fork().process),
  (child) =>
    Effect.callback<void>((resume) => {
      if (child.exitCode !== null || child.signalCode !== null) return resume(Effect.void)
      child.once("exit", () => resume(Effect.void))
      child.kill("SIGTERM")
    })
).pipe(Effect.flatMap((child) => Effect.callback<void>((resume) => void child.once("exit", () => resume(Effect.void)))))

// one that ends is replaced, a second later
const keep = Effect.scoped(worker).pipe(Effect.repeat(Schedule.spaced("1 second")))

const lead = Effect.all(
  Array.from({ length: Math.max(2, availableParallelism()) }, () => keep),
  { concurrency: "unbounded", discard: true }
)

NodeRuntime.runMain(cluster.isPrimary ? lead : serve)
