/**
 * Lists and answers that say nothing of a certificate: of another time, by somebody else, for others, or not to be had.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as NodeRevocation from "../../src/node/NodeRevocation.ts"
import * as Crl from "../../src/tls/internal/crl.ts"
import * as Ocsp from "../../src/tls/internal/ocsp.ts"
import { unhurried } from "../proxy/connected.ts"
import { timed } from "../proxy/watch.ts"
import { Authority } from "./authority.ts"
import { read } from "./openssl.ts"
import * as Responder from "./responder.ts"
import { both, check, crl, fault, fresh, load, named, ocsp, once, setUp } from "./revoking.ts"

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
      const why = /it is signed by an algorithm that is not accepted here \(1\.2\.840\.10045\.4\.1\)$/
      assert.match(reason.message, why)
      // so is a responder whom the issuer has made one by it
      const signer = fresh("responder")
      authority.issue(signer, { extensions: ["extendedKeyUsage=OCSPSigning"], hash: "sha1" })
      responder.at("ocsp", Responder.ocsp(authority, { signer }))
      assert.match((yield* fault(ocsp, authority, name)).message, why)
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

  it("is one whose entries are damaged, wherever the certificate would stand", () => {
    const authority = new Authority(fresh("authority"))
    const name = fresh("server")
    authority.issue(name)
    authority.revoke(name)
    const list = authority.crl()
    const at = list.indexOf(Crl.parse(list).entries)
    // the serial number is no INTEGER
    list[at + 2] = 0x04
    assert.throws(() => Crl.parse(list), /the serial number of an entry is missing/)
  })

  it.live("is one that is for users alone, and for this address", () =>
    Effect.gen(function* () {
      const { authority, name, responder, url } = yield* setUp()
      const list = authority.crl({ scope: ["onlyuser=TRUE", `fullname=URI:${url("crl")}`] })
      responder.at("crl", () => list)
      assert.strictEqual(yield* check(crl, authority, name), "good")
    }).pipe(Effect.scoped)
  )
})

describe("an answer with an extension that is not known here", { timeout: 30_000 }, () => {
  it.live("says nothing if the extension is critical", () =>
    Effect.gen(function* () {
      const { authority, name, responder } = yield* setUp()
      const [id, critical, value] = ["06032a0304", "0101ff", "04020500"]
      responder.at("ocsp", Responder.extended(authority, Buffer.from(`3009${id}${value}`, "hex")))
      assert.strictEqual(yield* check(ocsp, authority, name), "good")
      responder.at("ocsp", Responder.extended(authority, Buffer.from(`300c${id}${critical}${value}`, "hex")))
      const reason = yield* fault(ocsp, authority, name)
      assert.strictEqual(reason._tag, "Unavailable")
      assert.match(reason.message, /the response has an extension that is not read here \(1\.2\.3\.4\)$/)
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
