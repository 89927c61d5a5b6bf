/**
 * Every item of the two documents, and what becomes of it here: the tables of properties, settings, fields and codes, and those
 * of methods and events, which stand here. `README.md` in this folder is made of it, and a test holds it against the names in
 * the documents, against the code, and against the tests.
 *
 * @since 0.1.0
 */
import { certificateFields } from "./Certificate.ts"
import { CertStoreTypes, DataFormats, FirewallTypes, WSServerSSLProviders } from "./Enums.ts"
import * as ErrorCode from "./ErrorCode.ts"
import type { WebSocketProxyEvents, WSServerEvents } from "./Events.ts"
import { firewallFields } from "./Firewall.ts"
import type { Documents, Row, Status } from "./internal/row.ts"
import { proxyProperties, serverProperties } from "./Properties.ts"
import { settings } from "./Settings.ts"
import { connectionFields } from "./WSConnection.ts"
import { proxyConnectionFields } from "./WebSocketProxyConnection.ts"

/**
 * What an item of the documentation is.
 *
 * @category models
 * @since 0.1.0
 */
export type Kind =
  | "property"
  | "method"
  | "event"
  | "event field"
  | "setting"
  | "WSConnection"
  | "WebSocketProxyConnection"
  | "Certificate"
  | "Firewall"
  | "constructor"
  | "enum value"
  | "error code"

/**
 * One item of the documentation, of the kind that it is.
 *
 * @category models
 * @since 0.1.0
 */
export interface Item extends Row {
  readonly kind: Kind
}

const row = (documents: Documents, note: string, status: Status = "works") => ({ documents, note, status })

/**
 * The name of an item in code: a leading run of capitals is lowered whole.
 *
 * @category accessors
 * @since 0.1.0
 */
export const inCode = (name: string): string => {
  const capitals = /^[A-Z]+/.exec(name)?.[0] ?? ""
  // the last capital of a run begins the next word, if one follows
  const run =
    capitals.length > 1 && capitals.length < name.length && !/^[A-Z]+B$/.test(name)
      ? capitals.length - 1
      : capitals.length
  return name.slice(0, run).toLowerCase() + name.slice(run)
}

const methods: Readonly<Record<string, Omit<Row, "name">>> = {
  ChangeLineMode: row("server", "`changeLineMode(connectionId, lineMode)`"),
  Config: row("both", "`config(text)`, which is no promise"),
  Disconnect: row("both", "`WebSocket.close`"),
  DoEvents: row("both", "sleeps for 10 ms: events happen by themselves"),
  Interrupt: row("server", "ends what waits on the connection with 301"),
  Ping: row("server", "`WebSocket.ping`"),
  Send: row("server", "`WebSocket.send`; takes a string or bytes, by DataFormat"),
  SendBytes: row("server", "`WebSocket.send` of bytes"),
  SendFile: row("server", "`WebSocket.sendFragments` of the file"),
  SendText: row("server", "`WebSocket.send` of a string"),
  SetUploadStream: row("server", "`WebSocket.sendFragments` of a Node stream, a web stream or an async iterable"),
  Shutdown: row("both", "StopListening, then Disconnect for each connection"),
  StartListening: row("server", "`NodeUpgradeListener.make` and `WebSocketServer.make`"),
  StopListening: row("server", "`WebSocketServer.stop`"),
  PauseData: row("none", "named by AcceptData of the server's documents, though not in their list"),
  ProcessData: row("none", "named by AcceptData of the server's documents, though not in their list"),
  Dispose: row("none", "releases everything; `using` and `await using` do the same")
}

type Fields<E> = { readonly [K in keyof E]: Omit<Row, "name" | "documents"> & { readonly is: Documented } }
/** The documented name, with a `*` if a listener may set it. */
type Documented = string
const f = (is: Documented, note = "", status: Status = "works") => ({ is, note, status })

type EventRows<Events> = {
  readonly [N in keyof Events]: { readonly row: Omit<Row, "name">; readonly fields: Fields<Events[N]> }
}

const id = f("ConnectionId")

const events: EventRows<WSServerEvents> = {
  Connected: { row: row("both", "after 101"), fields: { connectionId: id } },
  ConnectionRequest: {
    row: row(
      "both",
      "`NodeUpgradeListener.Options.admit`: the connection is accepted by the system already, and cut off"
    ),
    fields: { address: f("Address"), port: f("Port"), accept: f("Accept*") }
  },
  DataIn: {
    row: row("both", "`WebSocket.pullEvents`"),
    fields: {
      connectionId: id,
      dataFormat: f("DataFormat"),
      text: f("Text", "text in pieces is cut between code points"),
      textB: f("TextB"),
      eom: f("EOM"),
      eol: f("EOL", "the server's alone: the proxy has no line mode, and it is false there")
    }
  },
  Disconnected: {
    row: row("both", "`WebSocket.closed`"),
    fields: {
      connectionId: id,
      statusCode: f("StatusCode", "1005 and 1006 besides those documented (RFC 6455 section 7.1.5)"),
      description: f("Description")
    }
  },
  Error: {
    row: row("both", "`WebSocketError`, `DialError` and failures of listeners, as codes"),
    fields: { connectionId: id, errorCode: f("ErrorCode"), description: f("Description") }
  },
  Log: {
    row: row("both", "by LogLevel"),
    fields: { connectionId: id, logLevel: f("LogLevel"), message: f("Message"), logType: f("LogType") }
  },
  Ping: {
    row: row("server", "`MessageEvent.ControlFrame`"),
    fields: {
      connectionId: id,
      payload: f("Payload"),
      payloadB: f("PayloadB"),
      response: f("Response", "also for the answers to PingInterval")
    }
  },
  ReadyToSend: { row: row("server", "`WebSocket.flushed`"), fields: { connectionId: id } },
  SSLClientAuthentication: {
    row: row("both", "`NodeTls`"),
    fields: {
      connectionId: f("ConnectionId"),
      certEncoded: f("CertEncoded"),
      certEncodedB: f("CertEncodedB"),
      certSubject: f("CertSubject"),
      certIssuer: f("CertIssuer"),
      status: f("Status"),
      accept: f("Accept*", "a client that is refused is cut off without an alert: Node has none for it then")
    }
  },
  SSLConnectionRequest: {
    row: row("both", "`NodeTls`"),
    fields: {
      connectionId: f("ConnectionId"),
      supportedCipherSuites: f("SupportedCipherSuites"),
      supportedSignatureAlgs: f("SupportedSignatureAlgs"),
      certStoreType: f("CertStoreType*"),
      certStore: f("CertStore*"),
      certPassword: f("CertPassword*"),
      certSubject: f("CertSubject*")
    }
  },
  SSLStatus: {
    row: row("both", "`NodeTls`"),
    fields: { connectionId: f("ConnectionId"), message: f("Message") }
  },
  WebSocketOpenRequest: {
    row: row("both", "`WebSocketServer.runRequests`"),
    fields: {
      connectionId: id,
      requestURI: f("RequestURI"),
      hostHeader: f("HostHeader"),
      originHeader: f("OriginHeader"),
      subProtocols: f("SubProtocols*", "none is agreed on unless it is set to one that the client offers"),
      extensions: f("Extensions"),
      requestHeaders: f("RequestHeaders"),
      statusCode: f("StatusCode*", "101, or 200 to 599"),
      responseHeaders: f("ResponseHeaders*")
    }
  }
}

const forward: Fields<Pick<WebSocketProxyEvents["WebSocketOpenRequest"], "forwardHost" | "forwardPort">> = {
  forwardHost: f("ForwardHost*", "with a `*` before it, the firewall looks the name up"),
  forwardPort: f("ForwardPort*")
}

/** Those of properties that are objects or have accessors of their own. */
const otherProperties: ReadonlyArray<Omit<Item, "kind">> = [
  { name: "Connections", ...row("both", "a `ConnectionMap` by ids") },
  {
    name: "Listening",
    ...row("proxy", "`await setListening(true)` has the failure; assignment tells it by Error and Log")
  }
]

const constructors: ReadonlyArray<Omit<Item, "kind">> = [
  "Certificate()",
  "Certificate(string certificateFile)",
  "Certificate(byte[] encoded)",
  ...["string", "byte[]"].flatMap((store) =>
    ["string subject", "string subject, string configurationString", "byte[] encoded"].map(
      (rest) => `Certificate(CertStoreTypes storeType, ${store} store, string storePassword, ${rest})`
    )
  )
]
  .map((name) => ({ name, ...row("server", "`tls/CertificateStore`") }))
  .concat([{ name: "WSConnection()", ...row("server", "has the defaults of the fields") }])

/** Shared by two documents, or of one. */
const merged = (items: ReadonlyArray<Item>): ReadonlyArray<Item> => {
  const byName = new Map<string, Item>()
  for (const item of items) {
    const key = `${item.kind} ${item.name} ${item.note}`
    const other = byName.get(key)
    byName.set(key, other === undefined || other.documents === item.documents ? item : { ...item, documents: "both" })
  }
  return [...byName.values()]
}

const ofKind = (kind: Kind, rows: Iterable<Row>): ReadonlyArray<Item> =>
  Array.from(rows, ({ documents, name, note, status }) => ({ kind, name, documents, status, note }))

const enumRows = (values: object, documents: Documents, note: string, status: Status = "works"): ReadonlyArray<Row> =>
  Object.entries(values).map(([name, value]) => ({ name, documents, status, note: `${value}: ${note}` }))

const codeRows = (codes: Readonly<Record<number, ErrorCode.ErrorCode>>, documents: Documents): ReadonlyArray<Row> =>
  Object.entries(codes).map(([name, { errnos, never, raised }]): Row => {
    const status = never === true ? "no meaning" : "works"
    const note = raised ?? (never === true ? "nothing on this platform reports it" : (errnos ?? []).join(", "))
    return { name, documents, status, note }
  })

/**
 * All of it.
 *
 * @category tables
 * @since 0.1.0
 */
export const items: ReadonlyArray<Item> = merged([
  ...ofKind("property", Object.values(serverProperties)),
  ...ofKind("property", Object.values(proxyProperties)),
  ...ofKind("property", otherProperties),
  ...ofKind(
    "method",
    Object.entries(methods).map(([name, row]) => ({ name, ...row }))
  ),
  ...Object.entries(events).flatMap(([name, event]) => [
    ...ofKind("event", [{ name, ...event.row }]),
    ...ofKind(
      "event field",
      Object.values(event.fields).map((field) => ({
        ...field,
        name: `${name}.${field.is}`,
        documents: event.row.documents
      }))
    )
  ]),
  ...ofKind(
    "event field",
    // the page of the event is not among the documents, its public copy has them
    Object.values(forward).map((field) => ({
      ...field,
      name: `WebSocketOpenRequest.${field.is}`,
      documents: "proxy" as const
    }))
  ),
  ...ofKind("setting", Object.values(settings)),
  ...ofKind("WSConnection", Object.values(connectionFields)),
  ...ofKind("WebSocketProxyConnection", Object.values(proxyConnectionFields)),
  ...ofKind("Certificate", Object.values(certificateFields)),
  ...ofKind("Firewall", Object.values(firewallFields)),
  ...ofKind("constructor", constructors),
  ...ofKind("enum value", enumRows(DataFormats, "server", "`WSConnection.dataFormat`")),
  ...ofKind("enum value", enumRows(WSServerSSLProviders, "server", "`sslProvider`")),
  ...ofKind(
    "enum value",
    Object.entries(CertStoreTypes).map(([name, value]): Row => {
      const isForeign = /User|Machine|JKS|BCFKS|PKCS11/.test(name)
      return isForeign
        ? {
            name,
            documents: "server",
            status: "no meaning",
            note: `${value}: of another platform, or a hardware token (271)`
          }
        : { name, documents: "server", status: "works", note: `${value}: \`tls/CertificateStore\`` }
    })
  ),
  ...ofKind("enum value", enumRows(FirewallTypes, "proxy", "`Firewall.firewallType`")),
  ...ofKind("error code", codeRows(ErrorCode.documented, "server")),
  ...ofKind("error code", codeRows(ErrorCode.additional, "none"))
])
