/** Routes in a proxy that runs: real targets, real clients, and TCP between them. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Router from "../../src/proxy/Router.ts"
import { soon } from "./connected.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"

describe("a proxy with routes", { timeout: 30_000 }, () => {
  it.live("answers the subprotocol that the route chose, and else what its policy says", () =>
    Effect.gen(function* () {
      const mqtt = yield* RawTarget.listen()
      const other = yield* RawTarget.listen()
      const target = Router.firstOf(Router.subprotocol("mqtt", mqtt.target), Router.to(other.target))
      const proxy = yield* Proxy.serve({ target, subprotocols: "first" })
      const first = yield* RawClient.open(proxy.port, { headers: ["Sec-WebSocket-Protocol: binary, mqtt"] })
      yield* mqtt.accept
      assert.match(first.answer, /\r\nsec-websocket-protocol: mqtt\r?\n?/i)
      const second = yield* RawClient.open(proxy.port, { headers: ["Sec-WebSocket-Protocol: binary"] })
      yield* other.accept
      assert.match(second.answer, /\r\nsec-websocket-protocol: binary\r?\n?/i)
      const third = yield* RawClient.open(proxy.port)
      yield* other.accept
      assert.notMatch(third.answer, /sec-websocket-protocol/i)
    })
  )

  it.live("goes on to the next target, and keeps one that is gone for the last", () =>
    Effect.gen(function* () {
      const dead = yield* RawTarget.nobody
      const alive = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: Router.failover([dead, alive.target], { skipFor: "1 minute" })
      })
      for (let i = 0; i < 3; i++) {
        yield* RawClient.open(proxy.port)
        yield* alive.accept
      }
      assert.strictEqual(proxy.log.length, 1, "it was dialled once")
      assert.match(proxy.log[0]!, /^Warn cannot connect to /)
    })
  )

  it.live("goes around among its targets", () =>
    Effect.gen(function* () {
      const listeners = yield* Effect.all([RawTarget.listen(), RawTarget.listen(), RawTarget.listen()])
      const [x, y, z] = listeners
      const proxy = yield* Proxy.serve({ target: Router.roundRobin([x.target, y.target, z.target]) })
      for (let i = 0; i < 6; i++) {
        yield* RawClient.open(proxy.port)
        yield* listeners[i % 3]!.accept
      }
      assert.deepStrictEqual(
        listeners.map(({ connections }) => connections.length),
        [2, 2, 2]
      )
    })
  )

  it.live("answers what the last target said where none can be connected to", () =>
    Effect.gen(function* () {
      const dead = yield* Effect.all([RawTarget.nobody, RawTarget.nobody])
      const proxy = yield* Proxy.serve({ target: Router.roundRobin(dead) })
      for (let i = 0; i < 2; i++) {
        const client = yield* RawClient.request(proxy.port)
        yield* client.until("502", soon)
      }
      assert.strictEqual(proxy.log.length, 4, "both were tried each time")
    })
  )
})
