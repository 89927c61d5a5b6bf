import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Frame from "../../src/protocol/Frame.ts"
import { Batch, copyThreshold, encode } from "../../src/protocol/FrameEncoder.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { concat, hex, patterned, toHex, utf8 } from "./bytes.ts"
import { integer } from "./frames.ts"

const text = 0x81
const binary = 0x82

/** A key for each frame, none like another. */
const keys = () => {
  let n = 0
  return () => patterned(4, ++n)
}

/** The frames in these buffers. */
const read = (buffers: ReadonlyArray<Uint8Array>, masking: "required" | "forbidden" = "forbidden") =>
  Frame.decoder({ masking, maxFrameSize: 2 ** 30 }).push(concat(buffers))
const payloads = (frames: ReadonlyArray<Frame.Frame>) => frames.map((frame) => toHex(frame.payload))

/** Texts whose UTF-8 has this many bytes, of characters of one to four bytes each, with ASCII to make up the rest. */
const texts = (bytes: number): ReadonlyArray<string> =>
  ["a", "é", "€", "𝄞"].flatMap((character) => {
    const size = utf8(character).length
    const all = character.repeat(Math.floor(bytes / size))
    const rest = "b".repeat(bytes % size)
    return [all + rest, rest + all]
  })

describe("a batch", () => {
  it("that is empty has no buffers, and is empty again when taken", () => {
    const batch = new Batch()
    assert.deepStrictEqual(batch.take(), [])
    batch.frame(binary, hex("01"))
    assert.deepStrictEqual(batch.take().map(toHex), ["820101"])
    assert.deepStrictEqual(batch.take(), [])
  })

  it("puts small frames side by side in one buffer", () => {
    const batch = new Batch()
    batch.frame(binary, patterned(10))
    batch.string(text, "Hello")
    batch.frame(0x89, new Uint8Array(0))
    batch.frame(0x8a, new Uint8Array(0))
    batch.frame(binary, patterned(copyThreshold))
    const buffers = batch.take()
    assert.strictEqual(buffers.length, 1)
    assert.deepStrictEqual(payloads(read(buffers)), [
      toHex(patterned(10)),
      toHex(utf8("Hello")),
      "",
      "",
      toHex(patterned(copyThreshold))
    ])
  })

  it("does not copy a payload over the threshold: the buffer is the caller's own", () => {
    const batch = new Batch()
    const large = patterned(copyThreshold + 1)
    const larger = patterned(100_000)
    batch.frame(binary, hex("01"))
    batch.frame(binary, large)
    batch.frame(binary, hex("02"))
    batch.frame(binary, larger)
    batch.frame(binary, larger)
    const buffers = batch.take()
    assert.deepStrictEqual(
      buffers.map((buffer) => (buffer === large ? "large" : buffer === larger ? "larger" : toHex(buffer))),
      ["820101827e1001", "large", "820102827f00000000000186a0", "larger", "827f00000000000186a0", "larger"]
    )
  })

  it("copies a masked payload, whatever its size, and leaves the caller's alone", () => {
    for (const length of [0, 1, 125, 126, copyThreshold, copyThreshold + 1, 65535, 65536, 300_000]) {
      const batch = new Batch(keys())
      const payload = patterned(length)
      batch.frame(binary, payload)
      const buffers = batch.take()
      assert.deepStrictEqual(payload, patterned(length))
      assert.deepStrictEqual(payloads(read(buffers, "required")), [toHex(payload)])
      assert.strictEqual(buffers.length, 1)
    }
  })

  it("masks a payload over the threshold where it is, if nobody else has it", () => {
    for (const length of [0, 1, copyThreshold, copyThreshold + 1, 65536, 300_000]) {
      const batch = new Batch(keys())
      // at no address that words have
      const payload = new Uint8Array(length + 3).subarray(3)
      payload.set(patterned(length))
      batch.frame(binary, hex("01"))
      batch.frame(binary, payload, true)
      const buffers = batch.take()
      assert.strictEqual(buffers.includes(payload), length > copyThreshold)
      assert.deepStrictEqual(payloads(read(buffers, "required")), ["01", toHex(patterned(length))])
    }
  })

  it("masks each frame with a key of its own", () => {
    const batch = new Batch(keys())
    batch.frame(binary, patterned(100))
    batch.string(text, "Hello")
    batch.string(text, "é".repeat(100))
    batch.frame(0x89, new Uint8Array(0))
    const makeKey = keys()
    assert.deepStrictEqual(
      read(batch.take(), "required").map((frame) => frame.maskingKey),
      [makeKey(), makeKey(), makeKey(), makeKey()]
    )
  })

  it("takes one key for a frame, long texts included", () => {
    let calls = 0
    const batch = new Batch(() => {
      calls++
      return hex("01020304")
    })
    batch.string(text, "a".repeat(40_000))
    batch.string(text, "a")
    batch.frame(binary, patterned(40_000))
    assert.strictEqual(read(batch.take(), "required").length, 3)
    assert.strictEqual(calls, 3)
  })

  it("has each frame whole, however little is left of a slab", () => {
    for (const makeKey of [undefined, keys()]) {
      for (let left = 0; left <= 40; left++) {
        let last: Uint8Array
        const room = () => last.buffer.byteLength - last.byteOffset - last.length
        do last = encode(binary, patterned(1000))
        while (room() < 1000 || room() > 2004)
        // behind a header of four bytes
        last = encode(binary, patterned(room() - left - 4))
        assert.strictEqual(room(), left)
        const batch = new Batch(makeKey)
        batch.frame(binary, patterned(copyThreshold + 1), true)
        batch.frame(binary, patterned(left))
        batch.string(text, "Hello")
        assert.deepStrictEqual(
          payloads(read(batch.take(), makeKey && "required")),
          [patterned(copyThreshold + 1), patterned(left), utf8("Hello")].map(toHex)
        )
      }
    }
  })

  it("larger than a slab goes on in the next, in order", () => {
    for (const makeKey of [undefined, keys()]) {
      const batch = new Batch(makeKey)
      const sent = Array.from({ length: 500 }, (_, i) => patterned((i * 53) % 1200, i))
      for (const payload of sent) batch.frame(binary, payload)
      const buffers = batch.take()
      assert.isAbove(buffers.length, 1)
      assert.isBelow(buffers.length, 10)
      assert.deepStrictEqual(payloads(read(buffers, makeKey ? "required" : "forbidden")), sent.map(toHex))
    }
  })

  it("has two owners' frames in order when they fill and take it in turn", () => {
    const first = new Batch()
    const second = new Batch(keys())
    for (let i = 0; i < 300; i++) {
      first.frame(binary, patterned(i, i))
      assert.deepStrictEqual(payloads(read(first.take())), [toHex(patterned(i, i))])
      second.string(text, "x".repeat(i))
      assert.deepStrictEqual(payloads(read(second.take(), "required")), [toHex(utf8("x".repeat(i)))])
    }
  })

  it("has its own frames in order when several are filled at a time, over many slabs", () => {
    const batches = [new Batch(), new Batch(keys()), new Batch()]
    const expected = batches.map((): Array<string> => [])
    for (let i = 0; i < 2000; i++) {
      const payload = i % 50 === 0 ? patterned(copyThreshold + i, i) : patterned(i % 300, i)
      const which = (i * 7) % 3
      if (i % 5 === 0) batches[which]!.string(text, "é".repeat(i % 200))
      else batches[which]!.frame(binary, payload)
      expected[which]!.push(toHex(i % 5 === 0 ? utf8("é".repeat(i % 200)) : payload))
      // what is encoded by itself comes between as well
      if (i % 11 === 0) encode(binary, payload)
    }
    for (const [i, batch] of batches.entries()) {
      assert.deepStrictEqual(payloads(read(batch.take(), i === 1 ? "required" : "forbidden")), expected[i])
    }
  })

  const detached = patterned(10)
  structuredClone(detached, { transfer: [detached.buffer] })
  const noKey = () => {
    let calls = 0
    return () => {
      if (++calls === 3) throw new Error("no randomness")
      return hex("01020304")
    }
  }
  for (const [why, makeKey, add] of [
    ["a payload whose buffer was transferred", undefined, (batch: Batch) => batch.frame(binary, detached)],
    // what JavaScript may do that TypeScript does not let
    ["no payload", undefined, (batch: Batch) => batch.frame(binary, undefined as never)],
    ["no text", undefined, (batch: Batch) => batch.string(text, null as never)],
    ["no masking key", noKey(), (batch: Batch) => batch.frame(binary, patterned(10))],
    ["no masking key for a text", noKey(), (batch: Batch) => batch.string(text, "Hello")]
  ] as const) {
    it(`is left empty by ${why}, so that the next to fill it does not send what was not theirs`, () => {
      const batch = new Batch(makeKey)
      const large = patterned(copyThreshold + 1)
      assert.throws(() => {
        batch.frame(binary, large)
        batch.frame(binary, utf8("of the first"))
        add(batch)
      })
      assert.deepStrictEqual(batch.take(), [])
      batch.frame(0x89, new Uint8Array(0))
      assert.deepStrictEqual(batch.take().map(toHex), [makeKey === undefined ? "8900" : "898001020304"])
    })
  }
})

describe("a batch's strings", () => {
  for (const [lengths, why] of [
    [[0, 1, 2, 3, 4, 5], "the shortest"],
    [[124, 125, 126, 127, 128, 129], "about the end of the 7-bit length"],
    [[255, 256, 257, 378, 379, 380], "about three times that"],
    [
      [10920, 10921, 10922, 10923, 10924, 32767, 32768, 32769],
      "about half a slab, with room for three bytes a character"
    ],
    [[65533, 65534, 65535, 65536, 65537, 65538], "about the end of the 16-bit length"]
  ] as const) {
    for (const makeKey of [undefined, keys()]) {
      it(`of characters of one to four bytes are UTF-8, ${why}, ${makeKey ? "masked" : "unmasked"}`, () => {
        for (const length of lengths) {
          // by bytes and by characters: which of the two the header's size was guessed from must not show
          for (const sent of texts(length).concat(
            length < 1000 ? ["a", "é", "€", "𝄞"].map((c) => c.repeat(length)) : []
          )) {
            const batch = new Batch(makeKey)
            batch.frame(0x89, hex("01"))
            batch.string(text, sent)
            batch.frame(0x8a, hex("02"))
            const frames = read(batch.take(), makeKey ? "required" : "forbidden")
            assert.deepStrictEqual(payloads(frames), ["01", toHex(utf8(sent)), "02"], `${sent.slice(0, 1)} ${length}`)
            assert.deepStrictEqual(
              frames.map((frame) => frame.opcode),
              [Opcode.ping, Opcode.text, Opcode.pong]
            )
          }
        }
      })
    }
  }

  it("with half a surrogate pair have the replacement character in its place", () => {
    const batch = new Batch()
    for (const sent of ["\ud834", "\udd1e", "a\ud834b", "\udd1e\ud834", "\ud834".repeat(126)]) batch.string(text, sent)
    const replaced = ["\ufffd", "\ufffd", "a\ufffdb", "\ufffd\ufffd", "\ufffd".repeat(126)]
    assert.deepStrictEqual(
      payloads(read(batch.take())),
      replaced.map((sent) => toHex(utf8(sent)))
    )
  })

  it.prop(
    "and bytes, whatever they are, are read as they were written",
    [
      Arbitrary.array(
        Arbitrary.all([
          Arbitrary.schema(Schema.Literals(["text", "binary"])),
          Arbitrary.flatMap(integer(0, 5), (choice) => (choice < 4 ? integer(0, 300) : integer(4000, 40_000))),
          Arbitrary.schema(Schema.Literals(["a", "é", "€", "𝄞", "aé€𝄞", "\ud834"]))
        ]),
        { maxLength: 30 }
      ),
      Schema.Boolean
    ],
    ([sent, masked]) => {
      const batch = new Batch(masked ? keys() : undefined)
      for (const [kind, length, characters] of sent) {
        if (kind === "text") batch.string(text, characters.repeat(length))
        else batch.frame(binary, patterned(length, length))
      }
      assert.deepStrictEqual(
        read(batch.take(), masked ? "required" : "forbidden").map((frame) => [frame.opcode, toHex(frame.payload)]),
        sent.map(([kind, length, characters]) =>
          kind === "text"
            ? [Opcode.text, toHex(utf8(characters.repeat(length)))]
            : [Opcode.binary, toHex(patterned(length, length))]
        )
      )
    },
    { arbitrary: { runs: 200 } }
  )
})

describe("what a batch returned", () => {
  it("stays as it is, whatever is batched later, and no two share a byte", () => {
    const batches = [new Batch(), new Batch(keys())]
    const kept: Array<readonly [buffer: Uint8Array, expected: string]> = []
    for (let i = 0; i < 1000; i++) {
      const batch = batches[i % 2]!
      for (let j = 0; j <= i % 4; j++) {
        if ((i + j) % 3 === 0) batch.string(text, ["a", "é", "€", "𝄞"][i % 4]!.repeat((i * 7 + j) % 200))
        else if ((i + j) % 3 === 1) batch.frame(binary, patterned((i * 131) % 6000, i))
        else batch.frame(0x8a, new Uint8Array(0))
      }
      for (const buffer of batch.take()) kept.push([buffer, toHex(buffer)])
    }
    assert.isAtLeast(kept.length, 1000)
    for (const [buffer, expected] of kept) assert.strictEqual(toHex(buffer), expected)
    const byBuffer = Map.groupBy(kept, ([buffer]) => buffer.buffer)
    for (const sharing of byBuffer.values()) {
      const ranges = sharing.map(([{ byteOffset, length }]) => [byteOffset, byteOffset + length] as const)
      const sorted = ranges.toSorted(([a], [b]) => a - b)
      for (let i = 1; i < sorted.length; i++) assert.isAtLeast(sorted[i]![0], sorted[i - 1]![1])
    }
  })
})
