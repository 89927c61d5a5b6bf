import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Scope } from "effect"
import * as Hub from "../../src/connection/Hub.ts"
import { shown, withPeer } from "./connected.ts"
import { countingLimit } from "./metrics.ts"

describe("a hub", () => {
  it.effect("tells the subscribers of a topic, but for the one that is left out", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const [one, two, three] = [yield* withPeer("server"), yield* withPeer("server"), yield* withPeer("server")]
      for (const { webSocket } of [one, two]) yield* hub.subscribe("a", webSocket)
      yield* hub.subscribe("b", three.webSocket)
      assert.deepStrictEqual(yield* hub.publish("a", "to a", { except: one.webSocket }), { sent: 1, slow: 0 })
      assert.deepStrictEqual(yield* hub.publish("b", "to b"), { sent: 1, slow: 0 })
      assert.deepStrictEqual(yield* hub.publish("c", "to nobody"), { sent: 0, slow: 0 })
      assert.strictEqual(shown(yield* two.peer.next)[1], "to a")
      assert.strictEqual(shown(yield* three.peer.next)[1], "to b")
      yield* hub.publish("a", "next")
      assert.strictEqual(shown(yield* one.peer.next)[1], "next")
    })
  )

  it.effect("forgets a subscriber with its scope, and a topic with its last subscriber", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make<number>()
      const { webSocket } = yield* withPeer("server")
      const outer = yield* Scope.make()
      const inner = yield* Scope.make()
      yield* Scope.provide(hub.subscribe(1, webSocket), outer)
      yield* Scope.provide(hub.subscribe(1, webSocket), inner)
      assert.strictEqual(yield* hub.subscribers(1), 1)
      assert.deepStrictEqual(yield* hub.publish(1, "once"), { sent: 1, slow: 0 })
      yield* Scope.close(inner, Exit.void)
      assert.deepStrictEqual(yield* hub.topics, [1])
      yield* Scope.close(outer, Exit.void)
      assert.deepStrictEqual(yield* hub.topics, [])
      assert.strictEqual(yield* hub.subscribers(1), 0)
    })
  )

  it.effect("keeps a subscriber's other topics, and takes one back that had left all", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make()
      const { peer, webSocket } = yield* withPeer("server")
      yield* Effect.scoped(
        Effect.gen(function* () {
          yield* hub.subscribe("a", webSocket)
          yield* Effect.scoped(hub.subscribe("b", webSocket))
          assert.deepStrictEqual(yield* hub.topics, ["a"])
          assert.deepStrictEqual(yield* hub.publish("a", "still here"), { sent: 1, slow: 0 })
        })
      )
      assert.deepStrictEqual(yield* hub.publish("a", "to nobody"), { sent: 0, slow: 0 })
      yield* hub.subscribe("a", webSocket)
      assert.deepStrictEqual(yield* hub.publish("a", "back again"), { sent: 1, slow: 0 })
      assert.strictEqual(shown(yield* peer.next)[1], "still here")
      assert.strictEqual(shown(yield* peer.next)[1], "back again")
    })
  )

  it.effect("bounds the subscriptions of a connection: 1,024 unless told", () =>
    Effect.gen(function* () {
      const { webSocket } = yield* withPeer("server")
      const tell = (hub: Hub.Hub<number>, count: number) =>
        Effect.scoped(
          Effect.gen(function* () {
            for (let i = 0; i < count; i++) yield* hub.subscribe(i, webSocket)
            const error = yield* Effect.flip(hub.subscribe(count, webSocket))
            assert.strictEqual(error.reason._tag, "InvalidUsage")
            assert.strictEqual((yield* hub.topics).length, count)
          })
        )
      const few = yield* Hub.make<number>({ maxSubscriptions: 2 })
      assert.strictEqual(yield* countingLimit("maxSubscriptions", tell(few, 2)), 1)
      // they are free again
      yield* tell(few, 2)
      yield* tell(yield* Hub.make<number>(), 1024)
    })
  )

  it.effect("treats the slow as it was told", () =>
    Effect.gen(function* () {
      const hub = yield* Hub.make({ maxUnsent: 0, slow: "close" })
      const { webSocket } = yield* withPeer("server", { highWaterMark: 10, limits: { closeTimeout: "1 second" } })
      yield* hub.subscribe("a", webSocket)
      assert.deepStrictEqual(yield* hub.publish("a", "fills the transport"), { sent: 1, slow: 0 })
      assert.deepStrictEqual(yield* hub.publish("a", "x"), { sent: 0, slow: 1 })
      assert.deepStrictEqual(yield* hub.publish("a", "x"), { sent: 0, slow: 0 })
    })
  )
})
