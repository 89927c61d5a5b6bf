/** A socket whose data is told past its stream, and when it is not. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import { Duplex } from "node:stream"
import { vi } from "vitest"
import { attend, deafen, shorten } from "../../src/node/internal/attended.ts"
import { eventually } from "../server/serving.ts"
import { tcp } from "../server/tcp.ts"

/** Counts what goes through streams of Node's. */
const counting = Effect.acquireRelease(
  Effect.sync(() => {
    const push = vi.spyOn(Duplex.prototype, "push")
    return {
      through: () => push.mock.calls.filter(([chunk]) => Buffer.isBuffer(chunk)).map(([chunk]) => String(chunk))
    }
  }),
  () => Effect.sync(() => void vi.restoreAllMocks())
)

/** Has what comes written down. */
const attended = (socket: Net.Socket) => {
  const told: Array<string> = []
  attend(socket, {
    onData: (chunk) => told.push(chunk.toString()),
    onEnd: () => told.push("(end)"),
    onError: () => {},
    onClose: () => {}
  })
  shorten(socket)
  return told
}

/** Sends each by itself, when the one before has come. */
const sending = Effect.fnUntraced(function* (from: Net.Socket, told: Array<string>, words: ReadonlyArray<string>) {
  for (const word of words) {
    const before = told.length
    from.write(word)
    yield* eventually(
      `${word} has come`,
      Effect.sync(() => told.length > before)
    )
  }
})

describe("an attended socket", () => {
  it.live("is told past its stream while that flows, and then of the end", () =>
    Effect.gen(function* () {
      const { through } = yield* counting
      const { far, near } = yield* tcp
      const told = attended(near)
      yield* sending(far, told, ["one", "two", "three"])
      assert.deepStrictEqual(through(), [])
      far.end()
      yield* eventually(
        "the end has come",
        Effect.sync(() => told.includes("(end)"))
      )
      assert.deepStrictEqual(told, ["one", "two", "three", "(end)"])
    })
  )

  it.live("shares its data with whoever else listens, for as long as they do", () =>
    Effect.gen(function* () {
      const { through } = yield* counting
      const { far, near } = yield* tcp
      const told = attended(near)
      const heard: Array<string> = []
      const listener = (chunk: Buffer) => void heard.push(chunk.toString())
      yield* sending(far, told, ["one"])
      near.on("data", listener)
      yield* sending(far, told, ["two"])
      near.off("data", listener)
      yield* sending(far, told, ["three"])
      assert.deepStrictEqual(told, ["one", "two", "three"])
      assert.deepStrictEqual(heard, ["two"])
      assert.deepStrictEqual(through(), ["two"])
    })
  )

  it.live("is told nothing while it is paused, and everything in its order behind that", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const told = attended(near)
      let sent = ""
      for (let i = 0; i < 200; i++) {
        if (i % 7 === 3) near.pause()
        const word = `${i},`.repeat(1 + (i % 50) * 40)
        sent += word
        far.write(word)
        if (i % 3 === 0) yield* Effect.promise(() => new Promise(setImmediate))
        if (i % 7 === 5) {
          const before = told.length
          yield* Effect.promise(() => new Promise(setImmediate))
          assert.strictEqual(told.length, before)
          near.resume()
        }
      }
      near.resume()
      far.end()
      yield* eventually(
        "the end has come",
        Effect.sync(() => told.includes("(end)"))
      )
      assert.strictEqual(told.join(""), `${sent}(end)`)
    })
  )

  it.live("reads on after it was paused for so long that the system was not asked any more", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const told = attended(near)
      yield* sending(far, told, ["first,"])
      near.pause()
      const size = 8 * 1024 * 1024
      far.write("x".repeat(size))
      yield* eventually(
        "the stream is full",
        Effect.sync(() => near.readableLength >= near.readableHighWaterMark)
      )
      assert.deepStrictEqual(told, ["first,"])
      near.resume()
      yield* eventually(
        "all has come",
        Effect.sync(() => told.join("").length === size + 6)
      )
      const before = told.length
      yield* sending(far, told, ["last"])
      assert.strictEqual(told.slice(before).join(""), "last")
    })
  )

  it.live("is told what it was paused for before what comes when it goes on", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const told = attended(near)
      yield* sending(far, told, ["one,"])
      near.pause()
      far.write("two,")
      yield* eventually(
        "two is held",
        Effect.sync(() => near.readableLength > 0)
      )
      near.resume()
      // as TLS does, which may have something by itself
      near.push(Buffer.from("three,"))
      yield* sending(far, told, ["four"])
      assert.strictEqual(told.join(""), "one,two,three,four")
    })
  )

  it.live("leaves what comes to others when it is told nothing more", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const told = attended(near)
      yield* sending(far, told, ["one"])
      deafen(near)
      const heard: Array<string> = []
      near.on("data", (chunk: Buffer) => void heard.push(chunk.toString()))
      yield* sending(far, heard, ["two"])
      assert.deepStrictEqual([told, heard], [["one"], ["two"]])
    })
  )

  it.live("is told through its stream if it is of another kind, which may wait to be asked for more", () =>
    Effect.gen(function* () {
      const { through } = yield* counting
      const { far, near } = yield* tcp
      let asked = 0
      const slow = new (class extends Net.Socket {
        override _read() {
          asked++
          near.resume()
        }
      })({ allowHalfOpen: true })
      yield* Effect.addFinalizer(() => Effect.sync(() => slow.destroy()))
      near.on("data", (chunk) => {
        near.pause()
        slow.push(chunk)
      })
      const told = attended(slow)
      slow.resume()
      yield* sending(far, told, ["one", "two", "three"])
      assert.deepStrictEqual(told, ["one", "two", "three"])
      assert.isAtLeast(asked, 3)
      assert.include(through(), "three")
    })
  )

  it.live("keeps what somebody else has put in the place of its push", () =>
    Effect.gen(function* () {
      const { far, near } = yield* tcp
      const pushed: Array<string> = []
      const own = (chunk: unknown, encoding?: BufferEncoding) => {
        pushed.push(String(chunk))
        return Duplex.prototype.push.call(near, chunk, encoding)
      }
      near.push = own
      const told = attended(near)
      yield* sending(far, told, ["one"])
      assert.deepStrictEqual([told, pushed], [["one"], ["one"]])
      deafen(near)
      assert.strictEqual(near.push, own)
    })
  )
})
