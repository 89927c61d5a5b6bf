/**
 * Keys and certificates in XML: the `RSAKeyValue` of .NET and of XML signatures (RFC 3275 section 4.4.2.2), with the private
 * numbers that .NET adds to it, and `X509Certificate` (section 4.4.4).
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import * as Xml from "effect/encoding/Xml"
import { createPrivateKey, createPublicKey, type KeyObject, type webcrypto } from "node:crypto"
import * as Contents from "./contents.ts"
import { from, type Malformed, malformed } from "./malformed.ts"

/** The elements of an RSAKeyValue, and what a JWK calls them. */
const numbers: Readonly<Record<string, "n" | "e" | "p" | "q" | "dp" | "dq" | "qi" | "d">> = {
  Modulus: "n",
  Exponent: "e",
  P: "p",
  Q: "q",
  DP: "dp",
  DQ: "dq",
  InverseQ: "qi",
  D: "d"
}

const bytesOf = (text: string): Buffer => {
  const compact = text.replaceAll(/\s+/g, "")
  if (!/^[A-Za-z0-9+/]*={0,2}$/.test(compact)) throw malformed("a value of it is not base64")
  return Buffer.from(compact, "base64")
}

const build = (events: ReadonlyArray<Xml.Event>): Contents.Contents => {
  const certificates: Array<Uint8Array> = []
  const privateKeys: Array<KeyObject> = []
  const publicKeys: Array<KeyObject> = []
  let key: webcrypto.JsonWebKey | undefined
  let text = ""
  for (const event of events) {
    if (event._tag === "StartElement") {
      text = ""
      if (localName(event.name) === "RSAKeyValue") key = { kty: "RSA" }
    } else if (event._tag === "Text") text += event.text
    else if (event._tag === "EndElement") {
      const name = localName(event.name)
      const number = numbers[name]
      if (name === "X509Certificate") certificates.push(bytesOf(text))
      else if (name === "RSAKeyValue" && key !== undefined) {
        if (key.d === undefined) publicKeys.push(createPublicKey({ key, format: "jwk" }))
        else privateKeys.push(createPrivateKey({ key, format: "jwk" }))
        key = undefined
      } else if (key !== undefined && number !== undefined) key[number] = bytesOf(text).toString("base64url")
      text = ""
    }
  }
  if (certificates.length + privateKeys.length + publicKeys.length === 0) {
    throw malformed("it is XML without an RSAKeyValue or an X509Certificate")
  }
  return Contents.make({ certificates, privateKeys, publicKeys })
}

const localName = (name: string): string => name.slice(name.indexOf(":") + 1)

export const parse = (text: string): Effect.Effect<Contents.Contents, Malformed> =>
  Stream.make(text).pipe(
    Stream.pipeThroughChannelOrFail(Xml.decodeString()),
    Stream.runCollect,
    Effect.mapError(from("it is not well-formed XML")),
    Effect.flatMap((events) => Effect.try({ try: () => build(events), catch: from("its key cannot be read") }))
  )
