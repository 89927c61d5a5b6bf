/**
 * The other end of a proxy, for programs that speak no WebSocket: each byte stream that comes to a `SocketServer`, such as a TCP
 * connection, leads through a WebSocket of its own to a server. How the end of one side becomes the end of the other:
 *
 * | what happens | toward the program | toward the server |
 * | --- | --- | --- |
 * | the program ends its side | its end, once the server has closed | all its bytes, then Close 1000 |
 * | the program is reset | – | Close 1011 |
 * | the server closes with 1000, or without a code | all its bytes, then the end | Close echoed |
 * | the server closes with another code | what came, then a reset: it is not the whole | Close echoed |
 * | a limit of ours (`idleTimeout`, `maxLifetime`) | the same | Close 1001 or 1008 |
 * | the server vanishes, cannot be connected to, or declines | a reset | – |
 * | interruption | what came, then a reset | what came by then, Close 1001 |
 *
 * A reset throws away what the program has not read yet or the system has not delivered. A unix socket has no reset, and is
 * ended.
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Socket from "effect/socket/Socket"
import { SocketServer, type SocketServerError } from "effect/socket/SocketServer"
import { type Keeper, kept } from "../connection/internal/keeper.ts"
import type { WebSocketError } from "../connection/WebSocketError.ts"
import * as CloseCode from "../protocol/CloseCode.ts"
import * as Endings from "../proxy/internal/endings.ts"
import { type Failure, Passage, type Way } from "./internal/passage.ts"
import { checkedRequest } from "./internal/request.ts"
import { type Asking, WebSocketClient } from "./WebSocketClient.ts"
import type { WebSocketClientError } from "./WebSocketClientError.ts"

/**
 * The server that connections lead to, and the options of the WebSockets to it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Asking {
  readonly url: string | URL
  /**
   * `"binary"`, or `"text"` for programs that speak UTF-8 with a server that takes text: what is not UTF-8 becomes U+FFFD. From the
   * server both kinds are taken. Default: `"binary"`.
   */
  readonly messages?: "binary" | "text" | undefined
  /**
   * Called with the error of a connection that failed; a `SocketError` is one of the program's side. Default: it is logged, as a
   * warning unless it is a `SocketError`.
   */
  readonly onFailure?:
    | ((error: WebSocketClientError | WebSocketError | Socket.SocketError) => Effect.Effect<void>)
    | undefined
}

const tell = (error: Failure): Effect.Effect<void> => {
  // what a program does with its own connection is no fault of anybody's
  if (error._tag === "SocketError") return Effect.logInfo("a program left its connection in the midst of it")
  if (error._tag !== "WebSocketError" || error.reason._tag !== "ConnectionClosed")
    return Effect.logWarning(`a connection failed: ${error.message}`)
  const { code = CloseCode.noStatus, reason = "" } = error.reason.info ?? {}
  const why = reason === "" ? "" : ` (${JSON.stringify(reason)})`
  return Effect.logWarning(`a connection failed: it was closed with ${code}${why}`)
}

/** What no connection could be made with is said at once. */
const checked = ({ headers, subprotocols, url }: Options): Effect.Effect<void, WebSocketClientError> =>
  Effect.asVoid(Effect.fromResult(checkedRequest(url, [headers], subprotocols)))

const lead = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<never, SocketServerError, SocketServer | WebSocketClient> {
  const { messages, onFailure = tell, url } = options
  const server = yield* SocketServer
  const client = yield* WebSocketClient
  const endings = Endings.sharing(yield* Effect.context<never>())
  const way: Way = { connect: client.connect(url, options), messages, endings, onFailure }
  return yield* server.run(
    kept((program: Socket.Socket, keeper?: Keeper<never>) => new Passage(way, keeper).through(program))
  )
})

/**
 * Leads all that comes to the {@link SocketServer} to a server, until it is interrupted. It fails at once if the URL or an option
 * cannot be used; any other failure of a connection ends that connection alone.
 *
 * @category running
 * @since 0.1.0
 */
export const serve = (
  options: Options
): Effect.Effect<never, SocketServerError | WebSocketClientError, SocketServer | WebSocketClient> =>
  Effect.andThen(checked(options), lead(options))

/**
 * {@link serve} for as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<never, WebSocketClientError, SocketServer | WebSocketClient> =>
  Layer.effectDiscard(
    Effect.andThen(
      checked(options),
      Effect.forkScoped(
        Effect.onError(lead(options), (cause) =>
          Cause.hasInterruptsOnly(cause) ? Effect.void : Effect.logError("A tunnel takes no more connections", cause)
        )
      )
    )
  )
