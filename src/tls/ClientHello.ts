/**
 * The first message of a TLS connection, read from the client's bytes before TLS itself sees them (RFC 8446 sections 4.1.2 and
 * 5.1; RFC 5246 section 7.4.1.2 is the same form). So a server can choose a certificate by the name, the cipher suites and the
 * signature algorithms that the client offers, and refuse at once what is no TLS.
 *
 * A {@link Reader} takes chunks as they come, a byte at a time if need be, and answers with what it knows: that it needs more,
 * that this is no TLS with the alert that a TLS server sends then, or the hello. It is pure and keeps at most
 * {@link maxSize} bytes and a chunk; the bytes stay whole in `received`, for TLS to read again. What OpenSSL would refuse later, such as a
 * missing extension, is not refused here: only what cannot be read.
 *
 * @since 0.1.0
 */
import { Gathered } from "../protocol/internal/gathered.ts"
import * as CipherSuites from "./CipherSuites.ts"
import * as SignatureSchemes from "./SignatureSchemes.ts"

/**
 * The most bytes that are read before a hello has to be whole.
 *
 * @category values
 * @since 0.1.0
 */
export const maxSize = 65536

/**
 * What a client offers.
 *
 * @category models
 * @since 0.1.0
 */
export interface ClientHello {
  /** The version in the field that TLS 1.3 no longer uses: 0x0303 for TLS 1.2 and later. */
  readonly legacyVersion: number
  /** The versions of the extension (RFC 8446 section 4.2.1); where it is missing, the legacy version alone. */
  readonly supportedVersions: ReadonlyArray<number>
  /** The cipher suites by number, in the client's order. */
  readonly cipherSuites: ReadonlyArray<number>
  /** The signature schemes by number, in the client's order; empty if the extension is missing. */
  readonly signatureAlgorithms: ReadonlyArray<number>
  /** The schemes that the client takes in certificates, where it says so apart (`signature_algorithms_cert`). */
  readonly certificateSignatureAlgorithms: ReadonlyArray<number>
  /** The groups by number, in the client's order. */
  readonly supportedGroups: ReadonlyArray<number>
  /** The host name that the client asked for (RFC 6066 section 3). */
  readonly serverName: string | undefined
  /** The application protocols (RFC 7301 section 3.1), as text of one character a byte. */
  readonly alpnProtocols: ReadonlyArray<string>
  /** The types of all extensions, in the client's order. */
  readonly extensions: ReadonlyArray<number>
}

const alerts = {
  UnexpectedMessage: 10,
  RecordOverflow: 22,
  HandshakeFailure: 40,
  IllegalParameter: 47,
  AccessDenied: 49,
  DecodeError: 50,
  ProtocolVersion: 70,
  InternalError: 80,
  UnrecognizedName: 112
} as const

/**
 * The name of a TLS alert.
 *
 * @category models
 * @since 0.1.0
 */
export type Alert = keyof typeof alerts

/**
 * What is known after a chunk.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "NeedMore" }
  | { readonly _tag: "Hello"; readonly hello: ClientHello }
  | {
      readonly _tag: "NotTls"
      /** What was expected and what came. */
      readonly reason: string
      /** The alert that TLS sends, by name. */
      readonly alert: Alert
      /** Whether it is a request of HTTP in plain text, whose sender understands no alert. */
      readonly isHttp: boolean
    }

/**
 * The record that tells a client of an alert and ends the connection (RFC 8446 section 6).
 *
 * @category encoding
 * @since 0.1.0
 */
export const alertRecord = (alert: Alert): Uint8Array => Uint8Array.of(21, 3, 1, 0, 2, 2, alerts[alert])

/** Thrown inside the reader, which makes an outcome of it. */
class Refused {
  readonly alert: Alert
  readonly reason: string
  readonly isHttp: boolean

  constructor(alert: Alert, reason: string, isHttp: boolean) {
    this.alert = alert
    this.reason = reason
    this.isHttp = isHttp
  }
}

const refuse = (alert: Alert, reason: string, isHttp = false): never => {
  throw new Refused(alert, reason, isHttp)
}

const needMore: Outcome = { _tag: "NeedMore" }

const handshakeRecord = 22
const clientHelloMessage = 1
const recordHeader = 5
/** A record holds at most this (section 5.1). */
const maxRecord = 16384

/**
 * See the head of this module.
 *
 * @category decoding
 * @since 0.1.0
 */
export class Reader {
  private readonly gathered = new Gathered(512)
  /** Where the next record header is. */
  private at = 0
  /** The handshake message so far, of all records. */
  private readonly message = new Gathered(0)
  private outcome: Outcome = needMore

  /** All bytes that were pushed. */
  get received(): Uint8Array {
    return this.gathered.bytes
  }

  /** Takes the next bytes and says what is known now. The answer stays once it is not `NeedMore`. */
  push(chunk: Uint8Array): Outcome {
    this.gathered.push(chunk)
    if (this.outcome !== needMore) return this.outcome
    try {
      const hello = this.read()
      if (hello !== undefined) this.outcome = { _tag: "Hello", hello }
      else if (this.gathered.length >= maxSize) {
        refuse("IllegalParameter", `expected a ClientHello of at most ${maxSize} bytes, and it is not whole yet`)
      }
    } catch (error) {
      if (!(error instanceof Refused)) throw error
      const { alert, isHttp, reason } = error
      this.outcome = { _tag: "NotTls", reason, alert, isHttp }
    }
    return this.outcome
  }

  /** Reads on through the records; each byte is judged as soon as it is there. */
  private read(): ClientHello | undefined {
    for (;;) {
      const bytes = this.gathered.bytes.subarray(this.at, maxSize)
      if (!checkHeader(bytes, this.at === 0)) return undefined
      const size = (bytes[3]! << 8) | bytes[4]!
      if (size === 0) refuse("UnexpectedMessage", "a handshake record is empty")
      if (size > maxRecord)
        refuse("RecordOverflow", `a record of ${size} bytes is announced; at most ${maxRecord} are allowed`)
      // the beginning of the message is judged before its record is whole
      const begun = bytes.subarray(recordHeader, recordHeader + size)
      if (this.message.length === 0) checkMessage(begun)
      if (begun.length < size) return undefined
      this.message.push(begun)
      this.at += recordHeader + size
      const hello = this.whole()
      if (hello !== undefined) return hello
    }
  }

  private whole(): ClientHello | undefined {
    const message = this.message.bytes
    checkMessage(message)
    if (message.length < 4) return undefined
    const end = 4 + messageSize(message)
    if (message.length < end) return undefined
    if (message.length > end) refuse("UnexpectedMessage", "another message follows the ClientHello in its record")
    return readHello(new Fields(message.subarray(4)))
  }
}

/**
 * Reads a hello from the bytes that came so far.
 *
 * @category decoding
 * @since 0.1.0
 */
export const parse = (bytes: Uint8Array): Outcome => new Reader().push(bytes)

const messageSize = (message: Uint8Array): number => (message[1]! << 16) | (message[2]! << 8) | message[3]!

const isHttp = /^(?:GET|HEAD|POST|PUT|OPTIONS|CONNECT|DELETE|PATCH|PRI|TRACE) ?$/

/** Judges as much of a record header as there is, and says whether it is whole. */
const checkHeader = (bytes: Uint8Array, first: boolean): boolean => {
  if (bytes.length === 0) return false
  const type = bytes[0]!
  if (type !== handshakeRecord) {
    if (!first) refuse("UnexpectedMessage", `expected the rest of the ClientHello, got a record of type ${type}`)
    // the two-byte header of SSL 2.0 (RFC 5246 appendix E.2); its third byte is the type of the message
    if (type >= 0x80 && (bytes.length < 3 || bytes[2] === clientHelloMessage)) {
      if (bytes.length >= 3) refuse("ProtocolVersion", "expected TLS, got a hello of SSL 2.0")
      return false
    }
    const word = String.fromCharCode(...bytes.subarray(0, 8)).split(" ")[0]!
    if (isHttp.test(word)) refuse("UnexpectedMessage", "expected TLS, got an HTTP request in plain text", true)
    // a request's method is at most seven letters: until it is told apart, more is needed
    if (bytes.length < 8 && /^[A-Z]+$/.test(word) && word.length === bytes.length) return false
    refuse("UnexpectedMessage", `expected a TLS handshake (22), got a record of type ${type}`)
  }
  if (bytes.length > 1 && bytes[1] !== 3) {
    refuse("ProtocolVersion", `expected a record of version 3.x, got ${bytes[1]}`)
  }
  return bytes.length >= recordHeader
}

/** Judges as much of the message's header as there is. */
const checkMessage = (message: Uint8Array): void => {
  if (message.length === 0) return
  if (message[0] !== clientHelloMessage) {
    refuse("UnexpectedMessage", `expected a ClientHello (1), got a handshake message of type ${message[0]}`)
  }
  if (message.length < 4) return
  const size = messageSize(message)
  if (size > maxSize - 4 - recordHeader) {
    refuse(
      "IllegalParameter",
      `a ClientHello of ${size} bytes is announced; at most ${maxSize} are taken with its records`
    )
  }
}

/** The fields of a message, one after the other; whatever does not fit is a decode error. */
class Fields {
  private readonly bytes: Uint8Array
  private at = 0

  constructor(bytes: Uint8Array) {
    this.bytes = bytes
  }
  get done(): boolean {
    return this.at === this.bytes.length
  }
  take(size: number, what: string): Uint8Array {
    if (this.bytes.length - this.at < size) refuse("DecodeError", `${what} goes past the end of what holds it`)
    this.at += size
    return this.bytes.subarray(this.at - size, this.at)
  }
  uint8(what: string): number {
    return this.take(1, what)[0]!
  }
  uint16(what: string): number {
    const bytes = this.take(2, what)
    return (bytes[0]! << 8) | bytes[1]!
  }
  /** A vector with a length of one byte. */
  vector8(what: string, min: number): Fields {
    return this.vector(this.uint8(what), what, min)
  }
  /** A vector with a length of two bytes. */
  vector16(what: string, min: number): Fields {
    return this.vector(this.uint16(what), what, min)
  }
  /** Numbers of two bytes to the end. */
  numbers(what: string): ReadonlyArray<number> {
    const numbers: Array<number> = []
    while (!this.done) numbers.push(this.uint16(what))
    return numbers
  }
  text(): string {
    let text = ""
    for (const byte of this.take(this.bytes.length - this.at, "")) text += String.fromCharCode(byte)
    return text
  }
  end(what: string): void {
    if (!this.done) refuse("DecodeError", `${what} is followed by ${this.bytes.length - this.at} more bytes`)
  }
  private vector(size: number, what: string, min: number): Fields {
    if (size < min) refuse("DecodeError", `${what} has ${size} bytes; at least ${min} are needed`)
    return new Fields(this.take(size, what))
  }
}

/** The extensions that are read (RFC 8446 section 4.2). */
const types = {
  serverName: 0,
  supportedGroups: 10,
  signatureAlgorithms: 13,
  alpn: 16,
  preSharedKey: 41,
  supportedVersions: 43,
  signatureAlgorithmsCert: 50
} as const

const readHello = (fields: Fields): ClientHello => {
  const legacyVersion = fields.uint16("the version")
  if (legacyVersion >> 8 !== 3) {
    refuse("ProtocolVersion", `expected a hello of version 3.x, got 0x${legacyVersion.toString(16)}`)
  }
  fields.take(32, "the random value")
  const session = fields.vector8("the session", 0)
  if (session.text().length > 32) refuse("DecodeError", "the session has more than 32 bytes")
  const cipherSuites = fields.vector16("the list of cipher suites", 2).numbers("a cipher suite")
  const compressions = fields.vector8("the list of compression methods", 1)
  if (!compressions.text().includes("\0")) refuse("IllegalParameter", "the compression methods have no null method")
  const extensions = readExtensions(fields)
  const numbers = (type: number, what: string) => {
    const extension = extensions.get(type)
    if (extension === undefined) return []
    const list = extension.vector16(what, 2).numbers(what)
    extension.end(what)
    return list
  }
  return {
    legacyVersion,
    supportedVersions: readVersions(extensions.get(types.supportedVersions)) ?? [legacyVersion],
    cipherSuites,
    signatureAlgorithms: numbers(types.signatureAlgorithms, "the list of signature algorithms"),
    certificateSignatureAlgorithms: numbers(
      types.signatureAlgorithmsCert,
      "the list of signature algorithms of certificates"
    ),
    supportedGroups: numbers(types.supportedGroups, "the list of groups"),
    serverName: readServerName(extensions.get(types.serverName)),
    alpnProtocols: readProtocols(extensions.get(types.alpn)),
    extensions: [...extensions.keys()]
  }
}

const readExtensions = (fields: Fields): ReadonlyMap<number, Fields> => {
  const extensions = new Map<number, Fields>()
  // before TLS 1.3 a hello may end without them
  if (fields.done) return extensions
  const list = fields.vector16("the list of extensions", 0)
  fields.end("the list of extensions")
  while (!list.done) {
    const type = list.uint16("the type of an extension")
    if (extensions.has(type)) refuse("IllegalParameter", `the extension ${type} is there twice`)
    if (extensions.has(types.preSharedKey)) refuse("IllegalParameter", "an extension follows pre_shared_key")
    extensions.set(type, list.vector16("an extension", 0))
  }
  return extensions
}

const readVersions = (extension: Fields | undefined): ReadonlyArray<number> | undefined => {
  if (extension === undefined) return undefined
  const versions = extension.vector8("the list of versions", 2).numbers("a version")
  extension.end("the list of versions")
  return versions
}

const readServerName = (extension: Fields | undefined): string | undefined => {
  if (extension === undefined) return undefined
  const list = extension.vector16("the list of server names", 1)
  extension.end("the list of server names")
  let found: string | undefined
  while (!list.done) {
    const type = list.uint8("the type of a server name")
    const name = list.vector16("a server name", 1).text()
    if (type !== 0) continue
    if (found !== undefined) refuse("IllegalParameter", "there are two server names")
    if (!/^[!-~]{1,255}$/.test(name)) refuse("IllegalParameter", "the server name is no host name")
    found = name
  }
  return found
}

const readProtocols = (extension: Fields | undefined): ReadonlyArray<string> => {
  if (extension === undefined) return []
  const list = extension.vector16("the list of protocols", 2)
  extension.end("the list of protocols")
  const protocols: Array<string> = []
  while (!list.done) protocols.push(list.vector8("a protocol", 1).text())
  return protocols
}

/**
 * The numbers of a hello that mean something, without those that clients send to keep servers tolerant (RFC 8701).
 *
 * @category getters
 * @since 0.1.0
 */
export const withoutGrease = (numbers: ReadonlyArray<number>): ReadonlyArray<number> =>
  numbers.filter((number) => !CipherSuites.isGrease(number))

/**
 * The newest version of TLS that the client offers, as its number: 0x0304 is TLS 1.3, 0x0303 is TLS 1.2.
 *
 * @category getters
 * @since 0.1.0
 */
export const newestVersion = (hello: ClientHello): number => Math.max(0, ...withoutGrease(hello.supportedVersions))

/**
 * The IANA names of the cipher suites, in the client's order.
 *
 * @category getters
 * @since 0.1.0
 */
export const cipherSuiteNames = (hello: ClientHello): ReadonlyArray<string> =>
  withoutGrease(hello.cipherSuites).map(CipherSuites.nameOf)

/**
 * The documented names of the signature algorithms, in the client's order and each once: `sha256-rsa`, `rsa_pss_sha256`.
 *
 * @category getters
 * @since 0.1.0
 */
export const signatureAlgorithmNames = (hello: ClientHello): ReadonlyArray<string> =>
  SignatureSchemes.documentedNames(withoutGrease(hello.signatureAlgorithms))
