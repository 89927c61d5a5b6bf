/**
 * TLS for the listener: the options of a server that speaks `wss`, and what can go wrong before it speaks HTTP.
 *
 * `identities` chooses the certificate by the client's ClientHello, which is read for it, in whatever pieces it comes; where one
 * certificate is for all, that is left to TLS itself, which is Node's. All of it has to be done within the listener's
 * `handshakeTimeout`. A client that does not speak TLS gets the alert for that, or 400 if it speaks HTTP, and its connection
 * ends. A handshake that fails costs its own connection and nothing else: it is counted (`websocket_tls_handshakes_total`) and
 * told to `onStatus`.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import type * as Effect from "effect/Effect"
import type { Peer } from "../server/UpgradeListener.ts"
import type { Certificate } from "../tls/Certificate.ts"
import type { Identities } from "../tls/Identities.ts"
import type { Revocation } from "../tls/Revocation.ts"
import type * as TlsSettings from "../tls/TlsSettings.ts"

/**
 * What a client has shown when it was asked for its certificate.
 *
 * @category models
 * @since 0.1.0
 */
export interface Presented {
  /** With the issuers that the client sent. `undefined` if it has shown none. */
  readonly certificate: Certificate | undefined
  /**
   * `OK`, or why it is not trusted, by OpenSSL's name: `CERT_HAS_EXPIRED`, `DEPTH_ZERO_SELF_SIGNED_CERT`, … With a check of
   * revocation also `CERT_REVOKED: …`, `REVOCATION_UNKNOWN: …` and `UNABLE_TO_GET_CRL_ISSUER`. OpenSSL tells the last failure
   * alone, and anybody can make a certificate whose time is over: what is not `OK` says nothing of who it is.
   */
  readonly status: string
}

/**
 * Certificates of clients.
 *
 * **Gotchas**
 *
 * A client that shows none, and must, is refused by TLS with an alert. One that is refused for what it shows sees the end of its
 * connection and no alert: Node finishes each handshake in which a certificate is shown, trusted or not, and has no way to send
 * an alert after that. To give such a client a reason, let `decide` return `true` and refuse its request with an HTTP status, by
 * the `clientCertificateStatus` of its `peer`.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientCertificates {
  /** The authorities that are trusted, in PEM. Their names are sent to clients, so that these can choose a certificate. */
  readonly ca?: ReadonlyArray<string> | undefined
  /** Whether the authorities that the system trusts are trusted, too. Default: only if there is no `ca`. */
  readonly systemCa?: boolean | undefined
  /** Whether a client must show one: TLS refuses it with an alert otherwise. Default: `true`, and `false` with `decide`. */
  readonly required?: boolean | undefined
  /**
   * Checks whether a certificate that is trusted has been revoked, within the `handshakeTimeout`. Then no session is resumed, for
   * its issuer to be known each time. Default: nothing does.
   */
  readonly revocation?: Revocation["Service"] | undefined
  /** Decides whether a certificate is accepted, trusted or not. Default: it has to be trusted. */
  readonly decide?: ((presented: Presented, peer: Peer) => Effect.Effect<boolean>) | undefined
}

/**
 * Only `identities` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Chooses the certificate: see `Identities`. */
  readonly identities: Identities["Service"]
  /** Default: versions from TLS 1.2 on, Node's cipher suites, and `http/1.1` as the only application protocol, with `http2` `h2` before it. */
  readonly settings?: TlsSettings.Options | TlsSettings.TlsSettings | undefined
  /** Asks clients for a certificate. Default: they are not asked. */
  readonly clientCertificates?: ClientCertificates | undefined
  /** Whether the port speaks `ws` as well, told from TLS by the first byte. Default: `false`. */
  readonly plaintext?: boolean | undefined
  /** How long a client may send nothing during the handshake, above 0. Default: as long as `handshakeTimeout` lets it. */
  readonly inactivityTimeout?: Duration.Input | undefined
  /** Is told the steps of each handshake, the alerts, and why one failed: for a log. */
  readonly onStatus?: ((peer: Peer, message: string) => void) | undefined
  /** Is told why a handshake failed. */
  readonly onFailure?: ((peer: Peer, error: TlsHandshakeError) => void) | undefined
  /** Whether `onStatus` is told of each TLS record, too. It slows connections down. Default: `false`. */
  readonly records?: boolean | undefined
}

/**
 * A connection that ended before HTTP could begin.
 *
 * - `NotTls`: the client's first bytes are not a ClientHello.
 * - `NoIdentity`: there is no certificate for the name that the client asks for.
 * - `BadIdentity`: the certificate that was chosen cannot be used.
 * - `ClientCertificate`: the client has not shown one, or it was refused.
 * - `Alert`: the client refused with an alert, such as for a certificate that it does not trust.
 * - `Failed`: the TLS handshake failed, most likely because server and client share no version, cipher suite or group.
 * - `Gone`: the connection ended in between; a browser does that when it is asked for a certificate that it has not chosen yet.
 * - `Unused`: it ended before a byte came, as health checks and port scans do.
 * - `Timeout`, `Inactive`: it took too long.
 *
 * @category errors
 * @since 0.1.0
 */
export class TlsHandshakeError extends Data.TaggedError("TlsHandshakeError")<{
  readonly kind:
    | "NotTls"
    | "NoIdentity"
    | "BadIdentity"
    | "ClientCertificate"
    | "Alert"
    | "Failed"
    | "Gone"
    | "Unused"
    | "Timeout"
    | "Inactive"
  readonly message: string
  /** The alert that still has to be sent, if the failure came before TLS could send it. */
  readonly alert?: number | undefined
  /** Whether the client speaks HTTP in plain text: it is answered with 400. */
  readonly isHttp?: boolean | undefined
  readonly cause?: unknown
}> {}
