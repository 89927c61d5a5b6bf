import { assert, describe, it } from "@effect/vitest"
import * as FrameEncoder from "../../src/protocol/FrameEncoder.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { hex, patterned, toHex, utf8 } from "./bytes.ts"

const header = (length: number, key?: Uint8Array): string => {
  const target = new Uint8Array(16).fill(0xee)
  const end = FrameEncoder.writeHeader(target, 1, 0x82, length, key)
  assert.strictEqual(target[0], 0xee)
  assert.isTrue(target.subarray(end).every((byte) => byte === 0xee))
  return toHex(target.subarray(1, end))
}

describe("5.2. Base Framing Protocol", () => {
  for (const [length, expected] of [
    [0, "8200"],
    [1, "8201"],
    [125, "827d"],
    [126, "827e007e"],
    [127, "827e007f"],
    [255, "827e00ff"],
    [256, "827e0100"],
    [65535, "827effff"],
    [65536, "827f0000000000010000"],
    [2 ** 31 - 1, "827f000000007fffffff"],
    [2 ** 31, "827f0000000080000000"],
    [2 ** 32 - 1, "827f00000000ffffffff"],
    [2 ** 32, "827f0000000100000000"],
    [2 ** 32 + 1, "827f0000000100000001"],
    [2 ** 53 - 1, "827f001fffffffffffff"]
  ] as const) {
    it(`the header of ${length} bytes has the shortest form, with a masking key and without, and its size is foretold`, () => {
      assert.strictEqual(header(length), expected)
      assert.strictEqual(FrameEncoder.headerSize(length, false), expected.length / 2)
      const second = (Number.parseInt(expected.slice(2, 4), 16) | 0x80).toString(16)
      assert.strictEqual(header(length, hex("01020304")), `82${second}${expected.slice(4)}01020304`)
      assert.strictEqual(FrameEncoder.headerSize(length, true), expected.length / 2 + 4)
    })
  }

  it("the first byte is FIN, RSV1 and the opcode", () => {
    assert.strictEqual(FrameEncoder.firstByte(true, false, Opcode.text), 0x81)
    assert.strictEqual(FrameEncoder.firstByte(false, false, Opcode.binary), 0x02)
    assert.strictEqual(FrameEncoder.firstByte(true, true, Opcode.binary), 0xc2)
    assert.strictEqual(FrameEncoder.firstByte(false, true, Opcode.text), 0x41)
    assert.strictEqual(FrameEncoder.firstByte(false, false, Opcode.continuation), 0x00)
    assert.strictEqual(FrameEncoder.firstByte(true, false, Opcode.pong), 0x8a)
  })
})

describe("5.7. Examples", () => {
  const key = hex("37fa213d")
  const cases = [
    ["a single-frame unmasked text message", 0x81, "Hello", undefined, "810548656c6c6f"],
    ["a single-frame masked text message", 0x81, "Hello", key, "818537fa213d7f9f4d5158"],
    ["a first fragment", 0x01, "Hel", undefined, "010348656c"],
    ["a last fragment", 0x80, "lo", undefined, "80026c6f"],
    ["an unmasked Ping request", 0x89, "Hello", undefined, "890548656c6c6f"],
    ["its masked Ping response", 0x8a, "Hello", key, "8a8537fa213d7f9f4d5158"]
  ] as const
  for (const [name, b0, text, maskingKey, expected] of cases) {
    it(`${name} is encoded`, () => {
      assert.strictEqual(toHex(FrameEncoder.encode(b0, utf8(text), maskingKey)), expected)
    })
  }

  it("the payload that is masked is the copy, not the caller's", () => {
    const payload = utf8("Hello")
    FrameEncoder.encode(0x81, payload, key)
    assert.deepStrictEqual(payload, utf8("Hello"))
  })

  for (const [length, start] of [
    [256, "827e0100"],
    [65536, "827f0000000000010000"],
    [1_000_000, "827f00000000000f4240"]
  ] as const) {
    it(`${length} bytes of binary data are encoded, and so is what comes after`, () => {
      const frame = FrameEncoder.encode(0x82, patterned(length))
      const next = FrameEncoder.encode(0x81, utf8("Hello"))
      assert.strictEqual(toHex(frame), start + toHex(patterned(length)))
      assert.strictEqual(toHex(next), "810548656c6c6f")
    })
  }

  it("a frame that was encoded is never written to again", () => {
    const frames: Array<readonly [Uint8Array, string]> = []
    for (let i = 0; i < 2000; i++) {
      const frame = FrameEncoder.encode(0x82, patterned((i * 37) % 700, i), i % 3 === 0 ? key : undefined)
      frames.push([frame, toHex(frame)])
    }
    for (const [frame, expected] of frames) assert.strictEqual(toHex(frame), expected)
  })

  for (const length of [0, 125, 126, 65535, 65536]) {
    it(`the header of ${length} bytes goes in front of them where there is room, and only there`, () => {
      const frame = FrameEncoder.encode(0x82, patterned(length))
      const size = frame.length - length
      for (const room of [size - 1, size, size + 1]) {
        const buffer = new Uint8Array(room + length).fill(0xee)
        buffer.set(patterned(length), room)
        const framed = FrameEncoder.inFront(0x82, buffer.subarray(room))
        if (room < size) {
          assert.isUndefined(framed)
          assert.strictEqual(toHex(buffer), "ee".repeat(room) + toHex(patterned(length)))
        } else {
          assert.strictEqual(toHex(framed!), toHex(frame))
          assert.strictEqual(framed!.buffer, buffer.buffer)
          assert.strictEqual(toHex(buffer.subarray(0, room - size)), "ee".repeat(room - size))
        }
      }
    })
  }
})
