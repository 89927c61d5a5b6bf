/** Routes as functions: which requests fit them, and what they lead to. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { DialError } from "../../src/proxy/Dialer.ts"
import * as Router from "../../src/proxy/Router.ts"
import { Refusal } from "../../src/server/OpenRequest.ts"
import { TestClock } from "effect/testing"
import { asking, at, led } from "./asking.ts"

const a = at("a")
const b = at("b")
const c = at("c")

describe("a route by path", () => {
  it.effect.each([
    ["/vnc", "/vnc", true],
    ["/vnc", "/vnc?token=x", true],
    ["/vnc", "/vnc/", false],
    ["/vnc", "/VNC", false],
    ["/vnc", "/vnc/x", false],
    ["/vnc", "/", false],
    ["/", "/", true],
    ["/", "", false],
    ["/", "/x", false],
    ["/db/*", "/db", true],
    ["/db/*", "/db/", true],
    ["/db/*", "/db/x/y", true],
    ["/db/*", "/dbx", false],
    ["/*", "/", true],
    ["/*", "/x/y", true],
    ["/desk/:who", "/desk/ann", true],
    ["/desk/:who", "/desk/", false],
    ["/desk/:who", "/desk", false],
    ["/desk/:who", "/desk/ann/screen", false],
    ["/desk/:who/screen", "/desk/ann/screen", true],
    ["/café", "/caf%C3%A9", true],
    ["/a/b", "/a%2Fb", false],
    ["/a", "/%E0%A4", false],
    ["/*", "/%E0%A4", false],
    ["/:x", "/%", false],
    ["/db", "/x/../db", false],
    ["/db/of/*", "/db", false],
    ["/db/of/*", "/db/of", true],
    ["/a/b/a", "/a/b/a", true],
    ["/:", "/:", true],
    ["/:", "/x", false],
    ["/:/:", "/:/:", true]
  ] as const)("%s and %s: %s", ([pattern, path, fits]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* led(Router.path(pattern, a), path), fits ? ["a:1"] : 404)
    })
  )

  it.each([
    ["db", /Router\.path: expected a path, which begins with \/; got "db"/],
    ["/a/*/b", /\* at its end alone; got "\/a\/\*\/b"/],
    ["/:a/:a", /names differ/]
  ])("%s is no pattern, and thrown", (pattern, message) => {
    assert.throws(() => Router.path(pattern as `/${string}`, a), message)
  })

  it.effect("tells what it found, decoded", () =>
    Effect.gen(function* () {
      const found: Array<unknown> = []
      const route = Router.path("/desk/:who/on/:machine/*", (_, params) => {
        found.push({ ...params })
        return Effect.succeed(a)
      })
      yield* led(route, "/desk/J%20D/on/m%2F1/x/%2E./y?who=me")
      assert.deepStrictEqual(found, [{ who: "J D", machine: "m/1", "*": "x/../y" }])
    })
  )

  it.effect("takes no name for a property that every object has", () =>
    Effect.gen(function* () {
      const found: Array<string | undefined> = []
      const route = Router.path("/:__proto__", (_, params) => {
        found.push(Object.entries(params).join())
        return Effect.succeed(a)
      })
      yield* led(route, "/x")
      assert.deepStrictEqual(found, ["__proto__,x"])
    })
  )
})

describe("a route by name", () => {
  it.effect.each([
    ["db.example", "db.example", true],
    ["db.example", "DB.example:8080", true],
    ["DB.Example", "db.example.", true],
    ["db.example", "x.db.example", false],
    ["*.db.example", "x.db.example:1", true],
    ["*.db.example", "y.x.db.example", true],
    ["*.db.example", "db.example", false],
    ["*.db.example", ".db.example", false],
    ["*.db.example", "evildb.example", false],
    ["127.0.0.1", "127.0.0.1:80", true],
    ["::1", "[::1]:80", true],
    ["db.example", "db.example:x", false],
    ["db.example", "db.example, x", false]
  ] as const)("%s and the Host %s: %s", ([pattern, host, fits]) =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* led(Router.host(pattern, a), "/", { headers: { host } }), fits ? ["a:1"] : 404)
    })
  )

  it.effect("of TLS is not that of the Host header", () =>
    Effect.gen(function* () {
      const route = Router.serverName("*.example", a)
      const headers = { host: "x.example" }
      assert.strictEqual(yield* led(route, "/", { headers }), 404)
      assert.strictEqual(yield* led(route, "/", { headers, serverName: "other" }), 404)
      assert.deepStrictEqual(yield* led(route, "/", { headers: { host: "y" }, serverName: "X.example" }), ["a:1"])
    })
  )
})

describe("a route by subprotocol", () => {
  const route = Router.firstOf(Router.subprotocol("mqtt", a), Router.subprotocol("vnc", Router.to([b, c])))
  const chosen = (offered: string) =>
    Effect.map(route(asking("/", { headers: { "sec-websocket-protocol": offered } })), Router.choice)

  it.effect("is for who offers it, in the order of the routes, and answers it", () =>
    Effect.gen(function* () {
      const first = yield* chosen("vnc, mqtt")
      assert.deepStrictEqual([first.subprotocol, first.targets.map(String)], ["mqtt", ["a:1"]])
      const second = yield* chosen("x, vnc")
      assert.deepStrictEqual([second.subprotocol, second.targets.map(String)], ["vnc", ["b:1", "c:1"]])
      assert.strictEqual((yield* Effect.flip(chosen("x"))).status, 404)
      assert.strictEqual(yield* led(route, "/"), 404)
    })
  )

  it.effect("has the inner one's answer where both say one", () =>
    Effect.gen(function* () {
      const route = Router.subprotocol("x", Router.subprotocol("y", a))
      const found = yield* route(asking("/", { headers: { "sec-websocket-protocol": "x, y" } }))
      assert.strictEqual(Router.choice(found).subprotocol, "y")
    })
  )
})

describe("the first of routes", () => {
  const refusing = (status: number) => Router.path("/x", () => Effect.fail(new Refusal({ status, reason: "no" })))

  it.effect("goes on after 404 alone", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* led(Router.firstOf(Router.path("/y", b), refusing(404), Router.to(a)), "/x"), [
        "a:1"
      ])
      assert.strictEqual(yield* led(Router.firstOf(Router.path("/y", b), refusing(403), Router.to(a)), "/x"), 403)
    })
  )

  it.effect("asks no route behind the one that fits", () =>
    Effect.gen(function* () {
      const route = Router.firstOf(Router.path("/x", a), () => Effect.die(new Error("it was asked")))
      assert.deepStrictEqual(yield* led(route, "/x"), ["a:1"])
    })
  )

  it.effect("has the last one's answer where none fits, and 404 where there is none", () =>
    Effect.gen(function* () {
      const last = Router.when(
        () => true,
        () => Effect.fail(new Refusal({ status: 404, reason: "last" }))
      )
      const refusal = yield* Effect.flip(Router.firstOf(Router.path("/y", a), last)(asking("/x")))
      assert.strictEqual(refusal.reason, "last")
      assert.strictEqual(yield* led(Router.firstOf(), "/x"), 404)
    })
  )

  it.effect("fails as its routes fail", () =>
    Effect.gen(function* () {
      const route = Router.firstOf(Router.path("/y", a), () => Effect.fail("broken" as const))
      assert.strictEqual(yield* Effect.flip(route(asking("/x"))), "broken")
    })
  )
})

const orders = (route: Router.Route, times: number) =>
  Effect.map(
    Effect.forEach(Array.from({ length: times }), () => led(route, "/")),
    (all) => all.map((hosts) => (typeof hosts === "number" ? hosts : hosts.map((host) => host[0]).join("")))
  )

const gone = (route: Router.Route, target = a, kind: DialError["kind"] = "Refused") =>
  Effect.flatMap(route(asking("/")), (found) => {
    const { onDialError } = Router.choice(found)
    return onDialError?.(new DialError({ target: at(target.host), kind })) ?? Effect.void
  })

describe("several targets", () => {
  it.effect("are a round robin that begins with each in turn", () =>
    Effect.gen(function* () {
      const route = Router.roundRobin([a, b, c])
      assert.deepStrictEqual(yield* orders(route, 4), ["abc", "bca", "cab", "abc"])
      assert.deepStrictEqual(yield* orders(Router.roundRobin([a]), 2), ["a", "a"])
    })
  )

  it.effect("are a failover in their order", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* orders(Router.failover([a, b, c]), 2), ["abc", "abc"])
    })
  )

  it.effect("have one that was gone tried last, for a bounded time", () =>
    Effect.gen(function* () {
      const turns = Router.roundRobin([a, b, c], { skipFor: "3 seconds" })
      yield* gone(turns)
      assert.deepStrictEqual(yield* orders(turns, 3), ["bca", "cba", "bca"])
      const order = Router.failover([a, b], { skipFor: "3 seconds" })
      yield* gone(order)
      yield* TestClock.adjust("2999 millis")
      assert.deepStrictEqual(yield* orders(order, 1), ["ba"])
      yield* gone(order, b)
      assert.deepStrictEqual(yield* orders(order, 1), ["ab"], "where all are gone, all are tried")
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(yield* orders(order, 1), ["ab"])
      assert.deepStrictEqual(yield* orders(turns, 3), ["bca", "cab", "abc"])
    })
  )

  it.effect("are not to blame for what is ours", () =>
    Effect.gen(function* () {
      const route = Router.failover([a, b])
      for (const kind of ["Exhausted", "NotAllowed"] as const) yield* gone(route, a, kind)
      assert.deepStrictEqual(yield* orders(route, 1), ["ab"])
      yield* gone(route, a, "TimedOut")
      assert.deepStrictEqual(yield* orders(route, 1), ["ba"])
    })
  )
})
