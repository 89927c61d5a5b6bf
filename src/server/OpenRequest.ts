/**
 * A client's request to open a connection, admitted and found correct, but not answered yet: the place to decide. Look at
 * what it asks for, then `accept` it, or fail with a {@link Refusal}, which becomes the HTTP answer. Whatever takes time
 * (a token to check, a target to dial) happens before, while the client waits for its 101.
 *
 * @since 0.1.0
 */
import type * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type { WebSocket } from "../connection/WebSocket.ts"
import * as OpeningHandshake from "../protocol/OpeningHandshake.ts"
import type { Identity } from "./Identity.ts"
import type { Peer, Proxied } from "./UpgradeListener.ts"

/**
 * Why a request is refused: an HTTP status and a reason for the body. Fail with one to refuse.
 *
 * @category errors
 * @since 0.1.0
 */
export const Refusal = OpeningHandshake.Refusal

/**
 * Why a request is refused: see the class of the same name.
 *
 * @category errors
 * @since 0.1.0
 */
export type Refusal = OpeningHandshake.Refusal

/**
 * A request that waits for its answer. See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenRequest {
  /** What the client asked for, without the subprotocols that the server's access policy takes for tokens. */
  readonly request: OpeningHandshake.Request
  /**
   * The address of the client. The listener's `proxyProtocol` and `forwarded` say which proxies are believed about it.
   * `undefined` over a unix socket.
   */
  readonly remoteAddress: string | undefined
  /** The TCP connection that it came on, if it came on one. */
  readonly peer: Peer | undefined
  /** What a load balancer said of the client in the PROXY protocol, beyond its address. */
  readonly proxied?: Proxied | undefined
  /** Who the client is, as far as the server's access policy found out. */
  readonly identity: Identity
  /** The subprotocol that will be agreed on, and the same for compression. */
  readonly acceptance: OpeningHandshake.Acceptance
  /** Answers 101 and gives the connection, which lives until the handler ends. */
  readonly accept: Effect.Effect<WebSocket, Socket.SocketError>
  /** The same, with a subprotocol and headers of the application's choice. */
  acceptWith(answer: Answer): Effect.Effect<WebSocket, Socket.SocketError>
  /** Adds to what the `AccessLog` says of it from then on, if there is one. */
  annotate(key: string, value: string): void
}

/**
 * What an application may say in the answer to a request that it accepts.
 *
 * @category models
 * @since 0.1.0
 */
export interface Answer {
  /** One of the subprotocols that the client offered, or `undefined` for none, in place of the one that was negotiated. */
  readonly subprotocol?: string | undefined
  /** More headers. They cannot change those of the handshake itself. */
  readonly headers?: OpeningHandshake.ResponseHeaders | undefined
}
