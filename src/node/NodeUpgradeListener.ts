/**
 * The {@link UpgradeListener} over `node:http`, which parses all heads except those of usual opening handshakes, and over
 * `node:http2` if that is to be spoken. Other requests go to an HTTP application on the same port. Without one, they are answered that
 * this address speaks WebSocket (426, over HTTP/2 405).
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { constVoid } from "effect/Function"
import type * as HttpServer from "effect/http/HttpServer"
import * as Latch from "effect/Latch"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Scope from "effect/Scope"
import * as NodeHttp from "node:http"
import type * as Net from "node:net"
import type { Duplex } from "node:stream"
import * as Telemetry from "../connection/Telemetry.ts"
import { duration, integer, number } from "../protocol/internal/option.ts"
import type * as AccessList from "../server/AccessList.ts"
import type { Admission } from "../server/Admission.ts"
import type * as ForwardedFor from "../server/ForwardedFor.ts"
import type { UpgradeListener } from "../server/UpgradeListener.ts"
import { type Keeper, ListenError, type Peer, type Upgrade } from "../server/UpgradeListener.ts"
import { type Application, Applications } from "./internal/applications.ts"
import { Answering } from "./internal/answering.ts"
import * as Door from "./internal/door.ts"
import { Entrance } from "./internal/entrance.ts"
import * as Forwarding from "./internal/forwarding.ts"
import { begun } from "./internal/begun.ts"
import * as Keeping from "./internal/keeping.ts"
import { Latest } from "./internal/latest.ts"
import * as Listen from "./internal/listen.ts"
import { mayUpgrade } from "./internal/mayUpgrade.ts"
import { Reception } from "./internal/reception.ts"
import { bodied, lateHead, otherUpgrade, Refusals, unexpected } from "./internal/refusals.ts"
import { setKeepAlive } from "./internal/tcpKeepAlive.ts"
import { hasBody, isWebSocketUpgrade, type Named, NodeUpgrade, toRequest, unavailable } from "./internal/upgrade.ts"
import type * as NodeHttp2 from "./NodeHttp2.ts"
import type * as NodeProxyProtocol from "./NodeProxyProtocol.ts"
import type * as NodeTls from "./NodeTls.ts"

/**
 * A unix socket to listen on. Connections that come over it have no address, so limits by address do not hold for them.
 *
 * @category models
 * @since 0.1.0
 */
export interface UnixSocket {
  /**
   * The path of the socket, at most 107 bytes. A socket at that path that nobody listens on is replaced; any other file is an
   * error. A path that begins with NUL is a name in Linux' abstract namespace, and not a file.
   */
  readonly path: string
  /** Who may connect: whoever may write. Default: `0o600`, the user alone. */
  readonly mode?: number | undefined
}

/**
 * Accepts connections in place of the listener, such as from another process that hands them over. `backlog`, `highWaterMark` and
 * the options for where to listen have no effect then.
 *
 * @category models
 * @since 0.1.0
 */
export interface Accepted {
  /** Where they are accepted. */
  readonly address: NetAddress.SocketAddress
  /**
   * Gives each new connection to `take`, neither paused nor read from, until the function that it returns is called. That may be
   * called more than once.
   */
  readonly connections: (take: (socket: Net.Socket) => void) => () => void
}

/**
 * Where to listen, and the limits of a request's head.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Default: `127.0.0.1`. */
  readonly host?: string | undefined
  /** Default: 0, which has the system choose one. */
  readonly port?: number | undefined
  /** Listens on a unix socket, and on no port. Default: none. */
  readonly unix?: UnixSocket | undefined
  /**
   * Takes connections from a socket that listens already, by its file descriptor, as a service manager hands one over (systemd's
   * first is 3, inetd's is 0), and listens nowhere else. Default: none.
   */
  readonly descriptor?: number | undefined
  /** Serves connections that somebody else accepts, and listens nowhere. Default: none. */
  readonly accepted?: Accepted | undefined
  /**
   * The whole head must have come within this time of the connection's beginning; 408. The steps before it (a header of the PROXY
   * protocol, the decision of `admit`, the TLS handshake) each have this time for themselves. If an upgrade is pipelined behind
   * other requests, or a client has ended its side, it is how long their answers may make no progress. Default: 10 seconds.
   */
  readonly handshakeTimeout?: Duration.Input | undefined
  /** The largest head in bytes, 1 to 2^31 - 1; 431. Default: 16 KiB. */
  readonly maxHeaderSize?: number | undefined
  /** The most header lines; 431. Default: 100. */
  readonly maxHeaders?: number | undefined
  /**
   * How long open connections may go on when the listener is to end; requests meanwhile get 503. Then the connections are closed
   * with 1001. Default: 0.
   */
  readonly drainTimeout?: Duration.Input | undefined
  /**
   * The most connections that may be here without having sent a request, those in a TLS handshake included; more are cut off without
   * an answer. Default: 10,000.
   */
  readonly maxPending?: number | undefined
  /** The length of the system's queue of connections that are not accepted yet. Default: 511. */
  readonly backlog?: number | undefined
  /** Whether an IPv6 address takes IPv6 alone, and not IPv4 in its mapped form. Default: `false`. */
  readonly ipv6Only?: boolean | undefined
  /** Whether other sockets may listen on the same port, and share its connections. Default: `false`. */
  readonly reusePort?: boolean | undefined
  /** Whether small writes are sent at once (TCP_NODELAY) or gathered by Nagle's algorithm. Default: `true`. */
  readonly noDelay?: boolean | undefined
  /**
   * TCP keep-alive: the idle time before its first probe, and the time between probes (which needs Node 26, the system has its
   * own otherwise); rounded up to whole seconds. Default: none, since WebSocket pings do more.
   */
  readonly keepAlive?:
    | { readonly time?: Duration.Input | undefined; readonly interval?: Duration.Input | undefined }
    | undefined
  /**
   * The bytes that are read ahead of each connection, and written ahead, before the other side waits; over TLS four times as many are
   * written ahead if the system takes them at once. 1 to 2^31 - 1. Default: 64 KiB.
   */
  readonly highWaterMark?: number | undefined
  /** Load balancers that are believed about the client's address, in the PROXY protocol. Default: none. */
  readonly proxyProtocol?: NodeProxyProtocol.Accepting | undefined
  /**
   * Reverse proxies that are believed about the client's address, in a header of the request. `clients` and `admission` then
   * apply to that address, when the request has come; `admit` still gets the proxy's connection. Default: none.
   */
  readonly forwarded?: ForwardedFor.Options | undefined
  /**
   * Who may connect, by address, before anything is read of a connection but a header of the PROXY protocol; names in the lists
   * are looked up. Others get 403, or with TLS no answer. Default: everyone.
   */
  readonly clients?: AccessList.Policy | undefined
  /**
   * Counts connections before anything is read of them; those beyond its limits get 429 or 503, or with TLS no answer. For a
   * listener whose connections are all WebSockets: `NodeWebSocketServer.layer` sets it. Default: requests are counted.
   */
  readonly admission?: Admission | undefined
  /**
   * Decides about a connection before anything is read of it but a header of the PROXY protocol; it is cut off if this is `false` or
   * fails. Default: all.
   */
  readonly admit?: ((peer: Peer) => Effect.Effect<boolean>) | undefined
  /** Speaks TLS, and so `wss`. Default: plain `ws`. */
  readonly tls?: NodeTls.Options | undefined
  /** Speaks HTTP/2 as well, so that several WebSockets may share a connection: `true` is for the defaults. Default: `false`. */
  readonly http2?: NodeHttp2.Options | boolean | undefined
  /** Whether requests keep their headers as they came (`Request.rawHeaders`). Default: `false`, to save memory. */
  readonly keepRawHeaders?: boolean | undefined
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
  const timeout = Math.max(1, Math.ceil(duration("handshakeTimeout", options.handshakeTimeout, "10 seconds")))
  const drainTimeout = duration("drainTimeout", options.drainTimeout, 0)
  const maxHeaders = integer("maxHeaders", options.maxHeaders, 100)
  const maxPending = integer("maxPending", options.maxPending, 10_000, [1, Infinity])
  const maxHeaderSize = integer("maxHeaderSize", options.maxHeaderSize, 16 * 1024, [1, 0x7fffffff])
  const highWaterMark = integer("highWaterMark", options.highWaterMark, undefined, [1, 0x7fffffff])
  const { keepRawHeaders = false } = options
  const checkMillis = Math.ceil(Math.max(20, Math.min(1000, timeout / 4)))
  const scope = yield* Effect.scope
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  /** Refusals and other short work outside of a handler. */
  const background = (self: Effect.Effect<void>) => void Fiber.runIn(scope)(runFork(self))
  const answering = new Answering({ timeout, onLate: () => background(Telemetry.limitHit("handshakeTimeout")) })
  const refusals = new Refusals(maxHeaders, answering, background)

  const server = NodeHttp.createServer({
    maxHeaderSize,
    // the missing and the doubled Host header are ours to answer
    requireHostHeader: false,
    // 0 means no timeout to Node
    headersTimeout: timeout === Infinity ? 0 : timeout,
    requestTimeout: timeout === Infinity ? 0 : Math.max(timeout, 300_000),
    connectionsCheckingInterval: checkMillis,
    noDelay: options.noDelay ?? true,
    ...(highWaterMark === undefined ? {} : { highWaterMark }),
    // one with a body is refused; behind other answers node:http itself is to read that body
    ...mayUpgrade(
      (request) => isWebSocketUpgrade(request) && !(hasBody(request) && answering.last(request.socket) !== undefined)
    )
  })
  server.maxHeadersCount = maxHeaders + 1

  const handlers = new Latest<(upgrade: NodeUpgrade) => void>()

  /** A request to upgrade to WebSocket whose head is well. */
  const takeUpgrade = (upgrade: NodeUpgrade): void => {
    const come = (named?: Named) => {
      const { current } = handlers
      if (current === undefined) return refusals.turnBack(upgrade, unavailable)
      upgrade.forwardedFor = named
      current(upgrade)
    }
    if (forwarding === undefined) return come()
    forwarding(upgrade.request, upgrade.socket, come, (why) => refusals.turnBack(upgrade, why))
  }

  const upgrade = (request: NodeHttp.IncomingMessage, socket: Duplex, head: Uint8Array): void => {
    const why = isWebSocketUpgrade(request)
      ? (refusals.fault(request) ?? (hasBody(request) ? bodied : undefined))
      : otherUpgrade
    if (why !== undefined) return refusals.turnAway(request.socket, why)
    takeUpgrade(new NodeUpgrade(toRequest(request, keepRawHeaders), socket, head))
  }
  /** Takes what `node:http` has let go of, when the answers in front of it have gone out. */
  const taking =
    (take: (request: NodeHttp.IncomingMessage, socket: Duplex, head: Uint8Array) => void) =>
    (request: NodeHttp.IncomingMessage, socket: Duplex, head: Uint8Array): void => {
      // if there is a body, what is given here is another stream, to which its errors go as well
      request.socket.on("error", constVoid)
      if (socket !== request.socket) socket.on("error", constVoid)
      reception.forget(request.socket)
      answering.follow(request.socket, () => take(request, socket, head))
    }
  server.on("upgrade", taking(upgrade))
  // it is handed out like an upgrade, but asks for what no server has but a proxy
  server.on(
    "connect",
    taking((request, socket) => refusals.turnAway(socket, refusals.fault(request) ?? refusals.whyPlain(request)))
  )

  const onClientError = (error: NodeJS.ErrnoException, socket: Duplex): void => {
    reception.forget(socket)
    refusals.clientError(error, socket)
  }
  server.on("clientError", onClientError)
  server.on("checkExpectation", (request, response) => {
    reception.forget(request.socket)
    answering.begin(response)
    refusals.answer(request, response, unexpected)
  })
  server.on("request", (request, response) => {
    const { socket } = request
    reception.forget(socket)
    answering.begin(response)
    const why = refusals.fault(request)
    if (why !== undefined) return refusals.answer(request, response, why)
    if (isWebSocketUpgrade(request)) return refusals.answerPlain(request, response)
    // with an upgrade that it does not take, node:http loses what came behind it: nothing may be awaited (RFC 9112 section 9.6)
    if (request.headers.upgrade !== undefined) response.shouldKeepAlive = false
    applications.take(
      request,
      socket,
      (application) =>
        application === undefined ? refusals.answerPlain(request, response) : application(request, response),
      (why) => refusals.answer(request, response, why)
    )
  })

  const http2 =
    options.http2 === undefined || options.http2 === false
      ? undefined
      : (yield* Effect.promise(() => import("./internal/http2.ts"))).make(options.http2 === true ? {} : options.http2, {
          maxHeaderSize,
          maxHeaders,
          keepRawHeaders,
          timeout,
          background,
          onFirst: (socket) => reception.forget(socket),
          onUpgrade: takeUpgrade,
          onRefused: (upgrade, why) => refusals.turnBack(upgrade, why),
          onRequest: (request, response, refuse) => {
            const take = (application?: Application) =>
              application === undefined ? refuse() : application(request, response)
            applications.take(request, request.stream, take, refuse)
          }
        })
  const { admit, keepAlive, proxyProtocol } = options
  number("proxyProtocol.maxHeaderSize", proxyProtocol?.maxHeaderSize, 0)
  const gate =
    options.tls === undefined
      ? undefined
      : yield* Effect.mapError(
          // what TLS takes is loaded where it is spoken
          (yield* Effect.promise(() => import("./internal/secure.ts"))).make(options.tls, {
            handshakeTimeout: timeout,
            highWaterMark,
            isHttp2: http2 !== undefined
          }),
          (cause) => new ListenError({ address: Listen.addressOf(options), code: "ERR_TLS_SETTINGS", cause })
        )
  const listeners = server.listeners("connection")
  const reception = new Reception({
    timeout,
    maxHeaderSize,
    maxHeaders,
    keepRawHeaders,
    http2,
    onUpgrade: (request, socket, rest) => takeUpgrade(new NodeUpgrade(request, socket, rest)),
    toHttp: (socket) => listeners.forEach((listener) => listener.call(server, socket)),
    onLate: (socket) => {
      if (http2?.end(socket) !== true) onClientError(lateHead, socket)
    }
  })
  if (timeout !== Infinity || http2 !== undefined) {
    // behind what came while the process did something else
    const look = () =>
      setImmediate(() => {
        reception.sweep()
        http2?.sweep()
      })
    yield* Effect.acquireRelease(
      Effect.sync(() => setInterval(look, checkMillis).unref()),
      (timer) => Effect.sync(() => clearInterval(timer))
    )
  }
  const { admission, clients, forwarded } = options
  const door = yield* Door.make(
    { admission, clients, forwarders: forwarded?.trusted, isPlain: gate === undefined },
    background
  )
  const forwarding = forwarded === undefined ? undefined : yield* Forwarding.make(forwarded, door, background)
  const applications = new Applications(forwarding, proxyProtocol !== undefined || forwarding !== undefined)
  const entrance = new Entrance(
    {
      proxyProtocol,
      door,
      admit,
      timeout,
      gate,
      serve: (stream) => reception.receive(stream)
    },
    runFork
  )
  server.removeAllListeners("connection")
  const isGuarded = proxyProtocol !== undefined || door !== undefined || admit !== undefined || gate !== undefined
  server.on("connection", (socket: Net.Socket) => {
    if (entrance.size + reception.size >= maxPending) {
      background(Telemetry.limitHit("maxPending"))
      return void socket.destroy()
    }
    return isGuarded ? entrance.enter(socket) : reception.receive(socket)
  })
  if (keepAlive !== undefined) {
    const time = duration("keepAlive.time", keepAlive.time, 0)
    const interval =
      keepAlive.interval === undefined ? undefined : duration("keepAlive.interval", keepAlive.interval, 0)
    server.prependListener("connection", (socket: Net.Socket) => setKeepAlive(socket, time, interval))
  }

  const ending = Latch.makeUnsafe(false)
  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      // whoever forked it may have it interrupted behind this scope alone, which waits for its connections
      ending.openUnsafe()
      server.close(() => resume(Effect.void))
      entrance.cut()
      reception.cut()
      answering.cut()
      http2?.cut()
      // what is left are HTTP connections: WebSockets ended with `run`, and refusals with the scope
      server.closeAllConnections()
    })
  )
  const { accepted } = options
  const address = accepted === undefined ? yield* Listen.open(server, options) : accepted.address
  const cease = accepted === undefined ? constVoid : Listen.serve(server, accepted.connections, options.noDelay ?? true)
  yield* Effect.addFinalizer(() => Effect.sync(cease))

  const listener: UpgradeListener["Service"] = {
    address,
    schemes: options.tls === undefined ? ["ws"] : options.tls.plaintext === true ? ["wss", "ws"] : ["wss"],
    stop: Effect.sync(() => {
      cease()
      // its callback would wait for the connections that go on
      server.close()
      entrance.cut()
      reception.cut()
      answering.cut()
      http2?.stop()
      server.closeAllConnections()
    }),
    run: Effect.fnUntraced(function* <R>(
      handler: (upgrade: Upgrade, keeper: Keeper<R>) => Effect.Effect<unknown, unknown, R>
    ) {
      const connections = yield* Keeping.make<R>()
      if (handlers.current !== undefined) {
        yield* Effect.logWarning("A second handler runs on one listener: it has all connections that come from now on")
      }
      const leave = handlers.add((upgrade) => {
        const fiber = connections.run(begun(() => handler(upgrade, connections), upgrade))
        if (fiber.pollUnsafe() === undefined) upgrade.whenGone(() => fiber.interruptUnsafe())
      })
      const drain = connections.empty.pipe(Effect.interruptible, Effect.timeoutOption(drainTimeout))
      return yield* Effect.andThen(ending.await, Effect.interrupt).pipe(
        Effect.onExit(() => {
          leave()
          return drain
        })
      )
    }, Effect.scoped)
  }

  return { listener, http: applications.http(address) }
})
