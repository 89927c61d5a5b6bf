import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import { TestClock } from "effect/testing"
import { bounded, type Slow } from "../../src/connection/internal/patience.ts"
import * as Limits from "../../src/connection/Limits.ts"

const limits = Limits.make({ closeTimeout: "1 second" })

/** After how many seconds a peer is given up that is looked at once in each. */
const givenUpAfter = Effect.fnUntraced(function* (peer: (seconds: number) => Omit<Slow, "limits">) {
  let seconds = 0
  const slow: Slow = {
    limits,
    get unsent() {
      return peer(seconds).unsent
    },
    get taken() {
      return peer(seconds).taken
    }
  }
  const fiber = yield* Effect.forkChild(bounded(slow, Effect.never, Effect.void), { startImmediately: true })
  while (fiber.pollUnsafe() === undefined && seconds < 100) {
    seconds++
    yield* TestClock.adjust("1 second")
  }
  yield* Fiber.interrupt(fiber)
  return seconds
})

describe("a peer that is waited for while a connection closes", () => {
  const peers: ReadonlyArray<readonly [string, number, (seconds: number) => Omit<Slow, "limits">]> = [
    ["that says nothing is given up after closeTimeout", 1, () => ({ unsent: 0, taken: 0 })],
    [
      // to TLS what it writes is unsent until the next turn
      "so is one for whom something was unsent in the turn of the Close frame alone",
      1,
      (seconds) => ({ unsent: seconds === 0 ? 100 : 0, taken: 0 })
    ],
    ["that takes nothing of what is unsent has three times as long", 3, () => ({ unsent: 100, taken: 0 })],
    ["that takes some has its time anew", 5, (seconds) => ({ unsent: 100, taken: seconds >= 2 ? 50 : 0 })],
    ["that goes on taking has 20 times as long, and no more", 20, (seconds) => ({ unsent: 100, taken: seconds })]
  ]
  for (const [what, expected, peer] of peers) {
    it.effect(what, () =>
      Effect.gen(function* () {
        assert.strictEqual(yield* givenUpAfter(peer), expected)
      })
    )
  }
})
