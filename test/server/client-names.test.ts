import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Dns from "effect/net/Dns"
import * as Host from "effect/net/Host"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { TestClock } from "effect/testing"
import * as NodeClientNames from "../../src/node/NodeClientNames.ts"
import * as AccessList from "../../src/server/AccessList.ts"
import * as ClientNames from "../../src/server/ClientNames.ts"

const list = (text: string) => Result.getOrThrow(AccessList.parse(text))

type Zone = Record<string, ReadonlyArray<string> | Dns.DnsErrorReason | "Hangs" | "Dies">

/** A resolver of these names and claims (whose keys are addresses), which writes down what it is asked. */
const resolver = (zone: Zone) => {
  const asked: Array<string> = []
  const answer = (method: "lookup" | "reverse", key: string): Effect.Effect<ReadonlyArray<string>, Dns.DnsError> =>
    Effect.suspend(() => {
      asked.push(key)
      const found = zone[key] ?? zone[key.replace(/\.$/, "")] ?? "NotFound"
      if (typeof found !== "string") return Effect.succeed(found)
      if (found === "Hangs") return Effect.never
      if (found === "Dies") throw new Error("a resolver with a fault")
      return Effect.fail(new Dns.DnsError({ reason: found, method, hostname: key }))
    })
  const dns = Dns.make({
    lookup: (name) => Effect.map(answer("lookup", name), (texts) => texts.map(NetAddress.ipFromStringUnsafe)),
    reverse: (address) => answer("reverse", NetAddress.formatIp(address))
  })
  return { asked, dns, zone }
}

/** Asks whether clients are in lists, all with one memory. */
const asking = Effect.fnUntraced(function* (zone: Zone, options: ClientNames.Options = {}) {
  const { asked, dns } = resolver(zone)
  const names = yield* ClientNames.make(options).pipe(Effect.provideService(Dns.Dns, dns))
  const provide = Effect.provideService(ClientNames.ClientNames, names)
  return {
    asked,
    zone,
    names,
    isIn: (text: string, client: AccessList.ClientAddress) => provide(AccessList.matchesEffect(list(text), client)),
    decide: (policy: AccessList.Policy, client: AccessList.ClientAddress) =>
      provide(AccessList.decideEffect(policy, client))
  }
})

describe("an exact name", () => {
  it.effect("has the clients of its addresses, in any notation", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({ "trusted.example": ["192.0.2.1", "2001:db8::1", "::ffff:192.0.2.9"] })
      for (const client of ["192.0.2.1", "::ffff:192.0.2.1", "2001:DB8:0::1", "2001:db8::1%eth0", "192.0.2.9"])
        assert.isTrue(yield* isIn("Trusted.Example", client), client)
      for (const client of ["192.0.2.2", "2001:db8::2", "::c000:201", undefined, "trusted.example", ""])
        assert.isFalse(yield* isIn("trusted.example", client), client)
      assert.deepStrictEqual(asked, ["trusted.example"])
    })
  )

  it.effect("is asked for as it is written, with its last dot", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({ "a.example": ["192.0.2.1"] })
      assert.isTrue(yield* isIn("a.example.", "192.0.2.1"))
      assert.deepStrictEqual(asked, ["a.example."])
    })
  )

  it.effect("that has no address, or whose look-up fails or dies, has nobody", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({
        "empty.example": [],
        "servfail.example": "ServerFailure",
        "slow.example": "Timeout",
        "dies.example": "Dies"
      })
      for (const name of ["empty.example", "servfail.example", "slow.example", "dies.example", "unknown.example"])
        assert.isFalse(yield* isIn(name, "192.0.2.1"), name)
      assert.strictEqual(asked.length, 5)
    })
  )

  it.effect("that fails does not keep another from matching", () =>
    Effect.gen(function* () {
      const { isIn } = yield* asking({ "bad.example": "Refused", "good.example": ["192.0.2.1"], "h.example": "Hangs" })
      assert.isTrue(yield* isIn("bad.example, h.example, good.example", "192.0.2.1"))
      assert.isTrue(yield* isIn("good.example, bad.example", "192.0.2.1"))
    })
  )

  it.effect("is not asked for where an address decides", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({})
      assert.isTrue(yield* isIn("a.example, *.b.example, 192.0.2.*", "192.0.2.1"))
      assert.isTrue(yield* isIn("a.example, *", undefined))
      assert.isFalse(yield* isIn("192.0.2.*", "192.0.3.1"))
      assert.deepStrictEqual(asked, [])
    })
  )
})

describe("a name with *", () => {
  it.effect("has a client whose claimed name matches and has its address", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({
        "192.0.2.1": ["A.Example.COM."],
        "a.example.com": ["192.0.2.1"],
        "2001:db8::1": ["other.example", "b.c.example.com"],
        "b.c.example.com": ["2001:db8::2", "2001:db8::1"]
      })
      assert.isTrue(yield* isIn("*.example.com", "192.0.2.1"))
      assert.isTrue(yield* isIn("*.example.com", "::ffff:192.0.2.1"))
      assert.isTrue(yield* isIn("*.example.com", "2001:db8::1"))
      // a claim is asked for without our search domains, and one that does not match not at all
      assert.deepStrictEqual(asked, ["192.0.2.1", "a.example.com.", "2001:db8::1", "b.c.example.com."])
    })
  )

  it.effect("has nobody who only claims to be of it", () =>
    Effect.gen(function* () {
      const { isIn } = yield* asking({
        // the owner of an address names it as he likes
        "203.0.113.1": ["a.example.com"],
        "203.0.113.2": ["nowhere.example.com"],
        "203.0.113.3": ["hangs.example.com"],
        "203.0.113.4": ["broken.example.com"],
        "a.example.com": ["192.0.2.1"],
        "hangs.example.com": "Hangs",
        "broken.example.com": "ServerFailure"
      })
      for (const client of ["203.0.113.1", "203.0.113.2", "203.0.113.4"])
        assert.isFalse(yield* isIn("*.example.com", client), client)
      const hanging = yield* Effect.forkChild(isIn("*.example.com", "203.0.113.3"))
      yield* TestClock.adjust("2 seconds")
      assert.isFalse(yield* Fiber.join(hanging))
    })
  )

  it.effect("has nobody whose name is another, or who has none", () =>
    Effect.gen(function* () {
      const names = ["example.com", "evilexample.com", "a.example.com.evil.example", "a.example.org", "com"]
      const zone: Zone = { "192.0.2.100": "ServerFailure", "192.0.2.101": [], "192.0.2.102": "Dies" }
      names.forEach((name, i) => {
        zone[`192.0.2.${i}`] = [name]
        zone[name] = [`192.0.2.${i}`]
      })
      const { isIn } = yield* asking(zone)
      for (let i = 0; i <= 103; i++) assert.isFalse(yield* isIn("*.example.com", `192.0.2.${i}`), names[i])
    })
  )

  for (const [pattern, inside, outside] of [
    ["*.example.com", ["a.example.com", "a.b.example.com", "xn--a.example.com"], ["example.com"]],
    [
      "host-*.example.com",
      ["host-1.example.com", "host-ab_c.example.com"],
      ["host.example.com", "host-1.a.example.com", "host-1.example.com.evil.example"]
    ],
    ["*-db.example.com", ["x-db.example.com"], ["x-db2.example.com", "a.x-db.example.com"]],
    ["a.*.example.com", ["a.b.example.com"], ["a.example.com", "a.b.c.example.com", "b.b.example.com"]],
    ["*.a*.example.com", ["x.a.example.com", "x.y.ab.example.com"], ["a.example.com", "x.b.example.com"]],
    ["*.*.example.com", ["a.b.example.com", "a.b.c.example.com"], ["a.example.com"]]
  ] as const) {
    it.effect(`${pattern} is ${inside.join(", ")} and not ${outside.join(", ")}`, () =>
      Effect.gen(function* () {
        const zone: Zone = {}
        const all = [...inside, ...outside]
        all.forEach((name, i) => {
          zone[`192.0.2.${i}`] = [name]
          zone[name] = [`192.0.2.${i}`]
        })
        const { isIn } = yield* asking(zone)
        for (const [i, name] of all.entries())
          assert.strictEqual(yield* isIn(pattern, `192.0.2.${i}`), i < inside.length, name)
      })
    )
  }

  it.effect("is one of several", () =>
    Effect.gen(function* () {
      const { isIn } = yield* asking({ "192.0.2.1": ["a.example.com"], "a.example.com": ["192.0.2.1"] })
      assert.isTrue(yield* isIn("*.example.org, *.example.com", "192.0.2.1"))
      assert.isFalse(yield* isIn("*.example.org, *.example.net", "192.0.2.1"))
    })
  )

  it.effect("looks up four claims and no more", () =>
    Effect.gen(function* () {
      const claims = Array.from({ length: 100 }, (_, i) => `n${i}.example.com`)
      const { asked, isIn } = yield* asking({ "203.0.113.1": claims, "n50.example.com": ["203.0.113.1"] })
      assert.isFalse(yield* isIn("*.example.com", "203.0.113.1"))
      assert.strictEqual(asked.length, 5)
    })
  )

  it.effect("makes no reverse look-up in a list of exact names", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({ "a.example": ["192.0.2.2"] })
      assert.isFalse(yield* isIn("a.example", "192.0.2.1"))
      assert.deepStrictEqual(asked, ["a.example"])
    })
  )
})

describe("time", () => {
  it.effect("a look-up is waited for as long as lookupTimeout, by all together", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({ "hangs.example": "Hangs" }, { lookupTimeout: "3 seconds" })
      const first = yield* Effect.forkChild(isIn("hangs.example", "192.0.2.1"))
      yield* TestClock.adjust("2 seconds")
      const second = yield* Effect.forkChild(isIn("hangs.example", "192.0.2.1"))
      yield* TestClock.adjust("999 millis")
      assert.isUndefined(first.pollUnsafe())
      assert.isUndefined(second.pollUnsafe())
      yield* TestClock.adjust("1 millis")
      assert.isFalse(yield* Fiber.join(first))
      assert.isFalse(yield* Fiber.join(second))
      // and nobody waits for it after that, or asks again while it is not answered
      assert.isFalse(yield* isIn("hangs.example", "192.0.2.1"))
      yield* TestClock.adjust("1 minute")
      assert.isFalse(yield* isIn("hangs.example", "192.0.2.1"))
      assert.strictEqual(asked.length, 1)
    })
  )

  it.effect("a look-up that is never answered is given up at last, and made again", () =>
    Effect.gen(function* () {
      const { isIn, zone } = yield* asking({ "a.example": "Hangs", "b.example": "Hangs", "c.example": ["192.0.2.1"] })
      const isInAll = (client: string) =>
        Effect.gen(function* () {
          const waiting = yield* Effect.forkChild(isIn("a.example, b.example, c.example", client))
          yield* TestClock.adjust("2 seconds")
          return yield* Fiber.join(waiting)
        })
      assert.isFalse(yield* isInAll("192.0.2.1"))
      zone["a.example"] = ["192.0.2.2"]
      yield* TestClock.adjust("2 minutes")
      assert.isTrue(yield* isInAll("192.0.2.1"))
      yield* TestClock.adjust("5 seconds")
      assert.isTrue(yield* isInAll("192.0.2.2"))
    })
  )

  it.effect("an answer that comes late is used", () =>
    Effect.gen(function* () {
      const dns = Dns.make({
        lookup: () => Effect.delay(Effect.succeed([NetAddress.ipFromStringUnsafe("192.0.2.1")]), "10 seconds")
      })
      const names = yield* ClientNames.make().pipe(Effect.provideService(Dns.Dns, dns))
      const addressesOf = names.addressesOf(Host.domainNameFromStringUnsafe("late.example"))
      const first = yield* Effect.forkChild(addressesOf)
      yield* TestClock.adjust("2 seconds")
      assert.deepStrictEqual(yield* Fiber.join(first), [])
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual((yield* addressesOf).map(NetAddress.formatIp), ["192.0.2.1"])
    })
  )

  it.effect("names that hang take two look-ups at a time", () =>
    Effect.gen(function* () {
      const zone: Zone = {}
      for (let i = 0; i < 10; i++) zone[`h${i}.example`] = "Hangs"
      const { asked, isIn } = yield* asking(zone)
      const waiting = yield* Effect.forkChild(isIn(Object.keys(zone).join(","), "192.0.2.1"))
      yield* TestClock.adjust("2 seconds")
      assert.isFalse(yield* Fiber.join(waiting))
      assert.strictEqual(asked.length, 2)
    })
  )

  it.effect("who goes away while it is looked up takes it from nobody else", () =>
    Effect.gen(function* () {
      const dns = Dns.make({
        lookup: () => Effect.delay(Effect.succeed([NetAddress.ipFromStringUnsafe("192.0.2.1")]), "1 second")
      })
      const names = yield* ClientNames.make().pipe(Effect.provideService(Dns.Dns, dns))
      const addressesOf = names.addressesOf(Host.domainNameFromStringUnsafe("a.example"))
      const first = yield* Effect.forkChild(addressesOf)
      yield* TestClock.adjust("500 millis")
      const second = yield* Effect.forkChild(addressesOf)
      yield* TestClock.adjust("1 millis")
      yield* Fiber.interrupt(first)
      yield* TestClock.adjust("499 millis")
      assert.strictEqual((yield* Fiber.join(second)).length, 1)
    })
  )
})

describe("memory", () => {
  it.effect("an answer is used for timeToLive, and a look-up is shared", () =>
    Effect.gen(function* () {
      const { asked, isIn, zone } = yield* asking({ "a.example": ["192.0.2.1"] }, { timeToLive: "30 seconds" })
      const all = yield* Effect.all(
        Array.from({ length: 10 }, () => isIn("a.example", "192.0.2.1")),
        { concurrency: "unbounded" }
      )
      assert.isTrue(all.every(Boolean))
      zone["a.example"] = ["192.0.2.2"]
      yield* TestClock.adjust("29999 millis")
      assert.isTrue(yield* isIn("a.example", "192.0.2.1"))
      assert.strictEqual(asked.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.isFalse(yield* isIn("a.example", "192.0.2.1"))
      assert.isTrue(yield* isIn("a.example", "192.0.2.2"))
      assert.strictEqual(asked.length, 2)
    })
  )

  it.effect("a failure stands for failureTimeToLive", () =>
    Effect.gen(function* () {
      const { asked, isIn, zone } = yield* asking({ "a.example": "ServerFailure" })
      assert.isFalse(yield* isIn("a.example", "192.0.2.1"))
      zone["a.example"] = ["192.0.2.1"]
      yield* TestClock.adjust("4999 millis")
      assert.isFalse(yield* isIn("a.example", "192.0.2.1"))
      assert.strictEqual(asked.length, 1)
      yield* TestClock.adjust("1 millis")
      assert.isTrue(yield* isIn("a.example", "192.0.2.1"))
      assert.strictEqual(asked.length, 2)
    })
  )

  it.effect("claims are remembered as well", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({ "192.0.2.1": ["a.example.com"], "a.example.com": ["192.0.2.1"] })
      for (let i = 0; i < 5; i++) assert.isTrue(yield* isIn("*.example.com", "192.0.2.1"))
      assert.strictEqual(asked.length, 2)
    })
  )

  it.effect("is bounded, and forgets first what was not asked for the longest", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking(
        { "a.example": ["192.0.2.1"], "b.example": ["192.0.2.1"], "c.example": ["192.0.2.1"] },
        { cacheSize: 2 }
      )
      for (const name of ["a", "b", "a", "c", "a"]) assert.isTrue(yield* isIn(`${name}.example`, "192.0.2.1"))
      assert.deepStrictEqual(asked, ["a.example", "b.example", "c.example"])
      assert.isTrue(yield* isIn("b.example", "192.0.2.1"))
      assert.deepStrictEqual(asked.slice(3), ["b.example"])
    })
  )

  it.effect("is for 1024 names unless told", () =>
    Effect.gen(function* () {
      const { asked, isIn } = yield* asking({})
      for (let i = 0; i <= 1024; i++) yield* isIn(`n${i}.example`, "192.0.2.1")
      yield* isIn("n1.example", "192.0.2.1")
      assert.strictEqual(asked.length, 1025)
      yield* isIn("n0.example", "192.0.2.1")
      assert.strictEqual(asked.length, 1026)
    })
  )
})

describe("a policy with names", () => {
  const zone = (): Zone => ({
    "friend.example": ["192.0.2.1"],
    "foe.example": ["192.0.2.2"],
    "both.example": ["192.0.2.3"],
    "broken.example": "ServerFailure"
  })
  const rows = [
    ["friend.example", undefined, "192.0.2.1", undefined],
    ["friend.example", undefined, "192.0.2.2", "notAllowed"],
    ["broken.example", undefined, "192.0.2.1", "notAllowed"],
    [undefined, "foe.example", "192.0.2.2", "blocked"],
    [undefined, "foe.example", "192.0.2.1", undefined],
    ["both.example", "both.example", "192.0.2.3", "blocked"],
    ["192.0.2.*", "foe.example", "192.0.2.2", "blocked"],
    ["friend.example", "192.0.2.*", "192.0.2.1", "blocked"],
    ["*", "broken.example", "192.0.2.1", undefined],
    ["*", "foe.example", undefined, undefined],
    ["friend.example", "foe.example", undefined, "notAllowed"]
  ] as const
  for (const [allowed, blocked, client, denial] of rows) {
    const says = denial ?? "welcome"
    it.effect(`of allowed ${allowed ?? "none"} and blocked ${blocked ?? "none"} says of ${client}: ${says}`, () =>
      Effect.gen(function* () {
        const { decide } = yield* asking(zone())
        const policy = {
          allowed: allowed === undefined ? undefined : list(allowed),
          blocked: blocked === undefined ? undefined : list(blocked)
        }
        assert.strictEqual(yield* decide(policy, client), denial)
      })
    )
  }

  it.effect("looks up nothing where addresses decide", () =>
    Effect.gen(function* () {
      const { asked, decide } = yield* asking({})
      const policy = { allowed: list("192.0.2.*"), blocked: list("192.0.2.1, foe.example") }
      assert.strictEqual(yield* decide(policy, "192.0.2.1"), "blocked")
      assert.strictEqual(yield* decide(policy, "192.0.3.1"), "notAllowed")
      assert.deepStrictEqual(asked, [])
      assert.strictEqual(yield* decide(policy, "192.0.2.2"), undefined)
      assert.deepStrictEqual(asked, ["foe.example"])
    })
  )
})

describe("NodeClientNames", () => {
  it.live("knows the addresses of localhost from the system, and fails for no name", () =>
    Effect.gen(function* () {
      assert.isTrue(
        (yield* AccessList.matchesEffect(list("localhost"), "127.0.0.1")) ||
          (yield* AccessList.matchesEffect(list("localhost"), "::1"))
      )
      assert.isFalse(yield* AccessList.matchesEffect(list("localhost"), "192.0.2.1"))
      assert.isFalse(yield* AccessList.matchesEffect(list("nowhere.invalid, *.nowhere.invalid"), "192.0.2.1"))
    }).pipe(Effect.provide(NodeClientNames.layer({ lookupTimeout: "1 second" })))
  )
})
