/**
 * SetUploadStream: what a stream yields as one message, whatever kind of stream it is, and what becomes of the stream.
 */
import { Readable } from "node:stream"
import { setImmediate } from "node:timers/promises"
import { describe, expect, it } from "vitest"
import type { Source } from "../../src/component/internal/transfer.ts"
import { DataFormats } from "../../src/component/Enums.ts"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, until } from "./until.ts"

type Chunk = Uint8Array | string

const start = () =>
  Serving.start((server) => {
    server.defaultTimeout = 20
  })

/** A stream that notes whether it was closed. */
interface Noted {
  readonly source: Source
  readonly isClosed: () => boolean
  /** What a reader still gets of it. */
  readonly rest: () => Promise<string>
}

/** How a stream is made that yields these and then ends, fails, or yields no more. */
type Make = (chunks: ReadonlyArray<Chunk>, then: "ends" | "fails" | "stalls") => Noted

const failed = new Error("the disk is gone")

const node: Make = (chunks, then) => {
  let at = 0
  const source = new Readable({
    objectMode: true,
    read() {
      if (at < chunks.length) this.push(chunks[at++])
      else if (then === "ends") this.push(null)
      else if (then === "fails") this.destroy(failed)
    }
  })
  return {
    source,
    isClosed: () => source.destroyed,
    rest: async () => {
      source.push("the rest")
      source.push(null)
      let text = ""
      for await (const chunk of source) text += chunk
      return text
    }
  }
}

const web: Make = (chunks, then) => {
  let at = 0
  let isClosed = false
  let controller: ReadableStreamDefaultController<Chunk> | undefined
  const source = new ReadableStream<Chunk>(
    {
      start(given) {
        controller = given
      },
      pull(given) {
        const chunk = chunks[at++]
        if (chunk !== undefined) given.enqueue(chunk)
        else if (then === "ends") {
          isClosed = true
          given.close()
        } else if (then === "fails") given.error(failed)
        // that it stalls is to ask for no more
        else return new Promise(() => {})
        return undefined
      },
      cancel() {
        isClosed = true
      }
    },
    { highWaterMark: 0 }
  )
  return {
    source,
    isClosed: () => isClosed,
    rest: async () => {
      controller?.enqueue("the rest")
      controller?.close()
      let text = ""
      for await (const chunk of source) text += chunk
      return text
    }
  }
}

const generator: Make = (chunks, then) => {
  let isClosed = false
  let ask = () => {}
  const source = (async function* () {
    try {
      yield* chunks
      if (then === "fails") throw failed
      if (then === "stalls") {
        await new Promise<void>((resolve) => {
          ask = resolve
        })
      }
      if (then !== "ends") yield "the rest"
    } finally {
      isClosed = true
    }
  })()
  return {
    source,
    isClosed: () => isClosed,
    rest: async () => {
      ask()
      let text = ""
      for await (const chunk of source) text += String(chunk)
      return text
    }
  }
}

/** An iterable that is no iterator of its own, and whose iterators know when they are left. */
const iterable: Make = (chunks, then) => {
  let isClosed = false
  const source: AsyncIterable<Chunk> = {
    [Symbol.asyncIterator]: () => {
      let at = 0
      return {
        next: async () => {
          const value = chunks[at++]
          if (value !== undefined) return { value, done: false }
          if (then === "fails") throw failed
          if (then === "stalls") await new Promise(() => {})
          isClosed = true
          return { value: undefined, done: true }
        },
        return: async () => {
          isClosed = true
          return { value: undefined, done: true }
        }
      }
    }
  }
  return { source, isClosed: () => isClosed, rest: async () => "" }
}

describe.each([
  { kind: "a Node stream", make: node },
  { kind: "a web stream", make: web },
  { kind: "an async generator", make: generator },
  { kind: "an async iterable", make: iterable }
])("$kind", ({ kind, make }) => {
  it("SetUploadStream, MaxFrameSize: bytes are one binary message, in fragments of at most that size", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw()
    serving.server.config("MaxFrameSize=1000")
    const content = patternBytes(1, 3000)
    const chunks = [content.subarray(0, 10), content.subarray(10, 2510), new Uint8Array(0), content.subarray(2510)]
    await serving.server.setUploadStream(id, make(chunks, "ends").source)
    const [message] = await client.messages(1)
    expect([message?.isText, message?.payload.equals(content)]).toEqual([false, true])
    expect(message?.sizes.filter((size) => size > 0)).toEqual([10, 1000, 1000, 500, 490])
    expect([connection.transferBytes, connection.transferLength]).toEqual([3000, 0])
  })

  it("SetUploadStream, dfAutomatic, dfText, dfBinary: strings are text, unless DataFormat says binary; bytes are text if it says so", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw()
    const strings = ["aé", "", "€😀"]
    const { dfAutomatic, dfBinary, dfText } = DataFormats
    await serving.server.setUploadStream(id, make(strings, "ends").source)
    connection.dataFormat = dfText
    await serving.server.setUploadStream(id, make(strings, "ends").source)
    // each byte on its own, and in company of strings
    const bytes = [...Buffer.from("aé€😀")].map((byte) => Buffer.from([byte]))
    await serving.server.setUploadStream(id, make([...bytes, "!"], "ends").source)
    connection.dataFormat = dfBinary
    await serving.server.setUploadStream(id, make(strings, "ends").source)
    connection.dataFormat = dfAutomatic
    await serving.server.setUploadStream(id, make([Buffer.from("a"), "é"], "ends").source)
    const messages = await client.messages(5)
    expect(messages.map(({ isText, payload }) => [isText, payload.toString()])).toEqual([
      [true, "aé€😀"],
      [true, "aé€😀"],
      [true, "aé€😀!"],
      [false, "aé€😀"],
      [false, "aé"]
    ])
  })

  it("SetUploadStream, MaxFrameSize, dfText: text is cut between code points", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw()
    connection.dataFormat = DataFormats.dfText
    serving.server.config("MaxFrameSize=10")
    const text = "aé€😀".repeat(20)
    await serving.server.setUploadStream(id, make([text, Buffer.from(text)], "ends").source)
    const [message] = await client.messages(1)
    expect([message?.isText, message?.payload.toString()]).toEqual([true, text + text])
    expect(message?.sizes.every((size) => size <= 10)).toBe(true)
    expect(client.data.map(({ payload }) => payload.toString()).join("")).toBe(text + text)
  })

  it("SetUploadStream: a stream of nothing is an empty message", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw()
    await serving.server.setUploadStream(id, make([], "ends").source)
    connection.dataFormat = DataFormats.dfText
    await serving.server.setUploadStream(id, make([], "ends").source)
    const messages = await client.messages(2)
    expect(messages.map(({ isText, payload }) => [isText, payload.length])).toEqual([
      [false, 0],
      [true, 0]
    ])
  })

  it("SetUploadStream, CloseStreamAfterTransfer: the stream is closed after it", async () => {
    await using serving = await start()
    const { id } = await serving.raw()
    const { isClosed, source } = make(["a"], "ends")
    expect(serving.server.config("CloseStreamAfterTransfer")).toBe("True")
    await serving.server.setUploadStream(id, source)
    await until("it to be closed", isClosed)
  })

  it("SetUploadStream, 4202: a stream that fails at once leaves the connection as it is", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    const error = await failure(serving.server.setUploadStream(id, make([], "fails").source))
    expect([error.code, error.cause]).toEqual([4202, failed])
    await serving.server.sendText(id, "after")
    expect(await client.texts(1)).toEqual(["after"])
    expect(client.frames).toHaveLength(1)
  })

  it("SetUploadStream, 4202: a stream that fails midway ends the connection with 1011, as its message cannot be whole", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    const error = await failure(serving.server.setUploadStream(id, make(["a", "b"], "fails").source))
    expect([error.code, error.cause]).toEqual([4202, failed])
    await until("the Close frame", () => client.frames.at(-1)?.opcode === 8)
    expect(client.frames.map(({ fin }) => fin)).toEqual([false, false, true])
    expect(client.frames.at(-1)?.payload.readUInt16BE(0)).toBe(1011)
  })

  it("SetUploadStream, Interrupt, 301: a stream that stalls; its message ends there, and it is closed", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    const { isClosed, source } = make(["a", "b"], "stalls")
    const call = failure(serving.server.setUploadStream(id, source))
    await until("what there is of it", () => client.bytes.length === 2)
    await serving.server.interrupt(id)
    expect((await call).code).toBe(301)
    await serving.server.sendText(id, "after")
    expect(await client.texts(2)).toEqual(["ab", "after"])
    // a generator that waits for something is closed when it has that
    if (kind !== "an async generator") await until("it to be closed", isClosed)
  })

  it("SetUploadStream, CloseStreamAfterTransfer: False leaves it open, for others to read on", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    serving.server.config("CloseStreamAfterTransfer=False")
    const { isClosed, rest, source } = make(["a", "b"], "stalls")
    const aborter = new AbortController()
    const call = codeOf(serving.server.setUploadStream(id, source, aborter.signal))
    await until("what there is of it", () => client.bytes.length === 2)
    aborter.abort()
    expect(await call).toBe(301)
    await setImmediate()
    expect(isClosed()).toBe(false)
    // what an iterator was asked for already, nobody gets
    if (source instanceof Readable) expect(source.listenerCount("error")).toBe(0)
    expect(await rest()).toBe(kind === "a Node stream" || kind === "a web stream" ? "the rest" : "")
  })

  it("SetUploadStream, 301: a signal that is aborted already; the stream is closed, and nothing of it sent", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    const { isClosed, source } = make(["a"], "stalls")
    expect(await codeOf(serving.server.setUploadStream(id, source, AbortSignal.abort()))).toBe(301)
    if (kind !== "an async generator") await until("it to be closed", isClosed)
    await serving.server.sendText(id, "after")
    expect(await client.texts(1)).toEqual(["after"])
  })

  it("SetUploadStream, 4202: the connection ends while the stream stalls, and it is closed", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    const { isClosed, source } = make(["a"], "stalls")
    const call = codeOf(serving.server.setUploadStream(id, source))
    await until("what there is of it", () => client.bytes.length === 1)
    client.destroy()
    expect(await call).toBe(4202)
    if (kind !== "an async generator") await until("it to be closed", isClosed)
  })

  it("SetUploadStream, 10022: a stream of something else", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    // as a program without types would make it
    const { source } = make([7 as unknown as string], "ends")
    expect(await codeOf(serving.server.setUploadStream(id, source))).toBe(10022)
    await serving.server.sendText(id, "after")
    expect(await client.texts(1)).toEqual(["after"])
  })
})
