/**
 * The PROXY protocol on Node: from whom a listener believes a header, and what a dialler tells a target. What a header is, is
 * `ProxyProtocol`.
 *
 * @since 0.1.0
 */
import type { AccessList } from "../server/AccessList.ts"

/**
 * Headers that a listener reads, before TLS and before HTTP. Only `trusted` has no default.
 *
 * From an address that is not trusted nothing is read as a header: there its bytes are what a client sends, who is told that they are
 * no HTTP, or no TLS. A connection of a trusted address whose header is missing or cannot be read, or is not there within the
 * listener's `handshakeTimeout`, is closed without a word, and a warning in the log says why.
 *
 * @category models
 * @since 0.1.0
 */
export interface Accepting {
  /** The addresses of the load balancers, and of nobody else. Names in the list match nobody. */
  readonly trusted: AccessList
  /**
   * Whether a trusted address has to send a header. With `"optional"` a connection that begins as no header does is taken as it is:
   * it is for a load balancer that is being changed over, and for no other, since a client behind one that sends none could send one of
   * its own (section 2). Default: `"required"`.
   */
  readonly mode?: "required" | "optional" | undefined
  /** The largest header of version 2 in bytes. (A line of version 1 has 107 at most.) Default: 16 KiB. */
  readonly maxHeaderSize?: number | undefined
}
