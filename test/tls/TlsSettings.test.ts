import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { constants, X509Certificate } from "node:crypto"
import type { AddressInfo } from "node:net"
import * as tls from "node:tls"
import * as CertificateStore from "../../src/tls/CertificateStore.ts"
import * as TlsSettings from "../../src/tls/TlsSettings.ts"
import { certificate, chain, path, text, write } from "./openssl.ts"

const make = (options: TlsSettings.Options) => Result.getOrThrow(TlsSettings.make(options))
const failure = (options: TlsSettings.Options) => Result.getOrThrow(Result.flip(TlsSettings.make(options)))

interface Handshake {
  readonly protocol: string | null
  readonly cipher: string
  readonly group: string | undefined
  readonly alpn: string | false | null
  readonly chain: ReadonlyArray<string>
  readonly resumed: boolean
}

const load = (name: string) =>
  CertificateStore.load({ type: 7, store: text(`${name}.key`) + text(`${name}.crt`) + text("chain.pem") })

/** Shakes hands with a server under the settings; a failed handshake is a rejection. */
const shake = Effect.fnUntraced(function* (
  options: TlsSettings.Options,
  client: tls.ConnectionOptions = {},
  name = "leaf"
) {
  chain()
  const { secureContext, socket } = make(options)
  const served = yield* load(name)
  const server = tls.createServer({ ...TlsSettings.identity(served), ...secureContext, ...socket }, (socket) => {
    socket.on("error", () => {})
    socket.end("x")
  })
  server.on("tlsClientError", () => {})
  yield* Effect.acquireRelease(
    Effect.callback<void>((resume) => {
      server.listen(0, "127.0.0.1", () => resume(Effect.void))
    }),
    () => Effect.sync(() => server.close())
  )
  return yield* Effect.tryPromise(
    () =>
      new Promise<Handshake>((resolve, reject) => {
        // a TCP server's address is one of IP
        const { port } = server.address() as AddressInfo
        const socket = tls.connect({ host: "127.0.0.1", port, rejectUnauthorized: false, ...client })
        socket.on("error", reject)
        socket.resume()
        socket.on("end", () => {
          const key = socket.getEphemeralKeyInfo()
          const names: Array<string> = []
          let at: tls.DetailedPeerCertificate | undefined = socket.getPeerCertificate(true)
          for (let i = 0; at !== undefined && i < 5; i++) {
            names.push([at.subject.CN].flat()[0]!)
            at = at.issuerCertificate === at ? undefined : at.issuerCertificate
          }
          resolve({
            protocol: socket.getProtocol(),
            cipher: socket.getCipher().standardName,
            group: key !== null && "name" in key ? key.name : undefined,
            alpn: socket.alpnProtocol,
            chain: names,
            resumed: socket.isSessionReused()
          })
          socket.destroy()
        })
      })
  )
})

describe("TlsSettings", () => {
  it("by themselves are Node's defaults", () => {
    const { keyLogFile, secureContext, socket, unavailable } = make({})
    assert.deepStrictEqual(secureContext, { minVersion: "TLSv1.2", maxVersion: "TLSv1.3" })
    assert.deepStrictEqual([socket, keyLogFile, unavailable], [{}, undefined, []])
    tls.createSecureContext(secureContext)
  })

  it.effect("versions are those that are negotiated", () =>
    Effect.gen(function* () {
      assert.strictEqual((yield* shake({})).protocol, "TLSv1.3")
      assert.strictEqual((yield* shake({ maxVersion: "TLSv1.2" })).protocol, "TLSv1.2")
      assert.strictEqual((yield* shake({ minVersion: "TLSv1.3" })).protocol, "TLSv1.3")
      yield* Effect.flip(shake({ minVersion: "TLSv1.3" }, { maxVersion: "TLSv1.2" }))
      yield* Effect.flip(shake({ maxVersion: "TLSv1.2" }, { minVersion: "TLSv1.3" }))
    })
  )

  it.effect("TLS 1.0 and 1.1 can be asked for", () =>
    Effect.gen(function* () {
      for (const version of ["TLSv1", "TLSv1.1"] as const) {
        const client = { minVersion: version, maxVersion: version, ciphers: "DEFAULT:@SECLEVEL=0" }
        assert.strictEqual((yield* shake({ minVersion: "TLSv1" }, client)).protocol, version)
        assert.strictEqual((yield* shake({ maxVersion: version }, client)).protocol, version)
        yield* Effect.flip(shake({}, client))
      }
    })
  )

  it.effect("also with a cipher list of OpenSSL, unless that says how much is enough", () =>
    Effect.gen(function* () {
      const client = { minVersion: "TLSv1", maxVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" } as const
      const list = { minVersion: "TLSv1", cipherList: "ECDHE:!aNULL" } as const
      assert.strictEqual((yield* shake(list, client)).protocol, "TLSv1")
      yield* Effect.flip(shake({ ...list, cipherList: "ECDHE:!aNULL:@SECLEVEL=2" }, client))
    })
  )

  it("a cipher list of OpenSSL stands alone, and is for TLS up to 1.2", () => {
    const cipherList = "ECDHE+AESGCM"
    for (const other of [{ cipherSuites: ["TLS_AES_128_GCM_SHA256"] }, { minCipherStrength: 256 }] as const) {
      const error = failure({ cipherList, ...other })
      assert.deepStrictEqual([error.kind, error.setting], ["Contradiction", "cipherList"])
      assert.include(error.message, `got both`)
    }
    assert.strictEqual(make({ cipherList, minCipherStrength: 0 }).secureContext.ciphers, cipherList)
    const late = make({ cipherList, minVersion: "TLSv1.3" })
    assert.deepStrictEqual([late.secureContext.ciphers, late.unavailable], [undefined, [cipherList]])
    const both = `${cipherList}:TLS_AES_128_GCM_SHA256`
    assert.strictEqual(make({ cipherList: both, minVersion: "TLSv1.3" }).secureContext.ciphers, both)
    assert.strictEqual(failure({ cipherList: "NO-SUCH-CIPHER" }).kind, "NothingLeft")
    // of suites of TLS 1.3 alone
    const { secureContext } = make({ cipherList: "TLS_AES_128_GCM_SHA256", minVersion: "TLSv1" })
    assert.deepStrictEqual([secureContext.minVersion, secureContext.maxVersion], ["TLSv1.3", "TLSv1.3"])
    assert.doesNotThrow(() => tls.createSecureContext(secureContext))
    assert.strictEqual(failure({ cipherList: "TLS_AES_128_GCM_SHA256", maxVersion: "TLSv1.2" }).kind, "NothingLeft")
  })

  it("suites are for the versions that are left", () => {
    const [tls12, tls13, old] = ["ECDHE-RSA-AES128-GCM-SHA256", "TLS_AES_128_GCM_SHA256", "ECDHE-RSA-AES128-SHA"]
    for (const [minVersion, excluded, suite] of [
      ["TLSv1.2", "TLSv1.2", tls12],
      ["TLSv1.2", "TLSv1.3", tls13],
      ["TLSv1", "TLSv1.2", tls12]
    ] as const) {
      const it = failure({ minVersion, excludedVersions: [excluded], cipherSuites: [suite!] })
      assert.strictEqual(it.kind, "NothingLeft", `${suite} without ${excluded}`)
    }
    const versionsOf = (options: TlsSettings.Options) => {
      const { maxVersion, minVersion, secureOptions = 0 } = make({ minVersion: "TLSv1", ...options }).secureContext
      return [minVersion, maxVersion, secureOptions]
    }
    assert.deepStrictEqual(versionsOf({ cipherSuites: [tls12!] }), ["TLSv1.2", "TLSv1.2", 0])
    assert.deepStrictEqual(versionsOf({ cipherSuites: [old!] }), ["TLSv1", "TLSv1.2", 0])
    assert.deepStrictEqual(versionsOf({ cipherSuites: [old!, tls13!] }), ["TLSv1", "TLSv1.3", 0])
    const without = constants.SSL_OP_NO_TLSv1_1 | constants.SSL_OP_NO_TLSv1_2
    assert.deepStrictEqual(versionsOf({ excludedVersions: ["TLSv1.1", "TLSv1.2"] }), ["TLSv1", "TLSv1.3", without])
    assert.deepStrictEqual(versionsOf({ excludedVersions: ["TLSv1", "TLSv1.3"] }), ["TLSv1.1", "TLSv1.2", 0])
  })

  it("a group of DHE has no more bits than the largest", () => {
    assert.include(make({ dhGroupBits: 8192 }).secureContext.dhparam, "DH PARAMETERS")
    for (const dhGroupBits of [8193, 0, -1, Number.NaN, Infinity]) {
      const error = failure({ dhGroupBits })
      assert.deepStrictEqual([error.kind, error.setting], ["OutOfRange", "dhGroupBits"])
      assert.strictEqual(error.message, `expected from 1 to 8192 bits, got ${dhGroupBits}`)
    }
  })

  it("versions in the wrong order are an error", () => {
    const error = failure({ minVersion: "TLSv1.3", maxVersion: "TLSv1.2" })
    assert.strictEqual(error.kind, "InvalidVersions")
    assert.match(error.message, /expected a maxVersion from TLSv1.3 up, got TLSv1.2/)
  })

  it.effect("versions between can be left out", () =>
    Effect.gen(function* () {
      const excludedVersions = ["TLSv1.2"] as const
      const tls10 = { maxVersion: "TLSv1", minVersion: "TLSv1", ciphers: "DEFAULT:@SECLEVEL=0" } as const
      assert.strictEqual((yield* shake({ minVersion: "TLSv1", excludedVersions }, tls10)).protocol, "TLSv1")
      assert.strictEqual((yield* shake({ minVersion: "TLSv1", excludedVersions })).protocol, "TLSv1.3")
      yield* Effect.flip(shake({ minVersion: "TLSv1", excludedVersions }, { maxVersion: "TLSv1.2" }))
      assert.strictEqual(failure({ maxVersion: "TLSv1.2", excludedVersions }).kind, "InvalidVersions")
    })
  )

  it.effect("cipher suites by both names are the ones that are negotiated", () =>
    Effect.gen(function* () {
      for (const name of ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE-ECDSA-AES256-GCM-SHA384"]) {
        const it = yield* shake({ maxVersion: "TLSv1.2", cipherSuites: [name] })
        assert.strictEqual(it.cipher, "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
      }
      const tls13 = yield* shake({ cipherSuites: ["TLS_CHACHA20_POLY1305_SHA256"] })
      assert.strictEqual(tls13.cipher, "TLS_CHACHA20_POLY1305_SHA256")
      // suites of TLS 1.2 alone: TLS 1.3 has none left, and 1.2 it is
      const tls12 = yield* shake({ cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"] })
      assert.deepStrictEqual([tls12.protocol, tls12.cipher], ["TLSv1.2", "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"])
      // and the other way round
      yield* Effect.flip(shake({ cipherSuites: ["TLS_AES_128_GCM_SHA256"] }, { maxVersion: "TLSv1.2" }))
      // the server's order counts
      const order = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"] as const
      assert.strictEqual((yield* shake({ cipherSuites: order })).cipher, order[0])
      assert.strictEqual((yield* shake({ cipherSuites: order.toReversed() })).cipher, order[1])
    })
  )

  it.effect("* stands for all, and a minimum of strength picks among them", () =>
    Effect.gen(function* () {
      const { secureContext } = make({ cipherSuites: ["*"] })
      assert.notMatch(secureContext.ciphers!, /PSK|SRP|NULL|ADH/)
      tls.createSecureContext(secureContext)
      const client = { ciphers: "TLS_AES_128_GCM_SHA256:TLS_AES_256_GCM_SHA384" }
      for (const minCipherStrength of [129, 256]) {
        assert.strictEqual((yield* shake({ minCipherStrength }, client)).cipher, "TLS_AES_256_GCM_SHA384")
        yield* Effect.flip(shake({ minCipherStrength }, { ciphers: "TLS_AES_128_GCM_SHA256", minVersion: "TLSv1.3" }))
      }
      const suites = ["TLS_AES_128_GCM_SHA256", "TLS_AES_256_GCM_SHA384"] as const
      const some = make({ minCipherStrength: 256, cipherSuites: suites })
      assert.strictEqual(some.secureContext.ciphers, suites[1])
      assert.deepStrictEqual(some.unavailable, [suites[0]])
    })
  )

  it("a suite that nobody speaks any more is left out, and one that nobody knows is an error", () => {
    const it = make({ cipherSuites: ["TLS_RSA_WITH_DES_CBC_SHA", "TLS_AES_128_GCM_SHA256", "DHE-DSS-AES128-SHA"] })
    assert.strictEqual(it.secureContext.ciphers, "TLS_AES_128_GCM_SHA256")
    assert.deepStrictEqual(it.unavailable, ["TLS_RSA_WITH_DES_CBC_SHA", "TLS_DHE_DSS_WITH_AES_128_CBC_SHA"])
    const unknown = failure({ cipherSuites: ["TLS_AES_128_GCM_SHA256", "CALG_AES_256"] })
    assert.deepStrictEqual([unknown.kind, unknown.setting], ["UnknownName", "cipherSuites"])
    assert.match(unknown.message, /got "CALG_AES_256"/)
    for (const options of [
      { cipherSuites: ["TLS_RSA_WITH_DES_CBC_SHA"] },
      { cipherSuites: [] },
      { cipherSuites: ["TLS_AES_128_GCM_SHA256"], maxVersion: "TLSv1.2" },
      { cipherSuites: ["AES128-SHA"], minVersion: "TLSv1.3" },
      { minCipherStrength: 257 }
    ] as const) {
      assert.strictEqual(failure(options).kind, "NothingLeft", JSON.stringify(options))
    }
  })

  it.effect("groups by documented and other names are the ones that are negotiated", () =>
    Effect.gen(function* () {
      for (const [name, expected] of [
        ["ecdhe_x25519", "X25519"],
        ["ecdhe_x448", "X448"],
        ["ecdhe_secp256r1", "prime256v1"],
        ["secp384r1", "secp384r1"],
        ["P-521", "secp521r1"]
      ] as const) {
        const client = { ecdhCurve: "X25519:X448:P-256:P-384:P-521" }
        assert.strictEqual((yield* shake({ groups: [name] }, client)).group, expected)
        assert.strictEqual((yield* shake({ groups: [name], maxVersion: "TLSv1.2" }, client)).group, expected)
      }
      yield* shake({ groups: ["ffdhe_2048"] }, { ecdhCurve: "ffdhe2048" })
      yield* Effect.flip(shake({ groups: ["ffdhe_3072"] }, { ecdhCurve: "ffdhe2048" }))
    })
  )

  it.effect("signature algorithms limit what a server signs with", () =>
    Effect.gen(function* () {
      yield* shake({ signatureAlgorithms: ["sha256-ecdsa"] })
      yield* shake({ signatureAlgorithms: ["sha512-rsa", "ecdsa_secp256r1_sha256"] })
      yield* Effect.flip(shake({ signatureAlgorithms: ["sha256-rsa"] }))
      yield* shake({ signatureAlgorithms: ["rsa_pss_sha256"] }, {}, "middle")
      yield* Effect.flip(shake({ signatureAlgorithms: ["sha256-rsa"] }, {}, "middle"))
      yield* shake({ signatureAlgorithms: ["sha256-rsa"], maxVersion: "TLSv1.2" }, {}, "middle")
    })
  )

  it("all documented groups and algorithms together are taken", () => {
    const signatureAlgorithms =
      "sha512-ecdsa,sha512-rsa,sha512-dsa,sha384-ecdsa,sha384-rsa,sha384-dsa,sha256-ecdsa,sha256-rsa,sha256-dsa,sha224-ecdsa,sha224-rsa,sha224-dsa,sha1-ecdsa,sha1-rsa,sha1-dsa,rsa_pss_sha256,rsa_pkcs1_sha256,ecdsa_secp256r1_sha256,ed25519,ed448"
    const groups = "ecdhe_x25519,ecdhe_x448,ecdhe_secp256r1,ecdhe_secp384r1,ecdhe_secp521r1,ffdhe_2048,ffdhe_8192"
    const it = make({ signatureAlgorithms: signatureAlgorithms.split(","), groups: groups.split(",") })
    assert.deepStrictEqual(it.unavailable, [])
    assert.strictEqual(it.secureContext.ecdhCurve, "X25519:X448:P-256:P-384:P-521:ffdhe2048:ffdhe8192")
    const names = it.secureContext.sigalgs!.split(":")
    assert.strictEqual(names.length, new Set(names).size)
    assert.includeMembers(names, ["DSA+SHA256", "rsa_pkcs1_sha1", "rsa_pss_rsae_sha256", "rsa_pss_pss_sha256", "ed448"])
    tls.createSecureContext(it.secureContext)
  })

  it("unknown and empty lists of groups and algorithms are errors", () => {
    for (const setting of ["groups", "signatureAlgorithms"] as const) {
      const unknown = failure({ [setting]: ["nope"] })
      assert.deepStrictEqual([unknown.kind, unknown.setting], ["UnknownName", setting])
      assert.match(unknown.message, /expected names such as .*, got "nope"/)
      assert.strictEqual(failure({ [setting]: [] }).kind, "NothingLeft")
    }
  })

  it.effect("application protocols", () =>
    Effect.gen(function* () {
      const it = yield* shake({ alpnProtocols: ["h2", "http/1.1"] }, { ALPNProtocols: ["http/1.1", "h2"] })
      assert.strictEqual(it.alpn, "h2")
      for (const protocol of ["", "x".repeat(256), "ü".repeat(128)]) {
        assert.strictEqual(failure({ alpnProtocols: [protocol] }).kind, "InvalidProtocol")
      }
    })
  )

  it("session tickets can be turned off, and a key log file is passed on", () => {
    assert.strictEqual(make({ sessionTickets: false }).secureContext.secureOptions, constants.SSL_OP_NO_TICKET)
    assert.isUndefined(make({ sessionTickets: true }).secureContext.secureOptions)
    assert.strictEqual(make({ keyLogFile: "/x" }).keyLogFile, "/x")
  })

  it.effect("a certificate is presented with its chain, without the root", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual((yield* shake({})).chain, ["leaf", "middle"])
      const leaf = yield* load("leaf")
      assert.strictEqual(leaf.chainPem, text("leaf.crt") + text("middle.crt"))
      // and whoever trusts the root verifies it
      const trusted = { ca: text("root.crt"), rejectUnauthorized: true, servername: "localhost" }
      assert.strictEqual((yield* shake({}, trusted)).protocol, "TLSv1.3")
      assert.isTrue(new X509Certificate(text("leaf.crt")).verify(new X509Certificate(text("middle.crt")).publicKey))
    })
  )

  it.effect("certificates of every kind of key serve", () =>
    Effect.gen(function* () {
      chain()
      for (const kind of ["rsa2048", "rsapss", "p384", "p521", "ed25519", "ed448"] as const) {
        certificate(`serve-${kind}`, { kind })
        write(`serve-${kind}.pem`, text(`serve-${kind}.key`) + text(`serve-${kind}.crt`))
        const it = yield* CertificateStore.load({ type: 6, store: path(`serve-${kind}.pem`) })
        assert.isTrue(Result.isSuccess(CertificateStore.requirePrivateKey(it)))
        yield* shake({}, {}, `serve-${kind}`)
      }
    })
  )
})
