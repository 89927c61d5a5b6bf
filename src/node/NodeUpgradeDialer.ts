/**
 * The {@link UpgradeDialer} over `node:net`, `node:tls` and `node:http`: it connects as {@link NodeDialer} does, with the same options,
 * so through firewalls and by a policy if there is one.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Scope from "effect/Scope"
import type * as Net from "node:net"
import { UpgradeDialer } from "../client/UpgradeDialer.ts"
import { duration } from "../protocol/internal/option.ts"
import type * as TlsClient from "../tls/TlsClient.ts"
import { ask } from "./internal/openingRequest.ts"
import * as NodeDialer from "./NodeDialer.ts"

/**
 * How servers are connected to. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Omit<NodeDialer.Options, "proxyProtocol" | "tls"> {
  /** TLS, for `wss`. Default: the system's authorities are trusted, and the certificate must be for the host of the URL. */
  readonly tls?: TlsClient.Options | undefined
  /** How long the server may take to answer once it is connected to. Default: 10 seconds. */
  readonly handshakeTimeout?: Duration.Input | undefined
}

/** What the scope closes over lives as long as the connection, and so it has no more than the socket. */
const destroyedWithScope = (socket: Net.Socket): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizerExit(scope, () => Effect.sync(() => void socket.destroy())))

/**
 * A dialler of WebSocket servers. Throws for an invalid option, such as a negative duration.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ handshakeTimeout, tls, ...options }: Options = {}): UpgradeDialer["Service"] => {
  const patience = duration("handshakeTimeout", handshakeTimeout, "10 seconds", "above 0")
  const plain = NodeDialer.sockets(options, true)
  // a server with several protocols on its port is told which one is spoken
  const secure = NodeDialer.sockets({ ...options, tls: { alpnProtocols: ["http/1.1"], ...tls } }, false)
  return {
    dial: (request) =>
      Effect.uninterruptibleMask((restore) =>
        Effect.flatMap(restore((request.isSecure ? secure : plain)(request.target)), (socket) =>
          Effect.andThen(destroyedWithScope(socket), restore(ask(socket, request, patience)))
        )
      )
  }
}

/**
 * {@link make} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<UpgradeDialer> =>
  Layer.sync(UpgradeDialer)(() => make(options))
