/**
 * What an adapter needs of a connection: all that comes as events, pieces of what goes, and ends without waiting.
 */
import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as MessageEvent from "../../src/protocol/MessageEvent.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { connected, settled, withPeer } from "./connected.ts"

const bytes = (text: string) => new TextEncoder().encode(text)

const shown = (event: MessageEvent.MessageEvent) =>
  MessageEvent.isControlFrame(event)
    ? `${event.opcode === Opcode.ping ? "ping" : "pong"} ${new TextDecoder().decode(event.payload)}`
    : `${event.first ? "<" : ""}${event.text ?? [...event.payload].join(" ")}${event.last ? ">" : ""}`

const gathering = { pieceSize: 1024, wholeMessages: false }

describe("pullEvents", () => {
  for (const deflate of [undefined, {}]) {
    it.effect(`gives messages and control frames in order, ${deflate === undefined ? "plain" : "compressed"}`, () =>
      Effect.gen(function* () {
        const { client, server } = yield* connected(deflate === undefined ? {} : { deflate })
        const seen: Array<string> = []
        const reading = yield* Effect.forkChild(
          Effect.forever(Effect.map(server.pullEvents(gathering), (events) => seen.push(...events.map(shown))))
        )
        yield* Effect.forkChild(Stream.runDrain(client.messages))
        yield* client.send("one")
        yield* client.ping(bytes("p"))
        yield* client.send(new Uint8Array([1, 2]))
        yield* client.pong(bytes("q"))
        yield* client.sendFragments(Stream.make("a", "b"))
        yield* settled
        assert.deepStrictEqual(seen, ["<one>", "ping p", "<1 2>", "pong q", "<a", "b", ">"])
        yield* client.close()
        const exit = yield* Fiber.await(reading)
        assert.isTrue(exit._tag === "Failure" && Cause.hasFails(exit.cause))
      })
    )
  }
})

describe("pong", () => {
  it.effect("is sent unasked, with at most 125 bytes", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* webSocket.pong(bytes("alive"))
      const frame = yield* peer.next
      assert.strictEqual(frame.opcode, Opcode.pong)
      const error = yield* Effect.flip(webSocket.pong(new Uint8Array(126)))
      assert.strictEqual(error.reason._tag, "InvalidUsage")
    })
  )
})

describe("close without waiting", () => {
  it.effect("sends the Close frame behind what was sent, and is done", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* webSocket.send("last")
      // a peer that never answers, under a clock that nobody turns
      yield* webSocket.close(1001, "off", { wait: false })
      const info = yield* webSocket.closed
      assert.deepStrictEqual([info.code, info.reason, info.wasClean], [1001, "off", false])
      assert.strictEqual((yield* peer.next).opcode, Opcode.text)
      assert.strictEqual((yield* peer.next).opcode, Opcode.close)
    })
  )

  it.effect("takes no code that may not be sent", () =>
    Effect.gen(function* () {
      const { webSocket } = yield* withPeer("server")
      const error = yield* Effect.flip(webSocket.close(1005, "", { wait: false }))
      assert.strictEqual(error.reason._tag, "InvalidUsage")
    })
  )
})

describe("a message that may end early", () => {
  it.effect("ends with what was sent when it is interrupted, and the connection goes on", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const sending = yield* Effect.forkChild(
        client.sendFragments(Stream.concat(Stream.make("a"), Stream.never), { mayEndEarly: true })
      )
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 2)))
      yield* settled
      yield* Fiber.interrupt(sending)
      yield* client.send("next")
      assert.deepStrictEqual(yield* Fiber.join(received), ["a", "next"])
    })
  )

  it.effect("still fails the connection when its stream fails", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      yield* Effect.forkChild(Effect.ignore(Stream.runDrain(server.messages)))
      yield* Effect.forkChild(Effect.ignore(Stream.runDrain(client.messages)))
      const broken = Stream.concat(Stream.make("a"), Stream.fail("no more"))
      assert.strictEqual(yield* Effect.flip(client.sendFragments(broken, { mayEndEarly: true })), "no more")
      assert.strictEqual((yield* server.closed).code, 1011)
    })
  )
})

describe("flushed", () => {
  it.effect("is at once where the transport says nothing of it", () =>
    Effect.gen(function* () {
      const { webSocket } = yield* withPeer("server")
      yield* webSocket.send("x")
      yield* webSocket.flushed
      yield* TestClock.adjust("1 second")
    })
  )
})
