/**
 * The settings about TCP and who may connect, and those that every component of the original has.
 *
 * @since 0.1.0
 */
import * as Result from "effect/Result"
import * as AccessList from "../../server/AccessList.ts"
import { boolean, integer, oneOf, text, textThat } from "../internal/kinds.ts"
import { named, setting } from "./setting.ts"

const maxInt = 2 ** 31 - 1
const clients = textThat(
  (text) => Result.isSuccess(AccessList.parse(text)),
  "a comma-separated list of addresses (192.168.1.7, ::1), wildcards (192.168.*), networks (10.0.0.0/8) and host names"
)

/**
 * About TCP and who may connect.
 *
 * @category tables
 * @since 0.1.0
 */
export const tcpSettings = named({
  AllowedClients: setting(clients, "*", {
    documents: "both",
    status: "works",
    what: "Who may connect. For anybody else ConnectionRequest fires with Accept false.",
    note: "`AccessList`; IPv6, networks and names with wildcards besides what is documented"
  }),
  BindExclusively: setting(boolean, true, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "Whether the port is this component's alone. Read when listening starts.",
    note: "`NodeUpgradeListener.Options.reusePort`: False lets other sockets share the port, where the system can"
  }),
  BlockedClients: setting(clients, "", {
    documents: "server",
    status: "works",
    what: "Who may not connect, even if AllowedClients has them: ConnectionRequest fires with Accept false.",
    note: "`AccessList`"
  }),
  CloseStreamAfterTransfer: setting(boolean, true, {
    documents: "server",
    status: "works",
    what: "Whether the stream of SetUploadStream is closed when it is sent.",
    note: "a Node stream is destroyed, a web stream cancelled, an iterator returned"
  }),
  DefaultConnectionTimeout: setting(integer(0, 86400, " of seconds"), 0, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "How long a client may be silent in the TLS handshake. 0: no limit but HandshakeTimeout. Read when listening starts.",
    note: "`NodeTls.Options.inactivityTimeout`"
  }),
  InBufferSize: setting(integer(0, 2 ** 30, " of bytes"), 0, {
    documents: "both",
    status: "partly",
    change: "nextListening",
    what: "How much is read ahead, and the largest piece that DataIn gives of a larger frame. 0: 64 KiB and 128 KiB. Of connections to come; the former is read when listening starts.",
    note: "the buffer of the process, which is all that Node lets one set of a listening socket; the system sizes its own by itself"
  }),
  KeepAliveInterval: setting(integer(0, maxInt, " of milliseconds"), 0, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "The time between TCP keep-alive probes. 0: 1 second, or the system's where KeepAliveTime is 0 too. Read when listening starts.",
    note: "`NodeUpgradeListener.Options.keepAlive`; rounded up to whole seconds, and Node 26 or later"
  }),
  KeepAliveTime: setting(integer(0, maxInt, " of milliseconds"), 0, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "The idle time before a TCP keep-alive probe. 0: the system's, which is 2 hours as a rule. Read when listening starts.",
    note: "`NodeUpgradeListener.Options.keepAlive`; rounded up to whole seconds"
  }),
  MaxConnections: setting(integer(1, 100_000), 1000, {
    documents: "both",
    status: "works",
    change: "notListening",
    what: "The most connections at a time; more are answered with 503. Not while it listens (108).",
    note: "counted from WebSocketOpenRequest to Disconnected"
  }),
  OutBufferSize: setting(integer(0, 2 ** 30, " of bytes"), 0, {
    documents: "both",
    status: "works",
    what: "With Timeout 0: when so much of what was sent waits in the process, sending fails with 10035. 0: 64 KiB. Of connections to come.",
    note: "what waits behind the system's own buffer, which it sizes by itself"
  }),
  PreferredDHGroupBits: setting(integer(1024, 16384, " of bits"), 2048, {
    documents: "server",
    status: "works",
    change: "nextListening",
    what: "The size of the Diffie-Hellman group. Read when listening starts.",
    note: "`TlsSettings.Options.dhGroupBits`: the next larger group of RFC 3526, 8192 bits at most"
  }),
  TcpNoDelay: setting(boolean, false, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "Whether small writes are sent at once, or gathered by Nagle's algorithm. Read when listening starts.",
    note: "`NodeUpgradeListener.Options.noDelay`"
  }),
  UseBackgroundThread: setting(boolean, false, {
    documents: "server",
    status: "no meaning",
    what: "Whether threads are background threads.",
    note: "there are no threads: everything runs on the event loop"
  }),
  UseIPv6: setting(oneOf([0, 1, 2], "0 (IPv4), 1 (IPv6) or 2 (both)"), 0, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "0 listens for IPv4 alone, 1 for IPv6 alone, 2 for both, or IPv4 where the system has no IPv6. Read when listening starts.",
    note: "`NodeUpgradeListener.Options.host` and `ipv6Only`"
  })
})

const readOnlyText = (value: string, what: string, note: string, status: "works" | "partly") =>
  setting(text, value, { documents: "server", status, change: "never", what, note })

/**
 * Of every component of the original.
 *
 * @category tables
 * @since 0.1.0
 */
export const baseSettings = named({
  BuildInfo: readOnlyText("", "The name and version of this package, and of what it runs on.", "read-only", "works"),
  GUIAvailable: setting(boolean, false, {
    documents: "server",
    status: "no meaning",
    what: "Whether the messages of windows are handled while something waits.",
    note: "nothing blocks here, and there are no windows"
  }),
  LicenseInfo: readOnlyText(
    "",
    "The licence of this package.",
    "read-only; a product key, a licence file and a last valid build do not exist under the MIT licence",
    "partly"
  ),
  MaskSensitiveData: setting(boolean, true, {
    documents: "server",
    status: "works",
    what: "Whether the values of Authorization, Proxy-Authorization, Cookie and Set-Cookie are masked in the Log event.",
    note: "documented for other components of the original"
  }),
  UseInternalSecurityAPI: setting(boolean, true, {
    documents: "server",
    status: "no meaning",
    what: "Whether TLS is the system's or our own.",
    note: "there is one implementation, OpenSSL in Node"
  })
})
