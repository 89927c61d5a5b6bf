/**
 * The PROXY protocol, versions 1 and 2: the header that a load balancer puts before the first byte of a connection, to say whose
 * it is. Sections are those of HAProxy's text, `proxy-protocol.txt`. Pure: bytes in, values out, and back.
 *
 * A header proves nothing: whoever can connect can send one. So a listener must read it only from trusted addresses (section 2).
 *
 * A {@link Decoder} takes chunks as they come, down to a byte at a time, and refuses anything else at the first wrong byte. It
 * keeps at most `maxSize` bytes and a chunk.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { Gathered } from "./internal/gathered.ts"
import { number } from "./internal/option.ts"
import * as ProxyHeader from "./internal/proxyHeader.ts"
import * as ProxyTlvs from "./internal/proxyTlvs.ts"
import { writeBinary, writeLine } from "./internal/proxyWriting.ts"

const { fixedSize, pathSize, refuse, signature } = ProxyHeader

/**
 * The most bytes of a header, unless a decoder is told another number. (Two certificates with long keys fit in it.)
 *
 * @category values
 * @since 0.1.0
 */
export const defaultMaxSize = 16_384

/**
 * A header that is refused.
 *
 * - `NotProxyProtocol`: the first bytes are not those of a header.
 * - `Version`, `Command`: version 2 has them in its 13th byte, and these are not assigned.
 * - `Address`: the addresses cannot be read, or their family is not assigned.
 * - `Tlv`: what follows the addresses cannot be read.
 * - `Checksum`: there is a CRC32C, and it is wrong.
 * - `TooLong`: a line of more than 107 bytes, or a header of more than `maxSize`.
 *
 * `message` says what was expected and what came. It holds nothing of the header but numbers.
 *
 * @category errors
 * @since 0.1.0
 */
export const ProxyProtocolError = ProxyHeader.ProxyProtocolError

/**
 * Why a header is refused: see the class of the same name.
 *
 * @category errors
 * @since 0.1.0
 */
export type ProxyProtocolError = ProxyHeader.ProxyProtocolError

/**
 * A vector of a type that is not known here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Tlv = ProxyHeader.Tlv

/**
 * A vector of a type that is not known here.
 *
 * @category models
 * @since 0.1.0
 */
export type Tlv = ProxyHeader.Tlv

/**
 * What a proxy says of the TLS between it and the client (section 2.2.6).
 *
 * @category schemas
 * @since 0.1.0
 */
export const Ssl = ProxyHeader.Ssl

/**
 * What a proxy says of the TLS between it and the client.
 *
 * @category models
 * @since 0.1.0
 */
export type Ssl = ProxyHeader.Ssl

/**
 * What version 2 says beyond the addresses. The checksum is verified and padding is skipped: neither is here.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Tlvs = ProxyHeader.Tlvs

/**
 * What version 2 says beyond the addresses.
 *
 * @category models
 * @since 0.1.0
 */
export type Tlvs = ProxyHeader.Tlvs

/**
 * No TLVs.
 *
 * @category values
 * @since 0.1.0
 */
export const noTlvs: Tlvs = { others: [] }

/**
 * Whether the client showed the proxy a certificate that the proxy has verified. That `verify` is 0 is not enough: it is also
 * what OpenSSL says where there is no certificate, and what proxies hand on.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isVerified = (ssl: Ssl): boolean => ssl.verify === 0 && (ssl.hasCertificate || ssl.hasSessionCertificate)

/**
 * What a header says.
 *
 * - `Local`: the proxy connects for itself, such as to see whether we live. The addresses are those of the connection.
 * - `Unknown`: it connects for somebody, and does not say whom. The addresses are those of the connection.
 * - `Inet`: the two ends of the client's connection to the proxy. IPv4-mapped IPv6 addresses are as they came.
 * - `Unix`: the same of unix sockets, whose names are paths, begin with NUL if they are abstract, and may be empty.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Header = ProxyHeader.Header

/**
 * What a header says: see the schema of the same name.
 *
 * @category models
 * @since 0.1.0
 */
export type Header = ProxyHeader.Header

/**
 * What is known after a chunk: that more is needed; the header and its size in bytes, after which the client's bytes begin; or
 * why it is refused.
 *
 * @category models
 * @since 0.1.0
 */
export type Outcome =
  | { readonly _tag: "NeedMore" }
  | { readonly _tag: "Header"; readonly header: Header; readonly size: number }
  | { readonly _tag: "Malformed"; readonly error: ProxyProtocolError }

const encoder = new TextEncoder()
const fatal = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

const linePrefix = encoder.encode("PROXY ")
/** Section 2.1: the longest line, its end included. */
const maxLine = 107
/** By family: unspecified, IPv4, IPv6, unix. */
const addressSizes = [0, 12, 36, 216] as const

const cr = 0x0d
const lf = 0x0a

const needMore: Outcome = { _tag: "NeedMore" }

type Whole = { readonly header: Header; readonly size: number }

const byte = (value: number): string => `0x${value.toString(16).padStart(2, "0")}`

/** Judges as much as there is of what a header begins with. */
const checkBeginning = (bytes: Uint8Array, beginning: Uint8Array): void => {
  const wrong = bytes.subarray(0, beginning.length).findIndex((byte, index) => byte !== beginning[index])
  if (wrong !== -1) {
    refuse("NotProxyProtocol", `expected a PROXY protocol header, got ${byte(bytes[wrong]!)} as byte ${wrong + 1}`)
  }
}

const addressIn = (family: string, text: string, port: string): NetAddress.InetAddress => {
  const read: Result.Result<NetAddress.IpAddress, unknown> =
    family === "TCP4" ? NetAddress.ipv4FromString(text) : NetAddress.ipv6FromString(text)
  if (Result.isFailure(read)) return refuse("Address", `expected addresses of ${family} in the line`)
  if (!/^(?:0|[1-9]\d{0,4})$/.test(port) || Number(port) > 65535) {
    return refuse("Address", "expected ports from 0 to 65535, without leading zeros, in the line")
  }
  return NetAddress.inetAddressUnsafe(read.success, Number(port))
}

/** A line without its end. */
const readLine = (line: string): Header => {
  const [, family = "", source = "", destination = "", sourcePort = "", destinationPort = "", ...more] = line.split(" ")
  // whatever follows has to be ignored
  if (family === "UNKNOWN") return { _tag: "Unknown", version: 1 }
  if (family !== "TCP4" && family !== "TCP6") return refuse("Address", "expected TCP4, TCP6 or UNKNOWN in the line")
  if (more.length > 0) return refuse("Address", "expected nothing behind the ports of the line")
  return {
    _tag: "Inet",
    version: 1,
    transport: "stream",
    source: addressIn(family, source, sourcePort),
    destination: addressIn(family, destination, destinationPort),
    tlvs: noTlvs
  }
}

const readText = (bytes: Uint8Array): Whole | undefined => {
  checkBeginning(bytes, linePrefix)
  const held = bytes.subarray(0, maxLine)
  const end = held.findIndex((byte) => byte === cr || byte === lf)
  if (end === -1 || end === maxLine - 1) {
    if (held.length === maxLine) refuse("TooLong", `expected the end of the line within ${maxLine} bytes`)
    return undefined
  }
  if (held[end] === cr && end + 1 === held.length) return undefined
  // section 2.1: neither of the two alone ends a line
  if (held[end] === lf || held[end + 1] !== lf) return refuse("Address", "expected CR and LF at the end of the line")
  return { header: readLine(String.fromCharCode(...held.subarray(0, end))), size: end + 2 }
}

const readPath = (bytes: Uint8Array): string => {
  const abstract = bytes[0] === 0
  const nul = abstract ? bytes.findLastIndex((byte) => byte !== 0) + 1 : bytes.indexOf(0)
  try {
    return fatal.decode(nul === -1 ? bytes : bytes.subarray(0, nul))
  } catch {
    return refuse("Address", "expected paths in UTF-8")
  }
}

const readAddresses = (bytes: Uint8Array, family: number, transport: number): Header => {
  const view = new DataView(bytes.buffer, bytes.byteOffset + fixedSize)
  const common = { version: 2, transport: transport === 1 ? "stream" : "datagram" } as const
  const tlvs = () => ProxyTlvs.read(bytes, fixedSize + addressSizes[family]!)
  const block = bytes.subarray(fixedSize)
  if (family === 3) {
    const [source, destination] = [
      readPath(block.subarray(0, pathSize)),
      readPath(block.subarray(pathSize, 2 * pathSize))
    ]
    return { _tag: "Unix", ...common, source, destination, tlvs: tlvs() }
  }
  const width = family === 1 ? 4 : 16
  const ip = (at: number) => {
    const octets = block.subarray(at, at + width)
    return family === 1 ? NetAddress.ipv4FromBytesUnsafe(octets) : NetAddress.ipv6FromBytesUnsafe(octets)
  }
  const source = NetAddress.inetAddressUnsafe(ip(0), view.getUint16(2 * width))
  const destination = NetAddress.inetAddressUnsafe(ip(width), view.getUint16(2 * width + 2))
  return { _tag: "Inet", ...common, source, destination, tlvs: tlvs() }
}

const readBinary = (bytes: Uint8Array, maxSize: number): Whole | undefined => {
  checkBeginning(bytes, signature)
  if (bytes.length <= 12) return undefined
  const version = bytes[12]! >> 4
  const command = bytes[12]! & 0x0f
  if (version !== 2) refuse("Version", `expected version 2 of the PROXY protocol, got ${version}`)
  if (command > 1) refuse("Command", `expected LOCAL (0) or PROXY (1), got ${command}`)
  if (bytes.length === 13) return undefined
  const family = bytes[13]! >> 4
  const transport = bytes[13]! & 0x0f
  // of LOCAL all that follows but its length is to be ignored
  const isLocal = command === 0
  if (!isLocal && (family > 3 || transport > 2)) {
    refuse("Address", `expected a family and a transport that are assigned, got ${byte(bytes[13]!)}`)
  }
  if (bytes.length < fixedSize) return undefined
  const length = (bytes[14]! << 8) | bytes[15]!
  const size = fixedSize + length
  if (size > maxSize) refuse("TooLong", `expected a header of at most ${maxSize} bytes, got one of ${size}`)
  const isUnknown = family === 0 || transport === 0
  const least = isLocal || isUnknown ? 0 : addressSizes[family]!
  if (length < least) refuse("Address", `expected ${least} bytes of addresses at least, got ${length}`)
  if (bytes.length < size) return undefined
  if (isLocal) return { header: { _tag: "Local", version: 2 }, size }
  // there may be addresses of any kind in it, so that where TLVs begin is not known
  if (isUnknown) return { header: { _tag: "Unknown", version: 2 }, size }
  return { header: readAddresses(bytes.subarray(0, size), family, transport), size }
}

/**
 * See the head of this module.
 *
 * @category decoding
 * @since 0.1.0
 */
export class Decoder {
  private readonly maxSize: number
  private readonly gathered = new Gathered(128)
  private outcome: Outcome = needMore

  /** `maxSize` bounds headers of version 2, in bytes. Default: 16 KiB. */
  constructor(options: { readonly maxSize?: number | undefined } = {}) {
    this.maxSize = number("maxSize", options.maxSize, defaultMaxSize)
  }

  /** All bytes that were pushed, up to the chunk that brought the answer. */
  get received(): Uint8Array {
    return this.gathered.bytes
  }

  /** Takes the next bytes and says what is known now. The answer stays once it is not `NeedMore`. */
  push(chunk: Uint8Array): Outcome {
    if (this.outcome !== needMore) return this.outcome
    this.gathered.push(chunk)
    try {
      const bytes = this.received
      const whole = bytes[0] === signature[0] ? readBinary(bytes, this.maxSize) : readText(bytes)
      if (whole !== undefined) this.outcome = { _tag: "Header", ...whole }
    } catch (error) {
      if (!(error instanceof ProxyProtocolError)) throw error
      this.outcome = { _tag: "Malformed", error }
    }
    return this.outcome
  }
}

/**
 * Reads one header, which the bytes must hold exactly.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromBytes = (bytes: Uint8Array): Result.Result<Header, ProxyProtocolError> => {
  const outcome = new Decoder({ maxSize: fixedSize + 0xffff }).push(bytes)
  if (outcome._tag === "Malformed") return Result.fail(outcome.error)
  if (outcome._tag === "Header" && outcome.size === bytes.length) return Result.succeed(outcome.header)
  const message =
    outcome._tag === "Header"
      ? `${bytes.length - outcome.size} bytes follow the header`
      : `the header is not whole in ${bytes.length} bytes`
  return Result.fail(new ProxyProtocolError({ kind: "Address", message }))
}

/**
 * Writes a header. Two addresses of which one is IPv4 and the other is not are both written as IPv6. With `checksum`, a header of
 * version 2 that has addresses is sealed with its CRC32C. Fails for what the protocol cannot carry: TLVs or unix sockets in
 * version 1, a unique id of more than 128 bytes, a path of more than 108, more than 65,535 bytes in all.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toBytes = (
  header: Header,
  options: { readonly checksum?: boolean | undefined } = {}
): Result.Result<Uint8Array, ProxyProtocolError> => {
  try {
    return Result.succeed(header.version === 1 ? writeLine(header) : writeBinary(header, options.checksum === true))
  } catch (error) {
    if (error instanceof ProxyProtocolError) return Result.fail(error)
    throw error
  }
}

/**
 * Schema between a header and its bytes.
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromBytes = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Header,
    SchemaTransformation.transformEffect<typeof Header.Encoded, Uint8Array>({
      decode: (bytes, options) =>
        Result.match(fromBytes(bytes), {
          onFailure: (error) => Effect.fail(new SchemaIssue.InvalidValue({ message: error.message }, bytes, options)),
          onSuccess: (header) => Effect.succeed(header)
        }),
      encode: (header, options) =>
        Result.match(toBytes(header), {
          onFailure: (error) => Effect.fail(new SchemaIssue.InvalidValue({ message: error.message }, header, options)),
          onSuccess: (bytes) => Effect.succeed(bytes)
        })
    })
  )
)
