/**
 * Where opening handshakes come from: something that listens, parses HTTP, and hands over each request to upgrade to
 * WebSocket, not yet answered. The server knows nothing else of HTTP, so it is the same over TCP, TLS, HTTP/2 and a test's own
 * pair of sockets.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as NetAddress from "effect/net/NetAddress"
import type * as Socket from "effect/socket/Socket"
import type { Keeper } from "../connection/internal/keeper.ts"
import type * as OpeningHandshake from "../protocol/OpeningHandshake.ts"
import type * as ProxyProtocol from "../protocol/ProxyProtocol.ts"
import type { Session } from "../tls/TlsSession.ts"

export type { Keeper, Ongoing } from "../connection/internal/keeper.ts"

/**
 * The two ends of a TCP connection.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ends {
  readonly remoteAddress?: string | undefined
  readonly remotePort?: number | undefined
  readonly localAddress?: string | undefined
  readonly localPort?: number | undefined
}

/**
 * What a load balancer said before the first byte of a connection, in a header of the PROXY protocol.
 *
 * @category models
 * @since 0.1.0
 */
export interface Proxied {
  readonly version: 1 | 2
  /** The connection of the load balancer to us. */
  readonly by: Ends
  /** What it said beyond the addresses: the host name, the client's TLS, an id, … */
  readonly tlvs: ProxyProtocol.Tlvs
}

/**
 * The two ends of a TCP connection, and what TLS found out about the other one. There is one such object for a connection,
 * from its acceptance on. The addresses are read when it is first asked for, and known when the connection is gone, too.
 *
 * Behind a trusted load balancer (`proxyProtocol` of the listener) these are the ends of the client's connection to the balancer,
 * already when the first check asks for them.
 *
 * @category models
 * @since 0.1.0
 */
export interface Peer extends Ends {
  /** What was negotiated, once that is done; `undefined` without TLS. */
  readonly tls?: Session | undefined
  /** What a load balancer said of the client, if one was believed and spoke for a client. */
  readonly proxied?: Proxied | undefined
}

/**
 * The schemes of WebSocket URIs (RFC 6455 section 3): plain, and over TLS.
 *
 * @category models
 * @since 0.1.0
 */
export type Scheme = "ws" | "wss"

/**
 * A request to upgrade. Exactly one of `accept` and `refuse` answers it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Upgrade {
  readonly request: OpeningHandshake.Request
  /**
   * The address of the client, or of a proxy in front of it that is not trusted; `undefined` if there is none (unix sockets). If
   * trusted proxies do not give an address, it is `unknown` or an identifier that begins with `_`.
   */
  readonly remoteAddress: string | undefined
  /** The TCP connection that it came on, if it came on one. */
  readonly peer?: Peer | undefined
  /** Whether the client has gone away, so that nobody reads an answer. */
  readonly isGone?: boolean | undefined
  /** Adds to what the access log says of it. */
  annotate?(key: string, value: string): void
  /** Sends 101, or 200 over HTTP/2, with these headers and gives the byte stream behind it, from its very first byte. */
  accept(acceptance: OpeningHandshake.Acceptance): Effect.Effect<Socket.Socket, Socket.SocketError>
  /** Sends the refusal as an HTTP response and ends the connection. One that cannot be sent is a defect, and nothing is sent. */
  refuse(refusal: OpeningHandshake.Refusal): Effect.Effect<void>
}

/** What codes mean where a unix socket was to be listened on. */
const unixFailures: Readonly<Record<string, string>> = {
  EADDRINUSE: "somebody listens there already; end that, or choose another path",
  ENOTSOCK: "a file is there that is no socket, and it is left alone; remove it, or choose another path",
  EACCES: "its folder is not there or may not be written",
  ENOTDIR: "its folder is a file",
  ENAMETOOLONG: "the path is longer than a unix socket's may be (107 bytes)"
}

/**
 * The listener could not listen.
 *
 * @category errors
 * @since 0.1.0
 */
export class ListenError extends Data.TaggedError("ListenError")<{
  /** Where it was to listen. */
  readonly address: string
  /** Why it could not, such as `EADDRINUSE`, for programs. */
  readonly code: string
  readonly cause: unknown
}> {
  override get message(): string {
    const why = this.address.startsWith("unix:")
      ? unixFailures[this.code]
      : this.address.startsWith("fd:")
        ? `expected a socket that listens as this file descriptor (${this.code})`
        : undefined
    if (why !== undefined) return `cannot listen on ${this.address}: ${why}`
    switch (this.code) {
      case "EADDRINUSE":
        return `cannot listen on ${this.address}: the port is in use; choose another, or 0 to have one chosen`
      case "EACCES":
        return `cannot listen on ${this.address}: permission denied; ports below 1024 need privileges`
      case "EADDRNOTAVAIL":
        return `cannot listen on ${this.address}: this machine has no such address`
      case "ENOTFOUND":
      case "EAI_AGAIN":
        return `cannot listen on ${this.address}: the host name is not known`
      case "ERR_SOCKET_BAD_PORT":
        return `cannot listen on ${this.address}: expected a port from 0 to 65535`
      case "ERR_TLS_SETTINGS":
        return `cannot listen on ${this.address} with TLS: ${String(this.cause instanceof Error ? this.cause.message : this.cause)}`
      default:
        return `cannot listen on ${this.address}: ${this.code}`
    }
  }
}

/**
 * Where opening handshakes come from. For Node there is `NodeUpgradeListener`.
 *
 * @category services
 * @since 0.1.0
 */
export class UpgradeListener extends Context.Service<
  UpgradeListener,
  {
    readonly address: NetAddress.SocketAddress
    /** What is spoken there, the better one first. Default: `ws`. */
    readonly schemes?: ReadonlyArray<Scheme> | undefined
    /** Takes no more connections; those that are open go on, and handshakes that nobody decides about yet are cut off. */
    readonly stop: Effect.Effect<void>
    /**
     * Runs the handler in a fiber of its own for each request, and ignores how it ends. Interrupting `run` interrupts these
     * fibers and waits for them, and so does the end of the listener; requests that come while nothing runs are refused with 503.
     * With a keeper, connections need no fiber while nothing comes.
     */
    readonly run: <R>(
      handler: (upgrade: Upgrade, keeper?: Keeper<R>) => Effect.Effect<unknown, unknown, R>
    ) => Effect.Effect<never, never, R>
  }
>()("effect-websocket/server/UpgradeListener") {}
