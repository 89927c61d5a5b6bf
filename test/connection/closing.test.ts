import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import { Connection } from "../../src/connection/internal/connection.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, connected, type Peer, settled, shown, text, withPeer } from "./connected.ts"
import { countingLimit } from "./metrics.ts"

const nextClose = (peer: Peer) => Effect.map(peer.next, shown)

describe("close", () => {
  for (const role of ["client", "server"] as const) {
    it.effect(`of the ${role} sends a Close frame and waits for the peer's, which both sides then tell`, () =>
      Effect.gen(function* () {
        const { client, server } = yield* connected()
        const [self, other] = role === "client" ? [client, server] : [server, client]
        const reading = yield* Effect.forkChild(Stream.runCollect(other.messages))
        yield* self.close(3001, "enough")
        assert.deepStrictEqual(yield* Fiber.join(reading), [])
        assert.deepStrictEqual(yield* other.closed, { code: 3001, reason: "enough", wasClean: true })
        // the echo has the code and no reason
        assert.deepStrictEqual(yield* self.closed, { code: 3001, reason: "", wasClean: true })
      })
    )

    it.effect(`an answered Close of the ${role}'s peer without a code is 1005, and its echo is empty`, () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer(role)
        yield* peer.send({ opcode: Opcode.close })
        yield* Stream.runDrain(webSocket.messages)
        assert.strictEqual((yield* peer.next).payload.length, 0)
        assert.deepStrictEqual(yield* webSocket.closed, { code: 1005, reason: "", wasClean: true })
      })
    )
  }

  it.effect("without arguments is 1000, and a reason too long for its frame is cut at a code point", () =>
    Effect.gen(function* () {
      const normal = yield* withPeer("server")
      yield* Effect.forkChild(normal.webSocket.close())
      assert.deepStrictEqual(yield* nextClose(normal.peer), [Opcode.close, 1000, ""])
      const long = yield* withPeer("server")
      yield* Effect.forkChild(long.webSocket.close(4000, "ü".repeat(100)))
      assert.deepStrictEqual(yield* nextClose(long.peer), [Opcode.close, 4000, "ü".repeat(61)])
    })
  )

  for (const code of [0, 999, 1004, 1005, 1006, 1015, 2999, 5000, 1000.5, Number.NaN]) {
    it.effect(`with code ${code}, which may not be sent, is InvalidUsage and leaves the connection as it was`, () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        const error = yield* Effect.flip(webSocket.close(code))
        assert.strictEqual(error.reason._tag, "InvalidUsage")
        yield* webSocket.send("still open")
        assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "still open"])
      })
    )
  }

  it.effect("by both sides at once ends both cleanly, each told the other's code", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      yield* Effect.all([client.close(3001, "c"), server.close(3002, "s")], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* client.closed, { code: 3002, reason: "s", wasClean: true })
      assert.deepStrictEqual(yield* server.closed, { code: 3001, reason: "c", wasClean: true })
    })
  )

  it.effect("twice, or by two fibers, is one Close frame; both wait for the end", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      const one = yield* Effect.forkChild(webSocket.close(3001))
      const two = yield* Effect.forkChild(webSocket.close(3002))
      assert.deepStrictEqual(yield* nextClose(peer), [Opcode.close, 3001, ""])
      yield* settled
      assert.isUndefined(one.pollUnsafe())
      assert.isUndefined(two.pollUnsafe())
      yield* peer.send(close(3001))
      yield* Fiber.join(one)
      yield* Fiber.join(two)
      yield* Fiber.join(reading)
      yield* webSocket.close()
      yield* peer.end
      assert.deepStrictEqual(yield* peer.rest, [])
    })
  )

  it.effect("from the handler of a running stream ends the stream", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const handled: Array<unknown> = []
      const handler = yield* Effect.forkChild(
        Stream.runForEach(server.messages, (message) => {
          handled.push(message)
          return server.close(4000, "one is enough")
        })
      )
      const reading = yield* Effect.forkChild(Stream.runDrain(client.messages))
      yield* client.send("one")
      yield* Fiber.join(handler)
      yield* Fiber.join(reading)
      assert.deepStrictEqual(handled, ["one"])
      assert.strictEqual((yield* client.closed).code, 4000)
    })
  )

  it.effect(
    "by one fiber while another is busy with a message: both end as soon as the peer has answered",
    () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        const busy = yield* Deferred.make<void>()
        const handler = yield* Effect.forkChild(
          Effect.exit(Stream.runForEach(webSocket.messages, () => Deferred.await(busy)))
        )
        yield* peer.send(text("work"))
        const closing = yield* Effect.forkChild(webSocket.close())
        assert.deepStrictEqual(yield* nextClose(peer), [Opcode.close, 1000, ""])
        yield* settled
        yield* Deferred.succeed(busy, undefined)
        yield* settled
        yield* peer.send(close(1000))
        yield* Fiber.join(closing)
        assert.isTrue(Exit.isSuccess(yield* Fiber.join(handler)))
        assert.deepStrictEqual(yield* webSocket.closed, { code: 1000, reason: "", wasClean: true })
      }),
    2000
  )

  it.effect(
    "after a reader was interrupted reads on itself",
    () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        const reader = yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
        yield* settled
        yield* Fiber.interrupt(reader)
        const closing = yield* Effect.forkChild(webSocket.close())
        yield* peer.next
        yield* peer.send(close(1000))
        yield* Fiber.join(closing)
        assert.strictEqual((yield* webSocket.closed).wasClean, true)
      }),
    2000
  )

  it.effect("what the peer sends until its own Close frame still goes to the reader that waits", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const reading = yield* Effect.forkChild(Stream.runCollect(webSocket.messages))
      const closing = yield* Effect.forkChild(webSocket.close())
      yield* peer.next
      // each read of its own, and one message in two of them
      const reads = [
        [text("on")],
        [text("its")],
        [{ ...text("w"), fin: false }],
        [{ ...text("ay"), opcode: 0 as const }]
      ]
      for (const frames of reads) {
        yield* peer.send(...frames)
        yield* settled
      }
      yield* peer.send(text("already"), close(1000))
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Fiber.join(reading), ["on", "its", "way", "already"])
    })
  )

  it.effect("and is discarded if nobody reads, however large it is", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { limits: { maxMessageSize: 1000 } })
      const closing = yield* Effect.forkChild(webSocket.close())
      yield* peer.next
      yield* Effect.forkChild(peer.send({ opcode: Opcode.binary, payload: new Uint8Array(100_000) }, close(1000)))
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* webSocket.closed, { code: 1000, reason: "", wasClean: true })
    })
  )

  it.effect("a server ends the byte stream when both Close frames have passed, and a client leaves that to it", () =>
    Effect.gen(function* () {
      const server = yield* withPeer("server")
      yield* server.peer.send(close(1000))
      yield* Stream.runDrain(server.webSocket.messages)
      assert.isFalse(server.end.isOpen())
      const client = yield* withPeer("client")
      yield* client.peer.send(close(1000))
      yield* Stream.runDrain(client.webSocket.messages)
      assert.isTrue(client.end.isOpen())
    })
  )
})

describe("a peer that does not play its part", () => {
  it.effect(
    "that never answers a Close frame is cut off after closeTimeout: the reader and `closed` are told, and a metric",
    () =>
      Effect.gen(function* () {
        const { end, peer, webSocket } = yield* withPeer("server", { limits: { closeTimeout: "3 seconds" } })
        const reading = yield* Effect.forkChild(Effect.flip(Stream.runDrain(webSocket.messages)))
        const bites = yield* countingLimit(
          "closeTimeout",
          Effect.gen(function* () {
            const closing = yield* Effect.forkChild(webSocket.close())
            yield* peer.next
            yield* TestClock.adjust("2999 millis")
            assert.isUndefined(closing.pollUnsafe())
            yield* TestClock.adjust("1 millis")
            yield* Fiber.join(closing)
          })
        )
        const { reason } = yield* Fiber.join(reading)
        assert.deepStrictEqual([reason._tag, reason._tag === "PeerTimeout" && reason.awaited], ["PeerTimeout", "close"])
        assert.strictEqual(reason.closeCode, 1006)
        assert.match(reason.message, /Close frame/)
        assert.deepStrictEqual(yield* webSocket.closed, { code: 1006, reason: "", wasClean: false })
        assert.isFalse(end.isOpen())
        assert.strictEqual(bites, 1)
      }),
    2000
  )

  it.effect(
    "and `closed` is told just so when nobody reads",
    () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("client", { limits: { closeTimeout: "3 seconds" } })
        const closing = yield* Effect.forkChild(webSocket.close())
        yield* peer.next
        yield* TestClock.adjust("3 seconds")
        yield* Fiber.join(closing)
        assert.strictEqual((yield* webSocket.closed).code, 1006)
        assert.strictEqual((yield* Effect.flip(webSocket.send("x"))).reason._tag, "ConnectionClosed")
      }),
    2000
  )

  it.effect("that takes nothing cannot hold a close up: it is bounded while the transport is full", () =>
    Effect.gen(function* () {
      const { end, webSocket } = yield* withPeer("server", { highWaterMark: 10, limits: { closeTimeout: "3 seconds" } })
      const sending = yield* Effect.forkChild(Effect.exit(webSocket.send("more than ten bytes")))
      yield* settled
      const closing = yield* Effect.forkChild(webSocket.close())
      yield* TestClock.adjust("6 seconds")
      yield* Fiber.join(closing)
      assert.isFalse(end.isOpen())
      assert.isTrue(Exit.isFailure(yield* Fiber.join(sending)))
    })
  )

  it.effect("that goes on sending and never closes is bounded too", () =>
    Effect.gen(function* () {
      const { end, peer, webSocket } = yield* withPeer("server", { limits: { closeTimeout: "3 seconds" } })
      const chatter = yield* Effect.forkChild(
        Effect.forever(Effect.delay(Effect.ignoreCause(peer.send(text("blah"))), "100 millis"))
      )
      const closing = yield* Effect.forkChild(webSocket.close())
      yield* TestClock.adjust("3100 millis")
      yield* Fiber.join(closing)
      assert.isFalse(end.isOpen())
      yield* Fiber.interrupt(chatter)
    })
  )
})

describe("leaving the scope", () => {
  const exits: ReadonlyArray<readonly [string, Exit.Exit<unknown, unknown>, number]> = [
    ["a success", Exit.void, 1000],
    ["a failure", Exit.fail("boom"), 1011],
    ["a defect", Exit.die(new Error("boom")), 1011],
    ["an interruption", Exit.interrupt(), 1001],
    ["a failure and an interruption", Exit.failCause(Cause.combine(Cause.fail("boom"), Cause.interrupt())), 1011]
  ]
  for (const [how, exit, code] of exits) {
    for (const role of ["server", "client"] as const) {
      it.effect(
        `of a ${role} with ${how} closes with ${code}, waits for the peer's Close and FIN, and holds nothing`,
        () =>
          Effect.gen(function* () {
            const { end, leave, peer, webSocket } = yield* withPeer(role)
            const leaving = yield* Effect.forkChild(leave(exit))
            assert.deepStrictEqual(yield* nextClose(peer), [Opcode.close, code, ""])
            yield* settled
            assert.isTrue(end.isOpen(), "no FIN before the peer's Close")
            yield* peer.send(close(code))
            yield* settled
            assert.isUndefined(leaving.pollUnsafe(), "the peer's FIN is waited for")
            yield* peer.end
            yield* Fiber.join(leaving)
            assert.strictEqual(end.held(), 0)
            assert.deepStrictEqual(yield* webSocket.closed, { code, reason: "", wasClean: true })
            assert.deepStrictEqual(yield* peer.rest, [])
          })
      )
    }
  }

  it.effect("without an answer is bounded by closeTimeout", () =>
    Effect.gen(function* () {
      const { end, leave, webSocket } = yield* withPeer("server", { limits: { closeTimeout: "3 seconds" } })
      const leaving = yield* Effect.forkChild(leave())
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(leaving)
      assert.strictEqual(end.held(), 0)
      assert.strictEqual((yield* webSocket.closed).code, 1006)
    })
  )

  it.effect("without the peer's FIN is bounded by closeTimeout, and the end was clean", () =>
    Effect.gen(function* () {
      const { end, leave, peer, webSocket } = yield* withPeer("server", { limits: { closeTimeout: "3 seconds" } })
      const leaving = yield* Effect.forkChild(leave())
      yield* peer.next
      yield* peer.send(close(1000))
      yield* TestClock.adjust("3 seconds")
      yield* Fiber.join(leaving)
      assert.strictEqual(end.held(), 0)
      assert.strictEqual((yield* webSocket.closed).wasClean, true)
    })
  )

  it.effect("by an interruption of the fiber while it reads closes with 1001", () =>
    Effect.gen(function* () {
      const { client, leaveServer, pair, server } = yield* connected()
      const reading = yield* Effect.forkChild(
        Stream.runDrain(server.messages).pipe(Effect.onExit((exit) => leaveServer(exit)))
      )
      const told = yield* Effect.forkChild(Effect.andThen(Stream.runDrain(client.messages), client.closed))
      yield* settled
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(reading))
      assert.deepStrictEqual(yield* Fiber.join(told), { code: 1001, reason: "", wasClean: true })
      yield* pair.client.reset
      yield* Fiber.join(interrupting)
      assert.strictEqual(pair.server.held(), 0)
    })
  )

  it.effect("after every other end sends nothing more and holds nothing", () =>
    Effect.gen(function* () {
      const endings: Record<string, (peer: Peer) => Effect.Effect<void>> = {
        "a Close": (peer) => Effect.andThen(peer.send(close(1000)), peer.end),
        "a FIN": (peer) => peer.end,
        "a reset": (peer) => peer.reset,
        "a violation": (peer) => Effect.andThen(peer.sendBytes(new Uint8Array([0xff, 0xff])), peer.end)
      }
      for (const role of ["server", "client"] as const) {
        for (const [how, ending] of Object.entries(endings)) {
          const { end, leave, peer, webSocket } = yield* withPeer(role)
          const reading = yield* Effect.forkChild(Effect.exit(Stream.runDrain(webSocket.messages)))
          yield* ending(peer)
          yield* Fiber.join(reading)
          const sent = end.writes.length
          yield* leave()
          assert.strictEqual(end.writes.length, sent, `${role}, ${how}`)
          assert.strictEqual(end.held(), 0, `${role}, ${how}`)
          yield* webSocket.closed
        }
      }
    })
  )
})

describe("who is told of the end", () => {
  it.effect("is told once, and not if another that learns of it says so first", () =>
    Effect.gen(function* () {
      for (const wants of [true, false]) {
        const { peer, webSocket } = yield* withPeer("server")
        if (!(webSocket instanceof Connection)) return yield* Effect.die("this package makes no others")
        let told = 0
        webSocket.onSettled({ settled: () => void told++ })
        const first = Effect.map(webSocket.closed, () => wants || webSocket.onSettled(undefined))
        const learning = yield* Effect.forkChild(first, { startImmediately: true })
        yield* peer.send({ opcode: Opcode.close })
        yield* Stream.runDrain(webSocket.messages)
        yield* Fiber.join(learning)
        assert.strictEqual(told, wants ? 1 : 0)
      }
    })
  )
})
