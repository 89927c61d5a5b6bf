/**
 * Tokens that jose makes, with every algorithm and with everything wrong that can be, and the keys that they are verified with.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Redacted, Result } from "effect"
import { TestClock } from "effect/testing"
import * as jose from "jose"
import { once } from "node:events"
import * as Http from "node:http"
import type { AddressInfo } from "node:net"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"
import * as Jwt from "../../src/server/Jwt.ts"
import * as JwtKeys from "../../src/server/JwtKeys.ts"
import { certificate, key, openssl, path, text } from "../tls/openssl.ts"
import { request } from "./memory-listener.ts"
import { collectingLogs, eventually } from "./serving.ts"

const secretText = "0123456789abcdef".repeat(4)
const secretBytes = new TextEncoder().encode(secretText)
const asymmetric = ["RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA", "Ed25519"]
const symmetric = ["HS256", "HS384", "HS512"]

const pair = (alg: string) => Effect.promise(() => jose.generateKeyPair(alg, { extractable: true }))
const promised = <A>(make: () => Promise<A>) => Effect.promise(make)

/** The clock of a test begins at 0. */
const sign = (
  signer: jose.CryptoKey | Uint8Array,
  alg: string,
  claims: Readonly<Record<string, unknown>> = {},
  header: Partial<jose.JWTHeaderParameters> = {}
) =>
  promised(() =>
    new jose.SignJWT({ sub: "ann", exp: 600, ...claims }).setProtectedHeader({ ...header, alg }).sign(signer)
  )

const kindOf = (jwt: Jwt.Jwt, token: string) =>
  Effect.map(Effect.result(jwt.verify(token)), (result) => (Result.isSuccess(result) ? "good" : result.failure.kind))

const part = (value: unknown) => Buffer.from(JSON.stringify(value)).toString("base64url")
const good = { sub: "ann", exp: 600 }

describe("Jwt", () => {
  for (const alg of asymmetric) {
    it.effect(`verifies ${alg} with a key in PEM and as a JWK, and no token that anyone has touched`, () =>
      Effect.gen(function* () {
        const { privateKey, publicKey } = yield* pair(alg)
        const other = yield* pair(alg)
        const pem = yield* promised(() => jose.exportSPKI(publicKey))
        const jwk = yield* promised(() => jose.exportJWK(publicKey))
        const token = yield* sign(privateKey, alg)
        const [header = "", payload = "", signature = ""] = token.split(".")
        for (const written of [pem, JSON.stringify(jwk), JSON.stringify({ keys: [{ ...jwk, alg, kid: "one" }] })]) {
          const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromText(written) })
          assert.deepStrictEqual(yield* jwt.verify(token), good)
          assert.deepStrictEqual(yield* jwt.verify(Redacted.make(token)), good)
          const flipped = signature.startsWith("A") ? `B${signature.slice(1)}` : `A${signature.slice(1)}`
          const bad: ReadonlyArray<readonly [string, string]> = [
            ["the payload", `${header}.${part({ ...good, sub: "root" })}.${signature}`],
            ["the signature", `${header}.${payload}.${flipped}`],
            ["no signature", `${header}.${payload}.`],
            ["alg none", `${part({ alg: "none" })}.${payload}.`],
            ["alg None and the signature", `${part({ alg: "None" })}.${payload}.${signature}`],
            ["another key", yield* sign(other.privateKey, alg)],
            // the public key as the secret of HS256 (RFC 8725 section 2.1)
            ["the public key as a secret", yield* sign(new TextEncoder().encode(pem), "HS256")],
            ["another kid", `${part({ alg, kid: "two" })}.${payload}.${signature}`]
          ]
          for (const [what, touched] of bad) assert.strictEqual(yield* kindOf(jwt, touched), "credentialsWrong", what)
        }
      })
    )
  }

  for (const alg of symmetric) {
    it.effect(`verifies ${alg} with a secret, and with no secret that is too short for it`, () =>
      Effect.gen(function* () {
        const jwt = yield* Jwt.make({ keys: yield* JwtKeys.secret(Redacted.make(secretText)) })
        const token = yield* sign(secretBytes, alg)
        assert.deepStrictEqual(yield* jwt.verify(token), good)
        const oct = JSON.stringify({ kty: "oct", k: jose.base64url.encode(secretBytes) })
        assert.deepStrictEqual(yield* (yield* Jwt.make({ keys: yield* JwtKeys.fromText(oct) })).verify(token), good)
        const short = yield* Jwt.make({ keys: yield* JwtKeys.secret(Redacted.make(secretText.slice(0, 32))) })
        const shortToken = yield* sign(secretBytes.slice(0, 32), alg)
        assert.strictEqual(yield* kindOf(short, shortToken), alg === "HS256" ? "good" : "credentialsWrong")
        assert.strictEqual(yield* kindOf(jwt, shortToken), "credentialsWrong")
      })
    )
  }

  it.effect("holds a token to its time, with some leeway", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_000_000)
      const keys = yield* JwtKeys.secret(Redacted.make(secretText))
      const jwt = yield* Jwt.make({ keys })
      const strict = yield* Jwt.make({ keys, leeway: 0 })
      for (const [claims, lenient, exact] of [
        [{ exp: 1001 }, "good", "good"],
        [{ exp: 999 }, "good", "tokenExpired"],
        [{ exp: 969 }, "tokenExpired", "tokenExpired"],
        [{ exp: 2000, nbf: 1000 }, "good", "good"],
        [{ exp: 2000, nbf: 1010 }, "good", "tokenNotYetValid"],
        [{ exp: 2000, nbf: 1031 }, "tokenNotYetValid", "tokenNotYetValid"],
        [{ exp: undefined }, "credentialsWrong", "credentialsWrong"]
      ] as const) {
        const token = yield* sign(secretBytes, "HS256", claims)
        assert.strictEqual(yield* kindOf(jwt, token), lenient, JSON.stringify(claims))
        assert.strictEqual(yield* kindOf(strict, token), exact, JSON.stringify(claims))
      }
      const forever = yield* Jwt.make({ keys, requireExpiry: false })
      assert.strictEqual(yield* kindOf(forever, yield* sign(secretBytes, "HS256", { exp: undefined })), "good")
    })
  )

  it.effect("holds a token to its issuer and audience", () =>
    Effect.gen(function* () {
      const keys = yield* JwtKeys.secret(Redacted.make(secretText))
      const jwt = yield* Jwt.make({ keys, issuer: ["https://a.example", "https://b.example"], audience: "vnc" })
      for (const [claims, kind] of [
        [{ iss: "https://b.example", aud: "vnc" }, "good"],
        [{ iss: "https://a.example", aud: ["db", "vnc"] }, "good"],
        [{ iss: "https://c.example", aud: "vnc" }, "tokenNotForUs"],
        [{ iss: "https://a.example", aud: "db" }, "tokenNotForUs"],
        [{ aud: "vnc" }, "credentialsWrong"],
        [{ iss: "https://a.example" }, "credentialsWrong"]
      ] as const) {
        const token = yield* sign(secretBytes, "HS256", claims)
        assert.strictEqual(yield* kindOf(jwt, token), kind, JSON.stringify(claims))
      }
    })
  )

  it.effect("takes anything at all for a token, and says no more of it than its kind", () =>
    Effect.gen(function* () {
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.secret(Redacted.make(secretText)) })
      const token = yield* sign(secretBytes, "HS256")
      const rubbish = [
        "",
        ".",
        "..",
        "a.b.c",
        "a.b.c.d.e",
        `${part({})}.${part({})}.AAAA`,
        `${part({ alg: 5 })}.${part({})}.AAAA`,
        `${part([])}.${part({})}.AAAA`,
        `${part({ alg: "HS256", kid: {} })}.${part({})}.AAAA`,
        `${part({ alg: "HS256", crit: ["x"], x: 1 })}.${part(good)}.AAAA`,
        `${part({ alg: "HS256", b64: false, crit: ["b64"] })}.${part(good)}.AAAA`,
        "é".repeat(50),
        "A".repeat(100_000),
        ...Array.from({ length: token.length }, (_, i) => `${token.slice(0, i)}*${token.slice(i + 1)}`),
        ...Array.from({ length: token.length - 1 }, (_, i) => token.slice(0, i))
      ]
      for (const bad of rubbish) {
        const error = yield* Effect.flip(jwt.verify(bad))
        assert.include(["credentialsMalformed", "credentialsWrong"], error.kind, bad)
        if (bad.length > 10) assert.notInclude(error.message, bad.slice(0, 10))
      }
      // as good as any other, but for its length: of 16,384 characters one is still read
      for (const [length, kind] of [
        [16_384, "good"],
        [16_388, "credentialsMalformed"]
      ] as const) {
        const short = yield* sign(secretBytes, "HS256", { pad: "" })
        const long = yield* sign(secretBytes, "HS256", { pad: "x".repeat(((length - short.length) * 3) / 4) })
        assert.strictEqual(long.length, length)
        assert.strictEqual(yield* kindOf(jwt, long), kind)
      }
      // signed, but no claims
      const list = yield* promised(() =>
        new jose.CompactSign(new TextEncoder().encode("[1]")).setProtectedHeader({ alg: "HS256" }).sign(secretBytes)
      )
      assert.strictEqual(yield* kindOf(jwt, list), "credentialsMalformed")
    })
  )

  it.effect("finds the key that signed among several, by its name or by trying", () =>
    Effect.gen(function* () {
      const pairs = yield* Effect.replicateEffect(pair("ES256"), 3)
      const named = yield* Effect.forEach(pairs, ({ publicKey }, i) =>
        promised(async () => ({ ...(await jose.exportJWK(publicKey)), kid: `k${i}` }))
      )
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromText(JSON.stringify({ keys: named })) })
      const last = pairs[2]!.privateKey
      assert.strictEqual(yield* kindOf(jwt, yield* sign(last, "ES256")), "good")
      assert.strictEqual(yield* kindOf(jwt, yield* sign(last, "ES256", {}, { kid: "k2" })), "good")
      assert.strictEqual(yield* kindOf(jwt, yield* sign(last, "ES256", {}, { kid: "k1" })), "credentialsWrong")
    })
  )

  it.effect("is a policy whose identity has the claims", () =>
    Effect.gen(function* () {
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.secret(Redacted.make(secretText)) })
      const policy = AccessPolicy.jwt({ verify: Jwt.facts(jwt), from: [{ subprotocol: "bearer." }] })
      const token = yield* sign(secretBytes, "HS256", { room: "blue" })
      const ask = (protocols: string) =>
        policy.judge({ request: request({ "sec-websocket-protocol": protocols }), remoteAddress: undefined })
      const { proofs, subject } = yield* ask(`binary, bearer.${token}`)
      assert.deepStrictEqual([subject, proofs[0]?.method, proofs[0]?.claims["room"]], ["ann", "jwt", "blue"])
      assert.strictEqual((yield* Effect.flip(ask(`bearer.${token}x`))).status, 401)
    })
  )
})

describe("JwtKeys", () => {
  it.effect("reads what openssl writes: public keys, several of them, and certificates", () =>
    Effect.gen(function* () {
      for (const kind of ["rsa2048", "p256", "p384", "p521", "ed25519"] as const) {
        key(kind)
        openssl("pkey", "-in", `${kind}.key`, "-pubout", "-out", `${kind}.pub`)
        yield* JwtKeys.fromText(text(`${kind}.pub`))
      }
      certificate("signer")
      const keys = yield* JwtKeys.fromText(`${text("rsa2048.pub")}\n# a remark\n${text("signer.crt")}`)
      assert.strictEqual((yield* keys.find("ES256", undefined)).length, 1)
      assert.strictEqual((yield* keys.find("RS512", undefined)).length, 1)
      assert.strictEqual((yield* keys.find("HS256", undefined)).length, 0)
      assert.strictEqual((yield* keys.find("none", undefined)).length, 0)
    })
  )

  it.effect("refuses what is no key, a private one, a small one, and never takes text for a secret", () =>
    Effect.gen(function* () {
      key("p256")
      key("ed448")
      openssl("pkey", "-in", "ed448.key", "-pubout", "-out", "ed448.pub")
      openssl(..."genpkey -algorithm RSA -pkeyopt rsa_keygen_bits:1024 -out small.key".split(" "))
      openssl(..."pkey -in small.key -pubout -out small.pub".split(" "))
      assert.isString(path("small.pub"))
      const oct = { kty: "oct", k: jose.base64url.encode(secretBytes) }
      for (const [written, says] of [
        ["", "none of them"],
        [secretText, "none of them"],
        ["ssh-rsa AAAAB3NzaC1yc2E", "none of them"],
        ["{", "is none"],
        ["{}", "JWK"],
        ['{"keys":[]}', "from 1 to 32"],
        [JSON.stringify({ keys: Array.from({ length: 33 }, () => oct) }), "from 1 to 32"],
        ['{"kty":"oct","k":"c2hvcnQ"}', "32 bytes"],
        ['{"kty":"RSA","n":"x","e":"y"}', ""],
        ['{"kty":"EC","crv":"secp256k1","x":"a","y":"b"}', "expected keys"],
        [JSON.stringify({ ...oct, alg: "RS256" }), "cannot be for"],
        [text("p256.key"), "private"],
        [text("ed448.pub"), "expected a public key"],
        [text("small.pub"), "2048 bits"]
      ] as const) {
        const { message } = yield* Effect.flip(JwtKeys.fromText(written))
        assert.include(message, says)
        assert.notInclude(message, secretText)
      }
      assert.include((yield* Effect.flip(JwtKeys.secret(Redacted.make("short")))).message, "32 bytes")
    })
  )
})

/** An issuer's set of keys, on a port of this machine; with the status 0 it does not answer. */
const issuer = Effect.acquireRelease(
  Effect.promise(async () => {
    const state = { answer: "", status: 200, asked: 0, delay: 0 }
    const server = Http.createServer((_, response) => {
      state.asked++
      if (state.status === 0) return
      const answer = () =>
        response.writeHead(state.status, state.status === 302 ? { location: "/other" } : {}).end(state.answer)
      setTimeout(answer, state.delay)
    }).listen(0, "127.0.0.1")
    await once(server, "listening")
    const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}/jwks.json`
    return { state, url, server }
  }),
  ({ server }) =>
    Effect.sync(() => {
      server.closeAllConnections()
      server.close()
    })
)

const setOf = (...keys: ReadonlyArray<readonly [string, jose.CryptoKey]>) =>
  promised(async () =>
    JSON.stringify({
      keys: await Promise.all(keys.map(async ([kid, one]) => ({ ...(await jose.exportJWK(one)), kid, use: "sig" })))
    })
  )

describe("JwtKeys.fromUrl", () => {
  it.live("fetches the set when it is needed, once for all who wait, and again for a new key, but not too often", () =>
    Effect.gen(function* () {
      const { state, url } = yield* issuer
      const [one, two] = [yield* pair("ES256"), yield* pair("RS256")]
      const exp = Math.floor(Date.now() / 1000) + 600
      const token = (signer: jose.CryptoKey, alg: string, kid: string) => sign(signer, alg, { exp }, { kid })
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(url, { cooldown: "300 millis" }) })
      assert.strictEqual(state.asked, 0)
      state.answer = yield* setOf(["one", one.publicKey])
      const first = yield* token(one.privateKey, "ES256", "one")
      yield* Effect.all(
        Array.from({ length: 20 }, () => jwt.verify(first)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(state.asked, 1)
      // the issuer has a new key
      state.answer = yield* setOf(["one", one.publicKey], ["two", two.publicKey])
      const second = yield* token(two.privateKey, "RS256", "two")
      yield* Effect.sleep("350 millis")
      assert.strictEqual(yield* kindOf(jwt, second), "good")
      assert.strictEqual(state.asked, 2)
      // a flood of tokens with keys that nobody has is no flood of fetches
      for (let i = 0; i < 50; i++) {
        assert.strictEqual(yield* kindOf(jwt, yield* token(one.privateKey, "ES256", `no${i}`)), "credentialsWrong")
      }
      assert.isAtMost(state.asked, 5)
    })
  )

  it.effect("goes on with the old keys while the issuer cannot be reached, and not for ever", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { server, state, url } = yield* issuer
        const one = yield* pair("ES256")
        state.answer = yield* setOf(["one", one.publicKey])
        const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(url, { staleTime: "1 hour" }) })
        const token = yield* sign(one.privateKey, "ES256", { exp: 1e9 })
        assert.strictEqual(yield* kindOf(jwt, token), "good")
        const cannot = `Tokens: the keys cannot be fetched from ${new URL(url).host}: it`
        for (const [status, answer, says] of [
          [500, "", `${cannot} answers with HTTP status 500`],
          [200, "{", "what begins like JSON is none"],
          [200, `${state.answer}${" ".repeat(300_000)}`, `${cannot} answers with more than 262144 bytes`],
          [302, "", `${cannot} answers with HTTP status 302`]
        ] as const) {
          Object.assign(state, { status, answer })
          yield* TestClock.adjust("11 minutes")
          assert.strictEqual(yield* kindOf(jwt, token), "good", `${status}`)
          assert.include(logs.at(-1)?.text, says)
        }
        assert.strictEqual(logs.length, 4)
        server.closeAllConnections()
        server.close()
        yield* TestClock.adjust("11 minutes")
        assert.strictEqual(yield* kindOf(jwt, token), "good")
        assert.match(logs.at(-1)?.text ?? "", /: it cannot be reached \([^)]*ECONNREFUSED[^)]*\)/)
        yield* TestClock.adjust("1 hour")
        assert.strictEqual(yield* kindOf(jwt, token), "unavailable")
      }).pipe(Effect.scoped)
    )
  )

  it.live("leaves out keys of kinds that it does not know, whatever they are called", () =>
    Effect.gen(function* () {
      const { state, url } = yield* issuer
      const one = yield* pair("ES256")
      const set = JSON.parse(yield* setOf(["one", one.publicKey])) as { keys: Array<unknown> }
      state.answer = JSON.stringify({ keys: [{ kty: "EC", crv: "constructor", alg: "x" }, ...set.keys] })
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(url) })
      const token = yield* sign(one.privateKey, "ES256", { exp: Math.floor(Date.now() / 1000) + 600 }, { kid: "one" })
      assert.strictEqual(yield* kindOf(jwt, token), "good")
    })
  )

  it.live("has 32 keys of a set, and no more", () =>
    Effect.gen(function* () {
      const { state, url } = yield* issuer
      const { privateKey, publicKey } = yield* pair("ES256")
      state.answer = yield* setOf(...Array.from({ length: 33 }, (_, i) => [`k${i}`, publicKey] as const))
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(url) })
      const exp = Math.floor(Date.now() / 1000) + 600
      const kindWith = (kid: string) =>
        Effect.flatMap(sign(privateKey, "ES256", { exp }, { kid }), (token) => kindOf(jwt, token))
      assert.strictEqual(yield* kindWith("k31"), "good")
      assert.strictEqual(yield* kindWith("k32"), "credentialsWrong")
    })
  )

  it.live("has its set also if the client that asked first goes away", () =>
    Effect.gen(function* () {
      const { state, url } = yield* issuer
      const one = yield* pair("ES256")
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(url) })
      const token = yield* sign(one.privateKey, "ES256", { exp: Math.floor(Date.now() / 1000) + 600 })
      state.answer = yield* setOf(["one", one.publicKey])
      state.delay = 300
      const first = yield* Effect.forkChild(kindOf(jwt, token))
      yield* eventually(
        "the issuer is asked",
        Effect.sync(() => state.asked === 1)
      )
      const second = yield* Effect.forkChild(kindOf(jwt, token))
      yield* Fiber.interrupt(first)
      assert.strictEqual(yield* Fiber.join(second), "good")
      assert.strictEqual(yield* kindOf(jwt, token), "good")
      assert.strictEqual(state.asked, 1)
    })
  )

  it.live("waits for a set no longer than it is told", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { state, url } = yield* issuer
        state.status = 0
        const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(url, { fetchTimeout: "50 millis" }) })
        assert.strictEqual(yield* kindOf(jwt, yield* sign(secretBytes, "HS256")), "unavailable")
        assert.include(logs.at(-1)?.text, ": it does not answer in time")
      }).pipe(Effect.scoped)
    )
  )

  it.effect("says that it cannot check, when there never was a set", () =>
    Effect.gen(function* () {
      const { state, url } = yield* issuer
      state.status = 404
      const jwt = yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(url) })
      assert.strictEqual(yield* kindOf(jwt, yield* sign(secretBytes, "HS256")), "unavailable")
      // secrets that everyone can read are none
      state.status = 200
      state.answer = JSON.stringify({ keys: [{ kty: "oct", k: jose.base64url.encode(secretBytes) }] })
      yield* TestClock.adjust("1 minute")
      assert.strictEqual(yield* kindOf(jwt, yield* sign(secretBytes, "HS256")), "credentialsWrong")
    })
  )

  it.effect("takes no address that somebody on the way could answer for", () =>
    Effect.gen(function* () {
      for (const url of ["http://id.example/jwks", "ftp://id.example", "nonsense", "https://a:b@id.example/jwks"]) {
        assert.include((yield* Effect.flip(JwtKeys.fromUrl(url))).message, "https")
      }
      yield* JwtKeys.fromUrl("https://id.example/jwks")
    })
  )
})
