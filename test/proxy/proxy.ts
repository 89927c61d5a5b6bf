/**
 * The proxy under test in this process: a server on a port of the system's choice with the Dialer of Node, or a Dialer of the
 * test's. What it logs as a warning or worse is kept, so that a test can say what is nobody's fault.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import type { Dialer } from "../../src/proxy/Dialer.ts"
import * as WebSocketProxy from "../../src/proxy/WebSocketProxy.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { eventually } from "./watch.ts"

export interface Options<E> extends WebSocketProxy.Options<E>, Omit<NodeWebSocketServer.Options, "port"> {
  /** Default: the Dialer of Node, with `dialTimeout`. */
  readonly dialer?: Layer.Layer<Dialer> | undefined
  readonly dialTimeout?: NodeDialer.Options["dialTimeout"]
}

export interface Proxy {
  readonly port: number
  /** How many connections it has, those in their opening handshake included. */
  readonly connections: Effect.Effect<number>
  /** Waits until it has none. */
  readonly idle: (millis?: number) => Effect.Effect<number>
  /** Stops it, as the end of its scope does. */
  readonly stop: Effect.Effect<void>
  /** What it logged, as `LEVEL text`, from warnings on. */
  readonly log: ReadonlyArray<string>
}

const loud = new Set(["Warn", "Error", "Fatal"])

export const serve = Effect.fnUntraced(function* <E = never>(
  options: Options<E>
): Effect.fn.Return<Proxy, never, Scope.Scope> {
  const log: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    if (loud.has(logLevel)) log.push(`${logLevel} ${Array.isArray(message) ? message.join(" ") : message}`)
  })
  const scope = yield* Scope.fork(yield* Effect.scope)
  const context = yield* Layer.buildWithScope(
    WebSocketProxy.layer(options).pipe(
      Layer.provideMerge(Layer.orDie(NodeWebSocketServer.layer({ ...options, port: 0 }))),
      Layer.provide(options.dialer ?? NodeDialer.layer({ dialTimeout: options.dialTimeout })),
      Layer.provide(Logger.layer([logger]))
    ),
    scope
  )
  const server = Context.get(context, WebSocketServer)
  if (!NetAddress.isInetAddress(server.address)) return yield* Effect.die("the server listens on an IP address")
  return {
    port: server.address.port,
    connections: server.connections,
    idle: (millis) =>
      Effect.flatMap(Effect.context<never>(), (context) =>
        eventually(
          "the end of all connections",
          () => (Effect.runSyncWith(context)(server.connections) === 0 ? 1 : undefined),
          millis
        )
      ),
    stop: Scope.close(scope, Exit.void),
    log
  }
})
