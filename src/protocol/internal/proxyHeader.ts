/**
 * What a header of the PROXY protocol is: the schemas and the error that `ProxyProtocol` gives out, and what reading and writing
 * share. Sections are those of HAProxy's text.
 */
import * as Data from "effect/Data"
import * as Schema from "effect/Schema"

export const signature = Uint8Array.of(0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a)
/** Signature, version and command, family and transport, length. */
export const fixedSize = 16
/** A path takes as much, however short it is. */
export const pathSize = 108

/** See `ProxyProtocol`. */
export class ProxyProtocolError extends Data.TaggedError("ProxyProtocolError")<{
  readonly kind: "NotProxyProtocol" | "Version" | "Command" | "Address" | "Tlv" | "Checksum" | "TooLong"
  readonly message: string
}> {}

/** Thrown inside of a codec, which makes a value of it. */
export const refuse = (kind: ProxyProtocolError["kind"], message: string): never => {
  throw new ProxyProtocolError({ kind, message })
}

export const maxUniqueId = 128

/** A vector of a type that is not known here. */
export const Tlv = Schema.Struct({
  type: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 255 }))),
  value: Schema.Uint8Array
})

/** What the proxy says of the client's TLS (section 2.2.6). */
export const Ssl = Schema.Struct({
  /** The client spoke TLS to the proxy. */
  isTls: Schema.Boolean,
  /** It showed a certificate on this connection. */
  hasCertificate: Schema.Boolean,
  /** It showed a certificate in the TLS session that this connection belongs to. */
  hasSessionCertificate: Schema.Boolean,
  /** 0 if the certificate was verified. Some proxies say 0 without a certificate, too: see `isVerified`. */
  verify: Schema.Int.pipe(Schema.check(Schema.isBetween({ minimum: 0, maximum: 0xffffffff }))),
  /** `TLSv1.3`. */
  version: Schema.optionalKey(Schema.String),
  /** The common name of the client's certificate. */
  commonName: Schema.optionalKey(Schema.String),
  /** `ECDHE-RSA-AES128-GCM-SHA256`. */
  cipher: Schema.optionalKey(Schema.String),
  /** How the proxy's own certificate is signed: `SHA256`. */
  signatureAlgorithm: Schema.optionalKey(Schema.String),
  /** The key of the proxy's own certificate: `RSA2048`. */
  keyAlgorithm: Schema.optionalKey(Schema.String),
  others: Schema.Array(Tlv)
})

export const Tlvs = Schema.Struct({
  /** The application protocol of the client's connection (section 2.2.1), as text of one character a byte. */
  alpn: Schema.optionalKey(Schema.String),
  /** The host name that the client asked for, of TLS its server name (section 2.2.2). */
  authority: Schema.optionalKey(Schema.String),
  /** What the proxy knows the connection by (section 2.2.5). */
  uniqueId: Schema.optionalKey(
    Schema.Uint8Array.pipe(
      Schema.check(Schema.makeFilter((id: Uint8Array) => id.length <= maxUniqueId || `at most ${maxUniqueId} bytes`))
    )
  ),
  ssl: Schema.optionalKey(Ssl),
  /** The name of the network namespace (section 2.2.7). */
  netns: Schema.optionalKey(Schema.String),
  /** What is of no type above, in its order. */
  others: Schema.Array(Tlv)
})

export type Tlv = typeof Tlv.Type
export type Ssl = typeof Ssl.Type
export type Tlvs = typeof Tlvs.Type

const encoder = new TextEncoder()

const Version = Schema.Literals([1, 2])
const Transport = Schema.Literals(["stream", "datagram"])
const UnixPath = Schema.String.pipe(
  Schema.check(
    Schema.makeFilter((path: string) => encoder.encode(path).length <= pathSize || `at most ${pathSize} bytes`)
  )
)

export const Header = Schema.Union([
  Schema.TaggedStruct("Local", { version: Schema.Literal(2) }),
  Schema.TaggedStruct("Unknown", { version: Version }),
  Schema.TaggedStruct("Inet", {
    version: Version,
    transport: Transport,
    source: Schema.InetAddress,
    destination: Schema.InetAddress,
    tlvs: Tlvs
  }),
  Schema.TaggedStruct("Unix", {
    version: Schema.Literal(2),
    transport: Transport,
    source: UnixPath,
    destination: UnixPath,
    tlvs: Tlvs
  })
])

export type Header = typeof Header.Type
