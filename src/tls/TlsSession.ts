/**
 * What the two ends of a TLS connection agreed on, and who the client is, where it showed a certificate. It is put together when
 * it is first asked for.
 *
 * @since 0.1.0
 */
import type { Certificate } from "./Certificate.ts"
import * as CipherSuites from "./CipherSuites.ts"
import * as Groups from "./Groups.ts"

/**
 * See the head of this module.
 *
 * @category models
 * @since 0.1.0
 */
export interface Session {
  /** `TLSv1.3`, `TLSv1.2`, … */
  readonly version: string
  /** The cipher suite: its number, its names by IANA and OpenSSL, and the bits of its bulk cipher. */
  readonly cipherSuite: CipherSuites.CipherSuite
  /**
   * How the keys were exchanged: in TLS 1.2 what the cipher suite says (`ECDHE`, `DHE`, `RSA`), in TLS 1.3 the group (`X25519`,
   * `P-256`); `undefined` if it is not known.
   */
  readonly keyExchange: string | undefined
  /** The bits of its key, of a hybrid group those of the classic half; `undefined` if they are not known. */
  readonly keyExchangeBits: number | undefined
  /** The group, if there is one and it is known. After the connection's end it is known if somebody asked before. */
  readonly group: Groups.Group | undefined
  /** The host name that the client asked for (RFC 6066 section 3). */
  readonly serverName: string | undefined
  /** The application protocol that was agreed on (RFC 7301). */
  readonly alpnProtocol: string | undefined
  /** Whether this is a session of before, taken up again. */
  readonly isResumed: boolean
  /** The certificate of this server. */
  readonly certificate: Certificate
  /** The certificate of the client, if it was asked for one and has shown it. */
  readonly clientCertificate: Certificate | undefined
  /** `OK`, or why the client's certificate is not trusted, such as `CERT_HAS_EXPIRED`; `undefined` without one. */
  readonly clientCertificateStatus: string | undefined
}

/**
 * What is needed to know a {@link Session}, as Node has it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Negotiated extends Pick<
  Session,
  "version" | "serverName" | "alpnProtocol" | "isResumed" | "certificate" | "clientCertificate"
> {
  readonly clientCertificateStatus: string | undefined
  /** The IANA or OpenSSL name of the cipher suite. */
  readonly cipherSuite: string
  /** The session as OpenSSL writes it, where the group is read from. It has secrets, and is not kept. */
  readonly session: Uint8Array | undefined
}

/**
 * The session of what was negotiated.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ cipherSuite, session, ...rest }: Negotiated): Session => {
  const suite = CipherSuites.fromName(cipherSuite) ?? { id: 0, name: cipherSuite, opensslName: cipherSuite, bits: 0 }
  const isTls13 = CipherSuites.isTls13(suite)
  const ofSuite = isTls13 ? undefined : exchangeOf(suite.name)
  const id = session === undefined || ofSuite === "RSA" ? undefined : groupOf(session)
  const group = id === undefined ? undefined : Groups.fromId(id)
  return {
    ...rest,
    cipherSuite: suite,
    keyExchange: ofSuite ?? group?.opensslName,
    keyExchangeBits:
      ofSuite === "RSA" ? rest.certificate.publicKeyLength : group === undefined ? undefined : bitsOf(group),
    group
  }
}

/** The first word of a suite's name: `TLS_ECDHE_RSA_WITH_…`, `TLS_DH_anon_WITH_…`. */
const exchangeOf = (suite: string): string | undefined => /^TLS_([A-Z]+)_/.exec(suite)?.[1]

/** X25519 has keys of 253 bits to OpenSSL, whose smallest and largest bits are always the same. */
const bitsOf = ({ name }: Groups.Group): number | undefined => {
  if (/^x25519/i.test(name)) return 253
  const size = /^(?:secp|brainpoolP|x|ffdhe)(\d{3,4})/i.exec(name)?.[1]
  return size === undefined ? undefined : Number(size)
}

/** The context-specific tag of the group in OpenSSL's form of a session, of OpenSSL 3 and later. */
const groupTag = 0xb3

/**
 * The number of the group in a session as OpenSSL writes it: a SEQUENCE, whose element [19] is an INTEGER. Anything else has
 * none.
 */
const groupOf = (session: Uint8Array): number | undefined => {
  const outer = element(session, 0)
  if (outer?.tag !== 0x30) return undefined
  for (let at = outer.start; at < outer.end;) {
    const field = element(session, at)
    if (field === undefined || field.end > outer.end) return undefined
    if (field.tag === groupTag) {
      const integer = element(session, field.start)
      if (integer?.tag !== 2 || integer.end !== field.end || integer.end - integer.start > 4) return undefined
      return session.subarray(integer.start, integer.end).reduce((value, byte) => value * 256 + byte, 0)
    }
    at = field.end
  }
  return undefined
}

const element = (bytes: Uint8Array, at: number) => {
  const [tag, first] = [bytes[at], bytes[at + 1]]
  if (tag === undefined || first === undefined || first === 0x80 || first > 0x84) return undefined
  const count = first < 0x80 ? 0 : first & 0x7f
  const start = at + 2 + count
  const size = count === 0 ? first : bytes.subarray(at + 2, start).reduce((value, byte) => value * 256 + byte, 0)
  return start + size > bytes.length ? undefined : { tag, start, end: start + size }
}
