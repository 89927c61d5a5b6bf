import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { ProtocolError } from "../../src/protocol/ProtocolError.ts"
import { concat, cutAt, hex, patterned, toHex, utf8 } from "./bytes.ts"
import { anyFrame, cuts, failsWith, kindOf, messages, wire } from "./frames.ts"

const hello = utf8("Hello")
const maskingKey = hex("37fa213d")
const examples: ReadonlyArray<readonly [name: string, bytes: string, frame: Frame.Frame]> = [
  ["a single-frame unmasked text message", "810548656c6c6f", Frame.make({ opcode: Opcode.text, payload: hello })],
  [
    "a single-frame masked text message",
    "818537fa213d7f9f4d5158",
    Frame.make({ opcode: Opcode.text, payload: hello, maskingKey })
  ],
  [
    "the first fragment of an unmasked text message",
    "010348656c",
    Frame.make({ opcode: Opcode.text, fin: false, payload: utf8("Hel") })
  ],
  ["its last fragment", "80026c6f", Frame.make({ opcode: Opcode.continuation, payload: utf8("lo") })],
  ["an unmasked Ping request", "890548656c6c6f", Frame.make({ opcode: Opcode.ping, payload: hello })],
  [
    "its masked Ping response",
    "8a8537fa213d7f9f4d5158",
    Frame.make({ opcode: Opcode.pong, payload: hello, maskingKey })
  ],
  [
    "256 bytes of binary data",
    `827e0100${toHex(patterned(256))}`,
    Frame.make({ opcode: Opcode.binary, payload: patterned(256) })
  ],
  [
    "64 KiB of binary data",
    `827f0000000000010000${toHex(patterned(65536))}`,
    Frame.make({ opcode: Opcode.binary, payload: patterned(65536) })
  ]
]

const decodeSchema = Schema.decodeUnknownEffect(Frame.FromBytes)
const encodeSchema = Schema.encodeUnknownEffect(Frame.FromBytes)

describe("5.7. Examples", () => {
  for (const [name, bytes, frame] of examples) {
    it.effect(`${name} is read and written, by the functions and by the schema`, () =>
      Effect.gen(function* () {
        assert.deepStrictEqual(Frame.fromBytes(hex(bytes)), Result.succeed(frame))
        assert.deepStrictEqual(Frame.toBytes(frame), hex(bytes))
        assert.deepStrictEqual(yield* decodeSchema(hex(bytes)), frame)
        assert.deepStrictEqual(yield* encodeSchema(frame), hex(bytes))
      })
    )
  }

  it("RSV1 of a compressed message is kept (RFC 7692 section 7.2.3.1)", () => {
    const bytes = hex("c107f248cdc9c90700")
    const frame = Frame.make({ opcode: Opcode.text, rsv1: true, payload: hex("f248cdc9c90700") })
    assert.deepStrictEqual(Frame.fromBytes(bytes), Result.succeed(frame))
    assert.deepStrictEqual(Frame.toBytes(frame), bytes)
  })
})

describe("Frame", () => {
  it("make gives a final, empty frame", () => {
    assert.deepStrictEqual(Frame.make({ opcode: Opcode.ping }), {
      fin: true,
      rsv1: false,
      opcode: 9,
      payload: new Uint8Array(0)
    })
  })

  it("a masking key has four bytes", () => {
    const isFrame = Schema.is(Frame.Frame)
    for (let length = 0; length < 8; length++) {
      assert.strictEqual(isFrame(Frame.make({ opcode: Opcode.binary, maskingKey: patterned(length) })), length === 4)
    }
  })

  it("reserved opcodes are none", () => {
    const isFrame = Schema.is(Frame.Frame)
    const opcodes = Array.from({ length: 18 }, (_, i) => i - 1)
    assert.deepStrictEqual(
      opcodes.filter((opcode) => isFrame({ fin: true, rsv1: false, opcode, payload: new Uint8Array(0) })),
      [0, 1, 2, 8, 9, 10]
    )
  })
})

describe("toBytes", () => {
  it("gives bytes that are the caller's own, to transfer with nothing else", () => {
    const { buffer } = Frame.toBytes(Frame.make({ opcode: Opcode.text, payload: hello }))
    assert.strictEqual(buffer.byteLength, 2 + hello.length)
  })
})

describe("fromBytes", () => {
  const failure = (bytes: Uint8Array) => Result.getOrThrow(Result.flip(Frame.fromBytes(bytes)))

  it("a frame cut short at any place is refused", () => {
    for (const [, bytes] of examples.slice(0, 7)) {
      const whole = hex(bytes)
      for (let length = 0; length < whole.length; length++) {
        const { kind, message } = failure(whole.subarray(0, length))
        assert.deepStrictEqual([kind, message], ["InvalidLength", `the frame is not whole in ${length} bytes`], bytes)
      }
    }
  })

  it("bytes behind the frame are refused, be they part of one, one or many", () => {
    for (const [, bytes] of examples) {
      for (const more of ["81", "8900", "810161", "890089008900", "ff"]) {
        assert.instanceOf(failure(concat([hex(bytes), hex(more)])), ProtocolError)
      }
    }
  })

  it("the kind of a fault is kept", () => {
    assert.strictEqual(failure(hex("8300")).kind, "ReservedOpcode")
    assert.strictEqual(failure(hex("c000")).kind, "ReservedBits")
    assert.strictEqual(failure(hex("827e0001")).kind, "NonMinimalLength")
    assert.strictEqual(failure(hex("897e0080")).kind, "ControlFrameTooLong")
    assert.strictEqual(failure(hex("")).kind, "InvalidLength")
  })

  it("the bytes that are read are not changed", () => {
    const bytes = hex("818537fa213d7f9f4d5158")
    Frame.fromBytes(bytes)
    assert.deepStrictEqual(bytes, hex("818537fa213d7f9f4d5158"))
  })

  it.effect("the schema fails with the fault's message", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(decodeSchema(hex("8300")))
      assert.include(String(error), "opcode 0x3 is reserved")
    })
  )

  it.effect("the schema writes nothing that it would not read", () =>
    Effect.gen(function* () {
      for (const [frame, message] of [
        [Frame.make({ opcode: Opcode.ping, fin: false }), "without FIN"],
        [Frame.make({ opcode: Opcode.close, payload: patterned(200) }), "more than 125 bytes"],
        [Frame.make({ opcode: Opcode.pong, rsv1: true }), "reserved bits"],
        [Frame.make({ opcode: Opcode.continuation, rsv1: true }), "reserved bits"]
      ] as const) {
        assert.include(String(yield* Effect.flip(encodeSchema(frame))), message)
      }
    })
  )

  it.prop(
    "reading what was written gives any frame back, by the functions, the schema and the incremental decoder",
    [anyFrame],
    ([frame]) => {
      const bytes = Frame.toBytes(frame)
      assert.deepStrictEqual(Frame.fromBytes(bytes), Result.succeed(frame))
      assert.deepStrictEqual(Schema.decodeUnknownSync(Frame.FromBytes)(bytes), frame)
      assert.deepStrictEqual(Schema.encodeUnknownSync(Frame.FromBytes)(frame), bytes)
    },
    { arbitrary: { runs: 500 } }
  )
})

describe("decoder", () => {
  it.prop(
    "reading what was written gives any messages back, however they are cut",
    [messages, cuts],
    ([legal, places]) => {
      const frames = legal.flat()
      const { push } = Frame.decoder({ masking: "either" })
      assert.deepStrictEqual(
        cutAt(wire(frames), places).flatMap((chunk) => push(chunk)),
        frames
      )
    },
    { arbitrary: { runs: 300 } }
  )

  it("a chunk is not changed, and a frame does not change with the chunk", () => {
    const { push } = Frame.decoder({ masking: "required" })
    const chunk = hex("818537fa213d7f9f4d5158")
    const frames = push(chunk)
    assert.deepStrictEqual(chunk, hex("818537fa213d7f9f4d5158"))
    chunk.fill(0)
    assert.deepStrictEqual(frames, [Frame.make({ opcode: Opcode.text, payload: hello, maskingKey })])
  })

  it("a key is the frame's own, whatever frames follow", () => {
    const { push } = Frame.decoder({ masking: "required" })
    const frames = push(hex("8280 01020304 8280 05060708 8980 090a0b0c"))
    assert.deepStrictEqual(
      frames.map((frame) => frame.maskingKey),
      [hex("01020304"), hex("05060708"), hex("090a0b0c")]
    )
  })

  it("the largest frame is 1 MiB by default", () => {
    failsWith("FrameTooBig", () => Frame.decoder({ masking: "either" }).push(hex("827f0000000000100001")))
    assert.strictEqual(
      kindOf(() => Frame.decoder({ masking: "either" }).push(hex("827f0000000000100000"))),
      undefined
    )
  })

  it("an option that is undefined is an option that is absent", () => {
    const options = { masking: "either", maxFrameSize: undefined, allowRsv1: undefined } as const
    failsWith("FrameTooBig", () => Frame.decoder(options).push(hex("827f0000000000100001")))
    assert.strictEqual(
      kindOf(() => Frame.decoder(options).push(hex("c100"))),
      undefined
    )
  })
})
