import { assert, describe, it } from "@effect/vitest"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { concat, cutAt, eachByte, hex, toHex, utf8 } from "./bytes.ts"
import { cuts, failsWith, message, messages, wire } from "./frames.ts"
import { Controls, into, noLimits, notUtf8, shown } from "./sinks.ts"

const text = (...parts: ReadonlyArray<string>) => message(Opcode.text, parts.map(utf8))
const binary = (...parts: ReadonlyArray<string>) => message(Opcode.binary, parts.map(hex))

const make = (limits: Partial<Message.Limits> = {}) => {
  const controls = new Controls()
  const sink = new Message.Fragments({ ...noLimits, ...limits }, controls)
  return { sink, controls, push: into(sink), out: () => sink.out.map(shown) }
}

describe("5.4. Fragmentation: pieces as they arrive", () => {
  for (const [name, frames, expected] of [
    ["a message of one frame is one piece, first and last", binary("0102"), ["first last binary 0102"]],
    ["an empty message is one empty piece", binary(""), ["first last binary "]],
    ["an empty message of many frames is one empty piece", binary("", "", ""), ["first last binary "]],
    ["each frame is a piece", binary("01", "02", "03"), ["first binary 01", "binary 02", "last binary 03"]],
    ["an empty first frame is no piece", binary("", "01", "02"), ["first binary 01", "last binary 02"]],
    ["empty frames in the midst are no pieces", binary("01", "", "", "02"), ["first binary 01", "last binary 02"]],
    ["an empty last frame is an empty last piece", binary("01", ""), ["first binary 01", "last binary "]],
    ["with one payload last it is first and last", binary("", "", "01"), ["first last binary 01"]],
    ["text is told from bytes in each piece", text("a", "b"), ["first text 61", "last text 62"]],
    ["an empty text is text", text(""), ["first last text "]]
  ] as const) {
    it(name, () => {
      const { out, push } = make()
      push(...frames)
      assert.deepStrictEqual(out(), [...expected])
      // a message leaves nothing to the next, of whatever kind
      push(...binary("ff"), ...text("c"))
      assert.deepStrictEqual(out().slice(expected.length), ["first last binary ff", "first last text 63"])
    })
  }

  it("a frame that comes in pieces is passed on in them, and only its end is last", () => {
    const { out, push } = make()
    push(hex("820601"), hex("0203"), new Uint8Array(0), hex("040506 810161"))
    assert.deepStrictEqual(out(), ["first binary 01", "binary 0203", "last binary 040506", "first last text 61"])
  })

  it("a frame whose header alone has come is no piece yet", () => {
    const { out, push } = make()
    push(hex("0202"))
    assert.deepStrictEqual(out(), [])
    push(hex("01"), hex("02"), hex("8001"), hex("03"))
    assert.deepStrictEqual(out(), ["first binary 01", "binary 02", "last binary 03"])
  })

  it("payloads are views of the chunk", () => {
    const { push, sink } = make()
    const chunk = wire(binary("0102", "03"))
    push(chunk)
    for (const fragment of sink.out) assert.strictEqual((fragment as Message.Fragment).payload.buffer, chunk.buffer)
  })

  it("control frames go where they are told to and part no piece from its flags", () => {
    const { controls, out, push } = make()
    const ping = Frame.make({ opcode: Opcode.ping, payload: hex("aa") })
    push(...binary("01", "", "02").flatMap((frame) => [ping, frame]))
    assert.deepStrictEqual(out(), ["first binary 01", "last binary 02"])
    assert.deepStrictEqual(controls.seen, ["9 aa", "9 aa", "9 aa"])
  })

  it.prop(
    "any messages are their pieces put together, each with one first and one last, however they are cut",
    [messages, cuts],
    ([legal, places]) => {
      const { push, sink } = make()
      push(...cutAt(wire(legal.flat()), places))
      const assembled: Array<Array<Uint8Array>> = []
      let open = false
      for (const { first, last, payload } of sink.out as Array<Message.Fragment>) {
        assert.strictEqual(first, !open)
        if (first) assembled.push([])
        assembled.at(-1)!.push(payload)
        open = !last
      }
      assert.isFalse(open)
      assert.deepStrictEqual(
        assembled.map((parts) => toHex(concat(parts))),
        legal.map((frames) => toHex(concat(frames.filter(({ opcode }) => opcode < 8).map(({ payload }) => payload))))
      )
    },
    { arbitrary: { runs: 300 } }
  )
})

describe("10.4. Implementation-Specific Limits", () => {
  it("what is passed on piece by piece has no limit of its own", () => {
    const { out, push } = make({ maxMessageSize: 1, maxFragments: 1 })
    push(...binary("0102", "03", "04"))
    assert.strictEqual(out().length, 3)
  })

  it("what is held to be inflated has", () => {
    const compressed = message(Opcode.binary, [hex("0102"), hex("03")], { rsv1: true })
    const exact = make({ maxMessageSize: 3, maxFragments: 2 })
    exact.push(...compressed)
    assert.deepStrictEqual(exact.out(), ["compressed binary 010203"])
    failsWith("MessageTooBig", () => make({ maxMessageSize: 2 }).push(...compressed))
    failsWith("TooManyFragments", () => make({ maxFragments: 1 }).push(...compressed))
  })
})

describe("RFC 7692 6.2. Receiving a Compressed Message", () => {
  it("compressed messages come whole between the pieces of others", () => {
    const { out, push } = make()
    push(
      ...eachByte(
        wire([
          ...text("a"),
          ...message(Opcode.text, [hex("ff"), hex(""), hex("c0")], { rsv1: true }),
          ...message(Opcode.binary, [hex("")], { rsv1: true }),
          ...binary("01")
        ])
      )
    )
    assert.deepStrictEqual(out(), [
      "first last text 61",
      "compressed text ffc0",
      "compressed binary ",
      "first last binary 01"
    ])
  })
})

describe("8.1. Handling of Errors in UTF-8-Encoded Data", () => {
  it("a piece may end within a character", () => {
    const { out, push } = make()
    push(...eachByte(wire(text("€"))))
    assert.deepStrictEqual(out(), ["first text e2", "text 82", "last text ac"])
  })

  for (const [name, pieces] of notUtf8) {
    it(`${name} fails with the piece that shows it, which is not passed on`, () => {
      const { out, push } = make()
      const frames = message(Opcode.text, [...pieces.map(hex), utf8("never comes")])
      push(...frames.slice(0, pieces.length - 1))
      failsWith("InvalidUtf8", () => push(frames[pieces.length - 1]!))
      assert.strictEqual(out().length, pieces.length - 1)
    })
  }

  it("a message that ends within a character fails, also if its last frame is empty", () => {
    failsWith("InvalidUtf8", () => make().push(...message(Opcode.text, [hex("61e282")])))
    failsWith("InvalidUtf8", () => make().push(...message(Opcode.text, [hex("61e282"), hex("")])))
    failsWith("InvalidUtf8", () => make().push(...eachByte(wire(message(Opcode.text, [hex("61e282")])))))
  })

  it("binary messages are not held to UTF-8, also after text", () => {
    const { out, push } = make()
    push(...text("a"), ...binary("ff"), ...binary("c0", "ff"))
    assert.strictEqual(out().length, 4)
  })
})
