/**
 * When files are read again, and how often. That what follows files goes by this rule is in test/node/followedFiles.test.ts.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { renameSync, rmSync, symlinkSync, writeFileSync } from "node:fs"
import { follow, tick } from "../../src/tls/internal/follow.ts"
import { settled } from "../connection/connected.ts"
import { folder } from "../node/folder.ts"

/** Files that are followed, and how often they were read. */
const following = Effect.fnUntraced(function* (paths: ReadonlyArray<string>) {
  const followed = follow(paths)
  let reads = 0
  yield* followed.first(Effect.sync(() => reads++))
  const again = Effect.map(
    followed.again(
      Effect.sync(() => void reads++),
      Effect.die
    ),
    () => reads
  )
  /** Until they are read no more unless they change. */
  const settle = Effect.andThen(TestClock.adjust(tick), again)
  return { again, settle }
})

describe("follow", () => {
  it.effect(
    "reads a state at each look for as long as another one may look the same, once after that, and no more",
    () =>
      Effect.gen(function* () {
        const at = yield* folder
        writeFileSync(at("file"), "one")
        const { again } = yield* following([at("file")])
        yield* TestClock.adjust(tick - 1)
        assert.deepStrictEqual([yield* again, yield* again], [2, 3])
        yield* TestClock.adjust(1)
        assert.strictEqual(yield* again, 4)
        yield* TestClock.adjust("1 hour")
        assert.deepStrictEqual([yield* again, yield* again], [4, 4])
      })
  )

  it.effect("reads again what was written, put in its place or taken away, and where a link leads elsewhere", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("one"), "one")
      writeFileSync(at("two"), "two")
      symlinkSync(at("one"), at("link"))
      const { again, settle } = yield* following([at("link"), at("beside")])
      let reads = yield* settle
      for (const change of [
        () => writeFileSync(at("one"), "more"),
        () => writeFileSync(at("new"), "none"),
        () => renameSync(at("new"), at("one")),
        () => symlinkSync(at("two"), at("other")),
        () => renameSync(at("other"), at("link")),
        () => writeFileSync(at("beside"), ""),
        () => rmSync(at("two"))
      ]) {
        change()
        const isSeen = !/new|other/.test(String(change)) || String(change).includes("rename")
        assert.strictEqual((yield* again) > reads, isSeen, String(change))
        reads = yield* settle
      }
    })
  )

  it.effect("tells once for each state what is wrong with it, and again what is wrong with the next", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("file"), "good")
      const followed = follow([at("file")])
      yield* followed.first(Effect.void)
      const told: Array<string> = []
      const look = (message: string) =>
        followed.again(Effect.fail({ message }), (error) => Effect.sync(() => void told.push(error.message)))
      for (const text of ["broken", "broken, too"]) {
        writeFileSync(at("file"), text)
        for (let i = 0; i < 3; i++) yield* look("it is broken")
        yield* TestClock.adjust(tick)
        for (let i = 0; i < 3; i++) yield* look("it is broken")
      }
      assert.deepStrictEqual(told, ["it is broken", "it is broken"])
    })
  )

  it.effect("has not read what a reader that was interrupted had begun to", () =>
    Effect.gen(function* () {
      const at = yield* folder
      writeFileSync(at("file"), "one")
      const followed = follow([at("file")])
      assert.isTrue(Exit.isFailure(yield* Effect.exit(followed.first(Effect.fail("not yet")))))
      yield* followed.first(Effect.void)
      yield* TestClock.adjust(tick)
      let isReading = false
      const reader = yield* Effect.forkChild(
        followed.again(
          Effect.andThen(
            Effect.sync(() => void (isReading = true)),
            Effect.never
          ),
          Effect.die
        )
      )
      while (!isReading)
        yield* Effect.andThen(
          Effect.promise(() => new Promise(setImmediate)),
          settled
        )
      yield* Fiber.interrupt(reader)
      let reads = 0
      for (let i = 0; i < 3; i++) {
        yield* followed.again(
          Effect.sync(() => void reads++),
          Effect.die
        )
      }
      assert.strictEqual(reads, 1)
    })
  )
})
