import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import { certificate, chain, key, keyKinds, type KeyKind, openssl, path, read, text, write } from "./openssl.ts"
import { cannotOpen, CertStoreType, chainNames, derOf, isCertificate } from "./stores.ts"

const pfx = (name: string, ...args: ReadonlyArray<string>) => {
  certificate(name)
  const file = `${name}-${args.join("").replaceAll(/\W/g, "")}.pfx`
  openssl(...`pkcs12 -export -in ${name}.crt -inkey ${name}.key -passout pass:sécret -out ${file}`.split(" "), ...args)
  return path(file)
}

const open = (store: string | Uint8Array, password: string | undefined = "sécret") =>
  CertificateStore.open({
    type: typeof store === "string" ? CertStoreType.cstPFXFile : CertStoreType.cstPFXBlob,
    store,
    password
  })

describe("PFX (PKCS#12)", () => {
  it.effect.each(Object.keys(keyKinds) as ReadonlyArray<KeyKind>)("with a key of the kind %s", (kind) =>
    Effect.gen(function* () {
      certificate(`pfx-${kind}`, { kind })
      const [identity, ...others] = yield* open(pfx(`pfx-${kind}`))
      isCertificate(identity!, `pfx-${kind}`, true)
      assert.deepStrictEqual(others, [])
    })
  )

  it.effect.each([
    ["AES with an integrity check of SHA-256", []],
    ["RC2-40 and triple DES", ["-legacy"]],
    ["triple DES", ["-legacy", "-descert"]],
    ["RC2-128", ["-legacy", "-certpbe", "PBE-SHA1-RC2-128", "-keypbe", "PBE-SHA1-RC2-128"]],
    ["triple DES with two keys", ["-legacy", "-certpbe", "PBE-SHA1-2DES", "-keypbe", "PBE-SHA1-2DES"]],
    ["PBES2 with AES-128", ["-certpbe", "AES-128-CBC", "-keypbe", "AES-128-CBC"]],
    ["PBES2 with AES-192", ["-certpbe", "AES-192-CBC", "-keypbe", "AES-192-CBC"]],
    ["PBES2 with triple DES", ["-certpbe", "DES-EDE3-CBC", "-keypbe", "DES-EDE3-CBC"]],
    ["an integrity check of SHA-1", ["-macalg", "sha1"]],
    ["an integrity check of SHA-384", ["-macalg", "sha384"]],
    ["an integrity check of SHA-512", ["-macalg", "sha512"]],
    ["an integrity check of SHA-224", ["-macalg", "sha224"]],
    ["no integrity check", ["-nomac"]],
    ["certificates in the clear", ["-certpbe", "NONE"]],
    ["everything in the clear", ["-certpbe", "NONE", "-keypbe", "NONE", "-nomac"]],
    ["one iteration", ["-noiter", "-nomaciter"]],
    ["100,000 iterations", ["-iter", "100000"]]
  ] as const)("under %s", ([, args]) =>
    Effect.gen(function* () {
      const [identity] = yield* open(pfx("pfx-plain", ...args))
      isCertificate(identity!, "pfx-plain", true)
    })
  )

  it.effect("as bytes, as base64, and in lines of base64", () =>
    Effect.gen(function* () {
      const bytes = read(pfx("pfx-plain").split("/").at(-1)!)
      const base64 = bytes.toString("base64")
      for (const store of [bytes, base64, base64.replaceAll(/.{64}/g, "$&\r\n"), Buffer.from(base64)]) {
        for (const type of [CertStoreType.cstPFXBlob, CertStoreType.cstAuto]) {
          const [identity] = yield* CertificateStore.open({ type, store, password: "sécret" })
          isCertificate(identity!, "pfx-plain", true)
        }
      }
      const binary = bytes.toString("latin1")
      const [identity] = yield* CertificateStore.open({ type: 3, store: binary, password: "sécret" })
      isCertificate(identity!, "pfx-plain", true)
    })
  )

  it.effect("with no password, an empty one, and a chain", () =>
    Effect.gen(function* () {
      chain()
      const args = ["-export", "-in", "leaf.crt", "-inkey", "leaf.key", "-certfile", "chain.pem", "-out", "chain.pfx"]
      for (const more of [
        ["-passout", "pass:"],
        ["-passout", "pass:", "-legacy"]
      ]) {
        openssl("pkcs12", ...args, ...more)
        for (const password of ["", undefined]) {
          const all = yield* CertificateStore.open({ type: 2, store: path("chain.pfx"), password })
          isCertificate(all[0]!, "leaf", true)
          assert.deepStrictEqual(chainNames(all[0]!), ["middle", "root"])
          assert.deepStrictEqual(
            all.map((it) => it.subject),
            ["leaf", "middle", "root"].map((name) => `CN=${name}, O=Test, C=US`)
          )
        }
      }
    })
  )

  it.effect("with several keys and certificates in it", () =>
    Effect.gen(function* () {
      const names = ["many-a", "many-b", "many-c"]
      const kinds = ["p256", "rsa2048", "ed25519"] as const
      names.forEach((name, i) => certificate(name, { kind: kinds[i]! }))
      // openssl writes one key a store: three stores' parts, plain, side by side in one
      const { decode, sequence, octets, explicit } = yield* Effect.promise(
        () => import("../../src/tls/internal/asn1.ts")
      )
      const parts = names.flatMap((name) => {
        const file = pfx(name, "-certpbe", "NONE", "-nomac").split("/").at(-1)!
        const [, info] = sequence(decode(read(file), ""), "")
        const content = octets(explicit(sequence(info, "")[1], 0, ""), "")
        return sequence(decode(content, ""), "").map((part) => part.der)
      })
      const asn1 = yield* Effect.promise(() => import("asn1js"))
      const safe = Buffer.from(new asn1.Sequence({ value: parts.map((part) => asn1.fromBER(part).result) }).toBER())
      const store = new asn1.Sequence({
        value: [
          new asn1.Integer({ value: 3 }),
          new asn1.Sequence({
            value: [
              new asn1.ObjectIdentifier({ value: "1.2.840.113549.1.7.1" }),
              new asn1.Constructed({
                idBlock: { tagClass: 3, tagNumber: 0 },
                value: [new asn1.OctetString({ valueHex: safe })]
              })
            ]
          })
        ]
      })
      const bytes = Buffer.from(store.toBER())
      const all = yield* open(bytes)
      assert.strictEqual(all.length, 3)
      for (const name of names) {
        const options = { type: CertStoreType.cstPFXBlob, store: bytes, password: "sécret" }
        isCertificate(yield* CertificateStore.load({ ...options, subject: name }), name, true)
        isCertificate(yield* CertificateStore.loadEncoded({ ...options, encoded: derOf(name) }), name, true)
      }
    })
  )

  it.effect("refuses a wrong and a missing password", () =>
    Effect.gen(function* () {
      for (const args of [[], ["-legacy"], ["-nomac"], ["-nomac", "-legacy"]]) {
        const store = pfx("pfx-plain", ...args)
        for (const password of ["wrong", "", undefined]) {
          yield* cannotOpen({ type: 2, store, password }, "WrongPassword", /password/)
        }
      }
    })
  )

  it.effect("refuses what is no PFX, saying what it is", () =>
    Effect.gen(function* () {
      certificate("pfx-plain")
      const store = path("pfx-plain.crt")
      yield* cannotOpen({ type: 2, store }, "Malformed", /expected a PFX \(PKCS#12\) store, got PEM text/)
      yield* cannotOpen({ type: 2, store: path("none.pfx") }, "FileUnreadable", /none\.pfx.*ENOENT/)
      yield* cannotOpen({ type: 2, store: "/" }, "FileUnreadable", /no file/)
      yield* cannotOpen({ type: 2, store: write("empty.pfx", "") }, "Malformed", /empty/)
      yield* cannotOpen({ type: 3, store: Buffer.from("feedfeed00", "hex") }, "Unsupported", /keytool/)
    })
  )

  it.effect("refuses an iteration count that would take hours", () =>
    Effect.gen(function* () {
      for (const args of [
        ["-iter", "5"],
        ["-iter", "5", "-legacy", "-macalg", "sha1"]
      ]) {
        const bytes = Buffer.from(
          read(
            pfx("pfx-plain", ...args)
              .split("/")
              .at(-1)!
          )
        )
        // INTEGER 5 after a salt of 8 bytes or more: the last one is that of the integrity check
        const at = bytes.length - 1
        assert.strictEqual(bytes[at], 5)
        const grown = Buffer.concat([bytes.subarray(0, at - 1), Buffer.from([4, 0x7f, 0xff, 0xff, 0xff])])
        // the two sequences around it grow by three bytes
        const root = grown.readUInt16BE(2)
        grown.writeUInt16BE(root + 3, 2)
        const [mac] = [lastSequence(bytes)]
        grown[mac + 1]! += 3
        yield* cannotOpen({ type: 3, store: grown, password: "sécret" }, "Unsupported", /iteration count/)
      }
    })
  )

  it.effect("refuses a key that is not that of the certificate", () =>
    Effect.gen(function* () {
      certificate("pfx-plain")
      key("p256", "pfx-other")
      const pem = text("pfx-plain.crt") + text("pfx-other.key")
      const reason = yield* Effect.flip(CertificateStore.open({ type: 7, store: pem }))
      assert.strictEqual(reason.reason._tag, "NoUsablePrivateKey")
      assert.match(reason.message, /not that of the certificate "CN=pfx-plain, O=Test, C=US"/)
    })
  )
})

/** Where the last SEQUENCE that ends with the store begins. */
const lastSequence = (bytes: Buffer): number => {
  for (let at = bytes.length - 2; at >= 0; at--) {
    if (bytes[at] === 0x30 && bytes[at + 1] === bytes.length - at - 2) return at
  }
  throw new Error("no sequence")
}
