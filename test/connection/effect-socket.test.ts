import { assert, describe, it } from "@effect/vitest"
import { Channel, Effect, Exit, Fiber, Scope, Stream } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, connected, type Peer, settled, shown, text, withPeer } from "./connected.ts"

/** The end of a socket as its reader tells it. */
const endOf = (reader: Socket.Reader) =>
  Effect.map(Effect.flip(Effect.forever(reader.pull)), ({ reason }) =>
    reason._tag === "SocketCloseError" ? [reason._tag, reason.code, reason.closeReason] : [reason._tag]
  )

describe("a connection as effect's Socket", () => {
  it.effect("carries messages: text as strings, binary as bytes, a chunk each", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const reader = yield* server.socket.reader
      const writer = yield* client.socket.writer
      const pulling = yield* Effect.forkChild(reader.pull)
      yield* writer.writeAll(["one", new Uint8Array([2]), "", "four"])
      assert.deepStrictEqual(
        (yield* Fiber.join(pulling)).map((chunk) => (typeof chunk === "string" ? chunk : [...chunk])),
        ["one", [2], "", "four"]
      )
    })
  )

  it.effect("writeAll keeps the boundaries of messages, in one write of the transport", () =>
    Effect.gen(function* () {
      const { end, peer, webSocket } = yield* withPeer("server")
      const writer = yield* webSocket.socket.writer
      yield* writer.writeAll(["a", "b", new Uint8Array([99])])
      yield* writer.write("d")
      const frames = [yield* peer.next, yield* peer.next, yield* peer.next, yield* peer.next]
      assert.deepStrictEqual(frames.map(shown), [
        [Opcode.text, "a"],
        [Opcode.text, "b"],
        [Opcode.binary, "c"],
        [Opcode.text, "d"]
      ])
      assert.strictEqual(end.writes.length, 2)
    })
  )

  it.effect("a CloseEvent is a Close frame with its code and reason, answered before the write is done", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const writer = yield* webSocket.socket.writer
      const reader = yield* webSocket.socket.reader
      const ending = yield* Effect.forkChild(endOf(reader))
      const writing = yield* Effect.forkChild(writer.write(new Socket.CloseEvent(4001, "that is all")))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 4001, "that is all"])
      assert.isUndefined(writing.pollUnsafe())
      yield* peer.send(close(4001))
      yield* Fiber.join(writing)
      assert.deepStrictEqual(yield* Fiber.join(ending), ["SocketCloseError", 4001, ""])
    })
  )

  it.effect("a CloseEvent whose code may not be sent fails the write", () =>
    Effect.gen(function* () {
      const { end, webSocket } = yield* withPeer("server")
      const writer = yield* webSocket.socket.writer
      const { reason } = yield* Effect.flip(writer.write(new Socket.CloseEvent(1006)))
      assert.strictEqual(reason._tag, "SocketWriteError")
      assert.strictEqual(end.writes.length, 0)
    })
  )

  it.effect("a write after the end fails with SocketWriteError", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* peer.send(close(1000))
      yield* Stream.runDrain(webSocket.messages)
      const writer = yield* webSocket.socket.writer
      for (const write of [writer.write("x"), writer.writeAll(["x", "y"])]) {
        assert.strictEqual((yield* Effect.flip(write)).reason._tag, "SocketWriteError")
      }
    })
  )

  it.effect("every end is a SocketCloseError with the close code", () =>
    Effect.gen(function* () {
      const ends: ReadonlyArray<readonly [(peer: Peer) => Effect.Effect<void>, number, string?]> = [
        [(peer) => peer.send(close(1000)), 1000, ""],
        [(peer) => peer.send(close(4123, "so there")), 4123, "so there"],
        [(peer) => peer.send({ opcode: Opcode.close }), 1005, ""],
        [(peer) => peer.end, 1006],
        [(peer) => peer.reset, 1006],
        [(peer) => peer.send({ opcode: Opcode.continuation }), 1002],
        [(peer) => peer.send({ opcode: Opcode.text, payload: new Uint8Array([0xff]) }), 1007]
      ]
      for (const [end, code, reason] of ends) {
        const { peer, webSocket } = yield* withPeer("server")
        const reader = yield* webSocket.socket.reader
        const ending = yield* Effect.forkChild(endOf(reader))
        yield* end(peer)
        const told = yield* Fiber.join(ending)
        assert.deepStrictEqual(told.slice(0, 2), ["SocketCloseError", code])
        if (reason !== undefined) assert.strictEqual(told[2], reason)
      }
    })
  )

  it.effect("also the end by a peer that never answers our Close", () =>
    Effect.gen(function* () {
      const { webSocket } = yield* withPeer("server", { limits: { closeTimeout: "1 second" } })
      const reader = yield* webSocket.socket.reader
      const ending = yield* Effect.forkChild(endOf(reader))
      yield* Effect.forkChild(webSocket.close())
      yield* settled
      yield* TestClock.adjust("1 second")
      assert.deepStrictEqual((yield* Fiber.join(ending)).slice(0, 2), ["SocketCloseError", 1006])
    })
  )

  it.effect(
    "closing the scope of its reader fails a pull that waits, as the contract of Socket wants",
    () =>
      Effect.gen(function* () {
        const { webSocket } = yield* withPeer("server")
        const scope = yield* Scope.make()
        const reader = yield* Scope.provide(webSocket.socket.reader, scope)
        const ending = yield* Effect.forkChild(endOf(reader))
        yield* settled
        yield* Effect.forkChild(Scope.close(scope, Exit.void))
        assert.strictEqual((yield* Fiber.join(ending))[0], "SocketCloseError")
      }),
    2000
  )

  it.effect(
    "so a channel over it ends when what it is to write fails",
    () =>
      Effect.gen(function* () {
        const { webSocket } = yield* withPeer("server")
        const written = Stream.concat(Stream.make("first"), Stream.fail("no more" as const))
        const exit = yield* Effect.exit(
          Stream.runDrain(Stream.pipeThroughChannelOrFail(written, Socket.toChannel<"no more">(webSocket.socket)))
        )
        assert.deepStrictEqual(exit, Exit.fail("no more"))
      }),
    2000
  )

  it.effect("works with effect's own readers and streams", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const pull = yield* Socket.readerString(webSocket.socket)
      yield* peer.send(text("ü"), { opcode: Opcode.binary, payload: Buffer.from("bytes") })
      assert.deepStrictEqual(yield* pull, ["ü", "bytes"])
      yield* peer.send(text("streamed"), close(1000))
      const chunks: Array<string> = []
      const error = yield* Effect.flip(
        Stream.runForEach(Socket.toStream(webSocket.socket), (bytes) =>
          Effect.sync(() => chunks.push(new TextDecoder().decode(bytes)))
        )
      )
      assert.deepStrictEqual(chunks, ["streamed"])
      assert.strictEqual(error.reason._tag, "SocketCloseError")
    })
  )

  it.effect("cannot be upgraded to TLS", () =>
    Effect.gen(function* () {
      const { webSocket } = yield* withPeer("server")
      const reader = yield* webSocket.socket.reader
      assert.strictEqual((yield* Effect.flip(reader.upgrade())).reason._tag, "SocketUpgradeError")
      assert.isTrue(Channel.isChannel(Socket.toChannel(webSocket.socket)))
    })
  )
})
