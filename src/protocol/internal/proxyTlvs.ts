/**
 * What version 2 of the PROXY protocol carries behind the addresses: vectors of a type, a length and a value (section 2.2, "TLV"),
 * read into one value with a field for each type that is registered.
 */
import { crc32c } from "./crc32c.ts"
import { maxUniqueId, refuse, type Ssl, type Tlv, type Tlvs } from "./proxyHeader.ts"

type Draft<A> = { -readonly [K in keyof A]: A[K] }

const types = { alpn: 0x01, authority: 0x02, checksum: 0x03, padding: 0x04, uniqueId: 0x05, ssl: 0x20, netns: 0x30 }
const sslTypes = { version: 0x21, commonName: 0x22, cipher: 0x23, signatureAlgorithm: 0x24, keyAlgorithm: 0x25 }

const tls = 1
const certificate = 2
const sessionCertificate = 4

const hex = (type: number): string => `0x${type.toString(16).padStart(2, "0")}`

const fatal = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

const utf8 = (value: Uint8Array, type: number): string => {
  try {
    return fatal.decode(value)
  } catch {
    return refuse("Tlv", `expected UTF-8 in the TLV ${hex(type)}`)
  }
}

const ascii = (value: Uint8Array, type: number): string => {
  if (value.some((byte) => byte < 0x20 || byte > 0x7e))
    refuse("Tlv", `expected printable ASCII in the TLV ${hex(type)}`)
  // a value has up to 65535 bytes, which are no arguments of a function: the stack may have no room for them
  return fatal.decode(value)
}

/** One character a byte, of what has as few of them as a name. */
const latin1 = (value: Uint8Array): string => String.fromCharCode(...value.subarray(0, 255))

/** Calls back with each vector. What is known comes but once: of two, a reader behind this one may take the other. */
const each = (
  bytes: Uint8Array,
  once: ReadonlySet<number>,
  visit: (type: number, value: Uint8Array, at: number) => void
): void => {
  const seen = new Set<number>()
  for (let at = 0; at < bytes.length;) {
    if (bytes.length - at < 3) refuse("Tlv", "the header ends within a TLV's type and length")
    const type = bytes[at]!
    const length = (bytes[at + 1]! << 8) | bytes[at + 2]!
    const start = at + 3
    if (length > bytes.length - start) {
      refuse(
        "Tlv",
        `the TLV ${hex(type)} has ${length} bytes, and the header ends after ${bytes.length - start} of them`
      )
    }
    if (once.has(type) && seen.has(type)) refuse("Tlv", `the TLV ${hex(type)} comes twice`)
    seen.add(type)
    visit(type, bytes.subarray(start, start + length), start)
    at = start + length
  }
}

const once = new Set([types.alpn, types.authority, types.checksum, types.uniqueId, types.ssl, types.netns])
const onceInSsl = new Set(Object.values(sslTypes))

const readSsl = (bytes: Uint8Array): Ssl => {
  if (bytes.length < 5) refuse("Tlv", `expected at least 5 bytes in the TLV ${hex(types.ssl)}, got ${bytes.length}`)
  const client = bytes[0]!
  const others: Array<Tlv> = []
  const ssl: Draft<Ssl> = {
    isTls: (client & tls) !== 0,
    hasCertificate: (client & certificate) !== 0,
    hasSessionCertificate: (client & sessionCertificate) !== 0,
    verify: ((bytes[1]! << 24) | (bytes[2]! << 16) | (bytes[3]! << 8) | bytes[4]!) >>> 0,
    others
  }
  each(bytes.subarray(5), onceInSsl, (type, value) => {
    switch (type) {
      case sslTypes.version:
        ssl.version = ascii(value, type)
        break
      case sslTypes.commonName:
        ssl.commonName = utf8(value, type)
        break
      case sslTypes.cipher:
        ssl.cipher = ascii(value, type)
        break
      case sslTypes.signatureAlgorithm:
        ssl.signatureAlgorithm = ascii(value, type)
        break
      case sslTypes.keyAlgorithm:
        ssl.keyAlgorithm = ascii(value, type)
        break
      default:
        others.push({ type, value: value.slice() })
    }
  })
  return ssl
}

/** Section 2.2.3: the checksum is of the whole header, its own four bytes being zero. */
const verify = (header: Uint8Array, at: number, length: number): void => {
  if (length !== 4) refuse("Tlv", `expected 4 bytes in the TLV ${hex(types.checksum)}, got ${length}`)
  const copy = header.slice()
  const view = new DataView(copy.buffer)
  const given = view.getUint32(at)
  view.setUint32(at, 0)
  if (crc32c(copy) !== given) refuse("Checksum", "the header is damaged: its CRC32C is another")
}

/** Reads what begins at a place of a whole header. */
export const read = (header: Uint8Array, begin: number): Tlvs => {
  const others: Array<Tlv> = []
  const tlvs: Draft<Tlvs> = { others }
  each(header.subarray(begin), once, (type, value, at) => {
    switch (type) {
      case types.alpn:
        if (value.length > 255) refuse("Tlv", `expected at most 255 bytes in the TLV ${hex(type)}, got ${value.length}`)
        tlvs.alpn = latin1(value)
        break
      case types.authority:
        tlvs.authority = utf8(value, type)
        break
      case types.checksum:
        verify(header, begin + at, value.length)
        break
      case types.padding:
        break
      case types.uniqueId:
        if (value.length > maxUniqueId) {
          refuse("Tlv", `expected at most ${maxUniqueId} bytes in the TLV ${hex(type)}, got ${value.length}`)
        }
        tlvs.uniqueId = value.slice()
        break
      case types.ssl:
        tlvs.ssl = readSsl(value)
        break
      case types.netns:
        tlvs.netns = ascii(value, type)
        break
      default:
        others.push({ type, value: value.slice() })
    }
  })
  return tlvs
}

const vector = (type: number, value: Uint8Array): ReadonlyArray<number> => {
  if (value.length > 0xffff) refuse("TooLong", `a TLV has at most 65535 bytes, got ${value.length}`)
  return [type, value.length >> 8, value.length & 0xff, ...value]
}

const text = (type: number, value: string | undefined): ReadonlyArray<number> =>
  value === undefined ? [] : vector(type, encoder.encode(value))

/** What a reader takes for printable ASCII. */
const plain = (type: number, value: string | undefined): ReadonlyArray<number> => {
  if (value !== undefined) ascii(encoder.encode(value), type)
  return text(type, value)
}

const bytesOf = (type: number, value: string): Uint8Array =>
  Uint8Array.from(value, (char) => {
    const code = char.charCodeAt(0)
    return code > 0xff ? refuse("Tlv", `expected one byte a character in the TLV ${hex(type)}`) : code
  })

/** What a reader takes for unknown, too. */
const unknown = (others: ReadonlyArray<Tlv>, known: Readonly<Record<string, number>>): ReadonlyArray<number> =>
  others.flatMap(({ type, value }) =>
    Object.values(known).includes(type) ? refuse("Tlv", `the TLV ${hex(type)} is registered`) : vector(type, value)
  )

const writeSsl = (ssl: Ssl): Uint8Array =>
  Uint8Array.from([
    (ssl.isTls ? tls : 0) |
      (ssl.hasCertificate ? certificate : 0) |
      (ssl.hasSessionCertificate ? sessionCertificate : 0),
    ssl.verify >>> 24,
    (ssl.verify >>> 16) & 0xff,
    (ssl.verify >>> 8) & 0xff,
    ssl.verify & 0xff,
    ...plain(sslTypes.version, ssl.version),
    ...text(sslTypes.commonName, ssl.commonName),
    ...plain(sslTypes.cipher, ssl.cipher),
    ...plain(sslTypes.signatureAlgorithm, ssl.signatureAlgorithm),
    ...plain(sslTypes.keyAlgorithm, ssl.keyAlgorithm),
    ...unknown(ssl.others, sslTypes)
  ])

/** The bytes of vectors. Of the checksum, which is the last, they have the place. */
export const write = (tlvs: Tlvs, hasChecksum: boolean): Uint8Array => {
  const { alpn, authority, netns, others, ssl, uniqueId } = tlvs
  if (uniqueId !== undefined && uniqueId.length > maxUniqueId) {
    refuse("Tlv", `a unique id has at most ${maxUniqueId} bytes, got ${uniqueId.length}`)
  }
  return Uint8Array.from([
    ...(alpn === undefined ? [] : vector(types.alpn, bytesOf(types.alpn, alpn))),
    ...text(types.authority, authority),
    ...(uniqueId === undefined ? [] : vector(types.uniqueId, uniqueId)),
    ...(ssl === undefined ? [] : vector(types.ssl, writeSsl(ssl))),
    ...plain(types.netns, netns),
    ...unknown(others, types),
    ...(hasChecksum ? vector(types.checksum, new Uint8Array(4)) : [])
  ])
}

/** Fills the place of the checksum, which is at the end of the header. */
export const seal = (header: Uint8Array): void =>
  new DataView(header.buffer, header.byteOffset).setUint32(header.length - 4, crc32c(header))
