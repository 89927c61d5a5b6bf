/**
 * TLS of the components: which certificate is shown, from which store, and what is wrong with one that cannot be.
 */
import { assert, describe, it } from "@effect/vitest"
import { Certificate } from "../../src/component/Certificate.ts"
import { CertStoreTypes, WSServerSSLProviders } from "../../src/component/Enums.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { certificate, chain, path, read, text, write } from "../tls/openssl.ts"
import { both, connect, failureOf, until } from "./component.ts"
import { local, pem, pfx, Secured } from "./securing.ts"

const { cstPEMKeyBlob, cstPEMKeyFile, cstPFXBlob, cstPFXFile, cstPublicKeyFile } = CertStoreTypes

/** The server with a certificate. */
const showing = (sslCert: Certificate) =>
  Secured.start(() => Object.assign(new WSServer(), { sslCert }), { certificate: "" })

describe.each(both)("%s", (_, make) => {
  it("UseSSL: WebSockets over TLS alone, with the certificate that was set", async () => {
    await using secured = await Secured.start(make)
    await using client = await secured.wss({
      ca: text("server.crt"),
      rejectUnauthorized: true
    })
    if (secured.component instanceof WSServer) {
      const { component } = secured
      component.on("DataIn", (e) => component.sendText(e.connectionId, e.text))
    }
    client.socket.send("hello")
    assert.strictEqual(await until("the echo", () => client.messages[0]), "hello")
    await connect(secured.component).then(
      () => assert.fail("it speaks plaintext"),
      () => {}
    )
    assert.deepStrictEqual(await until("the error", () => secured.codes.length > 0 && secured.codes), [276])
  })

  it("UseSSL: whoever listens already goes on as it began", async () => {
    await using secured = await Secured.start(make)
    secured.component.useSSL = false
    await using client = await secured.wss()
    assert.isTrue(client.socket.readyState === client.socket.OPEN)
  })

  it("282: there is no certificate", async () => {
    const error = await failureOf(Secured.start(make, { certificate: "" }))
    assert.strictEqual(error.code, 282)
    assert.match(error.message, /^Could not find server certificate/)
  })

  it("270: what is to be spoken is unknown, or nothing of it is left", async () => {
    for (const setting of [
      "SSLEnabledCipherSuites=TLS_NO_SUCH_SUITE",
      "SSLEnabledCipherSuites=TLS_RSA_WITH_RC4_128_MD5",
      "SSLEnabledProtocols=0",
      "SSLEnabledProtocols=60",
      "TLS12SupportedGroups=ecdhe_no_such_curve",
      "TLS12SignatureAlgorithms=sha256-nothing"
    ]) {
      const error = await failureOf(Secured.start(make, { config: [setting] }))
      assert.strictEqual(error.code, 270, setting)
      assert.match(error.message, /^Cannot load specified security library\. .+/, setting)
    }
    for (const setting of ["TLS13SupportedGroups=x", "TLS13SignatureAlgorithms=x"]) {
      const error = await failureOf(Secured.start(make, { config: ["SSLEnabledProtocols=12288", setting] }))
      assert.strictEqual(error.code, 270, setting)
    }
    // and the port is free for another try
    await using secured = await Secured.start(make)
    await using client = await secured.wss()
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })
})

describe("WSServer", () => {
  it("SSLCert: PEM and PFX, of files and of bytes, by a constructor", async () => {
    const file = pem("server", local)
    const store = pfx("stored", "secret", { kind: "rsa2048" })
    const all: ReadonlyArray<readonly [Certificate, string]> = [
      [new Certificate(cstPEMKeyFile, file, "", "*"), "server"],
      [new Certificate(cstPEMKeyBlob, text("server.pem"), "", "CN=server"), "server"],
      [new Certificate(cstPFXFile, store, "secret", "*"), "stored"],
      [new Certificate(cstPFXBlob, read("stored.pfx"), "secret", "CN=stored"), "stored"],
      [new Certificate(cstPEMKeyFile, path("stored.key"), "", read("stored.crt")), "stored"]
    ]
    for (const [sslCert, name] of all) {
      await using secured = await showing(sslCert)
      await using client = await secured.tls()
      assert.strictEqual(client.shown, name)
      assert.strictEqual(secured.component.sslCert, sslCert)
      assert.strictEqual(secured.component.getSSLCert(), sslCert)
    }
  })

  it("SSLCert: by the fields of the certificate that is there, and by setSSLCert", async () => {
    const store = pfx("stored", "secret", { kind: "rsa2048" })
    const server = new WSServer()
    server.sslCert.storeType = cstPFXFile
    server.sslCert.store = store
    server.sslCert.storePassword = "secret"
    server.sslCert.subject = "CN=stored"
    await using secured = await Secured.start(() => server, { certificate: "" })
    {
      await using client = await secured.tls()
      assert.strictEqual(client.shown, "stored")
    }
    server.setSSLCert(new Certificate(cstPEMKeyFile, pem("server", local), "", "*"))
    await server.stopListening()
    await server.startListening()
    await using client = await secured.tls()
    assert.strictEqual(client.shown, "server")
  })

  it("SSLCert: the chain of its store is sent along", async () => {
    chain()
    write("full.pem", text("leaf.key") + text("leaf.crt") + text("middle.crt"))
    await using secured = await showing(new Certificate(cstPEMKeyFile, path("full.pem"), "", "CN=leaf"))
    await using client = await secured.tls({ ca: text("root.crt"), servername: "localhost", rejectUnauthorized: true })
    assert.isTrue(client.socket.authorized)
  })

  it("SSLCert: a key that is not there is looked for without harm to connections that are open", async () => {
    certificate("stored", { kind: "rsa2048" })
    await using secured = await Secured.start(() => new WSServer())
    const { component } = secured
    await using client = await secured.tls()
    // in a store with a key of another kind; OpenSSL would leave an error to be taken for one of the connection
    component.sslCert.encodedB = read("stored.crt")
    client.socket.write("\r\n")
    assert.strictEqual(component.sslCert.subject, "")
    assert.strictEqual(await client.fate, "")
    assert.deepStrictEqual(secured.errors, [])
  })

  it("271, 272, 273: the certificate cannot be had", async () => {
    certificate("server", local)
    certificate("stored", { kind: "rsa2048" })
    const codeOf = (f: () => Certificate) => {
      try {
        f()
      } catch (error) {
        return error instanceof Error && "code" in error ? error.code : error
      }
      return undefined
    }
    assert.strictEqual(
      codeOf(() => new Certificate(cstPEMKeyFile, path("no-such.pem"), "", "*")),
      271
    )
    assert.strictEqual(
      codeOf(() => new Certificate(cstPFXFile, pfx("stored", "secret"), "wrong", "*")),
      271
    )
    assert.strictEqual(
      codeOf(() => new Certificate(cstPEMKeyFile, pem("server", local), "", "CN=other")),
      272
    )
    // without a private key it can be shown, and cannot serve
    const shown = [new Certificate(path("server.crt")), new Certificate(cstPublicKeyFile, path("server.crt"), "", "*")]
    for (const sslCert of shown) {
      const error = await failureOf(showing(sslCert))
      assert.strictEqual(error.code, 273)
    }
    // nor with another's
    write("mixed.pem", text("stored.key") + text("server.crt"))
    const made = codeOf(() => new Certificate(cstPEMKeyFile, path("mixed.pem"), "", "*"))
    assert.strictEqual(
      made ?? (await failureOf(showing(new Certificate(cstPEMKeyFile, path("mixed.pem"), "", "*")))).code,
      273
    )
  })

  it("sslpAutomatic, sslpPlatform, sslpInternal: SSLConnectionRequest fires and packets are logged, but for the platform's", async () => {
    const { sslpAutomatic, sslpInternal, sslpPlatform } = WSServerSSLProviders
    for (const provider of [sslpAutomatic, sslpPlatform, sslpInternal]) {
      await using secured = await Secured.start(() => new WSServer(), {
        config: ["LogSSLPackets=True"],
        on: (component) => component instanceof WSServer && component.setSSLProvider(provider)
      })
      assert.strictEqual(secured.component.sslProvider, provider)
      await using client = await secured.wss()
      assert.strictEqual(client.socket.readyState, client.socket.OPEN)
      await until("the end of the handshake", () => secured.events.some((event) => event.startsWith("Connected")))
      const isInternal = provider !== sslpPlatform
      assert.strictEqual(
        secured.events.some((event) => event.startsWith("SSLConnectionRequest")),
        isInternal
      )
      assert.strictEqual(/TLS record/.test(secured.status), isInternal)
    }
  })
})

describe("WebSocketProxy", () => {
  const start = (set: (proxy: WebSocketProxy) => void) =>
    Secured.start(() => new WebSocketProxy(), {
      certificate: "",
      on: (component) => component instanceof WebSocketProxy && set(component)
    })

  it("SSLCertStoreType, SSLCertStore, SSLCertStorePassword, SSLCertSubject: as properties", async () => {
    const store = pfx("stored", "secret", { kind: "rsa2048" })
    await using secured = await start((proxy) => {
      proxy.sslCertStoreType = cstPFXFile
      proxy.sslCertStore = store
      proxy.sslCertStorePassword = "secret"
      proxy.sslCertSubject = "CN=stored"
    })
    await using client = await secured.tls()
    assert.strictEqual(client.shown, "stored")
    const { component: proxy } = secured
    assert.strictEqual(proxy.sslCertStoreType, cstPFXFile)
    assert.strictEqual(proxy.sslCertStore, store)
    assert.strictEqual(proxy.sslCertStorePassword, "secret")
    assert.include(proxy.sslCertSubject, "CN=stored")
  })

  it("SSLCertStoreType, SSLCertStore, SSLCertStorePassword, SSLCertSubject: as pairs of methods", async () => {
    const store = pfx("stored", "secret", { kind: "rsa2048" })
    await using secured = await start((proxy) => {
      proxy.setSSLCertStoreType(cstPFXFile)
      proxy.setSSLCertStore(store)
      proxy.setSSLCertStorePassword("secret")
      proxy.setSSLCertSubject("*")
    })
    await using client = await secured.tls()
    assert.strictEqual(client.shown, "stored")
    const { component: proxy } = secured
    assert.strictEqual(proxy.getSSLCertStoreType(), cstPFXFile)
    assert.strictEqual(proxy.getSSLCertStore(), store)
    assert.strictEqual(proxy.getSSLCertStorePassword(), "secret")
    assert.include(proxy.getSSLCertSubject(), "CN=stored")
    assert.strictEqual(proxy.getSSLCertEncoded(), text("stored.crt"))
  })

  it("SSLCertEncoded: the key of a certificate is looked for in the store", async () => {
    certificate("stored", { kind: "rsa2048" })
    const file = pem("server", local)
    for (const how of ["property", "method"]) {
      await using secured = await start((proxy) => {
        proxy.sslCertStoreType = cstPEMKeyFile
        proxy.sslCertStore = file
        if (how === "method") proxy.setSSLCertEncoded(text("server.crt"))
        else proxy.sslCertEncoded = text("server.crt")
      })
      await using client = await secured.tls()
      assert.strictEqual(client.shown, "server")
      assert.include(secured.component.sslCertSubject, "CN=server")
      assert.strictEqual(secured.component.sslCertEncoded, text("server.crt"))
      // another's key is none
      secured.component.sslCertEncoded = text("stored.crt")
      assert.strictEqual(secured.component.sslCertSubject, "")
    }
  })

  it("271, 282: a store that cannot be opened, or that has no such certificate", async () => {
    const wrong = failureOf(
      start((proxy) => {
        proxy.sslCertStoreType = cstPEMKeyFile
        proxy.sslCertStore = path("no-such.pem")
        proxy.sslCertSubject = "*"
      })
    )
    assert.strictEqual((await wrong).code, 271)
    const file = pem("server", local)
    const none = failureOf(
      start((proxy) => {
        proxy.sslCertStoreType = cstPEMKeyFile
        proxy.sslCertStore = file
        proxy.sslCertSubject = "CN=other"
      })
    )
    assert.strictEqual((await none).code, 282)
  })
})
