/** Targets that a JSON Web Token brings. What makes one good is in `test/server/jwt.test.ts`. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { TestClock } from "effect/testing"
import * as Jose from "jose"
import { generateKeyPairSync } from "node:crypto"
import * as JwtTokenSource from "../../src/proxy/JwtTokenSource.ts"
import * as TokenSource from "../../src/proxy/TokenSource.ts"
import * as Jwt from "../../src/server/Jwt.ts"
import * as JwtKeys from "../../src/server/JwtKeys.ts"
import { answering } from "./answering.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { fails, says } from "./says.ts"

const issuer = generateKeyPairSync("rsa", { modulusLength: 2048 })
const other = generateKeyPairSync("rsa", { modulusLength: 2048 })
const publicKey = issuer.publicKey.export({ type: "spki", format: "pem" }).toString()

const make = (options: Omit<Jwt.Options, "keys"> = {}) =>
  Effect.gen(function* () {
    const keys = yield* JwtKeys.fromText(publicKey)
    return JwtTokenSource.make(yield* Jwt.make({ keys, leeway: 0, ...options }))
  })

type Claims = Readonly<Record<string, unknown>>
const target = { host: "desk.internal", port: 5900 }

/** `exp` is an hour after the clock of a test begins. */
const sign = (claims: Claims, key = issuer.privateKey) =>
  Effect.promise(() =>
    new Jose.SignJWT({ exp: 3600, ...claims }).setProtectedHeader({ alg: "RS256", kid: "1" }).sign(key)
  )

describe("a JSON Web Token", { timeout: 30_000 }, () => {
  it.effect("leads to the target in its claims", () =>
    Effect.gen(function* () {
      const source = yield* make()
      assert.strictEqual(yield* says(source, yield* sign(target)), "desk.internal:5900")
      assert.strictEqual(yield* says(source, yield* sign({ host: "::1", port: "80" })), "[::1]:80")
      assert.strictEqual(yield* says(source, yield* sign({ host: "desk:1" })), "desk:1")
      for (const claims of [
        {},
        { port: 1 },
        { host: "a" },
        { host: "unix:/run/x", port: 1 },
        { host: "unix:/run/x" },
        { host: "a", port: 0 },
        { host: 7, port: 1 },
        { host: "a/b", port: "1/2" }
      ]) {
        assert.isUndefined(yield* says(source, yield* sign(claims)), JSON.stringify(claims))
      }
    })
  )

  it.effect("leads nowhere unless it is good", () =>
    Effect.gen(function* () {
      const source = yield* make({ issuer: "https://id.example/", audience: "vnc" })
      const claims = { ...target, iss: "https://id.example/", aud: "vnc" }
      const good = yield* sign(claims)
      assert.strictEqual(yield* says(source, good), "desk.internal:5900")
      for (const token of [
        yield* sign(claims, other.privateKey),
        yield* sign({ ...claims, iss: "https://evil.example/" }),
        yield* sign({ ...claims, aud: "other" }),
        yield* sign({ ...claims, nbf: 60 }),
        yield* sign({ ...claims, exp: undefined }),
        new Jose.UnsecuredJWT({ ...claims, exp: 3600 }).encode(),
        good.slice(0, -4),
        "no token at all"
      ]) {
        assert.isUndefined(yield* says(source, token), token)
      }
      yield* TestClock.adjust("1 hour")
      assert.isUndefined(yield* says(source, good), "its time is over")
    })
  )

  it.live("is checked with keys that are fetched; while they cannot be, the source fails", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const jwks = JSON.stringify({ keys: [{ ...issuer.publicKey.export({ format: "jwk" }), kid: "1" }] })
      const service = yield* answering(
        (path, response) => void (path === "/keys" ? response.end(jwks) : response.writeHead(500).end())
      )
      const fetching = (path: string) =>
        Effect.gen(function* () {
          return JwtTokenSource.make(yield* Jwt.make({ keys: yield* JwtKeys.fromUrl(service.url + path) }))
        })
      const [source, away] = yield* Effect.all([fetching("/keys"), fetching("/none")])
      const proxy = yield* Proxy.serve({
        target: (open) => TokenSource.routeOf(open.request.path === "/away" ? away : source)(open)
      })
      const exp = Math.floor(Date.now() / 1000) + 60
      const token = yield* sign({ host: "127.0.0.1", port: listener.target.port, exp })
      yield* RawClient.open(proxy.port, { path: `/?token=${token}` })
      yield* listener.accept
      yield* (yield* RawClient.request(proxy.port, { path: `/?token=${token.slice(0, -4)}` })).until("404")
      assert.match(yield* fails(away, token), /^Tokens: /)
      const refused = yield* RawClient.request(proxy.port, { path: `/away?token=${token}` })
      yield* refused.until("503")
      assert.notMatch(refused.answer, /key|JWK/i)
    })
  )
})
