/** Where tokens stand in requests, what becomes of them, and how tables of them are written. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import * as TokenTable from "../../src/proxy/internal/tokenTable.ts"
import { isName, shown } from "../../src/proxy/internal/tokens.ts"
import * as Router from "../../src/proxy/Router.ts"
import { parse } from "../../src/proxy/Target.ts"
import * as TokenSource from "../../src/proxy/TokenSource.ts"
import { counting } from "../connection/metrics.ts"
import { asking, at, led } from "./asking.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"

const secret = "correct-horse-battery-staple"
const source = TokenSource.fromMap(new Map([[secret, at("desk")]]))

const logged = <A, E, R>(effect: Effect.Effect<A, E, R>) => {
  const lines: Array<string> = []
  const logger = Logger.make(({ logLevel, message }) => {
    lines.push(`${logLevel} ${Array.isArray(message) ? message.join(" ") : message}`)
  })
  return Effect.map(Effect.provide(effect, Logger.layer([logger])), (value) => ({ value, lines }))
}

describe("the place of a token", () => {
  const { inHostLabel, inHostName, inPath, inQuery } = TokenSource
  it.each([
    [inQuery(), "/?token=abc", "", "abc"],
    [inQuery(), "/x?y=1&token=a%2Fb%20c", "", "a/b c"],
    [inQuery(), "/?token=", "", ""],
    [inQuery(), "/?token=a&token=b", "", undefined],
    [inQuery(), "/", "", undefined],
    [inQuery("key"), "/?token=a&key=b", "", "b"],
    [inPath(), "/abc", "", "abc"],
    [inPath("/desk"), "/desk/a%20b?x", "", "a b"],
    [inPath("/desk"), "/desk/a%2Fb", "", "a/b"],
    [inPath("/desk"), "/desk/a/b", "", undefined],
    [inPath("/desk"), "/desk", "", undefined],
    [inPath("/desk"), "/deskabc", "", undefined],
    [inPath("/desk"), "/desk/%E0", "", undefined],
    [inHostLabel, "/", "ABC.desk.example:8080", "abc"],
    [inHostLabel, "/", "localhost", "localhost"],
    [inHostLabel, "/", "127.0.0.1:80", undefined],
    [inHostLabel, "/", "[::1]:80", undefined],
    [inHostLabel, "/", "1st.desk.example1", "1st"],
    [inHostLabel, "/", "no host", undefined],
    [inHostName, "/", "ABC.desk.example:8080", "abc.desk.example"]
  ] as const)("%s: %s of %s", (place, path, host, token) => {
    assert.strictEqual(place(asking(path, host === "" ? {} : { headers: { host } }).request), token)
  })
})

describe("a route by token", () => {
  it.effect("leads to what the source says, and 404 is the answer to all others", () =>
    Effect.gen(function* () {
      const route = TokenSource.routeOf(source)
      assert.deepStrictEqual(yield* led(route, `/?token=${secret}`), ["desk:1"])
      for (const path of ["/", "/?token=", "/?token=other", `/?token=${secret}x`, `/?token=${secret.slice(1)}`]) {
        assert.strictEqual(yield* Effect.flip(route(asking(path))), Router.notFound)
      }
    })
  )

  it.effect("asks for no token that is too long", () =>
    Effect.gen(function* () {
      const asked: Array<number> = []
      const source: TokenSource.TokenSource["Service"] = {
        lookup: (token) => {
          asked.push(token.length)
          return TokenSource.fromMap(new Map()).lookup(token)
        }
      }
      for (const length of [4096, 4097]) {
        yield* led(TokenSource.routeOf(source), `/?token=${"x".repeat(length)}`)
      }
      yield* led(TokenSource.routeOf(source, { maxLength: 2 }), `/?token=xxx`)
      assert.deepStrictEqual(asked, [4096])
    })
  )

  it.effect("is 503 where the source fails, and the log has why", () =>
    Effect.gen(function* () {
      const broken: TokenSource.TokenSource["Service"] = {
        lookup: () => Effect.fail(new TokenSource.TokenSourceError({ message: "the source is away" }))
      }
      const { lines, value } = yield* logged(Effect.flip(TokenSource.routeOf(broken)(asking(`/?token=${secret}`))))
      assert.strictEqual(value.status, 503)
      assert.notInclude(value.reason, "away")
      assert.deepStrictEqual(lines, ["Warn the source is away"])
    })
  )

  it.effect("logs a token that is not known, and never all of it", () =>
    Effect.gen(function* () {
      for (const token of ["short", "a-rather-long-token-of-somebody", 'quoted"\n\u001b[31mcoloured-line']) {
        const { lines } = yield* logged(led(TokenSource.routeOf(source), `/?token=${encodeURIComponent(token)}`))
        assert.strictEqual(lines.length, 1)
        assert.match(lines[0]!, /^Info No target for the token .* of 192\.0\.2\.1$/)
        assert.notInclude(lines[0], token.slice(0, 5))
        // oxlint-disable-next-line no-control-regex
        assert.notMatch(lines[0]!, /[\0-\x1f]/)
      }
      const { lines } = yield* logged(led(TokenSource.routeOf(source), "/"))
      assert.deepStrictEqual(lines, [], "a request without one is no word worth")
    })
  )

  it.effect("looks in several places for the first token that is known", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const watched: TokenSource.TokenSource["Service"] = {
        lookup: (token) => {
          asked.push(token)
          return source.lookup(token)
        }
      }
      const { inHostLabel, inHostName, inPath, inQuery } = TokenSource
      const route = TokenSource.routeOf(watched, { place: [inQuery(), inPath(), inHostName, inHostLabel] })
      const host = (name: string) => ({ headers: { host: name } })
      assert.deepStrictEqual(yield* led(route, `/${secret}?token=x`, host("y")), ["desk:1"])
      assert.deepStrictEqual(asked.splice(0), ["x", secret])
      assert.deepStrictEqual(yield* led(route, "/", host(`${secret}.example`)), ["desk:1"])
      assert.deepStrictEqual(asked.splice(0), [`${secret}.example`, secret])
      const { lines, value } = yield* logged(led(route, "/x?token=x", host("x.y")))
      assert.strictEqual(value, 404)
      assert.deepStrictEqual(asked.splice(0), ["x", "x.y"], "none is asked for twice")
      assert.strictEqual(lines.length, 1)
      assert.strictEqual(yield* led(route, "/", host("127.0.0.1")), 404)
    })
  )

  it.effect("counts what came of each look-up", () =>
    Effect.gen(function* () {
      const broken = { lookup: () => Effect.fail(new TokenSource.TokenSourceError({ message: "away" })) }
      for (const [name, from, token] of [
        ["found", source, secret],
        ["unknown", source, "other"],
        ["failed", broken, secret]
      ] as const) {
        const asked = led(TokenSource.routeOf(from), `/?token=${token}`)
        assert.strictEqual(yield* counting(TokenSource.lookups, name, asked), 1)
      }
    })
  )

  it.effect("logs so much a second and no more", () =>
    Effect.gen(function* () {
      for (const route of [TokenSource.routeOf(source), TokenSource.route()]) {
        const ask = (times: number) =>
          logged(Effect.forEach(Array.from({ length: times }), () => led(route, "/?token=wrong"), { discard: true }))
        assert.strictEqual((yield* ask(50)).lines.length, 20)
        yield* TestClock.adjust("1 second")
        assert.match((yield* ask(1)).lines.join(), /of 192\.0\.2\.1 \(and 30 more since the last line\)$/)
        yield* TestClock.adjust("1 second")
      }
    }).pipe(Effect.provide(TokenSource.layer(source)))
  )

  it.effect("asks the source of the program", () =>
    Effect.gen(function* () {
      const route = TokenSource.route({ place: TokenSource.inPath() })
      assert.deepStrictEqual(yield* led(route, `/${secret}`), ["desk:1"])
      const { route: provided } = yield* Router.Router
      assert.deepStrictEqual(yield* led(provided, `/${secret}`), ["desk:1"])
    }).pipe(
      Effect.provide(
        Router.layer(TokenSource.route({ place: TokenSource.inPath() })).pipe(
          Layer.provideMerge(TokenSource.layer(source))
        )
      )
    )
  )

  it.live("tells a client of a proxy nothing but 404", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const known = TokenSource.fromMap(new Map([[secret, listener.target]]))
      const proxy = yield* Proxy.serve({ target: TokenSource.routeOf(known) })
      const answers = new Set<string>()
      for (const path of ["/", "/?token=wrong", "/?token=..%2F..%2Fetc%2Fpasswd", "/?token=%00", `/${secret}`]) {
        const client = yield* RawClient.request(proxy.port, { path })
        yield* client.until("end")
        answers.add(client.answer.replace(/\r\ndate: .*(?=\r\n)/i, ""))
      }
      assert.strictEqual(answers.size, 1)
      const [answer = ""] = answers
      assert.match(answer, /^HTTP\/1\.1 404 /)
      assert.notMatch(answer, /token|127\.0\.0\.1/i)
      yield* RawClient.open(proxy.port, { path: `/?token=${secret}` })
      yield* listener.accept
      assert.deepStrictEqual(proxy.log, [])
    })
  )
})

const table = (result: Result.Result<TokenTable.Table, string>) =>
  Result.isFailure(result)
    ? result.failure
    : Object.fromEntries(Array.from(result.success, ([token, to]) => [token, Router.targets(to).join()]))

describe("lines of tokens", () => {
  it("have a token, a colon, white space and targets; comments and empty lines are left out", () => {
    const text = [
      "\uFEFF# desks",
      "",
      "ann: ann.internal:5900",
      "  bob:\t10.0.0.2:5901  ",
      "a:b: [2001:db8::1]:1\r",
      "__proto__: c:1",
      "db: db1:5432, db2:5432",
      `many: ${Array.from({ length: 16 }, () => "b:1").join()}`
    ].join("\n")
    assert.deepStrictEqual(
      table(TokenTable.readLines(text, parse)),
      Object.fromEntries([
        ["ann", "ann.internal:5900"],
        ["bob", "10.0.0.2:5901"],
        ["a:b", "[2001:db8::1]:1"],
        ["__proto__", "c:1"],
        ["db", "db1:5432,db2:5432"],
        ["many", Array.from({ length: 16 }, () => "b:1").join()]
      ])
    )
    assert.deepStrictEqual(table(TokenTable.readLines("", parse)), {})
  })

  it.each([
    ["a: b:1\nno colon here", /^line 2: expected TOKEN: host:port$/],
    ["a:b:1", /^line 1: expected TOKEN/],
    [": b:1", /^line 1: expected TOKEN/],
    ["two words: b:1", /^line 1: expected TOKEN/],
    ["a: b", /^line 1: expected host:port/],
    ["a: b:0", /^line 1: expected host:port/],
    ["a: ::1:80", /^line 1: expected host:port/],
    ["a: b:1,", /^line 1: expected host:port/],
    ["a: b:1\na: c:1", /^line 2: .* already/],
    [`a: ${Array.from({ length: 17 }, () => "b:1").join()}`, /^line 1: expected 16 targets at most/]
  ])("%j are refused, by their number", (text, message) => {
    assert.match(String(table(TokenTable.readLines(text, parse))), message)
  })

  it("are refused without a word of what is in them", () => {
    for (const text of [`localhost:5900: ${secret}`, secret, `${secret} : a:1`, `${secret}: b`]) {
      assert.notInclude(String(table(TokenTable.readLines(text, parse))), secret)
    }
    assert.notInclude(String(table(TokenTable.readObject(`{"${secret}": 1`, parse))), secret)
    assert.notInclude(String(table(TokenTable.readObject(`{"${secret}": 1}`, parse))), secret)
  })
})

describe("a JSON object of tokens", () => {
  it("has targets as text or objects, or lists of them", () => {
    const text = JSON.stringify({
      a: "a:1",
      b: { host: "b", port: 2 },
      c: { host: "::1", port: "3" },
      d: { host: "d:4" },
      e: ["e:5", { host: "[::1]", port: 6 }],
      f: "f:7,f:8"
    })
    assert.deepStrictEqual(table(TokenTable.readObject(text, parse)), {
      a: "a:1",
      b: "b:2",
      c: "[::1]:3",
      d: "d:4",
      e: "e:5,[::1]:6",
      f: "f:7,f:8"
    })
  })

  it.each([
    ["[]", /^expected a JSON object/],
    ["null", /^expected a JSON object/],
    ["{", /^expected JSON$/],
    ['{"a":"b:1","c":{"port":1}}', /^entry 2: expected "host:port" or/],
    ['{"a":{"host":"b","port":65536}}', /^entry 1: expected host:port/],
    ['{"a":{"host":"b","port":1.5}}', /^entry 1: expected/],
    ['{"a":{"host":"b/../c","port":"1 "}}', /^entry 1: expected/],
    ['{"a":[]}', /^entry 1: expected a target, got none/],
    ['{"a":7}', /^entry 1: expected/]
  ])("%s is refused", (text, message) => {
    assert.match(String(table(TokenTable.readObject(text, parse))), message)
  })
})

describe("an answer for one token", () => {
  it.each([
    ["a:1\n", "a:1"],
    ["[::1]:80", "[::1]:80"],
    ['"a:1"', "a:1"],
    [' {"host":"a","port":1}', "a:1"],
    ['["a:1","b:2"]', "a:1,b:2"],
    ["a:1, b:2", "a:1,b:2"]
  ])("%j is %s", (text, targets) => {
    assert.strictEqual(Router.targets(Result.getOrThrow(TokenTable.readAnswer(text, parse))).join(), targets)
  })
  it.each(["", "a", "{}", "{", "<html>", "a:1\nb:2"])("%j is none", (text) => {
    assert.isTrue(Result.isFailure(TokenTable.readAnswer(text, parse)))
  })
})

describe("a token", () => {
  it("is a name of a file, or is not", () => {
    for (const token of ["a", "a.b", "a b", "ä", "x".repeat(255)]) assert.isTrue(isName(token), token)
    for (const token of ["", ".", "..", ".a", "a/b", "/a", "a\\b", "a\0", "a\n", "\x7f", "\ud800", "x".repeat(256)]) {
      assert.isFalse(isName(token), JSON.stringify(token))
    }
  })

  it("is shown by a little of it", () => {
    assert.strictEqual(shown("x".repeat(15)), "of 15 characters")
    assert.strictEqual(shown("abcdefghijklmnop"), '"abcd…" of 16 characters')
  })
})
