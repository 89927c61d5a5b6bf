import { assert, describe, it } from "@effect/vitest"
import * as Message from "../../src/protocol/Message.ts"
import * as MessageEvent from "../../src/protocol/MessageEvent.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import { concat, cutAt, eachByte, hex, patterned, toHex, utf8 } from "./bytes.ts"
import { cuts, failsWith, integer, message, messages, wire } from "./frames.ts"
import { Controls, into, noLimits, notUtf8 } from "./sinks.ts"

const text = (...parts: ReadonlyArray<string>) => message(Opcode.text, parts.map(utf8))
const binary = (...parts: ReadonlyArray<string>) => message(Opcode.binary, parts.map(hex))
const ping = (payload: string) => Frame.make({ opcode: Opcode.ping, payload: utf8(payload) })

const shown = (event: MessageEvent.MessageEvent | Message.CompressedMessage): string => {
  if (event instanceof Message.CompressedMessage) return `compressed ${toHex(event.bytes)}`
  if (MessageEvent.isControlFrame(event)) return `control ${event.opcode} ${toHex(event.payload)}`
  const { first, isText, last, payload } = event
  return `${first ? "first " : ""}${last ? "last " : ""}${isText ? JSON.stringify(event.text) : "binary"} ${toHex(payload)}`
}

const make = (gathering: Partial<MessageEvent.Gathering> = {}, limits: Partial<Message.Limits> = {}) => {
  const asked = { pieceSize: 1024, wholeMessages: false, ...gathering }
  const controls = new Controls()
  const sink = new MessageEvent.Events({ ...noLimits, ...limits }, controls, asked)
  return { asked, sink, controls, push: into(sink), out: () => sink.out.map(shown) }
}

describe("pieces", () => {
  it("each frame is a piece, an empty one too", () => {
    const { out, push } = make()
    push(...binary("01", "", "02"), ...binary(""), ...text("a", "b"))
    assert.deepStrictEqual(out(), [
      "first binary 01",
      "binary ",
      "last binary 02",
      "first last binary ",
      'first "a" 61',
      'last "b" 62'
    ])
  })

  it("a frame that comes in parts is one piece, if it is no larger than was asked for", () => {
    const { out, push } = make({ pieceSize: 4 })
    push(...eachByte(wire(binary("01020304"))))
    assert.deepStrictEqual(out(), ["first last binary 01020304"])
  })

  it("a larger frame comes in pieces of that size, however it is cut", () => {
    const bytes = patterned(10)
    for (const chunks of [[wire(message(Opcode.binary, [bytes]))], eachByte(wire(message(Opcode.binary, [bytes])))]) {
      const { out, push } = make({ pieceSize: 4 })
      push(...chunks)
      assert.deepStrictEqual(out(), [
        `first binary ${toHex(bytes.subarray(0, 4))}`,
        `binary ${toHex(bytes.subarray(4, 8))}`,
        `last binary ${toHex(bytes.subarray(8))}`
      ])
    }
  })

  it.prop(
    "each frame comes in pieces of the size that was asked for, and a rest, wherever it was cut",
    [messages, integer(1, 50), cuts],
    ([legal, pieceSize, places]) => {
      const frames = legal.flat()
      const { push, sink } = make({ pieceSize })
      push(...cutAt(wire(frames), places))
      const sizes = sink.out.flatMap((event) => ("isText" in event && "first" in event ? event.payload.length : []))
      const expected = frames.flatMap(({ opcode, payload: { length } }) => {
        if (Opcode.isControl(opcode)) return []
        const rest = length % pieceSize
        const full = Array.from({ length: Math.floor(length / pieceSize) }, () => pieceSize)
        return rest > 0 || length === 0 ? [...full, rest] : full
      })
      assert.deepStrictEqual(sizes, expected)
    }
  )

  it("without a size pieces come as they arrive, byte for byte at the least, and uncut", () => {
    const { out, push } = make({ pieceSize: 0 })
    push(...eachByte(wire(binary("0102"))))
    assert.deepStrictEqual(out(), ["first binary 01", "last binary 02"])
    const { out: uncut, push: pushAll } = make({ pieceSize: 0 })
    const bytes = wire(binary("0102030405"))
    pushAll(bytes.slice(0, -2), bytes.slice(-2))
    assert.deepStrictEqual(uncut(), ["first binary 010203", "last binary 0405"])
  })

  it("without a size from the midst of a piece on, what was held comes with the next that arrives", () => {
    const { asked, out, push } = make({ pieceSize: 4 })
    const bytes = wire(binary("01020304050607"))
    push(bytes.slice(0, -5))
    asked.pieceSize = 0
    push(bytes.slice(-5, -1), bytes.slice(-1))
    assert.deepStrictEqual(out(), ["first binary 010203040506", "last binary 07"])
  })

  it("the text of pieces put together is the message's, wherever a character is cut", () => {
    const whole = "aé𝄞€z"
    const bytes = utf8(whole)
    for (let at = 0; at <= bytes.length; at++) {
      const { push, sink } = make()
      push(...message(Opcode.text, [bytes.slice(0, at), bytes.slice(at)]))
      const pieces = sink.out as ReadonlyArray<MessageEvent.Piece>
      assert.strictEqual(pieces.map((piece) => piece.text).join(""), whole)
      assert.deepStrictEqual(concat(pieces.map((piece) => piece.payload)), bytes)
    }
  })

  it("a chunk that holds a whole piece is not copied", () => {
    const { push, sink } = make({ pieceSize: 2 })
    const chunk = wire(binary("0102", "03", "0405060708"))
    push(chunk)
    for (const piece of sink.out) assert.strictEqual((piece as MessageEvent.Piece).payload.buffer, chunk.buffer)
  })
})

describe("whole messages", () => {
  it("come when they are complete, text and bytes", () => {
    const { out, push } = make({ wholeMessages: true })
    push(...binary("01", "02"))
    push(wire(text("a", "é", "")).slice(0, 5))
    assert.deepStrictEqual(out(), ["first last binary 0102"])
    const rest = make({ wholeMessages: true })
    rest.push(...eachByte(wire(text("a", "é", ""))), ...binary("", ""), ...text(""))
    assert.deepStrictEqual(rest.out(), ['first last "aé" 61c3a9', "first last binary ", 'first last "" '])
  })

  it("larger ones fail with the first frame that makes them so", () => {
    const { push } = make({ wholeMessages: true }, { maxMessageSize: 3 })
    push(Frame.make({ opcode: Opcode.binary, fin: false, payload: hex("0102") }))
    failsWith("MessageTooBig", () => push(Frame.make({ opcode: Opcode.continuation, payload: hex("0304") })))
  })

  it("what is asked for may change between two messages", () => {
    const { asked, out, push } = make()
    push(...binary("01", "02"))
    asked.wholeMessages = true
    push(...binary("03", "04"))
    asked.wholeMessages = false
    push(...binary("05", "06"))
    assert.deepStrictEqual(out(), [
      "first binary 01",
      "last binary 02",
      "first last binary 0304",
      "first binary 05",
      "last binary 06"
    ])
  })

  it("a change in the midst of a message waits for the next", () => {
    const { asked, out, push } = make()
    const [first, second] = binary("01", "02")
    push(first!)
    asked.wholeMessages = true
    push(second!)
    assert.deepStrictEqual(out(), ["first binary 01", "last binary 02"])
  })

  it("a compressed message comes whole, to be inflated", () => {
    for (const wholeMessages of [true, false]) {
      const { out, push } = make({ wholeMessages })
      push(...eachByte(wire(message(Opcode.text, [hex("01"), hex("02")], { rsv1: true }))))
      assert.deepStrictEqual(out(), ["compressed 0102"])
    }
  })
})

describe("control frames", () => {
  it("come between the pieces, in their order, and are acted upon", () => {
    const { controls, out, push } = make()
    const [first, second] = binary("01", "02")
    push(ping("a"), first!, ping("b"), second!, Frame.make({ opcode: Opcode.pong, payload: utf8("c") }))
    assert.deepStrictEqual(out(), [
      "control 9 61",
      "first binary 01",
      "control 9 62",
      "last binary 02",
      "control 10 63"
    ])
    assert.strictEqual(controls.seen.length, 3)
  })

  it("a Close frame is none of them", () => {
    const { controls, out, push } = make()
    push(Frame.make({ opcode: Opcode.close, payload: hex("03e8") }))
    assert.deepStrictEqual(out(), [])
    assert.strictEqual(controls.seen.length, 1)
  })
})

describe("text that is not UTF-8 fails within the piece that shows it", () => {
  for (const [name, pieces] of notUtf8) {
    for (const wholeMessages of [true, false]) {
      it(`${name}, ${wholeMessages ? "in whole messages" : "in pieces"}`, () => {
        const { push } = make({ wholeMessages })
        const frames = message(Opcode.text, [...pieces, "61"].map(hex))
        push(...frames.slice(0, pieces.length - 1))
        failsWith("InvalidUtf8", () => push(frames[pieces.length - 1]!))
      })
    }
  }
})

it.prop("however a stream is cut, its pieces make up its messages", [messages, cuts], ([all, places]) => {
  for (const gathering of [{ pieceSize: 1009 }, { wholeMessages: true }, { pieceSize: 7 }]) {
    const { push, sink } = make(gathering)
    push(...cutAt(wire(all.flat()), places))
    const made: Array<Array<Uint8Array>> = []
    let isOpen = false
    for (const event of sink.out) {
      if (event instanceof Message.CompressedMessage || MessageEvent.isControlFrame(event)) continue
      assert.strictEqual(event.first, !isOpen)
      if (event.first) made.push([])
      made.at(-1)!.push(event.payload)
      isOpen = !event.last
    }
    const expected = all.map((frames) =>
      toHex(concat(frames.filter(({ opcode }) => !Opcode.isControl(opcode)).map(({ payload }) => payload)))
    )
    assert.deepStrictEqual(
      made.map((pieces) => toHex(concat(pieces))),
      expected
    )
  }
})
