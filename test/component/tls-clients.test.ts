/**
 * Certificates of clients: what SSLClientAuthentication tells of them, who is let in, whom certificates are trusted from, and
 * what is overlooked.
 */
import { assert, beforeAll, describe, it } from "@effect/vitest"
import { mkdirSync, symlinkSync } from "node:fs"
import type { SSLClientAuthenticationEvent } from "../../src/component/Events.ts"
import { authoritiesOf } from "../../src/component/internal/tls.ts"
import { Store } from "../../src/component/Settings.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { certificate, openssl, path, text, write } from "../tls/openssl.ts"
import { both, failureOf, hear, until } from "./component.ts"
import { local, pem, Secured } from "./securing.ts"

const authority = ["basicConstraints=critical,CA:TRUE", "keyUsage=keyCertSign,cRLSign"]

beforeAll(() => {
  certificate("root", { extensions: authority })
  certificate("middle", { issuer: "root", extensions: authority })
  certificate("ann", { issuer: "root", subject: "/C=US/O=Test/CN=ann" })
  certificate("bob", { issuer: "middle" })
  certificate("self", {})
  certificate("wrong", { issuer: "root", extensions: ["extendedKeyUsage=serverAuth"] })
  certificate("stranger", { extensions: authority })
  // others have the name of the root
  certificate("forger", { subject: "/C=US/O=Test/CN=root", extensions: authority })
  const limited = ["basicConstraints=critical,CA:TRUE,pathlen:0", "keyUsage=keyCertSign"]
  certificate("limited", { issuer: "root", extensions: limited })
  certificate("beyond", { issuer: "limited", extensions: authority })
  certificate("named", {
    issuer: "root",
    extensions: [...authority, "nameConstraints=critical,permitted;DNS:.example"]
  })
  certificate("strange", { issuer: "stranger", extensions: ["extendedKeyUsage=serverAuth"] })
  certificate("selfish", { extensions: ["extendedKeyUsage=serverAuth"] })
  over("old", "root")
  for (const issuer of ["middle", "stranger", "forger", "beyond", "named", "ann"]) over(`old-${issuer}`, issuer)
  over("old-wrong", "root", "extendedKeyUsage=serverAuth")
  over("old-critical", "root", "1.2.3.4=critical,ASN1:NULL")
  certificate("signer", { kind: "rsa2048", extensions: authority })
  over("old-good", "signer")
  over("old-pss", "signer", undefined, "ann", "-sha1 -sigopt rsa_padding_mode:pss")
  openssl(..."genrsa -out small.key 1024".split(" "))
  over("old-small", "signer", undefined, "small")
  openssl(..."req -new -key ann.key -subj /CN=old -out old.csr".split(" "))
  openssl(..."x509 -req -in old.csr -signkey ann.key -days -1 -out old-self.crt".split(" "))
  write("old-self.key", text("ann.key"))
})

/** Makes a certificate whose time is over. */
const over = (
  name: string,
  issuer: string,
  extension = "keyUsage=digitalSignature",
  key = "ann",
  args = "-sha256"
): void => {
  write(`${name}.ext`, extension)
  write(`${name}.key`, text(`${key}.key`))
  openssl(...`req -new -key ${key}.key -subj /CN=old -out old.csr`.split(" "))
  const by = `-CA ${issuer}.crt -CAkey ${issuer}.key -set_serial 7 ${args}`
  openssl(...`x509 -req -in old.csr ${by} -days -1 -out ${name}.crt -extfile ${name}.ext`.split(" "))
}

/** What a client shows: files of certificates, the first its own. */
const shows = (...names: ReadonlyArray<string>): { readonly cert: string; readonly key: string } => ({
  cert: names.map((name) => text(`${name}.crt`)).join(""),
  key: text(`${names[0]}.key`)
})

/** The setting of the authorities of a component, in PEM. */
const trusting = (component: string, ...names: ReadonlyArray<string>): string =>
  `${component === "WSServer" ? "SSLClientCACerts" : "SSLCACerts"}=${names.map((name) => text(`${name}.crt`)).join("\r \n")}`

interface Asking {
  readonly config?: ReadonlyArray<string>
  readonly accept?: (event: SSLClientAuthenticationEvent) => unknown
  readonly quiet?: boolean
}

describe.each(both)("%s", (name, make) => {
  /** One that asks for certificates, and what it told of them. */
  const asking = async ({ accept, config = [], quiet = false }: Asking = {}) => {
    const told: Array<SSLClientAuthenticationEvent> = []
    const secured = await Secured.start(make, {
      config: [...(name === "WSServer" ? ["CACertFilePaths="] : []), trusting(name, "root"), ...config],
      without: quiet ? ["SSLClientAuthentication"] : [],
      on: (component) => {
        component.sslAuthenticateClients = true
        if (quiet) return
        hear(component, "SSLClientAuthentication", (e) => void told.push({ ...e }))
        if (accept !== undefined) hear(component, "SSLClientAuthentication", accept)
      }
    })
    return Object.assign(secured, { told })
  }

  it("SSLAuthenticateClients: nobody is asked by default", async () => {
    await using secured = await Secured.start(make)
    assert.match(await secured.sClient(), /No client certificate CA names sent/)
    await using client = await secured.tls(shows("ann"))
    assert.strictEqual(await client.fate, "")
    assert.notInclude(secured.events.join(), "SSLClientAuthentication")
  })

  it("SSLAuthenticateClients: clients are asked for a certificate of the authorities that are trusted", async () => {
    await using secured = await asking()
    assert.match(await secured.sClient(), /Acceptable client certificate CA names\n.*CN = root\n/)
    await using client = await secured.tls(shows("ann"))
    assert.strictEqual(await client.fate, "")
    assert.strictEqual(secured.component.sslAuthenticateClients, true)
  })

  it("SSLClientAuthentication, SSLClientAuthentication.ConnectionId, SSLClientAuthentication.CertEncoded, SSLClientAuthentication.CertEncodedB, SSLClientAuthentication.CertSubject, SSLClientAuthentication.CertIssuer, SSLClientAuthentication.Status, SSLClientAuthentication.Accept: of a certificate that is trusted", async () => {
    await using secured = await asking()
    await using client = await secured.wss(shows("ann"))
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
    const [event] = secured.told
    assert.strictEqual(secured.told.length, 1)
    assert.strictEqual(event?.connectionId, secured.id)
    assert.strictEqual(event?.certEncoded, text("ann.crt"))
    assert.strictEqual(Buffer.from(event!.certEncodedB).toString(), text("ann.crt"))
    assert.include(event?.certSubject, "CN=ann")
    assert.include(event?.certIssuer, "CN=root")
    assert.strictEqual(event?.status, "OK")
    assert.isTrue(event?.accept)
  })

  it.each([
    ["274", ["bob"], /UNABLE_TO_(GET_ISSUER|VERIFY_LEAF)/],
    ["275", ["bob", "middle", "root"], /SELF_SIGNED_CERT_IN_CHAIN/],
    ["280", ["self"], /DEPTH_ZERO_SELF_SIGNED_CERT/],
    ["280", ["old"], /CERT_HAS_EXPIRED/],
    ["280", ["wrong"], /INVALID_PURPOSE/]
  ] as const)(
    "%s, SSLClientAuthentication.Status, SSLClientAuthentication.Accept: %s is not trusted",
    async (code, names, status) => {
      const stranger = code === "275" ? [trusting(name, "stranger")] : []
      for (const quiet of [false, true]) {
        await using secured = await asking({ config: stranger, quiet })
        assert.notStrictEqual(await secured.refusal(shows(...names)), "")
        const error = await until("the error", () => secured.errors[0])
        assert.strictEqual(error.errorCode, Number(code))
        assert.strictEqual(error.connectionId, secured.id)
        assert.strictEqual(secured.errors.length, 1)
        if (quiet) continue
        assert.match(secured.told[0]!.status, status)
        assert.isFalse(secured.told[0]!.accept)
        assert.include(secured.told[0]!.certSubject, `CN=${names[0]}`)
      }
    }
  )

  it("274, 275, 280: a client that calls itself by the name of an error is told by what is wrong with it", async () => {
    certificate("liar", { subject: "/CN=without a certificate SELF_SIGNED_CERT_IN_CHAIN" })
    await using secured = await asking()
    await secured.refusal(shows("liar"))
    assert.strictEqual((await until("the error", () => secured.errors[0])).errorCode, 280)
  })

  it("281, SSLClientAuthentication.Accept: no certificate is shown", async () => {
    await using secured = await asking()
    assert.notStrictEqual(await secured.refusal(), "")
    assert.strictEqual((await until("the error", () => secured.errors[0])).errorCode, 281)
    const [event] = secured.told
    assert.deepStrictEqual(
      { ...event, connectionId: "", status: "" },
      {
        connectionId: "",
        certEncoded: "",
        certEncodedB: new Uint8Array(),
        certSubject: "",
        certIssuer: "",
        status: "",
        accept: false
      }
    )
    assert.match(event!.status, /certificate/)
    assert.notInclude(secured.events.join(), "WebSocketOpenRequest")
  })

  it("SSLClientAuthentication.Accept: a listener lets in whom it likes, and refuses whom it likes", async () => {
    await using open = await asking({ accept: (e) => (e.accept = true) })
    for (const shown of [{}, shows("self"), shows("old")]) {
      await using client = await open.wss(shown)
      assert.strictEqual(client.socket.readyState, client.socket.OPEN)
    }
    assert.deepStrictEqual(open.errors, [])
    await using closed = await asking({ accept: (e) => (e.accept = false) })
    assert.notStrictEqual(await closed.refusal(shows("ann")), "")
    assert.strictEqual((await until("the error", () => closed.errors[0])).errorCode, 280)
  })

  it("SSLClientAuthentication.Accept: an asynchronous listener is waited for, and one that fails refuses", async () => {
    await using secured = await asking({
      accept: async (e) => {
        await new Promise((resolve) => setImmediate(resolve))
        e.accept = e.certSubject.includes("self")
      }
    })
    await using client = await secured.wss(shows("self"))
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
    assert.notStrictEqual(await secured.refusal(shows("ann")), "")
    await using failing = await asking({
      accept: () => {
        throw new Error("no idea")
      }
    })
    assert.notStrictEqual(await failing.refusal(shows("ann")), "")
    const codes = await until("the errors", () => failing.codes.length === 2 && failing.codes)
    assert.deepStrictEqual(codes, [500, 280])
  })

  it("SSLIncludeCertChain: CertEncoded has the issuers that the client sent", async () => {
    await using secured = await asking({ config: ["SSLIncludeCertChain=True"] })
    await using client = await secured.wss(shows("bob", "middle"))
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
    assert.strictEqual(secured.told[0]?.certEncoded, text("bob.crt") + text("middle.crt"))
    await using plain = await asking()
    await using other = await plain.wss(shows("bob", "middle"))
    assert.strictEqual(other.socket.readyState, other.socket.OPEN)
    assert.strictEqual(plain.told[0]?.certEncoded, text("bob.crt"))
  })

  it.each([
    ["0x1", "old"],
    ["16", "self"],
    ["0x10", "bob"],
    ["0x20", "wrong"],
    ["0x31", "old"]
  ] as const)("SSLSecurityFlags: %s lets %s in", async (flags, who) => {
    await using without = await asking()
    assert.notStrictEqual(await without.refusal(shows(who)), "")
    await using secured = await asking({ config: [`SSLSecurityFlags=${flags}`] })
    await using client = await secured.wss(shows(who))
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
    assert.strictEqual(secured.told[0]?.status, "OK")
    assert.isTrue(secured.told[0]?.accept)
  })

  // OpenSSL tells the last failure alone
  it.each([
    ["0x1", ["old-self"], "0x11"],
    ["0x1", ["old-stranger"], "0x11"],
    ["0x1", ["old-stranger", "stranger"], "0x11"],
    ["0x1", ["old-forger"], "0x11"],
    ["0x1", ["old-forger", "forger"], "0x11"],
    ["0x1", ["old-wrong"], "0x21"],
    ["0x1", ["old-beyond", "beyond", "limited"], undefined],
    ["0x1", ["old-named", "named"], undefined],
    ["0x1", ["old-ann", "ann"], undefined],
    ["0x1", ["old-critical"], undefined],
    ["0x10", ["strange"], "0x30"],
    ["0x20", ["strange", "stranger"], "0x30"],
    ["0x20", ["selfish"], "0x30"]
  ] as const)("SSLSecurityFlags: %s does not let %s in, with whom more is wrong", async (flags, names, enough) => {
    await using some = await asking({ config: [`SSLSecurityFlags=${flags}`] })
    assert.notStrictEqual(await some.refusal(shows(...names)), "")
    // what is overlooked is not what is wrong
    assert.notMatch(
      some.told[0]!.status,
      flags === "0x20" ? /OK|PURPOSE/ : flags === "0x1" ? /OK|EXPIRED/ : /OK|SIGNED|ISSUER|LEAF/
    )
    const error = await until("the error", () => some.errors[0])
    assert.include(error.description, some.told[0]!.status)
    if (some.told[0]!.status === "SELF_SIGNED_CERT_IN_CHAIN") assert.strictEqual(error.errorCode, 275)
    if (enough === undefined) return
    await using all = await asking({ config: [`SSLSecurityFlags=${enough}`] })
    assert.strictEqual(await all.refusal(shows(...names)), "")
  })

  it("SSLSecurityFlags: 0x1 does not let in who has a weak key, or is signed weakly, but where OpenSSL would, too", async () => {
    const isIn = async (names: string, ...config: ReadonlyArray<string>) => {
      await using secured = await asking({ config: [trusting(name, "signer"), "SSLSecurityFlags=0x1", ...config] })
      const refusal = await secured.refusal({ ...shows(names), ciphers: "DEFAULT@SECLEVEL=0" })
      return [refusal === "", secured.told[0]?.status]
    }
    assert.deepStrictEqual(await isIn("old-good"), [true, "OK"])
    assert.deepStrictEqual(await isIn("old-small"), [false, "EE_KEY_TOO_SMALL"])
    assert.deepStrictEqual(await isIn("old-pss"), [false, "CA_MD_TOO_WEAK"])
    // TLS 1.0 has nothing better
    for (const weak of ["old-small", "old-pss"]) {
      assert.deepStrictEqual(await isIn(weak, "SSLEnabledProtocols=4032"), [true, "OK"])
    }
  })

  it.each(["TLSv1.2", "TLSv1.3"] as const)(
    "SSLSecurityFlags, ReuseSSLSession: a client whose issuer is between it and the authority comes in again (%s)",
    async (version) => {
      await using secured = await asking({ config: ["SSLSecurityFlags=0x1", "SSLEnabledProtocols=15360"] })
      let session: Buffer | undefined
      for (const _ of [1, 2]) {
        const options = { ...shows("old-middle", "middle"), minVersion: version, maxVersion: version, session }
        await using client = await secured.tls(options)
        client.socket.on("session", (given: Buffer) => (session = given))
        assert.strictEqual(await client.fate, "")
      }
      assert.deepStrictEqual(
        secured.told.map(({ status }) => status),
        ["OK", "OK"]
      )
    }
  )

  it("SSLSecurityFlags: nothing else is overlooked, and never that there is none", async () => {
    await using expired = await asking({ config: ["SSLSecurityFlags=0x1"] })
    for (const shown of [shows("self"), shows("wrong"), {}]) assert.notStrictEqual(await expired.refusal(shown), "")
    await using all = await asking({ config: ["SSLSecurityFlags=0xffffffff"] })
    assert.notStrictEqual(await all.refusal(), "")
  })

  it("271: authorities that cannot be read are told when listening starts", async () => {
    const setting = trusting(name, "root").split("=")[0]!
    const root = text("root.crt")
    for (const value of ["nothing", root.replace(/\nM.{10}/, "\nAAAAAAAAAAA"), root + root.slice(0, 300)]) {
      const error = await failureOf(asking({ config: [`${setting}=${value}`] }))
      assert.strictEqual(error.code, 271)
      assert.include(error.message, setting)
    }
  })
})

describe("WSServer", () => {
  const start = (...config: ReadonlyArray<string>) =>
    Secured.start(() => Object.assign(new WSServer(), { sslAuthenticateClients: true }), { config })

  it("SSLClientCACerts, CACertFilePaths: whom client certificates are trusted from", async () => {
    write("system.pem", text("stranger.crt") + text("root.crt"))
    const isIn = async (...config: ReadonlyArray<string>) => {
      await using secured = await start(...config)
      return (await secured.refusal(shows("ann"))) === ""
    }
    const none = "CACertFilePaths=/no/such/file"
    assert.isFalse(await isIn(none))
    assert.isTrue(await isIn(none, `SSLClientCACerts=${text("root.crt")}`))
    assert.isFalse(await isIn(none, `SSLClientCACerts=${text("stranger.crt")}`))
    // several, however they are separated
    assert.isTrue(await isIn(none, `SSLClientCACerts=${text("stranger.crt")}\r \n${text("root.crt")}`))
    // the first of the files that is there
    assert.isTrue(await isIn(`CACertFilePaths=/no/such/file;${path("system.pem")};${path("stranger.crt")}`))
    assert.isFalse(await isIn(`CACertFilePaths=${path("stranger.crt")};${path("system.pem")}`))
    // which must hold certificates
    const key = await failureOf(isIn(`CACertFilePaths=${path("root.key")}`))
    assert.deepStrictEqual([key.code, key.message.includes("CACertFilePaths")], [271, true])
    // besides those of the system
    assert.isTrue(await isIn(`CACertFilePaths=${path("stranger.crt")}`, `SSLClientCACerts=${text("root.crt")}`))
    assert.isTrue(await isIn(`CACertFilePaths=${path("root.crt")}`, `SSLClientCACerts=${text("stranger.crt")}`))
  })

  it("CACertFilePaths: of the system's own what can be read is trusted", () => {
    const root = text("root.crt")
    write("system.pem", root.replace(/\nM.{10}/, "\nAAAAAAAAAAA") + root + root.slice(0, 300))
    const store = new Store({
      name: "WSServer",
      isListening: () => false,
      comesLate: () => {},
      connection: () => assert.fail(),
      computed: {}
    })
    // as if that were the system's file
    Object.assign(store.values, { CACertFilePaths: path("system.pem") })
    assert.deepStrictEqual(authoritiesOf(store, "WSServer"), [root])
  })

  it("SSLClientCACerts: an authority that is not trusted for clients is not trusted", async () => {
    openssl(..."x509 -in root.crt -trustout -addreject clientAuth -out rejecting.crt".split(" "))
    const isIn = async (who: string, ...config: ReadonlyArray<string>) => {
      await using secured = await start("CACertFilePaths=", `SSLClientCACerts=${text("rejecting.crt")}`, ...config)
      return (await secured.refusal(shows(who))) === ""
    }
    assert.isFalse(await isIn("ann"))
    // nor where OpenSSL tells another failure
    assert.isFalse(await isIn("old", "SSLSecurityFlags=0x1"))
  })

  it("SSLCACerts: on the server it trusts nobody", async () => {
    await using secured = await start("CACertFilePaths=", `SSLCACerts=${text("root.crt")}`)
    assert.notStrictEqual(await secured.refusal(shows("ann")), "")
  })
})

describe("WebSocketProxy", () => {
  const start = (...config: ReadonlyArray<string>) =>
    Secured.start(() => Object.assign(new WebSocketProxy(), { sslAuthenticateClients: true }), {
      certificate: pem("server", local),
      config
    })
  const isIn = async (name: string, ...config: ReadonlyArray<string>) => {
    await using secured = await start(...config)
    return (await secured.refusal(shows(name))) === ""
  }

  it("SSLCACerts: on the proxy they are the authorities of clients", async () => {
    assert.isTrue(await isIn("ann", `SSLCACerts=${text("root.crt")}`))
    assert.isFalse(await isIn("ann", `SSLCACerts=${text("stranger.crt")}`))
  })

  it("OpenSSLCAFile: authorities of clients from a file", async () => {
    write("authorities.pem", text("stranger.crt") + text("root.crt"))
    assert.isTrue(await isIn("ann", `OpenSSLCAFile=${path("authorities.pem")}`))
    assert.isFalse(await isIn("ann", `OpenSSLCAFile=${path("stranger.crt")}`))
    assert.strictEqual((await failureOf(start(`OpenSSLCAFile=${path("no-such")}`))).code, 271)
    assert.strictEqual((await failureOf(start(`OpenSSLCAFile=${path("root.key")}`))).code, 271)
    // what is no file may have no end
    assert.include((await failureOf(start("OpenSSLCAFile=/dev/zero"))).message, "no file")
  })

  it("OpenSSLCAFile, 271: beginnings of certificates without an end, of which there may be very many", async () => {
    // it would take minutes if the end of each were looked for
    write("endless.pem", "-----BEGIN CERTIFICATE-----\n".repeat(200_000))
    assert.strictEqual((await failureOf(start(`OpenSSLCAFile=${path("endless.pem")}`))).code, 271)
  })

  it("OpenSSLCADir: authorities of clients from the files of a folder", async () => {
    mkdirSync(path("trusted/more"), { recursive: true })
    write("trusted/README", "no certificate")
    write("trusted/stranger.pem", text("stranger.crt"))
    symlinkSync("gone", path("trusted/0.0"))
    const setting = `OpenSSLCADir=${path("trusted")}`
    assert.isFalse(await isIn("ann", setting))
    // by a link, as OpenSSL's own folders have them
    symlinkSync("../root.crt", path("trusted/1.0"))
    assert.isTrue(await isIn("ann", setting))
    assert.strictEqual((await failureOf(start(`OpenSSLCADir=${path("no-such")}`))).code, 271)
  })
})
