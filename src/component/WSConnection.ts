/**
 * A client that is connected to a `WSServer`, as its fields.
 *
 * @since 0.1.0
 */
import { DataFormats } from "./Enums.ts"
import { field, type HasFields, withFields } from "./internal/fields.ts"
import { boolean, integer, oneOf, text } from "./internal/kinds.ts"
import { headerText, type Link } from "./internal/link.ts"
import type { Receiving } from "./internal/receiving.ts"
import type { Sending } from "./internal/sending.ts"
import type { Transfer } from "./internal/transfer.ts"
import type { WSServerEvents } from "./Events.ts"

const works = (note: string) => ({ documents: "server", status: "works", note }) as const
const request = works("`OpeningHandshake.Request`")

/**
 * Its properties, from which its declarations are made.
 *
 * @category tables
 * @since 0.1.0
 */
export const connectionFields = {
  acceptData: field(
    "AcceptData",
    boolean,
    "read",
    "Whether data is given out.",
    works("`pauseData` and `processData`")
  ),
  bytesSent: field(
    "BytesSent",
    integer(0, 2 ** 31 - 1),
    "read",
    "How many bytes the last send gave away, where sending does not wait; 0 where it does.",
    works("counted in bytes of payload")
  ),
  connected: field("Connected", boolean, "read", "Whether it is open.", works("from 101 to the end")),
  connectionId: field("ConnectionId", text, "read", "What tells it from the others.", works("a number, counted up")),
  dataFormat: field(
    "DataFormat",
    oneOf(Object.values(DataFormats), "a value of DataFormats"),
    "write",
    "What `send` makes of data.",
    works("the opcode of the frames")
  ),
  host: field("Host", text, "read", "The Host header.", request),
  lineMode: field("LineMode", boolean, "read", "Whether DataIn fires for each line.", works("`changeLineMode`")),
  localAddress: field("LocalAddress", text, "read", "The address that it came to.", works("of the socket")),
  origin: field("Origin", text, "read", "The Origin header.", request),
  readyToSend: field(
    "ReadyToSend",
    boolean,
    "read",
    "Whether there is room to send: not after 10035, until ReadyToSend fires.",
    works("what waits in the process")
  ),
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
    "The seconds of inactivity after which an operation that waits fails. 0: sending does not wait.",
    works("of `send…`, `ping`, `sendFile` and `setUploadStream`")
  ),
  transferBytes: field(
    "TransferBytes",
    integer(0, Number.MAX_SAFE_INTEGER),
    "read",
    "How much of a file or stream is on its way.",
    {
      documents: "none",
      status: "works",
      note: "the progress of `sendFile` and `setUploadStream`"
    }
  ),
  transferLength: field(
    "TransferLength",
    integer(0, Number.MAX_SAFE_INTEGER),
    "read",
    "How long the file is; 0 for a stream.",
    {
      documents: "none",
      status: "works",
      note: "the progress of `sendFile`"
    }
  )
} as const

/** What the fields are read of. */
interface Source extends Link<WSServerEvents> {
  readonly receiving: Receiving
  readonly sending: Sending | undefined
  readonly transfer: Transfer | undefined
  dataFormat: DataFormats
}

const defaults: Readonly<Record<keyof typeof connectionFields, unknown>> = {
  acceptData: true,
  bytesSent: 0,
  connected: false,
  connectionId: "",
  dataFormat: DataFormats.dfAutomatic,
  host: "",
  lineMode: false,
  localAddress: "",
  origin: "",
  readyToSend: false,
  remoteHost: "",
  remotePort: 0,
  requestHeaders: "",
  requestURI: "",
  subProtocols: "",
  timeout: 0,
  transferBytes: 0,
  transferLength: 0
}

const readers: { readonly [K in keyof typeof connectionFields]: (link: Source) => unknown } = {
  acceptData: (link) => !link.receiving.isPaused,
  bytesSent: (link) => link.sending?.bytesSent ?? 0,
  connected: (link) => link.isConnected,
  connectionId: (link) => link.connectionId,
  dataFormat: (link) => link.dataFormat,
  host: (link) => link.request.headers["host"] ?? "",
  lineMode: (link) => link.receiving.lineMode,
  localAddress: (link) => link.localAddress,
  origin: (link) => link.request.headers["origin"] ?? "",
  readyToSend: (link) => link.isConnected && link.sending!.readyToSend,
  remoteHost: (link) => link.remoteHost,
  remotePort: (link) => link.remotePort,
  requestHeaders: (link) => headerText(link.request),
  requestURI: (link) => link.request.target,
  subProtocols: (link) => link.request.subprotocols.join(", "),
  timeout: (link) => link.timeout,
  transferBytes: (link) => link.transfer?.bytes ?? 0,
  transferLength: (link) => link.transfer?.length ?? 0
}

class View implements HasFields {
  readonly #link: Source | undefined
  readonly #values: Partial<Record<string, unknown>> = {}

  /** Without a connection the fields have their defaults. */
  constructor(link?: unknown) {
    // only the server gives one
    this.#link = link as Source | undefined
  }

  readField(key: keyof typeof connectionFields): unknown {
    return this.#link === undefined ? (this.#values[key] ?? defaults[key]) : readers[key](this.#link)
  }

  writeField(key: string, value: unknown): void {
    const link = this.#link
    if (link === undefined) this.#values[key] = value
    // checked by their kinds
    else if (key === "timeout") link.timeout = value as number
    else link.dataFormat = value as DataFormats
  }
}

/**
 * See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export class WSConnection extends withFields(View, connectionFields) {}
