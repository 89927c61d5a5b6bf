/**
 * One X.509 certificate (RFC 5280), with its private key and the certificates of its issuers where they are known; or a bare
 * key, which some stores hold without a certificate. The fields are those that the documented component shows, as values; the
 * strings that it shows are built of them by the functions at the end.
 *
 * A certificate is read once, and its fields when they are first asked for. What it does not have, or a bare key cannot have,
 * is `undefined` or empty; nothing here throws but {@link Certificate}'s constructor.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Result from "effect/Result"
import { createHash, createPublicKey, type KeyObject, X509Certificate } from "node:crypto"
import * as DistinguishedName from "../protocol/internal/distinguishedName.ts"
import * as Pem from "./internal/pem.ts"
import { isOversized } from "./internal/oversized.ts"
import { sameKey } from "./internal/sameKey.ts"
import * as SshKey from "./internal/sshKey.ts"
import * as X509 from "./internal/x509.ts"

/**
 * One alternative name of a subject.
 *
 * @category models
 * @since 0.1.0
 */
export type AlternativeName = X509.AlternativeName

/**
 * The bytes are no certificate.
 *
 * @category errors
 * @since 0.1.0
 */
export class CertificateError extends Data.TaggedError("CertificateError")<{
  readonly cause?: unknown
}> {
  override get message(): string {
    return "expected an X.509 certificate in PEM, DER or base64; the bytes are none"
  }
}

/**
 * What a certificate is made of: a certificate in DER, or a key, or both.
 *
 * @category models
 * @since 0.1.0
 */
export interface Parts {
  /** The certificate in DER. */
  readonly der?: Uint8Array | undefined
  readonly privateKey?: KeyObject | undefined
  /** The key that is shown where there is neither a certificate nor a private key. */
  readonly publicKey?: KeyObject | undefined
  /** The certificates of the issuers in DER, that of the leaf's own issuer first. */
  readonly chain?: ReadonlyArray<Uint8Array> | undefined
}

/** The names of the key usage flags (RFC 5280 section 4.2.1.3). Decipher Only is in the next byte, and not among them. */
const usages = [
  [0x80, "Digital Signature"],
  [0x40, "Non-Repudiation"],
  [0x20, "Key Encipherment"],
  [0x10, "Data Encipherment"],
  [0x08, "Key Agreement"],
  [0x04, "Certificate Signing"],
  [0x02, "CRL Signing"],
  [0x01, "Encipher Only"]
] as const

const orUndefined = <A>(read: () => A): A | undefined => {
  try {
    return read()
  } catch {
    return undefined
  }
}

/** Whether a certificate is signed by its own key. Where an authority has a new one, its old key signs one of the same two names. */
const isRoot = (certificate: X509Certificate): boolean =>
  orUndefined(() => certificate.checkIssued(certificate) && certificate.verify(certificate.publicKey)) === true

/** The bits of keys that do not tell them. */
const lengths: Readonly<Record<string, number>> = { ed25519: 256, x25519: 253, ed448: 456, x448: 448 }

/**
 * See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export class Certificate {
  readonly #x509: X509Certificate | undefined
  readonly #givenPublicKey: KeyObject | undefined
  #fields: X509.Fields | undefined
  #publicKey: { readonly key: KeyObject | undefined } | undefined
  /** The private key, if the store had it. */
  readonly privateKey: KeyObject | undefined
  /** The certificates of the issuers that the store had, in DER, that of this one's own issuer first. */
  readonly chain: ReadonlyArray<Uint8Array>

  /** Throws {@link CertificateError} if `der` is no certificate. */
  constructor(parts: Parts) {
    try {
      this.#x509 = parts.der === undefined ? undefined : new X509Certificate(parts.der)
    } catch (cause) {
      throw new CertificateError({ cause })
    }
    this.#givenPublicKey = parts.publicKey
    this.privateKey = parts.privateKey
    this.chain = parts.chain ?? []
  }

  /** Whether there is a certificate, and not a bare key alone. */
  get hasCertificate(): boolean {
    return this.#x509 !== undefined
  }
  /** The certificate as Node has it. */
  get x509(): X509Certificate | undefined {
    return this.#x509
  }
  /** The certificate in DER. */
  get der(): Uint8Array | undefined {
    return this.#x509?.raw
  }
  /** The certificate in PEM. */
  get pem(): string {
    return this.#x509 === undefined ? "" : Pem.encode("CERTIFICATE", this.#x509.raw)
  }
  /** The certificate in PEM and those of its issuers after it, but for the root, which whoever verifies has to have. */
  get chainPem(): string {
    const issuers = this.chain.flatMap((der) => orUndefined(() => new X509Certificate(der)) ?? [])
    const intermediates = issuers.filter((issuer) => !isRoot(issuer))
    return [this.pem, ...intermediates.map((issuer) => Pem.encode("CERTIFICATE", issuer.raw))].join("")
  }
  /** Before this date the certificate is not valid. */
  get effectiveDate(): Date | undefined {
    return this.#x509?.validFromDate
  }
  /** After this date the certificate is not valid. */
  get expirationDate(): Date | undefined {
    return this.#x509?.validToDate
  }
  /** The object identifiers of the purposes that the certificate is for; empty if it does not say. */
  get extendedKeyUsage(): ReadonlyArray<string> {
    return this.fields?.extendedKeyUsage ?? []
  }
  /** MD5 of the certificate, or of a bare key as SSH writes it: hexadecimal pairs with colons. */
  get fingerprint(): string {
    return colons(this.hash("md5"))
  }
  /** As {@link fingerprint}, with SHA-1. */
  get fingerprintSha1(): string {
    return colons(this.hash("sha1"))
  }
  /** As {@link fingerprint}, with SHA-256. */
  get fingerprintSha256(): string {
    return colons(this.hash("sha256"))
  }
  /** MD5 of the certificate as hexadecimal; empty for a bare key. */
  get thumbprintMd5(): string {
    return this.hasCertificate ? this.hash("md5").toUpperCase() : ""
  }
  /** As {@link thumbprintMd5}, with SHA-1. */
  get thumbprintSha1(): string {
    return this.hasCertificate ? this.hash("sha1").toUpperCase() : ""
  }
  /** As {@link thumbprintMd5}, with SHA-256. */
  get thumbprintSha256(): string {
    return this.hasCertificate ? this.hash("sha256").toUpperCase() : ""
  }
  /** The distinguished name of who signed the certificate. */
  get issuer(): string {
    return DistinguishedName.format(this.fields?.issuer ?? [])
  }
  /** The distinguished name of whom the certificate is for, such as `CN=www.server.com, O=Test, C=US`. */
  get subject(): string {
    return DistinguishedName.format(this.fields?.subject ?? [])
  }
  /** The parts of {@link subject}, each with the short name of its type, such as `CN`, or its object identifier. */
  get subjectAttributes(): ReadonlyArray<DistinguishedName.Attribute> {
    return this.fields?.subject ?? []
  }
  /** The private key in PEM (PKCS#8), if there is one and it may be exported. */
  get privateKeyPem(): string {
    return orUndefined(() => this.privateKey?.export({ format: "pem", type: "pkcs8" }).toString()) ?? ""
  }
  /** The public key, if it is of a kind that is known here and not larger than OpenSSL verifies with. */
  get publicKey(): KeyObject | undefined {
    this.#publicKey ??= { key: orUndefined(() => this.readPublicKey()) }
    return this.#publicKey.key
  }
  /** The public key in PEM (SubjectPublicKeyInfo). */
  get publicKeyPem(): string {
    return orUndefined(() => this.publicKey?.export({ format: "pem", type: "spki" }).toString()) ?? ""
  }
  /** The name of the public key's algorithm, such as `RSA`, `EC` and `ED25519`, or its object identifier. */
  get publicKeyAlgorithm(): string {
    return this.publicKey?.asymmetricKeyType?.toUpperCase() ?? this.fields?.publicKeyAlgorithm ?? ""
  }
  /** The length of the public key in bits; 0 if it is not known. */
  get publicKeyLength(): number {
    const type = this.publicKey?.asymmetricKeyType
    const details = this.publicKey?.asymmetricKeyDetails
    // the names of curves say their size: prime256v1, secp521r1, brainpoolP384r1
    const curve = /\d{3}/.exec(details?.namedCurve ?? "")?.[0]
    return details?.modulusLength ?? (curve === undefined ? (lengths[type ?? ""] ?? 0) : Number(curve))
  }
  /** The serial number: hexadecimal, one pair a byte. */
  get serialNumber(): string {
    return this.fields?.serialNumber.toUpperCase() ?? ""
  }
  /** The name of the algorithm that the certificate is signed with, such as `RSA_SHA256RSA`, or its object identifier. */
  get signatureAlgorithm(): string {
    return this.fields?.signatureAlgorithm ?? ""
  }
  get alternativeNames(): ReadonlyArray<AlternativeName> {
    return this.fields?.alternativeNames ?? []
  }
  /** The key usage as flags: 0x80 Digital Signature, …, 0x01 Encipher Only; 0 if the certificate does not say. */
  get usageFlags(): number {
    return this.fields?.usageFlags ?? 0
  }
  /** The key usage as words, in the order of the flags. */
  get usage(): ReadonlyArray<string> {
    return usages.filter(([flag]) => (this.usageFlags & flag) !== 0).map(([, name]) => name)
  }
  /** `V1`, `V2` or `V3`. */
  get version(): string {
    const version = this.fields?.version ?? 0
    return version === 0 ? "" : `V${version}`
  }

  /** Whether the text is this subject, in whatever order, spacing and case of its parts. */
  subjectIs(text: string): boolean {
    return DistinguishedName.matches(this.fields?.subject ?? [], text)
  }
  /** Whether `key` is the private key of this certificate. */
  isKeyOf(key: KeyObject): boolean {
    return orUndefined(() => sameKey(createPublicKey(key), this.publicKey)) === true
  }
  /** This certificate with a private key, which the caller knows to be its own. */
  withPrivateKey(privateKey: KeyObject | undefined): Certificate {
    return new Certificate({ der: this.der, chain: this.chain, publicKey: this.#givenPublicKey, privateKey })
  }

  /** Names the certificate; it does not show the key. */
  toString(): string {
    return `Certificate(${this.hasCertificate ? this.subject : `${this.publicKeyAlgorithm} key`})`
  }
  toJSON(): unknown {
    return {
      subject: this.subject,
      thumbprint: this.thumbprintSha256,
      privateKeyAvailable: this.privateKey !== undefined
    }
  }

  private get fields(): X509.Fields | undefined {
    if (this.#fields === undefined && this.#x509 !== undefined) this.#fields = X509.read(this.#x509.raw)
    return this.#fields
  }
  private readPublicKey(): KeyObject | undefined {
    if (this.#x509 !== undefined) {
      const { publicKey } = this.#x509
      return isOversized(publicKey) ? undefined : publicKey
    }
    return this.privateKey === undefined ? this.#givenPublicKey : createPublicKey(this.privateKey)
  }
  /** The hash of the certificate or of a bare key; empty where this Node has no such hash, as with MD5 under FIPS. */
  private hash(algorithm: string): string {
    const hashed = orUndefined(() => this.#x509?.raw ?? keyBytes(this.publicKey))
    if (hashed === undefined) return ""
    return orUndefined(() => createHash(algorithm).update(hashed).digest("hex")) ?? ""
  }
}

const keyBytes = (key: KeyObject | undefined): Uint8Array | undefined =>
  key === undefined ? undefined : (SshKey.encode(key) ?? key.export({ format: "der", type: "spki" }))

const colons = (hex: string): string => hex.match(/../g)?.join(":") ?? ""

/**
 * Reads a certificate without a key from PEM, DER or base64. Of several in PEM it takes the first.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromEncoded = (encoded: string | Uint8Array): Result.Result<Certificate, CertificateError> =>
  Result.try({
    try: () => {
      const text = typeof encoded === "string" ? encoded : Buffer.from(encoded).toString("latin1")
      const block = Pem.parse(text).find(Pem.isCertificate)
      const der = block?.bytes ?? (typeof encoded === "string" ? undefined : derOf(encoded)) ?? Pem.base64(text)
      if (der === undefined) throw new CertificateError({})
      return new Certificate({ der })
    },
    catch: (cause) => (cause instanceof CertificateError ? cause : new CertificateError({ cause }))
  })

/** Bytes that begin as DER does. */
const derOf = (bytes: Uint8Array): Uint8Array | undefined =>
  bytes[0] === 0x30 && bytes[1]! >= 0x80 ? bytes : undefined

const months = ["Jan", "Feb", "Mar", "Apr", "May", "Jun", "Jul", "Aug", "Sep", "Oct", "Nov", "Dec"]

/**
 * Writes a date as `23-Jan-2000 15:00:00`, in local time; nothing for no date.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatDate = (date: Date | undefined): string => {
  if (date === undefined || Number.isNaN(date.getTime())) return ""
  const two = (n: number) => String(n).padStart(2, "0")
  const time = [date.getHours(), date.getMinutes(), date.getSeconds()].map(two).join(":")
  return `${two(date.getDate())}-${months[date.getMonth()]}-${date.getFullYear()} ${time}`
}

/**
 * Writes alternative names as a list with commas: names, addresses and URIs as they are.
 *
 * @category formatting
 * @since 0.1.0
 */
export const formatAlternativeNames = (names: ReadonlyArray<AlternativeName>): string =>
  names.map(({ value }) => value).join(",")
