import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as PreparedMessage from "../../src/connection/PreparedMessage.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { connected, withPeer } from "./connected.ts"

const bytes = (...values: ReadonlyArray<number>) => new Uint8Array(values)
const filled = (size: number) => Uint8Array.from({ length: size }, (_, i) => (i * 31 + (i >> 8)) & 0xff)
const text = (frame: { readonly payload: Uint8Array }) => new TextDecoder().decode(frame.payload)

/** The sizes where a frame's header changes its form, and where the encoder begins to pass payloads on uncopied. */
const sizes = [0, 1, 125, 126, 127, 4095, 4096, 4097, 65535, 65536, 65537, 300_000]

describe("messages between the two roles", () => {
  for (const from of ["client", "server"] as const) {
    it.effect(`texts and bytes of every size arrive as they were sent by the ${from}`, () =>
      Effect.gen(function* () {
        const pair = yield* connected()
        const to = from === "client" ? pair.server : pair.client
        const sent = sizes.flatMap((size): ReadonlyArray<Message> => [
          "x".repeat(size),
          "ü".repeat(size >> 1),
          "🎈".repeat(size >> 2),
          filled(size)
        ])
        const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(to.messages, sent.length)))
        for (const message of sent) yield* pair[from].send(message)
        assert.deepStrictEqual((yield* Fiber.join(received)).map(plain), sent)
      })
    )

    it.effect(`sendAll of the ${from} is one write, and one batch for whoever pulls`, () =>
      Effect.gen(function* () {
        const pair = yield* connected()
        const to = from === "client" ? pair.server : pair.client
        const messages: NonEmptyReadonlyArray<Message> = [
          "one",
          bytes(2),
          "",
          bytes(),
          "5".repeat(5000),
          filled(70_000)
        ]
        yield* Effect.forkChild(pair[from].sendAll(messages))
        const batch = yield* to.pullMessages
        assert.deepStrictEqual(batch.map(plain), [...messages])
        assert.strictEqual(pair.pair[from].writes.length, 1)
      })
    )
  }

  for (const [how, options] of [
    ["plain", {}],
    ["compressed", { deflate: {} }]
  ] as const) {
    it.effect(`what is no message, where types say nothing, is InvalidUsage, and nothing of it is sent (${how})`, () =>
      Effect.gen(function* () {
        const { client, pair, server } = yield* connected(options)
        const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.messages, 1)))
        for (const given of ['{"a":1}', "[1,2]", "5", "null", '{"length":3}']) {
          const error = yield* Effect.flip(server.send(JSON.parse(given)))
          assert.strictEqual(error.reason._tag, "InvalidUsage", given)
          yield* Effect.flip(server.sendAll(["before", JSON.parse(given)], { transfer: true }))
          assert.throws(() => PreparedMessage.make(JSON.parse(given)), /a string or a Uint8Array/)
        }
        assert.strictEqual(pair.server.writes.length, 0)
        yield* server.send("after")
        assert.deepStrictEqual(yield* Fiber.join(received), ["after"])
      })
    )
  }

  it.effect("one at a time is a pull of one, which loses none of those that came together", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      yield* Effect.forkChild(server.sendAll(["a", "b", "c"]))
      const next = yield* Stream.toPull(Stream.rechunk(client.messages, 1))
      assert.deepStrictEqual([yield* next, yield* next, yield* next], [["a"], ["b"], ["c"]])
    }).pipe(Effect.scoped)
  )

  it.effect("both directions flow at a time", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const count = 500
      const echo = yield* Effect.forkChild(
        Stream.runForEachArray(Stream.take(server.messages, count), (batch) => server.sendAll(batch))
      )
      const answers = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.messages, count)))
      yield* Effect.forEach(Array.from({ length: count }), (_, i) => client.send(`${i}`), { discard: true })
      yield* Fiber.join(echo)
      assert.deepStrictEqual(
        yield* Fiber.join(answers),
        Array.from({ length: count }, (_, i) => `${i}`)
      )
    })
  )

  it.effect("many fibers may send: each message arrives whole", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected({ highWaterMark: 1000 })
      const sent = Array.from({ length: 50 }, (_, i) => `${i} `.repeat(i * 20))
      const received = yield* Effect.forkChild(Stream.runCollect(Stream.take(server.messages, sent.length)))
      yield* Effect.forEach(sent, (message) => client.send(message), { concurrency: "unbounded", discard: true })
      assert.deepStrictEqual((yield* Fiber.join(received)).toSorted(), sent.toSorted())
    })
  )

  it.effect("the bytes that a client sends stay as they were: the mask goes on a copy", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const message = filled(10_000)
      const received = yield* Effect.forkChild(server.pullMessages)
      yield* client.send(message)
      assert.deepStrictEqual(plain((yield* Fiber.join(received))[0]), filled(10_000))
      assert.deepStrictEqual(message, filled(10_000))
    })
  )

  it.effect("each frame of a client is masked with a key of its own, those of a server with none", () =>
    Effect.gen(function* () {
      const client = yield* withPeer("client")
      const keys = new Set<string>()
      for (let i = 0; i < 2000; i++) {
        yield* Effect.forkChild(client.webSocket.send("x"))
        const frame = yield* client.peer.next
        keys.add(Buffer.from(frame.maskingKey ?? []).toString("hex"))
        assert.strictEqual(text(frame), "x")
      }
      assert.isAbove(keys.size, 1990)
      const server = yield* withPeer("server")
      yield* server.webSocket.send("x")
      assert.isUndefined((yield* server.peer.next).maskingKey)
    })
  )

  it.effect("says its role, its subprotocol and whether it compresses", () =>
    Effect.gen(function* () {
      const plain = yield* connected({ subprotocol: "chat" })
      assert.deepStrictEqual(
        [plain.client.role, plain.client.subprotocol, plain.client.isCompressed],
        ["client", "chat", false]
      )
      const deflating = yield* connected({ deflate: {} })
      assert.deepStrictEqual(
        [deflating.server.role, deflating.server.subprotocol, deflating.server.isCompressed],
        ["server", undefined, true]
      )
    })
  )

  it.effect("a message whose bytes cannot be read fails alone, and nothing of it goes to another connection", () =>
    Effect.gen(function* () {
      const one = yield* withPeer("server")
      const other = yield* withPeer("server")
      const gone = filled(100)
      gone.buffer.transfer()
      yield* Effect.exit(one.webSocket.sendAll(["secret", gone, "secret"]))
      yield* other.webSocket.send("for the other")
      assert.strictEqual(text(yield* other.peer.next), "for the other")
    })
  )
})

describe("fragments", () => {
  it.effect("come piece by piece with their place in the message", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const pull = webSocket.fragments.pipe(Stream.take(4), Stream.runCollect)
      yield* peer.send({ opcode: Opcode.text, fin: false, payload: Buffer.from("ab") })
      yield* peer.send({ opcode: Opcode.continuation, fin: false, payload: Buffer.from("c") }, { opcode: Opcode.ping })
      yield* peer.send({ opcode: Opcode.continuation, payload: Buffer.from("d") })
      yield* peer.send({ opcode: Opcode.binary, payload: bytes(1) })
      assert.deepStrictEqual(
        (yield* pull).map(({ first, isText, last, payload }) => [
          isText,
          first,
          last,
          Buffer.from(payload).toString("hex")
        ]),
        [
          [true, true, false, "6162"],
          [true, false, false, "63"],
          [true, false, true, "64"],
          [false, true, true, "01"]
        ]
      )
    })
  )

  it.effect("carry a message that is larger than maxMessageSize, since nothing is assembled", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected({ limits: { maxMessageSize: 1000 } })
      const message = filled(500_000)
      const sending = yield* Effect.forkChild(client.send(message))
      const got: Array<Uint8Array> = []
      yield* server.fragments.pipe(
        Stream.tap((fragment) => Effect.sync(() => got.push(fragment.payload))),
        Stream.takeUntil((fragment) => fragment.last),
        Stream.runDrain
      )
      yield* Fiber.join(sending)
      assert.deepStrictEqual(plain(Buffer.concat(got)), message)
    })
  )
})

describe("payloads", () => {
  it.effect("are the bytes of all messages in order, text and binary, without boundaries", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected({ limits: { maxMessageSize: 1000 } })
      const received = yield* Effect.forkChild(Stream.runCollect(server.payloads))
      yield* client.sendAll(["ab", bytes(99), "", "d".repeat(5000)])
      yield* client.send(filled(100_000))
      yield* client.close()
      const all = Buffer.concat([...(yield* Fiber.join(received))])
      assert.deepStrictEqual(plain(all), plain(Buffer.concat([Buffer.from(`abc${"d".repeat(5000)}`), filled(100_000)])))
    })
  )

  it.effect("one read of many small messages comes as one piece", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      yield* Effect.forkChild(client.sendAll(["a", "b", "c", "d"]))
      assert.deepStrictEqual(
        (yield* server.pullPayloads).map((piece) => Buffer.from(piece).toString()),
        ["abcd"]
      )
    })
  )
})

describe("the streams", () => {
  for (const way of ["messages", "fragments", "payloads"] as const) {
    it.effect(`${way}: what came before a Close frame is delivered, then the stream ends`, () =>
      Effect.gen(function* () {
        const { peer, webSocket } = yield* withPeer("server")
        yield* peer.send(
          { opcode: Opcode.text, payload: Buffer.from("last words") },
          { opcode: Opcode.close, payload: bytes(0x03, 0xe8) },
          { opcode: Opcode.text, payload: Buffer.from("nothing follows a Close frame") }
        )
        const all = yield* Stream.runCollect<unknown, unknown, never>(webSocket[way])
        assert.strictEqual(all.length, 1)
        assert.strictEqual((yield* peer.next).opcode, Opcode.close)
        // and it stays ended
        assert.strictEqual((yield* Stream.runCollect<unknown, unknown, never>(webSocket[way])).length, 0)
      })
    )
  }

  it.effect("one after the other: what one has not taken is there for the next", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      yield* peer.send({ opcode: Opcode.text, payload: Buffer.from("1") })
      yield* peer.send({ opcode: Opcode.text, payload: Buffer.from("2") })
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(webSocket.messages, 1)), ["1"])
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(webSocket.messages, 1)), ["2"])
    })
  )
})

/** As a plain `Uint8Array`, whatever kind and part of a buffer it is. */
function plain(message: Message): Message {
  return typeof message === "string" ? message : Uint8Array.from(message)
}
