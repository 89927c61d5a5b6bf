import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import { connected, settled, withPeer } from "./connected.ts"

const highWaterMark = 10_000
const message = new Uint8Array(1000)

/** Sends without end and counts what was taken. */
const flood = (send: Effect.Effect<unknown, unknown>) => {
  const sent = { count: 0 }
  const run = Effect.forever(
    Effect.andThen(
      send,
      Effect.sync(() => void sent.count++)
    )
  )
  return Effect.map(Effect.forkChild(Effect.ignore(run)), (fiber) => ({ sent, fiber }))
}

describe("backpressure", () => {
  for (const role of ["client", "server"] as const) {
    it.effect(`a ${role} that sends waits while its peer does not read, and goes on when it does`, () =>
      Effect.gen(function* () {
        const { client, pair, server } = yield* connected({ highWaterMark })
        const [from, to] = role === "client" ? [client, server] : [server, client]
        const { fiber, sent } = yield* flood(from.send(message))
        yield* settled
        const stuck = sent.count
        assert.isAtMost(stuck, 11)
        assert.isBelow(pair[role].unread(), highWaterMark + 2000)
        yield* Stream.runDrain(Stream.take(to.messages, 5))
        yield* settled
        assert.isAbove(sent.count, stuck)
        assert.isBelow(pair[role].unread(), highWaterMark + 2000)
        yield* Fiber.interrupt(fiber)
      })
    )
  }

  it.effect("compressed and fragmented messages wait as well", () =>
    Effect.gen(function* () {
      const noise = crypto.getRandomValues(new Uint8Array(1000))
      const deflating = yield* connected({ highWaterMark, deflate: {} })
      yield* flood(deflating.server.send(noise))
      const plain = yield* connected({ highWaterMark })
      yield* flood(plain.server.sendFragments(Stream.forever(Stream.make(message))))
      yield* settled
      for (const { pair } of [deflating, plain]) assert.isBelow(pair.server.unread(), highWaterMark + 2000)
    })
  )

  it.effect("nothing is read ahead of whoever pulls", () =>
    Effect.gen(function* () {
      const { client, pair, server } = yield* connected({ highWaterMark })
      const { fiber } = yield* flood(client.send(message))
      yield* settled
      const before = pair.client.writes.length
      yield* server.pullMessages
      yield* settled
      assert.isAtMost(pair.client.writes.length, before + 1)
      yield* Fiber.interrupt(fiber)
    })
  )

  it.effect("goes through an echo: a client that does not read is not read", () =>
    Effect.gen(function* () {
      const { client, pair, server } = yield* connected({ highWaterMark })
      const echo = yield* Effect.forkChild(
        Effect.ignore(Stream.runForEachArray(server.messages, (batch) => server.sendAll(batch)))
      )
      const { fiber, sent } = yield* flood(client.send(message))
      for (let i = 0; i < 10; i++) yield* settled
      const stuck = sent.count
      assert.isAtMost(stuck, 25)
      assert.isBelow(pair.client.unread() + pair.server.unread(), 2 * highWaterMark + 4000)
      const reading = yield* Effect.forkChild(Stream.runDrain(client.messages))
      for (let i = 0; i < 10; i++) yield* settled
      assert.isAbove(sent.count, stuck * 2)
      yield* Fiber.interruptAll([fiber, echo, reading])
    })
  )

  it.effect("control frames pass a message that waits for the transport, and pings are answered meanwhile", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { highWaterMark: 10 })
      yield* Effect.forkChild(Effect.ignore(Stream.runDrain(webSocket.messages)))
      const first = yield* Effect.forkChild(webSocket.send("fills the transport"))
      const second = yield* Effect.forkChild(webSocket.send("and more"))
      yield* settled
      const done = yield* Deferred.make<void>()
      yield* Effect.forkChild(
        Effect.andThen(peer.send({ opcode: 9, payload: Buffer.from("?") }), Deferred.succeed(done, undefined))
      )
      const opcodes: Array<number> = []
      for (let i = 0; i < 3; i++) opcodes.push((yield* peer.next).opcode)
      assert.deepStrictEqual(
        opcodes.toSorted((a, b) => a - b),
        [1, 1, 10]
      )
      yield* Fiber.join(first)
      yield* Fiber.join(second)
      yield* Deferred.await(done)
    })
  )
})
