/**
 * Every setting as `config` has it: who has it, its value at first, values that it takes and how they are read back, and some
 * that it does not take.
 */

export interface Row {
  readonly name: string
  readonly of: "both" | "server" | "proxy"
  readonly first: string
  /** What is written, and what is read then if that is not the same. */
  readonly good: ReadonlyArray<readonly [written: string, read?: string]>
  readonly bad: ReadonlyArray<string>
  /** What the error says that it accepts. */
  readonly accepts: string
}

type Kind = Pick<Row, "good" | "bad" | "accepts">

const boolean: Kind = {
  good: [["True"], ["False"], ["1", "True"], ["0", "False"], ["Yes", "True"], ["No", "False"]],
  bad: ["", "2", "on", "y", "tru", "True False", "-1"],
  accepts: "True or False (or 1, 0, Yes, No)"
}
const integer = (minimum: number, maximum: number, unit = ""): Kind => ({
  good: [[String(minimum)], [String(maximum)], [` ${maximum} `, String(maximum)], [`00${maximum}`, String(maximum)]],
  bad: [String(minimum - 1), String(maximum + 1), "", "x", "1.5", "1,000", "1e3", "0x10", "99999999999999999999"],
  accepts: `a whole number${unit} from ${minimum} to ${maximum}`
})
const oneOf = (values: ReadonlyArray<number>, accepts: string): Kind => ({
  good: values.map((value) => [String(value)]),
  bad: ["", "x", "-1", "1.0", String(Math.max(...values) + 1)],
  accepts
})
const text: Kind = {
  good: [["x"], [""], ["a=b=c"], ["line\r\nanother\n"], [" not trimmed "], ["[1]"], ["ünïcödé 😀"]],
  bad: [],
  accepts: "text"
}
const clients: Kind = {
  good: [["*"], [""], ["127.0.0.1"], ["192.168.*, 10.0.0.0/8,::1"], ["localhost, *.example.com"]],
  bad: ["256.1.1.1", "10.0.0.0/33", "1.2.3.4 5.6.7.8"],
  accepts:
    "a comma-separated list of addresses (192.168.1.7, ::1), wildcards (192.168.*), networks (10.0.0.0/8) and host names"
}
const maxInt = 2 ** 31 - 1
const row = (name: string, of: Row["of"], first: string, kind: Kind): Row => ({ name, of, first, ...kind })
const revocation = oneOf([0, 1, 2], "0 (no), 1 (if there is one) or 2 (yes)")

/** Those that are of the component. */
export const rows: ReadonlyArray<Row> = [
  row("BufferMessage", "both", "False", boolean),
  row("DisconnectStatusCode", "both", "1000", {
    good: [["1000"], ["1003"], ["1007"], ["1014"], ["3000"], ["4999"], [" 4000 ", "4000"]],
    bad: ["999", "1004", "1005", "1006", "1015", "2999", "5000", "", "x", "1,000"],
    accepts: "a code that may be sent: 1000 to 1003, 1007 to 1014, or 3000 to 4999"
  }),
  row("DisconnectStatusDescription", "both", "", {
    good: [["bye"], [""], ["a=b"], ["x".repeat(123)], ["ü".repeat(61)]],
    bad: ["x".repeat(124), "ü".repeat(62)],
    accepts: "text of at most 123 bytes in UTF-8"
  }),
  row("EnablePermessageDeflate", "server", "True", boolean),
  row("MaxFrameSize", "both", "131072", integer(1, maxInt, " of bytes")),
  row("MaxLineLength", "server", "2048", integer(1, maxInt, " of bytes")),
  row("WaitForCloseResponse", "both", "True", boolean),

  row("AllowedClients", "both", "*", clients),
  row("BindExclusively", "both", "True", boolean),
  row("BlockedClients", "server", "", clients),
  row("CloseStreamAfterTransfer", "server", "True", boolean),
  row("DefaultConnectionTimeout", "both", "0", integer(0, 86400, " of seconds")),
  row("InBufferSize", "both", "0", integer(0, 2 ** 30, " of bytes")),
  row("KeepAliveInterval", "both", "0", integer(0, maxInt, " of milliseconds")),
  row("KeepAliveTime", "both", "0", integer(0, maxInt, " of milliseconds")),
  row("MaxConnections", "both", "1000", integer(1, 100_000)),
  row("OutBufferSize", "both", "0", integer(0, 2 ** 30, " of bytes")),
  row("PreferredDHGroupBits", "server", "2048", integer(1024, 16384, " of bits")),
  row("TcpNoDelay", "both", "False", boolean),
  row("UseBackgroundThread", "server", "False", boolean),
  row("UseIPv6", "both", "0", oneOf([0, 1, 2], "0 (IPv4), 1 (IPv6) or 2 (both)")),

  row(
    "CACertFilePaths",
    "server",
    "/etc/ssl/ca-bundle.pem;/etc/pki/tls/certs/ca-bundle.crt;/etc/ssl/certs/ca-certificates.crt;/etc/pki/tls/cacert.pem",
    text
  ),
  row("LogSSLPackets", "both", "False", boolean),
  row("OpenSSLCADir", "proxy", "", text),
  row("OpenSSLCAFile", "proxy", "", text),
  row("OpenSSLCipherList", "proxy", "", text),
  row("OpenSSLPrngSeedData", "proxy", "", text),
  row("ReuseSSLSession", "both", "True", boolean),
  row("SSLCACerts", "both", "", text),
  row("SSLCheckCRL", "both", "0", revocation),
  row("SSLCheckOCSP", "server", "0", revocation),
  row("SSLCipherStrength", "both", "0", integer(0, 256, " of bits")),
  row("SSLClientCACerts", "server", "", text),
  row("SSLEnabledCipherSuites", "both", "*", text),
  row("SSLEnabledProtocols", "both", "3072", integer(0, 16380)),
  row("SSLEnableRenegotiation", "both", "False", boolean),
  row("SSLIncludeCertChain", "both", "False", boolean),
  row("SSLKeyLogFile", "server", "", text),
  row("SSLProvider", "proxy", "", text),
  row("SSLSecurityFlags", "both", "0", {
    good: [["0x10", "16"], ["33"], ["0X8000", "32768"], ["0xffffffff", "4294967295"], ["0x80000000", "2147483648"]],
    bad: ["-1", "0x1ffffffff", "4294967296", "ten", "", "0x"],
    accepts: "flags, such as 16 or 0x10"
  }),
  row("SSLServerCACerts", "server", "", text),
  row(
    "TLS12SignatureAlgorithms",
    "both",
    "sha512-ecdsa,sha512-rsa,sha512-dsa,sha384-ecdsa,sha384-rsa,sha384-dsa,sha256-ecdsa,sha256-rsa,sha256-dsa,sha224-ecdsa,sha224-rsa,sha224-dsa,sha1-ecdsa,sha1-rsa,sha1-dsa",
    text
  ),
  row("TLS12SupportedGroups", "both", "ecdhe_secp256r1,ecdhe_secp384r1,ecdhe_secp521r1", text),
  row("TLS13KeyShareGroups", "both", "ecdhe_x25519,ecdhe_secp256r1,ecdhe_secp384r1,ffdhe_2048,ffdhe_3072", text),
  row(
    "TLS13SignatureAlgorithms",
    "both",
    "rsa_pss_sha256,rsa_pss_sha384,rsa_pss_sha512,rsa_pkcs1_sha256,rsa_pkcs1_sha384,rsa_pkcs1_sha512,ecdsa_secp256r1_sha256,ecdsa_secp384r1_sha384,ecdsa_secp521r1_sha512,ed25519,ed448",
    text
  ),
  row(
    "TLS13SupportedGroups",
    "both",
    "ecdhe_x25519,ecdhe_x448,ecdhe_secp256r1,ecdhe_secp384r1,ecdhe_secp521r1,ffdhe_2048,ffdhe_3072,ffdhe_4096,ffdhe_6144,ffdhe_8192",
    text
  ),

  row("GUIAvailable", "server", "False", boolean),
  row("MaskSensitiveData", "server", "True", boolean),
  row("UseInternalSecurityAPI", "server", "True", boolean),

  row("LogLevel", "both", "1", oneOf([0, 1, 2, 3], "0 (none), 1 (info), 2 (verbose) or 3 (debug)")),
  row("MaxMessageSize", "both", "16777216", integer(1, 2 ** 30, " of bytes")),
  row("PingInterval", "both", "30", integer(0, 86400, " of seconds")),
  row("HandshakeTimeout", "both", "10", integer(1, 3600, " of seconds")),
  row("CloseTimeout", "both", "10", integer(1, 3600, " of seconds"))
]

/** Those that can only be read. */
export const readOnly: ReadonlyArray<string> = ["BuildInfo", "LicenseInfo"]

/** Those of a connection alone. */
export const ofConnections: ReadonlyArray<readonly [name: string, of: Row["of"], isReadOnly: boolean]> = [
  ["MessageLength", "both", false],
  ["SSLNegotiatedCipher", "server", true],
  ["SSLNegotiatedCipherStrength", "server", true],
  ["SSLNegotiatedCipherSuite", "server", true],
  ["SSLNegotiatedKeyExchange", "server", true],
  ["SSLNegotiatedKeyExchangeStrength", "server", true],
  ["SSLNegotiatedVersion", "server", true]
]
