/** Writes PuTTY's private keys after the description of the format in appendix C of its manual. */
import * as crypto from "node:crypto"
import { createCipheriv, createHash, createHmac, type KeyObject, randomBytes } from "node:crypto"

/** Whether this Node has what encrypted keys of format 3 need. */
export const hasArgon2: boolean = typeof crypto.argon2Sync === "function"

const field = (bytes: Uint8Array | string): Buffer => {
  const content = Buffer.from(bytes)
  const length = Buffer.alloc(4)
  length.writeUInt32BE(content.length)
  return Buffer.concat([length, content])
}

/** A number of the wire, from base64url. */
const number = (value: string | undefined): Buffer => {
  let bytes = Buffer.from(value!, "base64url")
  while (bytes[0] === 0) bytes = bytes.subarray(1)
  return field(bytes[0]! >= 0x80 ? Buffer.concat([Buffer.of(0), bytes]) : bytes)
}

const curves: Readonly<Record<string, string>> = { "P-256": "nistp256", "P-384": "nistp384", "P-521": "nistp521" }

interface Blobs {
  readonly type: string
  readonly open: Buffer
  readonly secret: Buffer
}

/** The type, the public and the private part of a key. */
export const blobs = (key: KeyObject): Blobs => {
  const jwk = key.export({ format: "jwk" })
  if (jwk.kty === "RSA") {
    const open = Buffer.concat([field("ssh-rsa"), number(jwk.e), number(jwk.n)])
    return { type: "ssh-rsa", open, secret: Buffer.concat([jwk.d, jwk.p, jwk.q, jwk.qi].map(number)) }
  }
  if (jwk.kty === "EC") {
    const curve = curves[jwk.crv!]!
    const point = Buffer.concat([Buffer.of(4), Buffer.from(jwk.x!, "base64url"), Buffer.from(jwk.y!, "base64url")])
    const type = `ecdsa-sha2-${curve}`
    return { type, open: Buffer.concat([field(type), field(curve), field(point)]), secret: number(jwk.d) }
  }
  const type = `ssh-${jwk.crv!.toLowerCase()}`
  const open = Buffer.concat([field(type), field(Buffer.from(jwk.x!, "base64url"))])
  return { type, open, secret: field(Buffer.from(jwk.d!, "base64url")) }
}

export interface Options {
  readonly version: 2 | 3
  readonly password?: string
  readonly variant?: "Argon2id" | "Argon2i" | "Argon2d"
  /** A character for each byte. */
  readonly comment?: string
  /** Written instead of what belongs there. */
  readonly override?: Readonly<Record<string, string>>
}

const sha1 = (...parts: ReadonlyArray<Uint8Array | string>) => {
  const hash = createHash("sha1")
  for (const part of parts) hash.update(part)
  return hash.digest()
}

const lines = (name: string, blob: Buffer): ReadonlyArray<string> => {
  const base64 = blob.toString("base64").match(/.{1,64}/g)!
  return [`${name}: ${base64.length}`, ...base64]
}

export const write = ({ open, secret, type }: Blobs, options: Options): string => {
  const { comment = "a comment", override = {}, password, variant = "Argon2id", version } = options
  const encryption = password === undefined ? "none" : "aes256-cbc"
  let plain = secret
  if (password !== undefined) {
    const padding = (16 - (secret.length % 16)) % 16
    plain = Buffer.concat([secret, sha1(secret).subarray(0, padding)])
  }
  const salt = randomBytes(16)
  let derivation: ReadonlyArray<string> = []
  let macKey = version === 2 ? sha1("putty-private-key-file-mac-key", password ?? "") : Buffer.alloc(0)
  let encrypted = plain
  if (password !== undefined) {
    let key = Buffer.concat([sha1(Buffer.alloc(4), password), sha1(Buffer.of(0, 0, 0, 1), password)]).subarray(0, 32)
    let iv: Buffer = Buffer.alloc(16)
    if (version === 3) {
      const derived = crypto.argon2Sync(variant.toLowerCase() as Lowercase<typeof variant>, {
        message: password,
        nonce: salt,
        memory: 64,
        passes: 2,
        parallelism: 1,
        tagLength: 80
      })
      key = derived.subarray(0, 32)
      iv = derived.subarray(32, 48)
      macKey = derived.subarray(48)
      derivation = [
        `Key-Derivation: ${override["Key-Derivation"] ?? variant}`,
        `Argon2-Memory: ${override["Argon2-Memory"] ?? 64}`,
        "Argon2-Passes: 2",
        "Argon2-Parallelism: 1",
        `Argon2-Salt: ${salt.toString("hex")}`
      ]
    }
    const cipher = createCipheriv("aes-256-cbc", key, iv).setAutoPadding(false)
    encrypted = Buffer.concat([cipher.update(plain), cipher.final()])
  }
  const hmac = createHmac(version === 2 ? "sha1" : "sha256", macKey)
  for (const part of [type, encryption, Buffer.from(comment, "latin1"), open, plain]) hmac.update(field(part))
  return [
    `PuTTY-User-Key-File-${override["version"] ?? version}: ${type}`,
    `Encryption: ${override["Encryption"] ?? encryption}`,
    `Comment: ${override["Comment"] ?? comment}`,
    ...lines("Public-Lines", open),
    ...derivation,
    ...lines("Private-Lines", encrypted),
    `Private-MAC: ${hmac.digest("hex")}`,
    ""
  ].join("\r\n")
}
