/**
 * What a client sends reaches the target as bytes, however they are framed, fragmented and cut by the network; and what the
 * target sends reaches the client.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { connected, soon } from "./connected.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"

/** The lengths where the form of the header, or what the proxy does with a payload, changes. */
const lengths = [
  0, 1, 2, 3, 4, 5, 47, 48, 49, 124, 125, 126, 127, 128, 4095, 4096, 4097, 16383, 16384, 16385, 65523, 65535, 65536,
  65537, 131072, 1_000_003
]

describe("from the client to the target", { timeout: 30_000 }, () => {
  it.live("frames of all sizes", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      const expected: Array<Buffer> = []
      let at = 0
      for (const length of lengths) {
        const payload = Pattern.bytes(1, at + length).subarray(at)
        at += length
        expected.push(payload)
        yield* client.send(Frames.binary, payload)
        yield* target.untilReceived(at, soon)
      }
      assert.isTrue(target.bytes.equals(Buffer.concat(expected)))
    })
  )

  it.live("frames of all sizes, all of them in one write", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      const total = lengths.reduce((sum, length) => sum + length, 0)
      const source = Pattern.bytes(2, total)
      let at = 0
      yield* client.write(
        Buffer.concat(lengths.map((length) => Frames.frame(Frames.binary, source.subarray(at, (at += length)))))
      )
      yield* target.untilReceived(total, soon)
      assert.isTrue(target.bytes.equals(source))
    })
  )

  it.live("frames cut at any byte", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      const payload = Pattern.bytes(3, 200)
      const wire = Buffer.concat([
        Frames.frame(Frames.binary, payload.subarray(0, 20), { fin: false }),
        Frames.frame(Frames.ping, "p"),
        Frames.frame(Frames.continuation, payload.subarray(20))
      ])
      let expected = 0
      for (let cut = 1; cut < wire.length; cut++) {
        yield* client.write(wire.subarray(0, cut))
        yield* Effect.yieldNow
        yield* client.write(wire.subarray(cut))
        expected += payload.length
        yield* target.untilReceived(expected, soon)
      }
      assert.isTrue(target.bytes.equals(Buffer.concat(Array.from({ length: wire.length - 1 }, () => payload))))
    })
  )

  it.live("byte by byte", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      const payload = Pattern.bytes(4, 300)
      for (const byte of Frames.frame(Frames.binary, payload)) yield* client.write(Buffer.from([byte]))
      yield* target.untilReceived(payload.length, soon)
      assert.isTrue(target.bytes.equals(payload))
    })
  )

  it.live("many small frames in one packet: in order, and in far fewer writes than frames", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      let reads = 0
      target.socket.on("data", () => reads++)
      const count = 20_000
      const source = Pattern.bytes(5, count * 7)
      yield* client.write(
        Buffer.concat(
          Array.from({ length: count }, (_, i) => Frames.frame(Frames.binary, source.subarray(i * 7, i * 7 + 7)))
        )
      )
      yield* target.untilReceived(source.length, soon)
      assert.isTrue(target.bytes.equals(source))
      assert.isBelow(reads, count / 100)
    })
  )

  it.live("text and binary, fragments of both, empty ones, and control frames between them", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      yield* client.write(
        Buffer.concat([
          Frames.frame(Frames.text, "a"),
          Frames.frame(Frames.binary, ""),
          Frames.frame(Frames.text, ""),
          Frames.frame(Frames.binary, "b", { fin: false }),
          Frames.frame(Frames.ping, "1"),
          Frames.frame(Frames.continuation, "", { fin: false }),
          Frames.frame(Frames.continuation, "c", { fin: false }),
          Frames.frame(Frames.pong, "unasked"),
          Frames.frame(Frames.continuation, ""),
          // a code point in two fragments
          Frames.frame(Frames.text, Buffer.from("€").subarray(0, 1), { fin: false }),
          Frames.frame(Frames.ping, "2"),
          Frames.frame(Frames.continuation, Buffer.from("€").subarray(1)),
          Frames.frame(Frames.text, "d")
        ])
      )
      yield* target.untilReceived(7, soon)
      assert.strictEqual(target.text, "abc€d")
      yield* client.watch.until("two Pongs", () => client.log.filter((event) => event === "pong").length === 2, soon)
    })
  )

  it.live("empty messages alone send nothing, and are no end", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      for (let i = 0; i < 100; i++) yield* client.send(i % 2 === 0 ? Frames.text : Frames.binary, "")
      yield* client.send(Frames.binary, "!")
      yield* target.untilReceived(1, soon)
      assert.strictEqual(target.text, "!")
    })
  )

  it.live("a message of a great many fragments, and one of a great many bytes, are no limit to a proxy", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected({ maxMessageSize: 1000, maxFragments: 10 })
      const total = 50_000
      yield* client.write(
        Buffer.concat([
          Frames.frame(Frames.binary, "", { fin: false }),
          ...[...Pattern.pieces(6, total, 1)].map((byte) => Frames.frame(Frames.continuation, byte, { fin: false })),
          Frames.frame(Frames.continuation, ""),
          Frames.frame(Frames.close, "")
        ])
      )
      yield* target.until("end", soon)
      assert.isTrue(target.bytes.equals(Pattern.bytes(6, total)))
    })
  )
})

describe("from the target to the client", { timeout: 30_000 }, () => {
  it.live("everything is binary, in frames of their own each, and in order", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      let at = 0
      for (const length of lengths) {
        yield* target.write(Pattern.bytes(1, at + length).subarray(at))
        at += length
        yield* client.untilPayload(at, soon)
      }
      assert.isTrue(client.bytes.equals(Pattern.bytes(1, at)))
      for (const message of client.messages) {
        assert.strictEqual(message.opcode, Frames.binary)
        assert.strictEqual(message.frames, 1)
        assert.isAbove(message.payload.length, 0)
      }
    })
  )

  it.live("what is not UTF-8, and what looks like frames, passes as it is", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      const bytes = Buffer.concat([Buffer.from([0xff, 0xfe, 0]), Frames.frame(Frames.close, Frames.closePayload(1000))])
      yield* target.write(bytes)
      yield* client.untilPayload(bytes.length, soon)
      assert.isTrue(client.bytes.equals(bytes))
      assert.deepStrictEqual(client.log, ["open", "binary"])
    })
  )

  it.live("a target that speaks first is heard", () =>
    Effect.gen(function* () {
      const { client } = yield* connected({
        accepting: { onConnection: (connection) => void connection.socket.write("220 hello\r\n") }
      })
      yield* client.untilPayload(11, soon)
      assert.strictEqual(client.bytes.toString(), "220 hello\r\n")
    })
  )
})
