/**
 * Users and passwords: what is read of a file, how many are checked at a time, and what is remembered. The passwords are hashed
 * at the lowest cost; what the real tool writes is in test/node.
 */
import { assert, describe, it } from "@effect/vitest"
import { hashSync } from "bcryptjs"
import { stat } from "node:fs"
import { Deferred, Effect, Fiber, Redacted, Result } from "effect"
import { TestClock } from "effect/testing"
import { vi } from "vitest"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as Htpasswd from "../../src/server/Htpasswd.ts"
import type * as Digests from "../../src/server/internal/digests.ts"
import * as WrongPasswords from "../../src/server/internal/wrongPasswords.ts"
import { settled } from "../connection/connected.ts"
import { counting } from "../connection/metrics.ts"

// the digests come from threads, whenever those have the time
const digests = vi.hoisted(() => ({ awaited: 0 }))
vi.mock("../../src/server/internal/digests.ts", async (original) => {
  const actual = await original<typeof Digests>()
  const hmac: typeof Digests.hmac = async (key, text) => {
    digests.awaited++
    try {
      return await actual.hmac(key, text)
    } finally {
      digests.awaited--
    }
  }
  return { ...actual, hmac }
})

/** Until all that were asked about have come as far as they can: to their turn, or to its end. */
const entered = Effect.gen(function* () {
  yield* settled
  while (digests.awaited > 0) yield* Effect.promise(() => new Promise(setImmediate))
  yield* settled
})

const hashOf = (password: string, rounds = 4) => hashSync(password, rounds)
const users = (...pairs: ReadonlyArray<readonly [string, string]>): Htpasswd.Users => new Map(pairs)
const secret = (text: string) => Redacted.make(text)
const ann = hashOf("right")

const outcome = (self: Htpasswd.Htpasswd, user: string, password: string) =>
  Effect.map(Effect.result(self.verify(user, secret(password))), (result) =>
    Result.isSuccess(result) ? "right" : `${result.failure.kind}: ${result.failure.reason}`
  )

describe("parse", () => {
  it("reads lines of bcrypt in its three forms, and leaves out remarks and empty lines", () => {
    const text = [
      "# users",
      `ann:${ann.replace("$2b$", "$2y$")}`,
      "",
      `j\u00fcrgen:${ann.replace("$2b$", "$2a$")}\r`,
      `with blank:${ann}  `,
      "   "
    ].join("\n")
    const all = Result.getOrThrow(Htpasswd.parse(`\uFEFF${text}`))
    assert.deepStrictEqual([...all.keys()], ["ann", "jürgen", "with blank"])
    assert.strictEqual(Result.getOrThrow(Htpasswd.parse("")).size, 0)
  })

  it("refuses every other scheme and mistake by its line, and says what to do", () => {
    const cases: ReadonlyArray<readonly [string, string]> = [
      [
        "bob:$apr1$Yk8x2sAB$G4m0PzEPwWKKm4kzuP6xP.",
        'line 2: the password of "bob" is hashed with MD5; set it anew with htpasswd -B'
      ],
      ["bob:{SHA}W6ph5Mm5Pz8GgiULbPgzG37mj9g=", "with SHA-1"],
      ["bob:$5$abc$def", "with SHA-256"],
      ["bob:$6$abc$def", "with SHA-512"],
      ["bob:$y$j9T$abc", "yescrypt"],
      ["bob:rqXexS6ZhobKA", "with crypt"],
      ["bob:password", "is not hashed;"],
      ["bob:", "is not hashed;"],
      [`bob:${ann.replace("$2b$", "$2x$")}`, "form of bcrypt"],
      [`bob:${ann.slice(0, -1)}`, "form of bcrypt"],
      [`bob:${ann.replace("$04$", "$13$")}`, "cost 13"],
      [`bob:${ann.replace("$04$", "$99$")}`, "cost 99"],
      [`bob:${ann.replace("$04$", "$03$")}`, "cost 3"],
      ["bob", "user:hash"],
      [`:${ann}`, "user:hash"],
      [`b\u0007ob:${ann}`, "control"],
      [`ann:${ann}`, "line 1, too"]
    ]
    for (const [line, says] of cases) {
      const result = Htpasswd.parse(`ann:${ann}\n${line}\n`)
      if (Result.isSuccess(result)) return assert.fail(line)
      assert.strictEqual(result.failure.line, 2, line)
      assert.include(result.failure.message, says)
      if (line.length > 20) assert.notInclude(result.failure.message, line.slice(-12))
    }
    assert.isTrue(Result.isSuccess(Htpasswd.parse(`bob:${ann.replace("$04$", "$13$")}`, { maxCost: 13 })))
  })

  it("has a bound for the users of a file", () => {
    const text = Array.from({ length: 100_001 }, (_, i) => `u${i}:${ann}`).join("\n")
    assert.include(String(Result.flip(Htpasswd.parse(text)).pipe(Result.getOrThrow).message), "more than 100000")
  })
})

describe("make", () => {
  it.effect("takes the right password of a user, and tells the log and not the client which of both was wrong", () =>
    Effect.gen(function* () {
      const self = yield* Htpasswd.make(() => users(["ann", ann], ["jürgen", hashOf("größe €")]))
      assert.strictEqual(yield* outcome(self, "ann", "right"), "right")
      assert.strictEqual(yield* outcome(self, "jürgen", "größe €"), "right")
      for (const password of ["wrong", "", "Right", "right ", "größe €"]) {
        assert.strictEqual(yield* outcome(self, "ann", password), 'credentialsWrong: wrong password for "ann"')
      }
      assert.strictEqual(yield* outcome(self, "bob", "right"), "credentialsWrong: no such user")
      assert.strictEqual(yield* outcome(self, "", ""), "credentialsWrong: no such user")
    })
  )

  it.effect(
    "compares an unknown user with a hash of the file, always the same for a name, and lets none in by it",
    () =>
      Effect.gen(function* () {
        const compared: Array<string> = []
        const compare = (_: string, hash: string) => Effect.sync(() => (compared.push(hash), true))
        const all = users(["ann", ann], ["bob", hashOf("x", 5)], ["eve", hashOf("y", 6)])
        const self = yield* Htpasswd.make(() => all, { compare })
        for (let i = 0; i < 60; i++) {
          assert.strictEqual(yield* outcome(self, `nobody${i % 30}`, "x"), "credentialsWrong: no such user")
        }
        assert.deepStrictEqual(compared.slice(0, 30), compared.slice(30))
        assert.strictEqual(new Set(compared).size, 3)
        const empty = yield* Htpasswd.make(() => users(), { compare })
        assert.strictEqual(yield* outcome(empty, "ann", "x"), "credentialsWrong: no such user")
        assert.match(compared.at(-1) ?? "", /^\$2b\$10\$/)
      })
  )

  it.effect("remembers what was right for a minute, and only for that hash; never what was wrong", () =>
    Effect.gen(function* () {
      let all = users(["ann", ann])
      let compared = 0
      const self = yield* Htpasswd.make(() => all, {
        compare: (password) => Effect.sync(() => (compared++, password === "right"))
      })
      const costs = Effect.fnUntraced(function* (password: string) {
        const before = compared
        const how = yield* outcome(self, "ann", password)
        return [how === "right", compared - before]
      })
      assert.deepStrictEqual(yield* costs("right"), [true, 1])
      assert.deepStrictEqual(yield* costs("right"), [true, 0])
      assert.deepStrictEqual(yield* costs("wrong"), [false, 1])
      assert.deepStrictEqual(yield* costs("wrong"), [false, 1])
      yield* TestClock.adjust("61 seconds")
      assert.deepStrictEqual(yield* costs("right"), [true, 1])
      // the password was set anew
      all = users(["ann", hashOf("right")])
      assert.deepStrictEqual(yield* costs("right"), [true, 1])
      // the user is gone, and the last that was right helps nobody
      all = users(["bob", ann])
      assert.deepStrictEqual(yield* costs("right"), [false, 1])
      const forgetful = yield* Htpasswd.make(() => users(["ann", ann]), {
        remember: 0,
        compare: () => Effect.sync(() => (compared++, true))
      })
      const before = compared
      yield* Effect.replicateEffect(outcome(forgetful, "ann", "right"), 3)
      assert.strictEqual(compared - before, 3)
    })
  )

  it.effect("remembers so many passwords and no more", () =>
    Effect.gen(function* () {
      let compared = 0
      const all = users(...Array.from({ length: 1500 }, (_, i) => [`u${i}`, ann] as const))
      const self = yield* Htpasswd.make(() => all, { compare: () => Effect.sync(() => (compared++, true)) })
      for (let i = 0; i < 1500; i++) yield* self.verify(`u${i}`, secret("x"))
      assert.strictEqual(compared, 1500)
      yield* self.verify("u1499", secret("x"))
      yield* self.verify("u476", secret("x"))
      assert.strictEqual(compared, 1500)
      yield* self.verify("u475", secret("x"))
      assert.strictEqual(compared, 1501)
      // one that is right again is remembered from then on
      yield* TestClock.adjust("61 seconds")
      yield* self.verify("u477", secret("x"))
      yield* self.verify("u0", secret("x"))
      assert.strictEqual(compared, 1503)
      yield* self.verify("u477", secret("x"))
      assert.strictEqual(compared, 1503)
    })
  )

  it.effect("checks one at a time, has so many wait and no more, and a client that goes away gives up its place", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      let [running, most, compared] = [0, 0, 0]
      const self = yield* Htpasswd.make(() => users(["ann", ann]), {
        maxWaiting: 5,
        compare: () =>
          Effect.gen(function* () {
            compared++
            most = Math.max(most, ++running)
            yield* Deferred.await(gate)
            running--
            return false
          })
      })
      // one behind another, so that the last is not the one whose password is looked at
      const fibers = yield* Effect.replicateEffect(Effect.tap(Effect.forkChild(outcome(self, "ann", "x")), entered), 5)
      assert.match(yield* outcome(self, "ann", "x"), /^unavailable: too many/)
      yield* Fiber.interrupt(fibers[4]!)
      const next = yield* Effect.forkChild(outcome(self, "ann", "x"))
      yield* Deferred.succeed(gate, undefined)
      for (const fiber of [...fibers.slice(0, 4), next]) assert.match(yield* Fiber.join(fiber), /^credentialsWrong/)
      assert.deepStrictEqual([most, compared], [1, 5])
    })
  )

  it.effect("is waited for no longer than one wants, though a check that runs is not stopped", () =>
    Effect.gen(function* () {
      const begun = yield* Deferred.make<void>()
      const gate = yield* Deferred.make<void>()
      let done = 0
      const self = yield* Htpasswd.make(() => users(["ann", ann]), {
        maxWaiting: 2,
        compare: () =>
          Deferred.succeed(begun, undefined).pipe(
            Effect.andThen(Deferred.await(gate)),
            Effect.map(() => ++done > 1)
          )
      })
      const fiber = yield* Effect.forkChild(outcome(self, "ann", "x"))
      yield* Deferred.await(begun)
      yield* Fiber.interrupt(fiber)
      // it keeps its place until it is done
      const next = yield* Effect.forkChild(outcome(self, "ann", "x"))
      yield* entered
      assert.match(yield* outcome(self, "ann", "x"), /^unavailable: too many/)
      yield* Deferred.succeed(gate, undefined)
      assert.strictEqual(yield* Fiber.join(next), "right")
      assert.strictEqual(done, 2)
    })
  )

  it.effect("passes on that a password could not be compared, and counts it as no guess", () =>
    Effect.gen(function* () {
      let fails = true
      const self = yield* Htpasswd.make(() => users(["ann", ann]), {
        maxWrongPasswords: 1,
        compare: () =>
          fails ? Effect.fail({ kind: "unavailable", reason: "the comparer is away" }) : Effect.succeed(true)
      })
      const ask = Effect.result(self.verify("ann", secret("right"), { remoteAddress: "192.0.2.1" }))
      for (let i = 0; i < 3; i++) {
        const result = yield* ask
        assert.strictEqual(Result.isFailure(result) ? result.failure.reason : "right", "the comparer is away")
      }
      fails = false
      assert.isTrue(Result.isSuccess(yield* ask))
    })
  )

  it.live("has its places back, whenever those who wait go away", () =>
    Effect.gen(function* () {
      const self = yield* Htpasswd.make(() => users(["ann", ann]), {
        maxWaiting: 8,
        maxWrongPasswords: 1e9,
        compare: () => Effect.succeed(false)
      })
      for (let i = 0; i < 500; i++) {
        const fiber = yield* Effect.forkDetach(outcome(self, "ann", `x${i}`))
        // in the phase of the event loop in which the digest comes, too
        yield* Effect.promise(
          () =>
            new Promise<void>((resolve) =>
              stat(".", () => {
                fiber.interruptUnsafe()
                resolve()
              })
            )
        )
      }
      assert.match(yield* outcome(self, "ann", "x"), /^credentialsWrong/)
    })
  )

  it.effect("has so many of one address wait, and leaves room for others", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      let compared = 0
      const self = yield* Htpasswd.make(() => users(["ann", ann]), {
        maxWaitingPerAddress: 2,
        compare: () =>
          Effect.as(
            Effect.andThen(
              Effect.sync(() => compared++),
              Deferred.await(gate)
            ),
            false
          )
      })
      const kind = (remoteAddress: string | undefined) =>
        Effect.map(Effect.flip(self.verify("ann", secret("x"), { remoteAddress })), (fault) => fault.kind)
      const crowd = yield* Effect.replicateEffect(Effect.forkChild(kind("2001:db8::1")), 2)
      yield* entered
      assert.strictEqual(yield* kind("2001:db8::2"), "unavailable")
      const others = yield* Effect.forEach(
        ["2001:db8:0:1::1", "192.0.2.1", undefined, undefined, undefined],
        (address) => Effect.forkChild(kind(address))
      )
      yield* entered
      for (const fiber of others) assert.isUndefined(fiber.pollUnsafe())
      yield* Deferred.succeed(gate, undefined)
      for (const fiber of [...crowd, ...others]) assert.strictEqual(yield* Fiber.join(fiber), "credentialsWrong")
      assert.strictEqual(yield* kind("2001:db8::2"), "credentialsWrong")
    })
  )

  it.effect(
    "looks at no password for a user from an address that had too many wrong ones for it, right or not, until it may try again",
    () =>
      Effect.gen(function* () {
        let compared = 0
        const compare = (password: string) => Effect.sync(() => (compared++, password === "right"))
        const self = yield* Htpasswd.make(() => users(["ann", ann]), { compare })
        const from = (remoteAddress: string | undefined, password: string, user = "ann") =>
          Effect.map(Effect.result(self.verify(user, secret(password), { remoteAddress })), (result) =>
            Result.isSuccess(result) ? "right" : (result.failure.retryAfter ?? result.failure.kind)
          )
        assert.strictEqual(yield* from("2001:db8::1", "right"), "right")
        for (let i = 0; i < 10; i++) {
          for (const user of ["ann", "nobody"]) {
            assert.strictEqual(yield* from(`2001:db8::${i + 1}`, `wrong${i}`, user), "credentialsWrong")
          }
        }
        const before = compared
        const bites = yield* counting(
          Telemetry.limits,
          "maxWrongPasswords",
          Effect.gen(function* () {
            // not even what is remembered: it would tell what is right
            assert.strictEqual(yield* from("2001:db8::1", "right"), 6)
            assert.strictEqual(yield* from("2001:db8::2", "wrong"), 6)
          })
        )
        assert.deepStrictEqual([bites, compared - before], [2, 0])
        // a user that there is not is held back no otherwise, and the neighbours of who guesses not at all
        assert.strictEqual(yield* from("2001:db8::1", "wrong", "nobody"), 6)
        assert.strictEqual(yield* from("2001:db8::1", "wrong", "another"), "credentialsWrong")
        for (const other of ["2001:db8:0:1::1", "192.0.2.1", undefined]) {
          assert.strictEqual(yield* from(other, "right"), "right")
        }
        yield* TestClock.adjust("2 seconds")
        assert.strictEqual(yield* from("2001:db8::1", "right"), 4)
        yield* TestClock.adjust("4 seconds")
        assert.strictEqual(yield* from("2001:db8::1", "right"), "right")
        assert.strictEqual(yield* from("2001:db8::1", "wrong"), "credentialsWrong")
        assert.strictEqual(yield* from("2001:db8::1", "right"), 6)
        // a unix socket has no address to count by
        for (let i = 0; i < 30; i++) assert.strictEqual(yield* from(undefined, "wrong"), "credentialsWrong")
      })
  )

  it.effect("has a limit for wrong passwords that holds for those that wait, too, and can be another or none", () =>
    Effect.gen(function* () {
      let compared = 0
      const compare = () =>
        Effect.as(
          Effect.andThen(
            Effect.sync(() => compared++),
            Effect.yieldNow
          ),
          false
        )
      const outcomes = Effect.fnUntraced(function* (maxWrongPasswords: number) {
        compared = 0
        const self = yield* Htpasswd.make(() => users(["ann", ann]), { compare, maxWrongPasswords })
        const kinds = yield* Effect.forEach(
          Array.from({ length: 15 }, (_, i) => `x${i}`),
          (password) =>
            Effect.map(
              Effect.flip(self.verify("ann", secret(password), { remoteAddress: "192.0.2.1" })),
              ({ kind }) => kind
            ),
          { concurrency: "unbounded" }
        )
        return [compared, kinds.filter((kind) => kind === "maxWrongPasswords").length]
      })
      assert.deepStrictEqual(yield* outcomes(3), [3, 12])
      assert.deepStrictEqual(yield* outcomes(Infinity), [15, 0])
    })
  )

  it.effect("counts who waits of an address until it has been checked, and no longer", () =>
    Effect.gen(function* () {
      const gates: Array<Deferred.Deferred<void>> = []
      const self = yield* Htpasswd.make(() => users(["ann", ann]), {
        maxWaitingPerAddress: 2,
        compare: () =>
          Effect.suspend(() => {
            const gate = Deferred.makeUnsafe<void>()
            gates.push(gate)
            return Effect.as(Deferred.await(gate), false)
          })
      })
      const kind = Effect.map(
        Effect.flip(self.verify("ann", secret("x"), { remoteAddress: "192.0.2.1" })),
        (fault) => fault.kind
      )
      const waiting = Effect.tap(Effect.forkChild(kind), entered)
      const first = yield* waiting
      const second = yield* waiting
      assert.strictEqual(yield* kind, "unavailable")
      yield* Deferred.succeed(gates[0]!, undefined)
      assert.strictEqual(yield* Fiber.join(first), "credentialsWrong")
      const third = yield* waiting
      assert.strictEqual(yield* kind, "unavailable")
      for (const [i, fiber] of [second, third].entries()) {
        while (gates.length < i + 2) yield* Effect.promise(() => new Promise(setImmediate))
        yield* Deferred.succeed(gates[i + 1]!, undefined)
        assert.strictEqual(yield* Fiber.join(fiber), "credentialsWrong")
      }
    })
  )

  it.effect("counts long names that begin alike as one", () =>
    Effect.gen(function* () {
      const self = yield* Htpasswd.make(() => users(["ann", ann]), { compare: () => Effect.succeed(false) })
      const kindOf = (user: string) =>
        Effect.map(Effect.flip(self.verify(user, secret("x"), { remoteAddress: "192.0.2.1" })), ({ kind }) => kind)
      const long = "x".repeat(64)
      for (let i = 0; i < 10; i++) assert.strictEqual(yield* kindOf(`${long}${i}`), "credentialsWrong")
      assert.strictEqual(yield* kindOf(`${long}y`), "maxWrongPasswords")
      assert.strictEqual(yield* kindOf(long.slice(1)), "credentialsWrong")
    })
  )

  it.effect("remembers 16,384 of those with wrong passwords, and forgets first who was wrong the longest ago", () =>
    Effect.gen(function* () {
      const compare = () => Effect.succeed(false)
      const self = yield* Htpasswd.make(() => users(["ann", ann]), { compare, maxWrongPasswords: 1 })
      const from = (i: number) =>
        Effect.map(
          Effect.flip(self.verify("ann", secret("wrong"), { remoteAddress: `10.0.${i >> 8}.${i & 255}` })),
          ({ kind }) => kind
        )
      for (let i = 0; i <= 16_384; i++) assert.strictEqual(yield* from(i), "credentialsWrong")
      assert.strictEqual(yield* from(1), "maxWrongPasswords")
      assert.strictEqual(yield* from(0), "credentialsWrong")
    })
  )

  it.effect("makes users of a password that was given as it is", () =>
    Effect.gen(function* () {
      const all = yield* Htpasswd.fromPlain("ann", secret("a:b"))
      const self = yield* Htpasswd.make(() => all)
      assert.strictEqual(yield* outcome(self, "ann", "a:b"), "right")
      assert.notStrictEqual(yield* outcome(self, "ann", "a:c"), "right")
    })
  )
})

describe("wrongPasswords", () => {
  const waitOf = ({ waitOf }: WrongPasswords.WrongPasswords, address: string, now = 0) => waitOf(address, now)

  it("remembers so many addresses and no more; those that were wrong the longest ago are forgotten first", () => {
    const wrong = WrongPasswords.make(1, 100)
    for (let i = 0; i < 5000; i++) wrong.count(`a${i}`, 0)
    assert.strictEqual(wrong.size(), 100)
    assert.deepStrictEqual(
      [waitOf(wrong, "a4999"), waitOf(wrong, "a4900"), waitOf(wrong, "a4899")],
      [60, 60, undefined]
    )
    // who was wrong again is not the oldest any more
    wrong.count("a4900", 0)
    wrong.count("new", 0)
    assert.deepStrictEqual([waitOf(wrong, "a4900"), waitOf(wrong, "a4901")], [120, undefined])
  })

  it("forgets who may try as often as anyone again", () => {
    const wrong = WrongPasswords.make(10, 100)
    for (let i = 0; i < 50; i++) wrong.count(`a${i}`, i)
    assert.strictEqual(wrong.size(), 50)
    wrong.count("late", 6030)
    assert.strictEqual(wrong.size(), 20)
  })

  it("takes one at least", () => {
    const wrong = WrongPasswords.make(0, 100)
    assert.isUndefined(waitOf(wrong, "a"))
    wrong.count("a", 0)
    assert.strictEqual(waitOf(wrong, "a"), 60)
    assert.isUndefined(waitOf(wrong, "a", 60_000))
  })
})
