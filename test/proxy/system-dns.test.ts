/**
 * The system's resolver, which holds a thread for each look-up: how many it is asked at a time, and for whom.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { systemDns } from "../../src/node/internal/systemDns.ts"
import { eventually } from "./watch.ts"

const dns = process.getBuiltinModule("node:dns")

type Callback = (error: Error | null, found?: ReadonlyArray<{ address: string; family: number }>) => void

/** A system that answers when it is told to. */
const slow = Effect.acquireRelease(
  Effect.sync(() => {
    const { lookup } = dns
    const asked: Array<string> = []
    const held = new Map<string, Callback>()
    Object.assign(dns, {
      lookup: (name: string, _: unknown, callback: Callback) => {
        asked.push(name)
        held.set(name, callback)
      }
    })
    const answer = (name: string, address?: string) =>
      Effect.sync(() => {
        const callback = held.get(name) ?? assert.fail(`${name} was not asked for`)
        held.delete(name)
        if (address === undefined) callback(Object.assign(new Error("no such name"), { code: "ENOTFOUND" }))
        else callback(null, [{ address, family: 4 }])
      })
    return { asked, answer, lookup }
  }),
  ({ lookup }) => Effect.sync(() => void Object.assign(dns, { lookup }))
)

const ask = (name: string) => Effect.forkChild(systemDns.lookup(name), { startImmediately: true })

describe("the system's resolver", () => {
  it.live("is asked for two names at a time, the others in their turn", () =>
    Effect.gen(function* () {
      const { answer, asked } = yield* slow
      const fibers = yield* Effect.forEach(["a.example", "b.example", "c.example", "d.example"], ask)
      assert.deepStrictEqual(asked, ["a.example", "b.example"])
      yield* answer("b.example")
      assert.deepStrictEqual(asked, ["a.example", "b.example", "c.example"])
      yield* answer("a.example", "192.0.2.1")
      yield* answer("c.example", "192.0.2.3")
      yield* answer("d.example", "192.0.2.4")
      const exits = yield* Effect.forEach(fibers, Fiber.await)
      assert.deepStrictEqual(exits.map(Exit.isSuccess), [true, false, true, true])
    }).pipe(Effect.scoped)
  )

  it.live("is asked once by all who want the same", () =>
    Effect.gen(function* () {
      const { answer, asked } = yield* slow
      const fibers = yield* Effect.forEach(["a.example", "A.example", "a.example"], ask)
      yield* Fiber.interrupt(fibers[0]!)
      yield* answer("a.example", "192.0.2.1")
      yield* Fiber.join(fibers[1]!)
      yield* Fiber.join(fibers[2]!)
      assert.deepStrictEqual(asked, ["a.example"])
      // and anew by who comes later
      const later = yield* ask("a.example")
      yield* answer("a.example", "192.0.2.2")
      yield* Fiber.join(later)
      assert.lengthOf(asked, 2)
    }).pipe(Effect.scoped)
  )

  it.live("is not asked for whom nobody waits any more, and what it was asked still holds its place", () =>
    Effect.gen(function* () {
      const { answer, asked } = yield* slow
      const fibers = yield* Effect.forEach(["a.example", "b.example", "c.example", "d.example"], ask)
      yield* Effect.forEach(fibers.slice(0, 3), (fiber) => Fiber.interrupt(fiber))
      assert.deepStrictEqual(asked, ["a.example", "b.example"])
      yield* answer("a.example")
      yield* eventually("the one that is left", () => asked.length === 3)
      assert.strictEqual(asked[2], "d.example")
      yield* answer("b.example")
      yield* answer("d.example", "192.0.2.4")
      yield* Fiber.join(fibers[3]!)
    }).pipe(Effect.scoped)
  )
})
