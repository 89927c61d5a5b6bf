import { assert, describe, it } from "@effect/vitest"
import * as tls from "node:tls"
import * as CipherSuites from "../../src/tls/CipherSuites.ts"
import * as Groups from "../../src/tls/Groups.ts"
import * as SignatureSchemes from "../../src/tls/SignatureSchemes.ts"
import { openssl } from "./openssl.ts"

/** The cipher suites that the documents list for SSLEnabledCipherSuites. */
const documented = `
TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384
TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256
TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256
TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384
TLS_ECDH_ECDSA_WITH_AES_256_GCM_SHA384
TLS_RSA_WITH_AES_256_GCM_SHA384
TLS_RSA_WITH_AES_128_GCM_SHA256
TLS_ECDH_ECDSA_WITH_AES_128_GCM_SHA256
TLS_DHE_DSS_WITH_AES_256_GCM_SHA384
TLS_DHE_RSA_WITH_AES_256_GCM_SHA384
TLS_ECDH_RSA_WITH_AES_256_GCM_SHA384
TLS_ECDH_RSA_WITH_AES_128_GCM_SHA256
TLS_DHE_RSA_WITH_AES_128_GCM_SHA256
TLS_DHE_DSS_WITH_AES_128_GCM_SHA256
TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA384
TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA256
TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA384
TLS_DHE_DSS_WITH_AES_256_CBC_SHA256
TLS_RSA_WITH_AES_256_CBC_SHA256
TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384
TLS_ECDH_RSA_WITH_AES_256_CBC_SHA384
TLS_DHE_RSA_WITH_AES_256_CBC_SHA256
TLS_DHE_RSA_WITH_AES_128_CBC_SHA256
TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA256
TLS_RSA_WITH_AES_128_CBC_SHA256
TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA256
TLS_ECDH_RSA_WITH_AES_128_CBC_SHA256
TLS_DHE_DSS_WITH_AES_128_CBC_SHA256
TLS_RSA_WITH_AES_256_CBC_SHA
TLS_ECDHE_ECDSA_WITH_AES_256_CBC_SHA
TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA
TLS_ECDH_ECDSA_WITH_AES_256_CBC_SHA
TLS_DHE_RSA_WITH_AES_256_CBC_SHA
TLS_ECDH_RSA_WITH_AES_256_CBC_SHA
TLS_DHE_DSS_WITH_AES_256_CBC_SHA
TLS_RSA_WITH_AES_128_CBC_SHA
TLS_ECDHE_RSA_WITH_AES_128_CBC_SHA
TLS_ECDHE_ECDSA_WITH_AES_128_CBC_SHA
TLS_ECDH_ECDSA_WITH_AES_128_CBC_SHA
TLS_ECDH_RSA_WITH_AES_128_CBC_SHA
TLS_DHE_RSA_WITH_AES_128_CBC_SHA
TLS_DHE_DSS_WITH_AES_128_CBC_SHA
TLS_ECDHE_ECDSA_WITH_3DES_EDE_CBC_SHA
TLS_ECDHE_RSA_WITH_3DES_EDE_CBC_SHA
TLS_ECDH_ECDSA_WITH_3DES_EDE_CBC_SHA
TLS_ECDH_RSA_WITH_3DES_EDE_CBC_SHA
TLS_DHE_RSA_WITH_3DES_EDE_CBC_SHA
TLS_DHE_DSS_WITH_3DES_EDE_CBC_SHA
TLS_RSA_WITH_3DES_EDE_CBC_SHA
TLS_RSA_WITH_DES_CBC_SHA
TLS_DHE_RSA_WITH_DES_CBC_SHA
TLS_DHE_DSS_WITH_DES_CBC_SHA
TLS_RSA_WITH_RC4_128_MD5
TLS_RSA_WITH_RC4_128_SHA
TLS_AES_256_GCM_SHA384
TLS_CHACHA20_POLY1305_SHA256
TLS_AES_128_GCM_SHA256
`
  .trim()
  .split("\n")

describe("cipher suites", () => {
  it("each documented one has a number, an OpenSSL name and a strength", () => {
    assert.strictEqual(documented.length, 57)
    for (const name of documented) {
      const suite = CipherSuites.fromName(name)
      assert.strictEqual(suite?.name, name)
      assert.strictEqual(CipherSuites.fromId(suite!.id), suite)
      assert.strictEqual(CipherSuites.fromName(suite!.opensslName.toLowerCase()), suite)
      const bits = /3DES/.test(name) ? 168 : /_DES_/.test(name) ? 56 : /AES_256|CHACHA/.test(name) ? 256 : 128
      assert.strictEqual(suite!.bits, bits, name)
    }
  })

  it("are as openssl lists them", () => {
    const lines = openssl("ciphers", "-V", "-stdname", "ALL:COMPLEMENTOFALL:eNULL:@SECLEVEL=0").trim().split("\n")
    assert.isAbove(lines.length, 100)
    for (const line of lines) {
      const match = /0x(..),0x(..) - (\S+) +- (\S+) .* Enc=(\S+)/.exec(line)!
      const [, high, low, name, opensslName, encryption] = match
      const suite = CipherSuites.fromId(Number.parseInt(`${high}${low}`, 16))
      assert.strictEqual(suite?.name, name)
      assert.strictEqual(suite?.opensslName, opensslName)
      assert.strictEqual(suite?.bits, Number(/\((\d+)\)/.exec(encryption!)?.[1] ?? 0), line)
    }
  })

  it("each that this Node speaks is in the table", () => {
    for (const name of tls.getCiphers()) assert.isDefined(CipherSuites.fromName(name), name)
  })

  it("have each number and name once", () => {
    const numbers = CipherSuites.all.map(({ id }) => id)
    assert.deepStrictEqual(
      numbers,
      [...new Set(numbers)].toSorted((a, b) => a - b)
    )
    assert.strictEqual(new Set(CipherSuites.all.map(({ name }) => name)).size, numbers.length)
    assert.strictEqual(new Set(CipherSuites.all.map(({ opensslName }) => opensslName)).size, numbers.length)
  })

  it("signals, GREASE and unknown numbers have a name to show", () => {
    assert.strictEqual(CipherSuites.nameOf(0xff), "TLS_EMPTY_RENEGOTIATION_INFO_SCSV")
    assert.strictEqual(CipherSuites.nameOf(0x0a0a), "0x0A0A")
    for (let i = 0; i < 16; i++) assert.isTrue(CipherSuites.isGrease(i * 0x1010 + 0x0a0a))
    for (const id of [0x0a1a, 0x1301, 0x0a0b]) assert.isFalse(CipherSuites.isGrease(id))
  })
})

describe("signature schemes", () => {
  it("each documented one is known, by its name for TLS 1.2 and for TLS 1.3", () => {
    for (const hash of ["sha512", "sha384", "sha256", "sha224", "sha1"]) {
      for (const kind of ["ecdsa", "rsa", "dsa"]) {
        const [scheme, ...others] = SignatureSchemes.fromName(`${hash}-${kind}`)
        assert.strictEqual(scheme?.tls12Name, `${hash}-${kind}`)
        assert.deepStrictEqual(others, [])
        assert.strictEqual(SignatureSchemes.fromName(`${kind}+${hash}`)[0], scheme)
      }
    }
    const tls13 =
      "rsa_pss_sha256,rsa_pss_sha384,rsa_pss_sha512,rsa_pkcs1_sha256,rsa_pkcs1_sha384,rsa_pkcs1_sha512,ecdsa_secp256r1_sha256,ecdsa_secp384r1_sha384,ecdsa_secp521r1_sha512,ed25519,ed448"
    for (const name of tls13.split(",")) {
      const schemes = SignatureSchemes.fromName(name)
      assert.strictEqual(schemes.length, name.startsWith("rsa_pss") ? 2 : 1, name)
      for (const scheme of schemes) assert.strictEqual(scheme.tls13Name, name)
    }
    assert.deepStrictEqual(SignatureSchemes.fromName("sha3-rsa"), [])
  })

  it("OpenSSL takes the names of all documented ones", () => {
    const documentedSchemes = SignatureSchemes.all.filter(
      (it) => it.tls12Name !== undefined || it.tls13Name !== undefined
    )
    for (const { opensslName } of documentedSchemes) tls.createSecureContext({ sigalgs: opensslName })
  })
})

describe("groups", () => {
  it("each documented one is known, and OpenSSL takes its name", () => {
    const names =
      "ecdhe_x25519,ecdhe_x448,ecdhe_secp256r1,ecdhe_secp384r1,ecdhe_secp521r1,ffdhe_2048,ffdhe_3072,ffdhe_4096,ffdhe_6144,ffdhe_8192"
    for (const name of names.split(",")) {
      const group = Groups.fromName(name)
      assert.strictEqual(group?.documentedName, name)
      assert.strictEqual(Groups.fromName(group!.opensslName), group)
      assert.strictEqual(Groups.fromId(group!.id), group)
      tls.createSecureContext({ ecdhCurve: group!.opensslName })
    }
    assert.strictEqual(Groups.fromName("prime256v1"), Groups.fromName("P-256"))
    assert.strictEqual(Groups.nameOf(0x0a0a), "0x0A0A")
  })
})
