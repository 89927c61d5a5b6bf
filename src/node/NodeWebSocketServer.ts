/**
 * The {@link WebSocketServer} on Node: one layer that listens, and speaks permessage-deflate if asked to.
 *
 * @since 0.1.0
 */
import type * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Config from "effect/Config"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as HttpServer from "effect/http/HttpServer"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import type * as WebSocketClient from "../client/WebSocketClient.ts"
import * as Admission from "../server/Admission.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import { UpgradeListener } from "../server/UpgradeListener.ts"
import * as WebSocketServer from "../server/WebSocketServer.ts"
import type { Identities } from "../tls/Identities.ts"
import type * as NodeTls from "./NodeTls.ts"
import * as NodeUpgradeListener from "./NodeUpgradeListener.ts"
import * as NodeZlib from "./NodeZlib.ts"

/**
 * Where to listen, what to accept, and how much of it. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends NodeUpgradeListener.Options, WebSocketServer.Options {}

/** Whether anything is asked for that can be decided before a connection is read; otherwise none needs an entry at the door. */
const hasDoor = (options: Options): boolean =>
  options.maxConnections !== undefined ||
  options.maxConnectionsPerAddress !== undefined ||
  options.maxHandshakeRatePerAddress !== undefined

/**
 * A WebSocket server on a port of its own. Other HTTP requests are told that it speaks WebSocket (426). The limits of
 * `Admission.Options` apply to all connections of the port, and are checked before anything of a connection is read.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<WebSocketServer.WebSocketServer, ListenError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const admission = options.admission ?? (yield* Admission.make(options))
      const isAtDoor = options.admission !== undefined || hasDoor(options)
      const listening = NodeUpgradeListener.make({ ...options, admission: isAtDoor ? admission : undefined })
      return WebSocketServer.layer({ ...options, admission }).pipe(
        Layer.provide(Layer.effect(UpgradeListener)(Effect.map(listening, (_) => _.listener))),
        Layer.provide(NodeZlib.layer)
      )
    })
  )

/**
 * A WebSocket server over TLS, whose certificates are the service {@link Identities}.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTls = (
  options: Omit<Options, "tls"> & { readonly tls?: Omit<NodeTls.Options, "identities"> | undefined } = {}
): Layer.Layer<WebSocketServer.WebSocketServer, ListenError, Identities> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const { Identities } = yield* Effect.promise(() => import("../tls/Identities.ts"))
      return layer({ ...options, tls: { ...options.tls, identities: yield* Identities } })
    })
  )

/**
 * {@link layer} with options from `Config`, such as `{ port: Config.Int("PORT") }`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerConfig = (
  options: Config.Wrap<Options>
): Layer.Layer<WebSocketServer.WebSocketServer, ListenError | Config.ConfigError> =>
  Layer.unwrap(Effect.map(Config.unwrap(options), layer))

/**
 * A WebSocket server and an `effect/http` server on one port: requests to upgrade to WebSocket go to the first, all others to the
 * second, such as `HttpRouter.serve(routes)`. Limits count requests to upgrade, since other connections are for pages. If
 * `admission` is given, connections are counted, too. Over TLS, `tls.identities` is the service `Identities`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHttp = (
  options: Options = {}
): Layer.Layer<
  WebSocketServer.WebSocketServer | HttpServer.HttpServer | Layer.Success<typeof NodeHttpServer.layerHttpServices>,
  ListenError
> =>
  Layer.unwrap(
    Effect.gen(function* () {
      // a server without pages has no use for effect's whole HTTP server
      const [{ HttpServer }, { layerHttpServices }] = yield* Effect.promise(() =>
        Promise.all([import("effect/http/HttpServer"), import("@effect/platform-node/NodeHttpServer")])
      )
      return WebSocketServer.layer(options).pipe(
        Layer.provideMerge(
          Layer.effectContext(
            Effect.map(NodeUpgradeListener.make(options), (_) =>
              Context.make(UpgradeListener, _.listener).pipe(Context.add(HttpServer, _.http))
            )
          )
        ),
        Layer.provide(NodeZlib.layer),
        Layer.merge(layerHttpServices)
      )
    })
  )

/**
 * The options of a server under test: all except those for where it listens, which is a port of this machine that the system
 * chooses.
 *
 * @category models
 * @since 0.1.0
 */
export interface TestOptions extends Omit<Options, "accepted" | "descriptor" | "host" | "port" | "tls" | "unix"> {}

/**
 * A server for tests of handlers, and a client that takes a path for a URL of that server: `WebSocketClient.connect("/room")`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerTest = (
  options: TestOptions = {}
): Layer.Layer<WebSocketClient.WebSocketClient | WebSocketServer.WebSocketServer, ListenError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      // who serves needs no client
      const [{ WebSocketClient }, NodeWebSocketClient] = yield* Effect.promise(() =>
        Promise.all([import("../client/WebSocketClient.ts"), import("./NodeWebSocketClient.ts")])
      )
      const client = Effect.gen(function* () {
        const { address } = yield* WebSocketServer.WebSocketServer
        const base = `ws://${NetAddress.formatSocketAddress(address)}`
        const { connect, connections } = yield* WebSocketClient
        return WebSocketClient.of({
          connections,
          // what is no URL even so is for the client to refuse
          connect: (url, asking) => connect(URL.parse(url, base) ?? url, asking)
        })
      })
      return Layer.effect(WebSocketClient)(client).pipe(
        Layer.provide(NodeWebSocketClient.layer()),
        Layer.provideMerge(layer(options))
      )
    })
  )
