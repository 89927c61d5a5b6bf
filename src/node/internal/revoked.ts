/**
 * Whether a client's certificate that is trusted has been revoked, as its status.
 */
import * as Effect from "effect/Effect"
import { X509Certificate } from "node:crypto"
import * as tls from "node:tls"
import { Certificate } from "../../tls/Certificate.ts"
import type { Revocation } from "../../tls/Revocation.ts"
import type { Presented } from "../NodeTls.ts"

const isIssuer = (issuer: X509Certificate, { x509 }: Certificate): boolean =>
  x509?.checkIssued(issuer) === true && x509.verify(issuer.publicKey)

/** Certificates of PEM texts, each of which may be several. */
const readAll = (pems: ReadonlyArray<string>): ReadonlyArray<X509Certificate> =>
  pems.flatMap((pem) =>
    (pem.match(/-----BEGIN [A-Z ]*CERTIFICATE-----[^-]*-----END [A-Z ]*CERTIFICATE-----/g) ?? []).flatMap((one) => {
      try {
        return [new X509Certificate(one)]
      } catch {
        // TLS has taken it, and finds nobody by it
        return []
      }
    })
  )

/** Checks what is shown against the authorities whom TLS trusts; `undefined` stands for those of Node. */
export const checking = (
  revocation: Revocation["Service"],
  authorities: ReadonlyArray<string> | undefined
): ((presented: Presented) => Effect.Effect<Presented>) => {
  let trusted: ReadonlyArray<X509Certificate> | undefined
  const issuerOf = (certificate: Certificate): Certificate | undefined => {
    const sent = certificate.chain.slice(0, 1).map((der) => new X509Certificate(der))
    trusted ??= readAll(authorities ?? tls.getCACertificates("default"))
    const issuer = [...sent, ...trusted].find((it) => isIssuer(it, certificate))
    return issuer === undefined ? undefined : new Certificate({ der: issuer.raw })
  }
  return (presented) => {
    const { certificate, status } = presented
    if (certificate === undefined || status !== "OK") return Effect.succeed(presented)
    const issuer = issuerOf(certificate)
    const become = (status: string): Presented => ({ certificate, status })
    return issuer === undefined
      ? Effect.succeed(become("UNABLE_TO_GET_CRL_ISSUER"))
      : Effect.match(revocation.check(certificate, issuer), {
          onFailure: ({ message, reason }) =>
            become(`${reason._tag === "Revoked" ? "CERT_REVOKED" : "REVOCATION_UNKNOWN"}: ${message}`),
          onSuccess: () => presented
        })
  }
}
