/**
 * The class Certificate: its fields beside what `openssl` shows, its constructors, and the stores that it opens. That every kind
 * of certificate and store is read right is for test/tls.
 */
import { assert, describe, it } from "@effect/vitest"
import { createPrivateKey, X509Certificate } from "node:crypto"
import { inspect } from "node:util"
import { Certificate, CertStoreTypes, ComponentError, WebSocketProxy } from "../../src/component/index.ts"
import * as PPK from "../tls/ppk.ts"
import { certificate, openssl, path, read, text, write } from "../tls/openssl.ts"

const extensions = [
  "subjectAltName=DNS:localhost,DNS:*.test",
  "extendedKeyUsage=serverAuth,clientAuth",
  "keyUsage=digitalSignature,nonRepudiation"
]
const make = () => {
  certificate("one", { kind: "rsa2048", extensions, subject: "/C=US/O=Test, Inc/CN=one" })
  certificate("two", { kind: "p256" })
  write("both.pem", text("one.key") + text("one.crt"))
  openssl(..."pkcs12 -export -inkey one.key -in one.crt -out one.pfx -passout pass:secret".split(" "))
}
make()

const code = (f: () => unknown): number => {
  try {
    f()
  } catch (error) {
    assert.instanceOf(error, ComponentError)
    return error.code
  }
  return assert.fail("expected it to fail")
}

const x509 = (name: string) => new X509Certificate(read(name))
const shown = (...args: ReadonlyArray<string>) => openssl("x509", "-in", "one.crt", "-noout", ...args).trim()
const isPublicOne = (it: Certificate) => {
  assert.strictEqual(it.serialNumber, x509("one.crt").serialNumber)
  assert.isFalse(it.privateKeyAvailable)
}

describe("fields", () => {
  const one = new Certificate(CertStoreTypes.cstPEMKeyFile, path("both.pem"), "", "*")

  it("EffectiveDate, ExpirationDate: in local time, as documented", () => {
    const months = "Jan Feb Mar Apr May Jun Jul Aug Sep Oct Nov Dec".split(" ")
    const two = (n: number) => String(n).padStart(2, "0")
    const format = (date: Date) =>
      `${two(date.getDate())}-${months[date.getMonth()]}-${date.getFullYear()} ${two(date.getHours())}:${two(date.getMinutes())}:${two(date.getSeconds())}`
    assert.strictEqual(one.effectiveDate, format(new Date(x509("one.crt").validFrom)))
    assert.strictEqual(one.getExpirationDate(), format(new Date(x509("one.crt").validTo)))
  })

  it("Fingerprint, FingerprintSHA1, FingerprintSHA256, ThumbprintMD5, ThumbprintSHA1, ThumbprintSHA256: of openssl", () => {
    const hash = (name: string) => shown("-fingerprint", `-${name}`).replace(/.*=/, "")
    assert.strictEqual(one.fingerprint, hash("md5").toLowerCase())
    assert.strictEqual(one.fingerprintSHA1, hash("sha1").toLowerCase())
    assert.strictEqual(one.fingerprintSHA256, hash("sha256").toLowerCase())
    assert.strictEqual(one.thumbprintMD5, hash("md5").replaceAll(":", ""))
    assert.strictEqual(one.thumbprintSHA1, hash("sha1").replaceAll(":", ""))
    assert.strictEqual(one.thumbprintSHA256, hash("sha256").replaceAll(":", ""))
  })

  it("Issuer, Subject, SerialNumber, Version: who, whose, which, and what form", () => {
    assert.strictEqual(one.subject, 'CN=one, O="Test, Inc", C=US')
    assert.strictEqual(one.issuer, one.subject)
    assert.strictEqual(one.serialNumber, shown("-serial").replace("serial=", ""))
    assert.strictEqual(one.version, "V3")
  })

  it("Usage, UsageFlags, ExtendedKeyUsage, SubjectAltNames: what it is for", () => {
    assert.strictEqual(one.usage, "Digital Signature,Non-Repudiation")
    assert.strictEqual(one.usageFlags, 0xc0)
    assert.strictEqual(one.extendedKeyUsage, "1.3.6.1.5.5.7.3.1,1.3.6.1.5.5.7.3.2")
    assert.match(one.subjectAltNames, /localhost, ?\*\.test/)
  })

  it("PublicKey, PublicKeyAlgorithm, PublicKeyLength, SignatureAlgorithm: its key, and how it is signed", () => {
    assert.strictEqual(one.publicKey.trim(), shown("-pubkey"))
    assert.strictEqual(one.publicKeyAlgorithm, "RSA")
    assert.strictEqual(one.publicKeyLength, 2048)
    assert.match(one.signatureAlgorithm, /SHA256/)
  })

  it("PrivateKey, PrivateKeyAvailable, PrivateKeyContainer: its private key", () => {
    assert.isTrue(one.privateKeyAvailable)
    assert.isTrue(createPrivateKey(one.privateKey).equals(createPrivateKey(text("one.key"))))
    assert.strictEqual(one.privateKeyContainer, "")
  })

  it("Encoded, EncodedB: in PEM", () => {
    assert.strictEqual(one.encoded.trim(), text("one.crt").trim())
    assert.strictEqual(Buffer.from(one.encodedB).toString(), one.encoded)
  })

  it("Certificate: printed and as JSON it keeps its secrets", () => {
    const secret = new Certificate(CertStoreTypes.cstPFXFile, path("one.pfx"), "secret", "*")
    for (const printed of [inspect(secret), JSON.stringify(secret)]) {
      assert.include(printed, "CN=one")
      assert.notInclude(printed, "PRIVATE KEY")
      assert.notMatch(printed, /"secret"|'secret'/)
    }
  })
})

describe("constructors", () => {
  it("Certificate: without arguments it is empty, with the documented defaults", () => {
    const none = new Certificate()
    assert.deepStrictEqual(
      [
        none.store,
        none.storePassword,
        none.storeType,
        none.subject,
        none.encoded,
        none.publicKeyLength,
        none.usageFlags
      ],
      ["MY", "", 0, "", "", 0, 0]
    )
    assert.isFalse(none.privateKeyAvailable)
  })

  it("Certificate: of a file, and of bytes", () => {
    isPublicOne(new Certificate(path("one.crt")))
    isPublicOne(new Certificate(read("one.crt")))
    isPublicOne(new Certificate(x509("one.crt").raw))
    assert.strictEqual(
      code(() => new Certificate(path("missing.crt"))),
      271
    )
  })

  it("Certificate: of a store and a subject, whole, in part, by thumbprint, or a configuration with one", () => {
    const sha1 = shown("-fingerprint", "-sha1").replace(/.*=/, "")
    for (const subject of ["*", 'CN=one, O="Test, Inc", C=US', "one", `Thumbprint=${sha1}`]) {
      const it = new Certificate(CertStoreTypes.cstPFXFile, path("one.pfx"), "secret", subject)
      assert.match(it.subject, /^CN=one/)
      assert.isTrue(it.privateKeyAvailable)
    }
    for (const store of [path("one.pfx"), read("one.pfx")]) {
      const type = typeof store === "string" ? CertStoreTypes.cstPFXFile : CertStoreTypes.cstPFXBlob
      const it = new Certificate(type, store, "secret", "nobody", `PersistPFXKey=false\nThumbprint=${sha1}`)
      assert.match(it.subject, /^CN=one/)
    }
  })

  it("Certificate: of a store and a certificate, whose private key is looked for", () => {
    for (const store of [path("both.pem"), read("both.pem")]) {
      const type = typeof store === "string" ? CertStoreTypes.cstPEMKeyFile : CertStoreTypes.cstPEMKeyBlob
      assert.isTrue(new Certificate(type, store, "", read("one.crt")).privateKeyAvailable)
      assert.strictEqual(
        code(() => new Certificate(type, store, "", read("two.crt"))),
        273
      )
    }
  })

  it("271, 272, 273: a wrong password, no such subject, another's key", () => {
    write("mismatch.pem", text("two.key") + text("one.crt"))
    const { cstPEMKeyFile, cstPFXFile } = CertStoreTypes
    assert.strictEqual(
      code(() => new Certificate(cstPFXFile, path("one.pfx"), "wrong", "*")),
      271
    )
    assert.strictEqual(
      code(() => new Certificate(cstPFXFile, path("one.pfx"), "secret", "CN=nobody")),
      272
    )
    assert.strictEqual(
      code(() => new Certificate(cstPEMKeyFile, path("mismatch.pem"), "", "*")),
      273
    )
  })
})

describe("selection", () => {
  it("Store, StoreB, StorePassword, StoreType, Subject: a subject that is set is looked for in the store", () => {
    const it = new Certificate()
    it.storeType = CertStoreTypes.cstPFXBlob
    it.setStoreB(read("one.pfx"))
    it.storePassword = "secret"
    it.subject = "one"
    assert.match(it.subject, /^CN=one/)
    it.subject = "nobody"
    assert.strictEqual(it.subject, "")
    it.store = path("one.pfx")
    it.storeType = CertStoreTypes.cstPFXFile
    it.subject = "*"
    assert.isTrue(it.privateKeyAvailable)
  })

  it("Encoded, EncodedB: one that is set has its private key looked for in the store", () => {
    const it = new Certificate()
    it.storeType = CertStoreTypes.cstPEMKeyFile
    it.store = path("both.pem")
    it.encoded = text("one.crt")
    assert.isTrue(it.privateKeyAvailable)
    assert.match(it.subject, /^CN=one/)
    // without its key it is what was set, but for its subject
    it.encodedB = read("two.crt")
    assert.deepStrictEqual([it.subject, it.encoded.trim(), it.privateKeyAvailable], ["", text("two.crt").trim(), false])
    assert.match(it.fingerprintSHA256, /:/)
    it.subject = "one"
    assert.match(it.subject, /^CN=one/)
    it.encoded = ""
    assert.deepStrictEqual([it.subject, it.encoded, it.privateKeyAvailable], ["", "", false])
  })

  it("Encoded, EncodedB, 271: can be set and cleared where no store was chosen, but not to what is no certificate", () => {
    for (const it of [new Certificate(), new Certificate(CertStoreTypes.cstPEMKeyFile, path("both.pem"), "", "*")]) {
      if (it.privateKeyAvailable) it.storeType = CertStoreTypes.cstMachine
      it.encoded = text("one.crt")
      assert.deepStrictEqual(
        [it.subject, it.encoded.trim(), it.privateKeyAvailable],
        ["", text("one.crt").trim(), false]
      )
      assert.strictEqual(
        code(() => (it.encoded = "nonsense")),
        271
      )
      assert.strictEqual(it.encoded.trim(), text("one.crt").trim())
      it.encodedB = new Uint8Array()
      assert.deepStrictEqual([it.subject, it.encoded], ["", ""])
    }
    const proxy = new WebSocketProxy()
    proxy.sslCertEncoded = text("one.crt")
    assert.deepStrictEqual([proxy.sslCertSubject, proxy.sslCertEncoded.trim()], ["", text("one.crt").trim()])
    proxy.sslCertEncoded = ""
    assert.strictEqual(proxy.sslCertEncoded, "")
  })

  it("10022: of what is neither the name of a file nor bytes", () => {
    for (const wrong of [undefined, null, 5, {}]) {
      assert.strictEqual(
        // as a caller without types gives it
        code(() => new Certificate(wrong as unknown as string)),
        10022
      )
      assert.strictEqual(
        code(() => new Certificate(CertStoreTypes.cstPFXFile, path("one.pfx"), "secret", wrong as unknown as string)),
        10022
      )
    }
  })

  it("10022: of a store, a type, a password or a configuration that is none, and the password is not told", () => {
    const args = (...changed: ReadonlyArray<readonly [number, unknown]>) => {
      const all: Array<unknown> = [CertStoreTypes.cstPFXFile, path("one.pfx"), "secret", "*", ""]
      for (const [at, value] of changed) all[at] = value
      // as a caller without types gives them
      return all as [CertStoreTypes, string, string, string, string]
    }
    for (const [at, what] of ["StoreType", "Store", "StorePassword", "Certificate", "Configuration"].entries()) {
      for (const wrong of [null, 81549300, {}]) {
        // where there is no password, none may be given
        if (what === "StorePassword" && wrong === null) continue
        assert.throws(() => new Certificate(...args([at, wrong])), new RegExp(`^\\[10022\\].* ${what}: expected`))
      }
    }
    const noPassword = new Certificate(
      ...args([0, CertStoreTypes.cstPEMKeyFile], [1, path("both.pem")], [2, undefined])
    )
    assert.isTrue(noPassword.privateKeyAvailable)
    assert.throws(() => new Certificate(...args([2, 81549300])), /^(?!.*81549300)/)
    const set = () => Object.assign(noPassword, { storePassword: 81549300 })
    assert.throws(set, /^\[10022\](?!.*81549300).*StorePassword: expected text, got a value of type number/)
  })

  it("271: a store that cannot be opened fails at once", () => {
    const it = new Certificate()
    assert.strictEqual(
      code(() => (it.subject = "*")),
      271
    )
  })
})

describe("kinds of stores", () => {
  const opens = (type: CertStoreTypes, store: string | Uint8Array, password: string, hasKey: boolean) => {
    for (const tried of [type, CertStoreTypes.cstAuto]) {
      const it = new Certificate(tried, store, password, "*")
      assert.strictEqual(it.privateKeyAvailable, hasKey, String(tried))
      assert.isAbove(it.publicKeyLength, 0)
    }
  }

  it("cstPFXFile, cstPFXBlob, cstAuto: PKCS#12", () => {
    opens(CertStoreTypes.cstPFXFile, path("one.pfx"), "secret", true)
    opens(CertStoreTypes.cstPFXBlob, read("one.pfx"), "secret", true)
    opens(CertStoreTypes.cstPFXBlob, read("one.pfx").toString("base64"), "secret", true)
  })

  it("cstPEMKeyFile, cstPEMKeyBlob, cstPublicKeyFile, cstPublicKeyBlob: PEM and DER", () => {
    opens(CertStoreTypes.cstPEMKeyFile, path("both.pem"), "", true)
    opens(CertStoreTypes.cstPEMKeyBlob, text("both.pem"), "", true)
    opens(CertStoreTypes.cstPublicKeyFile, path("one.crt"), "", false)
    opens(CertStoreTypes.cstPublicKeyBlob, x509("one.crt").raw, "", false)
  })

  it("cstP7BFile, cstP7BBlob: PKCS#7", () => {
    openssl(..."crl2pkcs7 -nocrl -certfile one.crt -out one.p7b".split(" "))
    opens(CertStoreTypes.cstP7BFile, path("one.p7b"), "", false)
    opens(CertStoreTypes.cstP7BBlob, read("one.p7b"), "", false)
  })

  it("cstJWKFile, cstJWKBlob: JSON Web Keys", () => {
    write("one.jwk", JSON.stringify(createPrivateKey(text("one.key")).export({ format: "jwk" })))
    opens(CertStoreTypes.cstJWKFile, path("one.jwk"), "", true)
    opens(CertStoreTypes.cstJWKBlob, text("one.jwk"), "", true)
  })

  it("cstXMLFile, cstXMLBlob: XML", () => {
    const jwk = createPrivateKey(text("one.key")).export({ format: "jwk" })
    const base64 = (value: string | undefined) => Buffer.from(value ?? "", "base64url").toString("base64")
    const parts = {
      Modulus: jwk.n,
      Exponent: jwk.e,
      P: jwk.p,
      Q: jwk.q,
      DP: jwk.dp,
      DQ: jwk.dq,
      InverseQ: jwk.qi,
      D: jwk.d
    }
    const elements = Object.entries(parts).map(([name, value]) => `<${name}>${base64(value)}</${name}>`)
    write("one.xml", `<RSAKeyValue>${elements.join("")}</RSAKeyValue>`)
    opens(CertStoreTypes.cstXMLFile, path("one.xml"), "", true)
    opens(CertStoreTypes.cstXMLBlob, text("one.xml"), "", true)
  })

  it("cstPPKFile, cstPPKBlob: keys of PuTTY", () => {
    write("one.ppk", PPK.write(PPK.blobs(createPrivateKey(text("one.key"))), { version: 2, comment: "one" }))
    opens(CertStoreTypes.cstPPKFile, path("one.ppk"), "", true)
    opens(CertStoreTypes.cstPPKBlob, text("one.ppk"), "", true)
  })

  it("cstSSHPublicKeyFile, cstSSHPublicKeyBlob: public keys of SSH, to show", () => {
    const { open, type } = PPK.blobs(createPrivateKey(text("one.key")))
    write("ssh.pub", `${type} ${Buffer.from(open).toString("base64")} one\n`)
    opens(CertStoreTypes.cstSSHPublicKeyFile, path("ssh.pub"), "", false)
    opens(CertStoreTypes.cstSSHPublicKeyBlob, text("ssh.pub"), "", false)
  })

  it("cstUser, cstMachine, cstJKSFile, cstJKSBlob, cstBCFKSFile, cstBCFKSBlob, cstPKCS11: of other platforms, 271", () => {
    const { cstBCFKSBlob, cstBCFKSFile, cstJKSBlob, cstJKSFile, cstMachine, cstPKCS11, cstUser } = CertStoreTypes
    for (const type of [cstUser, cstMachine, cstJKSFile, cstJKSBlob, cstBCFKSFile, cstBCFKSBlob, cstPKCS11]) {
      assert.strictEqual(
        code(() => new Certificate(type, "MY", "", "*")),
        271
      )
    }
  })
})
