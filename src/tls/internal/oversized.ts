/**
 * Keys of RSA that are larger than OpenSSL verifies with. To sign once with one takes minutes; and Node, which has room for no more
 * when it reads the numbers of a key, leaves OpenSSL's error behind, as the fault of whatever comes next.
 */
import type { KeyObject } from "node:crypto"
import * as Asn1 from "./asn1.ts"

/** OpenSSL's bound (OPENSSL_RSA_MAX_MODULUS_BITS). */
export const maxBits = 16384

const what = "a key of RSA"

/** The modulus and the exponent, with a byte of zeros before a highest bit that is set. */
const numbersOf = (key: KeyObject): ReadonlyArray<Asn1.Node> => {
  const [, bits] = Asn1.sequence(Asn1.decode(key.export({ format: "der", type: "spki" }), what), what)
  return Asn1.sequence(Asn1.decode(Asn1.bits(bits, what), what), what)
}

/** Whether a public key is one of them. */
export const isOversized = (key: KeyObject): boolean =>
  key.asymmetricKeyType?.startsWith("rsa") === true &&
  numbersOf(key).some(({ content }) => content.length - (content[0] === 0 ? 1 : 0) > maxBits / 8)
