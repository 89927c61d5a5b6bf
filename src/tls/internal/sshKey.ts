/**
 * Public keys in the wire form of SSH (RFC 4253 section 6.6, RFC 5656 section 3.1, RFC 8709), which is what SSH fingerprints
 * hash, and the two text forms around it: the line of OpenSSH and the block of RFC 4716.
 */
import { createPublicKey, type KeyObject, type webcrypto } from "node:crypto"
import * as asn1 from "asn1js"
import { malformed, unsupported } from "./malformed.ts"

/** The bytes of a number of 16,384 bits: OpenSSL uses no larger keys of RSA, and there are none of other kinds. */
const maxNumber = 2048

/** Reads the length-prefixed fields of SSH (RFC 4251 section 5). */
export class Reader {
  private readonly bytes: Buffer
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.length)
  }
  /** The next `string`. */
  string(): Buffer {
    if (this.bytes.length - this.at < 4) throw malformed("the SSH key ends in the middle")
    const length = this.bytes.readUInt32BE(this.at)
    const start = this.at + 4
    if (this.bytes.length - start < length) throw malformed("the SSH key ends in the middle")
    this.at = start + length
    return this.bytes.subarray(start, this.at)
  }
  uint32(): number {
    if (this.bytes.length - this.at < 4) throw malformed("the SSH key ends in the middle")
    this.at += 4
    return this.bytes.readUInt32BE(this.at - 4)
  }
  text(): string {
    return this.string().toString("latin1")
  }
  /** The next `mpint`, which must not be negative, without leading zeros. */
  unsigned(): Buffer {
    const bytes = this.string()
    if (bytes.length > 0 && bytes[0]! >= 0x80) throw malformed("a number of the SSH key is negative")
    let start = 0
    while (start < bytes.length && bytes[start] === 0) start++
    if (bytes.length - start > maxNumber) throw unsupported(`a number of the SSH key has more than ${maxNumber} bytes`)
    return bytes.subarray(start)
  }
  /** Says that nothing follows. */
  end(): void {
    if (this.at !== this.bytes.length) throw malformed("the SSH key has more fields than its type")
  }
}

/** Writes a `string`. */
export const string = (bytes: Uint8Array | string): Buffer => {
  const content = Buffer.from(bytes)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([length, content])
}

const unsigned = (base64url: string): Buffer => {
  const bytes = Buffer.from(base64url, "base64url")
  let start = 0
  while (start < bytes.length && bytes[start] === 0) start++
  const rest = bytes.subarray(start)
  return string(rest.length > 0 && rest[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), rest]) : rest)
}

/** The curves of RFC 5656 and their names in a JWK. */
const curves: Readonly<Record<string, { readonly crv: string; readonly size: number }>> = {
  nistp256: { crv: "P-256", size: 32 },
  nistp384: { crv: "P-384", size: 48 },
  nistp521: { crv: "P-521", size: 66 }
}

const edwards: Readonly<Record<string, string>> = { "ssh-ed25519": "Ed25519", "ssh-ed448": "Ed448" }

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")

/** A public key as its fields: what a JWK can hold is one, and DSA keys are numbers. */
export type Fields =
  | { readonly _tag: "Jwk"; readonly type: string; readonly jwk: webcrypto.JsonWebKey }
  | { readonly _tag: "Dsa"; readonly p: Buffer; readonly q: Buffer; readonly g: Buffer; readonly y: Buffer }

/** Reads the fields of a public key. */
export const fields = (blob: Uint8Array): Fields => {
  const reader = new Reader(blob)
  const type = reader.text()
  const [, curveName] = /^ecdsa-sha2-(\w+)$/.exec(type) ?? []
  if (type === "ssh-rsa") {
    const [e, n] = [reader.unsigned(), reader.unsigned()]
    reader.end()
    return { _tag: "Jwk", type, jwk: { kty: "RSA", e: base64url(e), n: base64url(n) } }
  }
  if (type === "ssh-dss") {
    const [p, q, g, y] = [reader.unsigned(), reader.unsigned(), reader.unsigned(), reader.unsigned()]
    reader.end()
    return { _tag: "Dsa", p, q, g, y }
  }
  if (curveName !== undefined) {
    const curve = curves[curveName]
    if (curve === undefined) throw unsupported(`SSH keys on the curve ${curveName} cannot be read`)
    if (reader.text() !== curveName) throw malformed("the SSH key names two curves")
    const point = reader.string()
    reader.end()
    if (point[0] !== 4 || point.length !== 1 + 2 * curve.size) throw malformed("the SSH key has no uncompressed point")
    const jwk = {
      kty: "EC",
      crv: curve.crv,
      x: base64url(point.subarray(1, 1 + curve.size)),
      y: base64url(point.subarray(1 + curve.size))
    }
    return { _tag: "Jwk", type, jwk }
  }
  const crv = edwards[type]
  if (crv === undefined) throw unsupported(`SSH keys of the type ${JSON.stringify(type.slice(0, 64))} cannot be read`)
  const x = reader.string()
  reader.end()
  return { _tag: "Jwk", type, jwk: { kty: "OKP", crv, x: base64url(x) } }
}

/** An INTEGER of an unsigned number. */
export const derInteger = (bytes: Uint8Array): asn1.Integer =>
  new asn1.Integer({ valueHex: bytes.length === 0 || bytes[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes })

/** The AlgorithmIdentifier of a DSA key (RFC 3279 section 2.3.2). */
export const dsaAlgorithm = (key: Fields & { readonly _tag: "Dsa" }): asn1.Sequence =>
  new asn1.Sequence({
    value: [
      new asn1.ObjectIdentifier({ value: "1.2.840.10040.4.1" }),
      new asn1.Sequence({ value: [derInteger(key.p), derInteger(key.q), derInteger(key.g)] })
    ]
  })

/** The public key of its fields. */
export const fromFields = (key: Fields): KeyObject => {
  try {
    if (key._tag === "Jwk") return createPublicKey({ key: key.jwk, format: "jwk" })
    const info = new asn1.Sequence({
      value: [dsaAlgorithm(key), new asn1.BitString({ valueHex: derInteger(key.y).toBER() })]
    })
    return createPublicKey({ key: Buffer.from(info.toBER()), format: "der", type: "spki" })
  } catch (cause) {
    throw malformed("the numbers of the SSH key make no key", cause)
  }
}

/** The public key that a wire form holds. */
export const decode = (blob: Uint8Array): KeyObject => fromFields(fields(blob))

/** The wire form of a public key, `undefined` for keys that SSH does not have. */
export const encode = (key: KeyObject): Buffer | undefined => {
  switch (key.asymmetricKeyType) {
    case "rsa": {
      const { e, n } = key.export({ format: "jwk" })
      return Buffer.concat([string("ssh-rsa"), unsigned(e!), unsigned(n!)])
    }
    case "ec": {
      const curve = key.asymmetricKeyDetails?.namedCurve
      const name = { prime256v1: "nistp256", secp384r1: "nistp384", secp521r1: "nistp521" }[curve ?? ""]
      if (name === undefined) return undefined
      const { x, y } = key.export({ format: "jwk" })
      const point = Buffer.concat([Buffer.of(4), Buffer.from(x!, "base64url"), Buffer.from(y!, "base64url")])
      return Buffer.concat([string(`ecdsa-sha2-${name}`), string(name), string(point)])
    }
    case "ed25519":
    case "ed448": {
      const { x } = key.export({ format: "jwk" })
      return Buffer.concat([string(`ssh-${key.asymmetricKeyType}`), string(Buffer.from(x!, "base64url"))])
    }
    default:
      return undefined
  }
}

const line = /^(?:ssh-|ecdsa-sha2-)[\w@.-]+[ \t]+([A-Za-z0-9+/]+={0,2})(?:[ \t].*)?$/
const begin = "---- BEGIN SSH2 PUBLIC KEY ----"
const end = "---- END SSH2 PUBLIC KEY ----"

/** Whether a text looks like one that {@link parse} reads. */
export const isText = (text: string): boolean =>
  text.startsWith(begin) || /^(?:ssh-|ecdsa-sha2-)\S+[ \t]+AAAA/.test(text)

/** Reads public keys, one a line as OpenSSH writes them, or in blocks of RFC 4716. */
export const parse = (text: string): ReadonlyArray<KeyObject> => {
  const keys: Array<KeyObject> = []
  const lines = text.split(/\r\n|\r|\n/).map((line) => line.trimEnd())
  for (let i = 0; i < lines.length; i++) {
    if (lines[i] === "" || lines[i]!.startsWith("#")) continue
    let encoded = line.exec(lines[i]!)?.[1]
    if (lines[i] === begin) {
      const last = lines.indexOf(end, i)
      if (last === -1) throw malformed(`the line ${JSON.stringify(end)} is missing`)
      let first = i + 1
      // headers are `Tag: value`, and go on in the next line after a backslash (section 3.3)
      while (first < last && lines[first]!.includes(":")) {
        while (first < last && lines[first]!.endsWith("\\")) first++
        first++
      }
      encoded = lines.slice(first, last).join("")
      i = last
    }
    if (encoded === undefined) throw malformed(`line ${i + 1} is no SSH public key`)
    keys.push(decode(Buffer.from(encoded, "base64")))
  }
  if (keys.length === 0) throw malformed("it holds no SSH public key")
  return keys
}
