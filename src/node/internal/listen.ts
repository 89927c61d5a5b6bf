/**
 * Has a server listen, on a TCP port, on a unix socket or with a socket that it was given, or serve connections that somebody
 * else accepts. A file at the path is removed before only if it is a socket that nobody listens on any more, as a killed process
 * leaves one behind: no other file is touched, and no socket in use is taken away.
 */
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import { chmodSync, type Stats } from "node:fs"
import { lstat, unlink } from "node:fs/promises"
import type * as NodeHttp from "node:http"
import * as Net from "node:net"
import { isMainThread } from "node:worker_threads"
import { authority } from "../../protocol/internal/authority.ts"
import { wrong } from "../../protocol/internal/option.ts"
import { ListenError } from "../../server/UpgradeListener.ts"
import { codeOf } from "./codeOf.ts"
import { isTooLongToListen } from "./unixPath.ts"

export interface UnixPath {
  readonly path: string
  readonly mode: number
  readonly backlog?: number | undefined
}

/** The path as errors tell it. */
const format = (path: string): string => `unix:${path.replace("\0", "@")}`

const failed = (address: string, cause: unknown, code = codeOf(cause)) => new ListenError({ address, code, cause })

/** What is at a path, if something is. */
const look = (path: string): Effect.Effect<Stats | undefined, ListenError> =>
  Effect.catch(
    Effect.tryPromise({ try: () => lstat(path), catch: (cause) => failed(format(path), cause) }),
    (error): Effect.Effect<undefined, ListenError> =>
      error.code === "ENOENT" ? Effect.succeed(undefined) : Effect.fail(error)
  )

/** Why a socket cannot be connected to, or `undefined` if it can. One that takes too long to answer counts as in use. */
const knock = (path: string): Effect.Effect<string | undefined> =>
  Effect.callback<string | undefined>((resume) => {
    const socket = Net.connect({ path })
    socket.once("connect", () => {
      socket.destroy()
      resume(Effect.succeed(undefined))
    })
    socket.once("error", (cause) => resume(Effect.succeed(codeOf(cause))))
    return Effect.sync(() => void socket.destroy())
  }).pipe(Effect.timeoutOrElse({ duration: 2000, orElse: () => Effect.succeed(undefined) }))

/** Takes a socket away that was left behind. */
const clear = Effect.fnUntraced(function* (path: string): Effect.fn.Return<void, ListenError> {
  const before = yield* look(path)
  if (before === undefined) return
  if (!before.isSocket()) return yield* failed(format(path), undefined, "ENOTSOCK")
  // only a socket that nobody listens on refuses
  if ((yield* knock(path)) !== "ECONNREFUSED") return yield* failed(format(path), undefined, "EADDRINUSE")
  const now = yield* look(path)
  // somebody else did the same, and may listen there by now
  if (now === undefined) return
  if (now.ino !== before.ino || now.dev !== before.dev) return yield* failed(format(path), undefined, "EADDRINUSE")
  yield* Effect.tryPromise({ try: () => unlink(path), catch: (cause) => failed(format(path), cause) })
})

/** Runs `bind` so that what it creates has at most this mode from the start. */
const masked = (mode: number, bind: () => void): void => {
  // a worker may not change the mask
  if (!isMainThread) return bind()
  const before = process.umask(0o777 & ~mode)
  try {
    bind()
  } finally {
    process.umask(before)
  }
}

const bind = (server: Net.Server, address: string, start: (listening: () => void) => void) =>
  Effect.callback<void, ListenError>((resume) => {
    const onError = (cause: unknown) => resume(Effect.fail(failed(address, cause)))
    server.once("error", onError)
    try {
      start(() => {
        server.off("error", onError)
        resume(Effect.void)
      })
    } catch (cause) {
      // a port that is none is thrown and not emitted
      onError(cause)
    }
  })

/** `fd` is not in the types of Node's. */
interface Endpoint extends Net.ListenOptions {
  readonly fd?: number
}

/** Listens on a port, or with a socket that listens already. */
const on = (server: Net.Server, address: string, options: Endpoint): Effect.Effect<void, ListenError> =>
  bind(server, address, (listening) => server.listen(options, listening))

/** Listens on a unix socket, which is taken away when the server closes. */
const onPath = (server: Net.Server, { backlog, mode, path }: UnixPath): Effect.Effect<void, ListenError> => {
  const address = format(path)
  const listen = (listening: () => void) => server.listen({ path, backlog }, listening)
  if (isTooLongToListen(path)) return Effect.fail(failed(address, undefined, "ENAMETOOLONG"))
  // a name in Linux' abstract namespace is no file
  if (path.startsWith("\0")) return bind(server, address, listen)
  return Effect.andThen(
    clear(path),
    bind(server, address, (listening) =>
      masked(mode, () => {
        listen(listening)
        // the mask of the process may leave out more
        if (server.listening) chmodSync(path, mode)
      })
    )
  )
}

/** Where to listen, as in the options of `NodeUpgradeListener`. */
export interface Where {
  readonly host?: string | undefined
  readonly port?: number | undefined
  readonly unix?: { readonly path: string; readonly mode?: number | undefined } | undefined
  readonly descriptor?: number | undefined
  readonly backlog?: number | undefined
  readonly ipv6Only?: boolean | undefined
  readonly reusePort?: boolean | undefined
}

/** An address as errors tell it. */
export const addressOf = ({ descriptor, host = "127.0.0.1", port = 0, unix }: Where): string => {
  if (descriptor !== undefined) return `fd:${descriptor}`
  return unix === undefined ? authority(host, port) : format(unix.path)
}

/** Listens where that is, and tells where it came to be. */
export const open = Effect.fnUntraced(function* (
  server: Net.Server,
  where: Where
): Effect.fn.Return<NetAddress.SocketAddress, ListenError> {
  const { backlog, descriptor: fd, host = "127.0.0.1", ipv6Only, port = 0, reusePort, unix } = where
  if (unix !== undefined && typeof unix.path !== "string") throw wrong("unix.path", "the path of a socket", unix.path)
  yield* unix === undefined
    ? on(server, addressOf(where), fd === undefined ? { host, port, backlog, ipv6Only, reusePort } : { fd, backlog })
    : onPath(server, { path: unix.path, mode: unix.mode ?? 0o600, backlog })
  const bound = server.address()
  return bound === null || typeof bound === "string"
    ? NetAddress.unixPathAddress(bound ?? "")
    : yield* Effect.orDie(Effect.fromResult(NetAddress.inetAddressFromIpString(bound.address, bound.port)))
})

/** Serves connections that are accepted elsewhere as if the server listened itself; the function ends that. */
export const serve = (
  server: NodeHttp.Server,
  connections: (take: (socket: Net.Socket) => void) => () => void,
  noDelay: boolean
): (() => void) => {
  // what has node:http look after the time of the heads that it parses; a server that never listens would wait for it forever
  server.emit("listening")
  return connections((socket) => {
    // as it would have accepted it
    socket.allowHalfOpen = true
    socket.setNoDelay(noDelay)
    server.emit("connection", socket)
  })
}
