import { assert, describe, it } from "@effect/vitest"
import { FrameDecoder } from "../../src/protocol/FrameDecoder.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { type Kind, ProtocolError } from "../../src/protocol/ProtocolError.ts"
import { concat, hex, patterned, toHex } from "./bytes.ts"
import { decode, failsWith, Recorder } from "./frames.ts"

/** The first two bytes of an unmasked binary frame, and the eight of its length. */
const announced = (length: bigint): Uint8Array => hex(`827f ${length.toString(16).padStart(16, "0")}`)

describe("5.7. Examples", () => {
  const examples: ReadonlyArray<readonly [name: string, bytes: string, events: ReadonlyArray<string>]> = [
    ["a single-frame unmasked text message", "810548656c6c6f", ["start 1 fin 5", "payload 48656c6c6f", "end"]],
    [
      "a single-frame masked text message",
      "818537fa213d7f9f4d5158",
      ["start 1 fin 5 37fa213d", "payload 48656c6c6f", "end"]
    ],
    [
      "a fragmented unmasked text message",
      "010348656c 80026c6f",
      ["start 1 3", "payload 48656c", "end", "start 0 fin 2", "payload 6c6f", "end"]
    ],
    ["an unmasked Ping request", "890548656c6c6f", ["control 9 48656c6c6f"]],
    ["its masked Ping response", "8a8537fa213d7f9f4d5158", ["control 10 48656c6c6f"]]
  ]
  for (const [name, bytes, events] of examples) {
    it(`${name} is decoded`, () => {
      assert.deepStrictEqual(decode([hex(bytes)]).events, events)
    })
  }

  it("256 bytes of binary data in a single unmasked frame are decoded", () => {
    const payload = patterned(256)
    const events = ["start 2 fin 256", `payload ${toHex(payload)}`, "end"]
    assert.deepStrictEqual(decode([concat([hex("827e0100"), payload])]).events, events)
  })

  it("64 KiB of binary data in a single unmasked frame are decoded", () => {
    const payload = patterned(65536)
    const events = ["start 2 fin 65536", `payload ${toHex(payload)}`, "end"]
    assert.deepStrictEqual(decode([concat([hex("827f0000000000010000"), payload])]).events, events)
  })
})

describe("5.2. Base Framing Protocol: payload length", () => {
  for (const [length, header] of [
    [0, "8200"],
    [1, "8201"],
    [125, "827d"],
    [126, "827e007e"],
    [127, "827e007f"],
    [255, "827e00ff"],
    [256, "827e0100"],
    [32768, "827e8000"],
    [65535, "827effff"],
    [65536, "827f0000000000010000"],
    [65537, "827f0000000000010001"]
  ] as const) {
    it(`${length} bytes are read whole and not a byte more`, () => {
      const payload = patterned(length)
      const { decoder, events } = decode([concat([hex(header), payload, hex("8900")])])
      const piece = length === 0 ? [] : [`payload ${toHex(payload)}`]
      assert.deepStrictEqual(events, [`start 2 fin ${length}`, ...piece, "end", "control 9 "])
      assert.isTrue(decoder.idle)
    })
  }

  for (const length of [2n ** 31n - 1n, 2n ** 31n, 2n ** 32n - 1n, 2n ** 32n, 2n ** 32n + 1n, 2n ** 53n - 1n]) {
    it(`${length} bytes are announced exactly, before any comes`, () => {
      const { decoder, events, kind } = decode([announced(length)])
      assert.deepStrictEqual(events, [`start 2 fin ${length}`])
      assert.strictEqual(kind, undefined)
      assert.strictEqual(BigInt(decoder.remaining), length)
      decoder.push(new Uint8Array(1000), new Recorder())
      assert.strictEqual(BigInt(decoder.remaining), length - 1000n)
    })
  }

  for (const length of [2n ** 53n, 2n ** 53n + 1n, 2n ** 62n, 2n ** 63n - 1n]) {
    it(`${length} bytes are legal, but more than can be counted: 1009`, () => {
      assert.strictEqual(decode([announced(length)]).kind, "FrameTooBig")
    })
  }

  for (const length of [2n ** 63n, 2n ** 63n + 1n, 2n ** 64n - 1n]) {
    it(`0x${length.toString(16)} has the most significant bit set, which must be 0`, () => {
      assert.strictEqual(decode([announced(length)]).kind, "InvalidLength")
    })
  }

  for (const header of ["827e0000", "827e0001", "827e007d"]) {
    it(`${header} is not the minimal form of a length below 126`, () => {
      assert.strictEqual(decode([hex(header)]).kind, "NonMinimalLength")
    })
  }
  for (const header of [
    "827f0000000000000000",
    "827f000000000000007d",
    "827f000000000000007e",
    "827f000000000000ffff"
  ]) {
    it(`${header} is not the minimal form of a length below 65536`, () => {
      assert.strictEqual(decode([hex(header)]).kind, "NonMinimalLength")
    })
  }
})

describe("10.4. Implementation-Specific Limits", () => {
  for (const limit of [0, 1, 125, 126, 65535, 65536, 1_000_000]) {
    const header = (length: number) =>
      length < 126
        ? new Uint8Array([0x82, length])
        : length < 65536
          ? hex(`827e${length.toString(16).padStart(4, "0")}`)
          : announced(BigInt(length))
    it(`a frame of exactly maxFrameSize, ${limit}, is taken, and one of a byte more fails at its header`, () => {
      assert.strictEqual(decode([header(limit)], { maxFrameSize: limit }).kind, undefined)
      const over = decode([header(limit + 1)], { maxFrameSize: limit })
      assert.strictEqual(over.kind, "FrameTooBig")
      assert.deepStrictEqual(over.events, [])
    })
  }
})

describe("5.1. Overview: masks", () => {
  const masked = "818100000000 61"
  const unmasked = "810161"
  for (const [masking, ofMasked, ofUnmasked] of [
    ["required", undefined, "UnmaskedFrame"],
    ["forbidden", "MaskedFrame", undefined],
    ["either", undefined, undefined]
  ] as const) {
    it(`with masks ${masking}, frames with and without one end as they must`, () => {
      assert.strictEqual(decode([hex(masked)], { masking }).kind, ofMasked)
      assert.strictEqual(decode([hex(unmasked)], { masking }).kind, ofUnmasked)
      // control frames and empty ones are no exception
      assert.strictEqual(decode([hex("8980 00000000")], { masking }).kind, ofMasked)
      assert.strictEqual(decode([hex("8900")], { masking }).kind, ofUnmasked)
    })
  }

  it("a masked frame after an unmasked one, and the reverse, is unmasked by its own key alone", () => {
    const { events } = decode([hex("820101 8281ffffffff fe 820103 828101010101 05")])
    assert.deepStrictEqual(
      events.filter((event) => event.startsWith("payload")),
      ["payload 01", "payload 01", "payload 03", "payload 04"]
    )
  })
})

describe("5.2. Base Framing Protocol: reserved bits and opcodes", () => {
  const expected = (first: number, allowRsv1: boolean): Kind | undefined => {
    const opcode = first & 0x0f
    const rsv = (first >> 4) & 7
    const data = opcode === Opcode.text || opcode === Opcode.binary
    if (rsv !== 0 && !(rsv === 4 && allowRsv1 && data)) return "ReservedBits"
    if (!Opcode.isOpcode(opcode)) return "ReservedOpcode"
    if (Opcode.isControl(opcode)) return (first & 0x80) === 0 ? "FragmentedControlFrame" : undefined
    return data ? undefined : "UnexpectedContinuation"
  }
  for (const allowRsv1 of [false, true]) {
    it(`each of the 256 first bytes is judged, with permessage-deflate ${allowRsv1 ? "agreed on" : "not agreed on"}`, () => {
      for (let first = 0; first < 256; first++) {
        const { kind } = decode([new Uint8Array([first, 0])], { allowRsv1 })
        assert.strictEqual(kind, expected(first, allowRsv1), `0x${first.toString(16)}`)
      }
    })
  }

  it("no extension is agreed on unless it is said", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    failsWith("ReservedBits", () => decoder.push(hex("c100"), new Recorder()))
  })

  it("only RSV1 of a message's first frame is permessage-deflate's", () => {
    const compressed = (bytes: string) => decode([hex(bytes)], { allowRsv1: true }).kind
    assert.strictEqual(compressed("4100 8000"), undefined)
    assert.strictEqual(compressed("4100 c000"), "ReservedBits")
    assert.strictEqual(compressed("c900"), "ReservedBits")
    assert.strictEqual(compressed("e100"), "ReservedBits")
    assert.strictEqual(compressed("d100"), "ReservedBits")
  })
})

describe("5.5. Control Frames", () => {
  for (const opcode of [Opcode.close, Opcode.ping, Opcode.pong]) {
    it(`125 bytes are the most that opcode ${opcode} carries`, () => {
      const payload = patterned(125)
      assert.deepStrictEqual(decode([concat([new Uint8Array([0x80 | opcode, 125]), payload])]).events, [
        `control ${opcode} ${toHex(payload)}`
      ])
      for (const second of [126, 127]) {
        assert.strictEqual(decode([new Uint8Array([0x80 | opcode, second])]).kind, "ControlFrameTooLong")
      }
      assert.strictEqual(decode([new Uint8Array([opcode, 0])]).kind, "FragmentedControlFrame")
    })
  }

  it("the payload is a copy that a later change of the chunk does not reach", () => {
    const payloads: Array<Uint8Array> = []
    const sink = new Recorder()
    sink.control = (_, payload) => void payloads.push(payload)
    const chunk = hex("8902aabb 8a03ccddee")
    new FrameDecoder({ masking: "either" }).push(chunk, sink)
    chunk.fill(0)
    assert.deepStrictEqual(payloads, [hex("aabb"), hex("ccddee")])
  })
})

describe("5.4. Fragmentation", () => {
  it("control frames may come between the fragments of a message", () => {
    assert.deepStrictEqual(decode([hex("010161 8900 000162 8a0163 800164")]).events, [
      "start 1 1",
      "payload 61",
      "end",
      "control 9 ",
      "start 0 1",
      "payload 62",
      "end",
      "control 10 63",
      "start 0 fin 1",
      "payload 64",
      "end"
    ])
  })

  for (const [name, bytes, kind] of [
    ["a final continuation of nothing", "8000", "UnexpectedContinuation"],
    ["a continuation of nothing", "0000", "UnexpectedContinuation"],
    ["a continuation after a whole message", "8100 8000", "UnexpectedContinuation"],
    ["a continuation after the last fragment", "0100 8000 8000", "UnexpectedContinuation"],
    ["a continuation after a control frame alone", "8900 8000", "UnexpectedContinuation"],
    ["text in the midst of text", "0100 8100", "ExpectedContinuation"],
    ["a first fragment in the midst of binary", "0200 0200", "ExpectedContinuation"],
    ["a message after a ping in the midst of one", "0200 8900 8200", "ExpectedContinuation"]
  ] as const) {
    it(`${name} is out of order`, () => {
      assert.strictEqual(decode([hex(bytes)]).kind, kind)
    })
  }

  it("a decoder is idle between messages alone", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const sink = new Recorder()
    const idle: Array<boolean> = [decoder.idle]
    for (const byte of hex("010161 8000 8901aa 820161")) {
      decoder.push(new Uint8Array([byte]), sink)
      idle.push(decoder.idle)
    }
    const at = idle.flatMap((is, i) => (is ? [i] : []))
    // before the first byte, after the message, after the ping, and after the next message
    assert.deepStrictEqual(at, [0, 5, 8, 11])
  })

  it("another takes its place wherever it is fresh, and nobody can tell", () => {
    const one = new Recorder()
    const many = new Recorder()
    const whole = new FrameDecoder({ masking: "either" })
    let current = new FrameDecoder({ masking: "either" })
    let used = 0
    for (const byte of hex("010161 8901bb 8000 8901aa 820161 818537fa213d7f9f4d5158")) {
      whole.push(new Uint8Array([byte]), one)
      current.push(new Uint8Array([byte]), many)
      assert.strictEqual(current.isFresh, current.idle)
      if (!current.isFresh) continue
      current = new FrameDecoder({ masking: "either" })
      used++
    }
    assert.strictEqual(used, 4)
    assert.deepStrictEqual(many.soFar, one.soFar)
  })

  it("one that was stopped or has failed is not fresh: it takes nothing more", () => {
    const stopped = new FrameDecoder({ masking: "either" })
    stopped.stop()
    assert.deepStrictEqual([stopped.idle, stopped.isFresh], [true, false])
    const failed = new FrameDecoder({ masking: "either" })
    failsWith("ReservedOpcode", () => failed.push(hex("8300"), new Recorder()))
    assert.deepStrictEqual([failed.idle, failed.isFresh], [true, false])
  })
})

describe("7.1.7. Fail the WebSocket Connection", () => {
  it("a decoder that failed refuses all further use with the same fault, and tells its sink nothing more", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const sink = new Recorder()
    failsWith("ReservedOpcode", () => decoder.push(hex("8101 61 83 8900"), sink))
    assert.deepStrictEqual(sink.soFar, ["start 1 fin 1", "payload 61", "end"])
    for (const more of ["8900", "", "00"]) failsWith("ReservedOpcode", () => decoder.push(hex(more), sink))
    assert.strictEqual(sink.soFar.length, 3)
  })

  it("a fault that the sink throws is the decoder's own", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const strict = new Recorder()
    strict.frameStart = () => {
      throw new ProtocolError({ kind: "MessageTooBig", message: "a test takes nothing" })
    }
    failsWith("MessageTooBig", () => decoder.push(hex("820161"), strict))
    failsWith("MessageTooBig", () => decoder.push(hex("8900"), new Recorder()))
  })
})
