/**
 * Password-based encryption as stores use it: PBES2 (RFC 8018 section 6.2) with PBKDF2 or scrypt, and the old schemes of
 * PKCS#12 (RFC 7292 appendices B and C), whose key derivation and RC2 come from a library, since Node has neither. The work
 * that a store may ask for is bounded before any of it is done: that of each encryption, and by {@link Work} that of all.
 */
import {
  createDecipheriv,
  createHash,
  createHmac,
  getHashes,
  pbkdf2Sync,
  scryptSync,
  timingSafeEqual
} from "node:crypto"
import { createRequire } from "node:module"
import * as Asn1 from "./asn1.ts"
import { from, Malformed, malformed, unsupported, wrongPassword } from "./malformed.ts"

/** Iterations of PBKDF2, some seconds of them. */
const maxIterations = 5_000_000
/** Iterations of PKCS#12's own derivation, which runs in JavaScript: some seconds of them. */
const maxOldIterations = 500_000
/** What scrypt may take, in bytes. */
const maxMemory = 256 * 1024 * 1024

/** How often the most that one encryption may cost is given for all of a store. */
const maxWork = 4

/** What is left of the work that the encryptions of one store may ask for: it may have thousands of them. */
export class Work {
  private left = maxWork

  /** `part` is one encryption's share of the most that it may cost. */
  take(part: number): void {
    this.left -= part
    if (this.left < 0) throw unsupported("its encryptions ask together for more time than is given")
  }
}

const iterations = (node: Asn1.Node | undefined, max: number, work: Work): number => {
  const count = Asn1.integer(node, "the iteration count")
  if (count < 1 || count > max) throw unsupported(`its iteration count is ${count}; from 1 to ${max} are taken`)
  work.take(count / max)
  return count
}

const hashes: Readonly<Record<string, string>> = {
  "1.2.840.113549.2.6": "md5",
  "1.2.840.113549.2.7": "sha1",
  "1.2.840.113549.2.8": "sha224",
  "1.2.840.113549.2.9": "sha256",
  "1.2.840.113549.2.10": "sha384",
  "1.2.840.113549.2.11": "sha512",
  "1.2.840.113549.2.12": "sha512-224",
  "1.2.840.113549.2.13": "sha512-256",
  "1.3.14.3.2.26": "sha1",
  "2.16.840.1.101.3.4.2.1": "sha256",
  "2.16.840.1.101.3.4.2.2": "sha384",
  "2.16.840.1.101.3.4.2.3": "sha512",
  "2.16.840.1.101.3.4.2.4": "sha224",
  "1.2.840.113549.2.5": "md5"
}

const hashOf = (id: string): string => {
  const hash = hashes[id]
  if (hash === undefined || !getHashes().includes(hash)) throw unsupported(`its hash ${id} is not known here`)
  return hash
}

const ciphers: Readonly<Record<string, { readonly name: string; readonly size: number }>> = {
  "2.16.840.1.101.3.4.1.2": { name: "aes-128-cbc", size: 16 },
  "2.16.840.1.101.3.4.1.22": { name: "aes-192-cbc", size: 24 },
  "2.16.840.1.101.3.4.1.42": { name: "aes-256-cbc", size: 32 },
  "1.2.840.113549.3.7": { name: "des-ede3-cbc", size: 24 }
}

const algorithm = (node: Asn1.Node | undefined, what: string) => {
  const [id, parameters] = Asn1.sequence(node, what)
  return { id: Asn1.oid(id, what), parameters }
}

type Derive = (password: string, size: number) => Uint8Array

const pbkdf2 = (parameters: Asn1.Node | undefined, work: Work): Derive => {
  const [salt, count, ...rest] = Asn1.sequence(parameters, "the parameters of PBKDF2")
  const saltBytes = Asn1.octets(salt, "the salt")
  const rounds = iterations(count, maxIterations, work)
  const prf = rest.find(Asn1.isSequence)
  const hash = prf === undefined ? "sha1" : hashOf(algorithm(prf, "the hash of PBKDF2").id)
  return (password, size) => pbkdf2Sync(password, saltBytes, rounds, size, hash)
}

const scrypt = (parameters: Asn1.Node | undefined, work: Work): Derive => {
  const [salt, cost, blockSize, parallelization] = Asn1.sequence(parameters, "the parameters of scrypt")
  const saltBytes = Asn1.octets(salt, "the salt")
  const [N, r, p] = [cost, blockSize, parallelization].map((node) => Asn1.integer(node, "a cost of scrypt"))
  const memory = 128 * N! * r! * p!
  if (memory > maxMemory) throw unsupported("it asks scrypt for more memory and time than is given")
  if (Math.min(N!, r!, p!) < 1) throw malformed("a cost of scrypt is not above 0")
  work.take(memory / maxMemory)
  return (password, size) => scryptSync(password, saltBytes, size, { N: N!, r: r!, p: p!, maxmem: 2 * maxMemory })
}

const derivation = (node: Asn1.Node | undefined, work: Work): Derive => {
  const { id, parameters } = algorithm(node, "the key derivation")
  if (id === "1.2.840.113549.1.5.12") return pbkdf2(parameters, work)
  if (id === "1.3.6.1.4.1.11591.4.11") return scrypt(parameters, work)
  throw unsupported(`its key derivation ${id} is not known here`)
}

/** What the library gives for PKCS#12; it has no types of its own. */
interface Forge {
  readonly util: { createBuffer(binary: string): ForgeBuffer }
  readonly pbe: {
    generatePkcs12Key(
      password: string | null,
      salt: ForgeBuffer,
      id: number,
      iterations: number,
      size: number,
      hash: ForgeHash
    ): ForgeBuffer
  }
  readonly rc2: {
    createDecryptionCipher(
      key: ForgeBuffer,
      bits: number
    ): {
      start(iv: ForgeBuffer): void
      update(input: ForgeBuffer): void
      finish(): boolean
      readonly output: ForgeBuffer
    }
  }
}
interface ForgeBuffer {
  getBytes(): string
}
interface ForgeHash {
  readonly digestLength: number
  readonly blockLength: number
  start(): void
  update(binary: string): void
  digest(): ForgeBuffer
}

let loaded: Forge | undefined

/** The library, loaded when the first old store needs it: it takes longer than reading most stores. */
const forge = (): Forge => {
  if (loaded === undefined) {
    const require = createRequire(import.meta.url)
    // without types: these are the parts that Forge describes
    loaded = {
      pbe: require("node-forge/lib/pbe.js"),
      rc2: require("node-forge/lib/rc2.js"),
      util: require("node-forge/lib/util.js")
    }
  }
  return loaded
}

const buffer = (bytes: Uint8Array): ForgeBuffer => forge().util.createBuffer(Buffer.from(bytes).toString("latin1"))
const bytesOf = (buffer: ForgeBuffer): Uint8Array => Buffer.from(buffer.getBytes(), "latin1")

/** One of Node's hashes, for the library to derive keys with. */
const forgeHash = (name: string): ForgeHash => {
  let hash = createHash(name)
  return {
    digestLength: hash.copy().digest().length,
    blockLength: name === "sha384" || name.startsWith("sha512") ? 128 : 64,
    start: () => {
      hash = createHash(name)
    },
    update: (binary) => {
      hash.update(binary, "latin1")
    },
    digest: () => buffer(hash.digest())
  }
}

/** RFC 7292 appendix B.3: what the derived bytes are for. */
const purpose = { key: 1, iv: 2, mac: 3 } as const

/** The key derivation of PKCS#12 (RFC 7292 appendix B.2). No password and an empty one are different there. */
const pkcs12Derive = (
  hash: string,
  password: string | null,
  salt: Uint8Array,
  rounds: number,
  id: number,
  size: number
): Uint8Array => bytesOf(forge().pbe.generatePkcs12Key(password, buffer(salt), id, rounds, size, forgeHash(hash)))

/** The old schemes of PKCS#12 (RFC 7292 appendix C) that can be decrypted here. */
const oldSchemes: Readonly<Record<string, { readonly cipher: string; readonly size: number }>> = {
  "1.2.840.113549.1.12.1.3": { cipher: "des-ede3-cbc", size: 24 },
  "1.2.840.113549.1.12.1.4": { cipher: "des-ede-cbc", size: 16 },
  "1.2.840.113549.1.12.1.5": { cipher: "rc2", size: 16 },
  "1.2.840.113549.1.12.1.6": { cipher: "rc2", size: 5 }
}

const decipher = (cipher: string, key: Uint8Array, iv: Uint8Array, encrypted: Uint8Array): Uint8Array => {
  if (cipher !== "rc2") {
    const node = createDecipheriv(cipher, key, iv)
    return Buffer.concat([node.update(encrypted), node.final()])
  }
  const rc2 = forge().rc2.createDecryptionCipher(buffer(key), key.length * 8)
  rc2.start(buffer(iv))
  rc2.update(buffer(encrypted))
  if (!rc2.finish()) throw wrongPassword("the padding is wrong")
  return bytesOf(rc2.output)
}

/** An encryption, checked and ready to be undone. */
type Decrypt = (password: string | null, encrypted: Uint8Array) => Uint8Array

const scheme = (node: Asn1.Node | undefined, work: Work): Decrypt => {
  const { id, parameters } = algorithm(node, "the encryption")
  if (id === "1.2.840.113549.1.5.13") {
    const [derive, encryption] = Asn1.sequence(parameters, "the parameters of PBES2")
    const key = derivation(derive, work)
    const { id: cipherId, parameters: iv } = algorithm(encryption, "the cipher")
    const cipher = ciphers[cipherId]
    if (cipher === undefined) throw unsupported(`its cipher ${cipherId} is not known here`)
    const ivBytes = Asn1.octets(iv, "the initialization vector")
    return (password, encrypted) => decipher(cipher.name, key(password ?? "", cipher.size), ivBytes, encrypted)
  }
  const old = oldSchemes[id]
  if (old === undefined) throw unsupported(`its encryption ${id} is not known here`)
  const [salt, count] = Asn1.sequence(parameters, "the parameters of the encryption")
  const saltBytes = Asn1.octets(salt, "the salt")
  const rounds = iterations(count, maxOldIterations, work)
  return (password, encrypted) => {
    const derive = (id: number, size: number) => pkcs12Derive("sha1", password, saltBytes, rounds, id, size)
    return decipher(old.cipher, derive(purpose.key, old.size), derive(purpose.iv, 8), encrypted)
  }
}

/** Says whether Node may be given data under this encryption: that it does not ask for hours of work. */
export const checkWork = (node: Asn1.Node | undefined, work: Work): void => {
  const { id, parameters } = algorithm(node, "the encryption")
  if (id === "1.2.840.113549.1.5.13") derivation(Asn1.sequence(parameters, "the parameters of PBES2")[0], work)
  else iterations(Asn1.sequence(parameters, "the parameters of the encryption")[1], maxOldIterations, work)
}

/** Decrypts data under the encryption of an AlgorithmIdentifier. */
export const decrypt = (
  node: Asn1.Node | undefined,
  password: string | null,
  encrypted: Uint8Array,
  what: string,
  work: Work
): Uint8Array => {
  const undo = scheme(node, work)
  try {
    return undo(password, encrypted)
  } catch (cause) {
    if (cause instanceof Malformed && cause.kind === "Unsupported") throw cause
    throw wrongPassword(`${what} cannot be decrypted; is the password right?`, cause)
  }
}

/** Whether the MacData of a PKCS#12 store (RFC 7292 section 4, RFC 9579) is that of its content under this password. */
export const verifyMac = (node: Asn1.Node, password: string | null, content: Uint8Array, work: Work): boolean => {
  try {
    const [digestInfo, salt, count] = Asn1.sequence(node, "the integrity check")
    const [digestAlgorithm, digest] = Asn1.sequence(digestInfo, "the integrity check")
    const { id, parameters } = algorithm(digestAlgorithm, "the hash of the integrity check")
    const expected = Asn1.octets(digest, "the integrity check")
    let hash: string
    let key: Uint8Array
    if (id === "1.2.840.113549.1.5.14") {
      const [derive, mac] = Asn1.sequence(parameters, "the parameters of PBMAC1")
      hash = hashOf(algorithm(mac, "the hash of the integrity check").id)
      key = derivation(derive, work)(password ?? "", expected.length)
    } else {
      hash = hashOf(id)
      const rounds = count === undefined ? 1 : iterations(count, maxOldIterations, work)
      const saltBytes = Asn1.octets(salt, "the salt")
      key = pkcs12Derive(hash, password, saltBytes, rounds, purpose.mac, expected.length)
    }
    const actual = createHmac(hash, key).update(content).digest()
    return actual.length === expected.length && timingSafeEqual(actual, expected)
  } catch (cause) {
    throw from("its integrity check cannot be read")(cause)
  }
}
