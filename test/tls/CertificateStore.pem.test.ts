import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import { has } from "../installed.ts"
import { certificate, chain, key, keyKinds, type KeyKind, openssl, path, read, run, text, write } from "./openssl.ts"
import { cannotOpen, CertStoreType, chainNames, derOf, isCertificate, reasonOf } from "./stores.ts"

const kinds = Object.keys(keyKinds) as ReadonlyArray<KeyKind>

describe("PEM with a private key", () => {
  it.effect.each(kinds)("a key of the kind %s and its certificate, in either order", (kind) =>
    Effect.gen(function* () {
      const name = `pem-${kind}`
      certificate(name, { kind })
      const parts = [text(`${name}.key`), text(`${name}.crt`)]
      for (const store of [parts.join(""), parts.toReversed().join("text between\r\n"), `\uFEFF${parts.join("\n")}`]) {
        const file = write("pem-store.pem", store)
        isCertificate(yield* CertificateStore.load({ type: CertStoreType.cstPEMKeyFile, store: file }), name, true)
        for (const type of [CertStoreType.cstPEMKeyBlob, CertStoreType.cstAuto]) {
          for (const blob of [store, Buffer.from(store), Buffer.from(store).toString("base64")]) {
            isCertificate(yield* CertificateStore.load({ type, store: blob }), name, true)
          }
        }
      }
    })
  )

  it.effect("a chain in any order comes out from the leaf up", () =>
    Effect.gen(function* () {
      chain()
      const [leaf, middle, root] = ["leaf", "middle", "root"].map((name) => text(`${name}.crt`))
      const secret = text("leaf.key")
      for (const parts of [
        [leaf, middle, root, secret],
        [secret, root, middle, leaf],
        [middle, secret, leaf, root, middle]
      ]) {
        const all = yield* CertificateStore.open({ type: 7, store: parts.join("") })
        isCertificate(all[0]!, "leaf", true)
        assert.deepStrictEqual(chainNames(all[0]!), ["middle", "root"])
        assert.strictEqual(all.length, 3)
      }
    })
  )

  it.effect("a chain by an authority's new key, whose certificate has its old key's name twice, is sent whole", () =>
    Effect.gen(function* () {
      const plain = ["subjectKeyIdentifier=none", "authorityKeyIdentifier=none"]
      const extensions = ["basicConstraints=critical,CA:TRUE", ...plain]
      certificate("before", { subject: "/CN=authority", extensions })
      certificate("after", { subject: "/CN=authority", extensions, issuer: "before" })
      certificate("renewed", { issuer: "after", extensions: plain })
      const store = ["renewed.key", "renewed.crt", "before.crt", "after.crt"].map(text).join("")
      const { chain, chainPem } = yield* CertificateStore.load({ type: CertStoreType.cstPEMKeyBlob, store })
      assert.lengthOf(chain, 2)
      assert.strictEqual(chainPem, text("renewed.crt") + text("after.crt"))
    })
  )

  it.effect("encrypted keys, as PKCS#8 and in the old form", () =>
    Effect.gen(function* () {
      certificate("secret", { kind: "rsa2048" })
      const pass = ["-passout", "pass:pässwörd"]
      const legacy = ["-provider", "legacy", "-provider", "default"]
      for (const args of [
        ["pkcs8", "-topk8", "-in", "secret.key", ...pass],
        ["pkcs8", "-topk8", "-in", "secret.key", "-v2prf", "hmacWithMD5", ...pass],
        ["pkcs8", "-topk8", "-in", "secret.key", "-v1", "PBE-SHA1-3DES", ...pass],
        ["pkcs8", "-topk8", "-in", "secret.key", "-scrypt", "-scrypt_N", "1024", ...pass],
        ["pkcs8", "-topk8", "-in", "secret.key", "-v1", "PBE-SHA1-RC2-40", ...legacy, ...pass],
        ["rsa", "-in", "secret.key", "-traditional", "-aes256", ...pass],
        ["rsa", "-in", "secret.key", "-traditional", "-des3", ...pass]
      ]) {
        const encrypted = openssl(...args)
        const store = encrypted + text("secret.crt")
        isCertificate(yield* CertificateStore.load({ type: 7, store, password: "pässwörd" }), "secret", true)
        yield* cannotOpen({ type: 7, store, password: "wrong" }, "WrongPassword", /is the password right/)
        yield* cannotOpen({ type: 7, store }, "WrongPassword", /needs a password|is the password right/)
      }
      const unknown = openssl("pkcs8", "-topk8", "-in", "secret.key", "-v1", "PBE-MD5-DES", ...legacy, ...pass)
      yield* cannotOpen({ type: 7, store: unknown, password: "x" }, "Unsupported", /1\.2\.840\.113549\.1\.5\.3/)
    })
  )

  it.effect("a key in a file of its own, whose name is told if something is wrong", () =>
    Effect.gen(function* () {
      certificate("apart", { kind: "rsa2048" })
      const keyFile = path("apart.key")
      for (const [type, store] of [
        [CertStoreType.cstPEMKeyFile, path("apart.crt")],
        [CertStoreType.cstAuto, path("apart.crt")],
        [CertStoreType.cstPEMKeyBlob, text("apart.crt")]
      ] as const) {
        isCertificate(yield* CertificateStore.load({ type, store, keyFile }), "apart", true)
      }
      const { cstAuto } = CertStoreType
      const store = path("apart.crt")
      const locked = write("locked.key", openssl("rsa", "-in", "apart.key", "-aes256", "-passout", "pass:x"))
      yield* cannotOpen(
        { type: cstAuto, store, keyFile: locked },
        "WrongPassword",
        /"\S+apart\.crt" with the key "\S+locked\.key": /
      )
      isCertificate(
        yield* CertificateStore.load({ type: cstAuto, store, keyFile: locked, password: "x" }),
        "apart",
        true
      )
      // who opened a pipe would wait for its writer, and nothing else would go on
      run("mkfifo", ["pipe.key"])
      yield* cannotOpen(
        { type: cstAuto, store, keyFile: path("pipe.key") },
        "FileUnreadable",
        /pipe\.key": it is no file/
      )
      yield* cannotOpen({ type: cstAuto, store, keyFile: path("none.key") }, "FileUnreadable", /none\.key": ENOENT/)
      const ppk = write("apart.ppk", "PuTTY-User-Key-File-3: x")
      yield* cannotOpen(
        { type: cstAuto, store, keyFile: ppk },
        "Malformed",
        /apart\.ppk": expected a private key in PEM/
      )
      openssl(..."pkcs12 -export -in apart.crt -inkey apart.key -passout pass: -out apart.pfx".split(" "))
      const pfx = { type: cstAuto, store: path("apart.pfx"), keyFile }
      yield* cannotOpen(pfx, "Malformed", /apart\.pfx": expected PEM, which alone may have its private key/)
    })
  )

  it.effect("keys in the old forms, with parameters before them, and in DER", () =>
    Effect.gen(function* () {
      certificate("old-ec")
      certificate("old-rsa", { kind: "rsa2048" })
      openssl("ecparam", "-name", "prime256v1", "-out", "old.param")
      const ec = text("old.param") + openssl("ec", "-in", "old-ec.key") + text("old-ec.crt")
      assert.include(ec, "BEGIN EC PRIVATE KEY")
      isCertificate(yield* CertificateStore.load({ type: 7, store: ec }), "old-ec", true)
      const rsa = openssl("rsa", "-in", "old-rsa.key", "-traditional") + text("old-rsa.crt")
      assert.include(rsa, "BEGIN RSA PRIVATE KEY")
      isCertificate(yield* CertificateStore.load({ type: 7, store: rsa }), "old-rsa", true)
      for (const args of [
        ["pkcs8", "-topk8", "-nocrypt", "-in", "old-ec.key"],
        ["pkcs8", "-topk8", "-passout", "pass:x", "-in", "old-ec.key"],
        ["ec", "-in", "old-ec.key"],
        ["rsa", "-in", "old-rsa.key", "-traditional"]
      ]) {
        openssl(...args, "-outform", "DER", "-out", "key.der")
        const bare = yield* CertificateStore.load({ type: 99, store: path("key.der"), password: "x" })
        assert.isFalse(bare.hasCertificate)
        assert.strictEqual(bare.privateKeyPem, text(`${args.includes("rsa") ? "old-rsa" : "old-ec"}.key`))
      }
    })
  )

  it.effect.runIf(has("ssh-keygen"))("keys in OpenSSH's own form, where they are not encrypted", () =>
    Effect.gen(function* () {
      for (const kind of ["rsa -b 2048", "ecdsa -b 256", "ecdsa -b 521", "ed25519"]) {
        const name = `openssh-${kind.replaceAll(" ", "")}`
        run("ssh-keygen", ["-q", "-t", ...kind.split(" "), "-N", "", "-C", "me", "-f", path(name)])
        assert.include(text(name), "BEGIN OPENSSH PRIVATE KEY")
        const it = yield* CertificateStore.load({ type: CertStoreType.cstPEMKeyFile, store: path(name) })
        const open = yield* CertificateStore.load({
          type: CertStoreType.cstSSHPublicKeyFile,
          store: path(`${name}.pub`)
        })
        assert.strictEqual(it.publicKeyPem, open.publicKeyPem)
        assert.isDefined(it.privateKey)
      }
      run("ssh-keygen", ["-q", "-t", "ed25519", "-N", "secret", "-f", path("openssh-secret")])
      const store = path("openssh-secret")
      yield* cannotOpen({ type: 6, store, password: "secret" }, "Unsupported", /ssh-keygen -p -m PKCS8/)
    })
  )

  it.effect("a key without a certificate is shown, and cannot serve", () =>
    Effect.gen(function* () {
      key("p256", "alone")
      const it = yield* CertificateStore.load({ type: 6, store: path("alone.key") })
      assert.strictEqual(it.privateKeyPem, text("alone.key"))
      const reason = yield* reasonOf(Effect.fromResult(CertificateStore.requirePrivateKey(it)))
      assert.strictEqual(reason._tag, "NoUsablePrivateKey")
      assert.match(reason.message, /a key, and no certificate/)
    })
  )

  it.effect("several keys and certificates find each other", () =>
    Effect.gen(function* () {
      for (const name of ["two-a", "two-b"]) certificate(name)
      const store = ["two-a.key", "two-b.key", "two-b.crt", "two-a.crt"].map(text).join("")
      for (const name of ["two-a", "two-b"]) {
        isCertificate(yield* CertificateStore.load({ type: 7, store, subject: `CN=${name}, O=Test, C=US` }), name, true)
      }
      // a key that belongs to none of them is still there to see
      key("p256", "two-c")
      assert.strictEqual((yield* CertificateStore.open({ type: 7, store: text("two-c.key") + store })).length, 3)
    })
  )

  it.effect("refuses what is cut off or no key", () =>
    Effect.gen(function* () {
      certificate("cut")
      const whole = text("cut.key")
      yield* cannotOpen({ type: 7, store: whole.slice(0, -10) }, "Malformed", /without a complete key/)
      yield* cannotOpen({ type: 7, store: whole.replace("M", "") }, "Malformed", /private key cannot be read/)
      yield* cannotOpen({ type: 7, store: "" }, "Malformed", /empty/)
      yield* cannotOpen({ type: 7, store: "no key" }, "Malformed", /none of the formats/)
      const damaged = text("cut.crt").replace(/\n.{40}/, "\nAAAA")
      yield* cannotOpen({ type: 7, store: whole + damaged }, "Malformed", /certificate in it cannot be read/)
      const ssh = "-----BEGIN OPENSSH PRIVATE KEY-----\nAAAA\n-----END OPENSSH PRIVATE KEY-----"
      yield* cannotOpen({ type: 7, store: ssh }, "Malformed", /OpenSSH private key is none/)
    })
  )
})

describe("certificates and public keys alone", () => {
  it.effect("in PEM, DER and base64, as file and blob", () =>
    Effect.gen(function* () {
      certificate("public")
      const der = derOf("public")
      write("public.der", der)
      for (const store of [path("public.crt"), path("public.der")]) {
        isCertificate(yield* CertificateStore.load({ type: CertStoreType.cstPublicKeyFile, store }), "public", false)
        isCertificate(yield* CertificateStore.load({ type: CertStoreType.cstAuto, store }), "public", false)
      }
      for (const store of [text("public.crt"), der, der.toString("base64"), der.toString("latin1")]) {
        const it = yield* CertificateStore.load({ type: CertStoreType.cstPublicKeyBlob, store })
        isCertificate(it, "public", false)
        const reason = yield* reasonOf(Effect.fromResult(CertificateStore.requirePrivateKey(it)))
        assert.strictEqual(reason._tag, "NoUsablePrivateKey")
        assert.match(reason.message, /"CN=public, O=Test, C=US" has no private key/)
      }
    })
  )

  it.effect("do not show a private key that stands beside them", () =>
    Effect.gen(function* () {
      certificate("public")
      const encrypted = openssl(..."pkcs8 -topk8 -in public.key -passout pass:x".split(" "))
      for (const secret of [text("public.key"), encrypted]) {
        const store = secret + text("public.crt")
        const [it, ...others] = yield* CertificateStore.open({ type: CertStoreType.cstPublicKeyBlob, store })
        isCertificate(it!, "public", false)
        assert.strictEqual(others.length, 0)
      }
      yield* cannotOpen({ type: 9, store: text("public.key") }, "Malformed", /without a complete key or certificate/)
    })
  )

  it.effect.each(kinds)("a public key of the kind %s", (kind) =>
    Effect.gen(function* () {
      key(kind)
      const pem = openssl("pkey", "-in", `${kind}.key`, "-pubout")
      openssl("pkey", "-in", `${kind}.key`, "-pubout", "-outform", "DER", "-out", `${kind}.pub.der`)
      for (const store of [pem, read(`${kind}.pub.der`)]) {
        const it = yield* CertificateStore.load({ type: 9, store })
        assert.strictEqual(it.publicKeyPem, pem)
        assert.isFalse(it.hasCertificate)
        assert.strictEqual(it.privateKey, undefined)
        assert.notStrictEqual(it.fingerprint, "")
      }
    })
  )
})

describe("PKCS#7", () => {
  it.effect("a bag in PEM, DER, base64, file and blob, with the chain of each certificate", () =>
    Effect.gen(function* () {
      chain()
      const args = ["crl2pkcs7", "-nocrl", "-certfile", "leaf.crt", "-certfile", "chain.pem"]
      openssl(...args, "-out", "bag.p7b")
      openssl(...args, "-outform", "DER", "-out", "bag.p7b.der")
      const der = read("bag.p7b.der")
      for (const [type, store] of [
        [CertStoreType.cstP7BFile, path("bag.p7b")],
        [CertStoreType.cstP7BFile, path("bag.p7b.der")],
        [CertStoreType.cstP7BBlob, text("bag.p7b")],
        [CertStoreType.cstP7BBlob, der],
        [CertStoreType.cstP7BBlob, der.toString("base64")],
        [CertStoreType.cstAuto, path("bag.p7b")]
      ] as const) {
        const all = yield* CertificateStore.open({ type, store })
        isCertificate(all[0]!, "leaf", false)
        assert.deepStrictEqual(chainNames(all[0]!), ["middle", "root"])
        assert.deepStrictEqual(
          all.map((it) => it.subject.slice(3, 7)),
          ["leaf", "midd", "root"]
        )
      }
      const keyed = text("leaf.key") + text("bag.p7b")
      isCertificate(yield* CertificateStore.load({ type: CertStoreType.cstPEMKeyBlob, store: keyed }), "leaf", true)
    })
  )

  it.effect("refuses one without certificates", () =>
    Effect.gen(function* () {
      const none = Buffer.from("302306092a864886f70d010702a01630140201013100300b06092a864886f70d0107013100", "hex")
      yield* cannotOpen({ type: CertStoreType.cstP7BBlob, store: none }, "Malformed", /no certificate/)
    })
  )
})
