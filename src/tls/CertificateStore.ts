/**
 * Certificate stores: files and texts that hold certificates and keys, in the formats that the documented component knows, and
 * the search for one certificate in them. Everything is read at once and checked when it is loaded: a key that is not that of
 * its certificate is refused here, and not at the first handshake.
 *
 * What can go wrong has one error with a reason, which stands for the documented code:
 *
 * - `CannotOpenStore` (271): the file is not there, the password is wrong, the content is damaged, or the type of store exists
 *   on other platforms alone.
 * - `CertificateNotFound` (272): the store is open, and no certificate in it is the one that was asked for.
 * - `NoUsablePrivateKey` (273): the certificate has no private key in the store, or the key is that of another.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { statSync } from "node:fs"
import { type Certificate, fromEncoded } from "./Certificate.ts"
import * as Format from "./internal/format.ts"
import * as Identities from "./internal/identities.ts"
import * as Pem from "./internal/pem.ts"
import { from, type Kind, type Malformed, malformed, unsupported } from "./internal/malformed.ts"
import { maxSize, readRegularFile, whyNot } from "./internal/regularFile.ts"

/**
 * The types of store, by their documented names. 20 does not occur.
 *
 * @category models
 * @since 0.1.0
 */
export const CertStoreType = {
  /** The current user's store of Windows. */
  cstUser: 0,
  /** The machine's store of Windows. */
  cstMachine: 1,
  cstPFXFile: 2,
  /** PKCS#12, as bytes or base64. */
  cstPFXBlob: 3,
  cstJKSFile: 4,
  cstJKSBlob: 5,
  /** A private key and, in any order, its certificate and the chain. */
  cstPEMKeyFile: 6,
  cstPEMKeyBlob: 7,
  /** A certificate or a public key alone. */
  cstPublicKeyFile: 8,
  cstPublicKeyBlob: 9,
  cstSSHPublicKeyBlob: 10,
  /** Certificates without keys. */
  cstP7BFile: 11,
  cstP7BBlob: 12,
  cstSSHPublicKeyFile: 13,
  /** A private key of PuTTY. */
  cstPPKFile: 14,
  cstPPKBlob: 15,
  cstXMLFile: 16,
  cstXMLBlob: 17,
  cstJWKFile: 18,
  cstJWKBlob: 19,
  cstBCFKSFile: 21,
  cstBCFKSBlob: 22,
  /** A hardware token. */
  cstPKCS11: 23,
  /** Whichever of these the content is; a text that names a file is that file. */
  cstAuto: 99
} as const

/**
 * One of the numbers of the types.
 *
 * @category models
 * @since 0.1.0
 */
export type CertStoreType = (typeof CertStoreType)[keyof typeof CertStoreType]

/** How a type is read: from where, and of which formats it may be; or why it cannot be. */
type Reading =
  | { readonly from: "file" | "blob" | "either"; readonly formats: ReadonlyArray<Format.Format> }
  | { readonly never: string }

const windows = { never: "the certificate stores of Windows cannot be read here; export the certificate as a PFX file" }
const java = {
  never: "Java key stores cannot be read here; `keytool -importkeystore -deststoretype PKCS12` makes a PFX"
}
const bouncyCastle = { never: "key stores of Bouncy Castle cannot be read here; export the key as a PFX file" }
const token = { never: "hardware tokens (PKCS#11) cannot be used here; TLS needs the key in a file" }

const file = (...formats: ReadonlyArray<Format.Format>): Reading => ({ from: "file", formats })
const blob = (...formats: ReadonlyArray<Format.Format>): Reading => ({ from: "blob", formats })

const publicFormats = ["publicKey", "pem"] as const
const keyed = ["pem", "key"] as const

const readings: Readonly<Record<CertStoreType, Reading>> = {
  0: windows,
  1: windows,
  2: file("pfx"),
  3: blob("pfx"),
  4: java,
  5: java,
  6: file(...keyed),
  7: blob(...keyed),
  8: file(...publicFormats),
  9: blob(...publicFormats),
  10: blob("ssh"),
  11: file("pkcs7"),
  12: blob("pkcs7"),
  13: file("ssh"),
  14: file("ppk"),
  15: blob("ppk"),
  16: file("xml"),
  17: blob("xml"),
  18: file("jwk"),
  19: blob("jwk"),
  21: bouncyCastle,
  22: bouncyCastle,
  23: token,
  99: { from: "either", formats: ["pfx", "pem", "key", "publicKey", "pkcs7", "jwk", "xml", "ppk", "ssh"] }
}

/** The types that hold no private key, whatever stands in the file. */
const publicTypes: ReadonlySet<CertStoreType> = new Set([
  CertStoreType.cstPublicKeyFile,
  CertStoreType.cstPublicKeyBlob
])

/**
 * Whether a number is a documented type of store.
 *
 * @category guards
 * @since 0.1.0
 */
export const isCertStoreType = (value: number): value is CertStoreType => Object.hasOwn(readings, value)

/**
 * A store and how to open it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Store {
  readonly type: CertStoreType
  /** The path of a file, or the content: as text, base64 or bytes. */
  readonly store: string | Uint8Array
  readonly password?: string | undefined
  /** A file with the private key in PEM, where `store` is PEM without it. */
  readonly keyFile?: string | undefined
}

/**
 * The store could not be opened: 271.
 *
 * @category errors
 * @since 0.1.0
 */
export class CannotOpenStore extends Data.TaggedError("CannotOpenStore")<{
  /** What is wrong: with the file, its content, the password, or that this store cannot be read here at all. */
  readonly kind: Kind | "FileUnreadable"
  readonly message: string
  readonly cause?: unknown
}> {}

/**
 * No certificate of the store is the one that was asked for: 272.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateNotFound extends Data.TaggedError("CertificateNotFound")<{
  /** What was asked for. */
  readonly subject: string
  /** What the store has. */
  readonly subjects: ReadonlyArray<string>
}> {
  override get message(): string {
    const few = this.subjects.slice(0, 5).map((subject) => JSON.stringify(subject))
    const rest = this.subjects.length > 5 ? ` and ${this.subjects.length - 5} more` : ""
    return `no certificate is ${JSON.stringify(this.subject)}; the store has ${few.join(", ") || "none"}${rest}`
  }
}

/**
 * The certificate cannot be used to authenticate with: 273.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoUsablePrivateKey extends Data.TaggedError("NoUsablePrivateKey")<{
  /** Whether there is no key, one that belongs to another certificate, or a key without a certificate. */
  readonly kind: "Missing" | "Mismatch" | "NoCertificate"
  readonly subject: string
}> {
  override get message(): string {
    switch (this.kind) {
      case "Missing":
        return `the certificate ${JSON.stringify(this.subject)} has no private key in the store`
      case "Mismatch":
        return `the private key in the store is not that of the certificate ${JSON.stringify(this.subject)}`
      case "NoCertificate":
        return "the store has a key, and no certificate for it"
    }
  }
}

/**
 * What is wrong with a store.
 *
 * @category errors
 * @since 0.1.0
 */
export type CertificateStoreErrorReason = CannotOpenStore | CertificateNotFound | NoUsablePrivateKey

/**
 * See the head of this module.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateStoreError extends Data.TaggedError("CertificateStoreError")<{
  readonly reason: CertificateStoreErrorReason
}> {
  override get message(): string {
    return this.reason.message
  }
}

const failed = (reason: CertificateStoreErrorReason) => new CertificateStoreError({ reason })

/** Whether a text may be the path of a file: contents of stores are longer, or of several lines. */
const mayBePath = (text: string): boolean => text !== "" && text.length <= 4096 && !/[\r\n\0]/.test(text)

const fileExists = (path: string): boolean => {
  if (!mayBePath(path)) return false
  try {
    return statSync(path).isFile()
  } catch {
    return false
  }
}

const readFile = (path: string): Effect.Effect<Uint8Array, CertificateStoreError> =>
  Effect.try({
    try: () => readRegularFile(path),
    catch: (cause) => {
      const message = `cannot open the certificate store ${JSON.stringify(path)}: ${whyNot(cause)}`
      return failed(new CannotOpenStore({ kind: "FileUnreadable", message, cause }))
    }
  })

/** The bytes of a content; a text may hold a binary one, one character a byte. */
const bytesOf = (content: string | Uint8Array): Uint8Array =>
  typeof content !== "string"
    ? content
    : Buffer.from(content, /^0[\u0080-\u00ff][\0-\u00ff]*$/.test(content) ? "latin1" : "utf8")

const cannotOpen = (name: string) => (error: Malformed) => {
  const { cause, kind } = error
  const message = `cannot open the certificate store ${name}: ${error.message}`
  return failed(new CannotOpenStore({ kind, message, cause: cause ?? error }))
}

/** The path of the file that a store is, if it is one. */
const pathOf = ({ store }: Store, from: "file" | "blob" | "either"): string | undefined => {
  if (from === "file") return typeof store === "string" ? store : Buffer.from(store).toString()
  return from === "either" && typeof store === "string" && fileExists(store) ? store : undefined
}

/**
 * The path of the file that a store is, if it is one and not a content: to know when it changes.
 *
 * @category getters
 * @since 0.1.0
 */
export const fileOf = (store: Store): string | undefined => {
  const reading = isCertStoreType(store.type) ? readings[store.type] : undefined
  return reading === undefined || "never" in reading ? undefined : pathOf(store, reading.from)
}

/** How messages call a content; it may be a secret. */
const nameOf = ({ store }: Store, from: "file" | "blob" | "either"): string =>
  from === "either" && typeof store === "string" && mayBePath(store) ? "in memory (it names no file)" : "in memory"

/** The bytes of a store, and how messages call it. */
interface Content {
  readonly name: string
  readonly bytes: Uint8Array
}

const contentOf = Effect.fnUntraced(function* (options: Store, from: "file" | "blob" | "either") {
  const path = pathOf(options, from)
  const name = path === undefined ? nameOf(options, from) : JSON.stringify(path)
  const bytes = path === undefined ? bytesOf(options.store) : yield* readFile(path)
  if (bytes.length > maxSize) {
    return yield* cannotOpen(name)(malformed(`it has ${bytes.length} bytes; at most ${maxSize} are taken`))
  }
  return { name, bytes }
})

const isPem = (bytes: Uint8Array): boolean => Pem.isText(Buffer.from(bytes).toString("latin1"))

/** The same with the private key, which is in a file of its own, behind it. */
const withKey = Effect.fnUntraced(function* ({ bytes, name }: Content, keyFile: string) {
  const key = yield* readFile(keyFile)
  if (!isPem(bytes)) {
    return yield* cannotOpen(name)(malformed("expected PEM, which alone may have its private key in another file"))
  }
  if (!isPem(key)) return yield* cannotOpen(JSON.stringify(keyFile))(malformed("expected a private key in PEM"))
  return { name: `${name} with the key ${JSON.stringify(keyFile)}`, bytes: Buffer.concat([bytes, Buffer.of(10), key]) }
})

const readContents = Effect.fnUntraced(function* (options: Store) {
  const reading = isCertStoreType(options.type) ? readings[options.type] : { never: "no store has this type" }
  if ("never" in reading) return yield* cannotOpen(`of type ${options.type}`)(unsupported(reading.never))
  const { keyFile, password = "" } = options
  const alone = yield* contentOf(options, reading.from)
  const { bytes, name } = keyFile === undefined ? alone : yield* withKey(alone, keyFile)
  const contents = yield* Format.read(bytes, {
    password,
    accepted: keyFile === undefined ? reading.formats : keyed,
    publicOnly: keyFile === undefined && publicTypes.has(options.type)
  }).pipe(Effect.mapError(cannotOpen(name)))
  return yield* Effect.try({
    try: () => Identities.match(contents),
    catch: (cause) => cannotOpen(name)(from("it cannot be read")(cause))
  })
})

/**
 * Opens a store and gives all that it holds: certificates with a private key first, then those without, issuers last, then
 * bare keys. Where keys and certificates are in it and none of the keys is that of a certificate, it fails with
 * `NoUsablePrivateKey`.
 *
 * @category loading
 * @since 0.1.0
 */
export const open: (options: Store) => Effect.Effect<ReadonlyArray<Certificate>, CertificateStoreError> =
  Effect.fnUntraced(function* (options: Store) {
    const { certificates, strangers } = yield* readContents(options)
    const first = certificates.find((certificate) => certificate.hasCertificate)
    if (strangers > 0 && first !== undefined && first.privateKey === undefined) {
      return yield* failed(new NoUsablePrivateKey({ kind: "Mismatch", subject: first.subject }))
    }
    return certificates
  })

const thumbprint = /^\s*thumbprint\s*=(.*)$/is

/**
 * Finds a certificate: by `Thumbprint=` and an MD5, SHA-1 or SHA-256 hash; by `*`, the first; by its whole subject; by a part of
 * its subject. An empty subject is `*`.
 *
 * @category getters
 * @since 0.1.0
 */
export const select = (
  certificates: ReadonlyArray<Certificate>,
  subject: string
): Result.Result<Certificate, CertificateStoreError> => {
  const wanted = subject.trim()
  const hash = thumbprint.exec(wanted)?.[1]?.replaceAll(/[\s:]/g, "").toUpperCase()
  const lower = wanted.toLowerCase()
  const found =
    hash !== undefined
      ? certificates.find(
          (it) => hash !== "" && [it.thumbprintMd5, it.thumbprintSha1, it.thumbprintSha256].includes(hash)
        )
      : wanted === "*" || wanted === ""
        ? certificates[0]
        : (certificates.find((it) => it.subject === wanted) ??
          certificates.find((it) => it.subjectIs(wanted)) ??
          certificates.find((it) => it.subject.toLowerCase().includes(lower)))
  if (found !== undefined) return Result.succeed(found)
  const subjects = certificates.map((certificate) => certificate.subject)
  return Result.fail(failed(new CertificateNotFound({ subject, subjects })))
}

/**
 * Opens a store and finds the certificate of `subject` in it, as {@link select} does; the first by default.
 *
 * @category loading
 * @since 0.1.0
 */
export const load: (
  options: Store & { readonly subject?: string | undefined }
) => Effect.Effect<Certificate, CertificateStoreError> = Effect.fnUntraced(function* (options) {
  return yield* Effect.fromResult(select(yield* open(options), options.subject ?? "*"))
})

/**
 * Reads a certificate, and finds its private key in the store. The chain is that of the store, too.
 *
 * @category loading
 * @since 0.1.0
 */
export const loadEncoded: (
  options: Store & { readonly encoded: string | Uint8Array }
) => Effect.Effect<Certificate, CertificateStoreError> = Effect.fnUntraced(function* (options) {
  const certificate = yield* Effect.fromResult(fromEncoded(options.encoded)).pipe(
    Effect.mapError((error) =>
      failed(new CannotOpenStore({ kind: "Malformed", message: error.message, cause: error.cause }))
    )
  )
  const { certificates } = yield* readContents(options)
  const same = certificates.find((it) => it.thumbprintSha256 === certificate.thumbprintSha256)
  if (same?.privateKey !== undefined) return same
  const holder = certificates.find((it) => it.privateKey !== undefined && certificate.isKeyOf(it.privateKey))
  if (holder === undefined) {
    return yield* failed(new NoUsablePrivateKey({ kind: "Missing", subject: certificate.subject }))
  }
  return (same ?? certificate).withPrivateKey(holder.privateKey)
})

/**
 * The certificate, if it has what a server needs: itself and its private key.
 *
 * @category getters
 * @since 0.1.0
 */
export const requirePrivateKey = (certificate: Certificate): Result.Result<Certificate, CertificateStoreError> => {
  if (certificate.hasCertificate && certificate.privateKey !== undefined) return Result.succeed(certificate)
  const kind = certificate.hasCertificate ? "Missing" : "NoCertificate"
  return Result.fail(failed(new NoUsablePrivateKey({ kind, subject: certificate.subject })))
}
