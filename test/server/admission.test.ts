import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit } from "effect"
import { TestClock } from "effect/testing"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as Admission from "../../src/server/Admission.ts"
import type { Refusal } from "../../src/server/OpenRequest.ts"
import type * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import { close, type Peer, settled } from "../connection/connected.ts"
import { counting, countingLimit } from "../connection/metrics.ts"
import { memoryServer } from "./memory-listener.ts"
import { drain, eventually, serving } from "./serving.ts"
import { upgraded } from "./wire.ts"

const serve = Effect.fnUntraced(function* (options: WebSocketServer.Options) {
  const memory = yield* memoryServer(options)
  yield* Effect.forkChild(memory.server.run(drain))
  yield* settled
  /** What a request of this address is answered with: 101 or the status of the refusal. */
  const status = (remoteAddress?: string) =>
    Effect.gen(function* () {
      const client = yield* memory.open(remoteAddress === undefined ? {} : { remoteAddress })
      const exit = yield* Effect.exit(client.answer)
      return {
        ...client,
        status: Exit.isSuccess(exit) ? 101 : yield* Effect.map(Effect.flip(client.answer), (_) => _.status)
      }
    })
  return { ...memory, status }
})

const bye = (client: { readonly peer: Pick<Peer, "send" | "end"> }) =>
  Effect.gen(function* () {
    yield* client.peer.send(close(1000))
    yield* client.peer.end
    yield* settled
  })

const refusalOf = (answer: Effect.Effect<unknown, Refusal>) => Effect.flip(answer)

describe("maxConnections", () => {
  it.effect("refuses more with 503 and counts them; one that ends makes room", () =>
    Effect.gen(function* () {
      const { server, status } = yield* serve({ maxConnections: 2 })
      const one = yield* status()
      const two = yield* status()
      assert.deepStrictEqual([one.status, two.status], [101, 101])
      const refused = yield* counting(
        Telemetry.refusals,
        "503",
        Effect.gen(function* () {
          const bites = yield* countingLimit("maxConnections", Effect.replicateEffect(status(), 3))
          assert.strictEqual(bites, 3)
        })
      )
      assert.strictEqual(refused, 3)
      assert.strictEqual(yield* server.connections, 2)
      yield* bye(one)
      assert.strictEqual((yield* status()).status, 101)
      assert.strictEqual((yield* status()).status, 503)
    })
  )

  it.effect("is 10,000 unless told, and counts requests that are not decided yet", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer()
      const decision = yield* Deferred.make<void>()
      yield* Effect.forkChild(server.runRequests(() => Deferred.await(decision)))
      yield* settled
      for (let i = 0; i < 10_000; i++) yield* Effect.scoped(open())
      assert.strictEqual(yield* server.connections, 10_000)
      const more = yield* open()
      assert.strictEqual((yield* refusalOf(more.answer)).status, 503)
      yield* Deferred.succeed(decision, undefined)
      yield* settled
      yield* Effect.yieldNow
    })
  )

  it.effect("a connection counts until it is gone, not until its handler is done", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer({ maxConnections: 1 })
      yield* Effect.forkChild(server.run(() => Effect.void))
      yield* settled
      const one = yield* open()
      yield* one.answer
      // the handler is done, and the client has not answered the Close frame
      yield* settled
      assert.isAbove(one.end.held(), 0)
      assert.strictEqual(yield* server.connections, 1)
      const two = yield* open()
      assert.strictEqual((yield* refusalOf(two.answer)).status, 503)
      yield* bye(one)
      assert.strictEqual(yield* server.connections, 0)
    })
  )
})

describe("maxConnectionsPerAddress", () => {
  it.effect("refuses more from one address with 429 and counts them; other addresses are not held back", () =>
    Effect.gen(function* () {
      const { status } = yield* serve({ maxConnectionsPerAddress: 2 })
      const one = yield* status("192.0.2.1")
      yield* status("192.0.2.1")
      const bites = yield* countingLimit(
        "maxConnectionsPerAddress",
        Effect.gen(function* () {
          assert.strictEqual((yield* status("192.0.2.1")).status, 429)
        })
      )
      assert.strictEqual(bites, 1)
      assert.strictEqual((yield* status("192.0.2.2")).status, 101)
      assert.strictEqual((yield* status()).status, 101)
      yield* bye(one)
      assert.strictEqual((yield* status("192.0.2.1")).status, 101)
    })
  )

  it.effect("has no limit unless told", () =>
    Effect.gen(function* () {
      const { status } = yield* serve({})
      for (let i = 0; i < 500; i++) assert.strictEqual((yield* status("192.0.2.1")).status, 101)
    })
  )
})

describe("maxHandshakeRatePerAddress", () => {
  it.effect("refuses more in one second with 429 and Retry-After, and counts them; a second later it takes them", () =>
    Effect.gen(function* () {
      yield* TestClock.adjust("1 hour")
      const { status } = yield* serve({ maxHandshakeRatePerAddress: 3 })
      const attempt = Effect.gen(function* () {
        const client = yield* status("192.0.2.1")
        if (client.status === 101) yield* bye(client)
        return client
      })
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* attempt).status, 101)
      const bites = yield* countingLimit(
        "maxHandshakeRatePerAddress",
        Effect.gen(function* () {
          const { answer } = yield* attempt
          const refusal = yield* refusalOf(answer)
          assert.strictEqual(refusal.status, 429)
          assert.isAtLeast(Number(refusal.headers["retry-after"]), 1)
        })
      )
      assert.strictEqual(bites, 1)
      assert.strictEqual((yield* status("192.0.2.2")).status, 101)
      yield* TestClock.adjust("1 second")
      for (let i = 0; i < 3; i++) assert.strictEqual((yield* attempt).status, 101)
      assert.strictEqual((yield* attempt).status, 429)
    })
  )

  it.effect("forgets addresses that went, so that many of them take no memory for ever", () =>
    Effect.gen(function* () {
      const { status } = yield* serve({ maxHandshakeRatePerAddress: 1, maxConnectionsPerAddress: 1 })
      const kept = yield* status("192.0.2.1")
      for (let i = 0; i < 4200; i++) yield* Effect.scoped(Effect.flatMap(status(`2001:db8::${i.toString(16)}`), bye))
      yield* TestClock.adjust("2 seconds")
      // one of those that stayed is still known
      assert.strictEqual((yield* status("192.0.2.1")).status, 429)
      yield* bye(kept)
      yield* TestClock.adjust("2 seconds")
      assert.strictEqual((yield* status("192.0.2.1")).status, 101)
    })
  )
})

describe("Admission", () => {
  const from = (remoteAddress: string): Admission.From => ({ remoteAddress })

  it.effect("counts an IPv6 address by its network of 64 bits, and an IPv4-mapped one as IPv4", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxConnectionsPerAddress: 1 })
      for (const [one, other, isSame] of [
        ["2001:db8:1:2::1", "2001:db8:1:2:ffff::9", true],
        ["2001:db8::1", "2001:0db8:0:0:1:2:3:4", true],
        ["2001:db8:1:2::1", "2001:db8:1:3::1", false],
        ["fe80::1%eth0", "fe80::2", true],
        ["::1", "::2", true],
        ["1::", "1::5", true],
        ["::ffff:192.0.2.1", "192.0.2.1", true],
        ["::ffff:c000:201", "192.0.2.1", true],
        ["0:0:0:0:0:ffff:192.0.2.1", "192.0.2.1", true],
        ["::FFFF:192.0.2.1%eth0", "192.0.2.1", true],
        ["::ffff:c000:201", "::1", false],
        ["fe80::1%eth0", "fe80::2%eth1", true],
        ["2001:DB8:01::", "2001:db8:1:0:8::", true],
        ["::ffff:192.0.2.1", "::ffff:192.0.2.2", false],
        // what is no address
        ["_a:b", "_a:b", true],
        ["_a:b", "_a:c", false]
      ] as const) {
        const [first, second] = [from(one), from(other)]
        assert.isUndefined(admission.enter(first), one)
        const denial = admission.enter(second)
        assert.strictEqual(denial?.kind, isSame ? "maxConnectionsPerAddress" : undefined, `${one} and ${other}`)
        if (denial === undefined) admission.leave(second)
        admission.leave(first)
      }
      assert.strictEqual(admission.size(), 0)
    })
  )

  it.effect("fills a bucket evenly, and takes rates below one a second", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxHandshakeRatePerAddress: 0.1 })
      const attempt = () => {
        const who = from("192.0.2.1")
        const denial = admission.enter(who)
        if (denial === undefined) admission.leave(who)
        return denial
      }
      assert.isUndefined(attempt())
      const denial = attempt()
      assert.strictEqual(denial?.status, 429)
      assert.strictEqual(denial?.refusal.headers["retry-after"], "10")
      yield* TestClock.adjust("4 seconds")
      assert.strictEqual(attempt()?.refusal.headers["retry-after"], "6")
      yield* TestClock.adjust("6 seconds")
      assert.isUndefined(attempt())
      assert.strictEqual(attempt()?.status, 429)
    })
  )

  it.effect("lets as many come at once as it is told, and then as they fall due", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxHandshakeRatePerAddress: 0.5, maxHandshakeBurstPerAddress: 20 })
      const attempt = () => {
        const who = from("192.0.2.1")
        const denial = admission.enter(who)
        if (denial === undefined) admission.leave(who)
        return denial === undefined
      }
      const all = () => Array.from({ length: 30 }, attempt).filter((came) => came).length
      assert.strictEqual(all(), 20)
      yield* TestClock.adjust("10 seconds")
      assert.strictEqual(all(), 5)
      yield* TestClock.adjust("10 minutes")
      assert.strictEqual(all(), 20)
    })
  )

  it.effect("remembers so many addresses and no more; those that tried the longest ago are forgotten first", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxHandshakeRatePerAddress: 1, maxAddresses: 100 })
      const attempt = (i: number) => {
        const who = from(`10.0.${i >> 8}.${i & 255}`)
        const denial = admission.enter(who)
        if (denial === undefined) admission.leave(who)
        return denial?.status
      }
      for (let i = 0; i < 5000; i++) assert.isUndefined(attempt(i))
      // the last hundred are known, the one before them is not any more
      assert.strictEqual(attempt(4999), 429)
      assert.strictEqual(attempt(4900), 429)
      assert.isUndefined(attempt(4899))
      // who is connected is never forgotten
      const kept = from("192.0.2.1")
      assert.isUndefined(admission.enter(kept))
      for (let i = 0; i < 1000; i++) attempt(i)
      assert.strictEqual(admission.enter(from("192.0.2.1"))?.kind, "maxHandshakeRatePerAddress")
    })
  )

  it.effect("has who tried again forgotten later, and nobody for one whose bucket is full", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({
        maxHandshakeRatePerAddress: 1,
        maxHandshakeBurstPerAddress: 2,
        maxAddresses: 2
      })
      const attempt = (address: string) => {
        const who = from(address)
        const denial = admission.enter(who)
        if (denial === undefined) admission.leave(who)
        return denial?.status
      }
      const again = "192.0.2.1"
      for (const address of [again, "192.0.2.2", again, "192.0.2.3"]) assert.isUndefined(attempt(address))
      assert.strictEqual(attempt(again), 429)
      // the two that are remembered stay, if not for long
      const quiet = from("192.0.2.4")
      assert.isUndefined(admission.enter(quiet))
      yield* TestClock.adjust("1 second")
      for (const address of [again, "192.0.2.5"]) for (let i = 0; i < 2; i++) attempt(address)
      admission.leave(quiet)
      assert.strictEqual(attempt(again), 429)
    })
  )

  it.effect("remembers 16,384 addresses unless told", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxHandshakeRatePerAddress: 1 })
      const attempt = (i: number) => {
        const who = from(`10.0.${i >> 8}.${i & 255}`)
        const denial = admission.enter(who)
        if (denial === undefined) admission.leave(who)
        return denial?.status
      }
      for (let i = 0; i <= 16_384; i++) assert.isUndefined(attempt(i))
      assert.strictEqual(attempt(1), 429)
      assert.isUndefined(attempt(0))
    })
  )

  it.effect("does not count a request again whose connection it has let in", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({
        maxConnections: 3,
        maxConnectionsPerAddress: 2,
        maxHandshakeRatePerAddress: 2
      })
      const [one, two] = [from("192.0.2.1"), from("192.0.2.1")]
      assert.isUndefined(admission.knock(one))
      assert.isUndefined(admission.knock(two))
      for (const peer of [one, two]) assert.isUndefined(admission.enter({ remoteAddress: "192.0.2.1", peer }))
      assert.strictEqual(admission.size(), 2)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(admission.knock(from("192.0.2.1"))?.kind, "maxConnectionsPerAddress")
      const third = from("192.0.2.2")
      assert.isUndefined(admission.knock(third))
      assert.strictEqual(admission.knock(from("192.0.2.3"))?.status, 503)
      admission.goAway(third)
      admission.goAway(third)
      const fourth = from("192.0.2.3")
      assert.isUndefined(admission.knock(fourth))
      assert.strictEqual(admission.knock(from("192.0.2.4"))?.status, 503)
      // who goes makes room for the next from its address
      admission.goAway(one)
      admission.goAway(fourth)
      assert.isUndefined(admission.knock(from("192.0.2.1")))
    })
  )

  it.effect("counts a handler that is still at work when its connection is gone", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxConnections: 1 })
      const [one, two] = [from("192.0.2.1"), from("192.0.2.1")]
      const request = { peer: one }
      assert.isUndefined(admission.knock(one))
      assert.isUndefined(admission.enter(request))
      admission.goAway(one)
      assert.isUndefined(admission.knock(two))
      assert.strictEqual(admission.enter({ peer: two })?.kind, "maxConnections")
      admission.leave(request)
      assert.isUndefined(admission.enter({ peer: two }))
    })
  )

  it.effect("asks for no address where no limit is by address", () =>
    Effect.gen(function* () {
      const admission = yield* Admission.make({ maxConnections: 1 })
      const who = {
        get remoteAddress(): string {
          return assert.fail("nobody needs it")
        }
      }
      assert.isUndefined(admission.enter(who))
      assert.strictEqual(admission.enter(who)?.kind, "maxConnections")
      admission.leave(who)
      assert.strictEqual(admission.size(), 0)
    })
  )
})

describe("an admission of the application's own", () => {
  it.live("knows of who leaves what it asked of who came", () =>
    Effect.gen(function* () {
      const asked: Array<string> = []
      const tell = (what: string, { peer, remoteAddress }: Admission.From) =>
        void asked.push(`${what} ${remoteAddress} ${peer?.remoteAddress}`)
      const admission: Admission.Admission = {
        knock: () => undefined,
        goAway: () => {},
        enter: (from) => tell("enter", from),
        leave: (from) => tell("leave", from),
        size: () => 0
      }
      const { port } = yield* serving(() => Effect.void, { admission })
      const client = yield* upgraded(port)
      client.end()
      yield* eventually(
        "it has left",
        Effect.sync(() => asked.length === 2)
      )
      assert.deepStrictEqual(asked, ["enter 127.0.0.1 127.0.0.1", "leave 127.0.0.1 127.0.0.1"])
    })
  )
})
