/**
 * A certificate, with its private key if its store has that: loaded by a constructor, or selected by setting a store and a
 * subject.
 *
 * | to load | write |
 * | --- | --- |
 * | a certificate, from a file or from bytes (PEM or DER) | `new Certificate("cert.pem")`, `new Certificate(bytes)` |
 * | one of a store, by its subject, a part of that, or `*` | `new Certificate(CertStoreTypes.cstPFXFile, "server.pfx", "password", "*")` |
 * | one of a store, by its thumbprint | `new Certificate(type, store, password, "Thumbprint=9f:86:…")` |
 * | the private key of a certificate that you have | `new Certificate(type, store, password, bytes)` |
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Core from "../tls/Certificate.ts"
import * as CertificateStore from "../tls/CertificateStore.ts"
import { ComponentError, fromStore, invalid, invalidSecret } from "./ComponentError.ts"
import { CertStoreTypes } from "./Enums.ts"
import { field, type HasFields, withFields } from "./internal/fields.ts"
import { boolean, instanceOf, integer, oneOf, text } from "./internal/kinds.ts"

const works = (note: string) => ({ documents: "server", status: "works", note }) as const
const core = works("`tls/Certificate`")
const store = works("`tls/CertificateStore`")

/** @internal */
export const certificateFields = {
  effectiveDate: field(
    "EffectiveDate",
    text,
    "read",
    "From when it is valid, in local time: 23-Jan-2000 15:00:00.",
    core
  ),
  expirationDate: field("ExpirationDate", text, "read", "Until when it is valid, in local time.", core),
  extendedKeyUsage: field("ExtendedKeyUsage", text, "read", "Its extended key usages, as object identifiers.", core),
  fingerprint: field("Fingerprint", text, "read", "Its MD5 fingerprint, or that of a key alone.", core),
  fingerprintSHA1: field("FingerprintSHA1", text, "read", "Its SHA-1 fingerprint, likewise.", core),
  fingerprintSHA256: field("FingerprintSHA256", text, "read", "Its SHA-256 fingerprint, likewise.", core),
  issuer: field("Issuer", text, "read", "Who signed it.", core),
  privateKey: field("PrivateKey", text, "read", "Its private key, in PEM.", core),
  privateKeyAvailable: field("PrivateKeyAvailable", boolean, "read", "Whether it has a private key.", core),
  privateKeyContainer: field("PrivateKeyContainer", text, "read", "Empty.", {
    documents: "server",
    status: "no meaning",
    note: "documented for Windows alone"
  }),
  publicKey: field("PublicKey", text, "read", "Its public key, in PEM.", core),
  publicKeyAlgorithm: field("PublicKeyAlgorithm", text, "read", "The kind of its public key.", core),
  publicKeyLength: field("PublicKeyLength", integer(0, 65536), "read", "The length of its public key in bits.", core),
  serialNumber: field("SerialNumber", text, "read", "Its serial number, in hexadecimal.", core),
  signatureAlgorithm: field("SignatureAlgorithm", text, "read", "How it is signed.", core),
  store: field("Store", text, "write", "The store: the name of a file, or what is in one.", store),
  storeB: field("StoreB", instanceOf<Uint8Array>(Uint8Array, "bytes"), "write", "The same as bytes.", store),
  storePassword: field("StorePassword", text, "write", "The password of the store.", store),
  storeType: field(
    "StoreType",
    oneOf(Object.values(CertStoreTypes), "a value of CertStoreTypes"),
    "write",
    "What kind of store it is.",
    store
  ),
  subjectAltNames: field("SubjectAltNames", text, "read", "Its alternative names.", core),
  thumbprintMD5: field("ThumbprintMD5", text, "read", "Its MD5 thumbprint.", core),
  thumbprintSHA1: field("ThumbprintSHA1", text, "read", "Its SHA-1 thumbprint.", core),
  thumbprintSHA256: field("ThumbprintSHA256", text, "read", "Its SHA-256 thumbprint.", core),
  usage: field("Usage", text, "read", "What its key may be used for.", core),
  usageFlags: field("UsageFlags", integer(0, 255), "read", "The same as flags.", core),
  version: field("Version", text, "read", "V1, V2 or V3.", core),
  subject: field(
    "Subject",
    text,
    "write",
    "Whose it is. Set it to select one of the store; empty if there is none.",
    store
  ),
  encoded: field(
    "Encoded",
    text,
    "write",
    "It in PEM. Set it to have its private key looked for in the store; without one it has no Subject. Empty: none.",
    store
  ),
  encodedB: field("EncodedB", instanceOf<Uint8Array>(Uint8Array, "bytes"), "write", "The same as bytes.", store)
} as const

const readers: Readonly<Record<string, (certificate: Core.Certificate) => unknown>> = {
  effectiveDate: (certificate) => Core.formatDate(certificate.effectiveDate),
  expirationDate: (certificate) => Core.formatDate(certificate.expirationDate),
  extendedKeyUsage: (certificate) => certificate.extendedKeyUsage.join(","),
  fingerprint: (certificate) => certificate.fingerprint,
  fingerprintSHA1: (certificate) => certificate.fingerprintSha1,
  fingerprintSHA256: (certificate) => certificate.fingerprintSha256,
  issuer: (certificate) => certificate.issuer,
  privateKey: (certificate) => certificate.privateKeyPem,
  privateKeyAvailable: (certificate) => certificate.privateKey !== undefined,
  privateKeyContainer: () => "",
  publicKey: (certificate) => certificate.publicKeyPem,
  publicKeyAlgorithm: (certificate) => certificate.publicKeyAlgorithm,
  publicKeyLength: (certificate) => certificate.publicKeyLength,
  serialNumber: (certificate) => certificate.serialNumber,
  signatureAlgorithm: (certificate) => certificate.signatureAlgorithm,
  subjectAltNames: (certificate) => Core.formatAlternativeNames(certificate.alternativeNames),
  thumbprintMD5: (certificate) => certificate.thumbprintMd5,
  thumbprintSHA1: (certificate) => certificate.thumbprintSha1,
  thumbprintSHA256: (certificate) => certificate.thumbprintSha256,
  usage: (certificate) => certificate.usage.join(","),
  usageFlags: (certificate) => certificate.usageFlags,
  version: (certificate) => certificate.version,
  encoded: (certificate) => certificate.pem,
  encodedB: (certificate) => utf8.encode(certificate.pem)
}

const utf8 = new TextEncoder()
const lenient = new TextDecoder()
const nothing = new Core.Certificate({})

/** Loading waits for nothing: files of certificates are small, and read where they are set. */
const run = <A>(effect: Effect.Effect<A, CertificateStore.CertificateStoreError>): A => {
  const result = Effect.runSync(Effect.result(effect))
  if (Result.isFailure(result)) throw fromStore(result.failure)
  return result.success
}

/** What a certificate is loaded with. */
type Arguments =
  | []
  | [certificateFile: string]
  | [encoded: Uint8Array]
  | [
      storeType: CertStoreTypes,
      store: string | Uint8Array,
      storePassword: string,
      subject: string,
      configurationString?: string
    ]
  | [storeType: CertStoreTypes, store: string | Uint8Array, storePassword: string, encoded: Uint8Array]

class Loaded implements HasFields {
  /** What it is to the core. */
  #certificate: Core.Certificate = nothing
  /** It was set as Encoded, and the store does not have its private key: then it has no Subject. */
  #isKeyless = false
  #type: CertStoreTypes = CertStoreTypes.cstUser
  #store: string | Uint8Array = "MY"
  #password = ""

  constructor(...args: Arguments) {
    // not every caller has types
    if (args.length === 0) return
    if (args.length === 1) {
      const [source] = args
      if (typeof source !== "string" && !(source instanceof Uint8Array)) {
        throw invalid("Certificate", "the name of a file, or bytes", source)
      }
      this.#certificate = publicOne(source)
      return
    }
    const [type, store, , which, configuration = ""] = args
    // where a store has none, callers without types leave it out
    const password = args[2] ?? ""
    if (typeof which !== "string" && !(which instanceof Uint8Array)) {
      throw invalid("Certificate", "a subject, or a certificate in bytes", which)
    }
    if (typeof store !== "string" && !(store instanceof Uint8Array)) {
      throw invalidSecret("Store", "the name of a file, or what is in one", store)
    }
    const { storePassword, storeType } = certificateFields
    if (!storeType.kind.is(type)) throw invalid("StoreType", storeType.kind.accepts, type)
    if (!storePassword.kind.is(password)) throw invalidSecret("StorePassword", storePassword.kind.accepts, password)
    if (!text.is(configuration)) throw invalid("Configuration", text.accepts, configuration)
    this.#type = type
    this.#store = store
    this.#password = password
    if (typeof which !== "string") this.#certificate = this.#search(which)
    else
      this.#certificate = run(CertificateStore.load({ ...this.#open, subject: thumbprintOf(configuration) ?? which }))
  }

  get #open(): CertificateStore.Store {
    return { type: this.#type, store: this.#store, password: this.#password }
  }

  #search(encoded: string | Uint8Array): Core.Certificate {
    return run(CertificateStore.loadEncoded({ ...this.#open, encoded }))
  }

  /** @internal */
  get core(): Core.Certificate {
    return this.#certificate
  }

  readField(key: string): unknown {
    switch (key) {
      case "store":
        return typeof this.#store === "string" ? this.#store : lenient.decode(this.#store)
      case "storeB":
        return typeof this.#store === "string" ? utf8.encode(this.#store) : this.#store
      case "storePassword":
        return this.#password
      case "storeType":
        return this.#type
      case "subject":
        return this.#isKeyless ? "" : this.#certificate.subject
      default:
        return readers[key]!(this.#certificate)
    }
  }

  writeField(key: string, value: unknown): void {
    // all of these were checked by their kinds
    if (key === "store" || key === "storeB") this.#store = value as string | Uint8Array
    else if (key === "storePassword") this.#password = value as string
    else if (key === "storeType") this.#type = value as CertStoreTypes
    else if (key === "subject") this.#select(value as string)
    else this.#encode(value as string | Uint8Array)
  }

  /** What there is not leaves nothing; a store that cannot be opened is an error. */
  #select(subject: string): void {
    this.#certificate = found(() => run(CertificateStore.load({ ...this.#open, subject }))) ?? nothing
    this.#isKeyless = false
  }

  /** A certificate stays without its private key; that of nothing is none. */
  #encode(encoded: string | Uint8Array): void {
    const certificate =
      encoded.length === 0 ? nothing : publicOne(typeof encoded === "string" ? utf8.encode(encoded) : encoded)
    // the stores of Windows, of which one is the default, have no keys here
    const isWindows = this.#type === CertStoreTypes.cstUser || this.#type === CertStoreTypes.cstMachine
    const whole = isWindows || certificate === nothing ? undefined : found(() => this.#search(encoded))
    this.#certificate = whole ?? certificate
    this.#isKeyless = whole === undefined
  }
}

/** What a store has; a store that cannot be opened is an error. */
const found = (look: () => Core.Certificate): Core.Certificate | undefined => {
  try {
    return look()
  } catch (error) {
    if (error instanceof ComponentError && error.code !== 271) return undefined
    throw error
  }
}

/** A certificate by itself: the name of a file, or its bytes. */
const publicOne = (source: string | Uint8Array): Core.Certificate =>
  run(
    CertificateStore.load({
      type: typeof source === "string" ? CertStoreTypes.cstPublicKeyFile : CertStoreTypes.cstPublicKeyBlob,
      store: source
    })
  )

/** Of the configuration of a constructor, the one line that has a meaning here. */
const thumbprintOf = (configuration: string): string | undefined =>
  configuration.split(/\r?\n/).find((line) => /^\s*thumbprint\s*=/i.test(line))

/**
 * See the head of this module. Fails with 271 if the store cannot be opened, with 272 if it has no such certificate, with 273
 * if a private key is missing or is another's.
 *
 * @category models
 * @since 0.1.0
 */
export class Certificate extends withFields(Loaded, certificateFields) {}
