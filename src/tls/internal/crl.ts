/**
 * Certificate revocation lists (RFC 5280 section 5): complete ones by the certificate's own issuer. Lists of differences and
 * those on behalf of other issuers are not read.
 */
import * as Asn1 from "./asn1.ts"
import * as Extensions from "./extensions.ts"
import { malformed, unsupported } from "./malformed.ts"
import { type Reason, reasonOf } from "./reasons.ts"
import { pointUris, type Revocable } from "./revocable.ts"
import type { Signed } from "./signature.ts"
import * as Tlv from "./tlv.ts"

export interface Crl extends Signed {
  readonly issuerName: Uint8Array
  readonly thisUpdate: number
  readonly nextUpdate: number
  /** The entries, one after the other. */
  readonly entries: Uint8Array
  readonly scope: Scope
}

/** What certificates a list is for (section 5.2.5). */
interface Scope {
  /** Where it is, if it says. */
  readonly uris: ReadonlyArray<string> | undefined
  readonly only: "users" | "authorities" | "attributes" | undefined
  readonly someReasons: boolean
}

const idp = "2.5.29.28"
/** The number of the list, its issuer's key, and its scope. */
const known = new Set(["2.5.29.20", "2.5.29.35", idp])

const everything: Scope = { uris: undefined, only: undefined, someReasons: false }

const scopeOf = (value: Uint8Array): Scope => {
  const parts = Asn1.sequence(Asn1.decode(value, "the list's scope"), "the list's scope")
  const is = (tag: number) => parts.some((part) => part.isContext(tag) && (part.content[0] ?? 0) !== 0)
  if (is(4)) throw unsupported("the list is on behalf of other issuers, which is not read here")
  const point = parts.find((part) => part.isContext(0))
  return {
    uris: point === undefined ? undefined : pointUris(point),
    only: is(1) ? "users" : is(2) ? "authorities" : is(5) ? "attributes" : undefined,
    someReasons: parts.some((part) => part.isContext(3))
  }
}

const same = (a: Uint8Array, b: Uint8Array): boolean => Buffer.compare(a, b) === 0

const expect = (value: Tlv.Tlv | undefined, tag: number, what: string): Tlv.Tlv => {
  if (value?.tag !== tag) throw malformed(`${what} is missing`)
  return value
}

/** Reads a list in DER; throws `Malformed`. Its signature is another matter. */
export const parse = (bytes: Uint8Array): Crl => {
  const whole = expect(Tlv.at(bytes, 0, bytes.length), Tlv.tags.sequence, "the list")
  if (whole.end !== bytes.length) throw malformed("the list is followed by more bytes")
  const [body, algorithm, signature] = Tlv.children(bytes, whole)
  const fields = [...Tlv.children(bytes, expect(body, Tlv.tags.sequence, "the list's body"))]
  if (fields[0]?.tag === Tlv.tags.integer) fields.shift()
  const inner = expect(fields.shift(), Tlv.tags.sequence, "the algorithm of the signature")
  const outer = expect(algorithm, Tlv.tags.sequence, "the algorithm of the signature")
  if (!same(Tlv.derOf(bytes, inner), Tlv.derOf(bytes, outer)))
    throw malformed("it names two algorithms of its signature")
  const issuer = expect(fields.shift(), Tlv.tags.sequence, "the issuer of the list")
  const thisUpdate = Tlv.time(bytes, fields.shift(), "the time of the list")
  // RFC 5280 section 5.1.2.5: it must be there
  const nextUpdate = Tlv.time(bytes, fields.shift(), "the time of the next list")
  const listed = fields[0]?.tag === Tlv.tags.sequence ? fields.shift() : undefined
  const entries = listed === undefined ? new Uint8Array(0) : Tlv.contentOf(bytes, listed)
  // once, and not at each look
  for (const entry of entriesOf(entries)) serialOf(entries, entry)
  const extensions = fields[0]?.tag === 0xa0 ? readExtensions(Tlv.contentOf(bytes, fields[0])) : Extensions.none
  const strange = Extensions.unknown(extensions, known)
  if (strange.length > 0) throw unsupported(`the list has an extension that is not read here (${strange[0]})`)
  const scope = extensions.get(idp)
  return {
    body: Tlv.derOf(bytes, body!),
    algorithm: Tlv.derOf(bytes, outer),
    // a byte before it counts unused bits
    signature: Tlv.contentOf(bytes, expect(signature, 0x03, "the signature")).subarray(1),
    issuerName: Tlv.derOf(bytes, issuer),
    thisUpdate,
    nextUpdate,
    entries,
    scope: scope === undefined ? everything : scopeOf(scope.value)
  }
}

const readExtensions = (bytes: Uint8Array) => Extensions.read(Asn1.decode(bytes, "the extensions"))

/** Why the list says nothing of a certificate that it does not have, if so. */
export const notFor = ({ issuerName, scope }: Crl, certificate: Revocable): string | undefined => {
  if (!same(issuerName, certificate.issuerName)) return "the list is by another issuer"
  if (scope.only === "attributes") return "the list is for attribute certificates"
  if (scope.only !== undefined && (scope.only === "authorities") !== certificate.isAuthority)
    return `the list is for certificates of ${scope.only} alone`
  if (scope.someReasons) return "the list is for some reasons of revocation alone"
  const { uris } = scope
  return uris === undefined || uris.some((uri) => certificate.lists.includes(uri))
    ? undefined
    : "the list is for certificates that name another distribution point"
}

export interface Entry {
  readonly at: number
  readonly reason: Reason
}

const entriesOf = (entries: Uint8Array) => Tlv.children(entries, { content: 0, end: entries.length })

const serialOf = (entries: Uint8Array, entry: Tlv.Tlv): Tlv.Tlv =>
  expect(Tlv.at(entries, entry.content, entry.end), Tlv.tags.integer, "the serial number of an entry")

/** What the list says of a serial number, by its content. */
export const find = ({ entries }: Crl, serialNumber: Uint8Array): Entry | undefined => {
  // what is nowhere in the bytes is in no entry: this is most certificates, and takes a hundredth of the time
  if (Buffer.from(entries.buffer, entries.byteOffset, entries.length).indexOf(serialNumber) === -1) return undefined
  for (const entry of entriesOf(entries)) {
    if (!same(Tlv.contentOf(entries, serialOf(entries, entry)), serialNumber)) continue
    const [, date, extensions] = Tlv.children(entries, entry)
    const all = extensions === undefined ? Extensions.none : readExtensions(Tlv.derOf(entries, extensions))
    const reason = all.get("2.5.29.21")
    return {
      at: Tlv.time(entries, date, "the time of a revocation"),
      reason: reasonOf(reason === undefined ? 0 : (reason.value.at(-1) ?? 0))
    }
  }
  return undefined
}
