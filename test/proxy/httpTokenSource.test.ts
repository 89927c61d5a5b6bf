/** Targets that an HTTP service knows: what it is asked, what is taken for an answer, and how long. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as HttpClient from "effect/http/HttpClient"
import * as HttpClientRequest from "effect/http/HttpClientRequest"
import * as Tracer from "effect/Tracer"
import type { ServerResponse } from "node:http"
import { TestClock } from "effect/testing"
import * as HttpTokenSource from "../../src/proxy/HttpTokenSource.ts"
import * as TokenSource from "../../src/proxy/TokenSource.ts"
import { answering } from "./answering.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { fails, says } from "./says.ts"
import { eventually } from "./watch.ts"

const make = (options: HttpTokenSource.Options) => Effect.provide(HttpTokenSource.make(options), FetchHttpClient.layer)

const reply = (response: ServerResponse, status: number, body = "", headers: Record<string, string> = {}) =>
  void response.writeHead(status, headers).end(body)

const secret = "a-token-that-is-secret"

describe("a service of tokens", { timeout: 30_000 }, () => {
  it.live("is asked with the token escaped, in the query or where it is said", () =>
    Effect.gen(function* () {
      const service = yield* answering((_, response) => reply(response, 404))
      const token = "a/b?c&d=é%#+ ../"
      yield* says(yield* make({ url: service.url }), token)
      yield* says(yield* make({ url: `${service.url}/x?key=1` }), token)
      yield* says(yield* make({ url: `${service.url}/of/%s/target?t=%s` }), token)
      const escaped = encodeURIComponent(token)
      const [query, more, path] = service.asked
      assert.strictEqual(new URL(query!, "http://x").searchParams.get("token"), token)
      const { pathname, searchParams } = new URL(more!, "http://x")
      assert.deepStrictEqual(
        [pathname, [...searchParams]],
        [
          "/x",
          [
            ["key", "1"],
            ["token", token]
          ]
        ]
      )
      const both = new URL(path!, "http://x")
      assert.deepStrictEqual([both.pathname, both.searchParams.get("t")], [`/of/${escaped}/target`, token])
    })
  )

  it.live("is not asked for what would lead elsewhere", () =>
    Effect.gen(function* () {
      const service = yield* answering((_, response) => reply(response, 200, "a:1"))
      const source = yield* make({ url: `${service.url}/admin/%s` })
      for (const token of [".", "..", "...", "\ud800"]) assert.isUndefined(yield* says(source, token))
      assert.deepStrictEqual(service.asked, [])
      yield* says(source, "$&")
      assert.deepStrictEqual(service.asked, ["/admin/%24%26"])
    })
  )

  it.live("answers with a target as JSON or text, or with 404, 410 or 204", () =>
    Effect.gen(function* () {
      const service = yield* answering((target, response) => {
        const token = new URL(target, "http://x").searchParams.get("token")!
        const [status, body] = JSON.parse(token) as [number, string]
        reply(response, status, body)
      })
      const source = yield* make({ url: service.url })
      const answer = (status: number, body = "") => JSON.stringify([status, body])
      assert.strictEqual(yield* says(source, answer(200, `{"host":"a","port":1}`)), "a:1")
      assert.strictEqual(yield* says(source, answer(200, `{"host":"::1","port":"1"}`)), "[::1]:1")
      assert.strictEqual(yield* says(source, answer(200, "a:1\n")), "a:1")
      assert.strictEqual(yield* says(source, answer(200, `["a:1","b:2"]`)), "a:1,b:2")
      for (const status of [404, 410, 204]) assert.isUndefined(yield* says(source, answer(status)))
      for (const body of ["", "{}", `{"host":"a"}`, "unix:/run/x", `{"host":"a","port":99999}`]) {
        assert.match(yield* fails(source, answer(200, body)), /its answer cannot be used: expected/)
      }
      for (const status of [401, 403, 500, 503, 201]) {
        assert.match(yield* fails(source, answer(status, "a:1")), new RegExp(`HTTP status ${status}$`))
      }
    })
  )

  it.live("is not followed elsewhere", () =>
    Effect.gen(function* () {
      const elsewhere = yield* answering((_, response) => reply(response, 200, "evil:1"))
      const service = yield* answering((_, response) => reply(response, 302, "", { location: elsewhere.url }))
      assert.match(yield* fails(yield* make({ url: service.url }), secret), /HTTP status 302$/)
      assert.deepStrictEqual(elsewhere.asked, [])
    })
  )

  it.live("has no more bytes and no more time than it is given", () =>
    Effect.gen(function* () {
      const service = yield* answering((target, response) => {
        if (target.includes("long")) return reply(response, 200, "x".repeat(101), { "content-length": "101" })
        // no length, and no end
        if (target.includes("endless")) return void response.write("x".repeat(101))
        if (target.includes("cut")) return void response.writeHead(200, { "content-length": "50" }).write("a:1")
        if (target.includes("lost")) {
          const lose = () => void response.destroy()
          return void response.writeHead(200, { "content-length": "50" }).write("a:1", lose)
        }
        if (target.includes("fits")) return reply(response, 200, "a:1".padEnd(100))
      })
      const source = yield* make({ url: service.url, maxSize: 100, timeout: "500 millis" })
      assert.strictEqual(yield* says(source, "fits"), "a:1")
      for (const token of ["long", "endless"]) assert.match(yield* fails(source, token), /more than 100 bytes$/)
      for (const token of ["cut", "silent"]) assert.match(yield* fails(source, token), /does not answer in time$/)
      assert.match(yield* fails(source, "lost"), /its answer ended too soon$/)
      yield* eventually("the ends of all requests", () => service.waiting() === 0)
      const nobody = yield* RawTarget.nobody
      assert.match(yield* fails(yield* make({ url: `http://${nobody}` }), secret), /cannot be reached$/)
    })
  )

  it.effect("is remembered for what it knows, for a while, and up to a number", () =>
    Effect.gen(function* () {
      const service = yield* answering((target, response) => {
        if (target.endsWith("none")) return reply(response, 404)
        if (target.endsWith("broken")) return reply(response, 500)
        reply(response, 200, "a:1")
      })
      // the clock of a test stands still, and so does each timeout
      const source = yield* make({ url: `${service.url}/%s`, cacheCapacity: 2, cacheFor: "1 minute" })
      for (let i = 0; i < 3; i++) yield* says(source, "x")
      assert.deepStrictEqual(service.asked, ["/x"])
      yield* TestClock.adjust("59 seconds")
      yield* says(source, "x")
      assert.strictEqual(service.asked.length, 1)
      yield* TestClock.adjust("1 seconds")
      yield* says(source, "x")
      assert.strictEqual(service.asked.length, 2)
      for (let i = 0; i < 2; i++) {
        assert.isUndefined(yield* says(source, "none"))
        yield* fails(source, "broken")
      }
      assert.strictEqual(service.asked.length, 6, "what it does not know, and a failure, are asked again")
      for (const token of ["a", "b", "c", "a"]) yield* says(source, token)
      assert.deepStrictEqual(service.asked.slice(6), ["/a", "/b", "/c", "/a"])
    })
  )

  it.live("is remembered for 1000 tokens unless told", () =>
    Effect.gen(function* () {
      const service = yield* answering((_, response) => reply(response, 200, "a:1"))
      const source = yield* make({ url: `${service.url}/%s`, cacheFor: "1 hour" })
      for (let i = 0; i <= 1000; i++) yield* says(source, `t${i}`)
      yield* says(source, "t1")
      assert.strictEqual(service.asked.length, 1001)
      yield* says(source, "t0")
      assert.strictEqual(service.asked.length, 1002)
    })
  )

  it.live("is asked once for what many want to know, and so many questions at a time", () =>
    Effect.gen(function* () {
      const held: Array<ServerResponse> = []
      const service = yield* answering((_, response) => void held.push(response))
      const source = yield* make({ url: `${service.url}/%s`, concurrency: 2 })
      const asking = yield* Effect.forEach(["a", "a", "a", "b", "c", "d"], (token) =>
        Effect.forkChild(says(source, token), { startImmediately: true })
      )
      yield* eventually("two questions", () => held.length === 2)
      yield* Effect.sleep(50)
      assert.deepStrictEqual(service.asked, ["/a", "/b"])
      const answers = yield* Deferred.make<void>()
      yield* Effect.forkChild(
        Effect.forever(
          Effect.andThen(
            Effect.sync(() => {
              for (const response of held.splice(0)) reply(response, 200, "x:1")
            }),
            Effect.sleep(5)
          )
        ).pipe(Effect.raceFirst(Deferred.await(answers)))
      )
      for (const fiber of asking) assert.strictEqual(yield* Fiber.join(fiber), "x:1")
      assert.deepStrictEqual([...service.asked].toSorted(), ["/a", "/b", "/c", "/d"])
      yield* Deferred.succeed(answers, undefined)
    })
  )

  it.live("has a token in no message and in no span", () =>
    Effect.gen(function* () {
      const spans: Array<string> = []
      const tracer = Tracer.make({
        span: (options) => {
          const span = new Tracer.NativeSpan(options)
          const { attribute } = span
          span.attribute = (key, value) => {
            spans.push(`${key}=${String(value)}`)
            attribute.call(span, key, value)
          }
          spans.push(options.name)
          return span
        }
      })
      const service = yield* answering((_, response) => reply(response, 500, secret))
      const source = yield* make({ url: `${service.url}/%s` })
      const message = yield* Effect.withTracer(Effect.withSpan(fails(source, secret), "look-up"), tracer)
      assert.notInclude(message, secret)
      assert.include(spans, "look-up")
      assert.notInclude(spans.join(), secret)
    })
  )

  it.live("is asked with what the client adds", () =>
    Effect.gen(function* () {
      const service = yield* answering((_, response) => reply(response, 200, "a:1"))
      const client = HttpClient.mapRequest(
        yield* Effect.provide(HttpClient.HttpClient, FetchHttpClient.layer),
        HttpClientRequest.bearerToken("ours")
      )
      const source = yield* Effect.provideService(
        HttpTokenSource.make({ url: service.url }),
        HttpClient.HttpClient,
        client
      )
      yield* says(source, "x")
      assert.strictEqual(service.headers[0]?.authorization, "Bearer ours")
    })
  )

  it.live.each([
    ["", /expected the address of a service/],
    ["api", /expected the address of a service/],
    ["https://%s.internal/", /expected the address of a service/],
    ["https://api.internal:%s/", /expected the address of a service/],
    ["%s", /expected the address of a service/],
    // what is behind a # is not sent
    ["https://api.internal/targets#%s", /expected the address of a service/],
    ["https://api.internal/%s#/%s", /expected the address of a service/],
    ["file:///etc/passwd", /http: or https:/],
    // of the one that was tried it is a letter, of others no name
    ["https://api%5%s.internal/", /expected the address of a service/],
    ["http://user:secret@api/", /without user and password/],
    ["http://user@api/", /without user and password/],
    ["http://:secret@api/", /without user and password/]
  ] as const)("%j is no address of one", ([url, message]) =>
    Effect.gen(function* () {
      assert.match((yield* Effect.flip(make({ url }))).message, message)
    })
  )

  it.live("may be one of https", () => make({ url: "https://api.internal/targets/%s" }))

  it.live("is waited for no longer by who waits for another's answer first", () =>
    Effect.gen(function* () {
      const service = yield* answering(() => {})
      const source = yield* make({ url: `${service.url}/%s`, concurrency: 1, timeout: "300 millis" })
      const messages = yield* Effect.forEach(["a", "b"], (token) => fails(source, token), { concurrency: 2 })
      for (const message of messages) assert.match(message, /does not answer in time$/)
    })
  )

  it.live("stands behind a proxy", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const service = yield* answering((target, response) =>
        target.endsWith(secret)
          ? reply(response, 200, JSON.stringify(listener.target))
          : reply(response, target.endsWith("broken") ? 500 : 404)
      )
      const source = yield* make({ url: `${service.url}/%s` })
      const proxy = yield* Proxy.serve({ target: TokenSource.routeOf(source) })
      yield* RawClient.open(proxy.port, { path: `/?token=${secret}` })
      yield* listener.accept
      yield* (yield* RawClient.request(proxy.port, { path: "/?token=other" })).until("404")
      const broken = yield* RawClient.request(proxy.port, { path: "/?token=broken" })
      yield* broken.until("503")
      assert.notInclude(broken.answer, "500")
      assert.deepStrictEqual(proxy.log, ["Warn the service of tokens: it answers with HTTP status 500"])
    })
  )
})
