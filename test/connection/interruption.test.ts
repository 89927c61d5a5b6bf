import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import type * as Deflate from "../../src/connection/Deflate.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"
import { close, connected, settled, text, withPeer } from "./connected.ts"

/** A zlib whose calls on large inputs wait for the test, as the thread pool may have them wait. */
const gated = Effect.gen(function* () {
  const gate = yield* Deferred.make<void>()
  const wait = (bytes: Uint8Array) => (bytes.length > 500 ? Deferred.await(gate) : Effect.void)
  const zlib: Deflate.Zlib["Service"] = {
    deflate: (bytes, options) => Effect.andThen(wait(bytes), NodeZlib.make.deflate(bytes, options)),
    inflate: (bytes, options) => Effect.andThen(wait(bytes), NodeZlib.make.inflate(bytes, options))
  }
  return { zlib, open: Deferred.succeed(gate, undefined) }
})

/** Large in both forms, and compressed all the same, so that it meets the gate in both directions. */
const large = new Uint8Array(10_000)
for (let i = 0; i < 5000; i++) large[i] = (Math.imul(i + 1, 0x9e3779b1) >>> 13) & 0xff

describe("an interrupted reader", () => {
  for (const way of ["messages", "fragments", "payloads"] as const) {
    it.effect(`of ${way} loses nothing: the next one goes on`, () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        for (let i = 0; i < 3; i++) {
          const reader = yield* Effect.forkChild(Stream.runDrain<unknown, unknown, never>(webSocket[way]))
          yield* settled
          yield* Fiber.interrupt(reader)
        }
        yield* peer.send(text("one"), text("two"), close(1000))
        const all = yield* Stream.runCollect<unknown, unknown, never>(webSocket[way])
        assert.isAbove(all.length, 0)
      })
    )
  }

  it.effect("in the middle of inflating loses no message", () =>
    Effect.gen(function* () {
      const { open, zlib } = yield* gated
      const { client, server } = yield* connected({ deflate: {}, server: { zlib } })
      yield* client.sendAll(["small", large, "last"])
      const reader = yield* Effect.forkChild(server.pullMessages)
      yield* settled
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(reader))
      yield* settled
      yield* open
      yield* Fiber.join(interrupting)
      const got: Array<unknown> = []
      const rest = yield* Effect.forkChild(
        Stream.runForEach(server.messages, (message) =>
          Effect.sync(() => got.push(typeof message === "string" ? message : message.length))
        )
      )
      yield* client.send("after")
      yield* settled
      yield* Fiber.interrupt(rest)
      assert.deepStrictEqual(got, ["small", 10_000, "last", "after"])
    })
  )

  it.effect("in the middle of a pong that the transport does not take yet loses no message", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { highWaterMark: 10 })
      const sending = yield* Effect.forkChild(webSocket.send("fills the transport"))
      yield* settled
      yield* Effect.forkChild(peer.send({ opcode: 9 }, text("do not lose me")))
      const reader = yield* Effect.forkChild(webSocket.pullMessages)
      yield* settled
      // either it has the message by now, or it is interrupted and the next one gets it
      const early = reader.pollUnsafe()
      yield* Fiber.interrupt(reader)
      yield* peer.next
      yield* Fiber.join(sending)
      yield* Effect.forkChild(peer.send(close(1000)))
      const late = yield* Stream.runCollect(webSocket.messages)
      assert.deepStrictEqual(early === undefined ? late : yield* Fiber.join(reader), ["do not lose me"])
    })
  )
})

describe("an interrupted sender", () => {
  for (const deflate of [undefined, {}]) {
    it.effect(
      `that waits for the transport${deflate === undefined ? "" : " with a compressed message"} goes at once, and has sent it whole`,
      () =>
        Effect.gen(function* () {
          const { client, server } = yield* connected({ highWaterMark: 1000, ...(deflate && { deflate }) })
          const sending = yield* Effect.forkChild(client.send(large))
          yield* settled
          assert.isUndefined(sending.pollUnsafe())
          yield* Fiber.interrupt(sending)
          yield* Effect.forkChild(client.send("next"))
          const got = yield* Stream.runCollect(Stream.take(server.messages, 2))
          assert.deepStrictEqual(
            got.map((message) => message.length),
            [large.length, 4]
          )
        }),
      2000
    )
  }

  it.effect("that waits its turn has sent nothing", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const gate = yield* Deferred.make<void>()
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 2)))
      const fragments = yield* Effect.forkChild(
        client.sendFragments(Stream.concat(Stream.make("a"), Stream.fromEffect(Effect.as(Deferred.await(gate), "b"))))
      )
      yield* settled
      const waiting = yield* Effect.forkChild(client.send("never"))
      yield* settled
      yield* Fiber.interrupt(waiting)
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(fragments)
      yield* client.send("c")
      assert.deepStrictEqual(yield* Fiber.join(received), ["ab", "c"])
    })
  )

  it.effect("in the middle of compressing leaves the window as the peer knows it", () =>
    Effect.gen(function* () {
      const { open, zlib } = yield* gated
      const { client, server } = yield* connected({ deflate: {}, client: { zlib } })
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 1)))
      const similar = "the same words again and again, as messages of one application are; ".repeat(4)
      // the first of the batch is compressed, the second is on its way
      const sending = yield* Effect.forkChild(client.sendAll([similar, large]))
      yield* settled
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(sending))
      yield* settled
      yield* open
      yield* Fiber.join(interrupting)
      yield* client.send(similar)
      // the batch was sent or not, as a whole; what follows can be read in both cases
      assert.deepStrictEqual(yield* Fiber.join(received), [similar])
    })
  )
})
