import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Deflate from "../../src/connection/Deflate.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"

const { Window } = Deflate
const noise = (size: number) => crypto.getRandomValues(new Uint8Array(size))

describe("a window", () => {
  it("is the last 2^bits bytes of what went through it, whatever the sizes of the messages", () => {
    for (const bits of [9, 12, 15]) {
      const size = 1 << bits
      let window = Window.empty(bits)
      let all = Buffer.alloc(0)
      for (const length of [
        0,
        1,
        100,
        size - 101,
        1,
        size,
        3,
        size + 7,
        0,
        200,
        size - 1,
        2 * size,
        5,
        300,
        size - 2
      ]) {
        const message = noise(length)
        window = window.slide(message)
        all = Buffer.concat([all, message])
        assert.strictEqual(window.end, all.length)
        const last = all.subarray(Math.max(0, all.length - size))
        assert.deepStrictEqual(window.bytes, last.length === 0 ? undefined : new Uint8Array(last))
        assert.isAtMost(window.capacity, size)
      }
    }
  })

  it("takes no memory before something went through it, and then no more than a quarter more than that", () => {
    assert.strictEqual(Window.empty(15).capacity, 0)
    let window = Window.empty(15)
    for (let i = 1; i <= 20; i++) {
      window = window.slide(noise(100))
      assert.isAtMost(window.capacity, 125 * i)
    }
  })

  it("is outdated when another has gone on from it, and nothing refers to it then", () => {
    const one = Window.empty(9).slide(noise(10))
    const two = one.slide(noise(10))
    assert.isUndefined(one.bytes)
    const third = noise(10)
    assert.deepStrictEqual(one.slide(third).bytes, third)
    assert.lengthOf(two.bytes!, 20)
  })

  it("that is shared stays as it is when one of those who have it goes on", () => {
    const message = noise(10)
    const shared = Window.shared(9, message)
    const [one, two] = [shared.slide(noise(1)), shared.slide(noise(2))]
    assert.deepStrictEqual(shared.bytes, message)
    assert.deepStrictEqual([one.bytes!.length, two.bytes!.length], [11, 12])
    assert.notStrictEqual(one.history, two.history)
  })
})

describe("the memory of a codec", () => {
  const make = (fresh: boolean, bits = 15) => {
    const windows: Array<Deflate.Window | undefined> = []
    const seen = (options: { readonly window: Deflate.Window | undefined }) => void windows.push(options.window)
    const zlib: Deflate.Zlib["Service"] = {
      deflate: (bytes, options) => (seen(options), NodeZlib.make.deflate(bytes, options)),
      inflate: (bytes, options) => (seen(options), NodeZlib.make.inflate(bytes, options))
    }
    const codec = Deflate.make({
      zlib,
      role: "server",
      agreement: {
        serverNoContextTakeover: fresh,
        clientNoContextTakeover: fresh,
        serverMaxWindowBits: bits,
        clientMaxWindowBits: bits
      },
      policy: { threshold: 0 }
    })
    return { codec, windows }
  }
  const message = Buffer.from("as said before, ".repeat(5000))

  it.effect("is nothing without context takeover", () =>
    Effect.gen(function* () {
      const { codec, windows } = make(true)
      for (let i = 0; i < 3; i++) {
        const sent = yield* codec.compress(message, codec.window)
        assert.isUndefined(sent?.window)
        assert.strictEqual(String(yield* codec.decompress(sent!.bytes, 1 << 20)), String(message))
      }
      assert.deepStrictEqual(
        windows,
        Array.from({ length: 6 }, () => undefined)
      )
    })
  )

  for (const bits of [9, 15]) {
    it.effect(`is at most 2^${bits} bytes in each direction with windows of ${bits} bits`, () =>
      Effect.gen(function* () {
        const { codec, windows } = make(false, bits)
        for (let i = 0; i < 3; i++) {
          const sent = yield* codec.compress(message, codec.window)
          codec.window = sent?.window
          yield* codec.decompress(sent!.bytes, 1 << 20)
        }
        assert.strictEqual(Math.max(...windows.map((window) => window!.capacity)), 1 << bits)
        assert.strictEqual(codec.window?.capacity, 1 << bits)
      })
    )
  }
})
