/**
 * What a client does not take: frames that break the protocol, messages that are too large, silence, and idleness. The server is told
 * why, if it can be.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { randomBytes } from "node:crypto"
import { deflateRawSync } from "node:zlib"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { bytesOf, close, shown, text } from "../connection/connected.ts"
import { soon } from "../proxy/connected.ts"
import { heldBack } from "../proxy/tcp.ts"
import { pass } from "../proxy/watch.ts"
import { type Changes, opened, type Options, turns } from "./server.ts"

const deflate: Changes = { "Sec-WebSocket-Extensions": "permessage-deflate; server_no_context_takeover" }

/** Why the client fails the connection, and what the server is told: the code of the Close frame, behind which comes the end. */
const violating = Effect.fnUntraced(function* (bytes: Uint8Array, options: Options = {}, changes: Changes = {}) {
  const { connection, leave, peer, webSocket } = yield* opened({ closeTimeout: "60 seconds", ...options }, changes)
  const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
  yield* connection.write(bytes)
  const error = yield* Effect.flip(Fiber.join(reading))
  assert.strictEqual(error.reason._tag, "ProtocolViolation")
  const [opcode, code, why] = shown(yield* peer.next)
  assert.deepStrictEqual([opcode, code, why], [Opcode.close, error.closeCode, error.message])
  // by itself, and not when the scope is left
  yield* connection.until("end", soon)
  assert.deepStrictEqual(yield* webSocket.closed, { code: error.closeCode, reason: error.message, wasClean: false })
  yield* connection.end()
  yield* leave()
  assert.strictEqual(peer.waiting, 0)
  return error.closeCode
})

describe("a server that breaks the protocol", { timeout: 30_000 }, () => {
  it.live.each([
    ["masks its frames", bytesOf("client", [text("hello")]), 1002],
    ["masks its Close frame", bytesOf("client", [close(1000)]), 1002],
    ["has a reserved bit", bytesOf("server", [{ ...text("x"), rsv1: true }]), 1002],
    ["has an unknown opcode", new Uint8Array([0x83, 0]), 1002],
    ["goes on with what has not begun", new Uint8Array([0x80, 0]), 1002],
    ["begins a message within another", new Uint8Array([0x01, 0, 0x81, 0]), 1002],
    ["has a ping in fragments", new Uint8Array([0x09, 0]), 1002],
    ["has a ping that is too long", new Uint8Array([0x89, 126, 0, 126, ...new Uint8Array(126)]), 1002],
    ["has a Close frame of one byte", new Uint8Array([0x88, 1, 3]), 1002],
    ["closes with 1005", bytesOf("server", [close(1005)]), 1002],
    ["has text that is not UTF-8", new Uint8Array([0x81, 2, 0xc3, 0x28]), 1007]
  ] as const)("that %s is failed", ([, bytes, code]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* violating(bytes), code)
    })
  )

  it.live("that compresses what it should not, or cannot, is failed", () =>
    Effect.gen(function* () {
      const nonsense = bytesOf("server", [{ opcode: Opcode.binary, rsv1: true, payload: new Uint8Array([0xff, 0xff]) }])
      assert.strictEqual(yield* violating(nonsense), 1002)
      assert.strictEqual(yield* violating(nonsense, { compression: {} }, deflate), 1007)
    })
  )
})

describe("a message that is too large", { timeout: 30_000 }, () => {
  it.live("is not read: 1009", () =>
    Effect.gen(function* () {
      // of 2^40 bytes, none of which has to come
      const huge = new Uint8Array([0x82, 127, 0, 0, 1, 0, 0, 0, 0, 0])
      assert.strictEqual(yield* violating(huge), 1009)
      const exceeding = bytesOf("server", [text("x".repeat(1001))])
      assert.strictEqual(yield* violating(exceeding, { maxMessageSize: 1000 }), 1009)
      const inPieces = bytesOf("server", [
        { ...text("x".repeat(600)), fin: false },
        { opcode: Opcode.continuation, payload: new Uint8Array(600) }
      ])
      assert.strictEqual(yield* violating(inPieces, { maxMessageSize: 1000 }), 1009)
      assert.strictEqual(yield* violating(new Uint8Array([0x82, 126, 4, 0]), { maxFrameSize: 1000 }), 1009)
    })
  )

  it.live("is not inflated: 1009", () =>
    Effect.gen(function* () {
      const bomb = deflateRawSync(Buffer.alloc(50_000_000), { finishFlush: 2 }).subarray(0, -4)
      assert.isBelow(bomb.length, 100_000)
      const bytes = bytesOf("server", [{ opcode: Opcode.binary, rsv1: true, payload: bomb }])
      assert.strictEqual(yield* violating(bytes, { compression: {} }, deflate), 1009)
    })
  )

  it.live("is one of more than 1 MiB unless it is told, and one of just that is taken", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* opened()
      yield* peer.send(text("x".repeat(2 ** 20)), text("y"))
      const [large, small] = yield* Stream.runCollect(Stream.take(webSocket.messages, 2))
      assert.deepStrictEqual([large?.length, small], [2 ** 20, "y"])
      assert.strictEqual(yield* violating(bytesOf("server", [text("x".repeat(2 ** 20 + 1))])), 1009)
    })
  )
})

describe("a server that is silent", { timeout: 30_000 }, () => {
  it.live("is pinged, and given up where it does not answer", () =>
    Effect.gen(function* () {
      const { connection, leave, peer, webSocket } = yield* opened({
        pingInterval: 40,
        pongTimeout: 80,
        closeTimeout: "60 seconds"
      })
      const error = yield* Effect.flip(Stream.runDrain(webSocket.messages))
      assert.strictEqual(error.reason._tag === "PeerTimeout" && error.reason.awaited, "pong")
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.ping, ""])
      yield* connection.until("reset", soon)
      yield* leave()
    })
  )

  it.live("and answers pings is kept", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* opened({ pingInterval: 40, pongTimeout: "5 seconds" })
      const reading = yield* Effect.forkChild(Stream.runCollect(webSocket.messages))
      for (let i = 0; i < 5; i++) {
        const { opcode, payload } = yield* peer.next
        assert.strictEqual(opcode, Opcode.ping)
        yield* peer.send({ opcode: Opcode.pong, payload })
      }
      yield* peer.send(text("here"), close(1000))
      assert.deepStrictEqual(yield* Fiber.join(reading), ["here"])
    })
  )

  it.live("is told 1001 after so much idleness, which pings do not end", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* opened({ idleTimeout: 150, pingInterval: 30, pongTimeout: "5 seconds" })
      const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      let frame = yield* peer.next
      for (; frame.opcode === Opcode.ping; frame = yield* peer.next) {
        yield* peer.send({ opcode: Opcode.pong, payload: frame.payload })
      }
      assert.deepStrictEqual(shown(frame), [Opcode.close, 1001, "the connection was idle for too long"])
      yield* peer.send(close(1001))
      yield* Fiber.join(reading)
    })
  )

  it.live("is not idle as long as either says something", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* opened({ idleTimeout: 1000 })
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      for (let i = 0; i < 6; i++) {
        yield* pass(250)
        yield* i < 3 ? webSocket.send("x") : peer.send(text("x"))
      }
      for (let i = 0; i < 3; i++) assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "x"])
      assert.strictEqual(peer.waiting, 0)
    })
  )

  it.live("is told 1008 when the connection is as old as it may be", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* opened({ maxLifetime: 100 })
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1008, "the connection reached its maximum age"])
      yield* peer.send(close(1008))
    })
  )
})

describe("a reader that is slow", { timeout: 30_000 }, () => {
  it.live("holds the server back, and loses nothing", () =>
    Effect.gen(function* () {
      const { connection, webSocket } = yield* opened()
      const message = randomBytes(50_000).toString("hex")
      const frame = bytesOf("server", [text(message)])
      const count = 400
      const writing = yield* Effect.forkChild(
        connection.writeAll([...Array.from({ length: count }, () => frame), bytesOf("server", [close(1000)])]),
        { startImmediately: true }
      )
      yield* heldBack(connection)
      let got = 0
      yield* Stream.runForEach(webSocket.messages, (one) =>
        Effect.sync(() => {
          assert.isTrue(one === message)
          got++
        })
      )
      assert.strictEqual(got, count)
      assert.isTrue(yield* Fiber.join(writing))
    })
  )

  it.live("of whom nobody reads is not taken for silence of the server", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* opened({ pingInterval: 20, pongTimeout: 20 })
      yield* peer.send(text("waits"))
      yield* Effect.andThen(turns, pass(300))
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(webSocket.messages, 1)), ["waits"])
      yield* webSocket.send("still open")
    })
  )
})
