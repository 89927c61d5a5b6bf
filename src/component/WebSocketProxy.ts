/**
 * `WebSocketProxy`: puts TCP services behind a WebSocket, as an object with properties, methods and events.
 *
 * ```ts
 * import { WebSocketProxy } from "effect-websocket/component"
 *
 * const proxy = new WebSocketProxy()
 * proxy.localPort = 8080
 * proxy.defaultForwardHost = "localhost"
 * proxy.defaultForwardPort = 5900
 * await proxy.setListening(true)
 * ```
 *
 * The forward host is connected to before the client is answered: if that fails, the Error event says why, and the client gets
 * an HTTP status. All that one side has sent is with the other before the end is passed on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Redacted from "effect/Redacted"
import * as SchemaIssue from "effect/SchemaIssue"
import * as NodeDialer from "../node/NodeDialer.ts"
import { Refusal } from "../protocol/OpeningHandshake.ts"
import * as CoreFirewall from "../proxy/Firewall.ts"
import { dialFailures, pipeWebSocket } from "../proxy/WebSocketProxy.ts"
import type { OpenRequest } from "../server/OpenRequest.ts"
import { ComponentError, fromUnknown, invalid } from "./ComponentError.ts"
import { Certificate } from "./Certificate.ts"
import { ConnectionMap } from "./ConnectionMap.ts"
import { FirewallTypes } from "./Enums.ts"
import type { WebSocketProxyEvents } from "./Events.ts"
import { Firewall } from "./Firewall.ts"
import type { Arrival } from "./internal/arrivals.ts"
import { Component } from "./internal/component.ts"
import { ended, type Ending } from "./internal/ending.ts"
import { withFields } from "./internal/fields.ts"
import { boolean } from "./internal/kinds.ts"
import { ForwardRequested } from "./internal/opening.ts"
import type { Options as SecurityOptions } from "./internal/securing.ts"
import { ProxyLink, unreachable } from "./internal/proxyLink.ts"
import { accept, decide, live } from "./internal/visiting.ts"
import { proxyProperties } from "./Properties.ts"
import type { WebSocketProxyConnection } from "./WebSocketProxyConnection.ts"

/** The seconds that reaching a forward host may take, where DefaultTimeout says nothing. */
const defaultDialTimeout = 10

const badGateway = new Refusal({ status: 502, reason: "The target could not be connected to." })

/** `sslCertStoreType` is the certificate's `storeType`. */
const certificateField = (key: string): string | undefined =>
  key.startsWith("sslCert") ? `${key.charAt(7).toLowerCase()}${key.slice(8)}` : undefined

abstract class Proxy extends Component<WebSocketProxyEvents, ProxyLink> {
  readonly #connections: ConnectionMap<WebSocketProxyConnection> = new ConnectionMap(this.links)

  constructor() {
    super("WebSocketProxy", { defaultForwardHost: "", defaultForwardPort: 0, firewall: new Firewall() })
  }

  /**
   * The connections by their ids: `get` and `item` find one from WebSocketOpenRequest to Disconnected, a loop has it once it is
   * open.
   */
  get connections(): ConnectionMap<WebSocketProxyConnection> {
    return this.#connections
  }
  getConnections(): ConnectionMap<WebSocketProxyConnection> {
    return this.#connections
  }

  /** The fields of the certificate are properties of the proxy itself. */
  protected readonly certificate: Certificate = new Certificate()

  /** @internal */
  override readField(key: string): unknown {
    const field = certificateField(key)
    return field === undefined ? super.readField(key) : this.certificate.readField(field)
  }
  /** @internal */
  override writeField(key: string, value: unknown): void {
    const field = certificateField(key)
    if (field === undefined) return super.writeField(key, value)
    this.certificate.writeField(field, value)
    this.comesLate(key.replace("ssl", "SSL"))
  }
}

/**
 * See the head of this module.
 *
 * @category components
 * @since 0.1.0
 */
export class WebSocketProxy extends withFields(Proxy, proxyProperties) {
  /**
   * Whether it listens. Setting it begins or ends that, which takes a moment. A failure is reported by Error and Log, or by a
   * warning of the process if neither has a listener. To wait, and to get the failure, use `setListening`.
   */
  get listening(): boolean {
    return this.isListening
  }
  set listening(value: boolean) {
    checkListening(value)
    this.setListening(value).catch((error: unknown) => this.host.failed(undefined, error, 10022))
  }

  getListening(): boolean {
    return this.isListening
  }

  /**
   * Begins to listen, or ends it; connections that are open go on. Fails with 104 if it listens already, and with the system's
   * code if it cannot, such as 10048.
   */
  setListening(listening: boolean, ending?: Ending): Promise<void> {
    return ended(ending, (signal) => {
      checkListening(listening)
      return listening ? this.listen(signal) : this.endListening()
    })
  }

  protected override get compresses(): boolean {
    return false
  }

  protected override makeLink(arrival: Arrival, open: OpenRequest): ProxyLink {
    return new ProxyLink(this.host, arrival, open, this.defaultTimeout)
  }

  protected override get security(): SecurityOptions {
    return {
      component: "WebSocketProxy",
      certificate: this.certificate.core,
      asks: true,
      authenticates: this.sslAuthenticateClients
    }
  }

  protected override serve(link: ProxyLink, open: OpenRequest): Effect.Effect<void, Refusal> {
    link.forwardHost = this.defaultForwardHost
    link.forwardPort = this.defaultForwardPort
    const event = new ForwardRequested(link.connectionId, open.request, link.forwardHost, link.forwardPort)
    return Effect.flatMap(decide(link, event), (answer) => {
      link.forwardHost = event.forwardHost
      link.forwardPort = event.forwardPort
      return Effect.flatMap(Effect.raceFirst(this.dial(link), link.abandonment), (upstream) =>
        accept(link, open, answer, (webSocket) => {
          link.webSocket = webSocket
          return live(link, webSocket, pipeWebSocket(webSocket, upstream, link.pipe))
        })
      )
    }).pipe(Effect.scoped)
  }

  private dial(link: ProxyLink) {
    return Effect.suspend(() => {
      const dialer = NodeDialer.make({
        dialTimeout: (this.defaultTimeout || defaultDialTimeout) * 1000,
        firewall: coreFirewall(this.firewall)
      })
      return dialer.dial(link.target())
    }).pipe(
      Effect.catch((error) => {
        const why = unreachable(error)
        return Effect.andThen(
          Metric.update(dialFailures, error.kind),
          Effect.suspend(() => {
            this.host.report(link, why, why.code)
            return Effect.fail(error.refusal)
          })
        )
      }),
      // a target or a firewall that cannot be asked for
      Effect.catchDefect((defect) => {
        this.host.report(link, fromUnknown(defect, 10022), 10022)
        return Effect.fail(badGateway)
      })
    )
  }
}

const checkListening = (value: unknown): void => {
  if (typeof value !== "boolean") throw invalid("Listening", boolean.accepts, value)
}

const says = SchemaIssue.makeFormatterDefault()

/** The firewall that the properties describe; throws 118 if they describe none. */
const coreFirewall = (firewall: Firewall): CoreFirewall.Firewall => {
  try {
    return described(firewall)
  } catch (cause) {
    if (!(cause instanceof Error) || !SchemaIssue.isIssue(cause.cause)) throw cause
    throw new ComponentError(118, { detail: `${says(cause.cause).replaceAll(/\s+/g, " ")}.` })
  }
}

const described = (firewall: Firewall): CoreFirewall.Firewall => {
  const { firewallType, host, password, port, user } = firewall
  if (firewallType === FirewallTypes.fwNone) return CoreFirewall.none
  if (host === "")
    throw new ComponentError(118, { detail: "FirewallHost: expected a name or an address, got nothing." })
  const options = {
    host,
    ...(port === 0 ? {} : { port }),
    ...(user === "" ? {} : { user })
  }
  const secret = password === "" ? {} : { password: Redacted.make(password) }
  switch (firewallType) {
    case FirewallTypes.fwTunnel:
      return new CoreFirewall.Tunnel({ ...options, ...secret })
    case FirewallTypes.fwSOCKS4:
      return new CoreFirewall.Socks4(options)
    case FirewallTypes.fwSOCKS4A:
      return new CoreFirewall.Socks4a(options)
    default:
      return new CoreFirewall.Socks5({ ...options, ...secret })
  }
}
