/**
 * The {@link UpgradeListener} over `node:http`, which parses the heads. Requests that are no WebSocket upgrade go to an HTTP
 * application on the same port, if there is one, and are told what this address speaks if there is none.
 *
 * @since 0.1.0
 */
import * as NodeHttpServer from "@effect/platform-node/NodeHttpServer"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FiberSet from "effect/FiberSet"
import * as HttpServer from "effect/http/HttpServer"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as NodeCrypto from "node:crypto"
import * as NodeHttp from "node:http"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import * as Telemetry from "../connection/Telemetry.ts"
import * as OpeningHandshake from "../protocol/OpeningHandshake.ts"
import type { UpgradeListener } from "../server/UpgradeListener.ts"
import { ListenError, type Upgrade } from "../server/UpgradeListener.ts"
import * as NodeSocket from "./NodeSocket.ts"

/**
 * Where to listen, and the limits of a request's head.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default: `127.0.0.1`. */
  readonly host?: string | undefined
  /** 0 has the system choose one. */
  readonly port: number
  /** The whole head must have come within this time of the connection; 408. Default: 10 seconds. */
  readonly handshakeTimeout?: Duration.Input | undefined
  /** The largest head in bytes; 431. Default: 16 KiB. */
  readonly maxHeaderSize?: number | undefined
  /** The most header lines; 431. Default: 100. */
  readonly maxHeaders?: number | undefined
  /**
   * How long open connections may go on after the end was asked for; requests meanwhile get 503. Then they are closed with
   * 1001. Default: 0.
   */
  readonly drainTimeout?: Duration.Input | undefined
  /** The length of the system's queue of connections that are not accepted yet. Default: 511. */
  readonly backlog?: number | undefined
}

const refusal = (status: number, reason: string) => new OpeningHandshake.Refusal({ status, reason })
const unavailable = refusal(503, "The server takes no connections now.")

/** A refusal may linger this long for the client to read it and end the connection. */
const lingerMillis = 2000

/** An HTTP/1.1 response by hand, since an upgrade has no response object. */
const response = ({ headers, reason, status }: OpeningHandshake.Refusal): string => {
  const body = `${reason}\n`
  const lines = Object.entries({
    connection: "close",
    ...headers,
    "content-type": "text/plain; charset=utf-8",
    "content-length": Buffer.byteLength(body)
  }).map(([name, value]) => `${name}: ${value}\r\n`)
  return `HTTP/1.1 ${status} ${NodeHttp.STATUS_CODES[status] ?? "Refused"}\r\n${lines.join("")}\r\n${body}`
}

/** Sends a refusal, and destroys the connection when the client has ended it, or after a while. */
const refuse = (socket: Duplex, why: OpeningHandshake.Refusal): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (socket.destroyed) return resume(Effect.void)
    const done = () => {
      clearTimeout(timer)
      socket.destroy()
      resume(Effect.void)
    }
    const timer = setTimeout(done, lingerMillis)
    socket.on("error", done).on("end", done).on("close", done)
    socket.end(response(why))
    socket.resume()
    return Effect.sync(done)
  })

/** Until a reader listens, an error of a socket must find someone. */
const ignoreError = () => {}

/** One request to upgrade. It lives as long as the connection, and so holds no more than it needs. */
class NodeUpgrade implements Upgrade {
  readonly request: OpeningHandshake.Request
  private readonly socket: Duplex
  private head: Uint8Array | undefined

  /** Ends the handler, if the client goes away before it is answered. */
  private interrupt: (() => void) | undefined

  constructor(request: OpeningHandshake.Request, socket: Duplex, head: Uint8Array) {
    this.request = request
    this.socket = socket
    this.head = head.length === 0 ? undefined : head
  }

  whenGone(interrupt: () => void): void {
    if (this.socket.destroyed) return interrupt()
    this.interrupt = interrupt
    this.socket.once("close", interrupt)
  }

  private answered(): void {
    if (this.interrupt !== undefined) this.socket.off("close", this.interrupt)
    this.interrupt = undefined
  }

  get remoteAddress(): string | undefined {
    return this.socket instanceof Net.Socket ? this.socket.remoteAddress : undefined
  }

  refuse(why: OpeningHandshake.Refusal): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.answered()
      return refuse(this.socket, why)
    })
  }

  accept(acceptance: OpeningHandshake.Acceptance): Effect.Effect<Socket.Socket, Socket.SocketError> {
    return Effect.suspend(() => {
      const { head, socket } = this
      if (socket.destroyed) return Effect.fail(socketClosed)
      const accept = NodeCrypto.hash("sha1", OpeningHandshake.acceptInput(acceptance.key), "base64")
      let text = `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n`
      for (const name in acceptance.headers) text += `${name}: ${acceptance.headers[name]}\r\n`
      socket.write(`${text}\r\n`)
      this.answered()
      this.head = undefined
      return Effect.succeed(NodeSocket.fromDuplex(socket, head))
    })
  }
}

const socketClosed = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1006 }) })

/** Whether a header came more than once; Node keeps only the first of some. */
const isDoubled = (name: string, rawHeaders: ReadonlyArray<string>): boolean => {
  let seen = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === name.length && rawHeaders[i]!.toLowerCase() === name) seen++
  }
  return seen > 1
}

const toRequest = (request: NodeHttp.IncomingMessage): OpeningHandshake.Request => {
  const headers: Record<string, string> = {}
  for (const name in request.headers) {
    const value = request.headers[name]
    if (value !== undefined) headers[name] = typeof value === "string" ? value : value.join(", ")
  }
  return new OpeningHandshake.Request({
    method: request.method ?? "",
    target: request.url ?? "",
    httpVersion: request.httpVersion,
    headers
  })
}

const isWebSocketUpgrade = (request: NodeHttp.IncomingMessage): boolean =>
  /(^|,)\s*websocket\s*(,|$)/i.test(request.headers.upgrade ?? "")

/** The reasons of `clientError` that are limits, and their answers. Everything else is not HTTP: 400. */
const clientErrors: Record<string, readonly [limit: string, OpeningHandshake.Refusal]> = {
  HPE_HEADER_OVERFLOW: ["maxHeaderSize", refusal(431, "The head of the request is too large.")],
  ERR_HTTP_REQUEST_TIMEOUT: ["handshakeTimeout", refusal(408, "The request did not come in time.")]
}
const notHttp = refusal(400, "What came is not HTTP.")

const addressOf = (options: Options): string => {
  const host = options.host ?? "127.0.0.1"
  return `${host.includes(":") ? `[${host}]` : host}:${options.port}`
}

/**
 * Starts to listen; the listener and its connections end with the scope. The second service is the HTTP server on the same
 * port.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<
  { readonly listener: UpgradeListener["Service"]; readonly http: HttpServer.HttpServer["Service"] },
  ListenError,
  Scope.Scope
> {
  // to Node 0 would mean no limit
  const timeout = Math.max(1, Math.ceil(Duration.toMillis(options.handshakeTimeout ?? "10 seconds")))
  const maxHeaders = options.maxHeaders ?? 100
  const scope = yield* Effect.scope
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  /** Refusals and other short work outside of a handler. */
  const background = (self: Effect.Effect<void>) => void Fiber.runIn(scope)(runFork(self))

  const server = NodeHttp.createServer({
    maxHeaderSize: options.maxHeaderSize ?? 16 * 1024,
    // the missing and the doubled Host header are ours to answer
    requireHostHeader: false,
    // 0 means no timeout to Node
    headersTimeout: timeout === Infinity ? 0 : timeout,
    requestTimeout: timeout === Infinity ? 0 : Math.max(timeout, 300_000),
    connectionsCheckingInterval: Math.ceil(Math.max(20, Math.min(1000, timeout / 4))),
    noDelay: true,
    shouldUpgradeCallback: isWebSocketUpgrade
  })
  server.maxHeadersCount = maxHeaders + 1

  let onUpgrade: ((upgrade: NodeUpgrade) => void) | undefined
  /** The answer that a connection waits for: a client may send its next request before it has come. */
  const answering = new WeakMap<Duplex, NodeHttp.ServerResponse>()

  /** What is wrong with a head before anybody looks at what it asks for. */
  const fault = (request: NodeHttp.IncomingMessage): OpeningHandshake.Refusal | undefined => {
    if (request.rawHeaders.length / 2 > maxHeaders) {
      background(Telemetry.limitHit("maxHeaders"))
      return refusal(431, `The request has more than ${maxHeaders} header lines.`)
    }
    // RFC 9112 section 3.2
    if (isDoubled("host", request.rawHeaders)) return refusal(400, "The Host header came more than once.")
    return undefined
  }

  const countRefusal = (why: OpeningHandshake.Refusal) => Metric.update(Telemetry.refusals, String(why.status))

  const upgrade = (request: NodeHttp.IncomingMessage, socket: Duplex, head: Uint8Array): void => {
    const why = isWebSocketUpgrade(request)
      ? fault(request)
      : refusal(426, "This address speaks WebSocket and no other upgrade.")
    if (why !== undefined || onUpgrade === undefined) {
      const answer = why ?? unavailable
      background(Effect.andThen(countRefusal(answer), refuse(socket, answer)))
      return
    }
    onUpgrade(new NodeUpgrade(toRequest(request), socket, head))
  }
  server.on("upgrade", (request, socket, head) => {
    // node:http has let go of it
    socket.on("error", ignoreError)
    const before = answering.get(socket)
    if (before === undefined) return upgrade(request, socket, head)
    before.once("close", () => upgrade(request, socket, head))
  })

  server.on("clientError", (error: NodeJS.ErrnoException, socket) => {
    if (socket.destroyed || !socket.writable || error.code === "ECONNRESET") {
      socket.destroy()
      return
    }
    const [limit, why] = clientErrors[error.code ?? ""] ?? [undefined, notHttp]
    background(
      Effect.andThen(
        limit === undefined ? countRefusal(why) : Effect.andThen(Telemetry.limitHit(limit), countRefusal(why)),
        refuse(socket, why)
      )
    )
  })

  const answerPlain = (request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse) => {
    const why =
      fault(request) ??
      Result.match(OpeningHandshake.negotiate(toRequest(request)), {
        onFailure: (why) => why,
        onSuccess: () => unavailable
      })
    background(countRefusal(why))
    request.resume()
    const body = `${why.reason}\n`
    response.writeHead(why.status, {
      ...why.headers,
      connection: "close",
      "content-type": "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(body)
    })
    response.end(request.method === "HEAD" ? undefined : body)
  }
  let onRequest: NodeHttp.RequestListener = answerPlain
  server.on("request", (request, response) => {
    const { socket } = request
    answering.set(socket, response)
    response.once("close", () => {
      if (answering.get(socket) === response) answering.delete(socket)
    })
    const isUpgrade = isWebSocketUpgrade(request)
    if (isUpgrade || fault(request) !== undefined) answerPlain(request, response)
    else onRequest(request, response)
  })

  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      server.close(() => resume(Effect.void))
      // what is left are HTTP connections: WebSockets ended with `run`, and refusals with the scope
      server.closeAllConnections()
    })
  )
  yield* Effect.callback<void, ListenError>((resume) => {
    const onError = (cause: NodeJS.ErrnoException) =>
      resume(Effect.fail(new ListenError({ address: addressOf(options), code: cause.code ?? "unknown", cause })))
    server.once("error", onError)
    try {
      server.listen({ host: options.host ?? "127.0.0.1", port: options.port, backlog: options.backlog }, () => {
        server.off("error", onError)
        resume(Effect.void)
      })
    } catch (cause) {
      // a port that is none is thrown and not emitted
      onError(cause instanceof Error ? cause : new Error(String(cause)))
    }
  })

  const bound = server.address()
  const address =
    bound === null || typeof bound === "string"
      ? NetAddress.unixPathAddress(bound ?? "")
      : yield* Effect.orDie(Effect.fromResult(NetAddress.inetAddressFromIpString(bound.address, bound.port)))

  const listener: UpgradeListener["Service"] = {
    address,
    run: Effect.fnUntraced(function* <R>(handler: (upgrade: Upgrade) => Effect.Effect<unknown, unknown, R>) {
      const connections = yield* FiberSet.make()
      const fork = Effect.runForkWith(yield* Effect.context<R>())
      const previous = onUpgrade
      onUpgrade = (upgrade) => {
        const fiber = fork(handler(upgrade))
        FiberSet.addUnsafe(connections, fiber)
        if (fiber.pollUnsafe() === undefined) upgrade.whenGone(() => fiber.interruptUnsafe())
      }
      const drain = FiberSet.awaitEmpty(connections).pipe(
        Effect.interruptible,
        Effect.timeoutOption(options.drainTimeout ?? 0)
      )
      return yield* Effect.never.pipe(
        Effect.onExit(() => {
          onUpgrade = previous
          return drain
        })
      )
    }, Effect.scoped)
  }

  const http = HttpServer.make({
    address,
    serve: Effect.fnUntraced(function* (httpApp, middleware) {
      const serveScope = yield* Effect.scope
      const handler = yield* NodeHttpServer.makeHandler(httpApp, { middleware, scope: Scope.forkUnsafe(serveScope) })
      const previous = onRequest
      onRequest = handler
      yield* Effect.addFinalizer(() => Effect.sync(() => void (onRequest = previous)))
    })
  })
  return { listener, http }
})
