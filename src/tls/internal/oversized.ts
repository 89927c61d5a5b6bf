/**
 * Keys of RSA that are larger than OpenSSL verifies with. To sign once with one takes minutes; and Node, which has room for no more
 * when it reads the numbers of a key, leaves OpenSSL's error behind, as the fault of whatever comes next.
 */
import type { KeyObject } from "node:crypto"

/** OpenSSL's bound (OPENSSL_RSA_MAX_MODULUS_BITS). */
export const maxBits = 16384

/** What stands around the modulus in a SubjectPublicKeyInfo, with an exponent of 64 bits and the parameters of RSASSA-PSS. */
const around = 128

/** Whether a public key is one of them. */
export const isOversized = (key: KeyObject): boolean =>
  key.asymmetricKeyType?.startsWith("rsa") === true &&
  key.export({ format: "der", type: "spki" }).length > maxBits / 8 + around
