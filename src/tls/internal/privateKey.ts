/**
 * Private and public keys in PEM and DER: PKCS#8 (RFC 5958), encrypted or not, the older forms of RSA, EC and DSA, OpenSSH's,
 * and SubjectPublicKeyInfo (RFC 5280 section 4.1).
 */
import * as Predicate from "effect/Predicate"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import * as Asn1 from "./asn1.ts"
import { from, Malformed, malformed, unsupported, wrongPassword } from "./malformed.ts"
import * as PasswordEncryption from "./passwordEncryption.ts"
import type * as Pem from "./pem.ts"
import * as Pkcs8 from "./pkcs8.ts"
import * as SshPrivateKey from "./sshPrivateKey.ts"

const publicLabels = new Set(["PUBLIC KEY", "RSA PUBLIC KEY"])

/** Whether a block is a public key. */
export const isPublic = (block: Pem.Block): boolean => publicLabels.has(block.label)

/** Whether a block is a private key. */
export const isPrivate = (block: Pem.Block): boolean => block.label.endsWith("PRIVATE KEY")

const needsPassword = "its private key is encrypted, and needs a password"
const cannotDecrypt = "its private key cannot be decrypted; is the password right?"

const decryptionFailed = (password: string, cause: unknown): Malformed => {
  if (isUnsupported(cause)) return unsupported("its private key is encrypted in a way that this Node does not know")
  return wrongPassword(password === "" ? needsPassword : cannotDecrypt, cause)
}

/** Whether OpenSSL has not got the algorithm, as with RC2, RC4 and DES. */
const isUnsupported = (cause: unknown): boolean =>
  Predicate.hasProperty(cause, "code") && cause.code === "ERR_OSSL_EVP_UNSUPPORTED"

/** Decrypts a key in PKCS#8. What OpenSSL has no algorithm for may still be one of the old schemes that can be read here. */
const decrypted = (der: Uint8Array, password: string, work: PasswordEncryption.Work): KeyObject => {
  const [encryption, encrypted] = Asn1.sequence(
    Asn1.decode(der, "the encrypted private key"),
    "the encrypted private key"
  )
  PasswordEncryption.checkWork(encryption, work)
  try {
    return createPrivateKey({ key: Buffer.from(der), format: "der", type: "pkcs8", passphrase: password })
  } catch (cause) {
    if (!isUnsupported(cause)) throw decryptionFailed(password, cause)
  }
  const octets = Asn1.octets(encrypted, "the encrypted private key")
  const clear = PasswordEncryption.decrypt(encryption, password, octets, "its private key", work)
  try {
    return Pkcs8.read(clear)
  } catch (cause) {
    // a wrong password may leave a padding that looks right
    throw cause instanceof Malformed && cause.kind === "Unsupported" ? cause : decryptionFailed(password, cause)
  }
}

/** Reads a block that {@link isPrivate}. */
export const fromPem = (block: Pem.Block, password: string, work: PasswordEncryption.Work): KeyObject => {
  if (block.label === "OPENSSH PRIVATE KEY") {
    return SshPrivateKey.decode(block.bytes)
  }
  if (block.label === "ENCRYPTED PRIVATE KEY") return decrypted(block.bytes, password, work)
  if (block.label === "PRIVATE KEY") return Pkcs8.read(block.bytes)
  const encrypted = /^Proc-Type:.*ENCRYPTED/m.test(block.text)
  try {
    return createPrivateKey(encrypted ? { key: block.text, passphrase: password } : block.text)
  } catch (cause) {
    throw encrypted ? decryptionFailed(password, cause) : malformed("its private key cannot be read", cause)
  }
}

/** Reads a block that {@link isPublic}. */
export const publicFromPem = (block: Pem.Block): KeyObject => {
  try {
    return createPublicKey(block.text)
  } catch (cause) {
    throw from("its public key cannot be read")(cause)
  }
}

/** Reads a private key in DER, of whichever form, and is `undefined` for what is none. */
export const fromDer = (root: Asn1.Node, password: string): KeyObject | undefined => {
  const [first, second, third] = root.children
  const key = Buffer.from(root.der)
  if (Asn1.isSequence(first) && Asn1.isOctets(second) && root.children.length === 2) {
    return decrypted(root.der, password, new PasswordEncryption.Work())
  }
  if (!Asn1.isInteger(first)) return undefined
  const type =
    Asn1.isSequence(second) && Asn1.isOctets(third)
      ? "pkcs8"
      : Asn1.isOctets(second)
        ? "sec1"
        : root.children.length >= 9 && root.children.slice(0, 9).every(Asn1.isInteger)
          ? "pkcs1"
          : undefined
  if (type === undefined) return undefined
  if (type === "pkcs8") return Pkcs8.read(root.der)
  try {
    return createPrivateKey({ key, format: "der", type })
  } catch (cause) {
    throw malformed("its private key cannot be read", cause)
  }
}

/** Reads a public key in DER, and is `undefined` for what is none. */
export const publicFromDer = (root: Asn1.Node): KeyObject | undefined => {
  const [first, second, third] = root.children
  if (third !== undefined) return undefined
  const type =
    Asn1.isSequence(first) && Asn1.isBits(second)
      ? "spki"
      : Asn1.isInteger(first) && Asn1.isInteger(second)
        ? "pkcs1"
        : undefined
  if (type === undefined) return undefined
  try {
    return createPublicKey({ key: Buffer.from(root.der), format: "der", type })
  } catch (cause) {
    throw malformed("its public key cannot be read", cause)
  }
}
