/**
 * Frames leave as they came but for the masking, however the stream is cut.
 */
import * as assert from "node:assert/strict"
import { describe, it } from "vitest"
import { noise } from "./payload.ts"
import { BINARY, CLOSE, close, CONTINUATION, encodeFrame, type FrameSpec, PING, TEXT } from "./wire/frame.ts"
import { Remask } from "./wire/remask.ts"

/** The key that is given to what comes unmasked. */
const GIVEN = [0x37, 0xfa, 0x21, 0x3d] as const

const frames: ReadonlyArray<FrameSpec> = [
  { opcode: TEXT, payload: "" },
  { opcode: TEXT, payload: "Hello" },
  { opcode: BINARY, payload: noise(125) },
  { opcode: BINARY, payload: noise(126) },
  { opcode: BINARY, payload: noise(65535) },
  { opcode: BINARY, payload: noise(65536) },
  { opcode: TEXT, payload: "frag", fin: false },
  { opcode: PING, payload: "p" },
  { opcode: CONTINUATION, payload: "ment" },
  // none of these is legal
  { opcode: TEXT, payload: "reserved", rsv: 7 },
  { opcode: 0xf, payload: "reserved", fin: false },
  { opcode: PING, payload: noise(200) },
  { opcode: TEXT, payload: "", lengthBits: 16 },
  { opcode: TEXT, payload: "ab", lengthBits: 16 },
  { opcode: TEXT, payload: "abc", lengthBits: 64 },
  { opcode: CLOSE, payload: "x" }
]

const stream = (of: ReadonlyArray<FrameSpec>, mask: FrameSpec["mask"]): Buffer =>
  Buffer.concat(of.map((frame) => encodeFrame(mask === undefined ? frame : { ...frame, mask })))

const remasked = (chunks: Iterable<Uint8Array>): Buffer => {
  const remask = new Remask()
  return Buffer.concat(Array.from(chunks, (chunk) => remask.push(chunk)))
}

describe("a remasked stream", () => {
  it("has no key where there was one", () => {
    assert.deepEqual(remasked([stream(frames, undefined)]), stream(frames, false))
  })

  it("has a key where there was none", () => {
    assert.deepEqual(remasked([stream(frames, false)]), stream(frames, GIVEN))
    assert.deepEqual(remasked([Buffer.from("810548656c6c6f", "hex")]), Buffer.from("818537fa213d7f9f4d5158", "hex"))
  })

  it("may change from frame to frame", () => {
    const mixed = frames.map((frame, i): FrameSpec => ({ ...frame, mask: i % 2 === 0 ? false : GIVEN }))
    const other = frames.map((frame, i): FrameSpec => ({ ...frame, mask: i % 2 === 0 ? GIVEN : false }))
    assert.deepEqual(remasked([stream(mixed, undefined)]), stream(other, undefined))
  })

  it("is the same however it is cut", () => {
    const small = frames.filter(({ payload = "" }) => payload.length < 1000)
    for (const mask of [GIVEN, false] as const) {
      const whole = stream(small, mask)
      const expected = remasked([whole])
      for (let size = 1; size < 40; size++) {
        const pieces = Array.from({ length: Math.ceil(whole.length / size) }, (_, i) =>
          whole.subarray(i * size, (i + 1) * size)
        )
        assert.deepEqual(remasked(pieces), expected, `pieces of ${size}`)
      }
    }
  })

  it("holds back nothing but the key, which nobody needs before it has come", () => {
    const whole = encodeFrame({ opcode: TEXT, payload: "Hello", mask: GIVEN })
    assert.deepEqual(
      Array.from({ length: whole.length }, (_, i) => remasked([whole.subarray(0, i + 1)]).toString("hex")),
      [
        "81",
        "8105",
        "8105",
        "8105",
        "8105",
        "8105",
        "810548",
        "81054865",
        "810548656c",
        "810548656c6c",
        "810548656c6c6f"
      ]
    )
    // an unmasked frame is illegal to whom it now looks masked by its two first octets
    assert.equal(remasked([Buffer.from("8105", "hex")]).toString("hex"), "818537fa213d")
    assert.equal(remasked([Buffer.from("817e", "hex")]).toString("hex"), "81fe")
  })

  it("passes on what comes of a frame that announces more than anybody sends", () => {
    for (const announced of [2n ** 31n, 2n ** 53n + 1n, 2n ** 63n, 2n ** 64n - 1n]) {
      const spec: FrameSpec = { opcode: TEXT, payload: noise(100_000), announced, lengthBits: 64 }
      const remask = new Remask()
      assert.deepEqual(remask.push(encodeFrame({ ...spec, mask: GIVEN })), encodeFrame({ ...spec, mask: false }))
      assert.equal(remask.hasClosed, false)
    }
  })

  it("tells when a Close frame has passed, and not before its last octet", () => {
    const frame = close(1000, "bye")
    const remask = new Remask()
    remask.push(stream(frames.slice(0, 6), GIVEN))
    remask.push(frame.subarray(0, -1))
    assert.equal(remask.hasClosed, false)
    remask.push(frame.subarray(-1))
    assert.equal(remask.hasClosed, true)
    remask.push(stream(frames, GIVEN))
    assert.equal(remask.hasClosed, true)
    const empty = new Remask()
    empty.push(encodeFrame({ opcode: CLOSE, mask: false }))
    assert.equal(empty.hasClosed, true)
    // whoever is answered before its key has gone out need not send that any more
    const keyless = new Remask()
    keyless.push(encodeFrame({ opcode: CLOSE }).subarray(0, 2))
    assert.equal(keyless.hasClosed, true)
  })
})
