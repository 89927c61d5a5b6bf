/**
 * Private keys from the numbers that the formats of SSH hold, and OpenSSH's own format for them (its file PROTOCOL.key), where
 * that is not encrypted: its encryption has a key derivation that Node does not have.
 */
import * as asn1 from "asn1js"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import { from, malformed, unsupported } from "./malformed.ts"
import * as Pkcs8 from "./pkcs8.ts"
import { sameKey } from "./sameKey.ts"
import * as SshKey from "./sshKey.ts"

/** The private numbers: `x` of DSA, `d` of all others, and the primes of RSA. */
export interface Numbers {
  readonly x?: Uint8Array
  readonly d?: Uint8Array
  readonly p?: Uint8Array
  readonly q?: Uint8Array
  /** The inverse of q modulo p. */
  readonly inverse?: Uint8Array
}

const none = new Uint8Array(0)

const bigint = (bytes: Uint8Array): bigint => BigInt(`0x0${Buffer.from(bytes).toString("hex")}`)

const base64url = (bytes: Uint8Array): string => Buffer.from(bytes).toString("base64url")

const bytesOf = (value: bigint): Uint8Array => {
  const hex = value.toString(16)
  return Buffer.from(hex.padStart(hex.length + (hex.length % 2), "0"), "hex")
}

const build = (fields: SshKey.Fields, { d = none, inverse = none, p = none, q = none, x = none }: Numbers) => {
  if (fields._tag === "Dsa") {
    const info = new asn1.Sequence({
      value: [
        new asn1.Integer({ value: 0 }),
        SshKey.dsaAlgorithm(fields),
        new asn1.OctetString({ valueHex: SshKey.derInteger(x).toBER() })
      ]
    })
    return Pkcs8.read(Buffer.from(info.toBER()))
  }
  const { jwk } = fields
  if (jwk.kty === "RSA") {
    if (bigint(p) < 3n || bigint(q) < 3n) throw malformed("its primes are none")
    const key = {
      ...jwk,
      d: base64url(d),
      p: base64url(p),
      q: base64url(q),
      dp: base64url(bytesOf(bigint(d) % (bigint(p) - 1n))),
      dq: base64url(bytesOf(bigint(d) % (bigint(q) - 1n))),
      qi: base64url(inverse)
    }
    return createPrivateKey({ key, format: "jwk" })
  }
  // a number of a curve has the size of its coordinates
  const size = jwk.kty === "EC" ? Buffer.from(jwk.x ?? "", "base64url").length : d.length
  if (d.length > size) throw malformed("its private number is too large")
  const padded = Buffer.concat([Buffer.alloc(size - d.length), d])
  return createPrivateKey({ key: { ...jwk, d: base64url(padded) }, format: "jwk" })
}

/** The private key of a public one and its private numbers; they have to belong together. */
export const make = (fields: SshKey.Fields, numbers: Numbers): KeyObject => {
  try {
    const key = build(fields, numbers)
    if (sameKey(createPublicKey(key), SshKey.fromFields(fields))) return key
  } catch (cause) {
    throw from("its numbers make no key")(cause)
  }
  throw malformed("its public and its private part are of two keys")
}

const magic = "openssh-key-v1\0"

/** Reads a key in OpenSSH's own format. */
export const decode = (bytes: Uint8Array): KeyObject => {
  if (Buffer.from(bytes.subarray(0, magic.length)).toString("latin1") !== magic) {
    throw malformed("its OpenSSH private key is none")
  }
  const reader = new SshKey.Reader(bytes.subarray(magic.length))
  const [cipher] = [reader.text(), reader.text(), reader.text()]
  if (cipher !== "none") {
    throw unsupported("its key is encrypted as OpenSSH does it; `ssh-keygen -p -m PKCS8 -f FILE` makes a PEM key of it")
  }
  if (reader.uint32() !== 1) throw unsupported("it holds several OpenSSH keys; one is read here")
  const fields = SshKey.fields(reader.string())
  const secret = new SshKey.Reader(reader.string())
  reader.end()
  if (secret.uint32() !== secret.uint32()) throw malformed("the two check numbers of its OpenSSH key differ")
  const type = secret.text()
  if (fields._tag === "Dsa") {
    const [, , , , x] = [1, 2, 3, 4, 5].map(() => secret.unsigned())
    return make(fields, { x: x! })
  }
  if (type !== fields.type) throw malformed("its public and its private part are of two types")
  if (fields.jwk.kty === "RSA") {
    const [, , d, inverse, p, q] = [1, 2, 3, 4, 5, 6].map(() => secret.unsigned())
    return make(fields, { d: d!, inverse: inverse!, p: p!, q: q! })
  }
  // the curve and the point, or the public key, stand before the number
  secret.string()
  if (fields.jwk.kty === "EC") {
    secret.string()
    return make(fields, { d: secret.unsigned() })
  }
  const both = secret.string()
  return make(fields, { d: both.subarray(0, both.length / 2) })
}
