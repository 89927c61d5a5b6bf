import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Stream } from "effect"
import * as Zlib from "node:zlib"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import type { WebSocketError } from "../../src/connection/WebSocketError.ts"
import type * as Deflate from "../../src/connection/Deflate.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import * as Classic from "./classic-deflate.ts"
import { close, connected, type FrameParts, settled, shown, text, withPeer } from "./connected.ts"

const plain = (message: string | Uint8Array) =>
  typeof message === "string" ? message : Buffer.from(message).toString("latin1")

/** Bytes that do not compress, the same for a seed. */
const noise = (size: number, seed: number): Buffer => {
  const out = Buffer.alloc(size)
  let x = seed * 2654435761 + 1
  for (let i = 0; i < size; i++) {
    x ^= x << 13
    x ^= x >>> 17
    x ^= x << 5
    out[i] = x
  }
  return out
}

/**
 * Messages of sizes around a window of 2^bits. Each repeats what messages before it ended with, at distances up to the
 * window and beyond, so that compression wants to refer as far back as it can.
 */
const around = (bits: number): ReadonlyArray<Buffer> => {
  const size = 1 << bits
  const base = noise(size * 2, bits)
  return [
    base.subarray(0, size - 1),
    base.subarray(0, 200),
    base.subarray(0, size),
    base.subarray(size - 262, size + 1),
    base.subarray(1, size + 1),
    Buffer.alloc(0),
    base.subarray(0, size * 2),
    base.subarray(size, size + 300),
    Buffer.concat([base.subarray(0, size), base.subarray(0, size)]),
    Buffer.from([7]),
    Buffer.alloc(size + 1, 3),
    base.subarray(size * 2 - 262)
  ]
}

const flags = [false, true]

describe("permessage-deflate between the two roles", () => {
  for (let bits = 9; bits <= 15; bits++) {
    for (const serverNoContextTakeover of flags) {
      for (const clientNoContextTakeover of flags) {
        const title = `${serverNoContextTakeover ? "no " : ""}server context, ${clientNoContextTakeover ? "no " : ""}client context`
        it.effect(`windows of ${bits} bits, ${title}: messages around the window's size pass both ways`, () =>
          Effect.gen(function* () {
            const { client, server } = yield* connected({
              limits: { maxMessageSize: 1 << 20 },
              highWaterMark: 1 << 24,
              deflate: {
                serverNoContextTakeover,
                clientNoContextTakeover,
                serverMaxWindowBits: bits,
                // the other direction has another window, so that a mix-up shows
                clientMaxWindowBits: bits === 15 ? 9 : bits + 1
              }
            })
            const messages = around(bits)
            for (const [from, to] of [
              [client, server],
              [server, client]
            ] as const) {
              const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(to.messages, messages.length + 1)))
              yield* from.sendAll(["and a text", ...messages])
              const got = yield* Fiber.join(received)
              assert.deepStrictEqual(got.map(plain), ["and a text", ...messages.map(plain)])
            }
          })
        )
      }
    }
  }

  it.effect("uncompressed messages between compressed ones leave the window alone, fragmented ones too", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected({ deflate: {}, policy: { threshold: 100 } })
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, 5)))
      const long = "words and more words, ".repeat(20)
      yield* client.send(long)
      yield* client.send("short")
      yield* client.sendFragments(Stream.make("frag", "ments"))
      yield* client.sendAll([long, "s"])
      assert.deepStrictEqual(yield* Fiber.join(received), [long, "short", "fragments", long, "s"])
    })
  )
})

describe("permessage-deflate with a peer that keeps zlib streams", () => {
  for (let bits = 9; bits <= 15; bits++) {
    for (const fresh of flags) {
      it.effect(`windows of ${bits} bits, ${fresh ? "no " : ""}context takeover`, () =>
        Effect.gen(function* () {
          const classic = yield* Classic.make({ ours: { bits, fresh }, theirs: { bits, fresh } })
          const { peer, webSocket } = yield* withPeer("server", {
            highWaterMark: 1 << 24,
            deflate: {
              serverNoContextTakeover: fresh,
              clientNoContextTakeover: fresh,
              serverMaxWindowBits: bits,
              clientMaxWindowBits: bits
            }
          })
          for (const message of [...around(bits), ...around(bits)]) {
            yield* peer.send({ opcode: Opcode.binary, rsv1: true, payload: yield* classic.compress(message) })
            assert.strictEqual(plain((yield* webSocket.pullMessages)[0]), plain(message))
            yield* webSocket.send(message)
            const { payload, rsv1 } = yield* peer.next
            assert.strictEqual(plain(rsv1 ? yield* classic.decompress(payload) : payload), plain(message))
          }
        })
      )
    }
  }
})

describe("what is compressed", () => {
  const sent = (messages: ReadonlyArray<string>, options: Parameters<typeof withPeer>[1]) =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { deflate: {}, ...options })
      for (const message of messages) yield* webSocket.send(message)
      return yield* Effect.forEach(messages, () => peer.next)
    })

  it.effect("messages from the threshold on; 1,024 bytes unless told", () =>
    Effect.gen(function* () {
      const defaults = yield* sent(["a".repeat(1023), "a".repeat(1024)], { policy: {} })
      assert.deepStrictEqual(
        defaults.map((frame) => frame.rsv1),
        [false, true]
      )
      const frames = yield* sent(["a".repeat(99), "a".repeat(100)], { policy: { threshold: 100 } })
      assert.deepStrictEqual(
        frames.map((frame) => frame.rsv1),
        [false, true]
      )
    })
  )

  it.effect("no empty message, whatever the threshold", () =>
    Effect.gen(function* () {
      const frames = yield* sent(["words, words, words", "", "words, words, words"], { policy: { threshold: 0 } })
      assert.deepStrictEqual(
        frames.map((frame) => frame.rsv1),
        [true, false, true]
      )
    })
  )

  it.effect("nothing that does not get smaller by it", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
      const message = noise(5000, 1)
      yield* webSocket.send(message)
      const frame = yield* peer.next
      assert.isFalse(frame.rsv1)
      assert.strictEqual(plain(frame.payload), plain(message))
    })
  )

  it.effect("with context takeover a repeated message is a reference, without it is compressed again", () =>
    Effect.gen(function* () {
      const message = noise(500, 2).toString("base64")
      const kept = yield* sent([message, message], {})
      assert.isBelow(kept[1]!.payload.length, 20)
      const fresh = yield* sent([message, message], { deflate: { serverNoContextTakeover: true } })
      assert.deepStrictEqual(fresh[1]!.payload, fresh[0]!.payload)
    })
  )

  it.effect("RSV1 stands on the first frame of a compressed message alone", () =>
    Effect.gen(function* () {
      const bad: ReadonlyArray<FrameParts> = [
        { opcode: Opcode.ping, rsv1: true },
        { opcode: Opcode.continuation, rsv1: true }
      ]
      for (const frame of bad) {
        const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
        yield* peer.send({ ...text(""), fin: false }, frame)
        const error = yield* Effect.flip(Stream.runDrain(webSocket.messages))
        assert.strictEqual(error.closeCode, 1002)
      }
    })
  )
})

const deflated = (message: string | Buffer, finish = Zlib.constants.Z_SYNC_FLUSH): Buffer => {
  const out = Zlib.deflateRawSync(message, { finishFlush: finish })
  return finish === Zlib.constants.Z_SYNC_FLUSH ? out.subarray(0, out.length - 4) : out
}
const compressed = (payload: Uint8Array, parts: Partial<FrameParts> = {}): FrameParts => ({
  opcode: Opcode.text,
  rsv1: true,
  payload,
  ...parts
})

describe("compressed messages that come", () => {
  it.effect("in fragments, with control frames between, are assembled and then inflated, for each of the streams", () =>
    Effect.gen(function* () {
      for (const way of ["messages", "fragments", "payloads"] as const) {
        const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
        const bytes = deflated("Hello Hello Hello")
        yield* peer.send(
          compressed(bytes.subarray(0, 3), { fin: false }),
          { opcode: Opcode.ping },
          { opcode: Opcode.continuation, payload: bytes.subarray(3) },
          close(1000)
        )
        const got = yield* Stream.runCollect<unknown, unknown, never>(webSocket[way])
        assert.strictEqual(got.length, 1)
        const [only] = got as ReadonlyArray<string & Uint8Array & { readonly payload: Uint8Array }>
        const shape = way === "fragments" ? only!.payload : only!
        assert.strictEqual(plain(shape), "Hello Hello Hello")
      }
    })
  )

  it.effect("may end with a final block, be of several, or be the RFC's own examples (section 7.2.3)", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
      const final = deflated("one", Zlib.constants.Z_FINISH)
      const examples = [
        "f248cdc9c90700", // 7.2.3.1: Hello
        "f200110000", // 7.2.3.2: the same with the window
        "000500faff48656c6c6f00", // 7.2.3.3: a block without compression
        "f348cdc9c9070000", // 7.2.3.4: with a final block
        "f24805000000ffffcac9c90700" // 7.2.3.5: two blocks
      ].map((hex) => Buffer.from(hex, "hex"))
      const all = [...examples, Buffer.concat([final, Buffer.from([0])]), Buffer.concat([final, deflated("two")])]
      yield* peer.send(...all.map((payload) => compressed(payload)), close(1000))
      assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), [
        ...Array.from({ length: 5 }, () => "Hello"),
        "one",
        "onetwo"
      ])
    })
  )

  it.effect("of endless empty streams are refused", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
      const empty = deflated("", Zlib.constants.Z_FINISH)
      yield* peer.send(compressed(Buffer.concat(Array.from({ length: 1000 }, () => empty))))
      assert.strictEqual((yield* Effect.flip(Stream.runDrain(webSocket.messages))).closeCode, 1007)
    })
  )

  it.effect("that are broken, or inflate to what is no UTF-8, are 1007; what came before them is delivered", () =>
    Effect.gen(function* () {
      const bad = [compressed(Buffer.from([0xff, 0xff])), compressed(deflated(Buffer.from([0xc3, 0x28])))]
      for (const frame of bad) {
        const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
        yield* peer.send(compressed(deflated("good")), text("plain"), frame, text("never"))
        const got: Array<unknown> = []
        const error = yield* Effect.flip(
          Stream.runForEach(webSocket.messages, (message) => Effect.sync(() => got.push(message)))
        )
        assert.deepStrictEqual(got, ["good", "plain"])
        assert.deepStrictEqual(shown(yield* peer.next).slice(0, 2), [Opcode.close, error.closeCode])
        assert.strictEqual(error.closeCode, 1007)
      }
    })
  )

  it.effect("many in one read are inflated in portions, in order, and a Close frame behind them waits", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
      const size = 100 * 1024
      const payload = deflated(Buffer.alloc(size))
      const count = 200
      yield* peer.send(
        ...Array.from({ length: count }, () => compressed(payload, { opcode: Opcode.binary })),
        close(1000)
      )
      const batches: Array<number> = []
      yield* Stream.runForEachArray(webSocket.messages, (batch) => Effect.sync(() => batches.push(batch.length)))
      assert.strictEqual(
        batches.reduce((sum, length) => sum + length, 0),
        count
      )
      assert.isAtMost(Math.max(...batches) * size, 512 * 1024)
    })
  )
})

describe("while a message is inflated", () => {
  /** Inflates only when the gate is open. */
  const gated = (gate: Deferred.Deferred<void>, began: Deferred.Deferred<void>): Deflate.Zlib["Service"] => ({
    ...NodeZlib.make,
    inflate: (bytes, options) =>
      Effect.andThen(
        Deferred.succeed(began, undefined),
        Effect.andThen(Deferred.await(gate), NodeZlib.make.inflate(bytes, options))
      )
  })
  const messages = ["one", "two", "three", "four"].map((name) => name.repeat(9))

  /** Has these messages sent to a server whose readers are waiting, and gives both when the first of them is at the gate. */
  const sent = Effect.fnUntraced(function* <A>(
    read: (server: WebSocket) => Effect.Effect<A, WebSocketError>,
    readers: number
  ) {
    const gate = yield* Deferred.make<void>()
    const began = yield* Deferred.make<void>()
    const { client, server } = yield* connected({ deflate: {}, server: { zlib: gated(gate, began) } })
    const reading = yield* Effect.forEach(Array.from({ length: readers }), () => Effect.forkChild(read(server)))
    yield* Effect.forkChild(Stream.runDrain(client.messages))
    for (const message of messages) yield* client.send(message)
    yield* Deferred.await(began)
    return { client, server, gate, reading }
  })

  for (const readers of [2, 3]) {
    it.effect(`${readers} readers share the messages, each is given out once`, () =>
      Effect.gen(function* () {
        const seen: Array<unknown> = []
        const { client, gate, reading } = yield* sent(
          (server) => Stream.runForEach(server.messages, (message) => Effect.sync(() => seen.push(message))),
          readers
        )
        const closing = yield* Effect.forkChild(client.close())
        yield* settled
        yield* Deferred.succeed(gate, undefined)
        yield* Fiber.joinAll(reading)
        yield* Fiber.join(closing)
        assert.sameOrderedMembers(seen, messages)
      })
    )
  }

  it.effect("a close by another fiber discards nothing of what the reader waits for", () =>
    Effect.gen(function* () {
      const { gate, reading, server } = yield* sent((server) => Stream.runCollect(server.messages), 1)
      const closing = yield* Effect.forkChild(server.close())
      yield* settled
      yield* Deferred.succeed(gate, undefined)
      yield* Fiber.join(closing)
      assert.deepStrictEqual(yield* Fiber.joinAll(reading), [messages])
    })
  )
})
