/**
 * All that is wrong with a certificate that a client shows, and with those that vouch for it (RFC 5280 section 6.1), by OpenSSL's
 * names. OpenSSL itself tells the last failure that it finds and no other, so that anybody's certificate whose time is over is
 * `CERT_HAS_EXPIRED`: who overlooks one failure has to know the rest. What is not looked at here, such as the names that an
 * authority may vouch for, is a failure where it would matter.
 */
import { X509Certificate } from "node:crypto"
import { Certificate } from "../Certificate.ts"
import * as Asn1 from "./asn1.ts"
import * as Extensions from "./extensions.ts"
import * as Signature from "./signature.ts"
import * as X509 from "./x509.ts"

/** The most certificates above the client's own. */
const maxPath = 10

const isIssuer = (issuer: X509Certificate, certificate: X509Certificate): boolean => {
  try {
    return certificate.checkIssued(issuer) && certificate.verify(issuer.publicKey)
  } catch {
    // a key that signs nothing
    return false
  }
}

/** From the client's certificate up to one that is its own issuer, as far as it goes. */
const pathOf = (
  leaf: X509Certificate,
  sent: ReadonlyArray<X509Certificate>,
  trusted: ReadonlyArray<X509Certificate>
): ReadonlyArray<X509Certificate> => {
  const path = [leaf]
  for (let at = leaf; path.length <= maxPath && !isIssuer(at, at);) {
    const issuer = [...trusted, ...sent].find((it) => !path.includes(it) && isIssuer(it, at))
    if (issuer === undefined) break
    path.push(issuer)
    at = issuer
  }
  return path
}

const trustFailure = (
  path: ReadonlyArray<X509Certificate>,
  trusted: ReadonlyArray<X509Certificate>
): string | undefined => {
  const top = path.at(-1)!
  if (!isIssuer(top, top)) return "UNABLE_TO_GET_ISSUER_CERT"
  if (trusted.some(({ raw }) => raw.equals(top.raw))) return undefined
  return path.length === 1 ? "DEPTH_ZERO_SELF_SIGNED_CERT" : "SELF_SIGNED_CERT_IN_CHAIN"
}

const clientAuth = "1.3.6.1.5.5.7.3.2"
const basicConstraints = "2.5.29.19"
const nameConstraints = "2.5.29.30"

/** Those that are understood here, or say nothing about what may be vouched for: usages, names, lists and policies. */
const known = new Set(["14", "15", "17", "19", "30", "31", "32", "35", "37"].map((last) => `2.5.29.${last}`))

/** How many certificates of authorities may be below this one's; `undefined` if it does not say. */
const pathLength = ({ value }: Extensions.Extension): number | undefined => {
  const limit = Asn1.sequence(Asn1.decode(value, "basic constraints"), "basic constraints").at(-1)
  return Asn1.isInteger(limit) ? Asn1.integer(limit, "the length of the path") : undefined
}

/** The least bits of keys, by OpenSSL's security level 2; those of other kinds are of one length. */
const leastBits: Readonly<Record<string, number>> = { rsa: 2048, "rsa-pss": 2048, dsa: 2048, ec: 224 }

const isSmall = ({ publicKey, publicKeyLength }: Certificate): boolean =>
  publicKeyLength < (leastBits[publicKey?.asymmetricKeyType ?? ""] ?? 0)

/** Names that tell a hash, and NIST's identifiers, of which none is of a weaker one. */
const sound = /_SHA(224|256|384|512)|^ED\d|^2\.16\.840\.1\.101\.3\.4\.3\./

/** Whether a certificate is signed by a hash that others may have, too: SHA-1, MD5 and what is not known. */
const isWeaklySigned = ({ der, signatureAlgorithm }: Certificate): boolean => {
  if (signatureAlgorithm !== "RSA_SSA_PSS") return !sound.test(signatureAlgorithm)
  const [, algorithm] = Asn1.sequence(Asn1.decode(der!, "the certificate"), "the certificate")
  return algorithm === undefined || !Signature.isAccepted(algorithm.der)
}

/** What is wrong with one certificate, so many above the client's own. */
const own = (x509: X509Certificate, above: number, isTop: boolean, isStrict: boolean): ReadonlyArray<string> => {
  const failures: Array<string> = []
  const now = Date.now()
  const certificate = new Certificate({ der: x509.raw })
  const { extendedKeyUsage, usageFlags } = certificate
  if (x509.validFromDate.getTime() > now) failures.push("CERT_NOT_YET_VALID")
  if (x509.validToDate.getTime() < now) failures.push("CERT_HAS_EXPIRED")
  const mayNotSign = above === 0 && usageFlags !== 0 && (usageFlags & 0x88) === 0
  if (mayNotSign || (extendedKeyUsage.length > 0 && !extendedKeyUsage.includes(clientAuth))) {
    failures.push("INVALID_PURPOSE")
  }
  if (isStrict && isSmall(certificate)) failures.push(above === 0 ? "EE_KEY_TOO_SMALL" : "CA_KEY_TOO_SMALL")
  // that of a root is not looked at
  if (isStrict && !isTop && isWeaklySigned(certificate)) failures.push("CA_MD_TOO_WEAK")
  const extensions = X509.extensionsOf(x509.raw)
  if (Extensions.unknown(extensions, known).length > 0) failures.push("UNHANDLED_CRITICAL_EXTENSION")
  if (above === 0) return failures
  // a root of version 1 cannot say that it is an authority
  if (!x509.ca && !(isTop && certificate.version === "V1")) failures.push("INVALID_CA")
  if (extensions.has(nameConstraints)) failures.push("PERMITTED_VIOLATION")
  const constraints = extensions.get(basicConstraints)
  if (constraints !== undefined && (pathLength(constraints) ?? above) < above - 1) failures.push("PATH_LENGTH_EXCEEDED")
  return failures
}

export interface Vouched {
  readonly failures: ReadonlyArray<string>
  /** The client's own issuer, if it is known. */
  readonly issuer: Certificate | undefined
}

/**
 * Looks at a certificate and those that came with it; `trusted` are the authorities. `isStrict` is false at OpenSSL's security level
 * 0, where keys and signatures may be weak.
 */
export const look = (certificate: Certificate, trusted: ReadonlyArray<X509Certificate>, isStrict: boolean): Vouched => {
  const leaf = certificate.x509
  try {
    if (leaf === undefined) return { failures: ["UNSPECIFIED"], issuer: undefined }
    const sent = certificate.chain.map((der) => new X509Certificate(der))
    const path = pathOf(leaf, sent, trusted)
    const failures = path.flatMap((it, i) => own(it, i, i === path.length - 1, isStrict))
    const [, issuer] = path
    return {
      failures: [trustFailure(path, trusted) ?? [], failures].flat(),
      issuer: issuer === undefined ? undefined : new Certificate({ der: issuer.raw })
    }
  } catch {
    // one that cannot be read to its end
    return { failures: ["UNSPECIFIED"], issuer: undefined }
  }
}
