/**
 * The WebSocket client: a URL becomes a connection, which is the same scoped resource that a server has ({@link WebSocket}), in
 * the role of a client. Its masking keys and handshake keys come from the system's generator (RFC 6455 section 10.3).
 *
 * **Example** (A question and its answer)
 *
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { Console, Effect, Stream } from "effect"
 * import { WebSocketClient } from "effect-websocket"
 * import { NodeWebSocketClient } from "effect-websocket/node"
 *
 * const program = Effect.gen(function* () {
 *   const socket = yield* WebSocketClient.connect("ws://127.0.0.1:8080")
 *   yield* socket.send("hello")
 *   yield* Stream.runForEach(Stream.take(socket.messages, 1), Console.log)
 * })
 *
 * program.pipe(Effect.scoped, Effect.provide(NodeWebSocketClient.layer()), NodeRuntime.runMain)
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Digest from "effect/crypto/Digest"
import * as Effect from "effect/Effect"
import * as Base64 from "effect/encoding/Base64"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { Connection } from "../connection/internal/connection.ts"
import { randomBytes } from "../connection/internal/randomBytes.ts"
import type { Terms } from "../connection/internal/terms.ts"
import * as Deflate from "../connection/Deflate.ts"
import * as KeepAlive from "../connection/KeepAlive.ts"
import * as Limits from "../connection/Limits.ts"
import * as Transport from "../connection/Transport.ts"
import type * as WebSocket from "../connection/WebSocket.ts"
import * as OpeningHandshake from "../protocol/OpeningHandshake.ts"
import * as PerMessageDeflate from "../protocol/PerMessageDeflate.ts"
import * as Address from "./internal/address.ts"
import { dialledSocket } from "./internal/dialledSocket.ts"
import { headersOf } from "./internal/request.ts"
import { type Answer, type Declined, type Switched, UpgradeDialer } from "./UpgradeDialer.ts"
import * as ClientError from "./WebSocketClientError.ts"

/**
 * What a client asks for.
 *
 * @category models
 * @since 0.1.0
 */
export interface Asking {
  /** The subprotocols that it speaks, in its order of preference. The server may choose none. Default: none. */
  readonly subprotocols?: ReadonlyArray<string> | undefined
  /** Whether and how to offer permessage-deflate; a server may decline. Default: `false`. */
  readonly compression?: PerMessageDeflate.Setting | undefined
  /** Headers beside those of the handshake itself, such as `origin`, `cookie` or `authorization`. */
  readonly headers?: OpeningHandshake.ResponseHeaders | undefined
}

/**
 * What all connections of a client have in common. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Asking, Limits.Options {}

/**
 * The client.
 *
 * @category services
 * @since 0.1.0
 */
export class WebSocketClient extends Context.Service<
  WebSocketClient,
  {
    /**
     * Connects: the handshake is done when this succeeds. These options override the client's; headers are overridden one by one.
     * The connection belongs to the scope, whose end closes it in order: see `WebSocket`. An attempt that fails or is interrupted
     * leaves nothing behind, so it may be repeated in the same scope.
     */
    readonly connect: (
      url: string | URL,
      asking?: Asking
    ) => Effect.Effect<WebSocket.WebSocket, ClientError.WebSocketClientError, Scope.Scope>
    /** How many connections are open. */
    readonly connections: Effect.Effect<number>
  }
>()("effect-websocket/client/WebSocketClient") {}

/** What a client remembers of a request, to hold the answer against it. */
interface Asked {
  readonly address: Address.Address
  readonly key: OpeningHandshake.Key
  readonly subprotocols: ReadonlyArray<string> | undefined
  readonly compression: PerMessageDeflate.Policy | undefined
  readonly headers: OpeningHandshake.ResponseHeaders
}

/** Section 4.1: 16 bytes that are chosen anew for each connection. */
const makeKey = (): OpeningHandshake.Key => OpeningHandshake.Key.make(Base64.encode(randomBytes(16)))

const encoder = new TextEncoder()

/** What the server must send back. */
const acceptOf = (digest: Digest.Digest["Service"], key: OpeningHandshake.Key): Effect.Effect<string> =>
  Effect.map(digest.digest(Digest.sha1, encoder.encode(OpeningHandshake.acceptInput(key))), (bytes) =>
    Base64.encode(bytes)
  )

const hasSwitched = (answer: Answer): answer is Switched => answer.socket !== undefined

const declined = ({ body, headers, status }: Declined) => new ClientError.Declined({ status, headers, body })

/**
 * An option that cannot be one, such as a negative duration, is a defect that names it.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<WebSocketClient["Service"], never, UpgradeDialer | Scope.Scope> {
  const dialer = yield* UpgradeDialer
  const zlib = Option.getOrUndefined(yield* Effect.serviceOption(Deflate.Zlib))
  const given = yield* Effect.serviceOption(Digest.Digest)
  const digest = Option.isSome(given)
    ? given.value
    : Context.get(yield* Layer.build(Digest.layerWebCrypto), Digest.Digest)
  const limits = Limits.make(options)
  PerMessageDeflate.wanted(options.compression)
  const keepAlive = yield* KeepAlive.make(limits)
  const terms: Terms = { role: "client", limits, clock: yield* Clock.Clock }

  /** Most clients connect to the same server again and again. */
  let last: { readonly url: string; readonly address: Address.Address } | undefined
  const addressOf = (url: string | URL): Result.Result<Address.Address, string> => {
    if (last?.url === url) return Result.succeed(last.address)
    const parsed = Address.parse(url)
    if (typeof url === "string" && Result.isSuccess(parsed)) last = { url, address: parsed.success }
    return parsed
  }

  /** What is asked for, unless it cannot be. */
  const asked = (url: string | URL, asking: Asking): Result.Result<Asked, string> =>
    Result.flatMap(addressOf(url), (address) => {
      const key = makeKey()
      const subprotocols = asking.subprotocols ?? options.subprotocols
      // compression needs an implementation, and is not offered without one
      const wanted = PerMessageDeflate.wanted(asking.compression ?? options.compression)
      const compression = zlib === undefined ? undefined : wanted
      const headers = headersOf({
        address,
        handshake: () => OpeningHandshake.requestHeaders({ key, subprotocols, compression }),
        subprotocols,
        given: [options.headers, asking.headers]
      })
      return Result.map(headers, (headers) => ({ address, key, subprotocols, compression, headers }))
    })

  const answerTo = ({ address, headers }: Asked) =>
    dialer.dial({ target: address.target, isSecure: address.isSecure, path: address.path, headers })

  const confirmed = (request: Asked, { headers, status }: Switched) =>
    Effect.flatMap(acceptOf(digest, request.key), (accept) =>
      Effect.mapError(
        Effect.fromResult(OpeningHandshake.confirm({ status, headers }, { ...request, accept })),
        (message) => new ClientError.InvalidAnswer({ message })
      )
    )

  /** The connection, which is not the scope's yet. */
  const opened = (request: Asked, answer: Switched): Effect.Effect<Connection, ClientError.InvalidAnswer> =>
    Effect.flatMap(confirmed(request, answer), ({ compression, subprotocol }) =>
      Effect.map(Effect.orDie(Transport.fromSocket(answer.socket)), (transport) => {
        const codec =
          compression === undefined || request.compression === undefined || zlib === undefined
            ? undefined
            : Deflate.make({ zlib, role: "client", agreement: compression, policy: request.compression })
        return new Connection({ terms, subprotocol, codec, transport })
      })
    )

  const open = (
    url: string | URL,
    asking: Asking
  ): Effect.Effect<Connection, ClientError.WebSocketClientErrorReason, Scope.Scope> =>
    Result.match(asked(url, asking), {
      onFailure: (message) => Effect.fail(new ClientError.InvalidRequest({ message })),
      onSuccess: (request) =>
        Effect.flatMap(answerTo(request), (answer): Effect.Effect<Connection, ClientError.WebSocketClientErrorReason> =>
          hasSwitched(answer) ? opened(request, answer) : Effect.fail(declined(answer))
        )
    })

  /** The end of a connection. */
  const release = (connection: Connection) => {
    const watch = keepAlive.watch(connection)
    return (exit: Exit.Exit<unknown, unknown>) =>
      Effect.ensuring(
        connection.release(exit),
        Effect.sync(() => keepAlive.forget(watch))
      )
  }

  const connect: WebSocketClient["Service"]["connect"] = (url, asking = {}) =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(Effect.scope, (parent) => {
        const scope = Scope.forkUnsafe(parent)
        return restore(Effect.suspend(() => open(url, asking))).pipe(
          Scope.provide(scope),
          Effect.onError((cause) => Scope.close(scope, Exit.failCause(cause))),
          Effect.mapError((reason) => new ClientError.WebSocketClientError({ url: Address.shown(url), reason })),
          Effect.tap((connection) => Scope.addFinalizerExit(scope, release(connection)))
        )
      })
    )

  return { connect, connections: Effect.sync(keepAlive.open) }
})

/**
 * The client over an `UpgradeDialer`. For Node there is `NodeWebSocketClient.layer`, which brings one. The digest of a handshake is taken by
 * the `Digest` of `effect/crypto` that is in the context, or else by Web Crypto.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<WebSocketClient, never, UpgradeDialer> =>
  Layer.effect(WebSocketClient)(make(options))

/**
 * Connects with the client of the context: see {@link WebSocketClient}.
 *
 * @category constructors
 * @since 0.1.0
 */
export const connect = (
  url: string | URL,
  asking?: Asking
): Effect.Effect<WebSocket.WebSocket, ClientError.WebSocketClientError, WebSocketClient | Scope.Scope> =>
  Effect.flatMap(WebSocketClient, (client) => client.connect(url, asking))

/**
 * A client as effect's `Socket` of messages, for whatever takes one, such as the client of `effect/rpc`. It connects when its reader is
 * acquired, and anew each time; a failure is a `SocketOpenError` whose cause is the `WebSocketClientError`.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSocket = (url: string | URL, asking?: Asking): Layer.Layer<Socket.Socket, never, WebSocketClient> =>
  Layer.effect(Socket.Socket)(Effect.map(WebSocketClient, (client) => dialledSocket(client.connect(url, asking))))
