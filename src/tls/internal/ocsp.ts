/**
 * The Online Certificate Status Protocol (RFC 6960): the question about one certificate, and the answer to it. An answer is
 * signed by the certificate's issuer, or by whom the issuer has made its responder.
 */
import { createHash, X509Certificate } from "node:crypto"
import * as Asn1 from "./asn1.ts"
import * as Extensions from "./extensions.ts"
import { malformed } from "./malformed.ts"
import { type Reason, reasonOf } from "./reasons.ts"
import type { Revocable } from "./revocable.ts"
import * as Signature from "./signature.ts"
import * as Tlv from "./tlv.ts"

const nonceId = "1.3.6.1.5.5.7.48.1.2"
const basicId = "1.3.6.1.5.5.7.48.1.1"
const signingPurpose = "1.3.6.1.5.5.7.3.9"
const sha1Id = "1.3.14.3.2.26"

/** Object identifiers in DER. */
const sha1Der = Buffer.from("06052b0e03021a", "hex")
const nonceDer = Buffer.from("06092b0601050507300102", "hex")

const { encode, tags } = Tlv

// which only names the issuer here: it is what every responder knows
const sha1 = (bytes: Uint8Array): Uint8Array => createHash("sha1").update(bytes).digest()

const sequence = (...parts: ReadonlyArray<Uint8Array>) => encode(tags.sequence, ...parts)

/** The OCSPRequest for a certificate, with a nonce or without. */
export const request = (certificate: Revocable, nonce: Uint8Array | undefined): Uint8Array => {
  const id = sequence(
    sequence(sha1Der, encode(tags.null)),
    encode(tags.octetString, sha1(certificate.issuerName)),
    encode(tags.octetString, sha1(certificate.issuerKey)),
    encode(tags.integer, certificate.serialNumber)
  )
  const list = sequence(sequence(id))
  if (nonce === undefined) return sequence(sequence(list))
  const extension = sequence(nonceDer, encode(tags.octetString, encode(tags.octetString, nonce)))
  return sequence(sequence(list, encode(0xa2, sequence(extension))))
}

export type Status =
  | { readonly _tag: "Good" }
  | { readonly _tag: "Revoked"; readonly at: number; readonly reason: Reason }
  | { readonly _tag: "Unknown" }

export interface Answer {
  readonly status: Status
  readonly thisUpdate: number
  /** When there will be news; without it there always are. */
  readonly nextUpdate: number | undefined
}

export interface Response extends Signature.Signed {
  readonly responder: Asn1.Node
  readonly answers: ReadonlyArray<Asn1.Node>
  readonly nonce: Uint8Array | undefined
  /** The certificates that came with it, in DER. */
  readonly certificates: ReadonlyArray<Uint8Array>
}

const failures: Readonly<Record<number, string>> = {
  1: "the responder could not read the request",
  2: "the responder has an error of its own",
  3: "the responder wants to be asked later",
  5: "the responder wants a signed request",
  6: "the responder does not answer us about this certificate"
}

/** An extension's value is a DER value of its own; some write the nonce bare. */
const nonceOf = (extensions: Extensions.Extensions): Uint8Array | undefined => {
  const value = extensions.get(nonceId)?.value
  if (value === undefined) return undefined
  return value[0] === tags.octetString && value[1] === value.length - 2 ? value.subarray(2) : value
}

/** Of the response, or of an answer in it: what is critical may mean that it does not say what it seems to (section 4.4). */
const refuseUnknown = (extensions: Extensions.Extensions, known: ReadonlySet<string>): void => {
  const [strange] = Extensions.unknown(extensions, known)
  if (strange !== undefined) throw malformed(`the response has an extension that is not read here (${strange})`)
}

/** The most certificates that are looked at for the responder's. */
const maxCertificates = 8

/** Reads an OCSPResponse; throws `Malformed`, also for one that is no answer. */
export const parse = (bytes: Uint8Array): Response => {
  const [status, wrapped] = Asn1.sequence(Asn1.decode(bytes, "the response"), "the response")
  const code = status?.content[0] ?? 255
  if (code !== 0) throw malformed(failures[code] ?? `the responder failed with status ${code}`)
  const [type, content] = Asn1.sequence(Asn1.explicit(wrapped, 0, "the content of the response"), "the content")
  if (Asn1.oid(type, "the type of the response") !== basicId) throw malformed("the response is of an unknown type")
  const octets = Asn1.octets(content, "the response")
  const [data, algorithm, signature, certificates] = Asn1.sequence(Asn1.decode(octets, "the response"), "the response")
  const fields = [...Asn1.sequence(data, "the data of the response")]
  if (fields[0]?.isContext(0) === true) fields.shift()
  const [responder, , answers, list] = fields
  if (data === undefined || algorithm === undefined || responder === undefined) throw malformed("the response is cut")
  const extensions = list?.isContext(1) === true ? Extensions.read(list.children[0]) : Extensions.none
  refuseUnknown(extensions, new Set([nonceId]))
  return {
    body: data.der,
    algorithm: algorithm.der,
    signature: Asn1.bits(signature, "the signature"),
    responder,
    answers: Asn1.sequence(answers, "the answers"),
    nonce: nonceOf(extensions),
    certificates:
      certificates?.isContext(0) === true
        ? Asn1.sequence(certificates.children[0], "the certificates")
            .slice(0, maxCertificates)
            .map(({ der }) => der)
        : []
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

/** Whether a responder calls itself by this name or this key. */
const isBy = (responder: Asn1.Node, name: Uint8Array, key: Uint8Array): boolean => {
  const [value] = responder.children
  if (value === undefined) return false
  return responder.isContext(1) ? same(value.der, name) : responder.isContext(2) && same(value.content, sha1(key))
}

/** The subject and the key of a certificate, and how it is signed. */
const partsOf = (der: Uint8Array) => {
  const [body, algorithm, signature] = Asn1.sequence(Asn1.decode(der, "a certificate"), "a certificate")
  const all = Asn1.sequence(body, "a certificate's body")
  const [, , , , subject, keyInfo] = all[0]?.isContext(0) === true ? all.slice(1) : all
  const none = new Uint8Array(0)
  const signed: Signature.Signed = {
    body: body?.der ?? none,
    algorithm: algorithm?.der ?? none,
    signature: Asn1.bits(signature, "a certificate's signature")
  }
  return {
    subject: subject?.der ?? none,
    key: Asn1.bits(Asn1.sequence(keyInfo, "a certificate's key")[1], "a certificate's key"),
    signed
  }
}

/**
 * Whether the issuer has made the owner of a certificate its responder (section 4.2.2.2). OpenSSL takes signatures by SHA-1 and
 * MD5 for certificates, too: whoever makes a second one to such a signature could say what they like of all others.
 */
const isDelegated = (
  delegate: X509Certificate,
  signed: Signature.Signed,
  issuer: X509Certificate,
  now: number
): boolean =>
  delegate.checkIssued(issuer) &&
  delegate.verify(issuer.publicKey) &&
  Signature.isOf(signed, issuer.publicKey) &&
  delegate.keyUsage?.includes(signingPurpose) === true &&
  delegate.validFromDate.getTime() <= now &&
  delegate.validToDate.getTime() >= now

/** Why the response is not signed by who may, if so; throws `Malformed` where that cannot be told. */
export const notSigned = (response: Response, certificate: Revocable, now: number): string | undefined => {
  const { issuer, issuerKey, issuerName } = certificate
  if (isBy(response.responder, issuerName, issuerKey)) {
    return Signature.isOf(response, issuer.publicKey) ? undefined : "the signature of the response is wrong"
  }
  for (const der of response.certificates) {
    const { key, signed, subject } = partsOf(der)
    if (!isBy(response.responder, subject, key)) continue
    const delegate = new X509Certificate(der)
    if (!isDelegated(delegate, signed, issuer, now))
      return "who signed the response is no responder of the certificate's issuer"
    return Signature.isOf(response, delegate.publicKey) ? undefined : "the signature of the response is wrong"
  }
  return "the response is neither by the certificate's issuer nor with a certificate of its responder"
}

/** Whether an answer is about the certificate, by the hash that we asked with. */
const isAbout = (id: Asn1.Node | undefined, certificate: Revocable): boolean => {
  const [algorithm, name, key, serial] = Asn1.sequence(id, "what an answer is about")
  return (
    Asn1.oid(Asn1.sequence(algorithm, "the hash")[0], "the hash") === sha1Id &&
    same(Asn1.octets(name, "the issuer's name"), sha1(certificate.issuerName)) &&
    same(Asn1.octets(key, "the issuer's key"), sha1(certificate.issuerKey)) &&
    same(serial?.content ?? new Uint8Array(0), certificate.serialNumber)
  )
}

const timeOf = (node: Asn1.Node | undefined, what: string): number =>
  Tlv.time(node?.der ?? new Uint8Array(0), node === undefined ? undefined : Tlv.at(node.der, 0, node.der.length), what)

const statusOf = (node: Asn1.Node | undefined): Status => {
  if (node?.isContext(0) === true) return { _tag: "Good" }
  if (node?.isContext(1) !== true) return { _tag: "Unknown" }
  const [at, reason] = node.children
  return {
    _tag: "Revoked",
    at: timeOf(at, "the time of the revocation"),
    reason: reasonOf(reason?.children[0]?.content[0] ?? 0)
  }
}

/** The answer about the certificate, if the response has one; throws `Malformed`. */
export const answerOf = (response: Response, certificate: Revocable): Answer | undefined => {
  for (const answer of response.answers) {
    const [id, status, thisUpdate, ...rest] = Asn1.sequence(answer, "an answer")
    if (!isAbout(id, certificate)) continue
    const next = rest.find((part) => part.isContext(0))
    const extensions = rest.find((part) => part.isContext(1))
    if (extensions !== undefined) refuseUnknown(Extensions.read(extensions.children[0]), new Set())
    return {
      status: statusOf(status),
      thisUpdate: timeOf(thisUpdate, "the time of the answer"),
      nextUpdate: next === undefined ? undefined : timeOf(next.children[0], "the time of the next answer")
    }
  }
  return undefined
}
