/** Private keys in PKCS#8 (RFC 5958 section 2), in DER and not encrypted. */
import { createPrivateKey, type KeyObject } from "node:crypto"
import * as Asn1 from "./asn1.ts"
import { malformed, unsupported } from "./malformed.ts"

const dsa = "1.2.840.10040.4.1"

/** The bytes that a DSA key of 10,000 bits has, the most that OpenSSL signs with. */
const maxDsa = 4096

const isDsa = (der: Uint8Array): boolean => {
  try {
    return Asn1.decode(der, "the private key").children[1]?.children[0]?.oid === dsa
  } catch {
    return false
  }
}

export const read = (der: Uint8Array): KeyObject => {
  // the public number is not in it, and OpenSSL makes it, however long that takes
  if (der.length > maxDsa && isDsa(der)) {
    throw unsupported(`its DSA key has ${der.length} bytes; at most ${maxDsa} are taken`)
  }
  try {
    return createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8" })
  } catch (cause) {
    throw malformed("its private key cannot be read", cause)
  }
}
