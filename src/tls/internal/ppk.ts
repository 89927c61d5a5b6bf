/**
 * Private keys of PuTTY (PPK), formats 2 and 3, plain or encrypted with AES-256: the format is in appendix C of PuTTY's manual.
 * The MAC over the whole file is checked before the key is used, so a damaged file and a wrong password are refused.
 */
import * as crypto from "node:crypto"
import * as Contents from "./contents.ts"
import { malformed, unsupported, wrongPassword } from "./malformed.ts"
import * as SshKey from "./sshKey.ts"
import * as SshPrivateKey from "./sshPrivateKey.ts"

const begin = /^PuTTY-User-Key-File-(\d+): /

/** Whether a text is a key of PuTTY. */
export const isText = (text: string): boolean => begin.test(text)

/** What Argon2 may take: its memory in KiB, and its memory times its passes. */
const maxMemory = 256 * 1024
const maxWork = 4 * 1024 * 1024

interface File {
  readonly version: number
  readonly headers: ReadonlyMap<string, string>
  readonly publicBlob: Buffer
  readonly privateBlob: Buffer
}

/** The file as text, a character for each byte: the comment is in whatever encoding its writer had, and the MAC is over its bytes. */
const textOf = (file: Uint8Array): string =>
  Buffer.from(file)
    .toString("latin1")
    .replace(/^\u00ef\u00bb\u00bf/, "")
    .trim()

const parseFile = (text: string): File => {
  const headers = new Map<string, string>()
  const blobs = new Map<string, Buffer>()
  const lines = text.split(/\r\n|\n|\r/)
  for (let i = 0; i < lines.length; i++) {
    const line = lines[i]!
    if (line === "") continue
    const at = line.indexOf(": ")
    const [name, value] = at === -1 ? [line.replace(/:$/, ""), ""] : [line.slice(0, at), line.slice(at + 2)]
    if (headers.has(name)) throw malformed("it has a header twice")
    headers.set(name, value)
    if (name.endsWith("-Lines")) {
      const count = Number(value)
      if (!Number.isInteger(count) || count < 1 || i + count >= lines.length) throw malformed("it ends in the middle")
      blobs.set(name, Buffer.from(lines.slice(i + 1, i + 1 + count).join(""), "base64"))
      i += count
    }
  }
  const publicBlob = blobs.get("Public-Lines")
  const privateBlob = blobs.get("Private-Lines")
  if (publicBlob === undefined || privateBlob === undefined) throw malformed("a part of it is missing")
  return { version: Number(begin.exec(text)?.[1]), headers, publicBlob, privateBlob }
}

const required = (file: File, name: string): string => {
  const value = file.headers.get(name)
  if (value === undefined) throw malformed(`its header ${name} is missing`)
  return value
}

interface Keys {
  readonly cipher: Buffer
  readonly iv: Buffer
  readonly mac: Buffer
}

const sha1 = (...parts: ReadonlyArray<Uint8Array | string>): Buffer => {
  const hash = crypto.createHash("sha1")
  for (const part of parts) hash.update(part)
  return hash.digest()
}

const keys2 = (password: string): Keys => ({
  cipher: Buffer.concat([sha1(Buffer.of(0, 0, 0, 0), password), sha1(Buffer.of(0, 0, 0, 1), password)]).subarray(0, 32),
  iv: Buffer.alloc(16),
  mac: sha1("putty-private-key-file-mac-key", password)
})

const variants: Readonly<Record<string, "argon2d" | "argon2i" | "argon2id">> = {
  Argon2d: "argon2d",
  Argon2i: "argon2i",
  Argon2id: "argon2id"
}

const keys3 = (file: File, password: string): Keys => {
  const number = (name: string) => {
    const value = Number(required(file, name))
    if (!Number.isInteger(value) || value < 1) throw malformed(`its header ${name} is not a count`)
    return value
  }
  const variant = variants[required(file, "Key-Derivation")]
  if (variant === undefined) throw unsupported("its key derivation is not known here")
  const memory = number("Argon2-Memory")
  const passes = number("Argon2-Passes")
  const parallelism = number("Argon2-Parallelism")
  if (memory > maxMemory || memory * passes > maxWork || parallelism > 64) {
    throw unsupported("it asks Argon2 for more memory and time than is given")
  }
  if (typeof crypto.argon2Sync !== "function") {
    throw unsupported("it is encrypted with Argon2, which this Node does not have; Node 24.7 and later do")
  }
  const derived = crypto.argon2Sync(variant, {
    message: password,
    nonce: Buffer.from(required(file, "Argon2-Salt"), "hex"),
    memory,
    passes,
    parallelism,
    tagLength: 80
  })
  return { cipher: derived.subarray(0, 32), iv: derived.subarray(32, 48), mac: derived.subarray(48) }
}

/** The private part, decrypted and with its MAC checked. */
const open = (file: File, password: string): Buffer => {
  const type = required(file, `PuTTY-User-Key-File-${file.version}`)
  const encryption = required(file, "Encryption")
  if (encryption !== "none" && encryption !== "aes256-cbc") throw unsupported("its encryption is not known here")
  const encrypted = encryption !== "none"
  if (encrypted && password === "") throw wrongPassword("it is encrypted, and needs a password")
  const plainMac = file.version === 2 ? keys2("").mac : Buffer.alloc(0)
  const keys = encrypted ? (file.version === 2 ? keys2(password) : keys3(file, password)) : undefined
  let privateBlob = file.privateBlob
  if (keys !== undefined) {
    if (privateBlob.length % 16 !== 0) throw malformed("its private part is cut off")
    // the padding is random, and the MAC is over it: nothing is taken off
    const decipher = crypto.createDecipheriv("aes-256-cbc", keys.cipher, keys.iv).setAutoPadding(false)
    privateBlob = Buffer.concat([decipher.update(privateBlob), decipher.final()])
  }
  const expected = Buffer.from(required(file, "Private-MAC"), "hex")
  const hmac = crypto.createHmac(file.version === 2 ? "sha1" : "sha256", keys?.mac ?? plainMac)
  for (const part of [type, encryption, required(file, "Comment"), file.publicBlob, privateBlob]) {
    hmac.update(SshKey.string(typeof part === "string" ? Buffer.from(part, "latin1") : part))
  }
  const actual = hmac.digest()
  if (actual.length !== expected.length || !crypto.timingSafeEqual(actual, expected)) {
    throw encrypted
      ? wrongPassword("the password is wrong, or the file is damaged")
      : malformed("its integrity check fails: the file is damaged")
  }
  return privateBlob
}

/** The numbers of the private part: each type of key has its own. */
const privateKey = (publicBlob: Buffer, privateBlob: Buffer): crypto.KeyObject => {
  const fields = SshKey.fields(publicBlob)
  const reader = new SshKey.Reader(privateBlob)
  // padding may follow
  if (fields._tag === "Dsa") return SshPrivateKey.make(fields, { x: reader.unsigned() })
  if (fields.jwk.kty === "RSA") {
    const [d, p, q, inverse] = [reader.unsigned(), reader.unsigned(), reader.unsigned(), reader.unsigned()]
    return SshPrivateKey.make(fields, { d, p, q, inverse })
  }
  return SshPrivateKey.make(fields, { d: fields.jwk.kty === "EC" ? reader.unsigned() : reader.string() })
}

/** Reads a file whose text {@link isText}. */
export const parse = (bytes: Uint8Array, password: string): Contents.Contents => {
  const file = parseFile(textOf(bytes))
  if (file.version !== 2 && file.version !== 3) {
    throw unsupported(`it is of format ${file.version}; formats 2 and 3 are read here`)
  }
  return Contents.make({ privateKeys: [privateKey(file.publicBlob, open(file, password))] })
}
