/**
 * The ways of reading a connection, and going over from one to another.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { connected, type FrameParts, settled, text, withPeer } from "./connected.ts"

const firstPart: FrameParts = { opcode: Opcode.text, fin: false, payload: Buffer.from("hel") }
const lastPart: FrameParts = { opcode: Opcode.continuation, payload: Buffer.from("lo") }
const refusal = /^WebSocketError: the connection cannot be read in another way before/
const shown = ({ payload }: { readonly payload: Uint8Array }) => new TextDecoder().decode(payload)

const others: Record<string, (webSocket: WebSocket.WebSocket) => Effect.Effect<unknown, unknown>> = {
  messages: (webSocket) => Stream.runHead(webSocket.messages),
  payloads: (webSocket) => webSocket.pullPayloads,
  pullEvents: (webSocket) => webSocket.pullEvents(),
  runForEachArray: (webSocket) => WebSocket.runForEachArray(webSocket, () => Effect.void)
}

describe("another way of reading", () => {
  for (const [name, other] of Object.entries(others)) {
    it.effect(`${name} fails in the midst of a message, and the first way goes on`, () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        yield* peer.send(firstPart)
        const before = yield* Stream.runCollect(Stream.take(webSocket.fragments, 1))
        assert.deepStrictEqual(before.map(shown), ["hel"])
        yield* peer.send(lastPart)
        const error = yield* Effect.flip(other(webSocket))
        assert.match(String(error), refusal)
        const after = yield* Stream.runCollect(Stream.take(webSocket.fragments, 1))
        assert.deepStrictEqual(
          after.map((piece) => [shown(piece), piece.isText, piece.last]),
          [["lo", true, true]]
        )
        const read = yield* Effect.forkChild(other(webSocket), { startImmediately: true })
        yield* settled
        assert.strictEqual(read.pollUnsafe(), undefined)
      })
    )
  }

  it.effect("fails while somebody reads in the first, who gets what comes", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const reading = yield* Effect.forkChild(server.pullPayloads, { startImmediately: true })
      const error = yield* Effect.flip(server.pullMessages)
      assert.match(String(error), refusal)
      yield* client.send("to the first")
      assert.deepStrictEqual(
        (yield* Fiber.join(reading)).map((payload) => new TextDecoder().decode(payload)),
        ["to the first"]
      )
    })
  )

  it.effect("fails before what is left of a read is given out", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected({ deflate: {} })
      // larger than what is inflated for one batch
      const large = new Uint8Array(300_000)
      yield* client.sendAll([large, "behind"])
      assert.strictEqual((yield* server.pullPayloads).length, 1)
      const error = yield* Effect.flip(server.pullMessages)
      assert.match(String(error), refusal)
      assert.deepStrictEqual(
        (yield* server.pullPayloads).map((payload) => new TextDecoder().decode(payload)),
        ["behind"]
      )
      yield* client.send("a message")
      assert.deepStrictEqual(yield* server.pullMessages, ["a message"])
    })
  )

  it.effect("between messages each pull gives what it is of, whichever was asked for last", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const messages = server.pullMessages
      const payloads = server.pullPayloads
      for (const message of ["one", "two", "three"]) {
        yield* client.send(message)
        assert.deepStrictEqual(yield* messages, [message])
        yield* client.send(message)
        assert.deepStrictEqual(
          (yield* payloads).map((payload) => new TextDecoder().decode(payload)),
          [message]
        )
      }
    })
  )

  it.effect("a header that has come in part is not the midst of a message", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("client")
      yield* peer.sendBytes(Uint8Array.of(0x81, 1, 0x61, 0x81))
      assert.deepStrictEqual(
        (yield* webSocket.pullPayloads).map((payload) => [...payload]),
        [[0x61]]
      )
      yield* peer.sendBytes(Uint8Array.of(1, 0x62))
      assert.deepStrictEqual(yield* webSocket.pullMessages, ["b"])
    })
  )

  it.effect("meets the end in the midst of a message as the first does", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* peer.send(text("a whole one"), firstPart)
      assert.strictEqual((yield* webSocket.pullPayloads).length, 1)
      yield* peer.reset
      assert.match(String(yield* Effect.flip(webSocket.pullPayloads)), /the connection was lost/)
      assert.match(String(yield* Effect.flip(webSocket.pullMessages)), /the connection was lost/)
    })
  )
})
