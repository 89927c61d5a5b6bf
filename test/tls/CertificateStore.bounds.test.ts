/** Stores that ask for hours of work: it is bounded before it is done. */
import { assert, describe, it, vi } from "@effect/vitest"
import { Effect } from "effect"
import { createPrivateKey, createPublicKey, generateKeyPairSync, randomBytes, X509Certificate } from "node:crypto"
import { Certificate } from "../../src/tls/Certificate.ts"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import * as Asn1 from "../../src/tls/internal/asn1.ts"
import * as PasswordEncryption from "../../src/tls/internal/passwordEncryption.ts"
import * as Pem from "../../src/tls/internal/pem.ts"
import { encode, tags } from "../../src/tls/internal/tlv.ts"
import { certificate, chain, openssl, read, text } from "./openssl.ts"
import * as Ppk from "./ppk.ts"
import { cannotOpen, chainNames, CertStoreType } from "./stores.ts"

const sequence = (...parts: ReadonlyArray<Uint8Array>) => encode(tags.sequence, ...parts)
const integer = (bytes: Uint8Array) => encode(tags.integer, Buffer.of(0), bytes)
const small = (value: number) => encode(tags.integer, Buffer.of(value))

/** An odd number whose highest bit is set. */
const random = (bits: number): Buffer => {
  const bytes = randomBytes(bits / 8)
  bytes[0]! |= 0x80
  bytes[bytes.length - 1]! |= 1
  return bytes
}

/** A key of RSA in DER, whose numbers only look like one. */
const rsa = (bits: number): Uint8Array => {
  const [n, d, p, q] = [bits, bits - 8, bits / 2, bits / 2].map((size) => integer(random(size)))
  return sequence(small(0), n!, encode(tags.integer, Buffer.of(1, 0, 1)), d!, p!, q!, p!, q!, p!)
}

/** The same of DSA, in PKCS#8. */
const dsa = (bits: number): Uint8Array => {
  const [p, g] = [integer(random(bits)), integer(random(bits - 8))]
  const algorithm = sequence(Buffer.from("06072a8648ce380401", "hex"), sequence(p, integer(random(256)), g))
  return sequence(small(0), algorithm, encode(tags.octetString, integer(random(bits - 8))))
}

/** What a certificate is made of. */
const partsOf = (pem: string) => Asn1.sequence(Asn1.decode(new X509Certificate(pem).raw, "it"), "it")

describe("a store that would take hours", { timeout: 30_000 }, () => {
  it.effect("has a key of RSA that is larger than any that is used", () =>
    Effect.gen(function* () {
      certificate("plain", { extensions: ["subjectAltName=DNS:localhost"] })
      const der = rsa(65_536)
      const open = createPublicKey({ key: Buffer.from(der), format: "der", type: "pkcs1" })
      const spki = open.export({ format: "der", type: "spki" })
      for (const store of [der, Pem.encode("RSA PRIVATE KEY", der), spki, rsa(16_400)]) {
        yield* cannotOpen({ type: CertStoreType.cstAuto, store }, "Unsupported", /RSA with more than 16384 bits/)
      }
      // a certificate of such a key is shown without it, and leaves nothing behind that the next would stumble over
      const [tbs, algorithm, signature] = partsOf(text("plain.crt"))
      const fields = Asn1.sequence(tbs, "the body").map((part) => part.der)
      const body = sequence(...fields.slice(0, 6), spki, ...fields.slice(7))
      const it = new Certificate({ der: sequence(body, algorithm!.der, signature!.der) })
      assert.deepStrictEqual([it.subject, it.publicKeyLength, it.publicKeyPem], ["CN=plain, O=Test, C=US", 0, ""])
      assert.strictEqual(it.publicKeyAlgorithm, "1.2.840.113549.1.1.1")
      createPrivateKey(text("plain.key"))
    })
  )

  it.effect("has such a key of DSA, whose public number OpenSSL would make", () =>
    Effect.gen(function* () {
      const der = dsa(65_536)
      for (const store of [der, Pem.encode("PRIVATE KEY", der)]) {
        yield* cannotOpen({ type: CertStoreType.cstAuto, store }, "Unsupported", /its DSA key has \d+ bytes/)
      }
    })
  )

  it.effect("has such a number in a key of PuTTY", () =>
    Effect.gen(function* () {
      const parts = Ppk.blobs(generateKeyPairSync("rsa", { modulusLength: 1024 }).privateKey)
      const large = Buffer.concat([Buffer.of(0, 1, 0, 1, 0), random(65_536 * 8)])
      const store = Ppk.write({ ...parts, secret: large }, { version: 3 })
      yield* cannotOpen({ type: CertStoreType.cstAuto, store }, "Unsupported", /has more than 2048 bytes/)
    })
  )

  it("has many encryptions that take seconds each", () => {
    const slow = ["-v2", "aes-256-cbc", "-iter", "5000000", "-passout", "pass:x"]
    certificate("slow")
    // OpenSSL takes a second to make it
    const block = Pem.parse(openssl("pkcs8", "-topk8", "-in", "slow.key", ...slow))[0]!
    const [encryption] = Asn1.sequence(Asn1.decode(block.bytes, "the key"), "the key")
    const work = new PasswordEncryption.Work()
    for (let i = 0; i < 4; i++) PasswordEncryption.checkWork(encryption, work)
    assert.throws(() => PasswordEncryption.checkWork(encryption, work), /together for more time than is given/)
  })

  it.effect("has many certificates of one name, each of which may have signed the others", () =>
    Effect.gen(function* () {
      chain()
      const [tbs, algorithm, signature] = partsOf(text("middle.crt"))
      const fields = Asn1.sequence(tbs, "the body").map((part) => part.der)
      // issuer and subject are the same, and nobody here has signed it
      const namesakes = Array.from({ length: 300 }, (_, i) => {
        const serial = encode(tags.integer, Buffer.of(1, i >> 8, i & 255))
        const [version, , inner, name, times, , key] = fields
        return Pem.encode(
          "CERTIFICATE",
          sequence(sequence(version!, serial, inner!, name!, times!, name!, key!), algorithm!.der, signature!.der)
        )
      })
      const looks = vi.spyOn(X509Certificate.prototype, "checkIssued")
      const store = namesakes.join("")
      const found = yield* CertificateStore.open({ type: CertStoreType.cstAuto, store })
      assert.lengthOf(found, 300)
      assert.isBelow(looks.mock.calls.length, 300 * 40)
      looks.mockRestore()
      // and who has signed is found
      const all = text("leaf.crt") + text("middle.crt") + text("root.crt") + store
      const [leaf] = yield* CertificateStore.open({ type: CertStoreType.cstAuto, store: text("leaf.key") + all })
      assert.deepStrictEqual(chainNames(leaf!), ["middle", "root"])
    })
  )
})

describe("what is large and is read", () => {
  it.effect("is a key of RSA with as many bits as are taken", () =>
    Effect.gen(function* () {
      // that its numbers do not fit is found by using them
      yield* cannotOpen({ type: CertStoreType.cstAuto, store: rsa(16_384) }, "Malformed", /does not fit the public key/)
    })
  )

  it.effect("is a store with many keys, each under its own encryption", () =>
    Effect.gen(function* () {
      certificate("many")
      const pkcs8 = openssl("pkcs8", "-topk8", "-in", "many.key", "-iter", "10000", "-passout", "pass:x")
      const store = pkcs8.repeat(20) + text("many.crt")
      const it = yield* CertificateStore.load({ type: CertStoreType.cstAuto, store, password: "x" })
      assert.strictEqual(it.pem, read("many.crt").toString())
    })
  )
})
