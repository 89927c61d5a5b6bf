/**
 * The scope of a handler, which ends before its connection does.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit } from "effect"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, shown, text } from "../connection/connected.ts"
import { collectingLogs, deciding, drain, eventually, noneOpen, serving } from "./serving.ts"
import { ask, upgraded, upgradeRequest } from "./wire.ts"

describe("the scope of a handler", () => {
  it.live("ends in the reverse order, while the connection is open still, and knows how the handler ended", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const ends: Array<string> = []
        const note = (name: string) =>
          Effect.addFinalizer((exit) => Effect.sync(() => void ends.push(name + exit._tag)))
        const { port, server } = yield* serving((webSocket) =>
          Effect.gen(function* () {
            yield* note("first ")
            yield* Effect.addFinalizer(() => Effect.ignore(webSocket.send("bye")))
            yield* note("last ")
            return yield* Effect.fail("no more")
          })
        )
        const wire = yield* upgraded(port)
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "bye"])
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1011, ""])
        wire.send(close(1011))
        assert.strictEqual(yield* wire.ended, "FIN")
        wire.end()
        yield* eventually("nobody is left", noneOpen(server))
        assert.deepStrictEqual(ends, ["last Failure", "first Failure"])
        assert.strictEqual(logs.filter(({ level }) => level === "Error").length, 1)
      })
    )
  )

  it.live("that cannot be ended is a failure of the handler: the connection ends with 1011, and is forgotten", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port, server } = yield* serving((webSocket) =>
          Effect.andThen(
            Effect.addFinalizer(() => Effect.die(new Error("stuck"))),
            Effect.raceFirst(drain(webSocket), Effect.sleep("20 millis"))
          )
        )
        const wire = yield* upgraded(port)
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1011, ""])
        wire.send(close(1011))
        wire.end()
        yield* eventually("nobody is left", noneOpen(server))
        assert.match(logs.find(({ level }) => level === "Error")?.text ?? "", /A WebSocket handler failed.*stuck/s)
      })
    )
  )

  it.live("that cannot be ended hides nothing of what the handler failed with", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port, server } = yield* serving(() =>
          Effect.andThen(
            Effect.addFinalizer(() => Effect.die(new Error("stuck"))),
            Effect.fail("the reason")
          )
        )
        const wire = yield* upgraded(port)
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1011, ""])
        wire.send(close(1011))
        wire.end()
        yield* eventually("nobody is left", noneOpen(server))
        const told = logs.filter(({ level }) => level === "Error").map(({ text }) => text)
        assert.strictEqual(told.length, 2)
        assert.match(told.join("\n"), /could not be closed.*stuck.*handler failed.*the reason/s)
      })
    )
  )

  it.live("has ended when a request is refused that its handler did not answer", () =>
    Effect.gen(function* () {
      const ends: Array<boolean> = []
      const { port, server } = yield* deciding((open) =>
        Effect.andThen(
          Effect.addFinalizer((exit) => Effect.sync(() => void ends.push(Exit.isSuccess(exit)))),
          open.request.headers["x-way"] === "in" ? Effect.flatMap(open.accept, drain) : Effect.void
        )
      )
      assert.strictEqual((yield* ask(port, upgradeRequest())).status, 500)
      assert.deepStrictEqual(ends, [true])
      yield* eventually("nobody is left", noneOpen(server))
      const other = yield* upgraded(port, { "X-Way": "in" })
      other.send(text("taken"))
      other.send(close(1000))
      assert.deepStrictEqual(shown(yield* other.next), [Opcode.close, 1000, ""])
      other.end()
      yield* eventually("nobody is left again", noneOpen(server))
      assert.deepStrictEqual(ends, [true, true])
    })
  )
})
