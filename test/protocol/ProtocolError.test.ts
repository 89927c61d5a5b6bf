import { assert, describe, it } from "@effect/vitest"
import * as CloseCode from "../../src/protocol/CloseCode.ts"
import { FrameDecoder, type Options } from "../../src/protocol/FrameDecoder.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { closeCodeOf, type Kind, ProtocolError } from "../../src/protocol/ProtocolError.ts"
import { hex, utf8 } from "./bytes.ts"
import { message, wire } from "./frames.ts"
import { Controls } from "./sinks.ts"

const table: Record<Kind, number> = {
  ReservedBits: 1002,
  ReservedOpcode: 1002,
  UnmaskedFrame: 1002,
  MaskedFrame: 1002,
  NonMinimalLength: 1002,
  InvalidLength: 1002,
  FragmentedControlFrame: 1002,
  ControlFrameTooLong: 1002,
  UnexpectedContinuation: 1002,
  ExpectedContinuation: 1002,
  InvalidClosePayload: 1002,
  InvalidCloseCode: 1002,
  InvalidUtf8: 1007,
  InvalidCompressedData: 1007,
  FrameTooBig: 1009,
  MessageTooBig: 1009,
  TooManyFragments: 1008,
  TooManyControlFrames: 1008
}

describe("7.1.7. Fail the WebSocket Connection", () => {
  for (const [kind, code] of Object.entries(table) as Array<[Kind, number]>) {
    it(`${kind} fails the connection with ${code}`, () => {
      assert.strictEqual(closeCodeOf(kind), code)
      assert.strictEqual(new ProtocolError({ kind, message: "" }).closeCode, code)
      assert.isTrue(CloseCode.isValid(code))
    })
  }

  it("the message of each fault, with the largest numbers in it, fits in a close reason", () => {
    const server: Options = { masking: "required" }
    const either: Options = { masking: "either" }
    const huge = Number.MAX_SAFE_INTEGER - 1
    const limits = { maxMessageSize: huge, maxFragments: 1 }
    const messages = new Message.Messages(limits, new Controls())
    const faults: ReadonlyArray<readonly [Options, Uint8Array]> = [
      [either, hex("f1")],
      [either, hex("8f")],
      [server, hex("8100")],
      [{ masking: "forbidden" }, hex("8180")],
      [either, hex("827e007d")],
      [either, hex("827f000000000000ffff")],
      [either, hex("827fffffffffffffffff")],
      [either, hex("0900")],
      [either, hex("897e")],
      [either, hex("8000")],
      [either, hex("01008100")],
      [{ masking: "either", maxFrameSize: huge }, hex("827f001fffffffffffff")],
      [either, hex("827f7fffffffffffffff")],
      [either, hex("827f001fffffffffffff")],
      [either, wire(message(Opcode.binary, [hex("01"), hex("02")]))],
      [either, wire(message(Opcode.text, [hex("ff")]))]
    ]
    const kinds = new Set<Kind>()
    for (const [options, bytes] of faults) {
      try {
        new FrameDecoder(options).push(bytes, messages)
      } catch (error) {
        assert.instanceOf(error, ProtocolError)
        kinds.add(error.kind)
        assert.isAtMost(utf8(error.message).length, CloseCode.maxReasonBytes, error.message)
        assert.isAbove(error.message.length, 0)
      }
    }
    assert.strictEqual(kinds.size, 14)
  })
})

describe("Opcode", () => {
  it("the six that the RFC defines are opcodes, and three of them are of control frames", () => {
    const all = Array.from({ length: 16 }, (_, i) => i)
    const opcodes = all.filter((opcode) => Opcode.isOpcode(opcode))
    assert.deepStrictEqual(opcodes, [
      Opcode.continuation,
      Opcode.text,
      Opcode.binary,
      Opcode.close,
      Opcode.ping,
      Opcode.pong
    ])
    assert.deepStrictEqual(opcodes.filter(Opcode.isControl), [0x8, 0x9, 0xa])
  })
})
