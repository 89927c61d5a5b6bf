/**
 * What a message takes while it comes.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Message from "../../src/protocol/Message.ts"
import * as MessageEvent from "../../src/protocol/MessageEvent.ts"
import { collectGarbage } from "../component/server.ts"
import { Controls, into, noLimits } from "./sinks.ts"

const held = (): number => {
  collectGarbage()
  return process.memoryUsage().heapUsed
}

/** Frames of one character each. */
const first = Uint8Array.of(0x01, 1, 0x61)
const next = Uint8Array.of(0x00, 1, 0x61)
const last = Uint8Array.of(0x80, 1, 0x61)

const size = 512 * 1024

describe("5.4. Fragmentation", () => {
  for (const [what, sink] of [
    ["a message", new Message.Messages(noLimits, new Controls())],
    ["a message event", new MessageEvent.Events(noLimits, new Controls(), { pieceSize: 0, wholeMessages: true })]
  ] as const) {
    it(`${what} of one character to a frame takes little more than its bytes`, () => {
      const push = into(sink)
      // also when the code is optimized
      for (let round = 1; round < 4; round++) {
        const before = held()
        push(first)
        for (let i = 0; i < size; i++) push(next)
        assert.isBelow(held() - before, 6 * size)
        push(last)
        assert.strictEqual(sink.out.length, round)
      }
    })
  }
})
