/**
 * Servers to test, on a port of this machine that the system chooses, and what they log. Everything ends with the scope.
 */
import { Context, Effect, Fiber, Layer, Logger, type Scope, Stream } from "effect"
import { NetAddress } from "effect/net"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import type { WebSocketError } from "../../src/connection/WebSocketError.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import type * as OpeningHandshake from "../../src/protocol/OpeningHandshake.ts"
import type { OpenRequest } from "../../src/server/OpenRequest.ts"
import type { ListenError } from "../../src/server/UpgradeListener.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"

export type Options = Omit<NodeWebSocketServer.Options, "port"> & { readonly port?: number }

export const echo = (webSocket: WebSocket): Effect.Effect<void, WebSocketError> =>
  Stream.runForEachArray(webSocket.messages, (batch) => webSocket.sendAll(batch))

/** Reads to the end and says nothing. */
export const drain = (webSocket: WebSocket): Effect.Effect<void, WebSocketError> => Stream.runDrain(webSocket.messages)

export const portOf = ({ address }: WebSocketServer["Service"]): number => {
  if (!NetAddress.isInetAddress(address)) throw new Error("the server listens on no port")
  return address.port
}

/** A server that runs nothing yet. */
export const listening = Effect.fnUntraced(function* (options: Options = {}) {
  const context = yield* Layer.build(NodeWebSocketServer.layer({ port: 0, ...options }))
  const server = Context.get(context, WebSocketServer)
  return { server, port: portOf(server) }
})

const running = <R>(run: (server: WebSocketServer["Service"]) => Effect.Effect<never, never, R>) =>
  Effect.fnUntraced(function* (options: Options): Effect.fn.Return<
    {
      readonly server: WebSocketServer["Service"]
      readonly port: number
      readonly url: string
      /** Interrupts `run`. */
      readonly stop: Effect.Effect<void>
    },
    ListenError,
    Scope.Scope | R
  > {
    const { port, server } = yield* listening(options)
    const fiber = yield* Effect.forkScoped(run(server))
    // `run` takes requests from its first turn on
    yield* Effect.yieldNow
    return { server, port, url: `ws://127.0.0.1:${port}`, stop: Fiber.interrupt(fiber) }
  })

/** A server with this handler for its connections. */
export const serving = <E>(
  handler: (webSocket: WebSocket, request: OpeningHandshake.Request) => Effect.Effect<unknown, E, Scope.Scope>,
  options: Options = {}
) => running((server) => server.run(handler))(options)

/** A server with this handler for its requests. */
export const deciding = <E>(
  handler: (open: OpenRequest) => Effect.Effect<unknown, E | OpeningHandshake.Refusal, Scope.Scope>,
  options: Options = {}
) => running((server) => server.runRequests(handler))(options)

export interface Logged {
  readonly level: string
  readonly text: string
}

/** Collects what is logged at any level in place of printing it. */
export const collectingLogs = <A, E, R>(self: (logs: ReadonlyArray<Logged>) => Effect.Effect<A, E, R>) =>
  Effect.suspend(() => {
    const logs: Array<Logged> = []
    const logger = Logger.make(({ cause, logLevel, message }) => {
      logs.push({ level: logLevel, text: `${String(message)} ${String(cause)}` })
    })
    return Effect.provide(self(logs), Logger.layer([logger]))
  })

/** Waits until a condition holds, for at most 3 seconds. */
export const eventually = (what: string, holds: Effect.Effect<boolean>): Effect.Effect<void> =>
  Effect.gen(function* () {
    for (let i = 0; i < 600; i++) {
      if (yield* holds) return
      yield* Effect.sleep("5 millis")
    }
    return yield* Effect.die(new Error(`waited 3 seconds until ${what}`))
  })

/** Whether a server has no connection left. */
export const noneOpen = (server: WebSocketServer["Service"]): Effect.Effect<boolean> =>
  Effect.map(server.connections, (count) => count === 0)

/** Waits until a number has stayed the same for 150 milliseconds, and gives it. */
export const steady = (read: () => number): Effect.Effect<number> =>
  Effect.suspend(() => {
    const before = read()
    return Effect.flatMap(Effect.sleep("150 millis"), () => (read() === before ? Effect.succeed(before) : steady(read)))
  })
