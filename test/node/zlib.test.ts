import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { randomBytes } from "node:crypto"
import * as Zlib from "node:zlib"
import { Window } from "../../src/connection/Deflate.ts"
import * as Pool from "../../src/node/internal/zlibPool.ts"
import { areSupported } from "../../src/node/internal/zlibStreams.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"

const options = { windowBits: 15, level: 6 }
const { Z_SYNC_FLUSH } = Zlib.constants

/** Sends messages one after the other through windows of its own. */
const conversation = (bits = 15) => {
  let sent = Window.empty(bits)
  let received = Window.empty(bits)
  return {
    compress: (message: Uint8Array) =>
      Effect.map(NodeZlib.make.deflate(message, { windowBits: bits, level: 6, window: sent }), (bytes) => {
        sent = sent.slide(message)
        return bytes
      }),
    inflate: (bytes: Uint8Array) =>
      Effect.map(NodeZlib.make.inflate(bytes, { maxSize: 1 << 24, window: received }), (message) => {
        received = received.slide(message)
        return message
      })
  }
}

describe("zlib", () => {
  it("has streams that outlive a call in this Node", () => {
    assert.isTrue(areSupported())
  })

  it.effect("gives what node:zlib gives in one call, whatever came before, at every window and level", () =>
    Effect.gen(function* () {
      for (let round = 0; round < 2; round++) {
        for (const [windowBits, level] of [
          [15, 6],
          [9, 1],
          [12, 9]
        ] as const) {
          for (const size of [0, 1, 100, 4096, 64 * 1024, 64 * 1024 + 1, 200_000]) {
            const message = Buffer.from("the same words and others; ".repeat(size / 27 + 1)).subarray(0, size)
            const deflated = yield* NodeZlib.make.deflate(message, { windowBits, level, window: undefined })
            const once = Zlib.deflateRawSync(message, { windowBits, level, finishFlush: Z_SYNC_FLUSH })
            assert.isTrue(once.equals(deflated), `${windowBits} bits, level ${level}, ${size} bytes`)
            const back = yield* NodeZlib.make.inflate(deflated, { maxSize: 1 << 20, window: undefined })
            assert.isTrue(message.equals(back))
          }
        }
      }
    })
  )

  it.effect("goes on where it was, and by the dictionary when others have taken all streams meanwhile", () =>
    Effect.gen(function* () {
      const words = randomBytes(400).toString("base64")
      const all = Array.from({ length: Pool.maxKept + 20 }, () => conversation())
      for (let round = 0; round < 3; round++) {
        for (const [i, { compress, inflate }] of all.entries()) {
          const message = Buffer.from(`${i} ${words}`)
          const bytes = yield* compress(message)
          if (round > 0) assert.isBelow(bytes.length, 60)
          assert.isTrue(message.equals(yield* inflate(bytes)))
          const { deflates, inflates } = Pool.held()
          assert.isAtMost(deflates, Pool.maxKept)
          assert.isAtMost(inflates, Pool.maxKept)
        }
      }
      assert.strictEqual(Pool.held().deflates, Pool.maxKept)
    })
  )

  it.effect("small messages refer to large ones, which go through the thread pool, and the other way round", () =>
    Effect.gen(function* () {
      const { compress, inflate } = conversation()
      const noise = randomBytes(70_000)
      for (const message of [noise.subarray(0, 300), noise, noise.subarray(69_000), noise, noise.subarray(60_000)]) {
        assert.isTrue(message.equals(yield* inflate(yield* compress(message))))
      }
    })
  )

  it.effect("an empty message ends with the flush like any other, wherever it stands", () =>
    Effect.gen(function* () {
      const { compress, inflate } = conversation()
      for (const message of ["", "a", "", "", "a"]) {
        const bytes = Buffer.from(yield* compress(Buffer.from(message)))
        assert.strictEqual(bytes.subarray(-4).toString("hex"), "0000ffff")
        assert.strictEqual(String(yield* inflate(bytes)), message)
      }
    })
  )

  it.effect("a message that is not sent after all leaves no trace in the next", () =>
    Effect.gen(function* () {
      const window = Window.empty(15).slide(Buffer.from("known to the peer"))
      const secret = randomBytes(200)
      yield* NodeZlib.make.deflate(secret, { ...options, window })
      const bytes = yield* NodeZlib.make.deflate(secret, { ...options, window })
      assert.isAbove(bytes.length, 190)
    })
  )

  it.effect("without a window nothing of a message is known to the next, of whomever it is", () =>
    Effect.gen(function* () {
      const message = randomBytes(200)
      yield* NodeZlib.make.deflate(message, { ...options, window: undefined })
      assert.isAbove((yield* NodeZlib.make.deflate(message, { ...options, window: undefined })).length, 190)
      // a reference to what another connection has sent
      const sent = conversation()
      yield* sent.compress(message)
      const reference = yield* sent.compress(message)
      yield* NodeZlib.make.inflate(Zlib.deflateRawSync(message, { finishFlush: Z_SYNC_FLUSH }), {
        maxSize: 1000,
        window: undefined
      })
      const error = yield* Effect.flip(NodeZlib.make.inflate(reference, { maxSize: 1000, window: undefined }))
      assert.strictEqual(error.kind, "InvalidCompressedData")
      assert.match(error.message, /does not inflate by itself/)
      const other = { maxSize: 1000, window: Window.empty(15) }
      assert.match((yield* Effect.flip(NodeZlib.make.inflate(reference, other))).message, /does not inflate$/)
    })
  )

  it.effect("after a message that is broken or too big the next is as good as ever", () =>
    Effect.gen(function* () {
      const good = Zlib.deflateRawSync(Buffer.alloc(200_000), { finishFlush: Z_SYNC_FLUSH })
      for (const window of [undefined, Window.empty(15)]) {
        const inflate = (bytes: Uint8Array, maxSize: number) => NodeZlib.make.inflate(bytes, { maxSize, window })
        for (let times = 0; times < 3; times++) {
          assert.strictEqual(
            (yield* Effect.flip(inflate(Buffer.from([0xff, 0xff]), 100))).kind,
            "InvalidCompressedData"
          )
          assert.strictEqual((yield* Effect.flip(inflate(good, 199_999))).kind, "MessageTooBig")
          assert.lengthOf(yield* inflate(good, 200_000), 200_000)
        }
      }
    })
  )
})
