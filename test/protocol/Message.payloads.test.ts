import { assert, describe, it } from "@effect/vitest"
import * as Frame from "../../src/protocol/Frame.ts"
import { FrameDecoder } from "../../src/protocol/FrameDecoder.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { concat, cutAt, eachByte, hex, patterned, toHex, utf8 } from "./bytes.ts"
import { cuts, failsWith, message, messages, wire } from "./frames.ts"
import { Controls, into, noLimits, notUtf8, shown } from "./sinks.ts"

const text = (...parts: ReadonlyArray<string>) => message(Opcode.text, parts.map(utf8))
const binary = (...parts: ReadonlyArray<string>) => message(Opcode.binary, parts.map(hex))

const make = (limits: Partial<Message.Limits> = {}) => {
  const controls = new Controls()
  const sink = new Message.Payloads({ ...noLimits, ...limits }, controls)
  const decoder = new FrameDecoder({ masking: "either", allowRsv1: true })
  /** Pushes chunks as a connection does: `flush` after each. */
  const push = (...chunks: ReadonlyArray<Uint8Array>) => {
    for (const chunk of chunks) {
      decoder.push(chunk, sink)
      sink.flush()
    }
  }
  return { sink, controls, push, out: () => sink.out.map(shown) }
}

const payloadsOf = (frames: ReadonlyArray<Frame.Frame>) =>
  concat(frames.filter(({ opcode }) => opcode < 8).map(({ payload }) => payload))

describe("the payloads of one chunk", () => {
  const mixed = [
    ...binary("0102", "", "03"),
    Frame.make({ opcode: Opcode.ping, payload: patterned(20) }),
    ...text("abc", "€"),
    ...message(Opcode.binary, [patterned(300), patterned(3000), patterned(1)]),
    Frame.make({ opcode: Opcode.pong }),
    ...binary(""),
    ...binary("ff")
  ]
  for (const maskingKey of [undefined, hex("a1b2c3d4")]) {
    it(`are moved together in it and come out as one piece, in order, ${maskingKey ? "masked" : "unmasked"}`, () => {
      const { controls, push, sink } = make()
      const chunk = wire(mixed.map((frame) => ({ ...frame, ...(maskingKey && { maskingKey }) })))
      push(chunk)
      assert.strictEqual(sink.out.length, 1)
      const piece = sink.out[0] as Uint8Array
      assert.strictEqual(toHex(piece), toHex(payloadsOf(mixed)))
      assert.strictEqual(piece.buffer, chunk.buffer)
      assert.deepStrictEqual(controls.seen, [`9 ${toHex(patterned(20))}`, "10 "])
    })
  }

  it("of one frame stay where they are", () => {
    const { push, sink } = make()
    const chunk = hex("820401020304")
    push(chunk)
    const piece = sink.out[0] as Uint8Array
    assert.deepStrictEqual([piece.buffer, piece.byteOffset, piece.length], [chunk.buffer, 2, 4])
  })

  it("that has none are no piece", () => {
    const { out, push } = make()
    push(new Uint8Array(0), hex("82"), hex("00"), hex("8900"), hex("0200 0000 8000"))
    assert.deepStrictEqual(out(), [])
  })

  it("of which a part belongs to the frame before and another to the one after are one piece", () => {
    const { out, push } = make()
    push(hex("820401"), hex("020304 0205 0a"), hex("0b0c0d0e 8001"), hex("0f 820110"))
    assert.deepStrictEqual(out(), ["01", "0203040a", "0b0c0d0e", "0f10"])
  })

  it("come out without a flush when the next chunk's begin", () => {
    const sink = new Message.Payloads(noLimits, new Controls())
    const decoder = new FrameDecoder({ masking: "either" })
    decoder.push(hex("820101 820102"), sink)
    assert.deepStrictEqual(sink.out, [])
    decoder.push(hex("820103"), sink)
    assert.deepStrictEqual(sink.out.map(shown), ["0102"])
    sink.flush()
    sink.flush()
    assert.deepStrictEqual(sink.out.map(shown), ["0102", "03"])
  })

  it("of a view touch nothing around it", () => {
    const { out, push } = make()
    const buffer = hex("eeee 820101 82020203 8900 820104 eeee")
    push(buffer.subarray(2, buffer.length - 2))
    assert.deepStrictEqual(out(), ["01020304"])
    assert.deepStrictEqual([buffer.subarray(0, 2), buffer.subarray(-2)], [hex("eeee"), hex("eeee")])
  })

  it("before a fault are not lost", () => {
    const { push, sink, out } = make()
    failsWith("ReservedOpcode", () => push(hex("820101 820102 83")))
    sink.flush()
    assert.deepStrictEqual(out(), ["0102"])
  })

  it.prop(
    "any messages are their bytes, one piece a chunk at most, however they are cut",
    [messages, cuts],
    ([legal, places]) => {
      const { push, sink } = make()
      const chunks = cutAt(wire(legal.flat()), places)
      for (const chunk of chunks) {
        const before = sink.out.length
        push(chunk)
        assert.isAtMost(sink.out.length - before, 1)
      }
      assert.strictEqual(toHex(concat(sink.out as Array<Uint8Array>)), toHex(payloadsOf(legal.flat())))
    },
    { arbitrary: { runs: 300 } }
  )
})

describe("10.4. Implementation-Specific Limits", () => {
  it("what is passed on has no limit of its own, and what is held to be inflated has", () => {
    const passedOn = make({ maxMessageSize: 1, maxFragments: 1 })
    passedOn.push(wire(binary("0102", "03", "04")))
    assert.deepStrictEqual(passedOn.out(), ["01020304"])
    const compressed = wire(message(Opcode.binary, [hex("0102"), hex("03")], { rsv1: true }))
    const exact = make({ maxMessageSize: 3, maxFragments: 2 })
    exact.push(compressed.slice())
    assert.deepStrictEqual(exact.out(), ["compressed binary 010203"])
    failsWith("MessageTooBig", () => make({ maxMessageSize: 2 }).push(compressed.slice()))
    failsWith("TooManyFragments", () => make({ maxFragments: 1 }).push(compressed.slice()))
  })
})

describe("RFC 7692 6.2. Receiving a Compressed Message", () => {
  const frames = [
    ...binary("01", "02"),
    ...message(Opcode.binary, [hex("f0f1"), hex(""), hex("f2")], { rsv1: true }),
    ...binary("03"),
    ...binary("04"),
    ...message(Opcode.text, [hex("ff")], { rsv1: true }),
    ...message(Opcode.binary, [hex("")], { rsv1: true }),
    ...binary("05")
  ]
  it("compressed messages come whole and in their place among the bytes of the others", () => {
    const { out, push } = make()
    push(wire(frames))
    assert.deepStrictEqual(out(), [
      "0102",
      "compressed binary f0f1f2",
      "0304",
      "compressed text ff",
      "compressed binary ",
      "05"
    ])
  })

  it("they do so byte by byte too", () => {
    const { out, push } = make()
    push(...eachByte(wire(frames)))
    const expected = [
      "01",
      "02",
      "compressed binary f0f1f2",
      "03",
      "04",
      "compressed text ff",
      "compressed binary ",
      "05"
    ]
    assert.deepStrictEqual(out(), expected)
  })

  it("a compressed message does not change when the chunks that brought it do", () => {
    const { out, push } = make()
    const [first, last] = message(Opcode.binary, [hex("0102"), hex("03")], { rsv1: true }).map((frame) => wire([frame]))
    push(first!, last!)
    first!.fill(0xee)
    last!.fill(0xee)
    assert.deepStrictEqual(out(), ["compressed binary 010203"])
  })
})

describe("8.1. Handling of Errors in UTF-8-Encoded Data", () => {
  it("text is checked and passed on as its bytes", () => {
    const { out, push } = make()
    push(...eachByte(wire(text("€"))), wire(text("a€", "𝄞")))
    assert.deepStrictEqual(out(), ["e2", "82", "ac", toHex(utf8("a€𝄞"))])
  })

  for (const [name, pieces] of notUtf8) {
    it(`${name} fails with the piece that shows it`, () => {
      const { push } = make()
      const frames = message(Opcode.text, [...pieces.map(hex), utf8("never comes")])
      push(...frames.slice(0, pieces.length - 1).map((frame) => wire([frame])))
      failsWith("InvalidUtf8", () => push(wire([frames[pieces.length - 1]!])))
      // and so it does when all of it comes at once
      failsWith("InvalidUtf8", () => make().push(wire(frames)))
    })
  }

  it("a message that ends within a character fails, also if its last frame is empty", () => {
    failsWith("InvalidUtf8", () => make().push(wire(message(Opcode.text, [hex("61e282")]))))
    failsWith("InvalidUtf8", () => make().push(wire(message(Opcode.text, [hex("61e282"), hex("")]))))
  })

  it("two halves of a character in two messages fail", () => {
    failsWith("InvalidUtf8", () =>
      make().push(wire([...message(Opcode.text, [hex("e282")]), ...message(Opcode.text, [hex("ac")])]))
    )
  })

  it("binary messages are not held to UTF-8, also after text", () => {
    const { out, push } = make()
    push(wire([...text("a"), ...binary("ff"), ...binary("c0", "ff")]))
    assert.deepStrictEqual(out(), ["61ffc0ff"])
  })
})

describe("Discard", () => {
  it("passes on control frames alone, and holds text to nothing", () => {
    const controls = new Controls()
    const close = Frame.make({ opcode: Opcode.close, payload: hex("03e8") })
    into(new Message.Discard(controls))(
      ...text("a"),
      ...message(Opcode.text, [hex("ff")]),
      ...binary("01", "02"),
      close
    )
    assert.deepStrictEqual(controls.seen, ["8 03e8"])
  })

  it("still has the decoder fail a fault of framing", () => {
    failsWith("UnexpectedContinuation", () => into(new Message.Discard(new Controls()))(hex("8000")))
  })
})
