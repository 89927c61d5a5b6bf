/** Targets that are waited for when their clients are gone: each has its own time, and one fiber sees to all of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as TestClock from "effect/testing/TestClock"
import * as Limits from "../../src/connection/Limits.ts"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { type Ending, Endings } from "../../src/proxy/internal/endings.ts"
import * as WebSocketProxy from "../../src/proxy/WebSocketProxy.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { soon } from "./connected.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually } from "./watch.ts"

/** A target that has taken so much, and when it was given up, in seconds. */
class Target implements Ending {
  place = -1
  seen: number | undefined = undefined
  looksLeft = 0
  progress = 0
  readonly givenUp: Array<number> = []

  giveUp(): Effect.Effect<void> {
    return Effect.map(Clock.currentTimeMillis, (now) => void this.givenUp.push(now / 1000))
  }
}

/** With a close timeout of 8 seconds, so that it is looked every 2. */
const started = Effect.fnUntraced(function* (closeTimeout: Limits.Options["closeTimeout"] = "8 seconds") {
  const context = yield* Effect.context<never>()
  let fibers = 0
  const endings = new Endings(
    Limits.make({ closeTimeout }),
    Context.add(context, Clock.Clock, {
      ...Context.get(context, Clock.Clock),
      sleep: (duration) =>
        Effect.acquireUseRelease(
          Effect.sync(() => fibers++),
          () => Context.get(context, Clock.Clock).sleep(duration),
          () => Effect.sync(() => fibers--)
        )
    })
  )
  const add = () => {
    const target = new Target()
    endings.add(target)
    return target
  }
  return { endings, add, waiting: () => fibers }
})

describe("a target whose client is gone", () => {
  it.effect("is given up after the close timeout, and not before", () =>
    Effect.gen(function* () {
      const { add, endings } = yield* started()
      const target = add()
      yield* TestClock.adjust("7999 millis")
      assert.deepStrictEqual(target.givenUp, [])
      yield* TestClock.adjust("1 millis")
      assert.deepStrictEqual(target.givenUp, [8])
      endings.delete(target)
    })
  )

  it.effect("has its time anew as often as it takes something", () =>
    Effect.gen(function* () {
      const { add, endings } = yield* started()
      const target = add()
      for (let i = 0; i < 10; i++) {
        target.progress++
        yield* TestClock.adjust("6 seconds")
      }
      assert.deepStrictEqual(target.givenUp, [])
      yield* TestClock.adjust("10 seconds")
      assert.lengthOf(target.givenUp, 1)
      endings.delete(target)
    })
  )

  it.effect("has at least its time, and at most a quarter more, whoever is waited for already", () =>
    Effect.gen(function* () {
      const { add, endings } = yield* started()
      const first = add()
      const others: Array<readonly [Target, number]> = []
      for (const seconds of [0.5, 1.999, 3, 5.5]) {
        const now = (yield* Clock.currentTimeMillis) / 1000
        yield* TestClock.adjust(`${seconds - now} seconds`)
        others.push([add(), seconds])
      }
      yield* TestClock.adjust("30 seconds")
      assert.strictEqual(first.givenUp[0], 8)
      for (const [target, since] of others) {
        assert.isAtLeast(target.givenUp[0]! - since, 8)
        assert.isAtMost(target.givenUp[0]! - since, 10)
        endings.delete(target)
      }
      endings.delete(first)
    })
  )

  it.effect("is not given up when it has ended, and its place is the next one's", () =>
    Effect.gen(function* () {
      const { add, endings } = yield* started()
      const [gone, other] = [add(), add()]
      yield* TestClock.adjust("3 seconds")
      endings.delete(gone)
      endings.delete(gone)
      yield* TestClock.adjust("30 seconds")
      assert.deepStrictEqual(gone.givenUp, [])
      assert.strictEqual(other.givenUp[0], 8)
      endings.delete(other)
    })
  )

  it.effect("is given up with all others, however many, also while they end", () =>
    Effect.gen(function* () {
      const { add, endings, waiting } = yield* started()
      const first = add()
      yield* TestClock.adjust("1 seconds")
      const many = Array.from({ length: 5000 }, add)
      const last = add()
      // the first to be given up takes the last of the others with it
      first.giveUp = () => Effect.sync(() => endings.delete(last))
      yield* TestClock.adjust("30 seconds")
      assert.isTrue(many.every(({ givenUp }) => givenUp.length === 1))
      assert.deepStrictEqual(last.givenUp, [])
      assert.strictEqual(waiting(), 0)
    })
  )

  it.effect("is given up in its time if it cannot say how far it is, and the others in theirs", () =>
    Effect.gen(function* () {
      const { add, waiting } = yield* started()
      const broken = add()
      Object.defineProperty(broken, "progress", {
        get: () => {
          throw new Error("broken")
        }
      })
      const other = add()
      yield* TestClock.adjust("8 seconds")
      assert.deepStrictEqual(broken.givenUp, [8])
      assert.deepStrictEqual(other.givenUp, [8])
      assert.strictEqual(waiting(), 0)
    })
  )

  it.effect("is given up at once where there is no time for it", () =>
    Effect.gen(function* () {
      const { add, waiting } = yield* started(0)
      const target = add()
      for (let i = 0; i < 10; i++) yield* Effect.yieldNow
      assert.deepStrictEqual(target.givenUp, [0])
      assert.strictEqual(waiting(), 0)
    })
  )

  it.effect("one fiber waits for all, and none when nobody is left", () =>
    Effect.gen(function* () {
      const { add, endings, waiting } = yield* started()
      assert.strictEqual(waiting(), 0)
      const targets = Array.from({ length: 100 }, add)
      yield* TestClock.adjust("1 second")
      assert.strictEqual(waiting(), 1)
      for (const target of targets) endings.delete(target)
      yield* Effect.yieldNow
      assert.strictEqual(waiting(), 0)
      const again = add()
      yield* TestClock.adjust("8 seconds")
      assert.lengthOf(again.givenUp, 1)
      // also if nobody says that it has ended
      assert.strictEqual(waiting(), 0)
      endings.delete(again)
      const last = add()
      yield* TestClock.adjust("8 seconds")
      assert.lengthOf(last.givenUp, 1)
      assert.strictEqual(waiting(), 0)
    })
  )
})

describe("targets behind two servers of one proxy", { timeout: 30_000 }, () => {
  it.live("have the time of their own server", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const server = (closeTimeout: Limits.Options["closeTimeout"]) =>
        Effect.map(Layer.build(NodeWebSocketServer.layer({ port: 0, closeTimeout })), (context) =>
          Context.get(context, WebSocketServer)
        )
      const [patient, hasty] = [yield* server("30 seconds"), yield* server(200)]
      const both = WebSocketServer.of({
        ...patient,
        runRequests: (handler) =>
          Effect.andThen(
            Effect.all([patient.runRequests(handler), hasty.runRequests(handler)], { concurrency: 2 }),
            Effect.never
          )
      })
      yield* Layer.build(
        WebSocketProxy.layer({ target: listener.target }).pipe(
          Layer.provide(Layer.succeed(WebSocketServer)(both)),
          Layer.provide(NodeDialer.layer())
        )
      )
      const targets: Array<RawTarget.TargetConnection> = []
      for (const { address } of [patient, hasty]) {
        if (!NetAddress.isInetAddress(address)) return yield* Effect.die("the server listens on an IP address")
        const client = yield* RawClient.open(address.port)
        targets.push(yield* listener.accept)
        yield* client.sendClose(1000)
        yield* client.until("end", soon)
        yield* client.end()
      }
      yield* eventually("the end of the hasty one", () => hasty.connections.pipe(Effect.runSync) === 0)
      assert.strictEqual(yield* patient.connections, 1)
      for (const target of targets) yield* target.release
    }).pipe(Effect.scoped)
  )
})
