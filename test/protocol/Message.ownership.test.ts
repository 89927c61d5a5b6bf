/** Files share nothing with one another, and a buffer that is transferred here is gone for the rest of the file. */
import { assert, describe, it } from "@effect/vitest"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { hex, toHex, utf8 } from "./bytes.ts"
import { message } from "./frames.ts"
import { Controls, into, noLimits, shown } from "./sinks.ts"

/** What `postMessage(bytes, [bytes.buffer])` to a worker does to bytes. */
const transfer = (bytes: Uint8Array) => structuredClone(bytes, { transfer: [bytes.buffer] })

const after = [
  ...message(Opcode.binary, [hex("01"), hex("02")]),
  ...message(Opcode.binary, [hex("")]),
  ...message(Opcode.text, [utf8("a"), hex("")]),
  ...message(Opcode.binary, [hex("03")], { rsv1: true })
]

describe("the bytes of an empty message are its receiver's own: to transfer them harms no message after it", () => {
  it("of messages", () => {
    const sink = new Message.Messages(noLimits, new Controls())
    into(sink)(Frame.make({ opcode: Opcode.binary }))
    transfer(sink.out.pop() as Uint8Array)
    into(sink)(...after)
    assert.deepStrictEqual(sink.out.map(shown), ["0102", "", '"a"', "compressed binary 03"])
  })

  it("of fragments", () => {
    const sink = new Message.Fragments(noLimits, new Controls())
    into(sink)(Frame.make({ opcode: Opcode.binary }))
    transfer((sink.out.pop() as Message.Fragment).payload)
    into(sink)(...after)
    assert.deepStrictEqual(sink.out.map(shown), [
      "first binary 01",
      "last binary 02",
      "first last binary ",
      "first text 61",
      "last text ",
      "compressed binary 03"
    ])
  })

  it("of payloads", () => {
    const sink = new Message.Payloads(noLimits, new Controls())
    into(sink)(...message(Opcode.binary, [hex("")], { rsv1: true }))
    transfer((sink.out.pop() as Message.CompressedMessage).bytes)
    into(sink)(...after)
    assert.deepStrictEqual(sink.out.map(shown), ["01", "02", "61", "compressed binary 03"])
  })

  it("of control frames", () => {
    const payloads: Array<Uint8Array> = []
    const sink = new Message.Discard({ control: (_, payload) => void payloads.push(payload) })
    into(sink)(Frame.make({ opcode: Opcode.ping }))
    transfer(payloads.pop()!)
    into(sink)(Frame.make({ opcode: Opcode.ping }), Frame.make({ opcode: Opcode.ping, payload: hex("01") }))
    assert.deepStrictEqual(payloads.map(toHex), ["", "01"])
  })
})
