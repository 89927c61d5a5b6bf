/**
 * The other end of a proxy, for programs that speak no WebSocket: a TCP port of this machine whose connections lead to the
 * proxy at `URL`, each through a WebSocket of its own, and so to the proxy's target. It is made with `ws`, as every client
 * of a proxy may be of another make.
 *
 *   URL=wss://redis.example PORT=6379 npm run example examples/tunnel.ts
 */
import { NodeRuntime } from "@effect/platform-node"
import { Config, Console, Effect } from "effect"
import * as Net from "node:net"
import { pipeline } from "node:stream/promises"
import { createWebSocketStream, WebSocket } from "ws"

const listen = Effect.gen(function* () {
  const url = yield* Config.String("URL")
  const port = yield* Config.Int("PORT").pipe(Config.withDefault(0))
  const log = Effect.runForkWith(yield* Effect.context<never>())

  const server = Net.createServer((tcp) => {
    // neither side reads faster than the other takes; the end of one is the end of both, as a WebSocket has no half of one
    pipeline(tcp, createWebSocketStream(new WebSocket(url)), tcp).catch((error: Error) =>
      log(Effect.logWarning(`a connection failed: ${error.message}`))
    )
  })
  yield* Effect.addFinalizer(() => Effect.sync(() => server.close()))
  return yield* Effect.callback<Net.AddressInfo, Error>((resume) => {
    server.once("error", (error) => resume(Effect.fail(error)))
    // net.Server gives an AddressInfo for a port
    server.listen(port, "127.0.0.1", () => resume(Effect.succeed(server.address() as Net.AddressInfo)))
  })
})

listen.pipe(
  Effect.flatMap(({ address, port }) => Console.log(`listening on tcp://${address}:${port}`)),
  Effect.andThen(Effect.never),
  Effect.scoped,
  NodeRuntime.runMain
)
