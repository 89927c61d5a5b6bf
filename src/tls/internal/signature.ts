/** Signatures of authorities (RFC 5280 section 4.1.1.2): by the algorithm that stands beside them, and only by a sound one. */
import * as Result from "effect/Result"
import { constants, type KeyObject, verify } from "node:crypto"
import * as Asn1 from "./asn1.ts"
import { malformed } from "./malformed.ts"

interface Algorithm {
  readonly keys: ReadonlyArray<string>
  readonly hash: string | null
  readonly pss?: boolean
}

const rsa = ["rsa"]
const ec = ["ec"]
const pss = ["rsa", "rsa-pss"]

const algorithms: Readonly<Record<string, Algorithm>> = {
  "1.2.840.113549.1.1.11": { keys: rsa, hash: "sha256" },
  "1.2.840.113549.1.1.12": { keys: rsa, hash: "sha384" },
  "1.2.840.113549.1.1.13": { keys: rsa, hash: "sha512" },
  "1.2.840.10045.4.3.2": { keys: ec, hash: "sha256" },
  "1.2.840.10045.4.3.3": { keys: ec, hash: "sha384" },
  "1.2.840.10045.4.3.4": { keys: ec, hash: "sha512" },
  "1.3.101.112": { keys: ["ed25519"], hash: null },
  "1.3.101.113": { keys: ["ed448"], hash: null }
}

const pssHashes: Readonly<Record<string, string>> = {
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512"
}

/** The hash of RSASSA-PSS is in its parameters (RFC 4055 section 3.1). */
const pssHash = (parameters: Asn1.Node | undefined): string | undefined => {
  const hash = Asn1.sequence(parameters, "the parameters of the signature").find((node) => node.isContext(0))
  const id = hash === undefined ? "" : Asn1.oid(Asn1.sequence(hash.children[0], "the hash")[0], "the hash")
  return pssHashes[id]
}

const algorithmOf = (der: Uint8Array): Algorithm => {
  const [id, parameters] = Asn1.sequence(Asn1.decode(der, "the algorithm of the signature"), "the algorithm")
  const name = Asn1.oid(id, "the algorithm of the signature")
  const hash = name === "1.2.840.113549.1.1.10" ? pssHash(parameters) : undefined
  const found = hash === undefined ? algorithms[name] : { keys: pss, hash, pss: true }
  if (found === undefined) throw malformed(`it is signed by an algorithm that is not accepted here (${name})`)
  return found
}

/** Whether an AlgorithmIdentifier in DER is of an algorithm that is accepted. */
export const isAccepted = (algorithm: Uint8Array): boolean => Result.isSuccess(Result.try(() => algorithmOf(algorithm)))

export interface Signed {
  /** What is signed. */
  readonly body: Uint8Array
  /** The AlgorithmIdentifier in DER. */
  readonly algorithm: Uint8Array
  readonly signature: Uint8Array
}

/** Whether the signature is that of the key; an algorithm that is not accepted throws `Malformed`. */
export const isOf = ({ algorithm, body, signature }: Signed, key: KeyObject): boolean => {
  const { hash, keys, pss } = algorithmOf(algorithm)
  if (!keys.includes(key.asymmetricKeyType ?? "")) return false
  const options = pss === true ? { padding: constants.RSA_PKCS1_PSS_PADDING } : {}
  try {
    return verify(hash, body, { key, ...options }, signature)
  } catch {
    // a signature of no form that the key could have made
    return false
  }
}
