import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import { certificate, key, openssl, path, text, write } from "./openssl.ts"
import { cannotOpen, CertStoreType, derOf, isCertificate, reasonOf } from "./stores.ts"

const names = ["sel-a", "sel-b", "sel-ab"]

const store = () => {
  certificate("sel-a", { subject: "/C=US/O=One, Inc/CN=www.a.com/emailAddress=a@a.com" })
  certificate("sel-b", { subject: "/C=US/O=Two/CN=www.b.com" })
  certificate("sel-ab", { subject: "/C=US/O=Two/OU=x/CN=www.b.com" })
  return names.map((name) => text(`${name}.key`) + text(`${name}.crt`)).join("")
}

const load = (subject: string) => CertificateStore.load({ type: CertStoreType.cstPEMKeyBlob, store: store(), subject })

describe("the search for a certificate", () => {
  it.effect("by the whole subject, in whatever order and writing", () =>
    Effect.gen(function* () {
      for (const subject of [
        'CN=www.a.com, O="One, Inc", C=US, E=a@a.com',
        'C=US, O="One, Inc", CN=www.a.com, emailAddress=a@a.com',
        'cn = WWW.A.COM,o = "one, inc",c=us,e=A@A.com'
      ]) {
        isCertificate(yield* load(subject), "sel-a", true)
      }
      // the first that contains it would be another
      isCertificate(yield* load("CN=www.b.com, O=Two, C=US"), "sel-b", true)
      isCertificate(yield* load("CN=www.b.com, OU=x, O=Two, C=US"), "sel-ab", true)
    })
  )

  it.effect("by a part of the subject", () =>
    Effect.gen(function* () {
      isCertificate(yield* load("www.a.com"), "sel-a", true)
      isCertificate(yield* load("WWW.B"), "sel-b", true)
      isCertificate(yield* load("OU=x"), "sel-ab", true)
    })
  )

  it.effect("by * and by nothing, the first", () =>
    Effect.gen(function* () {
      for (const subject of ["*", "", " * "]) isCertificate(yield* load(subject), "sel-a", true)
      isCertificate(yield* CertificateStore.load({ type: 7, store: store() }), "sel-a", true)
    })
  )

  it.effect("by thumbprint: MD5, SHA-1 and SHA-256, with colons and in any case", () =>
    Effect.gen(function* () {
      store()
      for (const name of names) {
        for (const hash of ["md5", "sha1", "sha256"]) {
          const shown = openssl("x509", "-in", `${name}.crt`, "-noout", "-fingerprint", `-${hash}`)
            .trim()
            .split("=")[1]!
          for (const value of [shown, shown.toLowerCase(), shown.replaceAll(":", ""), shown.replaceAll(":", " ")]) {
            isCertificate(yield* load(`Thumbprint=${value}`), name, true)
            isCertificate(yield* load(`thumbprint = ${value}`), name, true)
          }
        }
      }
    })
  )

  it.effect("says what there is when there is none such", () =>
    Effect.gen(function* () {
      for (const subject of ["CN=nobody", "Thumbprint=00", "Thumbprint="]) {
        const reason = yield* reasonOf(load(subject))
        assert.strictEqual(reason._tag, "CertificateNotFound")
        assert.include(reason.message, `no certificate is "${subject}"`)
        assert.include(reason.message, '"CN=www.b.com, O=Two, C=US"')
      }
    })
  )
})

describe("the search for the key of a certificate", () => {
  it.effect("finds it in a store that holds keys, with or without certificates", () =>
    Effect.gen(function* () {
      const all = store()
      key("p256", "sel-other")
      const keys = text("sel-other.key") + text("sel-b.key")
      for (const encoded of [derOf("sel-b"), text("sel-b.crt"), derOf("sel-b").toString("base64")]) {
        for (const store of [all, keys]) {
          isCertificate(yield* CertificateStore.loadEncoded({ type: 7, store, encoded }), "sel-b", true)
        }
      }
    })
  )

  it.effect("fails where there is none, and where the certificate is none", () =>
    Effect.gen(function* () {
      store()
      const options = { type: CertStoreType.cstPEMKeyBlob, store: text("sel-a.key") }
      const missing = yield* reasonOf(CertificateStore.loadEncoded({ ...options, encoded: text("sel-b.crt") }))
      assert.strictEqual(missing._tag, "NoUsablePrivateKey")
      const none = yield* reasonOf(CertificateStore.loadEncoded({ ...options, encoded: "x" }))
      assert.strictEqual(none._tag, "CannotOpenStore")
    })
  )
})

describe("the types of store", () => {
  it("have the documented numbers, without 20", () => {
    const numbers = Object.values(CertStoreType).toSorted((a, b) => a - b)
    assert.deepStrictEqual(
      numbers,
      [0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, 17, 18, 19, 21, 22, 23, 99]
    )
    assert.isTrue(CertificateStore.isCertStoreType(99))
    for (const other of [20, -1, 24, 98, 1.5, Number.NaN]) assert.isFalse(CertificateStore.isCertStoreType(other))
  })

  it.effect("of other platforms say why they cannot be opened", () =>
    Effect.gen(function* () {
      for (const [types, message] of [
        [[0, 1], /Windows/],
        [[4, 5], /Java.*keytool/],
        [[21, 22], /Bouncy Castle/],
        [[23], /hardware tokens/]
      ] as const) {
        for (const type of types) yield* cannotOpen({ type, store: "MY" }, "Unsupported", message)
      }
    })
  )

  it.effect("cstAuto takes a text that names a file as that file, and any other as content", () =>
    Effect.gen(function* () {
      store()
      const file = write("auto.pem", text("sel-a.key") + text("sel-a.crt"))
      isCertificate(yield* CertificateStore.load({ type: CertStoreType.cstAuto, store: file }), "sel-a", true)
      yield* cannotOpen({ type: 99, store: path("not-there.pem") }, "Malformed", /names no file.*none of the formats/)
      yield* cannotOpen({ type: 99, store: "x".repeat(3000) }, "Malformed", /none of the formats/)
      yield* cannotOpen({ type: 99, store: Buffer.from(file) }, "Malformed", /none of the formats/)
    })
  )

  it("of an empty store give nothing to select", () => {
    const error = Result.getOrThrow(Result.flip(CertificateStore.select([], "*")))
    assert.match(error.message, /the store has none/)
  })
})
