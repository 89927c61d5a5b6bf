/**
 * The compressed messages of the benchmark: real frames of a client, in every round, and a check that can fail.
 */
import { assert, describe, it } from "@effect/vitest"
import { constants, createInflateRaw, deflateRawSync, inflateRawSync } from "node:zlib"
import { FrameReader } from "../../bench/frames.ts"
import { compressedMessages, Inspector } from "../../bench/loads/compressed.ts"

const size = 1024
const flushed = Buffer.from([0, 0, 0xff, 0xff])
/** Three rounds and a bit. */
const sent = Array.from({ length: 200 }, (_, index) => index)

/** The payload of one masked frame. */
const unmasked = (frame: Buffer): Buffer => {
  const start = (frame[1]! & 127) === 126 ? 8 : 6
  return Buffer.from(frame.subarray(start).map((byte, index) => byte ^ frame[start - 4 + (index & 3)]!))
}

describe("the messages", () => {
  it("are JSON of the size that was asked for, none like another within a window", async () => {
    const { message } = await compressedMessages(size, "fresh")
    const texts = sent.slice(0, 33).map((index) => message(index).toString())
    for (const text of texts) {
      assert.strictEqual(text.length, size)
      assert.strictEqual(typeof JSON.parse(text), "object")
    }
    assert.strictEqual(new Set(texts).size, texts.length)
  })

  it("are compressed each by itself without context takeover", async () => {
    const { frame, message } = await compressedMessages(size, "fresh")
    for (const index of sent) {
      const deflated = Buffer.concat([unmasked(frame(index)), flushed])
      const inflated = inflateRawSync(deflated, { finishFlush: constants.Z_SYNC_FLUSH })
      assert.isTrue(inflated.equals(message(index)), `message ${index}`)
    }
  })

  it("are compressed in the context of those before, round after round, with context takeover", async () => {
    const fresh = await compressedMessages(size, "fresh")
    const { frame, message } = await compressedMessages(size, "takeover")
    const stream = createInflateRaw()
    const chunks: Array<Buffer> = []
    stream.on("data", (chunk: Buffer) => chunks.push(chunk))
    for (const index of sent) {
      stream.write(Buffer.concat([unmasked(frame(index)), flushed]))
      await new Promise<void>((resolve) => stream.flush(resolve))
      const inflated = Buffer.concat(chunks.splice(0))
      assert.isTrue(inflated.equals(message(index)), `message ${index}`)
    }
    stream.close()
    // the first of a later round knows those of the round before
    assert.isBelow(frame(128).length, fresh.frame(128).length)
  })
})

describe("the inspector", () => {
  const deflated = (message: Buffer): Buffer =>
    deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH }).subarray(0, -flushed.length)

  it("takes what was sent, in order", async () => {
    const messages = await compressedMessages(size, "takeover")
    const inspector = new Inspector(messages, "takeover")
    for (const index of sent) {
      inspector.payload(unmasked(messages.frame(index)))
      assert.strictEqual(inspector.message(), undefined)
    }
  })

  it("tells of another message, and of one that does not inflate", async () => {
    const messages = await compressedMessages(size, "fresh")
    const inspector = new Inspector(messages, "fresh")
    inspector.payload(deflated(messages.message(1)))
    assert.match(inspector.message() ?? "", /another message/)
    inspector.payload(Buffer.from([0xff, 0xff]))
    assert.match(inspector.message() ?? "", /does not inflate/)
  })
})

describe("the reader of frames", () => {
  const violations = (bytes: ReadonlyArray<number>, compressed: boolean): ReadonlyArray<string> => {
    const found: Array<string> = []
    const ignore = (): void => {}
    const sink = {
      payload: ignore,
      message: ignore,
      control: ignore,
      violation: (reason: string) => found.push(reason)
    }
    new FrameReader(sink, compressed).feed(Buffer.from(bytes), 0, bytes.length)
    return found
  }

  it("refuses a message that is not compressed where that was agreed on, and the other way round", () => {
    assert.lengthOf(violations([0x81, 1, 0x61], true), 1)
    assert.lengthOf(violations([0xc1, 1, 0], true), 0)
    assert.lengthOf(violations([0xc1, 1, 0], false), 1)
    assert.lengthOf(violations([0x81, 1, 0x61], false), 0)
    // a Ping has no such bit
    assert.lengthOf(violations([0x89, 0], true), 0)
  })
})
