/**
 * The settings of what TLS speaks: versions, cipher suites, groups, signatures, sessions and chains, as clients see them.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import type { ConnectionOptions, TLSSocket } from "node:tls"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { chain, text, write } from "../tls/openssl.ts"
import { both, failureOf, hear, listen, listenNoMore, thrownBy, until } from "./component.ts"
import { local, pem, Secured } from "./securing.ts"

const rsa = () => pem("rsa", { ...local, kind: "rsa2048" })

/** A client of one version alone. */
const only = (version: "TLSv1" | "TLSv1.1" | "TLSv1.2" | "TLSv1.3"): ConnectionOptions => ({
  minVersion: version,
  maxVersion: version,
  ...(version < "TLSv1.2" && { ciphers: "DEFAULT:@SECLEVEL=0" })
})

const cipherOf = ({ socket }: { readonly socket: TLSSocket }): string => socket.getCipher().standardName

describe.each(both)("%s", (_, make) => {
  const start = (...config: ReadonlyArray<string>) => Secured.start(make, { config })
  const startRsa = (...config: ReadonlyArray<string>) => Secured.start(make, { certificate: rsa(), config })

  it.each([
    ["TLS 1.2 alone", undefined, ["TLSv1.2"]],
    ["TLS 1.3 alone", 12288, ["TLSv1.3"]],
    ["TLS 1.2 and 1.3", 15360, ["TLSv1.2", "TLSv1.3"]],
    ["TLS 1.0 to 1.2", 4032, ["TLSv1", "TLSv1.1", "TLSv1.2"]],
    ["a hole", 12288 + 768, ["TLSv1.1", "TLSv1.3"]],
    ["one bit is enough", 0x2000, ["TLSv1.3"]]
  ] as const)("SSLEnabledProtocols: %s (%s)", async (_, mask, spoken) => {
    await using secured = await start(...(mask === undefined ? [] : [`SSLEnabledProtocols=${mask}`]))
    assert.strictEqual(secured.component.config("SSLEnabledProtocols"), String(mask ?? 3072))
    for (const version of ["TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"] as const) {
      const expected = (spoken as ReadonlyArray<string>).includes(version)
      assert.strictEqual((await secured.refusal(only(version))) === "", expected, version)
      if (!expected) continue
      await using client = await secured.tls(only(version))
      assert.strictEqual(client.socket.getProtocol(), version)
    }
  })

  it("SSLEnabledProtocols: what is set while it listens is for the next time", async () => {
    await using secured = await start()
    secured.component.config("SSLEnabledProtocols=12288")
    assert.strictEqual(await secured.refusal(only("TLSv1.2")), "")
    await listenNoMore(secured.component)
    await listen(secured.component)
    assert.notStrictEqual(await secured.refusal(only("TLSv1.2")), "")
    assert.strictEqual(await secured.refusal(only("TLSv1.3")), "")
  })

  it("SSLEnabledCipherSuites: those that are named alone, by their registered names", async () => {
    const names = "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384;TLS_RSA_WITH_RC4_128_MD5; CALG_AES_256"
    await using secured = await start(`SSLEnabledCipherSuites=${names}`)
    await using client = await secured.tls()
    assert.strictEqual(cipherOf(client), "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384")
    assert.notStrictEqual(await secured.refusal({ ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }), "")
  })

  it("SSLEnabledCipherSuites: * is all, and the names of Windows alone say nothing", async () => {
    for (const setting of ["*", "CALG_AES_256;CALG_3DES", "CALG_AES_128;*"]) {
      await using secured = await start(`SSLEnabledCipherSuites=${setting}`)
      for (const cipher of ["ECDHE-ECDSA-AES128-GCM-SHA256", "ECDHE-ECDSA-AES256-SHA384"]) {
        assert.strictEqual(await secured.refusal({ ciphers: cipher }), "", `${setting} ${cipher}`)
      }
    }
  })

  it("SSLEnabledCipherSuites: of TLS 1.3", async () => {
    await using secured = await start(
      "SSLEnabledProtocols=12288",
      "SSLEnabledCipherSuites=TLS_CHACHA20_POLY1305_SHA256"
    )
    await using client = await secured.tls()
    assert.strictEqual(cipherOf(client), "TLS_CHACHA20_POLY1305_SHA256")
    assert.notStrictEqual(await secured.refusal({ ciphers: "TLS_AES_128_GCM_SHA256" }), "")
  })

  it("SSLCipherStrength: no weaker cipher is agreed on", async () => {
    const weak = { ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }
    await using strict = await start("SSLCipherStrength=256")
    assert.notStrictEqual(await strict.refusal(weak), "")
    await using client = await strict.tls()
    assert.match(cipherOf(client), /AES_256|CHACHA20/)
    await using lenient = await start("SSLCipherStrength=128")
    assert.strictEqual(await lenient.refusal(weak), "")
  })

  it("270, SSLCipherStrength: nothing that is enabled is strong enough", async () => {
    const error = await failureOf(
      start("SSLCipherStrength=256", "SSLEnabledCipherSuites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256")
    )
    assert.strictEqual(error.code, 270)
  })

  it("TLS12SupportedGroups: groups of TLS 1.2", async () => {
    await using secured = await startRsa("TLS12SupportedGroups=ecdhe_secp384r1, ecdhe_secp521r1")
    assert.match(
      await secured.sClient("-tls1_2", "-curves", "P-256:P-384"),
      /Server Temp Key: ECDH, (P-384|secp384r1), 384 bits/
    )
    assert.match(
      await secured.sClient("-tls1_2", "-curves", "P-521"),
      /Server Temp Key: ECDH, (P-521|secp521r1), 521 bits/
    )
    assert.notMatch(await secured.sClient("-tls1_2", "-curves", "P-256", "-cipher", "ECDHE"), /Server Temp Key/)
  })

  it("TLS12SupportedGroups: set to its default it holds; as long as it is not set others are spoken too", async () => {
    const others = ["-tls1_2", "-curves", "X25519", "-cipher", "ECDHE"]
    await using free = await startRsa()
    assert.match(await free.sClient(...others), /Server Temp Key: X25519/)
    for (const names of [free.component.config("TLS12SupportedGroups"), "ecdhe_secp256r1, ecdhe_secp384r1"]) {
      await using secured = await startRsa(`TLS12SupportedGroups=${names}`)
      assert.notMatch(await secured.sClient(...others), /Server Temp Key/)
      assert.match(await secured.sClient("-tls1_2", "-curves", "P-256", "-cipher", "ECDHE"), /Server Temp Key/)
    }
  })

  it("TLS13SupportedGroups: groups of TLS 1.3", async () => {
    await using secured = await start("SSLEnabledProtocols=12288", "TLS13SupportedGroups=ecdhe_x448,ffdhe_3072")
    assert.match(await secured.sClient("-groups", "X25519:X448"), /Server Temp Key: X448, 448 bits/)
    assert.match(await secured.sClient("-groups", "ffdhe3072"), /Server Temp Key: DH, 3072 bits/)
    assert.notStrictEqual(await secured.refusal({ ecdhCurve: "X25519" }), "")
  })

  it("TLS12SignatureAlgorithms: signatures of TLS 1.2", async () => {
    await using secured = await startRsa("TLS12SignatureAlgorithms=sha512-rsa,sha384-rsa,sha256-dsa")
    const signed = (...args: ReadonlyArray<string>) => secured.sClient("-tls1_2", ...args)
    const all = await signed("-sigalgs", "RSA+SHA256:RSA+SHA384:RSA+SHA512")
    assert.match(all, /Peer signing digest: SHA(512|384)/)
    assert.match(await signed("-sigalgs", "RSA+SHA384"), /Peer signing digest: SHA384/)
    assert.notMatch(await signed("-sigalgs", "RSA+SHA256", "-cipher", "ECDHE"), /Peer signing digest/)
    // none is not to restrict them
    await using free = await startRsa("TLS12SignatureAlgorithms=")
    assert.match(await free.sClient("-tls1_2", "-sigalgs", "RSA+SHA256"), /Peer signing digest: SHA256/)
  })

  it("TLS13SignatureAlgorithms: signatures of TLS 1.3", async () => {
    await using secured = await startRsa("SSLEnabledProtocols=12288", "TLS13SignatureAlgorithms=rsa_pss_sha512")
    assert.match(await secured.sClient("-sigalgs", "rsa_pss_rsae_sha256:rsa_pss_rsae_sha512"), /digest: SHA512/)
    assert.notMatch(await secured.sClient("-sigalgs", "rsa_pss_rsae_sha256"), /Peer signing digest/)
  })

  it.each([
    ["3072", "-tls1_2"],
    ["12288", "-tls1_3"]
  ] as const)(
    "ReuseSSLSession: sessions are resumed, unless it is off (SSLEnabledProtocols=%s)",
    async (mask, flag) => {
      for (const isOn of [true, false]) {
        await using secured = await start(`SSLEnabledProtocols=${mask}`, `ReuseSSLSession=${isOn}`)
        const version = flag === "-tls1_2" ? only("TLSv1.2") : only("TLSv1.3")
        await using first = await secured.tls(version)
        const given = new Promise<Buffer>((resolve) => first.socket.once("session", resolve))
        assert.strictEqual(await first.fate, "")
        const session = flag === "-tls1_2" ? first.socket.getSession() : isOn ? await given : first.socket.getSession()
        await using second = await secured.tls({ ...version, session: session! })
        assert.strictEqual(second.socket.isSessionReused(), isOn)
        assert.strictEqual(await second.fate, "")
      }
    }
  )
})

describe("WSServer", () => {
  const start = (...config: ReadonlyArray<string>) => Secured.start(() => new WSServer(), { config })

  it("PreferredDHGroupBits: the group of DHE suites", async () => {
    for (const [setting, bits] of [
      [undefined, 2048],
      ["3072", 3072],
      ["3000", 3072],
      ["4096", 4096],
      ["16384", 8192]
    ] as const) {
      await using secured = await Secured.start(() => new WSServer(), {
        certificate: rsa(),
        config: setting === undefined ? [] : [`PreferredDHGroupBits=${setting}`]
      })
      const printed = await secured.sClient("-tls1_2", "-cipher", "DHE-RSA-AES128-GCM-SHA256")
      assert.include(printed, `Server Temp Key: DH, ${bits} bits`)
    }
  })

  it("SSLKeyLogFile: the secrets of each session are appended", async () => {
    const file = write("keys.log", "# what was there\n")
    await using secured = await start(`SSLKeyLogFile=${file}`)
    for (const count of [1, 2]) {
      await using client = await secured.tls()
      assert.strictEqual(await client.fate, "")
      const lines = await until("the secrets", () => {
        const found = readFileSync(file, "utf8").match(/^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$/gm) ?? []
        return found.length >= count && found
      })
      assert.strictEqual(lines.length, count)
    }
    assert.isTrue(readFileSync(file, "utf8").startsWith("# what was there\n"))
  })

  it("SSLKeyLogFile, Log.Message: one that cannot be written is told in one sentence, and TLS is spoken all the same", async () => {
    const errors: Array<string> = []
    await using secured = await Secured.start(() => new WSServer(), {
      config: ["SSLKeyLogFile=/no/such/folder/keys"],
      on: (component) => hear(component, "Log", (e) => e.logType === "Error" && errors.push(e.message))
    })
    await using client = await secured.tls()
    assert.strictEqual(await client.fate, "")
    const line = await until("the line", () => errors[0])
    assert.match(line, /^The TLS key log file "\/no\/such\/folder\/keys" cannot be written: Error: ENOENT/)
  })

  it("SSLCACerts: on the server they are sent with its certificate", async () => {
    chain()
    const file = write("leaf.pem", text("leaf.key") + text("leaf.crt"))
    const trusting = { ca: text("root.crt"), servername: "localhost" }
    const isTrusted = async (...config: ReadonlyArray<string>) => {
      await using secured = await Secured.start(() => new WSServer(), { certificate: file, config })
      await using client = await secured.tls(trusting)
      return client.socket.authorized
    }
    assert.isFalse(await isTrusted())
    assert.isTrue(await isTrusted(`SSLCACerts=${text("middle.crt")}`))
    assert.isTrue(await isTrusted(`SSLCACerts=${text("middle.crt")}\r \n${text("root.crt")}`))
    const error = await failureOf(isTrusted("SSLCACerts=nothing"))
    assert.strictEqual(error.code, 271)
  })

  it("SSLNegotiatedCipher, SSLNegotiatedCipherStrength, SSLNegotiatedCipherSuite, SSLNegotiatedKeyExchange, SSLNegotiatedKeyExchangeStrength, SSLNegotiatedVersion: what a connection agreed on", async () => {
    await using secured = await start("SSLEnabledProtocols=15360", "TLS13SupportedGroups=ecdhe_x25519,ecdhe_secp384r1")
    const negotiated = async (options: ConnectionOptions) => {
      const { connections } = secured.component
      const known = new Set(connections.keys())
      await using client = await secured.wss({ ...(options as object) })
      const id = await until("the connection", () => [...connections.keys()].find((id) => !known.has(id)))
      assert.strictEqual(client.socket.readyState, client.socket.OPEN)
      return ["Cipher", "CipherStrength", "CipherSuite", "KeyExchange", "KeyExchangeStrength", "Version"].map((name) =>
        secured.component.config(`SSLNegotiated${name}[${id}]`)
      )
    }
    assert.deepStrictEqual(
      await negotiated({ maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES256-GCM-SHA384", ecdhCurve: "P-256:P-384" }),
      ["ECDHE-ECDSA-AES256-GCM-SHA384", "256", "TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384", "ECDHE", "384", "TLSv1.2"]
    )
    assert.deepStrictEqual(await negotiated({ ciphers: "TLS_AES_128_GCM_SHA256", ecdhCurve: "X25519" }), [
      "TLS_AES_128_GCM_SHA256",
      "128",
      "TLS_AES_128_GCM_SHA256",
      "X25519",
      "253",
      "TLSv1.3"
    ])
    assert.strictEqual(thrownBy(() => secured.component.config("SSLNegotiatedVersion[nobody]")).code, 126)
  })
})

describe("WebSocketProxy", () => {
  it("OpenSSLCipherList: ciphers as OpenSSL writes them, before those of SSLEnabledCipherSuites", async () => {
    await using secured = await Secured.start(() => new WebSocketProxy(), {
      config: [
        "OpenSSLCipherList=ECDHE+AES256:!SHA1:!SHA384",
        "SSLEnabledCipherSuites=TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256"
      ]
    })
    await using client = await secured.tls()
    assert.match(cipherOf(client), /AES_256_(GCM|CCM)/)
    assert.notStrictEqual(await secured.refusal({ ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256" }), "")
  })

  it("270, OpenSSLCipherList: the strength of what it names is not known", async () => {
    const config = ["OpenSSLCipherList=ECDHE+AESGCM", "SSLCipherStrength=256"]
    const failure = await failureOf(Secured.start(() => new WebSocketProxy(), { config }))
    assert.strictEqual(failure.code, 270)
    assert.match(failure.message, /OpenSSLCipherList: SSLCipherStrength cannot be kept with it/)
  })

  it("270, OpenSSLCipherList: there is no such cipher", async () => {
    const config = ["OpenSSLCipherList=NO-SUCH-CIPHER"]
    assert.strictEqual((await failureOf(Secured.start(() => new WebSocketProxy(), { config }))).code, 270)
  })
})
