/**
 * The proxy: bytes between a WebSocket (downstream) and a TCP target (upstream), a Stream each way. Both are pulled, so
 * what one side does not take stays in the kernel of the other, and no message is ever assembled.
 *
 * The target is dialled before the client's request is answered, so that a dead target is an honest HTTP status. How the
 * end of one side becomes the end of the other:
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
 * Every wait in it is bounded by `closeTimeout`.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import { Connection } from "../connection/internal/connection.ts"
import type * as Transport from "../connection/Transport.ts"
import * as WebSocket from "../connection/WebSocket.ts"
import { lost, type WebSocketError } from "../connection/WebSocketError.ts"
import * as CloseCode from "../protocol/CloseCode.ts"
import type { OpenRequest } from "../server/OpenRequest.ts"
import type { Refusal } from "../protocol/OpeningHandshake.ts"
import { WebSocketServer } from "../server/WebSocketServer.ts"
import { Dialer } from "./Dialer.ts"
import type { Target } from "./Target.ts"

/**
 * Targets that could not be connected to, by the kind of failure.
 *
 * @category metrics
 * @since 0.1.0
 */
export const dialFailures = Metric.frequency("websocket_proxy_dial_failures_total", {
  description: "Targets that could not be connected to, by kind of failure"
})

/**
 * How bytes of the target become messages.
 *
 * @category models
 * @since 0.1.0
 */
export interface PipeOptions {
  /**
   * `"binary"`, or `"text"` for a target that speaks UTF-8: its bytes are then split between code points, and what is not
   * UTF-8 becomes U+FFFD. From the client both kinds are taken. Default: `"binary"`.
   */
  readonly messages?: "binary" | "text" | undefined
}

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
): Effect.Effect<void, Socket.SocketError> =>
  // every WebSocket that this package makes is a Connection
  webSocket instanceof Connection ? Effect.scoped(run(webSocket, upstream, options)) : Effect.die("not a connection")

const run = Effect.fnUntraced(function* (client: Connection, upstream: Socket.Socket, options: PipeOptions) {
  const reader: Transport.Reader = yield* upstream.reader
  const writeScope = Scope.makeUnsafe()
  const writer: Transport.Writer = yield* Scope.provide(upstream.writer, writeScope)
  const finish = Scope.close(writeScope, Exit.void)
  yield* Effect.addFinalizer(() => finish)
  const reset = Effect.ignore(writer.write(new Socket.CloseEvent(CloseCode.abnormal)))
  const { closeTimeout } = client.limits

  const toTarget = Stream.fromPull(Effect.sync(() => client.pullPayloads)).pipe(
    Stream.runForEachArray((chunks) =>
      chunks.length === 1 && writer.writeOwned !== undefined && client.owns(chunks[0])
        ? writer.writeOwned(chunks, chunks[0])
        : writer.writeAll(chunks)
    )
  )
  const toClient = Stream.fromPull(Effect.succeed(reader.pull)).pipe(
    Stream.runForEachArray(options.messages === "text" ? sendText(client) : sendBinary(client, reader))
  )

  /** From the target: its end closes the client; once the client takes no more, read on for nobody to the target's end. */
  const down = toClient.pipe(
    Effect.catchTag("WebSocketError", () => Effect.forever(reader.pull, { disableYield: true })),
    Effect.catch((error) =>
      client
        .beginClose(
          isEnd(error)
            ? { code: CloseCode.normal, reason: "" }
            : { code: CloseCode.internalError, reason: "the target failed" }
        )
        .pipe(
          Effect.andThen(Effect.timeoutOption(client.closed, closeTimeout)),
          Effect.flatMap((closed) =>
            closed._tag === "Some" ? Effect.void : client.abort(lost("no Close frame came in answer to ours"))
          )
        )
    )
  )
  const fiber = yield* Effect.forkChild(down)

  const exit = yield* Effect.exit(toTarget)
  if (Exit.isSuccess(exit)) {
    yield* finish
    yield* Effect.timeoutOption(Fiber.await(fiber), closeTimeout)
    return
  }
  const failure = Cause.findErrorOption(exit.cause)
  if (failure._tag === "None") return yield* Effect.failCause(exit.cause as Cause.Cause<never>)
  if (failure.value._tag === "SocketError") {
    yield* client.shutdown({ code: CloseCode.internalError, reason: "the target failed" })
  }
  yield* reset
})

/** Whether the target ended its side in order, as against a reset or a failure. */
const isEnd = (error: Socket.SocketError): boolean =>
  error.reason._tag === "SocketCloseError" && error.reason.code === 1000

type Chunks = NonEmptyReadonlyArray<Uint8Array | string>

const utf8 = new TextEncoder()

const sendBinary =
  (client: Connection, reader: Transport.Reader) =>
  (chunks: Chunks): Effect.Effect<void, WebSocketError> => {
    const first = chunks[0]
    if (chunks.length === 1 && typeof first !== "string" && reader.isExclusive?.(first) === true) {
      return client.outbound.sendOwned(first)
    }
    return client.sendAll(
      chunks.map((chunk) =>
        typeof chunk === "string" ? utf8.encode(chunk) : chunk
      ) as unknown as NonEmptyReadonlyArray<Uint8Array>
    )
  }

const sendText = (client: Connection) => {
  const decoder = new TextDecoder("utf-8", { ignoreBOM: true })
  return (chunks: Chunks): Effect.Effect<void, WebSocketError> => {
    let text = ""
    for (const chunk of chunks) text += typeof chunk === "string" ? chunk : decoder.decode(chunk, { stream: true })
    return text === "" ? Effect.void : client.send(text)
  }
}

/**
 * What a proxy does with a request.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options<E = never, R = never> extends PipeOptions {
  /** The target of all connections, or what chooses one by the request; failing with a `Refusal` refuses it. */
  readonly target: Target | ((open: OpenRequest) => Effect.Effect<Target, E | Refusal, R>)
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
  return yield* server.runRequests(
    Effect.fnUntraced(function* (open: OpenRequest) {
      const chosen = typeof target === "function" ? yield* target(open) : target
      const upstream = yield* dialer
        .dial(chosen)
        .pipe(
          Effect.catch((error) =>
            Effect.logWarning(error.message).pipe(
              Effect.andThen(Metric.update(dialFailures, error.kind)),
              Effect.andThen(Effect.fail(error.refusal))
            )
          )
        )
      const webSocket = yield* open.accept
      yield* pipeWebSocket(webSocket, upstream, options)
    })
  )
})

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
