/**
 * Which format a store is of, by its content, and the reading of each. A store's documented type only says which formats it
 * may be of, so that a wrong type is told apart from a damaged store.
 */
import * as Effect from "effect/Effect"
import { type KeyObject, X509Certificate } from "node:crypto"
import * as Asn1 from "./asn1.ts"
import * as Contents from "./contents.ts"
import * as Jwk from "./jwk.ts"
import { from, type Malformed, malformed, unsupported } from "./malformed.ts"
import { Work } from "./passwordEncryption.ts"
import * as Pem from "./pem.ts"
import * as Pkcs12 from "./pkcs12.ts"
import * as Pkcs7 from "./pkcs7.ts"
import * as Ppk from "./ppk.ts"
import * as PrivateKey from "./privateKey.ts"
import * as SshKey from "./sshKey.ts"
import * as XmlKey from "./xmlKey.ts"

/** A format, and how a message calls it. */
export const formats = {
  pfx: "a PFX (PKCS#12) store",
  pem: "PEM text",
  key: "a private key in DER",
  publicKey: "a certificate or public key in DER",
  pkcs7: "a PKCS#7 store",
  jwk: "a JSON Web Key",
  xml: "XML",
  ppk: "a PuTTY private key",
  ssh: "an SSH public key"
} as const

export type Format = keyof typeof formats

/** How to read a store. */
export interface Options {
  readonly password: string
  /** The formats that it may be of. */
  readonly accepted: ReadonlyArray<Format>
  /** Whether private keys in PEM are passed over, encrypted ones too. */
  readonly publicOnly: boolean
}

/** A format that was found, with what reads the rest. */
interface Found {
  readonly format: Format
  readonly read: (options: Options) => Effect.Effect<Contents.Contents, Malformed>
}

const sync =
  (read: (options: Options) => Contents.Contents): Found["read"] =>
  (options) =>
    Effect.try({ try: () => read(options), catch: from("it cannot be read") })

/** The most blocks of a PEM text. */
const maxBlocks = 5000

const pem = (text: string, { password, publicOnly }: Options): Contents.Contents => {
  const certificates: Array<Uint8Array> = []
  const privateKeys: Array<KeyObject> = []
  const publicKeys: Array<KeyObject> = []
  const work = new Work()
  const blocks = Pem.parse(text)
  if (blocks.length > maxBlocks) throw malformed(`it has ${blocks.length} PEM blocks; at most ${maxBlocks} are taken`)
  for (const block of blocks) {
    if (Pem.isCertificate(block)) certificates.push(block.bytes)
    else if (PrivateKey.isPrivate(block)) {
      if (!publicOnly) privateKeys.push(PrivateKey.fromPem(block, password, work))
    } else if (PrivateKey.isPublic(block)) publicKeys.push(PrivateKey.publicFromPem(block))
    else if (block.label === "PKCS7" || block.label === "CMS") {
      certificates.push(...Pkcs7.read(Asn1.decode(block.bytes, "the store")).certificates)
    }
    // others are parameters of curves, requests and revocation lists
  }
  if (certificates.length + privateKeys.length + publicKeys.length === 0) {
    throw malformed("it is PEM without a complete key or certificate")
  }
  return Contents.make({ certificates, privateKeys, publicKeys })
}

const isCertificate = (der: Uint8Array): boolean => {
  try {
    return new X509Certificate(der).raw.length > 0
  } catch {
    return false
  }
}

const derKey = (root: Asn1.Node, password: string): Contents.Contents => {
  const privateKey = PrivateKey.fromDer(root, password)
  if (privateKey !== undefined) return Contents.make({ privateKeys: [privateKey] })
  throw malformed("it is ASN.1 of none of the known forms of keys and certificates")
}

const der = (root: Asn1.Node): Found => {
  if (Pkcs12.is(root)) return { format: "pfx", read: sync(({ password }) => Pkcs12.read(root, password)) }
  if (Pkcs7.is(root)) return { format: "pkcs7", read: sync(() => Pkcs7.read(root)) }
  if (isCertificate(root.der)) {
    return { format: "publicKey", read: sync(() => Contents.make({ certificates: [root.der] })) }
  }
  const publicKey = PrivateKey.publicFromDer(root)
  if (publicKey !== undefined) {
    return { format: "publicKey", read: sync(() => Contents.make({ publicKeys: [publicKey] })) }
  }
  return { format: "key", read: sync(({ password }) => derKey(root, password)) }
}

/** The first bytes of the stores of Java. */
const javaStores = new Set(["feedfeed", "cececece"])

const isAsn1 = (bytes: Uint8Array): boolean => {
  try {
    Asn1.decode(bytes, "the store")
    return true
  } catch {
    return false
  }
}

/** Whether bytes are DER or should be: a long or indefinite SEQUENCE begins no text, and a short one has to be whole. */
const looksLikeDer = (bytes: Uint8Array): boolean => bytes[0] === 0x30 && (bytes[1]! >= 0x80 || isAsn1(bytes))

const detect = (bytes: Uint8Array, mayBeBase64 = true): Found => {
  if (bytes.length === 0) throw malformed("it is empty")
  if (looksLikeDer(bytes)) return der(Asn1.decode(bytes, "the store"))
  const head = Buffer.from(bytes.subarray(0, 4)).toString("hex")
  if (javaStores.has(head)) {
    throw unsupported("it is a Java key store; `keytool -importkeystore -deststoretype PKCS12` makes a PFX of it")
  }
  const text = Buffer.from(bytes)
    .toString("utf8")
    .replace(/^\uFEFF/, "")
    .trim()
  if (Ppk.isText(text)) return { format: "ppk", read: sync(({ password }) => Ppk.parse(bytes, password)) }
  if (SshKey.isText(text)) {
    return { format: "ssh", read: sync(() => Contents.make({ publicKeys: SshKey.parse(text) })) }
  }
  if (/^[{[]/.test(text)) return { format: "jwk", read: sync(() => Jwk.parse(text)) }
  if (text.startsWith("<")) return { format: "xml", read: () => XmlKey.parse(text) }
  if (Pem.isText(text)) {
    const blocks = Pem.parse(text)
    const bag = blocks.length > 0 && blocks.every(({ label }) => label === "PKCS7" || label === "CMS")
    return { format: bag ? "pkcs7" : "pem", read: sync((options) => pem(text, options)) }
  }
  const decoded = mayBeBase64 ? Pem.base64(text) : undefined
  if (decoded !== undefined) return detect(decoded, false)
  throw malformed("it is of none of the formats that are known here")
}

/** Reads a store, whatever its format, if it is one of those that are accepted. */
export const read = (bytes: Uint8Array, options: Options): Effect.Effect<Contents.Contents, Malformed> =>
  Effect.try({ try: () => detect(bytes), catch: from("it cannot be read") }).pipe(
    Effect.flatMap((found) => {
      if (options.accepted.includes(found.format)) return found.read(options)
      const wanted = options.accepted.map((format) => formats[format]).join(" or ")
      return Effect.fail(malformed(`expected ${wanted}, got ${formats[found.format]}; cstAuto takes either`))
    })
  )
