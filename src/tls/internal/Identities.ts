/**
 * From what a store holds to certificates with their keys and chains: which private key is whose, and who signed whom.
 */
import { createPublicKey, type KeyObject } from "node:crypto"
import { Certificate } from "../Certificate.ts"
import type { Contents } from "./Contents.ts"
import { malformed } from "./Malformed.ts"

/** The longest chain that is followed. */
const maxChain = 16

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

/** The certificates of those who signed a certificate, from its own issuer up, as far as `all` has them. */
const chainOf = (leaf: Certificate, all: ReadonlyArray<Certificate>): ReadonlyArray<Certificate> => {
  const chain: Array<Certificate> = []
  for (let at = leaf; chain.length < maxChain;) {
    const issuer = all.find((it) => it !== leaf && it !== at && !chain.includes(it) && signed(at, it))
    if (issuer === undefined || signed(at, at)) break
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

export interface Identities {
  /** Certificates with a private key first, then the others with issuers last, then bare keys. */
  readonly certificates: ReadonlyArray<Certificate>
  /** Private keys that belong to none of the certificates. */
  readonly strangers: number
}

/** Matches what a store holds. Throws `Malformed` if a certificate in it is none. */
export const match = (contents: Contents): Identities => {
  const all = distinct(contents.certificates)
  const strangers: Array<KeyObject> = []
  const keys = new Map<Certificate, KeyObject>()
  for (const key of contents.privateKeys) {
    const owners = all.filter((certificate) => certificate.isKeyOf(key))
    for (const owner of owners) keys.set(owner, key)
    if (owners.length === 0) strangers.push(key)
  }
  const issuers = new Set<Certificate>()
  const built = all.map((certificate) => {
    const chain = chainOf(certificate, all)
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
  const known = [
    ...all.map((certificate) => certificate.publicKey),
    ...contents.privateKeys.map((key) => createPublicKey(key))
  ]
  const publicOnly = contents.publicKeys
    .filter((key) => !known.some((other) => other?.equals(key) === true))
    .map((publicKey) => new Certificate({ publicKey }))
  return { certificates: [...certificates, ...bare, ...publicOnly], strangers: strangers.length }
}
