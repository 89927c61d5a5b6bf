/** Targets that clients choose: what is read, what is let through, and what the dialler makes of it. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as ClientRoute from "../../src/proxy/ClientRoute.ts"
import * as Router from "../../src/proxy/Router.ts"
import { ClientTarget } from "../../src/proxy/Target.ts"
import * as TargetPolicy from "../../src/proxy/TargetPolicy.ts"
import { asking, at, led } from "./asking.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { names } from "./resolving.ts"
import { eventually } from "./watch.ts"

const policy = (...allow: ReadonlyArray<string>) => Result.getOrThrow(TargetPolicy.make({ allow }))
const query = (address: string) => `/v1?address=${encodeURIComponent(address)}`

describe("a target that the client chooses", { timeout: 30_000 }, () => {
  it.effect.each([
    ["db.internal:5432", ["db.internal:5432"]],
    ["DB.Internal:5432", ["db.internal:5432"]],
    ["x.replica.internal:6000", ["x.replica.internal:6000"]],
    ["10.1.2.3:5432", ["10.1.2.3:5432"]],
    ["[fd00::1]:5432", ["[fd00::1]:5432"]],
    ["db.internal:5433", 403],
    ["other.internal:5432", 403],
    ["replica.internal:6000", 403],
    ["x.replica.internal:6001", 403],
    ["11.1.2.3:5432", 403],
    ["127.0.0.1:5432", 403],
    ["169.254.169.254:80", 403],
    ["[::ffff:127.0.0.1]:5432", 403],
    ["localhost:5432", 403],
    ["", 400],
    ["db.internal", 400],
    ["db.internal:", 400],
    ["db.internal:0", 400],
    ["db.internal:65536", 400],
    ["db.internal:5432 ", 400],
    [" db.internal:5432", 400],
    ["db.internal:5432/x", 400],
    ["user@db.internal:5432", 400],
    ["http://db.internal:5432", 400],
    ["fd00::1:5432", 400],
    ["*db.internal:5432", 400],
    ["[fe80::1%eth0]:5432", 400],
    ["unix:/run/postgresql/.s.PGSQL.5432", 400],
    ["/run/postgresql:5432", 400],
    ["0x0a010203:5432", 400],
    ["167838211:5432", 400],
    ["10.1.515:5432", 400],
    ["db.internal\0:5432", 400],
    ["db.internal:5432\r\nx", 400],
    [`${"a.".repeat(200)}internal:5432`, 400],
    // what a name loses when it is read
    ["d\u00adb.internal:5432", ["db.internal:5432"]],
    [`${"\u00ad".repeat(300)}db.internal:5432`, 400]
  ] as const)("%j: %j", ([address, expected]) =>
    Effect.gen(function* () {
      const route = ClientRoute.make({
        policy: policy("db.internal:5432", "*.replica.internal:6000", "10.0.0.0/8:5432", "[fd00::/8]:5432")
      })
      assert.deepStrictEqual(yield* led(route, query(address)), expected)
    })
  )

  it.effect("is one, said once, by the name that is given", () =>
    Effect.gen(function* () {
      const route = ClientRoute.make({ policy: policy("a:1", "b:1") })
      assert.strictEqual(yield* led(route, "/?address=a:1&address=b:1"), 400)
      assert.strictEqual(yield* led(route, "/?to=a:1"), 404)
      const to = ClientRoute.make({ policy: policy("a:1"), parameter: "to" })
      assert.deepStrictEqual(yield* led(to, "/?to=a:1&address=x"), ["a:1"])
      assert.deepStrictEqual(yield* led(Router.firstOf(route, Router.to(at("rest"))), "/"), ["rest:1"])
      assert.strictEqual(yield* led(Router.firstOf(route, Router.to(at("rest"))), "/?address=c:1"), 403)
    })
  )

  it.effect("is marked as the client's, for the dialler", () =>
    Effect.gen(function* () {
      const route = ClientRoute.make({ policy: policy("*:5432") })
      for (const address of ["db.internal:5432", "93.184.216.34:5432"]) {
        assert.instanceOf(yield* route(asking(query(address))), ClientTarget)
      }
    })
  )

  it.effect("is none where nothing is allowed, and may be anything but what is reserved where * is", () =>
    Effect.gen(function* () {
      for (const nothing of [TargetPolicy.everything, TargetPolicy.unreserved]) {
        assert.strictEqual(yield* led(ClientRoute.make({ policy: nothing }), query("db.example:5432")), 403)
      }
      const all = ClientRoute.make({ policy: policy("*") })
      assert.deepStrictEqual(yield* led(all, query("db.example:5432")), ["db.example:5432"])
      for (const address of ["10.0.0.1:1", "127.0.0.1:1", "localhost:1", "[::1]:1"]) {
        assert.strictEqual(yield* led(all, query(address)), 403)
      }
    })
  )

  it.live("is judged again by the address that its name has, and the client learns no more than 403", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { port } = listener
      const allowed = policy(`127.0.0.1:${port}`, `*.example:${port}`)
      const { dns } = names({ "rebinding.example": ["127.0.0.2"], "metadata.example": ["169.254.169.254"] })
      const dialer = NodeDialer.layer({
        dns,
        policy: (target) => (target instanceof ClientTarget ? allowed : TargetPolicy.everything)
      })
      const proxy = yield* Proxy.serve({ target: ClientRoute.make({ policy: allowed }), dialer })
      yield* RawClient.open(proxy.port, { path: query(`127.0.0.1:${port}`) })
      yield* listener.accept
      for (const address of [`127.0.0.1:${port - 1}`, `rebinding.example:${port}`, `metadata.example:${port}`]) {
        const client = yield* RawClient.request(proxy.port, { path: query(address) })
        yield* client.until("403")
        yield* client.until("end")
        assert.notMatch(client.answer, /127\.0\.0|169\.254|rule|example/)
      }
      yield* eventually("three lines", () => proxy.log.length === 3)
      assert.match(proxy.log[0]!, /A target is not allowed to 127\.0\.0\.1: /)
      assert.strictEqual(listener.connections.length, 1)
    })
  )
})
