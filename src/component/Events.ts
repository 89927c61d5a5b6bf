/**
 * The events of the components. A listener may set those fields of an event that are not `readonly`. They are read when the
 * listener, or the promise that it returned, is done.
 *
 * @since 0.1.0
 */

/**
 * A connection is open.
 *
 * @category events
 * @since 0.1.0
 */
export interface ConnectedEvent {
  readonly connectionId: string
}

/**
 * A client connects; nothing is read of it yet, and it has no id yet.
 *
 * @category events
 * @since 0.1.0
 */
export interface ConnectionRequestEvent {
  readonly address: string
  readonly port: number
  /** Whether it may. Preset by AllowedClients and BlockedClients. */
  accept: boolean
}

/**
 * Data came: a fragment of a message, a message, or a line.
 *
 * @category events
 * @since 0.1.0
 */
export interface DataInEvent {
  readonly connectionId: string
  /** 1: text. 2: binary. 0: a continuation of the message, or a line. */
  readonly dataFormat: number
  /** The data as text; what is not UTF-8 reads as U+FFFD. */
  readonly text: string
  /** The data as bytes, the listener's own. Small ones share a buffer with others: `slice()` what you transfer. */
  readonly textB: Uint8Array
  /** Whether the message ends with it. */
  readonly eom: boolean
  /** In line mode, whether it ended with an end of line, as against MaxLineLength. */
  readonly eol: boolean
}

/**
 * A connection is closed. It can still be found in `connections`, for the last time.
 *
 * @category events
 * @since 0.1.0
 */
export interface DisconnectedEvent {
  readonly connectionId: string
  /** The close code: 1000 normally, 1005 if the client gave none, 1006 if it went without a word. */
  readonly statusCode: number
  readonly description: string
}

/**
 * Something failed that no call could report.
 *
 * @category events
 * @since 0.1.0
 */
export interface ErrorEvent {
  readonly connectionId: string
  readonly errorCode: number
  readonly description: string
}

/**
 * A line of the log.
 *
 * @category events
 * @since 0.1.0
 */
export interface LogEvent {
  readonly connectionId: string
  /** 1: info. 2: verbose. 3: debug. */
  readonly logLevel: number
  readonly message: string
  readonly logType: "Info" | "Error" | "Verbose" | "Debug"
}

/**
 * A ping came, which is answered already, or a pong.
 *
 * @category events
 * @since 0.1.0
 */
export interface PingEvent {
  readonly connectionId: string
  readonly payload: string
  readonly payloadB: Uint8Array
  /** Whether it is a pong. */
  readonly response: boolean
}

/**
 * Data can be sent: once after Connected, and again after a send that failed with 10035.
 *
 * @category events
 * @since 0.1.0
 */
export interface ReadyToSendEvent {
  readonly connectionId: string
}

/**
 * A client presents its certificate.
 *
 * @category events
 * @since 0.1.0
 */
export interface SSLClientAuthenticationEvent {
  readonly connectionId: string
  readonly certEncoded: string
  readonly certEncodedB: Uint8Array
  readonly certSubject: string
  readonly certIssuer: string
  /** `OK`, or why it does not verify. */
  readonly status: string
  accept: boolean
}

/**
 * A client begins a TLS handshake: the place to choose another certificate.
 *
 * @category events
 * @since 0.1.0
 */
export interface SSLConnectionRequestEvent {
  readonly connectionId: string
  readonly supportedCipherSuites: string
  readonly supportedSignatureAlgs: string
  certStoreType: number
  certStore: string
  certPassword: string
  certSubject: string
}

/**
 * The progress of TLS.
 *
 * @category events
 * @since 0.1.0
 */
export interface SSLStatusEvent {
  readonly connectionId: string
  readonly message: string
}

/**
 * A client asks to open a WebSocket: the place to decide.
 *
 * @category events
 * @since 0.1.0
 */
export interface WebSocketOpenRequestEvent {
  readonly connectionId: string
  readonly requestURI: string
  readonly hostHeader: string
  readonly originHeader: string
  /** The subprotocols that the client offers, separated by commas. Set it to one of them to choose that. */
  subProtocols: string
  readonly extensions: string
  /** The headers of the request, each ended by CR LF. */
  readonly requestHeaders: string
  /** 101 accepts; any other HTTP status from 200 to 599 is the answer instead. */
  statusCode: number
  /** More headers for the answer, one to a line. */
  responseHeaders: string
}

/**
 * The same on the proxy, where the forward host may be chosen too.
 *
 * @category events
 * @since 0.1.0
 */
export interface ForwardOpenRequestEvent extends WebSocketOpenRequestEvent {
  forwardHost: string
  forwardPort: number
}

/**
 * The events of both components.
 *
 * @category models
 * @since 0.1.0
 */
export interface CommonEvents {
  readonly Connected: ConnectedEvent
  readonly ConnectionRequest: ConnectionRequestEvent
  readonly DataIn: DataInEvent
  readonly Disconnected: DisconnectedEvent
  readonly Error: ErrorEvent
  readonly Log: LogEvent
  readonly SSLClientAuthentication: SSLClientAuthenticationEvent
  readonly SSLConnectionRequest: SSLConnectionRequestEvent
  readonly SSLStatus: SSLStatusEvent
  readonly WebSocketOpenRequest: WebSocketOpenRequestEvent
}

/**
 * The events of `WebSocketProxy`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WebSocketProxyEvents extends CommonEvents {
  readonly WebSocketOpenRequest: ForwardOpenRequestEvent
}

/**
 * The events of `WSServer`.
 *
 * @category models
 * @since 0.1.0
 */
export interface WSServerEvents extends CommonEvents {
  readonly Ping: PingEvent
  readonly ReadyToSend: ReadyToSendEvent
}
