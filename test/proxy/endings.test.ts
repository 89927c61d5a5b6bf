/** Targets that are waited for when their clients are gone: each has its own time, and one fiber sees to all of them. */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as TestClock from "effect/testing/TestClock"
import * as Limits from "../../src/connection/Limits.ts"
import { type Ending, Endings } from "../../src/proxy/internal/endings.ts"

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
const started = Effect.map(Effect.context<never>(), (context) => {
  let fibers = 0
  const endings = new Endings(
    Limits.make({ closeTimeout: "8 seconds" }),
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
      const { add, endings } = yield* started
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
      const { add, endings } = yield* started
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
      const { add, endings } = yield* started
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
      const { add, endings } = yield* started
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

  it.effect("one fiber waits for all, and none when nobody is left", () =>
    Effect.gen(function* () {
      const { add, endings, waiting } = yield* started
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
