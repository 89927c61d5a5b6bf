/**
 * Why a TLS handshake with a target failed, in a sentence for the log: OpenSSL's words name its functions and its source
 * files, and not what to do.
 */
import type { X509Certificate } from "node:crypto"
import * as Alerts from "../../tls/Alerts.ts"
import { alertOf } from "./handshakeFault.ts"
import { printable } from "./printable.ts"

const ours = "it does not accept our certificate"

/** What an alert mostly means, where its name does not say it. */
const meanings: Readonly<Record<number, string>> = {
  40: "it has no cipher suite, group or signature algorithm in common with us, or misses our certificate",
  42: ours,
  43: ours,
  44: ours,
  45: ours,
  46: ours,
  48: "it does not trust the authority of our certificate",
  70: "it speaks none of the versions of TLS that are offered",
  71: "it wants stronger cipher suites than those that are offered",
  112: "it has no certificate for the name that it was asked for",
  116: "it wants a certificate of ours",
  120: "it speaks none of the application protocols that are offered"
}

/** OpenSSL's reasons, as Node makes codes of them. */
const noTls = "does not answer in TLS; it may speak without it"
const reasons: Readonly<Record<string, string>> = {
  WRONG_VERSION_NUMBER: noTls,
  PACKET_LENGTH_TOO_LONG: noTls,
  DATA_LENGTH_TOO_LONG: noTls,
  RECORD_LAYER_FAILURE: noTls,
  UNEXPECTED_MESSAGE: noTls,
  BAD_RECORD_TYPE: noTls,
  HTTP_REQUEST: noTls,
  UNSUPPORTED_PROTOCOL: "chose a version of TLS that is not enabled here",
  UNKNOWN_PROTOCOL: noTls,
  NO_CIPHERS_AVAILABLE: "cannot be asked: no cipher suite is enabled here",
  WRONG_CIPHER_RETURNED: "chose a cipher suite that was not offered",
  UNEXPECTED_EOF_WHILE_READING: "closed the connection in the TLS handshake"
}

/** With whom the handshake was. */
export type Peer = "target" | "firewall"

/** Says what an error of the handshake means; the sentence begins with the peer. */
export const handshake = (error: Error, peer: Peer = "target"): string => {
  const code = "code" in error && typeof error.code === "string" ? error.code : ""
  const alert = alertOf(error)
  if (alert !== undefined) {
    const meaning = meanings[alert] === undefined ? "" : `: ${meanings[alert]}`
    return `The ${peer} refused the TLS handshake with the alert ${Alerts.format(alert)}${meaning}.`
  }
  // Node calls a FIN this too, but for the system call
  if (code === "ECONNRESET" && !("syscall" in error)) return `The ${peer} closed the connection in the TLS handshake.`
  if (code === "ECONNRESET" || code === "EPIPE") return `The ${peer} reset the connection in the TLS handshake.`
  const reason = reasons[code.replace("ERR_SSL_", "")]
  if (reason !== undefined) return `The ${peer} ${reason}.`
  const words = "reason" in error && typeof error.reason === "string" ? error.reason : code
  return `The TLS handshake with the ${peer} failed${words === "" ? "" : `: ${words}`}.`
}

/** The most that is repeated of what a certificate says. */
const maxText = 200

const said = (text: string): string => {
  const plain = printable(text, ", ")
  return plain.length > maxText ? `${plain.slice(0, maxText)}…` : plain
}

/** Node's codes for certificates that lead to nobody who is trusted. */
const unknownAuthority = new Set([
  "UNABLE_TO_GET_ISSUER_CERT",
  "UNABLE_TO_GET_ISSUER_CERT_LOCALLY",
  "UNABLE_TO_VERIFY_LEAF_SIGNATURE",
  "SELF_SIGNED_CERT_IN_CHAIN",
  "CERT_UNTRUSTED"
])

const date = (date: Date): string => (Number.isNaN(date.getTime()) ? "an unreadable date" : date.toISOString())

const outdated = (certificate: X509Certificate | undefined, peer: Peer): string => {
  if (certificate === undefined) return `The ${peer}'s certificate is not valid at this time.`
  const now = Date.now()
  if (certificate.validToDate.getTime() < now)
    return `The ${peer}'s certificate has expired: it was valid until ${date(certificate.validToDate)}.`
  if (certificate.validFromDate.getTime() > now) {
    const from = date(certificate.validFromDate)
    return `The ${peer}'s certificate is not yet valid: it is from ${from} on, and the clock here says ${date(new Date(now))}.`
  }
  return `A certificate of an issuer of the ${peer}'s certificate has expired or is not yet valid.`
}

/** What is wrong with a target's certificate, by Node's verdict on it. */
export const certificate = (
  verdict: string,
  name: string,
  presented: X509Certificate | undefined,
  peer: Peer = "target"
): string => {
  switch (verdict) {
    case "CERT_HAS_EXPIRED":
    case "CERT_NOT_YET_VALID":
      return outdated(presented, peer)
    case "DEPTH_ZERO_SELF_SIGNED_CERT":
      return `The ${peer}'s certificate is self-signed, and not a trusted one; give it as ca if it is the right one.`
    case "ERR_TLS_CERT_ALTNAME_INVALID":
    case "HOSTNAME_MISMATCH":
    case "IP_ADDRESS_MISMATCH": {
      const names = presented?.subjectAltName ?? presented?.subject.split("\n").find((part) => part.startsWith("CN="))
      const has = names === undefined ? "names nobody" : `is for ${said(names)}`
      return `The ${peer}'s certificate is not for ${said(name)}: it ${has}; set serverName if that is the ${peer}.`
    }
    case "INVALID_PURPOSE":
      return `The ${peer}'s certificate is not for servers.`
    case "CERT_REVOKED":
      return `The ${peer}'s certificate is revoked.`
    case "CERT_SIGNATURE_FAILURE":
      return `The signature of the ${peer}'s certificate is wrong.`
  }
  if (!unknownAuthority.has(verdict)) return `The ${peer}'s certificate was not accepted: ${said(verdict)}.`
  const issuer = presented === undefined ? "" : ` (${said(presented.issuer)})`
  return `The ${peer}'s certificate is from an authority that is not trusted${issuer}; give its authority's certificate as ca, or have the ${peer} send the certificates in between.`
}
