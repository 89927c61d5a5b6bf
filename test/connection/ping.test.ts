import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { connected, type FrameParts, settled, withPeer } from "./connected.ts"

const payload = (text: string) => new TextEncoder().encode(text)
const text = (frame: { readonly payload: Uint8Array }) => new TextDecoder().decode(frame.payload)

describe("ping", () => {
  it.effect("waits for its Pong and gives the time between", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("client")
      const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      const ping = yield* Effect.forkChild(webSocket.ping(payload("here?")))
      const frame = yield* peer.next
      assert.deepStrictEqual([frame.opcode, text(frame)], [Opcode.ping, "here?"])
      yield* TestClock.adjust("1500 millis")
      assert.isUndefined(ping.pollUnsafe())
      yield* peer.send({ opcode: Opcode.pong, payload: payload("here?") })
      assert.strictEqual(Duration.toMillis(yield* Fiber.join(ping)), 1500)
      yield* Fiber.interrupt(reading)
    })
  )

  it.effect("goes both ways between two connections, with 0 to 125 bytes", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      yield* Effect.forkChild(Stream.runDrain(server.messages))
      yield* Effect.forkChild(Stream.runDrain(client.messages))
      assert.isTrue(Duration.isZero(yield* client.ping()))
      yield* server.ping(new Uint8Array(125).fill(7))
    })
  )

  it.effect("a Pong answers the latest of several Pings, and those before it with it", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      const one = yield* Effect.forkChild(webSocket.ping(payload("1")))
      const two = yield* Effect.forkChild(webSocket.ping(payload("2")))
      const three = yield* Effect.forkChild(webSocket.ping(payload("3")))
      for (const expected of ["1", "2", "3"]) assert.strictEqual(text(yield* peer.next), expected)
      yield* peer.send({ opcode: Opcode.pong, payload: payload("2") })
      yield* Fiber.join(one)
      yield* Fiber.join(two)
      assert.isUndefined(three.pollUnsafe())
      yield* peer.send({ opcode: Opcode.pong, payload: payload("3") })
      yield* Fiber.join(three)
    })
  )

  it.effect("of two without a payload, the Pong of the first does not answer the second", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      const one = yield* Effect.forkChild(webSocket.ping())
      const first = yield* peer.next
      yield* TestClock.adjust("9 seconds")
      const two = yield* Effect.forkChild(webSocket.ping())
      const second = yield* peer.next
      yield* TestClock.adjust("1 second")
      yield* peer.send({ opcode: Opcode.pong, payload: first.payload })
      assert.strictEqual(Duration.toSeconds(yield* Fiber.join(one)), 10)
      yield* TestClock.adjust("3 seconds")
      yield* peer.send({ opcode: Opcode.pong, payload: second.payload })
      assert.strictEqual(Duration.toSeconds(yield* Fiber.join(two)), 4)
    })
  )

  it.effect("unsolicited Pongs, and Pongs with another payload, mean nothing", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(webSocket.messages, 1)))
      const ping = yield* Effect.forkChild(webSocket.ping(payload("mine")))
      yield* peer.next
      yield* peer.send(
        { opcode: Opcode.pong, payload: payload("not yours") },
        { opcode: Opcode.pong, payload: payload("min") },
        { opcode: Opcode.pong, payload: payload("mine and more") },
        { opcode: Opcode.pong },
        { opcode: Opcode.text, payload: payload("still here") }
      )
      assert.deepStrictEqual(yield* Fiber.join(received), ["still here"])
      yield* settled
      assert.isUndefined(ping.pollUnsafe())
      yield* Fiber.interrupt(ping)
    })
  )

  it.effect("interrupted, it is forgotten: its late Pong disturbs nobody", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      const gaveUp = yield* Effect.forkChild(webSocket.ping(payload("a")))
      yield* peer.next
      yield* Fiber.interrupt(gaveUp)
      const ping = yield* Effect.forkChild(webSocket.ping(payload("b")))
      yield* peer.next
      yield* peer.send({ opcode: Opcode.pong, payload: payload("a") })
      yield* Effect.yieldNow
      assert.isUndefined(ping.pollUnsafe())
      yield* peer.send({ opcode: Opcode.pong, payload: payload("b") })
      yield* Fiber.join(ping)
    })
  )

  for (const end of ["Close", "FIN", "reset"] as const) {
    it.effect(`fails with ConnectionClosed when the connection ends first, by ${end}`, () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        yield* Effect.forkChild(Effect.exit(Stream.runDrain(webSocket.messages)))
        const ping = yield* Effect.forkChild(webSocket.ping())
        yield* peer.next
        if (end === "Close") yield* peer.send({ opcode: Opcode.close, payload: new Uint8Array([0x03, 0xe9]) })
        else yield* end === "FIN" ? peer.end : peer.reset
        const error = yield* Effect.flip(Fiber.join(ping))
        assert.strictEqual(error.reason._tag, "ConnectionClosed")
        assert.strictEqual(error.closeCode, end === "Close" ? 1001 : 1006)
        const late = yield* Effect.flip(webSocket.ping())
        assert.strictEqual(late.reason._tag, "ConnectionClosed")
      })
    )
  }

  it.effect("of 126 bytes is InvalidUsage, and nothing is sent", () =>
    Effect.gen(function* () {
      const { end, webSocket } = yield* withPeer("server")
      const error = yield* Effect.flip(webSocket.ping(new Uint8Array(126)))
      assert.strictEqual(error.reason._tag, "InvalidUsage")
      assert.include(error.message, "125")
      assert.strictEqual(end.writes.length, 0)
    })
  )
})

describe("a ping or pong of what are no bytes, where types say nothing", () => {
  it.effect.each(["5", '"hello"', '{"length":3}', "null"])("%s is InvalidUsage, and nothing is sent", (given) =>
    Effect.gen(function* () {
      const { end, webSocket } = yield* withPeer("server")
      for (const sent of [webSocket.ping(JSON.parse(given)), webSocket.pong(JSON.parse(given))]) {
        const error = yield* Effect.flip(sent)
        assert.strictEqual(error.reason._tag, "InvalidUsage")
      }
      assert.strictEqual(end.writes.length, 0)
    })
  )
})

describe("pings that come", () => {
  it.effect("are answered in order with their own payloads, before what the reader sends", () =>
    Effect.gen(function* () {
      const { end, peer, webSocket } = yield* withPeer("server")
      yield* Effect.forkChild(Stream.runForEach(webSocket.messages, (message) => webSocket.send(message)))
      yield* peer.send(
        { opcode: Opcode.ping, payload: payload("1") },
        { opcode: Opcode.text, payload: payload("hi") },
        { opcode: Opcode.ping, payload: payload("2") }
      )
      const answers = [yield* peer.next, yield* peer.next, yield* peer.next]
      assert.deepStrictEqual(
        answers.map((frame) => [frame.opcode, text(frame)]),
        [
          [Opcode.pong, "1"],
          [Opcode.pong, "2"],
          [Opcode.text, "hi"]
        ]
      )
      // both in one write
      assert.strictEqual(end.writes.length, 2)
    })
  )

  it.effect("are answered in the middle of a fragmented message, and while any of the streams is read", () =>
    Effect.gen(function* () {
      for (const way of ["messages", "fragments", "payloads"] as const) {
        const { peer, webSocket } = yield* withPeer("client")
        yield* Effect.forkChild(Stream.runDrain<unknown, unknown, never>(webSocket[way]))
        yield* peer.send({ opcode: Opcode.text, fin: false, payload: payload("a") })
        yield* peer.send({ opcode: Opcode.ping, payload: payload(way) })
        const frame = yield* peer.next
        assert.deepStrictEqual([frame.opcode, text(frame)], [Opcode.pong, way])
      }
    })
  )

  it.effect("are answered behind our own Close frame, too, until the peer's has come (section 5.5.2)", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const closing = yield* Effect.forkChild(webSocket.close())
      assert.strictEqual((yield* peer.next).opcode, Opcode.close)
      yield* peer.send(
        { opcode: Opcode.ping, payload: new Uint8Array([1]) },
        { opcode: Opcode.close, payload: new Uint8Array([0x03, 0xe8]) },
        { opcode: Opcode.ping, payload: new Uint8Array([2]) }
      )
      yield* Fiber.join(closing)
      yield* peer.end
      const rest = yield* peer.rest
      assert.deepStrictEqual(
        rest.map(({ opcode, payload }) => [opcode, ...payload]),
        [[Opcode.pong, 1]]
      )
    })
  )

  it.effect("of those that come while a Pong is held up, the latest is answered behind it (section 5.5.3)", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { highWaterMark: 1 })
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      const ping = (name: string): FrameParts => ({ opcode: Opcode.ping, payload: payload(name) })
      const pings = (...names: ReadonlyArray<string>) => Effect.andThen(peer.send(...names.map(ping)), settled)
      const pongs = Effect.gen(function* () {
        const frame = yield* peer.next
        yield* settled
        assert.strictEqual(frame.opcode, Opcode.pong)
        return text(frame)
      })
      // twice: what was held up holds up no more
      for (let i = 0; i < 2; i++) {
        yield* pings("first")
        yield* pings("second", "third")
        yield* pings("fourth", "fifth", "sixth")
        assert.deepStrictEqual([yield* pongs, yield* pongs], ["first", "sixth"])
        yield* pings("next")
        assert.strictEqual(yield* pongs, "next")
      }
    })
  )

  it.effect("are not answered behind our answer to a Close frame, although they were held up", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { highWaterMark: 1 })
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      yield* Effect.andThen(peer.send({ opcode: Opcode.ping, payload: payload("first") }), settled)
      yield* Effect.andThen(peer.send({ opcode: Opcode.ping, payload: payload("second") }), settled)
      yield* Effect.andThen(peer.send({ opcode: Opcode.close }), settled)
      assert.deepStrictEqual(
        (yield* peer.rest).map((frame) => [frame.opcode, text(frame)]),
        [
          [Opcode.pong, "first"],
          [Opcode.close, ""]
        ]
      )
    })
  )

  it.effect(
    "cannot block two connections that both send more than the transport holds",
    () =>
      Effect.gen(function* () {
        const { client, server } = yield* connected({ highWaterMark: 1000 })
        const fibers = yield* Effect.forEach([client, server], (one) =>
          Effect.all([Effect.forkChild(one.ping()), Effect.forkChild(one.send(new Uint8Array(5000)))])
        )
        // both pings and both messages are under way, and the transport is full in both directions
        yield* Effect.yieldNow
        yield* Effect.all([client.pullMessages, server.pullMessages], { concurrency: "unbounded" })
        for (const [, sending] of fibers) yield* Fiber.join(sending)
      }),
    2000
  )
})
