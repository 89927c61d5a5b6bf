/** Whatever the bytes of a store are, opening it gives certificates or the typed error, soon, and never anything else. */
import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { createPrivateKey } from "node:crypto"
import * as Certificate from "../../src/tls/Certificate.ts"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import { certificate, chain, openssl, read, text } from "./openssl.ts"
import * as Ppk from "./ppk.ts"
import { CertStoreType, derOf } from "./stores.ts"

const password = "x"

/** One small store of each format. */
const samples = (): ReadonlyArray<readonly [name: string, bytes: Buffer]> => {
  certificate("sample", { extensions: ["subjectAltName=DNS:a,IP:::1,RID:1.2.3", "keyUsage=digitalSignature"] })
  certificate("sample-rsa", { kind: "rsa2048" })
  chain()
  const pfx = "pkcs12 -export -in sample.crt -inkey sample.key -passout pass:x -iter 10".split(" ")
  openssl(...pfx, "-out", "sample.pfx")
  openssl(...pfx, "-out", "legacy.pfx", "-legacy")
  openssl(..."crl2pkcs7 -nocrl -certfile sample.crt -outform DER -out sample.p7b".split(" "))
  const encrypted = (...args: ReadonlyArray<string>) =>
    openssl(..."pkcs8 -topk8 -in sample.key -passout pass:x".split(" "), ...args)
  openssl(..."pkcs8 -topk8 -in sample.key -passout pass:x -iter 10 -outform DER -out sample.p8".split(" "))
  const key = createPrivateKey(text("sample.key"))
  const blobs = Ppk.blobs(key)
  const jwk = { keys: [{ ...key.export({ format: "jwk" }), x5c: [derOf("sample").toString("base64")] }] }
  const rsa = createPrivateKey(text("sample-rsa.key")).export({ format: "jwk" })
  const xml = `<a><RSAKeyValue><Modulus>${rsa.n}</Modulus><Exponent>${rsa.e}</Exponent></RSAKeyValue></a>`
  const ssh = `${blobs.type} ${blobs.open.toString("base64")} me`
  return [
    ["PFX", read("sample.pfx")],
    ["old PFX", read("legacy.pfx")],
    ["PKCS#7", read("sample.p7b")],
    ["certificate", derOf("sample")],
    ["encrypted key in DER", read("sample.p8")],
    ["PEM", Buffer.from(text("sample.key") + text("sample.crt") + text("chain.pem"))],
    ["encrypted PEM", Buffer.from(encrypted("-iter", "10"))],
    ["PEM under scrypt", Buffer.from(encrypted("-scrypt", "-scrypt_N", "16", "-scrypt_r", "1"))],
    ["old PEM", Buffer.from(openssl(..."ec -in sample.key -aes128 -passout pass:x".split(" ")))],
    ["JWK", Buffer.from(JSON.stringify(jwk))],
    ["XML", Buffer.from(xml.replaceAll("-", "+").replaceAll("_", "/"))],
    ["PPK 2", Buffer.from(Ppk.write(blobs, { version: 2, password }))],
    ["PPK 3", Buffer.from(Ppk.write(blobs, { version: 3, ...(Ppk.hasArgon2 && { password }) }))],
    ["SSH", Buffer.from(ssh)]
  ]
}

/** Reads every field, none of which may throw. */
const look = (it: Certificate.Certificate): void => {
  const prototype: object = Certificate.Certificate.prototype
  for (const name of Object.getOwnPropertyNames(prototype)) {
    if (Object.getOwnPropertyDescriptor(prototype, name)?.get !== undefined) void Reflect.get(it, name)
  }
  void JSON.stringify(it)
  void Certificate.formatDate(it.effectiveDate)
  void CertificateStore.select([it], "CN=x, Thumbprint=")
}

const opens = Effect.fnUntraced(function* (store: string | Uint8Array, place: string, type = CertStoreType.cstAuto) {
  const exit = yield* Effect.exit(CertificateStore.open({ type, store, password }))
  if (Exit.isSuccess(exit)) {
    for (const certificate of exit.value) look(certificate)
    return true
  }
  assert.isFalse(Cause.hasDies(exit.cause), `${place}: ${Cause.pretty(exit.cause)}`)
  return false
})

describe("garbage", () => {
  it.effect("each sample opens as it is", () =>
    Effect.gen(function* () {
      for (const [name, bytes] of samples()) assert.isTrue(yield* opens(bytes, name), name)
    })
  )

  it.effect("a sample cut off anywhere is refused, or has whole parts before the cut", () =>
    Effect.gen(function* () {
      for (const [name, bytes] of samples()) {
        const step = Math.max(1, Math.floor(bytes.length / 100))
        for (let at = 0; at < bytes.length; at += step) {
          const opened = yield* opens(bytes.subarray(0, at), `${name} cut at ${at}`)
          if (name.endsWith("PFX") || name.includes("DER")) assert.isFalse(opened, `${name} cut at ${at}`)
        }
      }
    })
  )

  it.effect("a sample with changed bytes", () =>
    Effect.gen(function* () {
      for (const [name, bytes] of samples()) {
        const step = Math.max(1, Math.floor(bytes.length / 100))
        for (let at = 0; at < bytes.length; at += step) {
          for (const flip of [0x01, 0x20, 0x80]) {
            const changed = Buffer.from(bytes)
            changed[at]! ^= flip
            yield* opens(changed, `${name} changed at ${at} by ${flip}`)
          }
        }
      }
    })
  )

  it.effect("the beginning of one with the end of another", () =>
    Effect.gen(function* () {
      const all = samples()
      for (const [first, a] of all) {
        for (const [second, b] of all) {
          const half = Buffer.concat([a.subarray(0, a.length / 2), b.subarray(b.length / 2)])
          yield* opens(half, `${first} and ${second}`)
          yield* opens(Buffer.concat([a, b]), `${first}, then ${second}`)
        }
      }
    })
  )

  it.effect.prop(
    "any bytes and any text, as any type of store",
    [Schema.Uint8Array, Schema.String],
    ([bytes, string]) =>
      Effect.gen(function* () {
        for (const type of Object.values(CertStoreType)) {
          yield* opens(bytes, "bytes", type)
          yield* opens(string, "text", type)
        }
        const encoded = Certificate.fromEncoded(bytes)
        if (Result.isFailure(encoded)) assert.strictEqual(encoded.failure._tag, "CertificateError")
      })
  )

  it.effect.prop(
    "any bytes behind the beginning of a format",
    [
      Arbitrary.schema(
        Schema.Literals([
          "0\u0082\u0001\u0000",
          "0\u0080",
          "{",
          "<",
          "PuTTY-User-Key-File-3: ",
          "ssh-rsa AAAA",
          "0\u0003"
        ])
      ),
      Schema.Uint8Array
    ],
    ([head, tail]) => Effect.asVoid(opens(Buffer.concat([Buffer.from(head, "latin1"), tail]), head))
  )

  it.effect("large and deep ones end soon", () =>
    Effect.gen(function* () {
      const many = "-----BEGIN CERTIFICATE-----\n"
      const started = performance.now()
      for (const [name, store] of [
        ["beginnings", many.repeat(100_000)],
        ["empty blocks", `${many}-----END CERTIFICATE-----\n`.repeat(20_000)],
        ["brackets", "[".repeat(1_000_000)],
        ["elements", "<a>".repeat(100_000)],
        ["base64", "A".repeat(2_000_000)],
        ["sequences", Buffer.from("3080".repeat(500_000), "hex")],
        ["nulls", Buffer.concat([Buffer.from("3080", "hex"), Buffer.from("0500".repeat(1_000_000), "hex")])],
        ["lines", "ssh-rsa AAAA\n".repeat(100_000)],
        ["headers", `PuTTY-User-Key-File-3: x\n${"a: b\n".repeat(100_000)}`],
        [
          "keys",
          `[${`${JSON.stringify(createPrivateKey(text("sample.key")).export({ format: "jwk" }))},`.repeat(300)}{}]`
        ],
        ["blocks", text("sample.crt").repeat(6000)],
        ["spaces", `{${" ".repeat(1_000_000)}`],
        ["headers of PEM", `${many}${"a: b\n".repeat(100_000)}`],
        ["too many bytes", Buffer.alloc(17 * 1024 * 1024)]
      ] as const) {
        assert.isFalse(yield* opens(store, name), name)
      }
      assert.isBelow(performance.now() - started, 10_000)
    })
  )
})
