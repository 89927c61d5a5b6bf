/** What of a certificate and its issuer matters to whether it is revoked (RFC 5280 sections 4.2.1.13 and 4.2.2.1). */
import type { X509Certificate } from "node:crypto"
import * as Asn1 from "./asn1.ts"
import * as Extensions from "./extensions.ts"

export interface Revocable {
  /** The content of the serial number. */
  readonly serialNumber: Uint8Array
  /** The issuer's name in DER. */
  readonly issuerName: Uint8Array
  /** The content of the issuer's public key, without what says its algorithm. */
  readonly issuerKey: Uint8Array
  readonly issuer: X509Certificate
  readonly isAuthority: boolean
  /** Whether the issuer may sign revocation lists. */
  readonly issuerSignsLists: boolean
  /** Where its revocation lists are, whatever the scheme. */
  readonly lists: ReadonlyArray<string>
  /** Where OCSP responders are, whatever the scheme. */
  readonly responders: ReadonlyArray<string>
}

/** The URIs among general names. */
const uris = (names: ReadonlyArray<Asn1.Node>): ReadonlyArray<string> =>
  names.filter((name) => name.isContext(6)).map((name) => Buffer.from(name.content).toString("latin1"))

/** The URIs of a DistributionPointName: a full name, and not one that is relative to the issuer's. */
export const pointUris = (point: Asn1.Node | undefined): ReadonlyArray<string> => {
  const name = point?.children[0]
  return name?.isContext(0) === true ? uris(name.children) : []
}

const listsOf = (extension: Uint8Array): ReadonlyArray<string> =>
  Asn1.sequence(Asn1.decode(extension, "the distribution points"), "the distribution points").flatMap((point) => {
    const parts = Asn1.sequence(point, "a distribution point")
    // a list by another issuer, which nothing vouches for here
    if (parts.some((part) => part.isContext(2))) return []
    return pointUris(parts.find((part) => part.isContext(0)))
  })

const respondersOf = (extension: Uint8Array): ReadonlyArray<string> =>
  Asn1.sequence(Asn1.decode(extension, "the authority's access"), "the authority's access").flatMap((description) => {
    const [method, ...location] = Asn1.sequence(description, "an access of the authority")
    return Asn1.oid(method, "the method of access") === "1.3.6.1.5.5.7.48.1" ? uris(location) : []
  })

interface Body {
  readonly serialNumber: Asn1.Node | undefined
  readonly issuer: Asn1.Node | undefined
  readonly keyInfo: Asn1.Node | undefined
  readonly extensions: Extensions.Extensions
}

const bodyOf = (der: Uint8Array): Body => {
  const [body] = Asn1.sequence(Asn1.decode(der, "the certificate"), "the certificate")
  const all = Asn1.sequence(body, "the certificate's body")
  const [serialNumber, , issuer, , , keyInfo] = all[0]?.isContext(0) === true ? all.slice(1) : all
  const extensions = all.find((field) => field.isContext(3))
  return {
    serialNumber,
    issuer,
    keyInfo,
    extensions: extensions === undefined ? Extensions.none : Extensions.read(extensions.children[0])
  }
}

/** Throws `Malformed`. */
export const read = (certificate: X509Certificate, issuer: X509Certificate): Revocable => {
  const own = bodyOf(certificate.raw)
  const above = bodyOf(issuer.raw)
  const value = (id: string, read: (value: Uint8Array) => ReadonlyArray<string>) => {
    const extension = own.extensions.get(id)
    return extension === undefined ? [] : read(extension.value)
  }
  const usage = above.extensions.get("2.5.29.15")
  const usageFlags =
    usage === undefined ? 0xff : (Asn1.bits(Asn1.decode(usage.value, "key usage"), "key usage")[0] ?? 0)
  return {
    serialNumber: own.serialNumber?.content ?? new Uint8Array(0),
    issuerName: own.issuer?.der ?? new Uint8Array(0),
    issuerKey: Asn1.bits(Asn1.sequence(above.keyInfo, "the issuer's key")[1], "the issuer's key"),
    issuer,
    isAuthority: certificate.ca,
    issuerSignsLists: (usageFlags & 0x02) !== 0,
    lists: value("2.5.29.31", listsOf),
    responders: value("1.3.6.1.5.5.7.1.1", respondersOf)
  }
}
