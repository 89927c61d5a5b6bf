/**
 * The proxy: bytes between a WebSocket (downstream) and a TCP target (upstream), a pull each way. Bytes that one side does not
 * take stay in the kernel's buffer of the other, and no message is ever assembled.
 *
 * The target is dialled before the client's request is answered, so that the client of a dead target gets an HTTP status that
 * says so. How the end of one side becomes the end of the other:
 *
 * | what happens | toward the client | toward the target |
 * | --- | --- | --- |
 * | the client sends Close | Close echoed, FIN | what it sent is flushed, then FIN; read on and discarded to its EOF |
 * | the client vanishes (no Close, reset, no pong) | – | reset, so that it learns of it at once |
 * | the target sends FIN | all its bytes, then Close 1000; FIN only after the client's Close | FIN after what the client sent |
 * | the target resets or fails | Close 1011 | – |
 * | the client breaks the protocol | Close 1002, 1007 or 1009 | reset |
 * | interruption (drain, administrator) | Close 1001 | flushed, FIN |
 *
 * Every wait in it is bounded by `closeTimeout` (`Limits.Options`).
 *
 * @since 0.1.0
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { Connection } from "../connection/internal/connection.ts"
import { parking } from "../connection/internal/parked.ts"
import * as Transport from "../connection/Transport.ts"
import * as WebSocket from "../connection/WebSocket.ts"
import { stay } from "../server/internal/opening.ts"
import { WebSocketServer } from "../server/WebSocketServer.ts"
import { type DialError, Dialer } from "./Dialer.ts"
import { dialFirst } from "./internal/dialling.ts"
import * as Endings from "./internal/endings.ts"
import { Pipe, toItsEnd } from "./internal/pipe.ts"
import type { PipeOptions } from "./internal/pipeOptions.ts"
import * as Router from "./Router.ts"

/**
 * Targets that could not be connected to, by the kind of failure.
 *
 * @category metrics
 * @since 0.1.0
 */
export const dialFailures = Metric.frequency("websocket_proxy_dial_failures_total", {
  description: "Targets that could not be connected to, by kind of failure"
})

export type { Observer, PipeOptions } from "./internal/pipeOptions.ts"

/**
 * Pipes between the bytes of a WebSocket whose opening handshake is done, in the role of the server, and a target. Ends when
 * both sides have.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pipe = (
  downstream: Socket.Socket,
  upstream: Socket.Socket,
  options: PipeOptions & Omit<WebSocket.Options, "role"> = {}
): Effect.Effect<void, Socket.SocketError> =>
  WebSocket.make(downstream, { ...options, role: "server" }).pipe(
    Effect.flatMap((webSocket) => pipeWebSocket(webSocket, upstream, options)),
    Effect.scoped
  )

/**
 * The same for a connection that is open already.
 *
 * @category combinators
 * @since 0.1.0
 */
export const pipeWebSocket = (
  webSocket: WebSocket.WebSocket,
  upstream: Socket.Socket,
  options: PipeOptions = {}
): Effect.Effect<void, Socket.SocketError> => {
  // every WebSocket that this package makes is a Connection
  if (!(webSocket instanceof Connection)) return Effect.die(new TypeError("expected a WebSocket of this package"))
  return Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(Transport.fromSocket(upstream)), (target) =>
      Effect.contextWith((context: Context.Context<never>) =>
        toItsEnd(new Pipe(webSocket, target, options, new Endings.Endings(webSocket.limits, context)), restore)
      )
    )
  )
}

/**
 * What a proxy does with a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E = never, R = never> extends PipeOptions {
  /** The target of all connections, or what chooses by the request: see {@link Router.Route}. */
  readonly target: Router.Destination | Router.Route<E, R>
}

/**
 * Proxies the connections of the {@link WebSocketServer} until it is interrupted.
 *
 * @category running
 * @since 0.1.0
 */
export const serve = Effect.fnUntraced(function* <E = never, R = never>(options: Options<E, R>) {
  const server = yield* WebSocketServer
  const dialer = yield* Dialer
  const { target } = options
  const route = typeof target === "function" ? target : Router.to(target)
  const endings = Endings.sharing(yield* Effect.context<never>())
  /** What a connection waits for that is nothing but a pipe, if it can do so without a fiber. */
  const parked = (webSocket: WebSocket.WebSocket, upstream: Socket.Socket) => () => {
    const transport = Transport.openOf(upstream)
    if (transport === undefined || !(webSocket instanceof Connection)) return undefined
    return new Pipe(webSocket, transport, options, endings(webSocket.limits)).park()
  }
  return yield* server.runRequests((open) =>
    parking(
      Effect.flatMap(route(open), (destination) => {
        const choice = Router.choice(destination)
        const { subprotocol } = choice
        const accept = subprotocol === undefined ? open.accept : open.acceptWith({ subprotocol })
        return Effect.flatMap(dialFirst(dialer, choice, open, tellDialError), (upstream) =>
          Effect.flatMap(
            accept,
            (webSocket) => stay(open, parked(webSocket, upstream)) ?? pipeWebSocket(webSocket, upstream, options)
          )
        )
      })
    )
  )
})

const tellDialError = (error: DialError): Effect.Effect<void> =>
  Effect.andThen(Effect.logWarning(error.message), Metric.update(dialFailures, error.kind))

/**
 * Proxies for as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = <E = never, R = never>(
  options: Options<E, R>
): Layer.Layer<never, never, WebSocketServer | Dialer | Exclude<R, Scope.Scope>> =>
  Layer.effectDiscard(Effect.forkScoped(serve(options)))

/**
 * {@link layer} with the target that the {@link Router.Router} names.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRouter = (
  options: PipeOptions = {}
): Layer.Layer<never, never, WebSocketServer | Dialer | Router.Router> =>
  Layer.unwrap(Router.Router.useSync(({ route }) => layer({ ...options, target: route })))
