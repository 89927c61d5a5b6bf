/**
 * The signature schemes of TLS by number (RFC 8446 section 4.2.3, RFC 5246 section 7.4.1.4.1): their IANA names, those that OpenSSL
 * takes, and the two kinds of names that the documented settings use, `sha256-rsa` for TLS 1.2 and
 * `rsa_pkcs1_sha256` for TLS 1.3.
 *
 * @since 0.1.0
 */

/**
 * A signature scheme.
 *
 * @category models
 * @since 0.1.0
 */
export interface SignatureScheme {
  readonly id: number
  /** The name that IANA registers, and one in its manner where it has none. */
  readonly name: string
  /** The name that OpenSSL takes. */
  readonly opensslName: string
  /** The name in the documented setting for TLS 1.2, such as `sha256-rsa`. */
  readonly tls12Name: string | undefined
  /** The name in the documented setting for TLS 1.3, such as `rsa_pss_sha256`; two schemes may share one. */
  readonly tls13Name: string | undefined
}

const rows: ReadonlyArray<readonly [id: number, name: string, tls12?: string | undefined, tls13?: string]> = [
  [0x0201, "rsa_pkcs1_sha1", "sha1-rsa"],
  [0x0202, "dsa_sha1", "sha1-dsa"],
  [0x0203, "ecdsa_sha1", "sha1-ecdsa"],
  [0x0301, "rsa_pkcs1_sha224", "sha224-rsa"],
  [0x0302, "dsa_sha224", "sha224-dsa"],
  [0x0303, "ecdsa_sha224", "sha224-ecdsa"],
  [0x0401, "rsa_pkcs1_sha256", "sha256-rsa", "rsa_pkcs1_sha256"],
  [0x0402, "dsa_sha256", "sha256-dsa"],
  [0x0403, "ecdsa_secp256r1_sha256", "sha256-ecdsa", "ecdsa_secp256r1_sha256"],
  [0x0501, "rsa_pkcs1_sha384", "sha384-rsa", "rsa_pkcs1_sha384"],
  [0x0502, "dsa_sha384", "sha384-dsa"],
  [0x0503, "ecdsa_secp384r1_sha384", "sha384-ecdsa", "ecdsa_secp384r1_sha384"],
  [0x0601, "rsa_pkcs1_sha512", "sha512-rsa", "rsa_pkcs1_sha512"],
  [0x0602, "dsa_sha512", "sha512-dsa"],
  [0x0603, "ecdsa_secp521r1_sha512", "sha512-ecdsa", "ecdsa_secp521r1_sha512"],
  [0x0804, "rsa_pss_rsae_sha256", undefined, "rsa_pss_sha256"],
  [0x0805, "rsa_pss_rsae_sha384", undefined, "rsa_pss_sha384"],
  [0x0806, "rsa_pss_rsae_sha512", undefined, "rsa_pss_sha512"],
  [0x0807, "ed25519", undefined, "ed25519"],
  [0x0808, "ed448", undefined, "ed448"],
  [0x0809, "rsa_pss_pss_sha256", undefined, "rsa_pss_sha256"],
  [0x080a, "rsa_pss_pss_sha384", undefined, "rsa_pss_sha384"],
  [0x080b, "rsa_pss_pss_sha512", undefined, "rsa_pss_sha512"],
  [0x081a, "ecdsa_brainpoolP256r1tls13_sha256"],
  [0x081b, "ecdsa_brainpoolP384r1tls13_sha384"],
  [0x081c, "ecdsa_brainpoolP512r1tls13_sha512"],
  [0x0904, "mldsa44"],
  [0x0905, "mldsa65"],
  [0x0906, "mldsa87"]
]

/**
 * All schemes, by their numbers upwards.
 *
 * @category values
 * @since 0.1.0
 */
export const all: ReadonlyArray<SignatureScheme> = rows.map(([id, name, tls12Name, tls13Name]) => ({
  id,
  name,
  // these have no other before OpenSSL 3.5, and that of Node 22.19 is older
  opensslName: /^(ec)?dsa_sha/.test(name) ? name.replace("_", "+").toUpperCase() : name,
  tls12Name,
  tls13Name
}))

const byId = new Map(all.map((scheme) => [scheme.id, scheme]))

/** OpenSSL's other names: `RSA+SHA256`, `RSA-PSS+SHA256`, `ECDSA+SHA256`, `DSA+SHA256`. */
const classicName = ({ id, name }: SignatureScheme): string | undefined => {
  const [, kind, hash] = /^(rsa_pkcs1|rsa_pss|ecdsa|dsa)(?:_rsae|_pss|_secp\d+r1)?_(sha\d+)$/.exec(name) ?? []
  if (kind === undefined || hash === undefined || id >> 8 > 8) return undefined
  return `${{ rsa_pkcs1: "RSA", rsa_pss: "RSA-PSS", ecdsa: "ECDSA", dsa: "DSA" }[kind]}+${hash.toUpperCase()}`
}

const byName = new Map<string, ReadonlyArray<SignatureScheme>>()
for (const scheme of all) {
  const names = new Set(
    [scheme.name, scheme.tls12Name, scheme.tls13Name, classicName(scheme)]
      .filter((name) => name !== undefined)
      .map((name) => name.toLowerCase())
  )
  for (const name of names) byName.set(name, [...(byName.get(name) ?? []), scheme])
}

/**
 * The schemes that a documented, an IANA or an OpenSSL name stands for, in any case; none for a name that is not known. There
 * is one, but for `rsa_pss_sha256` and its like, which say nothing of the kind of RSA key.
 *
 * @category getters
 * @since 0.1.0
 */
export const fromName = (name: string): ReadonlyArray<SignatureScheme> => byName.get(name.trim().toLowerCase()) ?? []

/**
 * The scheme of a number.
 *
 * @category getters
 * @since 0.1.0
 */
export const fromId = (id: number): SignatureScheme | undefined => byId.get(id)

/**
 * The IANA name of a number; `0x1A1A` for one that has none here.
 *
 * @category getters
 * @since 0.1.0
 */
export const nameOf = (id: number): string =>
  byId.get(id)?.name ?? `0x${id.toString(16).toUpperCase().padStart(4, "0")}`

/**
 * The documented names of numbers, in their order and each once: that of TLS 1.2 (`sha256-rsa`) where there is one, else that
 * of TLS 1.3 (`rsa_pss_sha256`), else IANA's.
 *
 * @category getters
 * @since 0.1.0
 */
export const documentedNames = (ids: ReadonlyArray<number>): ReadonlyArray<string> => [
  ...new Set(ids.map((id) => byId.get(id)?.tls12Name ?? byId.get(id)?.tls13Name ?? nameOf(id)))
]
