import { assert, describe, it } from "@effect/vitest"
import * as Masking from "../../src/protocol/Masking.ts"
import { hex, patterned, utf8 } from "./bytes.ts"
import { integer } from "./frames.ts"

const keyBytes = hex("a1f23c84")
const key = Masking.key(keyBytes)

/** The RFC's own words: octet i of the transformed data is octet i of the original XOR octet i modulo 4 of the key. */
const reference = (bytes: Uint8Array, start: number, end: number, key: Uint8Array, phase: number): Uint8Array =>
  bytes.map((byte, i) => (i >= start && i < end ? byte ^ key[(i - start + phase) % 4]! : byte))

describe("5.3. Client-to-Server Masking", () => {
  it("the RFC's masked Hello", () => {
    const bytes = utf8("Hello")
    Masking.apply(bytes, 0, bytes.length, Masking.key(hex("37fa213d")), 0)
    assert.deepStrictEqual(bytes, hex("7f9f4d5158"))
  })

  it("a key is read at its place and written back, whatever its bits", () => {
    for (const text of ["00000000", "ffffffff", "80000000", "7fffffff", "00000080", "a1f23c84", "01020304"]) {
      assert.deepStrictEqual(Masking.toBytes(Masking.key(hex(text))), hex(text))
      assert.strictEqual(Masking.key(hex(`ee ${text} ee`), 1), Masking.key(hex(text)))
    }
  })

  for (let phase = 0; phase < 4; phase++) {
    it(`0 to 200 bytes at every alignment are masked as by the formula from position ${phase} on, and nothing around them`, () => {
      for (let alignment = 0; alignment < 8; alignment++) {
        for (let length = 0; length <= 200; length++) {
          const before = patterned(length + 32, length)
          const bytes = before.slice()
          const start = 8 + alignment
          Masking.apply(bytes, start, start + length, key, phase)
          assert.deepStrictEqual(
            bytes,
            reference(before, start, start + length, keyBytes, phase),
            `${length} at ${alignment}`
          )
        }
      }
    })
  }

  it("a view at any offset of its buffer, with an end that is not the buffer's, is masked alone", () => {
    for (let offset = 0; offset < 8; offset++) {
      for (const size of [40, 47, 48, 49, 50, 51, 52, 100]) {
        const buffer = patterned(128 + 3)
        const expected = reference(buffer, offset + 3, offset + 3 + size, keyBytes, 1)
        Masking.apply(buffer.subarray(offset, offset + size + 6), 3, 3 + size, key, 1)
        assert.deepStrictEqual(buffer, expected, `${size} at ${offset}`)
      }
    }
  })

  it("the last bytes of a buffer whose size is no multiple of four are masked", () => {
    for (let length = 44; length < 70; length++) {
      for (let start = 0; start < 8; start++) {
        const before = patterned(length)
        const bytes = before.slice()
        Masking.apply(bytes, start, length, key, 0)
        assert.deepStrictEqual(bytes, reference(before, start, length, keyBytes, 0), `${start} to ${length}`)
      }
    }
  })

  it("of a position in a payload of any size only the two low bits matter", () => {
    for (const base of [4, 2 ** 31 - 4, 2 ** 31, 2 ** 32, 2 ** 40, 2 ** 53 - 4]) {
      for (let phase = 0; phase < 4; phase++) {
        for (const length of [7, 64]) {
          const before = patterned(length)
          const bytes = before.slice()
          Masking.apply(bytes, 0, length, key, base + phase)
          assert.deepStrictEqual(bytes, reference(before, 0, length, keyBytes, phase), `${base + phase}`)
        }
      }
    }
  })

  it("masking twice is the identity, for keys of every sign", () => {
    for (const text of ["00000000", "ffffffff", "80808080", "7f7f7f7f", "ff000000", "000000ff"]) {
      const bytes = patterned(1000)
      Masking.apply(bytes, 1, 999, Masking.key(hex(text)), 0)
      assert.deepStrictEqual(bytes, reference(patterned(1000), 1, 999, hex(text), 0))
      Masking.apply(bytes, 1, 999, Masking.key(hex(text)), 0)
      assert.deepStrictEqual(bytes, patterned(1000))
    }
  })

  it.prop(
    "a payload masked in two pieces is masked as in one",
    [integer(0, 400), integer(0, 400), integer(0, 7), integer(0, 2 ** 32 - 1)],
    ([length, at, offset, number]) => {
      const key = Masking.key(new Uint8Array([number >>> 24, number >>> 16, number >>> 8, number]))
      const cut = at % (length + 1)
      const once = patterned(length + 16)
      Masking.apply(once, offset, offset + length, key, 0)
      const twice = patterned(length + 16)
      Masking.apply(twice, offset + cut, offset + length, key, cut)
      Masking.apply(twice, offset, offset + cut, key, 0)
      assert.deepStrictEqual(twice, once)
    },
    { arbitrary: { runs: 500 } }
  )
})
