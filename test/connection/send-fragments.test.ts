import { assert, describe, it } from "@effect/vitest"
import { type Cause, Deferred, Effect, Fiber, Queue, Stream } from "effect"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { connected, withPeer } from "./connected.ts"

const bytes = (...values: ReadonlyArray<number>) => new Uint8Array(values)
const text = (frame: { readonly payload: Uint8Array }) => new TextDecoder().decode(frame.payload)
const closeCode = (frame: { readonly payload: Uint8Array }) => (frame.payload[0]! << 8) | frame.payload[1]!

/** A stream of strings that the test feeds; its end is `Queue.end`. */
const fed = Effect.map(Queue.unbounded<string, Cause.Done>(), (queue) => ({ queue, stream: Stream.fromQueue(queue) }))

describe("sendFragments", () => {
  it.effect("sends the elements of a stream as the fragments of one text message", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* webSocket.sendFragments(Stream.make("one, ", "two, ", "drei 🎈"))
      const frames = [yield* peer.next, yield* peer.next, yield* peer.next, yield* peer.next]
      assert.deepStrictEqual(
        frames.map((frame) => [frame.opcode, frame.fin, text(frame)]),
        [
          [Opcode.text, false, "one, "],
          [Opcode.continuation, false, "two, "],
          [Opcode.continuation, false, "drei 🎈"],
          [Opcode.continuation, true, ""]
        ]
      )
    })
  )

  it.effect("an element that is no piece of a message, where types say nothing, is InvalidUsage", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const error = yield* Effect.flip(webSocket.sendFragments(Stream.make(JSON.parse("5"))))
      assert.strictEqual(error._tag === "WebSocketError" && error.reason._tag, "InvalidUsage")
      yield* webSocket.send("after")
      assert.strictEqual(text(yield* peer.next), "after")
    })
  )

  it.effect("a code point that two pieces share arrives whole, and a half at the very end as U+FFFD", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const cases: ReadonlyArray<readonly [ReadonlyArray<string>, string]> = [
        [["a\ud83d", "\ude00b"], "a😀b"],
        [["\ud83d", "\ude00"], "😀"],
        [["\ud83d", "", "\ude00\ud83d", "\ud83d", "\ude00"], "😀\ufffd😀"],
        [["a", "\ud83d"], "a\ufffd"],
        [["\ud83d"], "\ufffd"],
        [["\ud83d", "b"], "\ufffdb"],
        [["a\ud800", "\udc00b"], "a\u{10000}b"],
        [["a\udbff", "\udfffb"], "a\u{10ffff}b"],
        [["a\ud7ff", "\ue000b"], "a\ud7ff\ue000b"],
        [["\ude00"], "\ufffd"]
      ]
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, cases.length)))
      for (const [pieces] of cases) yield* client.sendFragments(Stream.fromIterable(pieces))
      assert.deepStrictEqual(
        yield* Fiber.join(received),
        cases.map(([, whole]) => whole)
      )
    })
  )

  it.effect("every frame ends between code points, also the last of a message that ends early", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const pieces = Stream.concat(Stream.make("a\ud83d", "\ude00", "b\ud83d"), Stream.never)
      const sending = yield* Effect.forkChild(webSocket.sendFragments(pieces, { mayEndEarly: true }))
      const frames = [yield* peer.next, yield* peer.next, yield* peer.next]
      yield* Fiber.interrupt(sending)
      frames.push(yield* peer.next)
      assert.deepStrictEqual(
        frames.map((frame) => [frame.fin, text(frame)]),
        [
          [false, "a"],
          [false, "😀"],
          [false, "b"],
          [true, "\ufffd"]
        ]
      )
    })
  )

  it.effect("an empty stream is an empty message of the kind that it is said to be", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 4)))
      const empty: Stream.Stream<string> = Stream.empty
      yield* client.sendFragments(empty, { ifEmpty: "text" })
      yield* client.sendFragments(empty, { ifEmpty: "binary" })
      // the elements say more
      yield* client.sendFragments(Stream.make("a"), { ifEmpty: "binary" })
      yield* client.sendFragments(Stream.make(bytes(1)), { ifEmpty: "text" })
      assert.deepStrictEqual(yield* Fiber.join(received), ["", bytes(), "a", bytes(1)])
    })
  )

  it.effect("is a value: what is run again begins another message", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const sending = webSocket.sendFragments(Stream.make("one"))
      yield* sending
      yield* sending
      const frames = [yield* peer.next, yield* peer.next, yield* peer.next, yield* peer.next]
      const message = [
        [Opcode.text, false],
        [Opcode.continuation, true]
      ]
      assert.deepStrictEqual(
        frames.map(({ fin, opcode }) => [opcode, fin]),
        [...message, ...message]
      )
    })
  )

  it.effect("sends bytes as a binary message, and an empty stream as an empty message", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 3)))
      yield* client.sendFragments(Stream.make(bytes(1, 2), bytes(), bytes(3)))
      yield* client.sendFragments(Stream.empty as Stream.Stream<Uint8Array>)
      yield* client.send("whole again")
      assert.deepStrictEqual(
        (yield* Fiber.join(received)).map((message) => (typeof message === "string" ? message : [...message])),
        [[1, 2, 3], [], "whole again"]
      )
    })
  )

  for (const deflate of [undefined, {}]) {
    const how = deflate === undefined ? "" : ", with compression too"
    it.effect(`messages of other fibers wait until it is complete, and pings do not${how}`, () =>
      Effect.gen(function* () {
        const { client, server } = yield* connected(deflate === undefined ? {} : { deflate })
        const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 4)))
        const reading = yield* Effect.forkChild(Stream.runDrain(client.messages))
        const { queue, stream } = yield* fed
        const sending = yield* Effect.forkChild(client.sendFragments(stream))
        yield* Queue.offer(queue, "a")
        const others = yield* Effect.forkChild(
          Effect.all([client.send("x"), client.sendAll(["y", "z"])], { concurrency: "unbounded" })
        )
        yield* client.ping()
        yield* Queue.offer(queue, "b")
        assert.isUndefined(others.pollUnsafe())
        yield* Queue.end(queue)
        yield* Fiber.join(sending)
        yield* Fiber.join(others)
        assert.deepStrictEqual(yield* Fiber.join(received), ["ab", "x", "y", "z"])
        yield* Fiber.interrupt(reading)
      })
    )
  }

  it.effect("two at a time go one after the other", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 2)))
      const slow = Stream.make("1", "2", "3").pipe(Stream.tap(() => Effect.yieldNow))
      yield* Effect.all([client.sendFragments(slow), client.sendFragments(slow)], { concurrency: "unbounded" })
      assert.deepStrictEqual(yield* Fiber.join(received), ["123", "123"])
    })
  )

  it.effect("a stream that fails fails the call with its own error, and the connection with 1011", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const error = yield* Effect.flip(
        webSocket.sendFragments(Stream.concat(Stream.make("half"), Stream.fail("no more" as const)))
      )
      assert.strictEqual(error, "no more")
      assert.strictEqual(text(yield* peer.next), "half")
      const close = yield* peer.next
      assert.deepStrictEqual([close.opcode, closeCode(close)], [Opcode.close, 1011])
      const refused = yield* Effect.flip(webSocket.send("after"))
      assert.strictEqual(refused.reason._tag, "ConnectionClosed")
    })
  )

  it.effect("and whoever waited to send is refused, since nothing follows a Close frame", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const { queue, stream } = yield* fed
      const sending = yield* Effect.forkChild(Effect.exit(webSocket.sendFragments(stream)))
      yield* Queue.offer(queue, "half")
      assert.strictEqual(text(yield* peer.next), "half")
      const waiting = yield* Effect.forkChild(Effect.flip(webSocket.send("too late")))
      yield* Effect.yieldNow
      yield* Effect.forkChild(webSocket.close())
      assert.strictEqual((yield* peer.next).opcode, Opcode.close)
      yield* Queue.offer(queue, "more")
      yield* Fiber.join(sending)
      assert.strictEqual((yield* Fiber.join(waiting)).reason._tag, "ConnectionClosed")
      yield* peer.send({ opcode: Opcode.close, payload: bytes(0x03, 0xe8) })
      yield* peer.end
      assert.deepStrictEqual(yield* peer.rest, [])
    })
  )

  it.effect("interrupted while another one is sent, it has sent nothing and the connection goes on", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 2)))
      const { queue, stream } = yield* fed
      const sending = yield* Effect.forkChild(client.sendFragments(stream))
      yield* Queue.offer(queue, "first")
      const started = yield* Deferred.make<void>()
      const waiting = yield* Effect.forkChild(
        client.sendFragments(Stream.fromEffect(Effect.as(Deferred.succeed(started, undefined), "never")))
      )
      yield* Effect.yieldNow
      yield* Fiber.interrupt(waiting)
      assert.isFalse(yield* Deferred.isDone(started))
      yield* Queue.end(queue)
      yield* Fiber.join(sending)
      yield* client.send("second")
      assert.deepStrictEqual(yield* Fiber.join(received), ["first", "second"])
    })
  )

  it.effect("a stream that fails before its first element has sent nothing: the connection goes on", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      assert.strictEqual(
        yield* Effect.flip(client.sendFragments(Stream.fail("nothing to say" as const))),
        "nothing to say"
      )
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 1)))
      yield* client.send("but this")
      assert.deepStrictEqual(yield* Fiber.join(received), ["but this"])
    })
  )

  it.effect("interrupted in the middle, it fails the connection with 1011: the message cannot be completed", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("client")
      const sending = yield* Effect.forkChild(webSocket.sendFragments(Stream.concat(Stream.make("half"), Stream.never)))
      assert.strictEqual(text(yield* peer.next), "half")
      yield* Fiber.interrupt(sending)
      const close = yield* peer.next
      assert.deepStrictEqual([close.opcode, closeCode(close)], [Opcode.close, 1011])
    })
  )

  it.effect("a failed one ends cleanly when the scope is left: the peer's Close is waited for and told", () =>
    Effect.gen(function* () {
      const { leave, peer, webSocket } = yield* withPeer("server")
      yield* Effect.exit(webSocket.sendFragments(Stream.concat(Stream.make("half"), Stream.fail("boom"))))
      const leaving = yield* Effect.forkChild(leave())
      let frame = yield* peer.next
      while (frame.opcode !== Opcode.close) frame = yield* peer.next
      assert.isUndefined(leaving.pollUnsafe())
      yield* peer.send({ opcode: Opcode.close, payload: frame.payload })
      yield* peer.end
      yield* Fiber.join(leaving)
      const info = yield* webSocket.closed
      assert.deepStrictEqual([info.code, info.wasClean], [1011, true])
    })
  )
})
