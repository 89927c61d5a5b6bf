/**
 * Revocation, by the lists and the responder of `openssl`: certificates that are good, revoked or unknown, and how long that holds.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeRevocation from "../../src/node/NodeRevocation.ts"
import { Revocation } from "../../src/tls/Revocation.ts"
import { sockets } from "../proxy/firewall.ts"
import { eventually } from "../proxy/watch.ts"
import { Authority } from "./authority.ts"
import { openssl, write } from "./openssl.ts"
import * as Responder from "./responder.ts"
import { both, check, crl, fault, fresh, load, named, ocsp, once, setUp } from "./revoking.ts"
import { identity, listen as listenTls } from "./tlsTarget.ts"

describe("a certificate that is good", { timeout: 30_000 }, () => {
  it.live.each([["p256"], ["rsa"], ["ed25519"]] as const)("says the list, signed with %s", ([key]) =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp(key)
      const other = fresh("other")
      authority.issue(other)
      authority.revoke(other)
      responder.at("crl", () => authority.crl())
      assert.strictEqual(yield* check(crl, authority, name), "good")
      assert.deepStrictEqual(responder.log, ["GET /crl"])
    }).pipe(Effect.scoped)
  )

  it.live("says the list, signed with RSASSA-PSS", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp("rsa")
      for (const hash of ["sha256", "sha512"]) {
        responder.at("crl", () => authority.crl({ args: ["-md", hash, "-sigopt", "rsa_padding_mode:pss"] }))
        assert.strictEqual(yield* check(crl, authority, name), "good")
      }
    }).pipe(Effect.scoped)
  )

  it.live.each([["p256"], ["rsa"]] as const)("says the responder, signed with %s", ([key]) =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp(key)
      responder.at("ocsp", Responder.ocsp(authority))
      assert.strictEqual(yield* check(ocsp, authority, name), "good")
      assert.deepStrictEqual(responder.log, ["GET /ocsp"])
    }).pipe(Effect.scoped)
  )

  it.live("says the responder, which repeats the nonce or has none", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("ocsp", Responder.ocsp(authority))
      assert.strictEqual(yield* check({ ...ocsp, nonce: true }, authority, name), "good")
      assert.deepStrictEqual(responder.log, ["POST /ocsp"])
      responder.at("ocsp", once(authority))
      assert.strictEqual(yield* check(ocsp, authority, name), "good")
      assert.strictEqual(yield* check({ ...ocsp, nonce: true }, authority, name), "good")
    }).pipe(Effect.scoped)
  )

  it.live("says a responder that is not the authority itself", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const signer = fresh("responder")
      authority.issue(signer, { extensions: ["extendedKeyUsage=OCSPSigning"] })
      for (const args of [
        ["-ndays", "1"],
        ["-ndays", "1", "-resp_key_id"]
      ]) {
        responder.at("ocsp", Responder.ocsp(authority, { signer, args }))
        assert.strictEqual(yield* check(ocsp, authority, name), "good")
      }
    }).pipe(Effect.scoped)
  )

  it.live("says a responder that does not take GET", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const answer = Responder.ocsp(authority)
      responder.at("ocsp", (asked, response) =>
        response.req.method === "POST" ? answer(asked) : void response.writeHead(405).end()
      )
      assert.strictEqual(yield* check(ocsp, authority, name), "good")
      assert.deepStrictEqual(responder.log, ["GET /ocsp", "POST /ocsp"])
    }).pipe(Effect.scoped)
  )

  it.live("says a list that is given, in PEM and DER, and nobody is asked", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const other = new Authority(fresh("authority"))
      for (const pem of [true, false]) {
        const crls = [other.crl(), authority.crl({ pem }), ...(pem ? [authority.crl({ pem }).toString()] : [])]
        assert.strictEqual(yield* check({ ...crl, crls }, authority, name), "good")
      }
      assert.deepStrictEqual(responder.log, [])
    }).pipe(Effect.scoped)
  )

  it.live("says the second address, where the first is of no use", () =>
    Effect.gen(function* () {
      const { authority, responder, url } = yield* setUp()
      const name = fresh("server")
      const addresses = ["ldap://127.0.0.1/cn=x", "https://127.0.0.1/crl", url("missing"), url("crl")]
      authority.issue(name, { extensions: named({ crls: addresses }) })
      responder.at("crl", () => authority.crl({ pem: true }))
      assert.strictEqual(yield* check(crl, authority, name), "good")
      const reason = yield* fault({ ...crl, maxAddresses: 1 }, authority, name)
      assert.match(reason.message, /missing cannot be used: it answers with HTTP status 404$/)
    }).pipe(Effect.scoped)
  )

  it.live("says the place that an address leads to on the same host, and no other", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("list", () => authority.crl())
      responder.at("crl", (_, response) => void response.writeHead(302, { location: "/list" }).end())
      assert.strictEqual(yield* check(crl, authority, name), "good")
      const other = yield* Responder.listen
      const elsewhere = other.at("list", () => authority.crl())
      responder.at("crl", (_, response) => void response.writeHead(302, { location: elsewhere }).end())
      const reason = yield* fault(crl, authority, name)
      assert.match(reason.message, /it answers with HTTP status 302, which is not followed$/)
      assert.deepStrictEqual(other.log, [])
      let asked = 0
      responder.at("crl", (_, response) => {
        asked++
        response.writeHead(302, { location: "/crl" }).end()
      })
      assert.match((yield* fault(crl, authority, name)).message, /302, which is not followed$/)
      assert.strictEqual(asked, 4, "three redirects are followed")
      responder.at("crl", (_, response) => {
        response.writeHead(302, { location: "/list", "x-long": "x".repeat(16 * 1024) }).end()
      })
      assert.match((yield* fault(crl, authority, name)).message, /it cannot be fetched \(HPE_HEADER_OVERFLOW\)$/)
    }).pipe(Effect.scoped)
  )
})

describe("a certificate that is revoked", { timeout: 30_000 }, () => {
  it.live("says the list: when and why", () =>
    Effect.gen(function* () {
      const { authority, name, responder, url } = yield* setUp()
      authority.revoke(name, "keyCompromise")
      responder.at("crl", () => authority.crl())
      const reason = yield* fault(crl, authority, name)
      assert.strictEqual(reason._tag, "Revoked")
      if (reason._tag !== "Revoked") return
      assert.deepStrictEqual([reason.source, reason.url, reason.why], ["CRL", url("crl"), "keyCompromise"])
      assert.isBelow(Math.abs(reason.at.getTime() - Date.now()), 60_000)
      assert.match(
        reason.message,
        /^the certificate was revoked at 20.*Z \(keyCompromise\), says the revocation list at/
      )
    }).pipe(Effect.scoped)
  )

  it.live("says the responder, and no second is asked", () =>
    Effect.gen(function* () {
      const { authority, responder, url } = yield* setUp()
      const name = fresh("server")
      authority.issue(name, { extensions: named({ ocsps: [url("ocsp"), url("second")] }) })
      authority.revoke(name, "superseded")
      responder.at("ocsp", Responder.ocsp(authority))
      const reason = yield* fault(ocsp, authority, name)
      assert.strictEqual(reason._tag, "Revoked")
      if (reason._tag !== "Revoked") return
      assert.deepStrictEqual([reason.source, reason.url, reason.why], ["OCSP", url("ocsp"), "superseded"])
      assert.deepStrictEqual(responder.log, ["GET /ocsp"])
    }).pipe(Effect.scoped)
  )

  it.live("says one of both, or a given list; for a reason that is not said", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("ocsp", Responder.ocsp(authority))
      responder.at("crl", () => authority.crl())
      assert.strictEqual(yield* check(both, authority, name), "good")
      responder.at("ocsp", once(authority))
      const { check: checkBoth } = yield* NodeRevocation.make(both)
      authority.revoke(name)
      const reason = (yield* Effect.flip(checkBoth(yield* load(name), yield* load(authority.name)))).reason
      assert.strictEqual(reason._tag === "Revoked" && reason.why, "unspecified")
      const listed = yield* fault({ ...crl, crls: [authority.crl()] }, authority, name)
      assert.match(listed.message, /\(unspecified\), says the given revocation list$/)
    }).pipe(Effect.scoped)
  )

  it.live("says any list of a given file that has several, which must be whole", () =>
    Effect.gen(function* () {
      const { authority, name } = yield* setUp()
      const other = new Authority(fresh("authority"))
      authority.revoke(name)
      const file = Buffer.concat([other.crl({ pem: true }), authority.crl({ pem: true })])
      for (const one of [file, file.toString()]) {
        assert.strictEqual((yield* fault({ crl: "ifNamed", crls: [one] }, authority, name))._tag, "Revoked")
      }
      const cut = yield* Effect.flip(NodeRevocation.make({ ...crl, crls: [file.subarray(0, -50)] }))
      assert.match(cut.message, /^a given list cannot be read: it is cut off: a block of PEM/)
    }).pipe(Effect.scoped)
  )

  it.live("says the newest of the given lists of its issuer", () =>
    Effect.gen(function* () {
      const { authority, name } = yield* setUp()
      const old = authority.crl({ from: "20250101000000Z", to: "20490101000000Z" })
      authority.revoke(name)
      const crls = [old, authority.crl()]
      assert.strictEqual(yield* check({ ...crl, crls: [old] }, authority, name), "good")
      for (const given of [crls, crls.toReversed()]) {
        assert.strictEqual((yield* fault({ ...crl, crls: given }, authority, name))._tag, "Revoked")
      }
    }).pipe(Effect.scoped)
  )

  it.live("is found in a given list at each check, whose key is the same or another", () =>
    Effect.gen(function* () {
      const { authority, name } = yield* setUp()
      const double = new Authority(fresh("authority"), "p256", `/C=US/O=Test/CN=${authority.name}`)
      const other = fresh("server")
      double.issue(other)
      authority.revoke(name)
      const { check } = yield* NodeRevocation.make({ ...crl, crls: [authority.crl()] })
      for (let i = 0; i < 2; i++) {
        const [revoked, stranger] = [
          yield* Effect.flip(check(yield* load(name), yield* load(authority.name))),
          yield* Effect.flip(check(yield* load(other), yield* load(double.name)))
        ]
        assert.deepStrictEqual([revoked.reason._tag, stranger.reason._tag], ["Revoked", "BadSignature"])
      }
    }).pipe(Effect.scoped)
  )

  it.live("is found in a long list", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const lines = Array.from({ length: 20_000 }, (_, i) => {
        const serial = (0x900000 + i).toString(16).toUpperCase()
        return `R\t490101000000Z\t250101000000Z\t${serial}\tunknown\t/CN=x${i}`
      })
      authority.record(lines)
      responder.at("crl", () => authority.crl())
      assert.strictEqual(yield* check(crl, authority, name), "good")
      // the same digits in the midst of another number are another number
      const serial = (yield* load(name)).serialNumber
      authority.record([`R\t490101000000Z\t250101000000Z\t11${serial}22\tunknown\t/CN=around`])
      assert.strictEqual(yield* check(crl, authority, name), "good")
      authority.revoke(name, "CACompromise")
      const reason = yield* fault(crl, authority, name)
      assert.strictEqual(reason._tag === "Revoked" && reason.why, "cACompromise")
    }).pipe(Effect.scoped)
  )

  it.live("is refused by the dialler", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("ocsp", Responder.ocsp(authority))
      const server = yield* listenTls(identity(name))
      const revocation = yield* NodeRevocation.make(ocsp)
      const tls = { ca: authority.pem, onlyGivenCa: true }
      const { dial } = NodeDialer.make({ tls: { ...tls, revocation } })
      yield* dial(server.target)
      authority.revoke(name, "keyCompromise")
      yield* dial(server.target)
      assert.deepStrictEqual(responder.log, ["GET /ocsp"], "the answer is used as long as it says")
      const again = NodeDialer.make({ tls: { ...tls, revocation: yield* NodeRevocation.make(ocsp) } })
      const error = yield* Effect.flip(again.dial(server.target))
      assert.strictEqual(error.kind, "TlsFailed")
      const detail = /: The target was not accepted: the certificate was revoked at .* \(keyCompromise\), says the OCSP/
      assert.match(error.message, detail)
      const insecure = NodeDialer.make({ tls: { insecure: true, revocation: yield* NodeRevocation.make(ocsp) } })
      yield* insecure.dial(server.target)
    }).pipe(Effect.scoped)
  )

  it.live("is not waited for longer than the dial may take, and nothing is left of that", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("ocsp", () => {})
      const server = yield* listenTls(identity(name))
      const revocation = yield* NodeRevocation.make(ocsp)
      const before = sockets()
      const { dial } = NodeDialer.make({ dialTimeout: 300, tls: { ca: authority.pem, revocation } })
      const error = yield* Effect.flip(dial(server.target))
      assert.strictEqual(error.kind, "TimedOut")
      assert.match(error.message, /: Whether its certificate has been revoked could not be found out in time\.$/)
      yield* (yield* server.accept).until("end")
      server.connections[0]!.socket.destroy()
      yield* eventually("the sockets to be gone", () => sockets() <= before)
      responder.at("ocsp", Responder.ocsp(authority))
      const patient = NodeDialer.make({ tls: { ca: authority.pem, revocation } })
      yield* patient.dial(server.target)
    }).pipe(Effect.scoped)
  )
})

describe("a certificate that the responder does not know", { timeout: 30_000 }, () => {
  it.live("is not accepted", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      authority.record([], true)
      responder.at("ocsp", Responder.ocsp(authority))
      for (const options of [ocsp, { ocsp: "ifNamed" } as const]) {
        assert.strictEqual((yield* fault(options, authority, name))._tag, "UnknownCertificate")
      }
    }).pipe(Effect.scoped)
  )
})

describe("what was said", { timeout: 30_000 }, () => {
  it.effect("is used as long as it says, and asked for again then", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const { authority, name, responder } = yield* setUp()
      responder.at("crl", () => authority.crl())
      responder.at("ocsp", Responder.ocsp(authority, { args: ["-nmin", "60"] }))
      const { check } = yield* NodeRevocation.make({ ...both, maxAge: "3 days" })
      const certificate = yield* load(name)
      const issuer = yield* load(authority.name)
      const asked = Effect.map(check(certificate, issuer), () => responder.log.splice(0).toSorted())
      assert.deepStrictEqual(yield* asked, ["GET /crl", "GET /ocsp"])
      assert.deepStrictEqual(yield* asked, [])
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* asked, [])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* asked, ["GET /ocsp"])
      yield* TestClock.adjust("3 days")
      responder.at("ocsp", () => Buffer.alloc(0))
      yield* Effect.flip(asked)
      responder.log.splice(0)
      const lists = yield* NodeRevocation.make({ ...crl, maxAge: "1 hour" })
      const listed = Effect.map(lists.check(certificate, issuer), () => responder.log.splice(0))
      assert.deepStrictEqual(yield* listed, ["GET /crl"])
      yield* TestClock.adjust("59 minutes")
      assert.deepStrictEqual(yield* listed, [])
      yield* TestClock.adjust("2 minutes")
      assert.deepStrictEqual(yield* listed, ["GET /crl"])
    }).pipe(Effect.scoped)
  )

  it.live("is asked for once by all who ask at the same time, and a failure is not kept", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const second = fresh("server")
      authority.issue(second, { extensions: named({ crls: [`http://127.0.0.1:${responder.port}/crl`] }) })
      const { check } = yield* NodeRevocation.make(crl)
      const issuer = yield* load(authority.name)
      const certificates = [yield* load(name), yield* load(second)]
      yield* Effect.flip(check(certificates[0]!, issuer))
      responder.log.splice(0)
      const list = authority.crl()
      responder.at("crl", (_, response) => void setTimeout(() => response.end(list), 50))
      const all = Array.from({ length: 20 }, (_, i) => check(certificates[i % 2]!, issuer))
      const verdicts = yield* Effect.all(all, { concurrency: "unbounded" })
      assert.deepStrictEqual([...new Set(verdicts)], ["good"])
      assert.deepStrictEqual(responder.log, ["GET /crl"])
    }).pipe(Effect.scoped)
  )

  it.live("is a service", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("crl", () => authority.crl())
      const { check } = yield* Revocation
      assert.strictEqual(yield* check(yield* load(name), yield* load(authority.name)), "good")
    }).pipe(Effect.provide(NodeRevocation.layer(crl)), Effect.scoped)
  )
})

describe("an OCSP responder of OpenSSL", { timeout: 30_000 }, () => {
  it.live("is asked by GET and POST, and knows who is revoked", () =>
    Effect.gen(function* () {
      const authority = new Authority(fresh("authority"))
      const port = yield* Responder.program(authority)
      const name = fresh("server")
      authority.issue(name, { extensions: named({ ocsps: [`http://localhost:${port}`] }) })
      // it looks at its file before it waits for a question, and not before it answers
      const wake = Effect.exit(check(ocsp, authority, name))
      yield* wake
      assert.strictEqual(yield* check(ocsp, authority, name), "good")
      assert.strictEqual(yield* check({ ...ocsp, nonce: true }, authority, name), "good")
      authority.revoke(name, "keyCompromise")
      yield* wake
      assert.strictEqual((yield* fault(ocsp, authority, name))._tag, "Revoked")
    }).pipe(Effect.scoped)
  )

  it.live("reads what it is asked", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      let asked: Buffer | undefined
      responder.at("ocsp", (question) => Responder.ocsp(authority)((asked = question)))
      yield* check({ ...ocsp, nonce: true }, authority, name)
      write("asked.der", asked!)
      const shown = openssl("ocsp", "-reqin", "asked.der", "-req_text")
      assert.match(shown, /Hash Algorithm: sha1/)
      assert.match(shown, /OCSP Nonce: \n\s+0410/)
    }).pipe(Effect.scoped)
  )
})
