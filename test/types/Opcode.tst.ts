import { describe, expect, test } from "tstyche"
import type * as Opcode from "../../src/protocol/Opcode.ts"

describe("Opcode", () => {
  test("is a union of the six opcodes of RFC 6455", () => {
    expect<Opcode.Opcode>().type.toBe<0x0 | 0x1 | 0x2 | 0x8 | 0x9 | 0xa>()
    expect<Opcode.Opcode>().type.not.toBeAssignableFrom<0x3>()
  })
})
