import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { createPrivateKey, createPublicKey, type KeyObject } from "node:crypto"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import { has } from "../installed.ts"
import { certificate, key, type KeyKind, openssl, path, read, run, text, write } from "./openssl.ts"
import * as Ppk from "./ppk.ts"
import { cannotOpen, CertStoreType, derOf, isCertificate } from "./stores.ts"

const privateKey = (name: string): KeyObject => {
  if (name === "p256-other") key("p256", name)
  if (name in { rsa2048: 1, p256: 1, p384: 1, p521: 1, ed25519: 1, ed448: 1 }) key(name as KeyKind)
  return createPrivateKey(read(`${name}.key`))
}
const sshKinds = ["rsa2048", "p256", "p384", "p521", "ed25519"] as const

/** Says that a store gives this key and no certificate. */
const isKey = Effect.fnUntraced(function* (options: CertificateStore.Store, name: string) {
  const [it, ...others] = yield* CertificateStore.open(options)
  assert.strictEqual(it!.privateKeyPem, text(`${name}.key`))
  assert.isFalse(it!.hasCertificate)
  assert.strictEqual(others.length, 0)
})

const isPublicKey = Effect.fnUntraced(function* (options: CertificateStore.Store, name: string) {
  const [it, ...others] = yield* CertificateStore.open(options)
  assert.strictEqual(it!.publicKeyPem, openssl("pkey", "-in", `${name}.key`, "-pubout"))
  assert.strictEqual(it!.privateKey, undefined)
  assert.strictEqual(others.length, 0)
})

describe("JWK", () => {
  it.effect.each(["rsa2048", "p256", "p384", "p521", "ed25519", "ed448"])("a key of the kind %s", (kind) =>
    Effect.gen(function* () {
      const jwk = privateKey(kind).export({ format: "jwk" })
      const open = createPublicKey(privateKey(kind)).export({ format: "jwk" })
      const file = write(`${kind}.jwk`, JSON.stringify(jwk, null, 2))
      yield* isKey({ type: CertStoreType.cstJWKFile, store: file }, kind)
      for (const type of [CertStoreType.cstJWKBlob, CertStoreType.cstAuto]) {
        yield* isKey({ type, store: JSON.stringify(jwk) }, kind)
        yield* isKey({ type, store: Buffer.from(JSON.stringify({ keys: [jwk] })) }, kind)
        yield* isPublicKey({ type, store: JSON.stringify([open]) }, kind)
      }
    })
  )

  it.effect("a set with certificates", () =>
    Effect.gen(function* () {
      const names = ["jwk-a", "jwk-b"]
      const keys = names.map((name) => {
        certificate(name)
        return { ...privateKey(name).export({ format: "jwk" }), kid: name, x5c: [derOf(name).toString("base64")] }
      })
      const store = JSON.stringify({ keys: [{ kty: "oct", k: "AAAA" }, ...keys] })
      for (const name of names) {
        isCertificate(yield* CertificateStore.load({ type: 19, store, subject: name }), name, true)
      }
      const { d: _, ...open } = keys[0]!
      isCertificate(yield* CertificateStore.load({ type: 19, store: JSON.stringify(open) }), "jwk-a", false)
    })
  )

  it.effect("refuses what is none", () =>
    Effect.gen(function* () {
      const blob = (store: string) => ({ type: CertStoreType.cstJWKBlob, store })
      yield* cannotOpen(blob("{"), "Malformed", /not JSON/)
      yield* cannotOpen(blob("{}"), "Malformed", /kty is missing/)
      yield* cannotOpen(blob('{"keys":[]}'), "Malformed", /0 keys/)
      yield* cannotOpen(blob('{"keys":[null]}'), "Malformed", /kty is missing/)
      yield* cannotOpen(blob('{"kty":"oct","k":"AA"}'), "Unsupported", /shared secrets/)
      yield* cannotOpen(blob('{"kty":"EC","crv":"P-256","x":"AA","y":"AA"}'), "Malformed", /type "EC" cannot be read/)
      yield* cannotOpen(blob('{"kty":"none"}'), "Malformed", /type "none" cannot be read/)
      const jwk = privateKey("p256").export({ format: "jwk" })
      const other = privateKey("p256-other").export({ format: "jwk" })
      yield* cannotOpen(blob(JSON.stringify({ ...jwk, d: other.d })), "Malformed", /cannot be read|does not fit/)
      yield* cannotOpen(blob(JSON.stringify({ ...jwk, x5c: "x" })), "Malformed", /x5c/)
      yield* cannotOpen(blob(JSON.stringify({ ...jwk, x5c: ["AAAA"] })), "Malformed", /certificate in it/)
      yield* cannotOpen(blob(text("p256.key")), "Malformed", /expected a JSON Web Key, got PEM text/)
    })
  )
})

/** The text of .NET's RSA.ToXmlString. */
const xml = (key: KeyObject, secret: boolean): string => {
  const jwk = key.export({ format: "jwk" })
  const value = (name: string, base64url: string | undefined) =>
    `<${name}>${Buffer.from(base64url!, "base64url").toString("base64")}</${name}>`
  const more = secret
    ? [
        value("P", jwk.p),
        value("Q", jwk.q),
        value("DP", jwk.dp),
        value("DQ", jwk.dq),
        value("InverseQ", jwk.qi),
        value("D", jwk.d)
      ]
    : []
  return `<RSAKeyValue>${value("Modulus", jwk.n)}${value("Exponent", jwk.e)}${more.join("")}</RSAKeyValue>`
}

describe("XML", () => {
  it.effect("an RSAKeyValue with private numbers and without", () =>
    Effect.gen(function* () {
      const secret = xml(privateKey("rsa2048"), true)
      for (const store of [secret, `<?xml version="1.0"?>\n<!-- key -->\n${secret.replaceAll("><", ">\n  <")}\n`]) {
        yield* isKey({ type: CertStoreType.cstXMLFile, store: write("key.xml", store) }, "rsa2048")
        yield* isKey({ type: CertStoreType.cstXMLBlob, store }, "rsa2048")
        yield* isKey({ type: CertStoreType.cstAuto, store: Buffer.from(store) }, "rsa2048")
      }
      yield* isPublicKey({ type: CertStoreType.cstXMLBlob, store: xml(privateKey("rsa2048"), false) }, "rsa2048")
    })
  )

  it.effect("with its certificate, in the elements and the namespace of a signature", () =>
    Effect.gen(function* () {
      certificate("xml", { kind: "rsa2048" })
      const lines = derOf("xml").toString("base64").replaceAll(/.{64}/g, "$&\n")
      const secret = xml(privateKey("xml"), true).replaceAll(/<(\/?)/g, "<$1ds:")
      const store = `<ds:KeyInfo xmlns:ds="http://www.w3.org/2000/09/xmldsig#"><ds:KeyValue>${secret}</ds:KeyValue>
        <ds:X509Data><ds:X509Certificate>${lines}</ds:X509Certificate></ds:X509Data></ds:KeyInfo>`
      isCertificate(yield* CertificateStore.load({ type: CertStoreType.cstXMLBlob, store }), "xml", true)
    })
  )

  it.effect("refuses what is none", () =>
    Effect.gen(function* () {
      const blob = (store: string) => ({ type: CertStoreType.cstXMLBlob, store })
      yield* cannotOpen(blob("<a"), "Malformed", /well-formed XML/)
      yield* cannotOpen(blob("<a/>"), "Malformed", /without an RSAKeyValue/)
      yield* cannotOpen(blob("<RSAKeyValue/>"), "Malformed", /key cannot be read/)
      yield* cannotOpen(blob("<RSAKeyValue><Modulus>!</Modulus></RSAKeyValue>"), "Malformed", /not base64/)
      yield* cannotOpen(blob("<X509Certificate>AAAA</X509Certificate>"), "Malformed", /certificate in it/)
      const bomb = '<!DOCTYPE a [<!ENTITY b "x">]><a>&b;</a>'
      yield* cannotOpen(blob(bomb), "Malformed", /well-formed XML/)
    })
  )
})

describe("PPK", () => {
  const kinds = ["rsa2048", "p256", "p384", "p521", "ed25519", "ed448"] as const
  for (const version of [2, 3] as const) {
    it.effect.each(kinds)(`format ${version}, plain and encrypted: %s`, (kind) =>
      Effect.gen(function* () {
        const parts = Ppk.blobs(privateKey(kind))
        const plain = Ppk.write(parts, { version })
        yield* isKey({ type: CertStoreType.cstPPKFile, store: write(`${kind}.ppk`, plain) }, kind)
        for (const type of [CertStoreType.cstPPKBlob, CertStoreType.cstAuto]) {
          yield* isKey({ type, store: plain }, kind)
          yield* isKey({ type, store: plain.replaceAll("\r", "") }, kind)
        }
        if (version === 3 && !Ppk.hasArgon2) return
        const store = Ppk.write(parts, { version, password: "pässwörd" })
        for (const type of [CertStoreType.cstPPKBlob, CertStoreType.cstAuto]) {
          yield* isKey({ type, store: Buffer.from(store), password: "pässwörd" }, kind)
        }
        yield* cannotOpen({ type: 15, store, password: "wrong" }, "WrongPassword", /password is wrong/)
        yield* cannotOpen({ type: 15, store }, "WrongPassword", /needs a password/)
      })
    )
  }

  it.effect.runIf(Ppk.hasArgon2)("each variant of Argon2", () =>
    Effect.gen(function* () {
      for (const variant of ["Argon2id", "Argon2i", "Argon2d"] as const) {
        const store = Ppk.write(Ppk.blobs(privateKey("ed25519")), { version: 3, password: "x", variant })
        yield* isKey({ type: 15, store, password: "x" }, "ed25519")
      }
    })
  )

  it.effect("finds its certificate", () =>
    Effect.gen(function* () {
      certificate("ppk")
      const store = Ppk.write(Ppk.blobs(privateKey("ppk")), { version: 3 })
      const it = yield* CertificateStore.loadEncoded({ type: 15, store, encoded: text("ppk.crt") })
      isCertificate(it, "ppk", true)
    })
  )

  it.effect("with a comment in any encoding: the MAC is over its bytes", () =>
    Effect.gen(function* () {
      const parts = Ppk.blobs(privateKey("p256"))
      for (const version of [2, 3] as const) {
        for (const comment of ["clé", Buffer.from("clé").toString("latin1"), ""]) {
          const store = Buffer.from(Ppk.write(parts, { version, comment }), "latin1")
          for (const bytes of [store, Buffer.concat([Buffer.from("\uFEFF\r\n"), store])]) {
            const it = yield* CertificateStore.load({ type: CertStoreType.cstPPKBlob, store: bytes })
            assert.isDefined(it.privateKey)
          }
        }
      }
    })
  )

  it.effect("refuses damage, other versions and unknown ways", () =>
    Effect.gen(function* () {
      const parts = Ppk.blobs(privateKey("p256"))
      const plain = Ppk.write(parts, { version: 3 })
      const blob = (store: string) => ({ type: CertStoreType.cstPPKBlob, store, password: "x" })
      yield* cannotOpen(blob(plain.replace("a comment", "another")), "Malformed", /file is damaged/)
      yield* cannotOpen(blob(plain.replace(/(Private-Lines: \d\r\n)./, "$1B")), "Malformed", /file is damaged/)
      yield* cannotOpen(blob(plain.replace(/Private-MAC.*/, "")), "Malformed", /Private-MAC is missing/)
      yield* cannotOpen(blob(plain.slice(0, 120)), "Malformed", /ends in the middle/)
      yield* cannotOpen(blob(plain.replace("Lines: ", "Lines: 9")), "Malformed", /ends in the middle/)
      yield* cannotOpen(blob(`${plain}Comment: x`), "Malformed", /twice/)
      yield* cannotOpen(blob(Ppk.write(parts, { version: 3, override: { version: "1" } })), "Unsupported", /format 1/)
      for (const [name, value] of [
        ["Encryption", "aes128-cbc"],
        ["Key-Derivation", "Scrypt"],
        ["Argon2-Memory", "99999999"]
      ] as const) {
        if (!Ppk.hasArgon2) break
        const store = Ppk.write(parts, { version: 3, password: "x", override: { [name]: value } })
        yield* cannotOpen(blob(store), "Unsupported", /not known here|memory/)
      }
      // two halves of two keys, under a MAC that is right
      key("p256", "ppk-other")
      const mixed = { ...parts, secret: Ppk.blobs(privateKey("ppk-other")).secret }
      yield* cannotOpen(
        blob(Ppk.write(mixed, { version: 3 })),
        "Malformed",
        /numbers make no key|two keys|does not fit/
      )
    })
  )

  it.effect.runIf(Ppk.hasArgon2 && has("puttygen"))("of puttygen, in both formats", () =>
    Effect.gen(function* () {
      for (const kind of ["rsa 2048", "ecdsa 256", "ecdsa 384", "ecdsa 521", "ed25519", "ed448", "dsa 1024"]) {
        const [type, bits] = kind.split(" ")
        const size = bits === undefined ? [] : ["-b", bits]
        for (const version of ["2", "3"]) {
          const file = path(`puttygen-${type}-${version}.ppk`)
          const params = ["--ppk-param", `version=${version}`, "--new-passphrase", write("pass", "secret")]
          run("puttygen", ["-q", "-t", type!, ...size, "-o", file, ...params])
          run("puttygen", [file, "--old-passphrase", path("pass"), "-O", "public-openssh", "-o", path("putty.pub")])
          const it = yield* CertificateStore.load({ type: CertStoreType.cstPPKFile, store: file, password: "secret" })
          assert.isDefined(it.privateKey)
          const [open] = yield* CertificateStore.open({ type: 13, store: path("putty.pub") })
          assert.strictEqual(open!.publicKeyPem, it.publicKeyPem, kind)
        }
      }
    })
  )
})

describe("SSH public keys", () => {
  it.effect.each(sshKinds)("as OpenSSH and RFC 4716 write them: %s", (kind) =>
    Effect.gen(function* () {
      const { open, type } = Ppk.blobs(privateKey(kind))
      const base64 = open.toString("base64")
      const line = `${type} ${base64} me@here with a comment`
      const block = [
        "---- BEGIN SSH2 PUBLIC KEY ----",
        'Comment: "a comment that goes on \\',
        'in the next line"',
        "x-private: yes",
        ...base64.match(/.{1,70}/g)!,
        "---- END SSH2 PUBLIC KEY ----"
      ].join("\n")
      for (const store of [line, `${line}\r\n`, `${type} ${base64}`, block, `${block}\n`]) {
        yield* isPublicKey({ type: CertStoreType.cstSSHPublicKeyBlob, store }, kind)
        yield* isPublicKey({ type: CertStoreType.cstSSHPublicKeyFile, store: write("key.pub", store) }, kind)
        yield* isPublicKey({ type: CertStoreType.cstAuto, store }, kind)
      }
    })
  )

  it.effect("several of them", () =>
    Effect.gen(function* () {
      const store = sshKinds.map((kind) => {
        const { open, type } = Ppk.blobs(privateKey(kind))
        return `${type} ${open.toString("base64")} ${kind}\n`
      })
      const all = yield* CertificateStore.open({ type: 10, store: store.join("# a comment\n\n") })
      assert.strictEqual(all.length, sshKinds.length)
    })
  )

  it.effect.runIf(has("ssh-keygen"))("has the fingerprints of ssh-keygen", () =>
    Effect.gen(function* () {
      for (const type of ["rsa", "ecdsa", "ed25519"]) {
        run("ssh-keygen", ["-q", "-t", type, "-N", "", "-f", path(`ssh-${type}`)])
        run("sh", ["-c", `ssh-keygen -e -m RFC4716 -f ssh-${type}.pub > ssh-${type}.rfc4716`])
        const line = run("ssh-keygen", ["-l", "-E", "md5", "-f", path(`ssh-${type}.pub`)])
        for (const store of [`ssh-${type}.pub`, `ssh-${type}.rfc4716`]) {
          const it = yield* CertificateStore.load({ type: CertStoreType.cstSSHPublicKeyFile, store: path(store) })
          assert.include(line, `MD5:${it.fingerprint}`)
        }
      }
    })
  )

  it.effect("refuses what is none", () =>
    Effect.gen(function* () {
      const { open } = Ppk.blobs(privateKey("p256"))
      const blob = (bytes: Uint8Array, type = "ecdsa-sha2-nistp256") => ({
        type: CertStoreType.cstSSHPublicKeyBlob,
        store: `${type} ${Buffer.from(bytes).toString("base64")}`
      })
      yield* cannotOpen(blob(open.subarray(0, -1)), "Malformed", /ends in the middle/)
      yield* cannotOpen(blob(Buffer.concat([open, Buffer.of(0)])), "Malformed", /more fields/)
      const curve = Buffer.from(open.toString("latin1").replace("nistp256\0\0\0A", "nistp384\0\0\0A"), "latin1")
      yield* cannotOpen(blob(curve), "Malformed", /two curves/)
      const certified = Buffer.from(`\0\0\0\x0f${"ssh-rsa-cert-v1"}`, "latin1")
      yield* cannotOpen(blob(certified), "Unsupported", /"ssh-rsa-cert-v1" cannot be read/)
      const off = Buffer.from(open)
      off[off.length - 1]! ^= 1
      yield* cannotOpen(blob(off), "Malformed", /make no key/)
      const block = "---- BEGIN SSH2 PUBLIC KEY ----\nAAAA\n"
      yield* cannotOpen({ type: 10, store: block }, "Malformed", /END SSH2 PUBLIC KEY/)
      yield* cannotOpen({ type: 10, store: `ssh-rsa AAAA\nnonsense` }, "Malformed", /ends in the middle|line 2/)
    })
  )
})
