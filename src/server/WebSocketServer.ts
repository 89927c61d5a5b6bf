/**
 * The WebSocket server: opening handshakes from an {@link UpgradeListener}, decided by a policy and by the application, and a
 * scoped connection for each that is accepted.
 *
 * **Example** (An echo server)
 *
 * ```ts
 * import { NodeRuntime } from "@effect/platform-node"
 * import { WebSocketServer } from "effect-websocket"
 * import { NodeWebSocketServer } from "effect-websocket/node"
 * import { Layer, Stream } from "effect"
 *
 * const Echo = WebSocketServer.layerHandler((socket) =>
 *   Stream.runForEachArray(socket.messages, (batch) => socket.sendAll(batch))
 * )
 *
 * Echo.pipe(Layer.provide(NodeWebSocketServer.layer({ port: 8080 })), Layer.launch, NodeRuntime.runMain)
 * ```
 *
 * @since 0.1.0
 */
import * as Cause from "effect/Cause"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as NetAddress from "effect/net/NetAddress"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import * as SocketServer from "effect/socket/SocketServer"
import * as Deflate from "../connection/Deflate.ts"
import * as KeepAlive from "../connection/KeepAlive.ts"
import * as Limits from "../connection/Limits.ts"
import * as Telemetry from "../connection/Telemetry.ts"
import { parkedOf } from "../connection/internal/flow.ts"
import { wrong } from "../protocol/internal/option.ts"
import type * as WebSocket from "../connection/WebSocket.ts"
import { WebSocketError } from "../connection/WebSocketError.ts"
import * as OpeningHandshake from "../protocol/OpeningHandshake.ts"
import * as Origin from "../protocol/Origin.ts"
import * as PerMessageDeflate from "../protocol/PerMessageDeflate.ts"
import { isToken } from "../protocol/internal/token.ts"
import { AccessLog } from "./AccessLog.ts"
import * as AccessPolicy from "./AccessPolicy.ts"
import * as Admission from "./Admission.ts"
import * as Credentials from "./Credentials.ts"
import type { Denial } from "./Denial.ts"
import { AccessRecord, RecordedUpgrade } from "./internal/accessRecord.ts"
import { internalError, shuttingDown, undecided } from "./internal/refusals.ts"
import { Opening } from "./internal/opening.ts"
import { type House, Visit } from "./internal/visit.ts"
import * as Judge from "./Judge.ts"
import type { OpenRequest } from "./OpenRequest.ts"
import { type Scheme, type Upgrade, UpgradeListener } from "./UpgradeListener.ts"

/**
 * What a server accepts and how much of it. Every field has a safe default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends OpeningHandshake.Policy, Limits.Options, Admission.Options, Judge.Options {
  /** Who may connect, in addition to `origin`. What it finds out about a client is `OpenRequest.identity`. Default: everyone. */
  readonly access?: AccessPolicy.Policy | undefined
  /** The counts of `Admission.Options`, if the listener has them already: both then count together. */
  readonly admission?: Admission.Admission | undefined
}

/**
 * The server.
 *
 * - `run` gives each accepted connection to the handler, in a fiber and scope of its own. When the handler ends, so does the
 *   connection: 1000 after success, 1011 after a failure (which is logged), 1001 when `run` is interrupted.
 * - `runRequests` gives each request to the handler before it is answered: see {@link OpenRequest}.
 *
 * Both run until they are interrupted, or the scope of the listener ends, and then wait until all connections are closed. If several
 * run at a time, the one that began last gets the new connections.
 *
 * @category services
 * @since 0.1.0
 */
export class WebSocketServer extends Context.Service<
  WebSocketServer,
  {
    readonly address: NetAddress.SocketAddress
    /** What is spoken there, the better one first. */
    readonly schemes: ReadonlyArray<Scheme>
    /** Takes no more connections; those that are open go on. */
    readonly stop: Effect.Effect<void>
    readonly run: <R, E, _>(
      handler: (webSocket: WebSocket.WebSocket, request: OpeningHandshake.Request) => Effect.Effect<_, E, R>
    ) => Effect.Effect<never, never, Exclude<R, Scope.Scope>>
    readonly runRequests: <R, E, _>(
      handler: (open: OpenRequest) => Effect.Effect<_, E | OpeningHandshake.Refusal, R>
    ) => Effect.Effect<never, never, Exclude<R, Scope.Scope>>
    /** How many connections are open or opening. */
    readonly connections: Effect.Effect<number>
  }
>()("effect-websocket/server/WebSocketServer") {}

/** What nobody could ask for, or come from, is a slip of the pen. */
const checkPolicy = ({ origin, subprotocols }: OpeningHandshake.Policy): void => {
  const stray =
    subprotocols === undefined || subprotocols === "first" ? undefined : subprotocols.find((name) => !isToken(name))
  if (stray !== undefined) throw wrong("subprotocols", "names without blanks or commas", stray)
  if (origin === undefined || origin === "any" || origin === "same-origin" || Array.isArray(origin)) return
  throw wrong("origin", '"same-origin", "any" or a list of origins', origin)
}

const handlerFailed = "A WebSocket handler failed"

/**
 * An invalid option, such as a negative duration, is a defect that names it. A `Zlib` and an `AccessLog` are used if they are in
 * the context.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<WebSocketServer["Service"], never, UpgradeListener | Scope.Scope> {
  const listener = yield* UpgradeListener
  const zlib = yield* Effect.serviceOption(Deflate.Zlib)
  const log = Option.getOrUndefined(yield* Effect.serviceOption(AccessLog))
  checkPolicy(options)
  const limits = Limits.make(options)
  const keepAlive = yield* KeepAlive.make(limits)
  const admission = options.admission ?? (yield* Admission.make(options))
  const judge = yield* Judge.make(options)
  // compression needs an implementation, and is not agreed on without one
  const wanted = PerMessageDeflate.wanted(options.compression)
  const compression = Option.isSome(zlib) ? wanted : undefined
  // the page is asked about with all else, when the limits are known to be kept
  const policy: OpeningHandshake.Policy = { subprotocols: options.subprotocols, compression, origin: "any" }
  const pages = options.origin ?? "same-origin"
  const tokenProtocols = options.access?.tokenProtocols ?? []
  const access =
    options.access === undefined
      ? AccessPolicy.origin(pages)
      : AccessPolicy.allOf(AccessPolicy.origin(pages), options.access)
  // nobody has to be asked about a client that only its page could keep out, and that is allowed
  const isOpen = (upgrade: Upgrade): boolean =>
    options.access === undefined && Origin.isAllowed(upgrade.request.headers, pages)

  const house: House = {
    handled: (visit, handling) => handled(visit, handling),
    role: "server",
    limits,
    clock: yield* Clock.Clock,
    keepAlive,
    admission,
    codec: (agreement) =>
      agreement === undefined || Option.isNone(zlib) || compression === undefined
        ? undefined
        : Deflate.make({ zlib: zlib.value, role: "server", agreement, policy: compression })
  }

  const sayNo = (upgrade: Upgrade, refusal: OpeningHandshake.Refusal): Effect.Effect<void> =>
    Effect.andThen(Metric.update(Telemetry.refusals, String(refusal.status)), upgrade.refuse(refusal))

  /** Says no, for a reason that is the client's or ours; what cannot be said, such as a header of two lines, is a defect. */
  const refuse = (upgrade: Upgrade, refusal: OpeningHandshake.Refusal): Effect.Effect<void> =>
    Effect.catchDefect(sayNo(upgrade, refusal), (defect) =>
      Effect.andThen(
        Effect.logError("A refusal could not be sent", Cause.die(defect)),
        refusal === internalError ? Effect.void : sayNo(upgrade, internalError)
      )
    )

  const turnAway = (upgrade: Upgrade, denial: Denial): Effect.Effect<void> =>
    Effect.flatMap(judge.refuse(denial, upgrade), (refusal) => refuse(upgrade, refusal))

  /** Logs what is a failure of ours, and answers what is not answered yet. */
  const conclude = (visit: Visit, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
    const { opening } = visit
    if (Exit.isSuccess(exit)) return opening === undefined ? Effect.void : refuse(opening.upgrade, undecided)
    const failure = Option.getOrUndefined(Cause.findErrorOption(exit.cause))
    if (opening === undefined) {
      // a fault of the peer is no failure of ours, and it was told
      if (failure instanceof WebSocketError && failure.reason._tag !== "InvalidUsage")
        return Effect.logDebug(`A connection ended: ${failure.message}`)
      return Cause.hasInterruptsOnly(exit.cause) ? Effect.void : Effect.logError(handlerFailed, exit.cause)
    }
    const { upgrade } = opening
    if (failure instanceof OpeningHandshake.Refusal) return refuse(upgrade, failure)
    const isInterrupted = Cause.hasInterruptsOnly(exit.cause)
    if (opening.isGone || (isInterrupted && upgrade.isGone === true)) {
      return Effect.logDebug("A client went away before it was answered")
    }
    if (isInterrupted) return refuse(upgrade, shuttingDown)
    return Effect.andThen(Effect.logError(handlerFailed, exit.cause), refuse(upgrade, internalError))
  }

  // what a connection closes over lives as long, so that each function here has only what it needs to the end

  /** The whole of a visit from here on. The handler's scope ends before the connection does. */
  const handled = <A, E, R>(visit: Visit, handling: Effect.Effect<A, E, R>): Effect.Effect<A, E, R> =>
    Effect.onExit(handling, (exit) => {
      if (visit.goesOn(exit)) return Effect.void
      const closing = visit.close(exit)
      return closing === undefined ? leave(visit, exit) : leaveBehind(closing, visit, exit)
    })

  const leave = (visit: Visit, exit: Exit.Exit<unknown, unknown>): Effect.Effect<void> => {
    const left = Effect.andThen(visit.leave(exit), conclude(visit, exit))
    const { record } = visit
    return record === undefined
      ? left
      : Effect.ensuring(
          left,
          Effect.suspend(() => record.over(visit.ended))
        )
  }

  /** What fails at the end of a handler, such as of its scope, has failed with it; if it has failed already, both are told. */
  const leaveBehind = (closing: Effect.Effect<void>, visit: Visit, exit: Exit.Exit<unknown, unknown>) =>
    Effect.flatMap(Effect.exit(closing), (closed) => {
      if (Exit.isSuccess(closed)) return leave(visit, exit)
      if (Exit.isSuccess(exit)) return leave(visit, closed)
      return Effect.andThen(
        Effect.logError("The scope of a WebSocket handler could not be closed", closed.cause),
        leave(visit, exit)
      )
    })

  const visits = <A, E, R>(
    handler: (opening: Opening, visit: Visit) => Effect.Effect<A, E, R>
  ): Effect.Effect<never, never, R> => {
    const judged = (opening: Opening, visit: Visit) =>
      Effect.flatMap(judge.judge(access, opening.upgrade), (identity) => {
        opening.identity = identity
        visit.record?.identified(identity)
        return handler(opening, visit)
      })
    // a fiber keeps what it was made of, and so this is not made of the request
    const begun = (visit: Visit) =>
      Effect.suspend(() => {
        const opening = visit.opening!
        return isOpen(opening.upgrade) ? handler(opening, visit) : judged(opening, visit)
      })
    return listener.run((asked, keeper) => {
      const record = log && new AccessRecord(log, house.clock, asked)
      const upgrade = record === undefined ? asked : new RecordedUpgrade(asked, record)
      const tokenless = Credentials.withoutTokens(upgrade.request, tokenProtocols)
      const acceptance = OpeningHandshake.negotiate(tokenless.request, policy)
      if (Result.isFailure(acceptance)) return refuse(upgrade, acceptance.failure)
      const visit = new Visit(house, keeper, record)
      visit.opening = new Opening(visit, upgrade, acceptance.success, tokenless)
      const denial = admission.enter(visit)
      if (denial !== undefined) return Effect.andThen(Telemetry.limitHit(denial.kind), turnAway(upgrade, denial))
      return handled(visit, begun(visit))
    })
  }

  return {
    address: listener.address,
    schemes: listener.schemes ?? ["ws"],
    stop: listener.stop,
    connections: Effect.sync(admission.size),
    runRequests: (handler) => visits((opening, visit) => visit.scoped(() => visit.handles(handler(opening)))),
    run: (handler) =>
      visits((opening, visit) =>
        Effect.flatMap(opening.accept, (webSocket) => {
          const handling = handler(webSocket, opening.request)
          return visit.stay(() => parkedOf(handling)) ?? visit.scoped(() => handling)
        })
      )
  }
})

/**
 * The server over a listener. For Node there is `NodeWebSocketServer.layer`, which brings one.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<WebSocketServer, never, UpgradeListener> =>
  Layer.effect(WebSocketServer)(make(options))

/**
 * Runs a handler for each connection for as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerHandler = <R, E, _>(
  handler: (webSocket: WebSocket.WebSocket, request: OpeningHandshake.Request) => Effect.Effect<_, E, R>
): Layer.Layer<never, never, WebSocketServer | Exclude<R, Scope.Scope>> =>
  Layer.effectDiscard(Effect.forkScoped(WebSocketServer.use((server) => server.run(handler))))

/**
 * Runs a handler for each request to open a connection, before it is answered, for as long as the layer lives.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerRequests = <R, E, _>(
  handler: (open: OpenRequest) => Effect.Effect<_, E | OpeningHandshake.Refusal, R>
): Layer.Layer<never, never, WebSocketServer | Exclude<R, Scope.Scope>> =>
  Layer.effectDiscard(Effect.forkScoped(WebSocketServer.use((server) => server.runRequests(handler))))

/**
 * Logs the address once the server listens.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLogAddress: Layer.Layer<never, never, WebSocketServer> = Layer.effectDiscard(
  WebSocketServer.use(({ address, schemes }) =>
    Effect.logInfo(
      `Listening on ${schemes.map((scheme) => `${scheme}://${NetAddress.formatSocketAddress(address)}`).join(" and ")}`
    )
  )
)

/**
 * effect's own `SocketServer`, whose sockets are the WebSocket connections and whose chunks are messages: `effect/rpc` and
 * whatever else takes a `SocketServer` runs on it unchanged.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerSocketServer: Layer.Layer<SocketServer.SocketServer, never, WebSocketServer> = Layer.effect(
  SocketServer.SocketServer
)(
  Effect.map(WebSocketServer, (server) =>
    SocketServer.SocketServer.of({
      address: server.address,
      run: <R, E, _>(handler: (socket: Socket.Socket) => Effect.Effect<_, E, R>) =>
        // the handler's own need of a Scope is met by the connection's, as every SocketServer does
        server.run((webSocket) => handler(webSocket.socket)) as Effect.Effect<never, never, R>
    })
  )
)
