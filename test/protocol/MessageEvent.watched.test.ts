/** Bytes, and events of the messages that are watched, in one stream: `Watched`. */
import { assert, describe, it } from "@effect/vitest"
import type * as Frame from "../../src/protocol/Frame.ts"
import { FrameDecoder } from "../../src/protocol/FrameDecoder.ts"
import type * as Message from "../../src/protocol/Message.ts"
import { ControlFrame, type MessageEvent, Watched } from "../../src/protocol/MessageEvent.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { concat, cutAt, hex, toHex, utf8 } from "./bytes.ts"
import { cuts, failsWith, integer, message, messages, wire } from "./frames.ts"
import { Controls, noLimits, shown } from "./sinks.ts"

type Item = Uint8Array | MessageEvent | Message.CompressedMessage

const isControl = (item: Item): item is ControlFrame => item instanceof ControlFrame

const make = (gathering = { pieceSize: 65536, wholeMessages: false }) => {
  const watching = { isWatching: () => state.isWatched, gathering }
  const controls = new Controls()
  const sink = new Watched(noLimits, controls, watching)
  const decoder = new FrameDecoder({ masking: "either", allowRsv1: true })
  const items: Array<Item> = []
  const state = {
    isWatched: false,
    controls,
    items,
    push: (chunk: Uint8Array) => {
      decoder.push(chunk, sink)
      items.push(...sink.take())
    },
    /** Bytes in hexadecimal, events with what they are. */
    shown: () => items.map((item) => (isControl(item) ? `control ${item.opcode}` : shown(item)))
  }
  return state
}

const binary = (...parts: ReadonlyArray<string>) => wire(message(Opcode.binary, parts.map(hex)))
const text = (...parts: ReadonlyArray<string>) => wire(message(Opcode.text, parts.map(utf8)))

describe("what is watched", () => {
  it("is decided where a message begins, and not where a chunk does", () => {
    const state = make()
    const one = binary("0102", "0304")
    state.push(one.slice(0, 3))
    state.isWatched = true
    state.push(concat([one.slice(3), binary("05"), text("six")]))
    state.isWatched = false
    state.push(concat([binary("07"), binary("08")]))
    assert.deepStrictEqual(state.shown(), [
      "01",
      "020304",
      "first last binary 05",
      `first last text ${toHex(utf8("six"))}`,
      "0708"
    ])
  })

  it("goes on to the end of its message", () => {
    const state = make()
    state.isWatched = true
    const one = binary("0102", "0304")
    state.push(one.slice(0, 4))
    state.isWatched = false
    state.push(concat([one.slice(4), binary("05")]))
    assert.deepStrictEqual(state.shown(), ["first binary 0102", "last binary 0304", "05"])
  })

  it("is not written over by bytes of the same chunk that are moved together", () => {
    const state = make()
    let asked = 0
    const watching = { isWatching: () => asked++ === 1, gathering: { pieceSize: 65536, wholeMessages: false } }
    const sink = new Watched(noLimits, new Controls(), watching)
    const decoder = new FrameDecoder({ masking: "either" })
    decoder.push(concat([binary("01"), binary("02"), binary("03"), binary("04")]), sink)
    state.items.push(...sink.take())
    assert.deepStrictEqual(state.shown(), ["01", "first last binary 02", "0304"])
  })

  it("has no control frames in it, which still are controls", () => {
    const state = make()
    state.isWatched = true
    state.push(concat([hex("890101"), binary("01"), hex("8a0102")]))
    assert.deepStrictEqual(state.shown(), ["first last binary 01"])
    assert.deepStrictEqual(state.controls.seen, ["9 01", "10 02"])
  })

  it("is held to UTF-8 as what is not", () => {
    for (const isWatched of [false, true]) {
      const state = make()
      state.isWatched = isWatched
      failsWith("InvalidUtf8", () => state.push(concat([hex("810161"), hex("8101ff")])))
    }
  })

  it("tells of a compressed message whether it becomes an event", () => {
    const state = make()
    const compressed = wire(message(Opcode.binary, [hex("0102")], { rsv1: true }))
    state.push(compressed.slice())
    state.isWatched = true
    state.push(compressed.slice())
    assert.deepStrictEqual(
      state.items.map((item) => (item as Message.CompressedMessage).isEvent),
      [false, true]
    )
  })

  const data = (frames: ReadonlyArray<Frame.Frame>) =>
    toHex(concat(frames.filter(({ opcode }) => opcode < 8).map(({ payload }) => payload)))

  /** Runs of bytes, and each message of events, as `bytes` and `event` with what they carry. */
  const joined = (items: ReadonlyArray<Item>): ReadonlyArray<string> => {
    const out: Array<string> = []
    let isOpen = false
    for (const item of items) {
      if (item instanceof Uint8Array) {
        if (out.at(-1)?.startsWith("bytes") === true) out.push(out.pop()! + toHex(item))
        else out.push(`bytes ${toHex(item)}`)
      } else if ("first" in item) {
        assert.strictEqual(item.first, !isOpen)
        if (item.first) out.push("event ")
        out.push(out.pop()! + toHex(item.payload))
        isOpen = !item.last
      }
    }
    assert.isFalse(isOpen)
    return out
  }

  it.prop(
    "is whole, in order and beside all the rest, however messages are cut and whoever watches when",
    [messages, cuts, integer(0, 31), integer(1, 200), integer(0, 1)],
    ([legal, places, watched, pieceSize, whole]) => {
      const isWatched = (index: number) => ((watched >> index) & 1) === 1
      const gathering = { pieceSize, wholeMessages: whole === 1 }
      let asked = 0
      const sink = new Watched(noLimits, new Controls(), { isWatching: () => isWatched(asked++), gathering })
      const decoder = new FrameDecoder({ masking: "either" })
      const items: Array<Item> = []
      for (const chunk of cutAt(wire(legal.flat()), places)) {
        decoder.push(chunk, sink)
        // of pieces of one byte there are more than a call takes arguments
        for (const item of sink.take()) items.push(item)
      }
      const expected: Array<string> = []
      for (const [index, frames] of legal.entries()) {
        const bytes = data(frames)
        if (isWatched(index)) expected.push(`event ${bytes}`)
        else if (bytes !== "" && expected.at(-1)?.startsWith("bytes") === true) expected.push(expected.pop()! + bytes)
        else if (bytes !== "") expected.push(`bytes ${bytes}`)
      }
      assert.deepStrictEqual(joined(items), expected)
      for (const item of items) {
        if (!("first" in item)) continue
        if (gathering.wholeMessages) assert.isTrue(item.first && item.last)
        else assert.isAtMost(item.payload.length, pieceSize)
      }
    },
    { arbitrary: { runs: 300 } }
  )
})
