import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Schema from "effect/Schema"
import * as Frame from "../../src/protocol/Frame.ts"
import { FrameDecoder, type Options } from "../../src/protocol/FrameDecoder.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import type { Kind } from "../../src/protocol/ProtocolError.ts"
import { cutAt, eachByte, hex, patterned, utf8 } from "./bytes.ts"
import { cuts, decode, eventsOf, integer, kindOf, message, messages, Recorder, wire } from "./frames.ts"

const key = hex("a1b2c3d4")

/** Every form of header, masked and not, with fragments, control frames and empty frames between them. */
const stream: ReadonlyArray<Frame.Frame> = [
  Frame.make({ opcode: Opcode.text, payload: utf8("Hello") }),
  Frame.make({ opcode: Opcode.binary, payload: patterned(130), maskingKey: key }),
  Frame.make({ opcode: Opcode.ping, payload: utf8("are you there"), maskingKey: hex("00ff00ff") }),
  ...message(Opcode.binary, [patterned(3), patterned(0), patterned(61), patterned(127)], { maskingKey: key }).flatMap(
    (frame) => [frame, Frame.make({ opcode: Opcode.pong, payload: patterned(7) })]
  ),
  Frame.make({ opcode: Opcode.binary }),
  Frame.make({ opcode: Opcode.ping, maskingKey: key }),
  Frame.make({ opcode: Opcode.text, rsv1: true, payload: patterned(126), maskingKey: key }),
  Frame.make({ opcode: Opcode.close, payload: hex("03e8"), maskingKey: key })
]

const whole = (chunks: ReadonlyArray<Uint8Array>, frames: ReadonlyArray<Frame.Frame>, place?: string) => {
  const { decoder, events, kind } = decode(chunks, { allowRsv1: true })
  assert.strictEqual(kind, undefined, place)
  assert.deepStrictEqual(events, eventsOf(frames), place)
  assert.isTrue(decoder.idle, place)
}

describe("5.2. Base Framing Protocol: a byte stream in pieces", () => {
  it("a stream cut in two at any place reads as it does whole", () => {
    const bytes = wire(stream)
    for (let at = 0; at <= bytes.length; at++) whole(cutAt(bytes, [at]), stream, `cut at ${at}`)
  })

  it("a stream cut in three at any two near places reads as it does whole", () => {
    const bytes = wire(stream)
    for (let at = 0; at <= bytes.length; at++) {
      for (let gap = 1; gap <= 15; gap++)
        whole(cutAt(bytes, [at, Math.min(at + gap, bytes.length)]), stream, `cut at ${at}, ${gap}`)
    }
  })

  it("a stream that comes byte by byte, with empty chunks between, reads as it does whole", () => {
    const nothing = new Uint8Array(0)
    whole(
      eachByte(wire(stream)).flatMap((byte) => [nothing, byte, nothing]),
      stream
    )
  })

  it("a frame with a 64-bit length cut at any place of its header, and about its end, reads as it does whole", () => {
    for (const maskingKey of [undefined, key]) {
      const frames = [
        Frame.make({ opcode: Opcode.binary, payload: patterned(70_001), ...(maskingKey && { maskingKey }) }),
        Frame.make({ opcode: Opcode.pong, payload: hex("01") })
      ]
      const bytes = wire(frames)
      for (let i = 0; i < 20; i++) {
        whole(cutAt(bytes, [i]), frames)
        whole(cutAt(bytes, [bytes.length - i]), frames)
        whole(cutAt(bytes, [i, i + 1000 + i, i + 3000, 65536 + i]), frames)
      }
    }
  })

  it("what is left of an earlier header in pieces is no part of a later one", () => {
    const frames = [
      Frame.make({ opcode: Opcode.binary, maskingKey: hex("ffffffff"), payload: patterned(1) }),
      Frame.make({ opcode: Opcode.binary, payload: patterned(65_536) }),
      Frame.make({ opcode: Opcode.binary, maskingKey: hex("ffffffff"), payload: patterned(65_536) }),
      Frame.make({ opcode: Opcode.binary, maskingKey: hex("ffffffff"), payload: patterned(1) })
    ]
    const headers = Array.from({ length: 13 }, (_, i) => i + 1)
    whole(
      frames.flatMap((frame) => cutAt(Frame.toBytes(frame), headers.slice(0, 2 + frame.payload.length))),
      frames
    )
  })

  it("the bytes of a chunk that has been read may be used again at once", () => {
    const chunk = new Uint8Array(7)
    const decoder = new FrameDecoder({ masking: "either", allowRsv1: true })
    const sink = new Recorder()
    const bytes = wire(stream)
    for (let at = 0; at < bytes.length; at += chunk.length) {
      const piece = bytes.subarray(at, at + chunk.length)
      chunk.set(piece)
      decoder.push(chunk.subarray(0, piece.length), sink)
    }
    assert.deepStrictEqual(sink.soFar, eventsOf(stream))
  })

  it("payload is passed on with each chunk, as ranges of it, and no byte before or behind is touched", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const ranges: Array<readonly [number, number, number]> = []
    const sink = new Recorder()
    let chunk = hex("ee 828a a1b2c3d4 5a5a ee").subarray(1, 9)
    sink.framePayload = (at, start, end, frame) => {
      assert.strictEqual(at, chunk)
      ranges.push([start, end, frame.remaining])
    }
    decoder.push(chunk, sink)
    assert.deepStrictEqual(new Uint8Array(chunk.buffer), hex("ee 828a a1b2c3d4 fbe8 ee"))
    chunk = hex("5a5a5a5a5a5a5a5a 8900 5a")
    decoder.push(chunk.subarray(0, 0), sink)
    chunk = chunk.subarray(0, 10)
    decoder.push(chunk, sink)
    assert.deepStrictEqual(new Uint8Array(chunk.buffer), hex("998efbe8998efbe8 8900 5a"))
    assert.deepStrictEqual(ranges, [
      [6, 8, 8],
      [0, 8, 0]
    ])
  })

  it("progress is made by what comes of data, and by nothing else", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const progress = (bytes: string) => {
      const before = decoder.progress
      decoder.push(hex(bytes), new Recorder())
      return decoder.progress > before
    }
    for (const bytes of ["", "8900", "8a0161", "89", "01", "aa"]) assert.isFalse(progress(bytes), bytes)
    for (const bytes of ["0202", "61", "62"]) assert.isTrue(progress(bytes), bytes)
    for (const bytes of ["8900", "", "80"]) assert.isFalse(progress(bytes), bytes)
    for (const bytes of ["00", "8200", "89008200", "820161"]) assert.isTrue(progress(bytes), bytes)
  })

  it.prop(
    "any messages, with control frames in between, read the same however they are cut",
    [messages, cuts],
    ([legal, places]) => {
      const frames = legal.flat()
      whole(cutAt(wire(frames), places), frames)
    },
    { arbitrary: { runs: 300 } }
  )

  const garbage = Arbitrary.array(integer(0, 255), { maxLength: 64 })
  it.prop(
    "any bytes are read to their end or fail with a ProtocolError, at the same place however they are cut",
    [
      garbage,
      cuts,
      Arbitrary.schema(Schema.Literals(["required", "forbidden", "either"])),
      Arbitrary.schema(Schema.Boolean)
    ],
    ([numbers, places, masking, allowRsv1]) => {
      const bytes = new Uint8Array(numbers)
      // `decode` throws what is no ProtocolError
      const once = decode([bytes.slice()], { masking, allowRsv1 })
      for (const pieces of [cutAt(bytes, places), eachByte(bytes)]) {
        const again = decode(pieces, { masking, allowRsv1 })
        assert.deepStrictEqual([again.events, again.kind], [once.events, once.kind])
      }
    },
    { arbitrary: { runs: 2000 } }
  )

  it.prop(
    "legal messages with one bad byte do the same, and lose nothing of what came before it",
    [messages, cuts, integer(0, 200_000), integer(1, 255)],
    ([legal, places, place, change]) => {
      const bytes = wire(legal.flat())
      if (bytes.length === 0) return
      bytes[place % bytes.length]! ^= change
      const once = decode([bytes.slice()])
      const again = decode(cutAt(bytes, places))
      assert.deepStrictEqual([again.events, again.kind], [once.events, once.kind])
    },
    { arbitrary: { runs: 1000 } }
  )
})

describe("7.1.7. Fail the WebSocket Connection: at the first byte that is wrong", () => {
  const server: Options = { masking: "required" }
  const client: Options = { masking: "forbidden" }
  const cases: ReadonlyArray<readonly [name: string, options: Options, bytes: string, at: number, kind: Kind]> = [
    ["a reserved bit", server, "91 80 00000000", 0, "ReservedBits"],
    ["a reserved opcode", server, "83 80 00000000", 0, "ReservedOpcode"],
    ["a reserved control opcode", server, "8b 80 00000000", 0, "ReservedOpcode"],
    ["a control frame without FIN", server, "09 80 00000000", 0, "FragmentedControlFrame"],
    ["a missing mask", server, "82 7e 0100", 1, "UnmaskedFrame"],
    ["a mask", client, "82 fe 0100 00000000", 1, "MaskedFrame"],
    ["a long control frame", server, "89 fe 0100 00000000", 1, "ControlFrameTooLong"],
    ["a longer control frame", client, "88 7f 0000000000010000", 1, "ControlFrameTooLong"],
    ["a length that fits in 7 bits in 16", client, "82 7e 007d", 3, "NonMinimalLength"],
    ["a length that fits in 7 bits in 16, of a masked frame", server, "82 fe 007d 00000000", 3, "NonMinimalLength"],
    ["a length that fits in 16 bits in 64", server, "82 ff 000000000000ffff 00000000", 9, "NonMinimalLength"],
    ["a frame over the limit", { ...server, maxFrameSize: 10 }, "82 8b 00000000", 1, "FrameTooBig"],
    ["a frame over the limit in 16 bits", { ...server, maxFrameSize: 200 }, "82 fe 00c9 00000000", 3, "FrameTooBig"],
    [
      "a frame over the limit in 64 bits",
      { ...server, maxFrameSize: 1e6 },
      "82 ff 00000000 000f4241 0000",
      9,
      "FrameTooBig"
    ],
    ["the most significant bit of a length", server, "82 ff 8000000000000000 00000000", 2, "InvalidLength"],
    ["a continuation of nothing", server, "80 81 00000000 61", 0, "UnexpectedContinuation"]
  ]
  for (const [name, options, bytes, at, kind] of cases) {
    it(`${name} fails with byte ${at} of its header, however slowly the rest comes`, () => {
      const decoder = new FrameDecoder(options)
      const failedAt = eachByte(hex(bytes)).findIndex((byte) => {
        const found = kindOf(() => decoder.push(byte, new Recorder()))
        if (found !== undefined) assert.strictEqual(found, kind)
        return found !== undefined
      })
      assert.strictEqual(failedAt, at)
    })
  }

  it("a new message in the midst of another fails with its first byte", () => {
    const decoder = new FrameDecoder(client)
    assert.strictEqual(
      kindOf(() => decoder.push(hex("0100 81"), new Recorder())),
      "ExpectedContinuation"
    )
  })
})

describe("5.5.1. Close: nothing follows", () => {
  const stopping = (decoder: FrameDecoder, at: "control" | "frameStart" | "framePayload" | "frameEnd"): Recorder => {
    const sink = new Recorder()
    const original = sink[at].bind(sink) as (...args: ReadonlyArray<unknown>) => void
    sink[at] = (...args: ReadonlyArray<unknown>) => {
      original(...args)
      decoder.stop()
    }
    return sink
  }

  it("a decoder that its sink stopped ignores the rest of the chunk and all later ones, whatever they hold", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const sink = stopping(decoder, "control")
    decoder.push(hex("810161 8800 810162 ff"), sink)
    decoder.push(hex("83"), sink)
    assert.deepStrictEqual(sink.soFar, ["start 1 fin 1", "payload 61", "end", "control 8 "])
  })

  it("a decoder may be stopped from outside, in the midst of a payload", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const sink = new Recorder()
    decoder.push(hex("820461"), sink)
    decoder.stop()
    decoder.push(hex("626364 83"), sink)
    assert.deepStrictEqual(sink.soFar, ["start 2 fin 4", "payload 61"])
  })

  it("a decoder stopped at the end of a frame reads no other", () => {
    const decoder = new FrameDecoder({ masking: "either" })
    const sink = stopping(decoder, "frameEnd")
    decoder.push(hex("810161 810162"), sink)
    assert.deepStrictEqual(sink.soFar, ["start 1 fin 1", "payload 61", "end"])
  })
})
