/**
 * The settings about TLS.
 *
 * @since 0.1.0
 */
import { boolean, integer, oneOf, text, type TextKind, textKind } from "../internal/kinds.ts"
import * as Schema from "effect/Schema"
import { named, setting } from "./setting.ts"

/** Flags are written in decimal or in hexadecimal. */
const flags: TextKind<number> = {
  ...textKind(Schema.NumberFromString, "flags, such as 16 or 0x10"),
  parse: (text) =>
    /^\s*(0x[0-9a-f]{1,8}|\d{1,10})\s*$/i.test(text) && Number(text) <= 0xffffffff ? Number(text) : undefined
}

const negotiated = (what: string) =>
  setting(text, "", {
    documents: "server",
    status: "works",
    change: "never",
    perConnection: "only",
    what,
    note: "`TlsSession`; empty without TLS, and where it is not known"
  })

/**
 * About TLS.
 *
 * @category tables
 * @since 0.1.0
 */
export const tlsSettings = named({
  CACertFilePaths: setting(
    text,
    "/etc/ssl/ca-bundle.pem;/etc/pki/tls/certs/ca-bundle.crt;/etc/ssl/certs/ca-certificates.crt;/etc/pki/tls/cacert.pem",
    {
      documents: "server",
      status: "works",
      change: "nextListening",
      what: "Files of certificate authorities, separated by semicolons: those of the system. Read when listening starts.",
      note: "the first that exists is read, for client certificates"
    }
  ),
  LogSSLPackets: setting(boolean, false, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "Whether the SSLStatus event tells of each TLS record. Read when listening starts.",
    note: "`NodeTls.Options.records`"
  }),
  OpenSSLCADir: setting(text, "", {
    documents: "proxy",
    status: "works",
    change: "nextListening",
    what: "A folder of certificates of authorities. Read when listening starts.",
    note: "`NodeTls.ClientCertificates.ca`"
  }),
  OpenSSLCAFile: setting(text, "", {
    documents: "proxy",
    status: "works",
    change: "nextListening",
    what: "A file of certificates of authorities. Read when listening starts.",
    note: "`NodeTls.ClientCertificates.ca`"
  }),
  OpenSSLCipherList: setting(text, "", {
    documents: "proxy",
    status: "works",
    change: "nextListening",
    what: "The cipher suites, as OpenSSL writes them. Read when listening starts.",
    note: "`TlsSettings.Options.cipherList`"
  }),
  OpenSSLPrngSeedData: setting(text, "", {
    documents: "proxy",
    status: "no meaning",
    what: "Data to seed the random number generator.",
    note: "Node seeds from the system, and takes no seed"
  }),
  ReuseSSLSession: setting(boolean, true, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "Whether TLS sessions are resumed. Read when listening starts.",
    note: "`TlsSettings.Options.sessionTickets`"
  }),
  SSLCACerts: setting(text, "", {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "Certificates, in PEM: on the server, those sent with its own; on the proxy, the authorities for client certificates. Read when listening starts.",
    note: "the chain of the certificate, or `NodeTls.ClientCertificates.ca`"
  }),
  SSLCheckCRL: setting(oneOf([0, 1, 2], "0 (no), 1 (if there is one) or 2 (yes)"), 0, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "Whether certificates are held against revocation lists. Read when listening starts.",
    note: "`tls/Revocation`, of client certificates: there are no servers to verify here"
  }),
  SSLCheckOCSP: setting(oneOf([0, 1, 2], "0 (no), 1 (if there is one) or 2 (yes)"), 0, {
    documents: "server",
    status: "works",
    change: "nextListening",
    what: "Whether certificates are asked about by OCSP. Read when listening starts.",
    note: "`tls/Revocation`, of client certificates: there are no servers to verify here"
  }),
  SSLCipherStrength: setting(integer(0, 256, " of bits"), 0, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "The least strength of a cipher. 0: any. Read when listening starts.",
    note: "`TlsSettings.Options.minCipherStrength`"
  }),
  SSLClientCACerts: setting(text, "", {
    documents: "server",
    status: "works",
    change: "nextListening",
    what: "Authorities for client certificates, in PEM, besides those of the system. Read when listening starts.",
    note: "`NodeTls.ClientCertificates.ca`"
  }),
  SSLEnabledCipherSuites: setting(text, "*", {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "The cipher suites, separated by semicolons, or *. Read when listening starts.",
    note: "`TlsSettings.Options.cipherSuites`; the names of Windows (CALG_…) say nothing here"
  }),
  SSLEnabledProtocols: setting(integer(0, 16380), 3072, {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "The protocols, added up: TLS 1.3 12288, TLS 1.2 3072, TLS 1.1 768, TLS 1.0 192. Read when listening starts.",
    note: "`TlsSettings.Options`; SSL 2 and 3 are in no OpenSSL of today"
  }),
  SSLEnableRenegotiation: setting(boolean, false, {
    documents: "both",
    status: "no meaning",
    what: "Whether renegotiation is allowed.",
    note: "OpenSSL always answers the extension; renegotiation itself is off"
  }),
  SSLIncludeCertChain: setting(boolean, false, {
    documents: "both",
    status: "works",
    what: "Whether a certificate that an event shows comes with its chain.",
    note: "of SSLClientAuthentication: the documented event is another component's"
  }),
  SSLKeyLogFile: setting(text, "", {
    documents: "server",
    status: "works",
    change: "nextListening",
    what: "A file that the secrets of sessions are appended to, for debugging. Read when listening starts.",
    note: "`TlsSettings.Options.keyLogFile`"
  }),
  SSLNegotiatedCipher: negotiated("The cipher suite that was agreed on."),
  SSLNegotiatedCipherStrength: negotiated("Its strength in bits."),
  SSLNegotiatedCipherSuite: negotiated("The cipher suite by its registered name."),
  SSLNegotiatedKeyExchange: negotiated("The key exchange."),
  SSLNegotiatedKeyExchangeStrength: negotiated("The strength of the key exchange in bits."),
  SSLNegotiatedVersion: negotiated("The version of TLS."),
  SSLProvider: setting(text, "", {
    documents: "proxy",
    status: "no meaning",
    what: "The name of a security provider.",
    note: "there is one implementation, OpenSSL in Node"
  }),
  SSLSecurityFlags: setting(flags, 0, {
    documents: "both",
    status: "works",
    what: "What to overlook in a certificate: flags, in decimal or as 0x…",
    note: "what SSLClientAuthentication recommends: every failure of a certificate or its issuers must be overlooked; sessions are not resumed if it is set when listening starts"
  }),
  SSLServerCACerts: setting(text, "", {
    documents: "server",
    status: "no meaning",
    what: "Authorities for the certificates of servers, in PEM.",
    note: "documented for client components alone"
  }),
  TLS12SignatureAlgorithms: setting(
    text,
    "sha512-ecdsa,sha512-rsa,sha512-dsa,sha384-ecdsa,sha384-rsa,sha384-dsa,sha256-ecdsa,sha256-rsa,sha256-dsa,sha224-ecdsa,sha224-rsa,sha224-dsa,sha1-ecdsa,sha1-rsa,sha1-dsa",
    {
      documents: "both",
      status: "works",
      change: "nextListening",
      what: "The signature algorithms of TLS 1.2. Read when listening starts.",
      note: "`TlsSettings.Options.signatureAlgorithms`; the default leaves it to OpenSSL"
    }
  ),
  TLS12SupportedGroups: setting(text, "ecdhe_secp256r1,ecdhe_secp384r1,ecdhe_secp521r1", {
    documents: "both",
    status: "works",
    change: "nextListening",
    what: "The groups of TLS 1.2. Read when listening starts.",
    note: "`TlsSettings.Options.groups`; the default leaves it to OpenSSL"
  }),
  TLS13KeyShareGroups: setting(text, "ecdhe_x25519,ecdhe_secp256r1,ecdhe_secp384r1,ffdhe_2048,ffdhe_3072", {
    documents: "both",
    status: "no meaning",
    what: "The groups for which a client makes key shares beforehand.",
    note: "a server takes the client's shares"
  }),
  TLS13SignatureAlgorithms: setting(
    text,
    "rsa_pss_sha256,rsa_pss_sha384,rsa_pss_sha512,rsa_pkcs1_sha256,rsa_pkcs1_sha384,rsa_pkcs1_sha512,ecdsa_secp256r1_sha256,ecdsa_secp384r1_sha384,ecdsa_secp521r1_sha512,ed25519,ed448",
    {
      documents: "both",
      status: "works",
      change: "nextListening",
      what: "The signature algorithms of TLS 1.3. Read when listening starts.",
      note: "`TlsSettings.Options.signatureAlgorithms`; the default leaves it to OpenSSL"
    }
  ),
  TLS13SupportedGroups: setting(
    text,
    "ecdhe_x25519,ecdhe_x448,ecdhe_secp256r1,ecdhe_secp384r1,ecdhe_secp521r1,ffdhe_2048,ffdhe_3072,ffdhe_4096,ffdhe_6144,ffdhe_8192",
    {
      documents: "both",
      status: "works",
      change: "nextListening",
      what: "The groups of TLS 1.3. Read when listening starts.",
      note: "`TlsSettings.Options.groups`; the default leaves it to OpenSSL"
    }
  )
})
