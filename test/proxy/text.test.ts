/**
 * `messages: "text"`: a target that speaks UTF-8 in front of clients that want text. Wherever the network cuts the target's
 * bytes, each message is whole code points.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { connected, type Connected, soon } from "./connected.ts"
import * as Frames from "./frames.ts"

/** Every length of UTF-8, a combining mark, a BOM in the middle and at the start, and NUL. */
const sample = "\ufeffaé€😀 e\u0301 \ufeff\u0000 z"

const text = (): Effect.Effect<Connected, never, Scope.Scope> => connected({ messages: "text" })

const fatal = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })

/** All messages as text; each must be a text message and UTF-8 by itself. */
const received = ({ client }: Connected): string =>
  client.messages
    .map((message) => {
      assert.strictEqual(message.opcode, Frames.text)
      return fatal.decode(message.payload)
    })
    .join("")

describe("text messages", { timeout: 30_000 }, () => {
  it.live("whole text arrives as one text message", () =>
    Effect.gen(function* () {
      const all = yield* text()
      yield* all.target.write(Buffer.from(sample))
      yield* all.client.untilPayload(Buffer.byteLength(sample))
      assert.strictEqual(received(all), sample)
      assert.strictEqual(all.client.messages.length, 1)
    })
  )

  it.live(
    "cut at any byte, no message ends inside a code point",
    () =>
      Effect.gen(function* () {
        const bytes = Buffer.from(sample)
        for (let cut = 1; cut < bytes.length; cut++) {
          yield* Effect.scoped(
            Effect.gen(function* () {
              const all = yield* text()
              yield* all.target.write(bytes.subarray(0, cut))
              // the first part is through when what is whole of it has arrived
              yield* all.client.untilPayload(wholeUpTo(bytes, cut), soon)
              yield* all.target.write(bytes.subarray(cut))
              yield* all.client.untilPayload(bytes.length, soon)
              assert.strictEqual(received(all), sample, `cut at ${cut}`)
              yield* all.target.end()
              yield* all.client.until("close 1000", soon)
              yield* all.client.sendClose(1000)
              yield* all.client.end()
            })
          )
        }
      }),
    30_000
  )

  it.live("byte by byte", () =>
    Effect.gen(function* () {
      const all = yield* text()
      const bytes = Buffer.from(sample)
      for (let i = 0; i < bytes.length; i++) {
        yield* all.target.write(bytes.subarray(i, i + 1))
        yield* all.client.untilPayload(wholeUpTo(bytes, i + 1), soon)
      }
      assert.strictEqual(received(all), sample)
    })
  )

  it.live("2 MB of characters of three and four bytes, wherever the reads fall", () =>
    Effect.gen(function* () {
      const all = yield* text()
      const long = "€😀x".repeat(250_000)
      yield* all.target.write(Buffer.from(long))
      yield* all.client.untilPayload(Buffer.byteLength(long))
      assert.isTrue(received(all) === long)
    })
  )

  it.live.each([
    ["a lone continuation byte", [0x61, 0x80, 0x62], "a\ufffdb"],
    ["a byte that is never UTF-8", [0xff, 0x61], "\ufffda"],
    ["an overlong form", [0xc0, 0xaf], "\ufffd\ufffd"],
    ["a surrogate", [0xed, 0xa0, 0x80], "\ufffd\ufffd\ufffd"],
    ["a code point cut short by another", [0xe2, 0x82, 0x61], "\ufffda"]
  ] as const)("%s becomes U+FFFD", ([, bytes, expected]) =>
    Effect.gen(function* () {
      const all = yield* text()
      yield* all.target.write(Buffer.from(bytes))
      yield* all.client.untilPayload(Buffer.byteLength(expected), soon)
      assert.strictEqual(received(all), expected)
    })
  )

  it.live("a code point that the target does not finish becomes U+FFFD before the Close", () =>
    Effect.gen(function* () {
      const all = yield* text()
      yield* all.target.write(Buffer.concat([Buffer.from("end"), Buffer.from([0xf0, 0x9f, 0x98])]))
      yield* all.target.end()
      yield* all.client.until("close 1000", soon)
      assert.strictEqual(received(all), "end\ufffd")
    })
  )

  it.live("from the client, text and binary both reach the target as bytes", () =>
    Effect.gen(function* () {
      const { client, target } = yield* text()
      yield* client.send(Frames.text, "é€")
      yield* client.send(Frames.binary, Buffer.from([0xff, 0x00]))
      yield* target.untilReceived(7)
      assert.deepStrictEqual([...target.bytes], [...Buffer.from("é€"), 0xff, 0x00])
    })
  )
})

/** How many of the first bytes are whole code points. */
const wholeUpTo = (bytes: Buffer, end: number): number => {
  let at = end
  while (at < bytes.length && at > 0 && (bytes[at]! & 0xc0) === 0x80) at--
  return at
}
