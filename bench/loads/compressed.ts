/**
 * The messages of the rows with permessage-deflate: 1 KiB of JSON each, none like another within the largest window, as
 * the masked frames that a client which compresses sends (RFC 7692 §7.2.1), made beforehand; and the check that what comes
 * back inflates to what was sent.
 *
 * With context takeover a frame depends on the messages before it. The messages go round: they are more than a window
 * holds, so from the second round on the window before each of them is always the same, and so is its frame.
 */
import { constants, createDeflateRaw, deflateRawSync, inflateRawSync } from "node:zlib"
import { maskedFrame, rsv1 } from "../frames.ts"
import { numbers } from "./numbers.ts"

/** How messages are compressed: each by itself, or with those before it as context. */
export type Compression = "fresh" | "takeover"

const count = 64
const windowBytes = 1 << 15
const flushed = Buffer.from([0, 0, 0xff, 0xff])
const textOpcode = 1

const words = "alpha bravo charlie delta echo foxtrot golf hotel india juliett kilo lima mike november".split(" ")

/** What an application sends: records with names, numbers and identifiers, cut to the very size by a last field. */
const json = (index: number, size: number): Buffer => {
  const draw = numbers(index + 1)
  // the low bits of such a generator go round in short circles
  const next = () => draw() >>> 8
  const word = () => words[next() % words.length] ?? ""
  const record = () => ({
    id: draw().toString(16).padStart(8, "0"),
    name: `${word()} ${word()}`,
    active: next() % 3 > 0,
    price: (next() % 100_000) / 100,
    tags: [word(), word()]
  })
  const items = [record()]
  const text = (rest: string) => JSON.stringify({ sequence: index, type: "update", items, rest })
  while (text("").length + 120 < size) items.push(record())
  let rest = ""
  while (text(rest).length < size) rest += word()
  return Buffer.from(text(rest.slice(0, rest.length - (text(rest).length - size))))
}

const frame = (deflated: Buffer): Buffer =>
  maskedFrame(rsv1 | textOpcode, deflated.subarray(0, deflated.length - flushed.length))

const inOneContext = async (messages: ReadonlyArray<Buffer>): Promise<ReadonlyArray<Buffer>> => {
  const stream = createDeflateRaw()
  let chunks: Array<Buffer> = []
  stream.on("data", (chunk: Buffer) => chunks.push(chunk))
  const deflated: Array<Buffer> = []
  for (const message of messages) {
    stream.write(message)
    await new Promise<void>((resolve) => stream.flush(constants.Z_SYNC_FLUSH, resolve))
    deflated.push(Buffer.concat(chunks))
    chunks = []
  }
  stream.close()
  return deflated
}

/** Makes the messages; gives the frame of each that a connection sends, by how many it has sent before. */
export const compressedMessages = async (size: number, compression: Compression) => {
  const messages = Array.from({ length: count }, (_, index) => json(index, size))
  const deflated =
    compression === "fresh"
      ? messages.map((message) => deflateRawSync(message, { finishFlush: constants.Z_SYNC_FLUSH }))
      : await inOneContext([...messages, ...messages])
  const frames = deflated.map(frame)
  return {
    frame: (sent: number): Buffer => {
      const found = frames[sent < frames.length ? sent : frames.length - count + (sent % count)]
      if (found === undefined) throw new Error("expected a frame for every message")
      return found
    },
    message: (sent: number): Buffer => messages[sent % count] ?? Buffer.alloc(0)
  }
}
export type CompressedMessages = Awaited<ReturnType<typeof compressedMessages>>

/** Holds what comes back on a connection against what was sent, message by message. */
export class Inspector {
  private readonly messages: CompressedMessages
  private readonly compression: Compression
  private parts: Array<Buffer> = []
  private window = Buffer.alloc(0)
  private seen = 0

  constructor(messages: CompressedMessages, compression: Compression) {
    this.messages = messages
    this.compression = compression
  }

  payload(bytes: Buffer): void {
    this.parts.push(Buffer.from(bytes))
  }

  /** What is wrong with the message that has ended. */
  message(): string | undefined {
    const deflated = Buffer.concat([...this.parts, flushed])
    this.parts = []
    let inflated: Buffer
    try {
      const dictionary = this.window.length > 0 ? { dictionary: this.window } : {}
      inflated = inflateRawSync(deflated, { finishFlush: constants.Z_SYNC_FLUSH, ...dictionary })
    } catch (error) {
      return `a message came back that does not inflate: ${error instanceof Error ? error.message : String(error)}`
    }
    if (!inflated.equals(this.messages.message(this.seen++))) return "another message came back than was sent"
    if (this.compression === "takeover") this.window = Buffer.concat([this.window, inflated]).subarray(-windowBytes)
    return undefined
  }
}
