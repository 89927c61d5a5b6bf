/**
 * effect's `SocketServer` over `node:net`, for byte streams that go through pipes: a port, a unix socket, or a socket that was given,
 * whose connections are read by `NodeSocket`, so that their memory is freed with its last use and their two sides end by themselves.
 *
 * A connection lasts as long as its handler runs. Interrupting `run` interrupts the handlers and waits for them. Connections that
 * come meanwhile are reset, as are those beyond the limit. Connections that come while nothing runs wait, unread.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { SocketServer } from "effect/socket/SocketServer"
import * as Net from "node:net"
import { number } from "../protocol/internal/option.ts"
import { keptOf } from "../connection/internal/keeper.ts"
import { type Member, Roster } from "../connection/internal/roster.ts"
import type { ListenError } from "../server/UpgradeListener.ts"
import * as Keeping from "./internal/keeping.ts"
import { Latest } from "./internal/latest.ts"
import * as Listen from "./internal/listen.ts"
import { reset } from "./internal/reset.ts"
import * as NodeSocket from "./NodeSocket.ts"

/**
 * Where to listen. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** An IP address or the name of one. Default: `127.0.0.1`, which only this machine reaches. */
  readonly host?: string | undefined
  /** Default: 0, which has the system choose one. */
  readonly port?: number | undefined
  /** A unix socket in place of host and port; `mode` says who may connect, and is `0o600` by default. */
  readonly unix?: { readonly path: string; readonly mode?: number | undefined } | undefined
  /** A socket that listens already, in place of all that: its file descriptor. */
  readonly descriptor?: number | undefined
  /** How many connections the system keeps that were not taken yet. Default: 511. */
  readonly backlog?: number | undefined
  /** Whether IPv4 is left out where `host` is `::`. Default: `false`. */
  readonly ipv6Only?: boolean | undefined
  /** The most connections at a time, those that wait included. Default: 10,000. */
  readonly maxConnections?: number | undefined
}

/** A connection. */
interface Guest extends Member {
  readonly socket: Net.Socket
  /** Nothing has run since it came. */
  isWaiting: boolean
}

const guestOf = Symbol("effect-websocket/guest")

/** A socket that has its guest, so that one listener serves all. */
interface Received extends Net.Socket {
  [guestOf]?: Guest
}

/**
 * Starts to listen, until the scope ends.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<SocketServer["Service"], ListenError, Scope.Scope> {
  const maxConnections = number("maxConnections", options.maxConnections, 10_000)
  const handlers = new Latest<(socket: Net.Socket) => void>()
  const open = new Roster<Guest>()
  let isEnding = false
  function onClose(this: Received): void {
    // it has had one from its first moment
    open.delete(this[guestOf]!)
  }
  const server = Net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket: Received) => {
    if (open.size >= maxConnections || isEnding) return reset(socket)
    const { current } = handlers
    const guest: Guest = { socket, isWaiting: current === undefined, place: -1 }
    open.add(guest)
    socket[guestOf] = guest
    socket.on("close", onClose)
    // until it is read, an error must find someone
    socket.on("error", constVoid)
    current?.(socket)
  })
  yield* Effect.addFinalizer(() =>
    Effect.callback<void>((resume) => {
      server.close(() => resume(Effect.void))
      for (const { socket } of open) socket.destroy()
    })
  )
  const address = yield* Listen.open(server, options)
  const serve = Effect.fnUntraced(function* <R, E, _>(handler: (socket: Socket.Socket) => Effect.Effect<_, E, R>) {
    const handlings = yield* Keeping.make<R>()
    const kept = keptOf(handler)
    const handle = (socket: Net.Socket) =>
      kept === undefined
        ? Effect.suspend(() => handler(NodeSocket.fromDuplex(socket))).pipe(
            Effect.ignoreCause({ log: "Error", message: "A handler of a connection failed" }),
            Effect.ensuring(Effect.sync(() => void socket.destroy()))
          )
        : Effect.suspend(() => kept(NodeSocket.fromDuplex(socket), handlings))
    const leave = handlers.add((socket) => void handlings.run(handle(socket)))
    // from now on, until all handlers have ended
    yield* Effect.addFinalizer(() =>
      Effect.sync(() => {
        leave()
        isEnding = handlers.current === undefined
      })
    )
    for (const guest of open) {
      if (!guest.isWaiting) continue
      guest.isWaiting = false
      handlings.run(handle(guest.socket))
    }
    return yield* Effect.never
  }, Effect.scoped)
  return {
    address,
    run: (handler) =>
      Effect.ensuring(
        serve(handler),
        Effect.sync(() => void (isEnding = false))
      )
  }
})

/**
 * {@link make} as a layer. It fails if the address cannot be listened on.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<SocketServer, ListenError> =>
  Layer.effect(SocketServer)(make(options))
