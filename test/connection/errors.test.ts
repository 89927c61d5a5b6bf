import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as PreparedMessage from "../../src/connection/PreparedMessage.ts"
import type * as WebSocket from "../../src/connection/WebSocket.ts"
import type { WebSocketError } from "../../src/connection/WebSocketError.ts"
import type { Kind } from "../../src/protocol/ProtocolError.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import {
  bytesOf,
  close,
  compressingAfter,
  type FrameParts,
  type Options,
  settled,
  shown,
  text,
  withPeer
} from "./connected.ts"

const drain = (stream: Stream.Stream<unknown, WebSocketError>) => Effect.flip(Stream.runDrain(stream))

/** What breaks the protocol or a limit, from a client: bytes, and the fault that a server finds in them. */
const faults: ReadonlyArray<readonly [Kind, number, ReadonlyArray<FrameParts> | Uint8Array, Options?]> = [
  ["ReservedBits", 1002, new Uint8Array([0xc1, 0x80, 0, 0, 0, 0])],
  ["ReservedOpcode", 1002, new Uint8Array([0x83, 0x80, 0, 0, 0, 0])],
  ["UnmaskedFrame", 1002, new Uint8Array([0x81, 0x00])],
  ["NonMinimalLength", 1002, new Uint8Array([0x81, 0xfe, 0x00, 0x05])],
  ["InvalidLength", 1002, new Uint8Array([0x82, 0xff, 0x80, 0, 0, 0, 0, 0, 0, 0])],
  ["FragmentedControlFrame", 1002, new Uint8Array([0x09, 0x80])],
  ["ControlFrameTooLong", 1002, new Uint8Array([0x89, 0xfe])],
  ["UnexpectedContinuation", 1002, [{ opcode: Opcode.continuation }]],
  ["ExpectedContinuation", 1002, [{ opcode: Opcode.text, fin: false }, { opcode: Opcode.binary }]],
  ["InvalidClosePayload", 1002, [{ opcode: Opcode.close, payload: new Uint8Array(1) }]],
  ["InvalidCloseCode", 1002, [close(1005)]],
  ["InvalidUtf8", 1007, [{ opcode: Opcode.text, payload: new Uint8Array([0xff]) }]],
  ["InvalidUtf8", 1007, [{ opcode: Opcode.close, payload: new Uint8Array([0x03, 0xe8, 0xff]) }]],
  ["FrameTooBig", 1009, [text("12345")], { limits: { maxFrameSize: 4 } }],
  ["MessageTooBig", 1009, [text("12345")], { limits: { maxMessageSize: 4 } }],
  [
    "InvalidCompressedData",
    1007,
    [{ opcode: Opcode.binary, rsv1: true, payload: new Uint8Array([0xff, 0xff, 0xff]) }],
    { deflate: {} }
  ]
]

describe("ProtocolViolation", () => {
  for (const [kind, code, given, options] of faults) {
    const sent = given instanceof Uint8Array ? given : bytesOf("client", given)
    it.effect(`${kind} (${Buffer.from(sent.subarray(0, 12)).toString("hex")}) is told by Close ${code}, then FIN`, () =>
      Effect.gen(function* () {
        const { end, peer, webSocket } = yield* withPeer("server", options)
        yield* peer.sendBytes(sent)
        const error = yield* drain(webSocket.messages)
        if (error.reason._tag !== "ProtocolViolation") return assert.fail(error.reason._tag)
        assert.deepStrictEqual([error.reason.error.kind, error.closeCode], [kind, code])
        const frame = shown(yield* peer.next)
        assert.deepStrictEqual(frame, [Opcode.close, code, error.message])
        assert.isFalse(end.isOpen())
        assert.strictEqual((yield* webSocket.closed).code, code)
        assert.strictEqual((yield* webSocket.closed).wasClean, false)
        // it is terminal, for reading and for sending
        assert.strictEqual((yield* drain(webSocket.messages)).reason._tag, "ProtocolViolation")
        assert.strictEqual((yield* Effect.flip(webSocket.send("x"))).reason._tag, "ConnectionClosed")
        assert.deepStrictEqual(yield* peer.rest, [])
      })
    )

    it.effect(
      `${kind} (${Buffer.from(sent.subarray(0, 12)).toString("hex")}) comes after what was good before it`,
      () =>
        Effect.gen(function* () {
          for (const deflate of options?.deflate === undefined ? [undefined, {}] : [options.deflate]) {
            const { leave, peer, webSocket } = yield* withPeer("server", { ...options, ...(deflate && { deflate }) })
            // with compression agreed on, RSV1 alone is no fault
            if (kind === "ReservedBits" && deflate !== undefined) continue
            const good = bytesOf("client", [text("ok"), { opcode: Opcode.ping }, text("go")])
            yield* peer.sendBytes(Buffer.concat([good, sent]))
            const got: Array<unknown> = []
            const exit = yield* Effect.exit(
              Stream.runForEach(webSocket.messages, (message) => {
                got.push(message)
                return webSocket.send(message)
              })
            )
            assert.isTrue(Exit.isFailure(exit))
            assert.deepStrictEqual(got, ["ok", "go"])
            assert.deepStrictEqual(
              (yield* peer.rest).map((frame) => shown(frame).slice(0, 2)),
              [
                [Opcode.pong, ""],
                [Opcode.text, "ok"],
                [Opcode.text, "go"],
                [Opcode.close, code]
              ]
            )
            yield* peer.end
            yield* leave()
          }
        })
    )
  }

  it.effect("comes after what was good before it in the same read, for each of the streams", () =>
    Effect.gen(function* () {
      const streams: ReadonlyArray<
        (webSocket: WebSocket.WebSocket) => Stream.Stream<string | Uint8Array, WebSocketError>
      > = [
        ({ messages }) => messages,
        ({ fragments }) => Stream.map(fragments, ({ payload }) => payload),
        ({ payloads }) => payloads
      ]
      for (const stream of streams) {
        const { peer, webSocket } = yield* withPeer("server")
        const unmasked = new Uint8Array([0x81, 0x00])
        yield* peer.sendBytes(Buffer.concat([bytesOf("client", [text("ok"), text("go")]), unmasked]))
        let got = ""
        const each = (piece: string | Uint8Array) => Effect.sync(() => void (got += Buffer.from(piece).toString()))
        const error = yield* Effect.flip(Stream.runForEach(stream(webSocket), each))
        assert.strictEqual(error.reason._tag, "ProtocolViolation")
        assert.strictEqual(got, "okgo")
      }
    })
  )

  it.effect("MaskedFrame: a client refuses what only clients do", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("client")
      yield* peer.sendBytes(bytesOf("client", [text("masked")]))
      const error = yield* drain(webSocket.messages)
      assert.strictEqual(error.reason._tag === "ProtocolViolation" && error.reason.error.kind, "MaskedFrame")
      assert.deepStrictEqual(shown(yield* peer.next).slice(0, 2), [Opcode.close, 1002])
    })
  )

  it.effect("is one reason of several to recover from", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* peer.sendBytes(new Uint8Array([0x81, 0x00]))
      const code = yield* Stream.runDrain(webSocket.messages).pipe(
        Effect.as(0),
        Effect.catchReason("WebSocketError", "ProtocolViolation", (reason) => Effect.succeed(reason.closeCode)),
        Effect.catchReason("WebSocketError", "ConnectionLost", () => Effect.succeed(1))
      )
      assert.strictEqual(code, 1002)
    })
  )
})

describe("ConnectionLost", () => {
  for (const role of ["server", "client"] as const) {
    for (const end of ["FIN", "reset"] as const) {
      it.effect(`a ${end} without a Close frame fails the reader of a ${role}, and sends with it`, () =>
        Effect.gen(function* () {
          const { peer, webSocket } = yield* withPeer(role)
          const reading = yield* Effect.forkChild(
            Stream.runCollect(webSocket.messages).pipe(
              Effect.as(0),
              Effect.catchReason("WebSocketError", "ConnectionLost", (reason) => Effect.succeed(reason.closeCode))
            )
          )
          yield* peer.send({ opcode: Opcode.text, fin: false, payload: Buffer.from("cut o") })
          yield* end === "FIN" ? peer.end : peer.reset
          assert.strictEqual(yield* Fiber.join(reading), 1006)
          assert.deepStrictEqual(yield* webSocket.closed, { code: 1006, reason: "", wasClean: false })
          const error = yield* Effect.flip(webSocket.send("x"))
          assert.strictEqual(error.reason._tag, "ConnectionClosed")
          assert.strictEqual(error.closeCode, 1006)
        })
      )
    }
  }

  it.effect("keeps its cause, and a send that finds it out first fails with it", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* peer.reset
      const error = yield* Effect.flip(webSocket.send("x"))
      if (error.reason._tag !== "ConnectionLost") return assert.fail(error.reason._tag)
      assert.include(String(error.reason.cause), "SocketError")
    })
  )

  it.effect("frees a sender that waits for a peer which takes nothing", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { highWaterMark: 10 })
      const sending = yield* Effect.forkChild(Effect.flip(webSocket.send("more than ten bytes")))
      yield* Effect.yieldNow
      yield* peer.reset
      assert.strictEqual((yield* Fiber.join(sending)).reason._tag, "ConnectionLost")
    })
  )
})

describe("ConnectionClosed", () => {
  it.effect("every way to send fails with it once the peer's Close has been read, and tells its code", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* peer.send(close(3333, "bye"))
      yield* Stream.runDrain(webSocket.messages)
      yield* peer.next
      const ways: Array<Effect.Effect<unknown, WebSocketError>> = [
        webSocket.send("x"),
        webSocket.sendAll(["x", new Uint8Array(1)]),
        webSocket.send(PreparedMessage.make("x")),
        webSocket.sendFragments(Stream.make("x")),
        webSocket.ping()
      ]
      for (const way of ways) {
        const error = yield* Effect.flip(way)
        assert.strictEqual(error.reason._tag, "ConnectionClosed")
        assert.strictEqual(error.closeCode, 3333)
      }
      assert.deepStrictEqual(yield* peer.rest, [])
    })
  )

  it.effect("and what was being compressed or waited behind that: nothing follows a Close frame", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const zlib = compressingAfter(Deferred.await(gate))
      const { peer, webSocket } = yield* withPeer("server", { deflate: {}, policy: { threshold: 100 }, zlib })
      const sending = yield* Effect.forEach(
        [webSocket.send("x".repeat(1000)), webSocket.send("x"), webSocket.send(PreparedMessage.make("x"))],
        (send) => Effect.forkChild(Effect.flip(send))
      )
      yield* settled
      yield* peer.send(close(3333))
      yield* Stream.runDrain(webSocket.messages)
      yield* Deferred.succeed(gate, undefined)
      for (const fiber of sending) assert.strictEqual((yield* Fiber.join(fiber)).reason._tag, "ConnectionClosed")
      assert.deepStrictEqual((yield* peer.rest).map(shown), [[Opcode.close, 3333, ""]])
    })
  )

  it.effect("and while our own Close frame waits for its answer", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { limits: { closeTimeout: "1 second" } })
      const closing = yield* Effect.forkChild(webSocket.close())
      yield* peer.next
      const recovered = yield* webSocket.send("x").pipe(
        Effect.as("sent"),
        Effect.catchReason("WebSocketError", "ConnectionClosed", ({ closeCode, info }) =>
          Effect.succeed(`${info}, ${closeCode}`)
        )
      )
      assert.strictEqual(recovered, "undefined, 1005")
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(closing)
    })
  )
})
