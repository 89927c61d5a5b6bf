/**
 * What happens before 101: targets that cannot be reached, and the choice of the target. A client never sees a connection
 * opened that the proxy cannot keep.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Data from "effect/Data"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import { DialError, Dialer } from "../../src/proxy/Dialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import { Refusal } from "../../src/server/OpenRequest.ts"
import { makePair } from "../connection/pair.ts"
import { soon, unhurried } from "./connected.ts"
import * as DeafTarget from "./deafTarget.ts"
import * as Frames from "./frames.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually, timed } from "./watch.ts"

const somewhere = new Target({ host: "127.0.0.1", port: 9 })

/** The client's view of a request that is refused. */
const refused = Effect.fnUntraced(function* (proxy: Proxy.Proxy, options: RawClient.Options = {}, millis = soon) {
  const client = yield* RawClient.request(proxy.port, options)
  yield* client.watch.until("an answer", () => client.status !== undefined, millis)
  yield* client.until("end", soon)
  assert.notInclude(client.log, "open")
  yield* client.end()
  yield* proxy.idle(soon)
  return client
})

/** A Dialer that fails as it is told, without a network. */
const failing = (kind: DialError["kind"]): Layer.Layer<Dialer> =>
  Layer.succeed(Dialer)({ dial: (target) => Effect.fail(new DialError({ target, kind })) })

describe("a target that cannot be reached", { timeout: 30_000 }, () => {
  it.live("nobody listens: 502", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.nobody
      const proxy = yield* Proxy.serve({ target })
      const client = yield* refused(proxy)
      assert.strictEqual(client.status, 502)
      assert.notInclude(client.answer, String(target.port), "the answer does not name the target")
      assert.match(proxy.log[0] ?? "", /^Warn cannot connect to 127\.0\.0\.1:\d+: The target refused the connection\.$/)
      assert.strictEqual(proxy.log.length, 1)
    })
  )

  it.live("it does not answer: 504 after the dial timeout", () =>
    Effect.gen(function* () {
      const target = yield* DeafTarget.make
      const proxy = yield* Proxy.serve({ target, dialTimeout: 400 })
      const [client, millis] = yield* timed(refused(proxy))
      assert.strictEqual(client.status, 504)
      assert.isAtLeast(millis, 390)
      assert.isBelow(millis, unhurried)
    })
  )

  it.live("its name has no address: 502", () =>
    Effect.gen(function* () {
      const proxy = yield* Proxy.serve({ target: new Target({ host: "nowhere.invalid", port: 80 }) })
      assert.strictEqual((yield* refused(proxy, {}, 4000)).status, 502)
    })
  )

  it.live.each([
    ["Refused", 502],
    ["Unreachable", 502],
    ["NameNotFound", 502],
    ["FirewallFailed", 502],
    ["TlsFailed", 502],
    ["Failed", 502],
    ["TimedOut", 504],
    ["NotAllowed", 403],
    ["Exhausted", 503]
  ] as const)("a Dialer fails with %s: %i", ([kind, status]) =>
    Effect.gen(function* () {
      const proxy = yield* Proxy.serve({ target: somewhere, dialer: failing(kind) })
      const client = yield* refused(proxy)
      assert.strictEqual(client.status, status)
      assert.match(client.answer, /\r\nconnection: close\r\n/i)
      assert.notInclude(client.answer, String(somewhere))
    })
  )

  it.live("too many connections: 503, and the target is not dialled", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target: listener.target, maxConnections: 1 })
      const first = yield* RawClient.open(proxy.port)
      const second = yield* RawClient.request(proxy.port)
      yield* second.until("503", soon)
      assert.strictEqual(listener.connections.length, 1)
      yield* first.sendClose()
      yield* (yield* listener.accept).end()
      yield* first.end()
      yield* proxy.idle(soon)
      yield* RawClient.open(proxy.port)
    })
  )

  it.live("a Dialer that dies: 500", () =>
    Effect.gen(function* () {
      const dialer = Layer.succeed(Dialer)({ dial: () => Effect.die(new Error("a fault of ours")) })
      const proxy = yield* Proxy.serve({ target: somewhere, dialer })
      const client = yield* refused(proxy)
      assert.strictEqual(client.status, 500)
      assert.notInclude(client.answer, "fault of ours")
      assert.match(proxy.log.join("\n"), /^Error /)
    })
  )
})

class NoSuchTenant extends Data.TaggedError("NoSuchTenant") {}

describe("the choice of the target", { timeout: 30_000 }, () => {
  it.live("by path, each to its own", () =>
    Effect.gen(function* () {
      const a = yield* RawTarget.listen()
      const b = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: (open) => {
          const path = new URL(open.request.target, "http://localhost").pathname
          if (path === "/a") return Effect.succeed(a.target)
          if (path === "/b") return Effect.succeed(b.target)
          return Effect.fail(new Refusal({ status: 404, reason: "There is no such target." }))
        }
      })
      for (const [path, listener] of [
        ["/a?x=1", a],
        ["/b", b]
      ] as const) {
        const client = yield* RawClient.open(proxy.port, { path })
        const target = yield* listener.accept
        yield* client.send(Frames.binary, path)
        yield* target.untilReceived(path.length)
        assert.strictEqual(target.text, path)
        yield* client.sendClose()
        yield* client.end()
        yield* target.end()
      }
      const other = yield* refused(proxy, { path: "/c" })
      assert.strictEqual(other.status, 404)
      assert.include(other.answer, "There is no such target.")
      assert.deepStrictEqual([a.connections.length, b.connections.length], [1, 1])
      assert.deepStrictEqual(proxy.log, [], "a refusal is no failure")
    })
  )

  it.live("by a header, with the address of the client at hand", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const seen: Array<string | undefined> = []
      const proxy = yield* Proxy.serve({
        target: (open) => {
          seen.push(open.request.headers["x-tenant"], open.remoteAddress)
          return Effect.succeed(listener.target)
        }
      })
      yield* RawClient.open(proxy.port, { headers: ["X-Tenant: one"] })
      assert.deepStrictEqual(seen, ["one", "127.0.0.1"])
    })
  )

  it.live("a refusal carries its headers", () =>
    Effect.gen(function* () {
      const refusal = new Refusal({
        status: 401,
        reason: "Say who you are.",
        headers: { "www-authenticate": "Bearer" }
      })
      const proxy = yield* Proxy.serve<never>({ target: () => Effect.fail(refusal) })
      const client = yield* refused(proxy)
      assert.strictEqual(client.status, 401)
      assert.match(client.answer, /\r\nwww-authenticate: Bearer\r\n/)
    })
  )

  it.live.each([
    ["fails", () => Effect.fail(new NoSuchTenant())],
    ["dies", () => Effect.die(new Error("secret"))],
    [
      "throws",
      (): Effect.Effect<Target> => {
        throw new Error("secret")
      }
    ]
  ] as const)("a function that %s: 500, which is logged and tells the client nothing", ([, choose]) =>
    Effect.gen(function* () {
      const proxy = yield* Proxy.serve<NoSuchTenant>({ target: choose })
      const client = yield* refused(proxy)
      assert.strictEqual(client.status, 500)
      assert.notInclude(client.answer, "secret")
      assert.strictEqual(proxy.log.length, 1)
      assert.match(proxy.log[0]!, /^Error /)
    })
  )
})

describe("dialling", { timeout: 30_000 }, () => {
  /** A Dialer that connects when it is told to. */
  const onDemand = Effect.gen(function* () {
    const dialled = yield* Deferred.make<void>()
    const go = yield* Deferred.make<void>()
    const pair = makePair()
    let interrupted = false
    let held = 0
    const socket = Effect.acquireRelease(
      Effect.sync(() => {
        held++
        return pair.server.socket
      }),
      () => Effect.sync(() => void held--)
    )
    const dialer = Layer.succeed(Dialer)({
      dial: () =>
        Deferred.succeed(dialled, undefined).pipe(
          Effect.andThen(Deferred.await(go)),
          Effect.onInterrupt(() => Effect.sync(() => void (interrupted = true))),
          Effect.andThen(socket)
        )
    })
    return {
      dialer,
      dialled: Deferred.await(dialled),
      go: Deferred.succeed(go, undefined),
      pair,
      interrupted: () => interrupted,
      held: () => held + pair.server.held()
    }
  })

  it.live("comes before 101", () =>
    Effect.gen(function* () {
      const demand = yield* onDemand
      const proxy = yield* Proxy.serve({ target: somewhere, dialer: demand.dialer, closeTimeout: 300 })
      const client = yield* RawClient.request(proxy.port)
      yield* demand.dialled
      // whatever was to come had time to
      yield* Effect.sleep(100)
      assert.strictEqual(client.received, 0)
      assert.strictEqual(yield* proxy.connections, 1)
      yield* demand.go
      yield* client.until("open", soon)
    })
  )

  it.live("frames that come right behind the request reach the target", () =>
    Effect.gen(function* () {
      const demand = yield* onDemand
      const proxy = yield* Proxy.serve({ target: somewhere, dialer: demand.dialer, closeTimeout: 300 })
      const client = yield* RawClient.request(proxy.port)
      // not allowed by the RFC before 101, but nothing may be lost of it, nor of what comes in one packet with the request
      yield* client.send(Frames.binary, "early")
      yield* demand.dialled
      yield* demand.go
      yield* client.until("open", soon)
      yield* client.send(Frames.binary, " bird")
      yield* eventually("both frames", () => Buffer.concat(demand.pair.server.writes).toString() === "early bird")
    })
  )

  it.live.each([
    ["RST", (client: RawClient.RawClient) => client.reset()],
    ["FIN", (client: RawClient.RawClient) => client.end()]
  ] as const)("a client that ends by %s meanwhile leaves nothing behind", ([, leave]) =>
    Effect.gen(function* () {
      const demand = yield* onDemand
      const proxy = yield* Proxy.serve({ target: somewhere, dialer: demand.dialer, closeTimeout: 300 })
      const client = yield* RawClient.request(proxy.port)
      yield* demand.dialled
      yield* leave(client)
      yield* Effect.sleep(50)
      yield* demand.go
      yield* proxy.idle(soon)
      assert.strictEqual(demand.held(), 0)
      assert.deepStrictEqual(proxy.log, [], "a client that leaves is no failure of ours")
    })
  )

  it.live("a client that resets meanwhile stops the dialling", () =>
    Effect.gen(function* () {
      const demand = yield* onDemand
      const proxy = yield* Proxy.serve({ target: somewhere, dialer: demand.dialer })
      const client = yield* RawClient.request(proxy.port)
      yield* demand.dialled
      yield* client.reset()
      yield* proxy.idle(soon)
      assert.isTrue(demand.interrupted())
    })
  )

  it.live("the end of the proxy meanwhile: 503", () =>
    Effect.gen(function* () {
      const demand = yield* onDemand
      const proxy = yield* Proxy.serve({ target: somewhere, dialer: demand.dialer })
      const client = yield* RawClient.request(proxy.port)
      yield* demand.dialled
      const stopping = yield* Effect.forkChild(proxy.stop, { startImmediately: true })
      yield* client.until("503", soon)
      yield* client.end()
      yield* Fiber.join(stopping)
      assert.isTrue(demand.interrupted())
    })
  )

  it.live("a client that leaves a real target that is being dialled leaves no socket behind", () =>
    Effect.gen(function* () {
      const target = yield* DeafTarget.make
      const sockets = () => process.getActiveResourcesInfo().filter((type) => type.startsWith("TCPSocket")).length
      const before = sockets()
      const proxy = yield* Proxy.serve({ target, dialTimeout: 300 })
      yield* Effect.forEach(
        Array.from({ length: 20 }, (_, i) => i),
        (i) =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* RawClient.request(proxy.port)
              yield* eventually("the request to be there", () => client.socket.bytesWritten > 0)
              yield* i % 2 === 0 ? client.reset() : client.end()
            })
          ),
        { concurrency: "unbounded", discard: true }
      )
      yield* proxy.idle(soon)
      yield* proxy.stop
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    })
  )
})
