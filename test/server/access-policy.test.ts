/**
 * Who may come in: each policy, how they combine, in which order they are asked, and what a refused client is told.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Duration, Effect, Fiber, Layer, Redacted, Result } from "effect"
import { TestClock } from "effect/testing"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as AccessList from "../../src/server/AccessList.ts"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"
import { ClientNames } from "../../src/server/ClientNames.ts"
import type { Denial } from "../../src/server/Denial.ts"
import * as Identity from "../../src/server/Identity.ts"
import * as Judge from "../../src/server/Judge.ts"
import type { Peer } from "../../src/server/UpgradeListener.ts"
import { Certificate } from "../../src/tls/Certificate.ts"
import type { Session } from "../../src/tls/TlsSession.ts"
import { certificate, text } from "../tls/openssl.ts"
import { counting } from "../connection/metrics.ts"
import { request } from "./memory-listener.ts"
import { collectingLogs } from "./serving.ts"

const list = (text: string) => Result.getOrThrow(AccessList.parse(text))

const encoded = (text: string) => Buffer.from(text).toString("base64")
const ann = { authorization: `Basic ${encoded("ann:right")}` }

/** Ann's password is `right`, her token `ann-token`. */
const basic = AccessPolicy.basic({
  realm: "here",
  verify: (user, password) =>
    user === "ann" && Redacted.value(password) === "right"
      ? Effect.succeed({})
      : Effect.fail({ kind: "credentialsWrong", reason: `wrong user or password for ${JSON.stringify(user)}` } as const)
})
const bearerFrom = (from?: AccessPolicy.BearerOptions["from"]) =>
  AccessPolicy.bearer({
    realm: "here",
    from,
    verify: (token) =>
      Redacted.value(token) === "ann-token"
        ? Effect.succeed({ subject: "ann", claims: { group: "ops" } })
        : Effect.fail({ kind: "credentialsWrong", reason: "the token is not known" } as const)
  })
const bearer = bearerFrom()
const blocked = AccessPolicy.address({ blocked: list("192.0.2.0/24") })
const page = AccessPolicy.origin(["https://app.example"])

const client = (
  headers: Readonly<Record<string, string>> = {},
  rest: { readonly remoteAddress?: string; readonly target?: string; readonly peer?: Peer } = {}
): AccessPolicy.Client => ({
  request: request(headers, rest.target),
  remoteAddress: rest.remoteAddress,
  peer: rest.peer
})

const admitted = (policy: AccessPolicy.Policy, who: AccessPolicy.Client) => policy.judge(who)
const refused = (policy: AccessPolicy.Policy, who: AccessPolicy.Client): Effect.Effect<Denial, Identity.Identity> =>
  Effect.flip(policy.judge(who))

certificate("client", { subject: "/C=DE/O=Example Ltd/OU=Ops/CN=ann.example.com" })
const certificateOf = (name: string) =>
  new Certificate({ der: Buffer.from(text(`${name}.crt`).replace(/-----[^-]+-----|\s/g, ""), "base64") })
const shown = certificateOf("client")
const withCertificate = (clientCertificateStatus = "OK", clientCertificate = shown): Peer => ({
  // a policy looks at no more of a session
  tls: { clientCertificate, clientCertificateStatus } as Session
})

describe("address", () => {
  it.effect("takes who is not blocked, and in a list of those allowed nobody else", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(
        yield* admitted(blocked, client({}, { remoteAddress: "198.51.100.1" })),
        Identity.anonymous
      )
      const denial = yield* refused(blocked, client({}, { remoteAddress: "::ffff:192.0.2.7" }))
      assert.deepStrictEqual([denial.kind, denial.status, denial.policy], ["address", 403, "address"])
      const inside = AccessPolicy.address({ allowed: list("2001:db8::/32, 10.0.0.*") })
      yield* admitted(inside, client({}, { remoteAddress: "2001:db8::5" }))
      yield* admitted(inside, client({}, { remoteAddress: "10.0.0.9" }))
      for (const remoteAddress of ["10.0.1.9", "2001:db9::1", undefined]) {
        assert.strictEqual(
          (yield* refused(inside, client({}, remoteAddress === undefined ? {} : { remoteAddress }))).kind,
          "address"
        )
      }
    })
  )

  it.effect("looks up names where it is asked to, with the service that it is given", () =>
    Effect.gen(function* () {
      const byName = AccessPolicy.addressOrName({ allowed: list("trusted.example") })
      const names = yield* Layer.build(
        Layer.succeed(ClientNames)({
          addressesOf: () =>
            Effect.succeed(list("192.0.2.1").entries.flatMap((_) => ("network" in _ ? [_.network.address] : []))),
          namesOf: () => Effect.succeed([])
        })
      )
      const policy = AccessPolicy.provideContext(byName, Context.pick(ClientNames)(names))
      yield* admitted(policy, client({}, { remoteAddress: "192.0.2.1" }))
      assert.strictEqual((yield* refused(policy, client({}, { remoteAddress: "192.0.2.2" }))).status, 403)
    })
  )
})

describe("origin", () => {
  it.effect("takes the pages that it names, and who names none unless one is required", () =>
    Effect.gen(function* () {
      yield* admitted(page, client({ origin: "https://app.example" }))
      yield* admitted(page, client())
      const denial = yield* refused(page, client({ origin: "https://evil.example" }))
      assert.deepStrictEqual([denial.kind, denial.status], ["origin", 403])
      const long = client({ origin: `https://${"x".repeat(5000)}` })
      assert.isBelow((yield* refused(page, long)).reason.length, 300)
      const strict = AccessPolicy.origin(["https://app.example"], { required: true })
      yield* admitted(strict, client({ origin: "https://app.example" }))
      assert.strictEqual((yield* refused(strict, client())).kind, "origin")
    })
  )
})

describe("basic", () => {
  it.effect("proves a user, and challenges with the realm and UTF-8 whatever is wrong", () =>
    Effect.gen(function* () {
      const identity = yield* admitted(basic, client(ann))
      assert.deepStrictEqual(identity, {
        subject: "ann",
        proofs: [{ method: "basic", subject: "ann", claims: {} }]
      })
      for (const [authorization, kind] of [
        [undefined, "credentialsMissing"],
        ["Bearer x", "credentialsMissing"],
        // in a time that grows with its square this would take for ever
        [`Basic x${" ".repeat(5_000_000)}y`, "credentialsMalformed"],
        ["Basic", "credentialsMalformed"],
        ["Basic ***", "credentialsMalformed"],
        ["Basic YW5u OnJpZ2h0", "credentialsMalformed"],
        [`Basic ${encoded("no colon")}`, "credentialsMalformed"],
        [`Basic ${encoded("ann:ri\0ght")}`, "credentialsMalformed"],
        [`Basic ${Buffer.from("ann:\xff", "latin1").toString("base64")}`, "credentialsMalformed"],
        [`Basic ${encoded("ann:wrong")}`, "credentialsWrong"],
        [`Basic ${encoded("bob:right")}`, "credentialsWrong"]
      ] as const) {
        const denial = yield* refused(basic, client(authorization === undefined ? {} : { authorization }))
        assert.strictEqual(denial.kind, kind, authorization)
        assert.deepStrictEqual(denial.refusal.status, 401)
        assert.deepStrictEqual(denial.refusal.headers, { "www-authenticate": ['Basic realm="here", charset="UTF-8"'] })
      }
    })
  )

  it.effect(
    "takes a scheme in any case, base64 without padding, a password with colons, and one form of Unicode for all",
    () =>
      Effect.gen(function* () {
        const seen: Array<string> = []
        const policy = AccessPolicy.basic({
          verify: (user, password) => Effect.sync(() => (seen.push(`${user} ${Redacted.value(password)}`), {}))
        })
        for (const authorization of [
          `bAsIc ${encoded("ann:a:b:")}`,
          `Basic   ${encoded("jürgen:größe")}  `,
          `Basic ${encoded("jürgen:größe".normalize("NFD"))}`,
          `Basic ${encoded(":").replaceAll("=", "")}`
        ]) {
          yield* admitted(policy, client({ authorization }))
        }
        assert.deepStrictEqual(seen, ["ann a:b:", "jürgen größe", "jürgen größe", " "])
      })
  )

  it("keeps a realm from ending its quotes or the header", () => {
    const { judge } = AccessPolicy.basic({ realm: 'a"b\\c\r\nd: é', verify: () => Effect.succeed({}) })
    const denial = Effect.runSync(Effect.flip(judge(client())))
    assert.deepStrictEqual(denial.challenges, ['Basic realm="abcd: ", charset="UTF-8"'])
  })
})

describe("bearer", () => {
  it.effect("proves a subject and claims, and challenges without a word of why", () =>
    Effect.gen(function* () {
      const identity = yield* admitted(bearer, client({ authorization: "bearer ann-token" }))
      assert.deepStrictEqual(identity, {
        subject: "ann",
        proofs: [{ method: "bearer", subject: "ann", claims: { group: "ops" } }]
      })
      for (const [authorization, kind] of [
        [undefined, "credentialsMissing"],
        ["Bearer", "credentialsMalformed"],
        ["Bearer a b", "credentialsMalformed"],
        ["Bearer =", "credentialsMalformed"],
        ["Bearer ann-tokem", "credentialsWrong"]
      ] as const) {
        const denial = yield* refused(bearer, client(authorization === undefined ? {} : { authorization }))
        assert.strictEqual(denial.kind, kind)
        assert.deepStrictEqual(denial.refusal.headers, { "www-authenticate": ['Bearer realm="here"'] })
      }
    })
  )

  it.effect("looks in the query and among the subprotocols only where it is to, and takes no two tokens", () =>
    Effect.gen(function* () {
      const everywhere = bearerFrom(["header", { query: "access_token" }, { subprotocol: "bearer." }])
      const inQuery = client({}, { target: "/?a=1&access_token=ann-token" })
      const inProtocol = client({ "sec-websocket-protocol": "binary, bearer.ann-token" })
      for (const who of [inQuery, inProtocol]) {
        assert.strictEqual((yield* admitted(everywhere, who)).subject, "ann")
        assert.strictEqual((yield* refused(bearer, who)).kind, "credentialsMissing")
      }
      for (const who of [
        client({ authorization: "Bearer ann-token" }, { target: "/?access_token=ann-token" }),
        client({}, { target: "/?access_token=ann-token&access_token=ann-token" }),
        client({ "sec-websocket-protocol": "bearer.ann-token, bearer.other" })
      ]) {
        assert.strictEqual((yield* refused(everywhere, who)).kind, "credentialsMalformed")
      }
    })
  )
})

describe("clientCertificate", () => {
  it.effect("takes a subject as the log and OpenSSL write it, with quotes and other names of types", () =>
    Effect.gen(function* () {
      certificate("inc", { subject: "/C=DE/ST=Bavaria/O=Example, Inc./emailAddress=a@b.c/CN=ann" })
      const peer = withCertificate("OK", certificateOf("inc"))
      const whole = 'CN=ann, O="Example, Inc.", S=Bavaria, C=DE, E=a@b.c'
      const log = yield* refused(AccessPolicy.clientCertificate({ subjects: ["bob"] }), client({}, { peer }))
      assert.include(log.reason, JSON.stringify(whole))
      for (const subject of [
        whole,
        "ST=Bavaria",
        "S=Bavaria",
        "state = Bav*",
        "emailAddress=a@b.c",
        "2.5.4.3=ann",
        'C = DE, ST = Bavaria, O = "Example, Inc.", emailAddress = a@b.c, CN = ann',
        'O="Example, *"',
        "CN=ann,"
      ]) {
        yield* admitted(AccessPolicy.clientCertificate({ subjects: [subject] }), client({}, { peer }))
      }
      for (const subject of ['O="Example, inc."', "ST=DE", "O=Example*, S=Bayern"]) {
        yield* refused(AccessPolicy.clientCertificate({ subjects: [subject] }), client({}, { peer }))
      }
    })
  )

  it.effect("proves nobody's name where the subject has none, and tells the log no more than so much of it", () =>
    Effect.gen(function* () {
      const units = Array.from({ length: 8 }, () => `/OU=${"x".repeat(64)}`).join("")
      certificate("company", { subject: `/CN=ann/O=Example Ltd${units}` })
      certificate("nameless", { subject: "/C=DE/O=Example Ltd" })
      const identityOf = (name: string) =>
        admitted(AccessPolicy.clientCertificate(), client({}, { peer: withCertificate("OK", certificateOf(name)) }))
      assert.strictEqual((yield* identityOf("company")).subject, "ann")
      assert.isUndefined((yield* identityOf("nameless")).subject)
      // and then it is who the password says
      const both = client(ann, { peer: withCertificate("OK", certificateOf("nameless")) })
      const { proofs, subject } = yield* admitted(AccessPolicy.allOf(AccessPolicy.clientCertificate(), basic), both)
      assert.deepStrictEqual([subject, proofs.length], ["ann", 2])
      const peer = withCertificate("OK", certificateOf("company"))
      const { reason } = yield* refused(AccessPolicy.clientCertificate({ accept: () => false }), client({}, { peer }))
      assert.isBelow(reason.length, 300)
    })
  )

  it("takes no subject that cannot be read: it would let nobody in", () => {
    for (const subject of ["O=Example, Inc.", 'O="Example', "/C=DE/CN=ann", "CN=ann,,", "NC=ann", "=ann", "", " "]) {
      assert.throws(
        () => AccessPolicy.clientCertificate({ subjects: ["ann", subject] }),
        /^subjects: expected a common name, or parts of a subject such as O="Example, Inc.", OU=Ops; got "/
      )
    }
  })

  it.effect("proves the common name of a certificate that TLS trusts and whose subject fits", () =>
    Effect.gen(function* () {
      const subjects: ReadonlyArray<readonly [string, boolean]> = [
        ["ann.example.com", true],
        ["*.example.com", true],
        [" ann.example.com ", true],
        ["CN=ann.example.com", true],
        ["O=Example Ltd, OU=Ops", true],
        ["ou=Ops", true],
        ["ann", false],
        ["example.com", false],
        ["ann.example.co*x", false],
        ["OU=Ops, O=Other", false],
        ["OU=ops", false],
        ["annXexample.com", false]
      ]
      for (const [subject, fits] of subjects) {
        const policy = AccessPolicy.clientCertificate({ subjects: ["nobody", subject] })
        const result = yield* Effect.result(policy.judge(client({}, { peer: withCertificate() })))
        assert.strictEqual(Result.isSuccess(result), fits, subject)
        if (Result.isFailure(result)) {
          assert.deepStrictEqual([result.failure.kind, result.failure.status], ["certificateRefused", 403])
        } else assert.strictEqual(result.success.subject, "ann.example.com")
      }
      const any = AccessPolicy.clientCertificate()
      const { proofs } = yield* admitted(any, client({}, { peer: withCertificate() }))
      assert.strictEqual(proofs[0]?.claims["fingerprintSha256"], shown.fingerprintSha256)
      for (const who of [client(), client({}, { peer: {} })]) {
        assert.strictEqual((yield* refused(any, who)).kind, "certificateMissing")
      }
      const expired = client({}, { peer: withCertificate("CERT_HAS_EXPIRED") })
      assert.strictEqual((yield* refused(any, expired)).kind, "certificateRefused")
      const none = AccessPolicy.clientCertificate({ accept: () => false })
      assert.strictEqual((yield* refused(none, client({}, { peer: withCertificate() }))).kind, "certificateRefused")
    })
  )
})

describe("allOf", () => {
  it.effect(
    "asks from cheap to dear, in whatever order they are written, and no further than the first that refuses",
    () =>
      Effect.gen(function* () {
        const asked: Array<string> = []
        const watched = <R>(policy: AccessPolicy.Policy<R>): AccessPolicy.Policy<R> => ({
          ...policy,
          judge: (who) => {
            asked.push(policy.name)
            return policy.judge(who)
          }
        })
        const last = AccessPolicy.custom("mine", () => Effect.succeed(Identity.anonymous))
        const policies = [last, basic, AccessPolicy.clientCertificate(), page, blocked].map(watched)
        const nested = AccessPolicy.allOf(policies[0]!, AccessPolicy.allOf(...policies.slice(1)))
        const inner = AccessPolicy.allOf(policies[0]!, ...policies.slice(2))
        const provided = AccessPolicy.allOf(policies[1]!, AccessPolicy.provideContext(inner, Context.empty()))
        for (const policy of [AccessPolicy.allOf(...policies), nested, provided]) {
          asked.length = 0
          const identity = yield* admitted(policy, client(ann, { peer: withCertificate() }))
          assert.deepStrictEqual(asked, ["address", "origin", "clientCertificate", "basic", "mine"])
          // the certificate was proven first
          assert.deepStrictEqual([identity.subject, identity.proofs.length], ["ann.example.com", 2])
          assert.strictEqual(Identity.provenBy(identity, "basic")?.subject, "ann")
          asked.length = 0
          assert.strictEqual(
            (yield* refused(policy, client({ ...ann, origin: "https://evil.example" }, { peer: withCertificate() })))
              .kind,
            "origin"
          )
          assert.deepStrictEqual(asked, ["address", "origin"])
        }
        assert.deepStrictEqual(yield* admitted(AccessPolicy.allOf(), client()), Identity.anonymous)
        assert.strictEqual(Identity.make(), Identity.anonymous)
        // one of several is as dear as the dearest of them
        const either = AccessPolicy.anyOf(watched(basic), watched(AccessPolicy.clientCertificate()))
        asked.length = 0
        yield* admitted(AccessPolicy.allOf(either, watched(bearer)), {
          ...client({ authorization: "Bearer ann-token" }, { peer: withCertificate() })
        })
        assert.deepStrictEqual(asked, ["bearer", "clientCertificate"])
      })
  )
})

describe("anyOf", () => {
  it.effect("takes the first that lets in, and refuses with every challenge and the reason of each", () =>
    Effect.gen(function* () {
      const policy = AccessPolicy.anyOf(basic, bearer, AccessPolicy.clientCertificate())
      for (const [who, method] of [
        [client(ann), "basic"],
        [client({ authorization: "Bearer ann-token" }), "bearer"],
        [client(ann, { peer: withCertificate() }), "clientCertificate"]
      ] as const) {
        assert.deepStrictEqual(
          (yield* admitted(policy, who)).proofs.map((_) => _.method),
          [method]
        )
      }
      const nothing = yield* refused(policy, client())
      assert.deepStrictEqual(nothing.challenges, ['Bearer realm="here"', 'Basic realm="here", charset="UTF-8"'])
      const wrong = yield* refused(policy, client({ authorization: `Basic ${encoded("ann:wrong")}` }))
      assert.deepStrictEqual([wrong.kind, wrong.status], ["credentialsWrong", 401])
      assert.deepStrictEqual(wrong.refusal, nothing.refusal)
      for (const part of ["clientCertificate: ", "bearer: ", 'basic: wrong user or password for "ann"']) {
        assert.include(wrong.reason, part)
      }
      const nobody = yield* refused(AccessPolicy.anyOf(), client(ann))
      assert.strictEqual(nobody.status, 403)
    })
  )

  it.effect("composes with allOf both ways", () =>
    Effect.gen(function* () {
      const local = AccessPolicy.address({ allowed: list("127.0.0.1") })
      // from here without a password, from elsewhere with one, and never from the blocked network
      const policy = AccessPolicy.allOf(AccessPolicy.anyOf(local, basic), blocked)
      yield* admitted(policy, client({}, { remoteAddress: "127.0.0.1" }))
      yield* admitted(policy, client(ann, { remoteAddress: "198.51.100.1" }))
      assert.strictEqual((yield* refused(policy, client({}, { remoteAddress: "198.51.100.1" }))).status, 401)
      assert.strictEqual((yield* refused(policy, client(ann, { remoteAddress: "192.0.2.1" }))).status, 403)
      const both = AccessPolicy.anyOf(AccessPolicy.allOf(local, basic), bearer)
      assert.strictEqual((yield* admitted(both, client(ann, { remoteAddress: "127.0.0.1" }))).subject, "ann")
      assert.strictEqual((yield* refused(both, client(ann, { remoteAddress: "192.0.2.1" }))).status, 401)
    })
  )

  it.effect("says that it could not check, if the one that might have let in could not", () =>
    Effect.gen(function* () {
      const down = AccessPolicy.jwt({ verify: () => Effect.fail({ kind: "unavailable", reason: "no keys" } as const) })
      const denial = yield* refused(AccessPolicy.anyOf(bearer, down), client({ authorization: "Bearer some-token" }))
      assert.deepStrictEqual([denial.status, denial.refusal.headers], [503, {}])
    })
  )
})

describe("custom", () => {
  it.effect("has the application's word, identity and services", () =>
    Effect.gen(function* () {
      const policy = AccessPolicy.custom("mine", ({ request }) =>
        Effect.flatMap(ClientNames, () =>
          request.path === "/open"
            ? Effect.succeed(Identity.make({ method: "mine", subject: "somebody", claims: {} }))
            : Effect.fail(AccessPolicy.denied("mine", "not the open path"))
        )
      )
      const names = { addressesOf: () => Effect.succeed([]), namesOf: () => Effect.succeed([]) }
      const provided = AccessPolicy.provideContext(policy, Context.make(ClientNames, names))
      assert.strictEqual((yield* admitted(provided, client({}, { target: "/open?x" }))).subject, "somebody")
      const denial = yield* refused(provided, client())
      assert.deepStrictEqual([denial.kind, denial.status, denial.policy], ["custom", 403, "mine"])
      assert.strictEqual(AccessPolicy.denied("mine", "x", ["Mine"]).status, 401)
    })
  )
})

describe("Judge", () => {
  it.effect("tells the log and the metric why, and the client nothing", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const judge = yield* Judge.make()
        const secret = { authorization: `Basic ${encoded("ann:the-secret")}` }
        const ask = Effect.flip(judge.judge(basic, client(secret, { remoteAddress: "192.0.2.9" })))
        assert.strictEqual(yield* counting(Telemetry.denials, "credentialsWrong", ask), 1)
        const answer = yield* ask
        const other = yield* Effect.flip(judge.judge(basic, client()))
        assert.deepStrictEqual(answer, other)
        assert.notInclude(JSON.stringify(answer), "password")
        assert.include(logs[0]?.text, "192.0.2.9")
        assert.include(logs[0]?.text, 'wrong user or password for "ann"')
        for (const { text } of logs) {
          assert.notInclude(text, "the-secret")
          assert.notInclude(text, encoded("ann:the-secret"))
        }
      })
    )
  )

  it.effect("answers 503 when a policy takes longer than it may", () =>
    Effect.gen(function* () {
      const judge = yield* Judge.make({ accessTimeout: "3 seconds" })
      const fiber = yield* Effect.forkChild(
        Effect.flip(
          judge.judge(
            AccessPolicy.custom("slow", () => Effect.never),
            client()
          )
        )
      )
      yield* TestClock.adjust(Duration.seconds(3))
      assert.strictEqual((yield* Fiber.join(fiber)).status, 503)
    })
  )

  it.effect("writes at most 20 lines a second, and then how many it left out", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const judge = yield* Judge.make()
        const ask = Effect.flip(judge.judge(basic, client()))
        yield* Effect.replicateEffect(ask, 1000)
        assert.strictEqual(logs.length, 20)
        yield* TestClock.adjust("1 second")
        yield* ask
        assert.strictEqual(logs.length, 21)
        assert.include(logs[20]?.text, "980 more")
      })
    )
  )
})
