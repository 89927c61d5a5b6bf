/**
 * A connection of the server.
 */
import * as Effect from "effect/Effect"
import { Connection } from "../../connection/internal/connection.ts"
import type { WebSocket } from "../../connection/WebSocket.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import type { Gathering } from "../../protocol/MessageEvent.ts"
import type { Session } from "../../tls/TlsSession.ts"
import { ComponentError } from "../ComponentError.ts"
import { DataFormats } from "../Enums.ts"
import type { WSServerEvents } from "../Events.ts"
import { WSConnection } from "../WSConnection.ts"
import { Ahead } from "./ahead.ts"
import { Link } from "./link.ts"
import { Receiving } from "./receiving.ts"
import { Sending } from "./sending.ts"
import type { Transfer } from "./transfer.ts"

export class ServerLink extends Link<WSServerEvents> {
  readonly view = new WSConnection(this)
  readonly receiving = new Receiving(this)
  sending: Sending | undefined
  transfer: Transfer | undefined
  private ahead: Ahead | undefined
  /** What was set while the request was decided, for when the connection is open. */
  private early: { readonly dataFormat?: DataFormats; readonly messageLength?: number } | undefined

  /** The connection is open. */
  opened(webSocket: WebSocket, gathering: Gathering): Ahead {
    // every WebSocket that this package makes is a Connection
    if (!(webSocket instanceof Connection)) throw new TypeError("expected a WebSocket of this package")
    this.webSocket = webSocket
    this.sending = new Sending(this, webSocket)
    const { early } = this
    this.early = undefined
    this.sending.dataFormat = early?.dataFormat ?? DataFormats.dfAutomatic
    this.sending.segments.begin(early?.messageLength ?? 0)
    this.receiving.attach(webSocket)
    this.ahead = new Ahead(webSocket, gathering, this.host.fork)
    return this.ahead
  }

  /** Sends a ping. A listener holds the reading up, which must go on for the pong. */
  ping(signal: AbortSignal | undefined): Promise<void> {
    const { ahead, output } = this
    return output.ping(signal, (ping) => (ahead === undefined ? ping : ahead.during(ping)))
  }

  /** Sending on the connection, which must be open. */
  get output(): Sending {
    if (this.sending === undefined) throw new ComponentError(10057)
    return this.sending
  }

  get dataFormat(): DataFormats {
    return this.sending?.dataFormat ?? this.early?.dataFormat ?? DataFormats.dfAutomatic
  }
  set dataFormat(dataFormat: DataFormats) {
    if (this.sending === undefined) this.early = { ...this.early, dataFormat }
    else this.sending.dataFormat = dataFormat
  }

  private get messageLength(): number {
    return this.sending?.segments.remaining ?? this.early?.messageLength ?? 0
  }
  private set messageLength(messageLength: number) {
    if (this.sending === undefined) this.early = { ...this.early, messageLength }
    else this.sending.segments.begin(messageLength)
  }

  /** Gives out what comes, until the end. */
  run(ahead: Ahead): Effect.Effect<void, WebSocketError> {
    return ahead.flow((events) => {
      const given = this.receiving.deliver(events, 0)
      // what was answered goes before what the next pull decides
      if (given !== undefined)
        return Effect.andThen(
          Effect.promise(() => given),
          Effect.suspend(() => this.sending?.land() ?? Effect.void)
        )
      return this.sending?.land()
    })
  }

  /** Files and streams are waited for, and are messages of their own. */
  mayTransfer(): void {
    if (this.timeout === 0 && this.session === undefined) throw new ComponentError(135)
    if (this.output.segments.isWithin) throw new ComponentError(135)
    this.output.mustBeOpen()
  }

  /** Sends a file or a stream. */
  send(transfer: Transfer, signal: AbortSignal | undefined): Promise<void> {
    this.output.flush()
    return transfer.run(this.output, signal, () => {
      this.transfer = transfer
    })
  }

  override get landed(): Effect.Effect<void> {
    return this.sending?.landed ?? Effect.void
  }

  override wake(): void {
    super.wake()
    this.receiving.process()
  }

  readSetting(name: string): unknown {
    if (name === "MaxLineLength") return this.receiving.maxLineLength
    if (name === "MessageLength") return this.messageLength
    return negotiated(name, this.session)
  }

  writeSetting(name: string, value: unknown): void {
    // of the kind that their settings have checked
    if (name === "MaxLineLength") this.receiving.setMaxLineLength(value as number)
    if (name === "MessageLength") this.messageLength = value as number
  }
}

/** What TLS agreed on, as text; empty without TLS, and where it is not known. */
const negotiated = (name: string, session: Session | undefined): string => {
  if (session === undefined) return ""
  const { cipherSuite, keyExchange, keyExchangeBits, version } = session
  switch (name) {
    case "SSLNegotiatedCipher":
      return cipherSuite.opensslName
    case "SSLNegotiatedCipherSuite":
      return cipherSuite.name
    case "SSLNegotiatedCipherStrength":
      return String(cipherSuite.bits)
    case "SSLNegotiatedKeyExchange":
      return keyExchange ?? ""
    case "SSLNegotiatedKeyExchangeStrength":
      return keyExchangeBits === undefined ? "" : String(keyExchangeBits)
    default:
      return version
  }
}
