import { assert, describe, it } from "@effect/vitest"
import * as Frame from "../../src/protocol/Frame.ts"
import { FrameDecoder } from "../../src/protocol/FrameDecoder.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { concat, cutAt, eachByte, hex, patterned, toHex, utf8 } from "./bytes.ts"
import { cuts, failsWith, kindOf, message, messages, wire } from "./frames.ts"
import { Controls, into, noLimits, notUtf8, shown } from "./sinks.ts"

const text = (...parts: ReadonlyArray<string>) => message(Opcode.text, parts.map(utf8))
const binary = (...parts: ReadonlyArray<string>) => message(Opcode.binary, parts.map(hex))

const make = (limits: Partial<Message.Limits> = {}) => {
  const controls = new Controls()
  const sink = new Message.Messages({ ...noLimits, ...limits }, controls)
  return { sink, controls, push: into(sink), out: () => sink.out.map(shown) }
}

describe("5.6. Data Frames", () => {
  it("a text message is a string and a binary one its bytes, empty ones too", () => {
    const { out, push } = make()
    push(...text("Hello"), ...binary("00ff"), ...text(""), ...binary(""))
    assert.deepStrictEqual(out(), ['"Hello"', "00ff", '""', ""])
  })

  it("a byte order mark is a character like any other", () => {
    const { out, push } = make()
    push(...text("\ufeffa"), ...text("\ufeff", "\ufeffb"))
    assert.deepStrictEqual(out(), ['"\ufeffa"', '"\ufeff\ufeffb"'])
  })

  it("all messages of one chunk come out of it, in order", () => {
    const { out, push } = make()
    push(wire([...text("a"), ...binary("01", "02"), ...text("é", "€"), ...binary("03")]))
    assert.deepStrictEqual(out(), ['"a"', "0102", '"é€"', "03"])
  })

  it("a message that came whole is not copied", () => {
    const { push, sink } = make()
    const chunk = wire(binary("0102030405"))
    push(chunk)
    assert.strictEqual((sink.out[0] as Uint8Array).buffer, chunk.buffer)
  })

  it("control frames go where they are told to, at their place between the fragments", () => {
    const { controls, out, push } = make()
    const [first, last] = text("a", "b")
    push(first!, Frame.make({ opcode: Opcode.ping, payload: hex("01") }), Frame.make({ opcode: Opcode.pong }), last!)
    assert.deepStrictEqual(controls.seen, ["9 01", "10 "])
    assert.deepStrictEqual(out(), ['"ab"'])
  })
})

describe("5.4. Fragmentation", () => {
  for (const [name, frames, expected] of [
    ["of bytes", binary("01", "0203", "04"), "01020304"],
    ["of bytes with empty ones at every place", binary("", "01", "", "", "02", ""), "0102"],
    ["of bytes, all empty", binary("", "", ""), ""],
    ["of bytes with the only payload last", binary("", "", "010203"), "010203"],
    ["of bytes with the only payload first", binary("010203", "", ""), "010203"],
    ["of text", text("He", "llo ", "Wörld"), '"Hello Wörld"'],
    ["of text with empty ones at every place", text("", "a", "", "", "b", ""), '"ab"'],
    ["of text, all empty", text("", "", ""), '""'],
    ["of text with the only payload last", text("", "", "€"), '"€"'],
    ["of text with the only payload first", text("€", "", ""), '"€"']
  ] as const) {
    it(`fragments ${name} are one message, whole, frame by frame and byte by byte`, () => {
      const bytes = wire(frames)
      for (const chunks of [[bytes.slice()], frames, eachByte(bytes)]) {
        const { out, push } = make()
        push(...chunks)
        assert.deepStrictEqual(out(), [expected])
      }
    })
  }

  it("a character may be cut by the end of a fragment, at each of its bytes", () => {
    const bytes = utf8("aé€𝄞b")
    for (let at = 0; at <= bytes.length; at++) {
      const { out, push } = make()
      push(...message(Opcode.text, [bytes.slice(0, at), bytes.slice(at)]))
      assert.deepStrictEqual(out(), ['"aé€𝄞b"'])
    }
  })

  it("a message leaves nothing to the next", () => {
    const { out, push } = make({ maxMessageSize: 6, maxFragments: 3 })
    for (let i = 0; i < 5; i++) push(...text("abc", "d", "ef"), ...binary("0102", "", "03040506"))
    assert.deepStrictEqual(out(), Array.from({ length: 5 }, () => ['"abcdef"', "010203040506"]).flat())
  })

  it.prop(
    "any binary messages come out as they are, however they are cut",
    [messages, cuts],
    ([legal, places]) => {
      const { push, sink } = make()
      push(...cutAt(wire(legal.flat()), places))
      assert.deepStrictEqual(
        sink.out.map((item) => toHex(item as Uint8Array)),
        legal.map((frames) => toHex(concat(frames.filter(({ opcode }) => opcode < 8).map(({ payload }) => payload))))
      )
    },
    { arbitrary: { runs: 300 } }
  )
})

describe("10.4. Implementation-Specific Limits", () => {
  for (const opcode of [Opcode.text, Opcode.binary] as const) {
    const kind = opcode === Opcode.text ? "text" : "binary"
    const of = (sizes: ReadonlyArray<number>, rsv1 = false) =>
      message(
        opcode,
        sizes.map((size) => new Uint8Array(size).fill(0x61)),
        { rsv1 }
      )
    for (const sizes of [[1000], [1, 999], [500, 0, 500], [999, 1, 0]]) {
      for (const rsv1 of [false, true]) {
        it(`a ${rsv1 ? "compressed " : ""}${kind} message of frames of ${sizes.join(", ")} bytes fits in its sum and in no byte less`, () => {
          const exact = make({ maxMessageSize: 1000 })
          exact.push(...of(sizes, rsv1))
          assert.strictEqual(exact.sink.out.length, 1)
          failsWith("MessageTooBig", () => make({ maxMessageSize: 999 }).push(...of(sizes, rsv1)))
        })
      }
    }

    it(`a ${kind} message that will be too big fails with the header that says so, before its payload`, () => {
      const { push } = make({ maxMessageSize: 1000 })
      const [first, second] = of([600, 401])
      push(first!)
      const header = wire([second!]).subarray(0, 4)
      push(header.slice(0, 3))
      failsWith("MessageTooBig", () => push(header.slice(3)))
    })

    it(`a ${kind} message has at most maxFragments frames, empty ones counted`, () => {
      for (const sizes of [[1], [1, 1, 1], [0, 0, 0]]) {
        const frames = of(sizes)
        const exact = make({ maxFragments: sizes.length })
        exact.push(...frames)
        assert.strictEqual(exact.sink.out.length, 1)
        failsWith("TooManyFragments", () => make({ maxFragments: sizes.length - 1 }).push(...frames))
      }
    })
  }

  it("control frames between the fragments are no fragments and no part of the size", () => {
    const { out, push } = make({ maxMessageSize: 2, maxFragments: 2 })
    const ping = Frame.make({ opcode: Opcode.ping, payload: patterned(100) })
    const [first, last] = binary("01", "02")
    push(ping, first!, ping, ping, last!, ping)
    assert.deepStrictEqual(out(), ["0102"])
  })

  it("a message of many gigabytes in announced frames is counted, not wrapped around", () => {
    const { push } = make({ maxMessageSize: 2 ** 40 })
    failsWith("MessageTooBig", () => push(hex("827f0000010000000001")))
  })

  it("nothing is set aside for bytes that are announced and do not come", () => {
    const before = process.memoryUsage().arrayBuffers
    const { push } = make({ maxMessageSize: 2 ** 40 })
    push(hex("827f0000000040000000"), patterned(100))
    assert.isBelow(process.memoryUsage().arrayBuffers - before, 64 * 1024 * 1024)
  })

  it("the memory of a message in many pieces never grows past what was announced", () => {
    for (const length of [1025, 3000, 70_000, 1_000_001]) {
      const { push, sink } = make()
      const bytes = wire([Frame.make({ opcode: Opcode.binary, payload: patterned(length) })])
      push(
        ...cutAt(
          bytes,
          Array.from({ length: Math.ceil(bytes.length / 700) }, (_, i) => i * 700)
        )
      )
      const assembled = sink.out[0] as Uint8Array
      assert.strictEqual(toHex(assembled), toHex(patterned(length)))
      assert.strictEqual(assembled.buffer.byteLength, length)
    }
  })

  it("the memory of a message in many frames never grows past the limit", () => {
    const { push, sink } = make({ maxMessageSize: 5000 })
    push(
      ...message(
        Opcode.binary,
        Array.from({ length: 50 }, (_, i) => patterned(100, i))
      )
    )
    assert.isAtMost((sink.out[0] as Uint8Array).buffer.byteLength, 5000)
  })
})

describe("8.1. Handling of Errors in UTF-8-Encoded Data", () => {
  for (const [name, pieces] of notUtf8) {
    it(`${name} fails the message that is whole`, () => {
      failsWith("InvalidUtf8", () => make().push(...text("ok"), ...message(Opcode.text, [hex(pieces.join(""))])))
    })

    it(`${name} fails in fragments, with the fragment that shows it`, () => {
      const { push } = make()
      const frames = message(Opcode.text, [...pieces.map(hex), utf8("never comes")])
      push(...frames.slice(0, pieces.length - 1))
      failsWith("InvalidUtf8", () => push(frames[pieces.length - 1]!))
    })

    it(`${name} fails in pieces of one frame, with the piece that shows it`, () => {
      const { push } = make()
      const bytes = hex(pieces.join(""))
      const all = wire([Frame.make({ opcode: Opcode.text, payload: concat([bytes, utf8("never comes")]) })])
      const failing = all.length - "never comes".length - hex(pieces.at(-1)!).length
      push(...eachByte(all.slice(0, failing)))
      failsWith("InvalidUtf8", () => push(...eachByte(all.slice(failing, all.length - "never comes".length))))
    })
  }

  for (const cut of ["c3", "e2", "e282", "f0", "f09d", "f09d84"]) {
    it(`a message that ends within a character (${cut}) fails, in whatever pieces it comes`, () => {
      const payload = concat([utf8("ab"), hex(cut)])
      for (const frames of [
        message(Opcode.text, [payload]),
        message(Opcode.text, [payload, new Uint8Array(0)]),
        message(Opcode.text, [new Uint8Array(0), payload]),
        message(Opcode.text, [...eachByte(payload)])
      ]) {
        failsWith("InvalidUtf8", () => make().push(...frames))
        failsWith("InvalidUtf8", () => make().push(...eachByte(wire(frames))))
      }
    })
  }

  it("binary and compressed messages are not held to UTF-8", () => {
    const { out, push } = make()
    push(...binary("ff", "c0"), ...message(Opcode.text, [hex("ff"), hex("c0")], { rsv1: true }))
    assert.deepStrictEqual(out(), ["ffc0", "compressed text ffc0"])
  })

  it("decodeText is strict, keeps a byte order mark, and has no memory of a failure", () => {
    for (const [, pieces] of notUtf8) failsWith("InvalidUtf8", () => Message.decodeText(hex(pieces.join(""))))
    failsWith("InvalidUtf8", () => Message.decodeText(hex("e282")))
    assert.strictEqual(Message.decodeText(hex("efbbbf61")), "\ufeffa")
    assert.strictEqual(Message.decodeText(new Uint8Array(0)), "")
  })
})

describe("RFC 7692 6.2. Receiving a Compressed Message", () => {
  it("compressed messages come whole and as they are, between those that are not", () => {
    const { out, push } = make()
    push(
      ...message(Opcode.text, [hex("f248")], { rsv1: true }),
      ...text("plain", " text"),
      ...message(Opcode.binary, [hex("01"), hex(""), hex("02")], { rsv1: true }),
      ...message(Opcode.binary, [hex("")], { rsv1: true }),
      ...binary("03")
    )
    assert.deepStrictEqual(out(), [
      "compressed text f248",
      '"plain text"',
      "compressed binary 0102",
      "compressed binary ",
      "03"
    ])
  })
})

describe("what a sink has ready", () => {
  it("is taken once, in order", () => {
    const { push, sink } = make()
    assert.deepStrictEqual(sink.take(), [])
    push(...text("a"), ...binary("01"))
    assert.deepStrictEqual(sink.take().map(shown), ['"a"', "01"])
    assert.deepStrictEqual(sink.take(), [])
    push(...text("b"))
    assert.deepStrictEqual(sink.take().map(shown), ['"b"'])
  })

  it("is the taker's: it does not grow when more comes, be it empty", () => {
    const { push, sink } = make()
    const nothing = sink.take()
    push(...text("a"))
    const one = sink.take()
    push(...text("b"))
    assert.deepStrictEqual([nothing, one.map(shown)], [[], ['"a"']])
    assert.deepStrictEqual(sink.take().map(shown), ['"b"'])
  })
})

describe("the bytes of a message", () => {
  it("do not change when later messages come", () => {
    const { push, sink } = make()
    const decoder = new FrameDecoder({ masking: "either" })
    const kept: Array<readonly [Uint8Array, string]> = []
    for (let i = 0; i < 300; i++) {
      const payload = patterned((i * 17) % 400, i)
      const maskingKey = patterned(4, i)
      push(...message(Opcode.binary, cutAt(payload, [i]), { maskingKey }))
      decoder.push(wire([Frame.make({ opcode: Opcode.binary, payload, maskingKey })]), sink)
      for (const item of sink.out.splice(0)) kept.push([item as Uint8Array, toHex(payload)])
    }
    assert.strictEqual(kept.length, 600)
    for (const [bytes, expected] of kept) assert.strictEqual(toHex(bytes), expected)
    assert.strictEqual(
      kindOf(() => push(...binary("01"))),
      undefined
    )
  })
})
