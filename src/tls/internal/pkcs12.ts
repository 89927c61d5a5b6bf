/**
 * PKCS#12 stores (RFC 7292), also called PFX: any number of keys and certificates under one password. Whoever has no password
 * has either none or an empty one; the format tells them apart, and both are tried.
 */
import type { KeyObject } from "node:crypto"
import * as Asn1 from "./asn1.ts"
import * as Contents from "./contents.ts"
import { Malformed, malformed, unsupported, wrongPassword } from "./malformed.ts"
import * as PasswordEncryption from "./passwordEncryption.ts"
import * as Pkcs8 from "./pkcs8.ts"

const data = "1.2.840.113549.1.7.1"
const signedData = "1.2.840.113549.1.7.2"
const encryptedData = "1.2.840.113549.1.7.6"

const bagTypes = {
  key: "1.2.840.113549.1.12.10.1.1",
  shroudedKey: "1.2.840.113549.1.12.10.1.2",
  certificate: "1.2.840.113549.1.12.10.1.3",
  nested: "1.2.840.113549.1.12.10.1.6"
} as const

const x509Certificate = "1.2.840.113549.1.9.22.1"

/** The most levels of bags in bags. */
const maxDepth = 8

const contentOf = (node: Asn1.Node | undefined, what: string) => {
  const [type, content] = Asn1.sequence(node, what)
  return { type: Asn1.oid(type, what), content }
}

/**
 * Reads what was decrypted. By chance a wrong password, too, gives bytes with a right padding, which then mean nothing: one in
 * some hundred.
 */
const decrypted = <A>(read: () => A): A => {
  try {
    return read()
  } catch (cause) {
    if (!(cause instanceof Malformed) || cause.kind !== "Malformed") throw cause
    throw wrongPassword("the password is wrong, or the store is damaged", cause)
  }
}

const safeContents = (
  bytes: Uint8Array,
  password: string | null,
  found: { readonly certificates: Array<Uint8Array>; readonly privateKeys: Array<KeyObject> },
  work: PasswordEncryption.Work,
  depth = 0
): void => {
  if (depth > maxDepth) throw malformed(`its bags are nested more than ${maxDepth} deep`)
  for (const bag of Asn1.sequence(Asn1.decode(bytes, "a list of bags"), "a list of bags")) {
    const [type, value] = Asn1.sequence(bag, "a bag")
    const inner = Asn1.explicit(value, 0, "the value of a bag")
    switch (Asn1.oid(type, "the type of a bag")) {
      case bagTypes.key:
        found.privateKeys.push(Pkcs8.read(inner.der))
        break
      case bagTypes.shroudedKey: {
        const [encryption, encrypted] = Asn1.sequence(inner, "an encrypted private key")
        const octets = Asn1.octets(encrypted, "an encrypted private key")
        const der = PasswordEncryption.decrypt(encryption, password, octets, "its private key", work)
        found.privateKeys.push(decrypted(() => Pkcs8.read(der)))
        break
      }
      case bagTypes.certificate: {
        const [certificateType, certificate] = Asn1.sequence(inner, "a certificate bag")
        if (Asn1.oid(certificateType, "the type of a certificate") !== x509Certificate) break
        found.certificates.push(Asn1.octets(Asn1.explicit(certificate, 0, "a certificate"), "a certificate"))
        break
      }
      case bagTypes.nested:
        safeContents(inner.der, password, found, work, depth + 1)
        break
      default:
        // revocation lists and secrets are not for TLS
        break
    }
  }
}

const readWith = (safe: Asn1.Node, password: string | null, work: PasswordEncryption.Work): Contents.Contents => {
  const found = { certificates: new Array<Uint8Array>(), privateKeys: new Array<KeyObject>() }
  for (const info of Asn1.sequence(safe, "the content of the store")) {
    const { content, type } = contentOf(info, "a part of the store")
    const inner = Asn1.explicit(content, 0, "a part of the store")
    if (type === data) safeContents(Asn1.octets(inner, "a part of the store"), password, found, work)
    else if (type === encryptedData) {
      const [, encrypted] = Asn1.sequence(inner, "an encrypted part of the store")
      const [, encryption, bytes] = Asn1.sequence(encrypted, "an encrypted part of the store")
      const octets = Asn1.implicitOctets(bytes, 0, "an encrypted part of the store")
      const contents = PasswordEncryption.decrypt(encryption, password, octets, "a part of it", work)
      decrypted(() => safeContents(contents, password, found, work))
    } else throw unsupported("a part of it is encrypted to a public key; only passwords are read here")
  }
  return Contents.make(found)
}

/** Whether a value is a PFX. */
export const is = (root: Asn1.Node): boolean => {
  const [version, content] = root.children
  return (
    Asn1.isInteger(version) &&
    Asn1.isSequence(content) &&
    content.children[0]?.oid?.startsWith("1.2.840.113549.1.7.") === true
  )
}

export const read = (root: Asn1.Node, password: string): Contents.Contents => {
  const [version, authenticated, mac] = Asn1.sequence(root, "the store")
  const number = Asn1.integer(version, "the version")
  if (number !== 3) throw unsupported(`it is of version ${number}; version 3 is read here`)
  const { content, type } = contentOf(authenticated, "the content of the store")
  if (type === signedData) throw unsupported("it is signed with a key; only stores under a password are read here")
  if (type !== data) throw malformed("its content is of an unknown type")
  const bytes = Asn1.octets(Asn1.explicit(content, 0, "the content of the store"), "the content of the store")
  const passwords = password === "" ? ["", null] : [password]
  const work = new PasswordEncryption.Work()
  const usable =
    mac === undefined ? passwords : passwords.filter((it) => PasswordEncryption.verifyMac(mac, it, bytes, work))
  if (usable.length === 0) {
    throw wrongPassword(password === "" ? "it needs a password" : "the password is wrong, or the store is damaged")
  }
  const safe = Asn1.decode(bytes, "the content of the store")
  try {
    return readWith(safe, usable[0]!, work)
  } catch (error) {
    if (usable.length === 1) throw error
    return readWith(safe, usable[1]!, work)
  }
}
