/**
 * From what a store holds to certificates with their keys and chains: which private key is whose, and who signed whom.
 */
import { createPublicKey, type KeyObject, sign, verify } from "node:crypto"
import { Certificate } from "../Certificate.ts"
import type { Contents } from "./contents.ts"
import { malformed, unsupported } from "./malformed.ts"
import { isOversized, maxBits } from "./oversized.ts"
import { sameKey } from "./sameKey.ts"

/** The longest chain that is followed. */
const maxChain = 16
/** The most of each that a store may hold: every key is tried on every certificate. */
const maxCertificates = 2000
const maxKeys = 200

const signed = (certificate: Certificate, issuer: Certificate): boolean => {
  try {
    return (
      certificate.x509!.checkIssued(issuer.x509!) &&
      issuer.publicKey !== undefined &&
      certificate.x509!.verify(issuer.publicKey)
    )
  } catch {
    return false
  }
}

/** The most certificates of one name that are tried as the issuer of another: each may cost the check of a signature. */
const maxNamesakes = 32

/** Who of these has signed a certificate, found out once for each. */
const signersIn = (all: ReadonlyArray<Certificate>) => {
  const bySubject = Map.groupBy(all, (certificate) => certificate.subject)
  const known = new Map<Certificate, ReadonlyArray<Certificate>>()
  return (certificate: Certificate): ReadonlyArray<Certificate> => {
    const before = known.get(certificate)
    if (before !== undefined) return before
    const named = (bySubject.get(certificate.issuer) ?? []).slice(0, maxNamesakes)
    const found = signed(certificate, certificate) ? [] : named.filter((it) => signed(certificate, it))
    known.set(certificate, found)
    return found
  }
}

/** The certificates of those who signed a certificate, from its own issuer up, as far as the store has them. */
const chainOf = (
  leaf: Certificate,
  signersOf: (certificate: Certificate) => ReadonlyArray<Certificate>
): ReadonlyArray<Certificate> => {
  const chain: Array<Certificate> = []
  for (let at = leaf; chain.length < maxChain;) {
    const issuer = signersOf(at).find((it) => it !== leaf && !chain.includes(it))
    if (issuer === undefined) break
    chain.push(issuer)
    at = issuer
  }
  return chain
}

const distinct = (certificates: ReadonlyArray<Uint8Array>): ReadonlyArray<Certificate> => {
  const seen = new Set<string>()
  return certificates.flatMap((der) => {
    const id = Buffer.from(der).toString("latin1")
    if (seen.has(id)) return []
    seen.add(id)
    try {
      return [new Certificate({ der })]
    } catch (cause) {
      throw malformed("a certificate in it cannot be read", cause)
    }
  })
}

const sample = Buffer.from("sample")

/** Whether a private key is that of the public key it came with; not every Node checks it when it reads one. */
const isWhole = (key: KeyObject, open: KeyObject): boolean => {
  let signature: Buffer
  try {
    signature = sign(null, sample, key)
  } catch {
    // keys for key exchange alone, which sign nothing
    return true
  }
  return verify(null, sample, open, signature)
}

export interface Identities {
  /** Certificates with a private key first, then the others with issuers last, then bare keys. */
  readonly certificates: ReadonlyArray<Certificate>
  /** Private keys that belong to none of the certificates. */
  readonly strangers: number
}

/** Matches what a store holds. Throws `Malformed` if a certificate in it is none, or if there are too many. */
export const match = (contents: Contents): Identities => {
  const keyCount = contents.privateKeys.length + contents.publicKeys.length
  if (contents.certificates.length > maxCertificates || keyCount > maxKeys) {
    throw malformed(
      `it holds ${contents.certificates.length} certificates and ${keyCount} keys; at most ${maxCertificates} and ${maxKeys} are taken`
    )
  }
  const all = distinct(contents.certificates)
  const signersOf = signersIn(all)
  const strangers: Array<KeyObject> = []
  const keys = new Map<Certificate, KeyObject>()
  const open = contents.privateKeys.map((key) => createPublicKey(key))
  if ([...open, ...contents.publicKeys].some(isOversized)) {
    throw unsupported(`it has a key of RSA with more than ${maxBits} bits, which nothing can verify with`)
  }
  for (const [i, key] of contents.privateKeys.entries()) {
    if (!isWhole(key, open[i]!)) throw malformed("a private key in it does not fit the public key beside it")
    const owners = all.filter((certificate) => sameKey(certificate.publicKey, open[i]))
    for (const owner of owners) keys.set(owner, key)
    if (owners.length === 0) strangers.push(key)
  }
  const issuers = new Set<Certificate>()
  const built = all.map((certificate) => {
    const chain = chainOf(certificate, signersOf)
    for (const issuer of chain) issuers.add(issuer)
    return { certificate, chain }
  })
  const rank = ({ certificate }: { readonly certificate: Certificate }) =>
    keys.has(certificate) ? 0 : issuers.has(certificate) ? 2 : 1
  const certificates = built
    .toSorted((a, b) => rank(a) - rank(b))
    .map(
      ({ certificate, chain }) =>
        new Certificate({
          der: certificate.der,
          privateKey: keys.get(certificate),
          chain: chain.map((issuer) => issuer.der!)
        })
    )
  const bare = strangers.map((privateKey) => new Certificate({ privateKey }))
  const known = [...all.map((certificate) => certificate.publicKey), ...open]
  const publicOnly = contents.publicKeys
    .filter((key) => !known.some((other) => sameKey(other, key)))
    .map((publicKey) => new Certificate({ publicKey }))
  return { certificates: [...certificates, ...bare, ...publicOnly], strangers: strangers.length }
}
