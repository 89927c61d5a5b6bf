/**
 * JSON Web Keys (RFC 7517): one key, a set of them, or a list; with a certificate chain in `x5c` (section 4.7) where there is one.
 */
import { createPrivateKey, createPublicKey, type KeyObject, type webcrypto } from "node:crypto"
import * as Predicate from "effect/Predicate"
import * as Contents from "./contents.ts"
import { malformed, unsupported } from "./malformed.ts"

/** The most keys of a set. */
const maxKeys = 200

const keysOf = (value: unknown): ReadonlyArray<unknown> => {
  if (Array.isArray(value)) return value
  return Predicate.hasProperty(value, "keys") && Array.isArray(value.keys) ? value.keys : [value]
}

const isKey = (value: unknown): value is webcrypto.JsonWebKey & { readonly kty: string } =>
  Predicate.hasProperty(value, "kty") && Predicate.isString(value.kty)

const certificatesOf = (key: object): ReadonlyArray<Uint8Array> => {
  if (!Predicate.hasProperty(key, "x5c")) return []
  if (!Array.isArray(key.x5c) || !key.x5c.every(Predicate.isString)) throw malformed("its x5c is not a list of texts")
  return key.x5c.map((certificate) => Buffer.from(certificate, "base64"))
}

export const parse = (text: string): Contents.Contents => {
  let json: unknown
  try {
    json = JSON.parse(text)
  } catch (cause) {
    throw malformed("it is not JSON", cause)
  }
  const keys = keysOf(json)
  if (keys.length === 0 || keys.length > maxKeys)
    throw malformed(`it has ${keys.length} keys; 1 to ${maxKeys} are taken`)
  const certificates: Array<Uint8Array> = []
  const privateKeys: Array<KeyObject> = []
  const publicKeys: Array<KeyObject> = []
  for (const key of keys) {
    if (!isKey(key)) throw malformed("it is JSON, and no JSON Web Key: kty is missing")
    if (key.kty === "oct") continue
    try {
      if (Predicate.isString(key.d)) privateKeys.push(createPrivateKey({ key, format: "jwk" }))
      else publicKeys.push(createPublicKey({ key, format: "jwk" }))
    } catch (cause) {
      throw malformed(`its key of the type ${JSON.stringify(key.kty.slice(0, 32))} cannot be read`, cause)
    }
    certificates.push(...certificatesOf(key))
  }
  if (privateKeys.length + publicKeys.length === 0) throw unsupported("it holds shared secrets, and no key for TLS")
  return Contents.make({ certificates, privateKeys, publicKeys })
}
