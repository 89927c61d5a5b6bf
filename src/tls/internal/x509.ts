/**
 * The fields of a certificate (RFC 5280 section 4.1) that Node does not tell or tells in words of its own. A part that cannot
 * be read is left empty: a certificate that TLS can use is shown as far as it goes.
 */
import * as NetAddress from "effect/net/NetAddress"
import * as Asn1 from "./asn1.ts"
import * as DistinguishedName from "../../protocol/internal/distinguishedName.ts"
import * as Extensions from "./extensions.ts"

/** One alternative name of a subject (RFC 5280 section 4.2.1.6). */
export interface AlternativeName {
  readonly type: "DNS" | "IP" | "Email" | "URI" | "DirectoryName" | "RegisteredId" | "Other"
  readonly value: string
}

export interface Fields {
  readonly version: number
  readonly serialNumber: string
  readonly signatureAlgorithm: string
  readonly issuer: ReadonlyArray<DistinguishedName.Attribute>
  readonly subject: ReadonlyArray<DistinguishedName.Attribute>
  /** The object identifier of the public key's algorithm. */
  readonly publicKeyAlgorithm: string
  readonly usageFlags: number
  readonly extendedKeyUsage: ReadonlyArray<string>
  readonly alternativeNames: ReadonlyArray<AlternativeName>
}

/** The names that Windows gives these algorithms, which the documented `RSA_MD5RSA` is one of. */
const signatureAlgorithms: Readonly<Record<string, string>> = {
  "1.2.840.113549.1.1.2": "RSA_MD2RSA",
  "1.2.840.113549.1.1.4": "RSA_MD5RSA",
  "1.2.840.113549.1.1.5": "RSA_SHA1RSA",
  "1.2.840.113549.1.1.10": "RSA_SSA_PSS",
  "1.2.840.113549.1.1.11": "RSA_SHA256RSA",
  "1.2.840.113549.1.1.12": "RSA_SHA384RSA",
  "1.2.840.113549.1.1.13": "RSA_SHA512RSA",
  "1.2.840.113549.1.1.14": "RSA_SHA224RSA",
  "1.2.840.10040.4.3": "DSA_SHA1",
  "2.16.840.1.101.3.4.3.1": "DSA_SHA224",
  "2.16.840.1.101.3.4.3.2": "DSA_SHA256",
  "1.2.840.10045.4.1": "ECDSA_SHA1",
  "1.2.840.10045.4.3.1": "ECDSA_SHA224",
  "1.2.840.10045.4.3.2": "ECDSA_SHA256",
  "1.2.840.10045.4.3.3": "ECDSA_SHA384",
  "1.2.840.10045.4.3.4": "ECDSA_SHA512",
  "1.3.101.112": "ED25519",
  "1.3.101.113": "ED448"
}

const orElse = <A>(read: () => A, fallback: A): A => {
  try {
    return read()
  } catch {
    return fallback
  }
}

/** A distinguished name. */
const nameOf = (node: Asn1.Node | undefined): ReadonlyArray<DistinguishedName.Attribute> =>
  DistinguishedName.ordered(
    Asn1.sequence(node, "the name")
      .flatMap((relative) => Asn1.set(relative, "a part of the name"))
      .map((pair) => {
        const [type, value] = Asn1.sequence(pair, "an attribute of the name")
        return {
          type: Asn1.oid(type, "the type of an attribute of the name"),
          value: value?.text ?? `#${hex(value?.der ?? new Uint8Array())}`
        }
      })
  )

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex")

const address = (bytes: Uint8Array): string => {
  if (bytes.length === 4) return NetAddress.ipv4FromBytesUnsafe(bytes).toString()
  if (bytes.length === 16) return NetAddress.ipv6FromBytesUnsafe(bytes).toString()
  return hex(bytes)
}

const alternativeName = (node: Asn1.Node): AlternativeName => {
  const text = () => Buffer.from(node.content).toString("latin1")
  if (node.isContext(1)) return { type: "Email", value: text() }
  if (node.isContext(2)) return { type: "DNS", value: text() }
  if (node.isContext(6)) return { type: "URI", value: text() }
  if (node.isContext(7)) return { type: "IP", value: address(node.content) }
  if (node.isContext(4)) {
    const name = nameOf(node.children[0])
    return { type: "DirectoryName", value: DistinguishedName.format(name) }
  }
  if (node.isContext(8)) {
    // an implicit tag stands where the tag of an object identifier would
    const identifier = Buffer.concat([Buffer.of(6), node.der.subarray(1)])
    return { type: "RegisteredId", value: Asn1.oid(Asn1.decode(identifier, "the name"), "the name") }
  }
  const [, value] = node.isContext(0) ? node.children : []
  return { type: "Other", value: value?.children[0]?.text ?? hex(node.der) }
}

const usageFlags = (extension: Uint8Array): number =>
  Asn1.bits(Asn1.decode(extension, "key usage"), "key usage")[0] ?? 0

const extendedKeyUsage = (extension: Uint8Array): ReadonlyArray<string> =>
  Asn1.sequence(Asn1.decode(extension, "extended key usage"), "extended key usage").map((node) =>
    Asn1.oid(node, "a purpose")
  )

const alternativeNames = (extension: Uint8Array): ReadonlyArray<AlternativeName> =>
  Asn1.sequence(Asn1.decode(extension, "alternative names"), "alternative names").map(alternativeName)

const extensions = (fields: ReadonlyArray<Asn1.Node>): Extensions.Extensions => {
  const node = fields.find((field) => field.isContext(3))
  return node === undefined ? Extensions.none : Extensions.read(node.children[0])
}

const empty: Fields = {
  version: 0,
  serialNumber: "",
  signatureAlgorithm: "",
  issuer: [],
  subject: [],
  publicKeyAlgorithm: "",
  usageFlags: 0,
  extendedKeyUsage: [],
  alternativeNames: []
}

/** The extensions of a certificate in DER; throws `Malformed`. */
export const extensionsOf = (der: Uint8Array): Extensions.Extensions => {
  const [body] = Asn1.sequence(Asn1.decode(der, "the certificate"), "the certificate")
  return extensions(Asn1.sequence(body, "the certificate's body"))
}

/** Reads the fields of a certificate in DER. */
export const read = (der: Uint8Array): Fields =>
  orElse(() => {
    const [body, algorithm] = Asn1.sequence(Asn1.decode(der, "the certificate"), "the certificate")
    const all = Asn1.sequence(body, "the certificate's body")
    const version = all[0]?.isContext(0) === true ? all[0].children[0] : undefined
    // serialNumber, signature, issuer, validity, subject, subjectPublicKeyInfo
    const [serial, , issuer, , subject, keyInfo] = version === undefined ? all : all.slice(1)
    const found = orElse(() => extensions(all), Extensions.none)
    const extension = <A>(id: string, read: (value: Uint8Array) => A, fallback: A): A => {
      const value = found.get(id)?.value
      return value === undefined ? fallback : orElse(() => read(value), fallback)
    }
    const algorithmOf = (node: Asn1.Node | undefined) =>
      orElse(() => Asn1.oid(Asn1.sequence(node, "the algorithm")[0], "the algorithm"), "")
    const signature = algorithmOf(algorithm)
    return {
      version: version === undefined ? 1 : orElse(() => Asn1.integer(version, "the version") + 1, 0),
      // a byte of zeros keeps a number with its highest bit set from being negative
      serialNumber: hex(serial?.content ?? new Uint8Array(0)).replace(/^00(?=[89a-f])/, ""),
      signatureAlgorithm: signatureAlgorithms[signature] ?? signature,
      issuer: orElse(() => nameOf(issuer), []),
      subject: orElse(() => nameOf(subject), []),
      publicKeyAlgorithm: algorithmOf(keyInfo?.children[0]),
      usageFlags: extension("2.5.29.15", usageFlags, 0),
      extendedKeyUsage: extension("2.5.29.37", extendedKeyUsage, []),
      alternativeNames: extension("2.5.29.17", alternativeNames, [])
    }
  }, empty)
