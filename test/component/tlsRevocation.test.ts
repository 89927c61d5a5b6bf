/**
 * Client certificates that their authority has taken back: by its list and by its responder, as the settings ask.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import { WebSocket } from "ws"
import { Certificate, CertStoreTypes, WSServer } from "../../src/component/index.ts"
import * as Responder from "../tls/responder.ts"
import { fresh, named, setUp } from "../tls/revoking.ts"
import { text } from "../tls/openssl.ts"

/** What SSLClientAuthentication recommends for a client with this certificate. */
const recommended = (
  setting: string,
  authority: string,
  name: string,
  flags = "0"
): Effect.Effect<readonly [boolean, string]> =>
  Effect.promise(async () => {
    await using server = new WSServer()
    server.localHost = "127.0.0.1"
    server.useSSL = true
    server.sslCert = new Certificate(CertStoreTypes.cstPEMKeyBlob, text(`${name}.crt`) + text(`${name}.key`), "", "*")
    server.sslAuthenticateClients = true
    server.config(`SSLClientCACerts=${text(`${authority}.crt`)}`)
    server.config(`SSLSecurityFlags=${flags}`)
    server.config(setting)
    const told = Promise.withResolvers<readonly [boolean, string]>()
    server.on("SSLClientAuthentication", (e) => {
      told.resolve([e.accept, e.status])
      e.accept = true
    })
    await server.startListening()
    const client = new WebSocket(`wss://127.0.0.1:${server.localPort}`, {
      rejectUnauthorized: false,
      cert: text(`${name}.crt`),
      key: text(`${name}.key`)
    })
    await once(client, "open")
    client.terminate()
    return told.promise
  })

describe("revocation of client certificates", { timeout: 60_000 }, () => {
  it.live("SSLCheckCRL, SSLCheckOCSP: 2 asks the authority, and what it has taken back is not recommended", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("crl", () => authority.crl())
      responder.at("ocsp", Responder.ocsp(authority))
      for (const setting of ["SSLCheckCRL=2", "SSLCheckOCSP=2"]) {
        assert.deepStrictEqual(yield* recommended(setting, authority.name, name), [true, "OK"])
      }
      authority.revoke(name)
      for (const setting of ["SSLCheckCRL=2", "SSLCheckOCSP=2", "SSLCheckCRL=1", "SSLCheckOCSP=1"]) {
        const [accept, status] = yield* recommended(setting, authority.name, name)
        assert.isFalse(accept)
        assert.match(status, /CERT_REVOKED/)
      }
      assert.deepStrictEqual(yield* recommended("SSLCheckCRL=0", authority.name, name), [true, "OK"])
    }).pipe(Effect.scoped)
  )

  it.live("SSLCheckCRL, SSLCheckOCSP: a certificate that names nobody to ask is fine with 1, and not with 2", () =>
    Effect.gen(function* () {
      const { authority } = yield* setUp()
      const name = fresh("silent")
      authority.issue(name, { extensions: named({}) })
      for (const setting of ["SSLCheckCRL", "SSLCheckOCSP"]) {
        assert.deepStrictEqual(yield* recommended(`${setting}=1`, authority.name, name), [true, "OK"])
        const [accept, status] = yield* recommended(`${setting}=2`, authority.name, name)
        assert.isFalse(accept)
        assert.match(status, /REVOCATION_UNKNOWN/)
      }
    }).pipe(Effect.scoped)
  )

  it.live("SSLSecurityFlags, SSLCheckCRL: 0x100 overlooks that nothing can be known", () =>
    Effect.gen(function* () {
      const { authority, name } = yield* setUp()
      assert.isFalse((yield* recommended("SSLCheckCRL=2", authority.name, name))[0])
      assert.isTrue((yield* recommended("SSLCheckCRL=2", authority.name, name, "0x100"))[0])
    }).pipe(Effect.scoped)
  )

  it.live("SSLSecurityFlags, SSLCheckCRL: what is overlooked is checked for revocation all the same", () =>
    Effect.gen(function* () {
      const { authority, responder, url } = yield* setUp()
      const name = fresh("old")
      const times = { from: "20250101000000Z", to: "20250201000000Z" }
      authority.issue(name, { extensions: named({ crls: [url("crl")] }), ...times })
      const isRecommended = (flags: string) =>
        Effect.map(recommended("SSLCheckCRL=2", authority.name, name, flags), ([accept]) => accept)
      // nobody answers
      assert.isFalse(yield* isRecommended("0x1"))
      assert.isTrue(yield* isRecommended("0x101"))
      responder.at("crl", () => authority.crl())
      assert.isTrue(yield* isRecommended("0x1"))
      authority.revoke(name)
      assert.isFalse(yield* isRecommended("0x1"))
      assert.isFalse(yield* isRecommended("0x101"))
    }).pipe(Effect.scoped)
  )

  it.live("SSLSecurityFlags, SSLCheckCRL: the address of a list is no failure to be overlooked", () =>
    Effect.gen(function* () {
      const { authority, responder, url } = yield* setUp()
      const name = fresh("revoked")
      authority.issue(name, { extensions: named({ crls: [url("SELF_SIGNED")] }) })
      const unknown = yield* recommended("SSLCheckCRL=2", authority.name, name, "0x10")
      assert.isFalse(unknown[0])
      assert.match(unknown[1], /^REVOCATION_UNKNOWN: .*SELF_SIGNED/)
      authority.revoke(name)
      responder.at("SELF_SIGNED", () => authority.crl())
      const revoked = yield* recommended("SSLCheckCRL=2", authority.name, name, "0xffffffff")
      assert.isFalse(revoked[0])
      assert.match(revoked[1], /^CERT_REVOKED: .*SELF_SIGNED/)
    }).pipe(Effect.scoped)
  )
})
