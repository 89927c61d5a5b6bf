/**
 * The PROXY protocol on Node: which senders a listener believes a header from, and which header a dialler sends. The module
 * `ProxyProtocol` reads and writes headers.
 *
 * @since 0.1.0
 */
import type { AccessList } from "../server/AccessList.ts"

/**
 * Headers that a listener reads, before TLS and before HTTP. Only `trusted` has no default.
 *
 * From an address that is not trusted nothing is read as a header: a header there counts as bytes of the client, which is told that
 * they are not HTTP, or not TLS. A connection of a trusted address whose header is missing or cannot be read, or is not there within
 * the listener's `handshakeTimeout`, is closed without an answer, and a warning in the log says why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Accepting {
  /** The addresses of the load balancers, and of nobody else. Names in the list match nobody. */
  readonly trusted: AccessList
  /**
   * Whether a trusted address has to send a header. With `"optional"`, a connection that does not begin with a header is accepted
   * without one. Use that only while a load balancer is being changed over: a client behind a balancer that sends no header could
   * send its own (section 2). Default: `"required"`.
   */
  readonly mode?: "required" | "optional" | undefined
  /** The largest header of version 2 in bytes. (A line of version 1 has 107 at most.) Default: 16 KiB. */
  readonly maxHeaderSize?: number | undefined
}

/**
 * What version 2 can say beyond the addresses.
 *
 * - `authority`, `alpn`: the host name that the client asked for in TLS, and the application protocol that was agreed on.
 * - `ssl`: the version of TLS and its cipher suite, and whether the client has shown a certificate, its common name, and whether it
 *   is trusted.
 * - `uniqueId`: the id that a load balancer before us gave the connection; one of our own, 36 characters, without one.
 *
 * What a load balancer before us said is handed on. What is unknown is left out. If the client came through a reverse proxy, what is
 * known of the proxy's connection is left out too.
 *
 * @category models
 * @since 0.1.0
 */
export type Tlv = "authority" | "alpn" | "ssl" | "uniqueId"

/**
 * A header that a dialler sends. Only `version` has no default.
 *
 * It is the first thing that a target gets, before TLS, and within the tunnel of a firewall. It has the address of the client as
 * in `OpenRequest`, with port 0 if the port is not known, and our address that the client connected to. A client without an
 * address is `UNKNOWN` in version 1, and unspecified in version 2. A dial for no client (a health check) is `UNKNOWN`, and
 * `LOCAL`.
 *
 * A target that does not expect a header takes it for the client's first bytes. Use it only for targets that are set up to accept
 * it, and to accept it only from this machine.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sending {
  /** 1 is a line of text, and has no TLVs. */
  readonly version: 1 | 2
  /** What version 2 says beyond the addresses. Default: nothing. */
  readonly tlvs?: ReadonlyArray<Tlv> | undefined
  /** Whether version 2 has a CRC32C. Default: `false`. */
  readonly checksum?: boolean | undefined
}
