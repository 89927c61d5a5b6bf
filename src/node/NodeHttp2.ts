/**
 * HTTP/2 for the listener: several WebSockets on one connection (RFC 8441), beside the requests of the HTTP application. Browsers open a
 * WebSocket so where a page has come from the same host over HTTP/2, and by HTTP/1.1 otherwise, which the listener speaks as well.
 *
 * With TLS it is agreed on by ALPN (`h2`), without it a client has to know (RFC 9113 section 3.3): a proxy in front of the listener that
 * was told so. For each WebSocket everything is as over HTTP/1.1, but that it is answered with 200 and not 101, ends with its stream
 * and is reset with it. A connection has 256 KiB of what is sent ahead for each of its streams; one that is not read holds up no other.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"

/**
 * Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** The most WebSockets and other requests at a time on one connection; more are refused (RFC 9113 section 5.1.2). 1 to 2^31 - 1. Default: 100. */
  readonly maxStreams?: number | undefined
  /** How long a connection may go on without any. For the first, there is the listener's `handshakeTimeout`. Default: 60 seconds. */
  readonly idleTimeout?: Duration.Input | undefined
}
