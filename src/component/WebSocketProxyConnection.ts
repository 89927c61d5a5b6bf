/**
 * A client that is connected to a `WebSocketProxy`, as its fields.
 *
 * @since 0.1.0
 */
import { ComponentError } from "./ComponentError.ts"
import type { WebSocketProxyEvents } from "./Events.ts"
import { field, type HasFields, withFields } from "./internal/fields.ts"
import { boolean, integer, text } from "./internal/kinds.ts"
import { headerText, type Link } from "./internal/link.ts"

// the documentation of the proxy has no page for it
const works = (note: string) => ({ documents: "none", status: "works", note }) as const
const request = works("`OpeningHandshake.Request`")

/**
 * Its properties, from which its declarations are made.
 *
 * @category tables
 * @since 0.1.0
 */
export const proxyConnectionFields = {
  connected: field(
    "Connected",
    boolean,
    "write",
    "Whether it is open. Set it to false to disconnect.",
    works("`disconnect`")
  ),
  connectionId: field("ConnectionId", text, "read", "What tells it from the others.", works("a number, counted up")),
  forwardHost: field(
    "ForwardHost",
    text,
    "write",
    "The host that it is forwarded to. It cannot be changed (101).",
    works("`Target`")
  ),
  forwardPort: field(
    "ForwardPort",
    integer(0, 65535),
    "write",
    "Its port. It cannot be changed (100).",
    works("`Target`")
  ),
  host: field("Host", text, "read", "The Host header.", request),
  localAddress: field("LocalAddress", text, "read", "The address that it came to.", works("of the socket")),
  origin: field("Origin", text, "read", "The Origin header.", request),
  remoteHost: field(
    "RemoteHost",
    text,
    "read",
    "The address of the client.",
    works("of the socket; kept after its end")
  ),
  remotePort: field("RemotePort", integer(0, 65535), "read", "Its port.", works("of the socket; kept after its end")),
  requestHeaders: field("RequestHeaders", text, "read", "The headers of the request, as they came.", request),
  requestURI: field("RequestURI", text, "read", "The path and query of the request.", request),
  subProtocols: field("SubProtocols", text, "read", "The subprotocols that the client offered.", request),
  timeout: field(
    "Timeout",
    integer(0, 86400),
    "write",
    "0: what the forward host sends is cut at MaxFrameSize into messages; otherwise into the fragments of one.",
    works("preset by DefaultTimeout, which is also the time to reach the forward host")
  )
} as const

/** What the fields are read of. */
interface Source extends Link<WebSocketProxyEvents> {
  readonly forwardHost: string
  readonly forwardPort: number
}

const readers: { readonly [K in keyof typeof proxyConnectionFields]: (link: Source) => unknown } = {
  connected: (link) => link.isConnected,
  connectionId: (link) => link.connectionId,
  forwardHost: (link) => link.forwardHost,
  forwardPort: (link) => link.forwardPort,
  host: (link) => link.request.headers["host"] ?? "",
  localAddress: (link) => link.localAddress,
  origin: (link) => link.request.headers["origin"] ?? "",
  remoteHost: (link) => link.remoteHost,
  remotePort: (link) => link.remotePort,
  requestHeaders: (link) => headerText(link.request),
  requestURI: (link) => link.request.target,
  subProtocols: (link) => link.request.subprotocols.join(", "),
  timeout: (link) => link.timeout
}

class View implements HasFields {
  readonly #link: Source

  constructor(link: unknown) {
    // only the proxy makes one
    this.#link = link as Source
  }

  readField(key: keyof typeof proxyConnectionFields): unknown {
    return readers[key](this.#link)
  }

  writeField(key: string, value: unknown): void {
    const link = this.#link
    if (key === "forwardHost") throw new ComponentError(101)
    if (key === "forwardPort") throw new ComponentError(100)
    // checked by its kind
    if (key === "timeout") link.timeout = value as number
    else if (value === false)
      void link.disconnect(undefined).catch((error: unknown) => link.host.failed(link, error, 4202))
  }
}

/**
 * See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export class WebSocketProxyConnection extends withFields(View, proxyConnectionFields) {}
