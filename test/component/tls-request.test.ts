/**
 * SSLConnectionRequest: what it tells of a client, and the certificate that it has shown in place of the usual one.
 */
import { assert, describe, it } from "@effect/vitest"
import { setTimeout } from "node:timers/promises"
import { CertStoreTypes } from "../../src/component/Enums.ts"
import type { SSLConnectionRequestEvent } from "../../src/component/Events.ts"
import { path } from "../tls/openssl.ts"
import { both, hear, until } from "./component.ts"
import { local, pem, pfx, Secured } from "./securing.ts"

const { cstPEMKeyFile, cstPFXFile, cstUser } = CertStoreTypes

const rsa = () => pem("rsa", { ...local, kind: "rsa2048" })

describe.each(both)("%s", (_, make) => {
  /** One that asks. */
  const asking = (
    listener: (event: SSLConnectionRequestEvent) => unknown,
    config: ReadonlyArray<string> = [],
    certificate = pem("server", local)
  ) =>
    Secured.start(make, {
      certificate,
      config,
      on: (component) => hear(component, "SSLConnectionRequest", listener)
    })

  it("SSLConnectionRequest.ConnectionId, SSLConnectionRequest.SupportedCipherSuites, SSLConnectionRequest.SupportedSignatureAlgs: what the client offers, by the documented names", async () => {
    const told: Array<SSLConnectionRequestEvent> = []
    await using secured = await asking((e) => void told.push({ ...e }))
    await using client = await secured.tls({
      maxVersion: "TLSv1.2",
      ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256:ECDHE-RSA-AES256-SHA384:AES128-SHA",
      sigalgs: "ecdsa_secp256r1_sha256:RSA+SHA512:rsa_pss_rsae_sha384:ed25519"
    })
    assert.strictEqual(client.shown, "server")
    assert.strictEqual(told.length, 1)
    const [event] = told
    assert.deepStrictEqual(
      event?.supportedCipherSuites.split(",").filter((name) => !name.endsWith("_SCSV")),
      [
        "TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256",
        "TLS_ECDHE_RSA_WITH_AES_256_CBC_SHA384",
        "TLS_RSA_WITH_AES_128_CBC_SHA"
      ]
    )
    assert.strictEqual(event?.supportedSignatureAlgs, "sha256-ecdsa,sha512-rsa,rsa_pss_sha384,ed25519")
    assert.match(event?.connectionId ?? "", /^\d+$/)
    // nothing is chosen beforehand
    const { certPassword, certStore, certStoreType, certSubject } = event!
    assert.deepStrictEqual([certStoreType, certStore, certPassword, certSubject], [cstUser, "", "", ""])
  })

  it("SSLConnectionRequest, SSLConnectionRequest.CertStoreType, SSLConnectionRequest.CertStore, SSLConnectionRequest.CertPassword, SSLConnectionRequest.CertSubject: ECDSA for who can, RSA for the others", async () => {
    const store = pfx("ecdsa", "secret", local)
    await using secured = await asking(
      (e) => {
        if (!e.supportedSignatureAlgs.split(",").includes("sha256-ecdsa")) return
        e.certStoreType = cstPFXFile
        e.certStore = store
        e.certPassword = "secret"
        e.certSubject = "CN=ecdsa"
      },
      [],
      rsa()
    )
    await using modern = await secured.tls()
    assert.strictEqual(modern.shown, "ecdsa")
    await using old = await secured.tls({ sigalgs: "RSA+SHA256:rsa_pss_rsae_sha256" })
    assert.strictEqual(old.shown, "rsa")
    assert.match(await secured.sClient("-cipher", "ECDHE-RSA-AES256-GCM-SHA384", "-sigalgs", "RSA+SHA256"), /CN = rsa/)
    assert.match(await secured.sClient(), /CN = ecdsa/)
    assert.deepStrictEqual(secured.errors, [])
  })

  it("SSLConnectionRequest.CertSubject: empty is the first of the store", async () => {
    const store = pem("other", local)
    await using secured = await asking((e) => {
      e.certStoreType = cstPEMKeyFile
      e.certStore = store
    })
    await using client = await secured.tls()
    assert.strictEqual(client.shown, "other")
  })

  it("SSLConnectionRequest: an asynchronous listener is waited for, of one connection and not of others", async () => {
    const store = pem("other", local)
    const gate = Promise.withResolvers<void>()
    let count = 0
    await using secured = await asking(async (e) => {
      if (count++ > 0) return
      await gate.promise
      e.certStoreType = cstPEMKeyFile
      e.certStore = store
    })
    const first = secured.tls()
    await until("the first event", () => count === 1)
    await using second = await secured.tls()
    assert.strictEqual(second.shown, "server")
    assert.notStrictEqual(await Promise.race([first.then(() => "done"), setTimeout(50, "waits")]), "done")
    gate.resolve()
    await using client = await first
    assert.strictEqual(client.shown, "other")
  })

  it("271, 272, 273: what a listener names cannot be used: it is told, and the usual certificate serves", async () => {
    const file = pem("other", local)
    const wrong: ReadonlyArray<readonly [number, Partial<SSLConnectionRequestEvent>]> = [
      [271, { certStoreType: cstPEMKeyFile, certStore: path("no-such.pem") }],
      [271, { certStore: "MY" }],
      [272, { certStoreType: cstPEMKeyFile, certStore: file, certSubject: "CN=nobody" }],
      [273, { certStoreType: cstPEMKeyFile, certStore: path("other.crt") }],
      [10022, { certStoreType: 1000, certStore: file }],
      // as a listener without types sets them
      [10022, { certStoreType: cstPEMKeyFile, certStore: 5 as unknown as string }],
      [10022, { certStoreType: cstPEMKeyFile, certStore: file, certPassword: 5 as unknown as string }],
      [10022, { certStoreType: cstPEMKeyFile, certStore: file, certSubject: 5 as unknown as string }]
    ]
    for (const [code, named] of wrong) {
      await using secured = await asking((e) => void Object.assign(e, named))
      await using client = await secured.wss()
      assert.strictEqual(client.socket.readyState, client.socket.OPEN)
      const [error] = secured.errors
      assert.strictEqual(error?.errorCode, code)
      assert.strictEqual(error?.connectionId, secured.id)
      assert.isAbove(error?.description.length ?? 0, 10)
    }
  })

  it("SSLConnectionRequest: a listener that fails is told of by its connection, and refuses it", async () => {
    await using secured = await asking(() => {
      throw new Error("no idea")
    })
    assert.notStrictEqual(await secured.refusal(), "")
    const first = await until("the errors", () => secured.errors.length === 2 && secured.errors[0])
    assert.strictEqual(first.errorCode, 500)
    assert.include(first.description, "no idea")
    assert.strictEqual(first.connectionId, secured.id)
  })

  it("ReuseSSLSession: also with a certificate that a listener has named", async () => {
    const store = pem("other", local)
    await using secured = await asking((e) => {
      e.certStoreType = cstPEMKeyFile
      e.certStore = store
    })
    const printed = await secured.sClient("-sess_out", "session.pem")
    assert.include(printed, "CN = other")
    assert.match(await secured.sClient("-sess_in", "session.pem"), /^Reused, /m)
  })
})
