/**
 * Why a TLS handshake failed, in words: OpenSSL names the place in its code, and only some of that helps.
 */
import * as Alerts from "../../tls/Alerts.ts"
import * as ClientHello from "../../tls/ClientHello.ts"
import { TlsHandshakeError } from "../NodeTls.ts"
import { gone } from "./firstBytes.ts"

/** The alert that OpenSSL sends with an error, and what to do about it. Errors that are not here send one of their own. */
const faults: Readonly<Record<string, readonly [alert: number, hint: string]>> = {
  ERR_SSL_NO_SHARED_CIPHER: [
    40,
    "the client offers no cipher suite that is enabled here and fits the certificate's key"
  ],
  ERR_SSL_NO_SUITABLE_SIGNATURE_ALGORITHM: [
    40,
    "the client takes no signature that the certificate's key makes; a certificate with another kind of key may do"
  ],
  ERR_SSL_NO_SUITABLE_KEY_SHARE: [40, "the client has no group in common with this server"],
  ERR_SSL_NO_SHARED_GROUPS: [40, "the client has no group in common with this server"],
  ERR_SSL_UNSUPPORTED_PROTOCOL: [70, "the client speaks none of the versions that are enabled here"],
  ERR_SSL_VERSION_TOO_LOW: [70, "the client speaks none of the versions that are enabled here"],
  ERR_SSL_WRONG_VERSION_NUMBER: [70, "the client speaks none of the versions that are enabled here"],
  ERR_SSL_NO_APPLICATION_PROTOCOL: [120, "the client offers none of the application protocols that are enabled here"],
  ERR_SSL_INAPPROPRIATE_FALLBACK: [86, "the client fell back to an older version than both speak"],
  ERR_SSL_DECRYPTION_FAILED_OR_BAD_RECORD_MAC: [20, "a record was damaged on its way"],
  ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE: [116, "the client has shown no certificate, and it must"]
}

/** What OpenSSL says of what is no TLS, where nobody has looked at it before. */
const notTls: Readonly<Record<string, string>> = {
  ERR_SSL_HTTP_REQUEST: "expected TLS, got an HTTP request in plain text",
  ERR_SSL_HTTPS_PROXY_REQUEST: "expected TLS, got a request for an HTTP proxy in plain text",
  ERR_SSL_WRONG_VERSION_NUMBER: "what came is no TLS",
  ERR_SSL_PACKET_LENGTH_TOO_LONG: "what came is no TLS",
  ERR_SSL_DATA_LENGTH_TOO_LONG: "what came is no TLS",
  ERR_SSL_UNEXPECTED_MESSAGE: "what came is no handshake of TLS"
}

export const isHttp = ({ code }: NodeJS.ErrnoException): boolean =>
  code === "ERR_SSL_HTTP_REQUEST" || code === "ERR_SSL_HTTPS_PROXY_REQUEST"

const connectionErrors = new Set(["ECONNRESET", "EPIPE", "ECONNABORTED", "ERR_STREAM_PREMATURE_CLOSE"])

/** What the client's alerts are mostly about. */
const received = (alert: number): string =>
  alert >= 42 && alert <= 48
    ? "it does not accept the certificate; it may not trust the issuer, or expect another name"
    : "it does not go on"

export interface Fault {
  readonly error: TlsHandshakeError
  /** An alert that TLS has sent or received. */
  readonly alert: { readonly direction: "received" | "sent"; readonly number: number } | undefined
}

const failed = (kind: TlsHandshakeError["kind"], message: string, cause: unknown) =>
  new TlsHandshakeError({ kind, message, cause })

/** `hello` is there if it was read before TLS read it. */
export const faultOf = (cause: NodeJS.ErrnoException, hello: ClientHello.ClientHello | undefined): Fault => {
  const code = cause.code ?? ""
  if (connectionErrors.has(code)) return { error: gone, alert: undefined }
  const alert = alertOf(cause)
  if (alert !== undefined) {
    const message = `the client refused with the alert ${Alerts.format(alert)}: ${received(alert)}`
    return { error: failed("Alert", message, cause), alert: { direction: "received", number: alert } }
  }
  if (hello === undefined && Object.hasOwn(notTls, code)) {
    return { error: failed("NotTls", notTls[code]!, cause), alert: undefined }
  }
  const fault = faults[code]
  if (fault === undefined) {
    return { error: failed("Failed", `TLS failed with ${code || cause.message}`, cause), alert: undefined }
  }
  const [sent, hint] = fault
  const isCertificate = code === "ERR_SSL_PEER_DID_NOT_RETURN_A_CERTIFICATE"
  const newest = hello === undefined ? Infinity : ClientHello.newestVersion(hello)
  // before TLS 1.3 there was no alert of its own (RFC 8446 section 6.2), and SSL 3.0 had few
  const number = (isCertificate && newest < 0x0304) || newest < 0x0301 ? 40 : sent
  return {
    error: failed(isCertificate ? "ClientCertificate" : "Failed", `${hint} (${code})`, cause),
    alert: { direction: "sent", number }
  }
}

/** The number of an alert that came, as OpenSSL's message has it. */
export const alertOf = ({ message }: Error): number | undefined => {
  const number = /alert number (\d+)/.exec(message)?.[1]
  return number === undefined ? undefined : Number(number)
}
