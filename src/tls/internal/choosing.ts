/**
 * Which certificates a client can use, by its hello, and which of them are for the name that it asks for.
 */
import type { Certificate } from "../Certificate.ts"
import * as CipherSuites from "../CipherSuites.ts"
import * as ClientHello from "../ClientHello.ts"

const tls13 = 0x0304

/** What a kind of key is good for. */
interface Key {
  /** The signature schemes of TLS 1.3 that it makes (RFC 8446 section 4.2.3). */
  readonly schemes: ReadonlyArray<number>
  /** Those that it makes in TLS 1.2 besides. */
  readonly classic: (scheme: number) => boolean
  /** Whether a cipher suite of TLS 1.2 is for it. */
  readonly suite: RegExp
  /** The group that the client has to know (RFC 8422 section 5.1). */
  readonly group: number | undefined
}

const never = () => false
const ecdsa = (scheme: number, group: number): Key => ({
  schemes: [scheme],
  classic: (it) => it <= 0x0603 && (it & 0xff) === 0x03,
  suite: /_ECDSA_/,
  group
})
const edwards = (scheme: number): Key => ({ schemes: [scheme], classic: never, suite: /_ECDSA_/, group: undefined })
/** Of TLS 1.3 alone: no suite of TLS 1.2 is for it. */
const lattice = (scheme: number): Key => ({ schemes: [scheme], classic: never, suite: /(?!)/, group: undefined })

const curves: Readonly<Record<string, Key>> = {
  prime256v1: ecdsa(0x0403, 0x0017),
  secp384r1: ecdsa(0x0503, 0x0018),
  secp521r1: ecdsa(0x0603, 0x0019),
  brainpoolP256r1: ecdsa(0x081a, 0x001a),
  brainpoolP384r1: ecdsa(0x081b, 0x001b),
  brainpoolP512r1: ecdsa(0x081c, 0x001c)
}

const types: Readonly<Record<string, Key>> = {
  rsa: {
    schemes: [0x0804, 0x0805, 0x0806],
    classic: (it) => it <= 0x0601 && (it & 0xff) === 0x01,
    suite: /^TLS_(?:(?:EC)?DHE_)?RSA_WITH_/,
    group: undefined
  },
  "rsa-pss": {
    schemes: [0x0809, 0x080a, 0x080b],
    classic: never,
    suite: /^TLS_(?:EC)?DHE_RSA_WITH_/,
    group: undefined
  },
  ed25519: edwards(0x0807),
  ed448: edwards(0x0808),
  "ml-dsa-44": lattice(0x0904),
  "ml-dsa-65": lattice(0x0905),
  "ml-dsa-87": lattice(0x0906)
}

const keyOf = ({ publicKey }: Certificate): Key | undefined =>
  publicKey?.asymmetricKeyType === "ec"
    ? curves[publicKey.asymmetricKeyDetails?.namedCurve ?? ""]
    : types[publicKey?.asymmetricKeyType ?? ""]

/**
 * Whether a client can use a certificate with the newest version that it offers. Of a kind of key that nothing is known of, it
 * cannot be said, and TLS will.
 */
export const isUsable = (certificate: Certificate, hello: ClientHello.ClientHello): boolean => {
  const key = keyOf(certificate)
  if (key === undefined) return false
  const { signatureAlgorithms, supportedGroups } = hello
  if (ClientHello.newestVersion(hello) >= tls13) return key.schemes.some((it) => signatureAlgorithms.includes(it))
  // who does not say takes SHA-1 (RFC 5246 section 7.4.1.4.1)
  const signs =
    signatureAlgorithms.length === 0
      ? key.classic(key.suite.test("_ECDSA_") ? 0x0203 : 0x0201)
      : signatureAlgorithms.some((it) => key.schemes.includes(it) || key.classic(it))
  const knowsGroup = key.group === undefined || supportedGroups.length === 0 || supportedGroups.includes(key.group)
  return (
    knowsGroup &&
    hello.cipherSuites.some((id) => {
      const name = CipherSuites.fromId(id)?.name ?? ""
      // RSA as key exchange signs nothing
      return key.suite.test(name) && (signs || name.startsWith("TLS_RSA_WITH_"))
    })
  )
}

/** Names compare without regard to case (RFC 9525 section 6.3), and may end with the dot of the root. */
export const normalize = (name: string): string => name.toLowerCase().replace(/\.$/, "")

/** The names that a certificate is for (RFC 9525 section 6.2: never the common name). */
export const namesOf = (certificate: Certificate): ReadonlyArray<string> =>
  certificate.alternativeNames.filter(({ type }) => type === "DNS").map(({ value }) => normalize(value))

/** The pattern that a wildcard of one label would have to be, to be for a name (RFC 9525 section 6.3). */
export const wildcardOf = (name: string): string | undefined => {
  const dot = name.indexOf(".")
  return dot <= 0 ? undefined : `*${name.slice(dot)}`
}
