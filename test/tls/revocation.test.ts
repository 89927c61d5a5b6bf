/**
 * Revocation, by the lists and the responder of `openssl`: good, revoked, unknown, and all that makes an answer none.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as TestClock from "effect/testing/TestClock"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeRevocation from "../../src/node/NodeRevocation.ts"
import { type Certificate, fromEncoded } from "../../src/tls/Certificate.ts"
import * as Crl from "../../src/tls/internal/crl.ts"
import * as Ocsp from "../../src/tls/internal/ocsp.ts"
import { type Options, Revocation } from "../../src/tls/Revocation.ts"
import { unhurried } from "../proxy/connected.ts"
import { timed } from "../proxy/watch.ts"
import { Authority, type Key } from "./authority.ts"
import { openssl, read, text, write } from "./openssl.ts"
import * as Responder from "./responder.ts"
import { identity, listen as listenTls } from "./tlsTarget.ts"

let names = 0
const fresh = (name: string) => `${name}${names++}`

const load = (name: string): Effect.Effect<Certificate> =>
  Effect.orDie(Effect.fromResult(fromEncoded(text(`${name}.crt`))))

/** Extensions of a certificate that is checked at these addresses. */
const named = ({ crls = [], ocsps = [] }: { crls?: ReadonlyArray<string>; ocsps?: ReadonlyArray<string> }) => [
  "subjectAltName=DNS:localhost",
  ...(crls.length === 0 ? [] : [`crlDistributionPoints=${crls.map((url) => `URI:${url}`).join(",")}`]),
  ...(ocsps.length === 0 ? [] : [`authorityInfoAccess=${ocsps.map((url) => `OCSP;URI:${url}`).join(",")}`])
]

const check = Effect.fnUntraced(function* (options: Options, authority: Authority, name: string) {
  const { check } = yield* NodeRevocation.make(options)
  return yield* check(yield* load(name), yield* load(authority.name))
})

/** The reason of a check that fails. */
const fault = Effect.fnUntraced(function* (options: Options, authority: Authority, name: string) {
  const result = yield* Effect.result(check(options, authority, name))
  if (Result.isSuccess(result)) return yield* Effect.die(new Error(`it is ${result.success}`))
  assert.match(result.failure.message, /^[\x20-\x7e]+$/)
  return result.failure.reason
})

/** An authority with a certificate whose list or responder is at a path of the server. */
const setUp = Effect.fnUntraced(function* (key: Key = "p256") {
  const responder = yield* Responder.listen
  const authority = new Authority(fresh("authority"), key)
  const name = fresh("server")
  const url = (path: string) => `http://127.0.0.1:${responder.port}/${path}`
  authority.issue(name, { extensions: named({ crls: [url("crl")], ocsps: [url("ocsp")] }) })
  return { responder, authority, name, url }
})

/** The same answer to whatever is asked: that to the first question. */
const once = (authority: Authority, options?: Responder.Answering) => {
  let answer: Uint8Array | undefined
  const serve = Responder.ocsp(authority, options)
  return (asked: Buffer): Uint8Array => (answer ??= serve(asked))
}

const both = { crl: "required", ocsp: "required" } as const
const crl = { crl: "required" } as const
const ocsp = { ocsp: "required" } as const

describe("a certificate that is good", { timeout: 30_000 }, () => {
  it.live.each([["p256"], ["rsa"], ["ed25519"]] as const)("says the list, signed with %s", ([key]) =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp(key)
      authority.issue(fresh("other"))
      authority.revoke(`other${names - 1}`)
      responder.at("crl", () => authority.crl())
      assert.strictEqual(yield* check(crl, authority, name), "good")
      assert.deepStrictEqual(responder.log, ["GET /crl"])
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
      responder.at("crl", (_, response) => void response.writeHead(302, { location: "/crl" }).end())
      assert.match((yield* fault(crl, authority, name)).message, /302, which is not followed$/)
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

describe("what is of another time", { timeout: 30_000 }, () => {
  it.live.each([
    ["has expired", "20200101000000Z", "20210101000000Z"],
    ["is yet to come", "20490101000000Z", "20490201000000Z"]
  ] as const)("is a list that %s", ([, from, to]) =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("crl", () => authority.crl({ from, to }))
      const reason = yield* fault(crl, authority, name)
      assert.strictEqual(reason._tag, "Outdated")
      assert.match(reason.message, /^what the revocation list at http:.* says is of another time: from 20.* to 20/)
      const given = yield* fault({ ...crl, crls: [authority.crl({ from, to })], maxAddresses: 0 }, authority, name)
      assert.strictEqual(given._tag, "Outdated")
    }).pipe(Effect.scoped)
  )

  it.effect("is an answer that has expired", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const { authority, name, responder } = yield* setUp()
      responder.at("ocsp", once(authority))
      assert.strictEqual(yield* check(ocsp, authority, name), "good")
      yield* TestClock.adjust("25 hours")
      assert.strictEqual((yield* fault(ocsp, authority, name))._tag, "Outdated")
      yield* TestClock.adjust("-50 hours")
      assert.strictEqual((yield* fault(ocsp, authority, name))._tag, "Outdated")
    }).pipe(Effect.scoped)
  )

  it.effect("is an answer that does not say for how long, after a day", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(Date.now())
      const { authority, name, responder } = yield* setUp()
      responder.at("ocsp", once(authority, { args: [] }))
      assert.strictEqual(yield* check(ocsp, authority, name), "good")
      yield* TestClock.adjust("25 hours")
      assert.strictEqual((yield* fault(ocsp, authority, name))._tag, "Outdated")
    }).pipe(Effect.scoped)
  )
})

describe("a signature that is not to be trusted", { timeout: 30_000 }, () => {
  it.live("is that of another authority, of the same name or not", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const other = new Authority(fresh("authority"))
      const double = new Authority(fresh("authority"), "p256", `/C=US/O=Test/CN=${authority.name}`)
      for (const [wrong, why] of [
        [other, /the list is by another issuer$/],
        [double, /the signature of the list is wrong$/]
      ] as const) {
        responder.at("crl", () => wrong.crl())
        const reason = yield* fault(crl, authority, name)
        assert.strictEqual(reason._tag, "BadSignature")
        assert.match(reason.message, why)
      }
      responder.at("ocsp", Responder.ocsp(authority, { signer: double.name }))
      assert.match((yield* fault(ocsp, authority, name)).message, /the signature of the response is wrong$/)
      responder.at("ocsp", Responder.ocsp(authority, { signer: other.name }))
      assert.strictEqual((yield* fault(ocsp, authority, name))._tag, "BadSignature")
    }).pipe(Effect.scoped)
  )

  it.live("is that of a certificate that is not for it", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const expired = fresh("responder")
      const dates = { from: "20200101000000Z", to: "20210101000000Z" }
      authority.issue(expired, { extensions: ["extendedKeyUsage=OCSPSigning"], ...dates })
      const other = new Authority(fresh("authority"))
      const foreign = fresh("responder")
      other.issue(foreign, { extensions: ["extendedKeyUsage=OCSPSigning"] })
      for (const signer of [name, expired, foreign]) {
        responder.at("ocsp", Responder.ocsp(authority, { signer }))
        const reason = yield* fault(ocsp, authority, name)
        assert.strictEqual(reason._tag, "BadSignature")
        assert.match(reason.message, /who signed the response is no responder of the certificate's issuer$/)
      }
      responder.at("ocsp", Responder.ocsp(authority, { signer: expired, args: ["-ndays", "1", "-resp_no_certs"] }))
      assert.match((yield* fault(ocsp, authority, name)).message, /neither by the certificate's issuer nor with/)
    }).pipe(Effect.scoped)
  )

  it.live("is damaged, wherever", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const list = authority.crl()
      const { check } = yield* NodeRevocation.make(both)
      const certificate = yield* load(name)
      const issuer = yield* load(authority.name)
      const kept = once(authority)
      responder.at("ocsp", kept)
      responder.at("crl", () => list)
      assert.strictEqual(yield* check(certificate, issuer), "good")
      const answer = Buffer.from(kept(Buffer.alloc(0)))
      // wherever a bit is wrong it is no defect, and never good if it is in what is signed
      for (const [path, whole, { body }, options] of [
        ["crl", list, Crl.parse(list), crl],
        ["ocsp", answer, Ocsp.parse(answer), ocsp]
      ] as const) {
        const start = whole.indexOf(body)
        assert.isAbove(start, 0)
        for (let i = 0; i < whole.length; i++) {
          const damaged = Buffer.from(whole)
          damaged[i] = damaged[i]! ^ (1 << (i % 8))
          responder.at(path, () => damaged)
          const result = yield* Effect.result((yield* NodeRevocation.make(options)).check(certificate, issuer))
          const isSigned = i >= start && i < start + body.length
          assert.isFalse(isSigned && result._tag === "Success", `${path} with byte ${i} damaged is good`)
        }
      }
    }).pipe(Effect.scoped)
  )

  it.live("is by SHA-1", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const old = authority.crl({ args: ["-md", "sha1"] })
      responder.at("crl", () => old)
      const reason = yield* fault(crl, authority, name)
      assert.match(reason.message, /it is signed by an algorithm that is not accepted here \(1\.2\.840\.10045\.4\.1\)$/)
    }).pipe(Effect.scoped)
  )

  it.live("has another nonce", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("ocsp", once(authority))
      assert.strictEqual(yield* check({ ...ocsp, nonce: true }, authority, name), "good")
      const reason = yield* fault({ ...ocsp, nonce: true }, authority, name)
      assert.strictEqual(reason._tag, "BadSignature")
      assert.match(reason.message, /its nonce is not ours$/)
    }).pipe(Effect.scoped)
  )
})

describe("a list that is not for the certificate", { timeout: 30_000 }, () => {
  const cases = [
    ["authorities alone", ["onlyCA=TRUE"], /the list is for certificates of authorities alone$/],
    ["attribute certificates", ["onlyAA=TRUE"], /the list is for attribute certificates$/],
    ["some reasons", ["onlysomereasons=keyCompromise"], /the list is for some reasons of revocation alone$/],
    ["other issuers", ["indirectCRL=TRUE"], /the list is on behalf of other issuers, which is not read here$/],
    ["another address", ["fullname=URI:http://127.0.0.1:1/other"], /certificates that name another distribution point$/]
  ] as const
  it.live.each(cases)("but for %s", ([, lines, why]) =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const list = authority.crl({ scope: lines })
      responder.at("crl", () => list)
      const reason = yield* fault(crl, authority, name)
      assert.strictEqual(reason._tag, "Unavailable")
      assert.match(reason.message, why)
    }).pipe(Effect.scoped)
  )

  it.live("is one that is for users alone, and for this address", () =>
    Effect.gen(function* () {
      const { authority, name, responder, url } = yield* setUp()
      const list = authority.crl({ scope: ["onlyuser=TRUE", `fullname=URI:${url("crl")}`] })
      responder.at("crl", () => list)
      assert.strictEqual(yield* check(crl, authority, name), "good")
    }).pipe(Effect.scoped)
  )
})

describe("nobody that can be asked", { timeout: 30_000 }, () => {
  it.live("where the certificate names nobody: by the mode", () =>
    Effect.gen(function* () {
      const authority = new Authority(fresh("authority"))
      const name = fresh("server")
      authority.issue(name)
      assert.strictEqual(yield* check({ crl: "ifNamed", ocsp: "ifNamed" }, authority, name), "unchecked")
      assert.strictEqual(yield* check({}, authority, name), "unchecked")
      const byList = yield* fault(crl, authority, name)
      assert.strictEqual(byList._tag, "Unavailable")
      assert.strictEqual(byList.message, "the certificate names no revocation list at an address of http:")
      const byOcsp = yield* fault(ocsp, authority, name)
      assert.strictEqual(byOcsp.message, "the certificate names no OCSP responder at an address of http:")
    })
  )

  it.live.each([["ifNamed"], ["required"]] as const)("where nobody listens, with %s", ([mode]) =>
    Effect.gen(function* () {
      const { authority, name } = yield* Effect.scoped(setUp())
      for (const options of [{ crl: mode }, { ocsp: mode }]) {
        const reason = yield* fault(options, authority, name)
        assert.strictEqual(reason._tag, "Unavailable")
        assert.match(reason.message, /cannot be used: it cannot be fetched \(ECONNREFUSED\)$/)
      }
    })
  )

  it.live.each([
    ["nothing", (): void => {}],
    [
      "a byte now and then",
      (_: Buffer, response: { write(text: string): unknown }) => {
        const timer = setInterval(() => response.write("x"), 20)
        setTimeout(() => clearInterval(timer), 5000).unref()
      }
    ]
  ] as const)("where %s comes", ([, serve]) =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      responder.at("crl", serve)
      responder.at("ocsp", serve)
      for (const options of [crl, ocsp]) {
        const [reason, millis] = yield* timed(fault({ ...options, timeout: 300 }, authority, name))
        assert.strictEqual(reason._tag, "Unavailable")
        assert.match(reason.message, /there was no answer in 300ms$/)
        assert.isBelow(millis, unhurried)
      }
    }).pipe(Effect.scoped)
  )

  it.live("where too much comes, with and without its length", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const large = Buffer.alloc(200_000)
      const streaming: Responder.Serve = (_, response) => {
        for (let i = 0; i < 20; i++) response.write(large.subarray(0, 10_000))
        response.end()
      }
      for (const serve of [() => large, streaming]) {
        responder.at("crl", serve)
        responder.at("ocsp", serve)
        assert.match(
          (yield* fault({ ...crl, maxSize: 100_000 }, authority, name)).message,
          /has more than 100000 bytes$/
        )
        assert.match((yield* fault(ocsp, authority, name)).message, /it has more than 65536 bytes$/)
      }
    }).pipe(Effect.scoped)
  )

  it.live("where what comes is cut, or nonsense, or an error", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const list = authority.crl()
      const cases: ReadonlyArray<readonly [Responder.Serve, RegExp]> = [
        [() => list.subarray(0, 100), /goes beyond what it is in$/],
        [() => Buffer.from("<html>"), /cannot be used: /],
        [() => Buffer.alloc(0), /cannot be used: /],
        [(_, response) => void response.writeHead(500).end(), /HTTP status 500$/],
        [
          (_, response) =>
            void response.writeHead(200, { "content-length": "50" }).write("x", () => response.destroy()),
          /ended in the midst|cannot be fetched/
        ]
      ]
      for (const [serve, why] of cases) {
        responder.at("crl", serve)
        assert.match((yield* fault(crl, authority, name)).message, why)
      }
      for (const [code, why] of [
        [1, /could not read the request$/],
        [3, /wants to be asked later$/],
        [6, /does not answer us about this certificate$/],
        [9, /failed with status 9$/]
      ] as const) {
        responder.at("ocsp", () => Buffer.from([0x30, 3, 0x0a, 1, code]))
        assert.match((yield* fault(ocsp, authority, name)).message, why)
      }
      const other = fresh("server")
      authority.issue(other, { extensions: named({ ocsps: [`http://127.0.0.1:${responder.port}/other`] }) })
      const about = once(authority)
      responder.at("other", about)
      yield* check(ocsp, authority, other)
      responder.at("ocsp", about)
      assert.match((yield* fault(ocsp, authority, name)).message, /the response is about other certificates$/)
    }).pipe(Effect.scoped)
  )

  it.live("where the issuer is another, or not a list", () =>
    Effect.gen(function* () {
      const { authority, name } = yield* setUp()
      const other = new Authority(fresh("authority"))
      const { check } = yield* NodeRevocation.make(both)
      const error = yield* Effect.flip(check(yield* load(name), yield* load(other.name)))
      assert.strictEqual(error.message, "the certificate's issuer is not known")
      assert.isTrue((yield* load(authority.name)).hasCertificate)
      const given = yield* Effect.flip(NodeRevocation.make({ crls: [read(`${name}.crt`)] }))
      assert.match(given.message, /^a given list cannot be read: /)
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
