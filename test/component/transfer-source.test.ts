/**
 * What SetUploadStream is given: what is no stream, text in halves, and streams that are fast, that use their buffer again, or
 * that fail early.
 */
import { Readable } from "node:stream"
import { expect, it } from "vitest"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, until } from "./until.ts"

const failed = new Error("the disk is gone")

const start = () =>
  Serving.start((server) => {
    server.defaultTimeout = 20
  })

it("SetUploadStream, 10022: what is no stream is refused", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  const setUploadStream = serving.server.setUploadStream as unknown as (
    this: unknown,
    id: string,
    stream: unknown
  ) => Promise<void>
  for (const no of [undefined, null, 7, "text", {}, new Uint8Array(1)]) {
    expect(await codeOf(setUploadStream.call(serving.server, id, no))).toBe(10022)
  }
  await serving.server.sendText(id, "after")
  expect(await client.texts(1)).toEqual(["after"])
})

it("SetUploadStream: code points whose halves come in two strings", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  const [high = "", low = ""] = "😀".split("")
  await serving.server.setUploadStream(
    id,
    (async function* () {
      yield `a${high}`
      yield `${low}b`
      yield high
    })()
  )
  expect(await client.texts(1)).toEqual(["a😀b\ufffd"])
})

it("SetUploadStream: is read as fast as the client takes it, and no faster", async () => {
  await using serving = await start()
  const { client, connection, id } = await serving.raw()
  client.pause()
  let yielded = 0
  const size = 65_536
  const chunk = patternBytes(4, size)
  const endless = new Readable({
    // it fills itself as fast as it is read
    read() {
      yielded++
      this.push(yielded > 1000 ? null : chunk)
    }
  })
  const call = serving.server.setUploadStream(id, endless)
  let seen = -1
  let still = 0
  await until("the client to hold it up", () => {
    still = yielded === seen ? still + 1 : 0
    seen = yielded
    return seen > 0 && still > 20
  })
  expect(seen).toBeLessThan(500)
  expect(seen * size - connection.transferBytes).toBeLessThan(10 * size)
  client.resume()
  await call
  const [message] = await client.messages(1)
  expect(message?.payload.length).toBe(1000 * size)
})

it("SetUploadStream: an iterator may use its buffer again when it is asked for more", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  client.pause()
  const size = 30_000
  const total = 20_000_000
  const bytes = patternBytes(5, total)
  const buffer = Buffer.alloc(size)
  const call = serving.server.setUploadStream(
    id,
    (async function* () {
      for (let at = 0; at < total; at += size) {
        const length = bytes.copy(buffer, 0, at, at + size)
        yield buffer.subarray(0, length)
        buffer.fill(0)
      }
    })()
  )
  await until("some of it to wait", () => serving.server.connections.item(id).transferBytes > 1_000_000)
  client.resume()
  await call
  const [message] = await client.messages(1)
  expect(message?.payload.equals(bytes)).toBe(true)
})

it("SetUploadStream, 4202: a Node stream that fails before its turn comes", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  const turn = Promise.withResolvers<void>()
  const first = serving.server.setUploadStream(
    id,
    (async function* () {
      yield "first"
      await turn.promise
    })()
  )
  const source = new Readable({ read() {} })
  const second = failure(serving.server.setUploadStream(id, source))
  await until("the first", () => client.frames.length === 1)
  source.destroy(failed)
  await until("its failure", () => source.closed)
  turn.resolve()
  await first
  expect(await second).toMatchObject({ code: 4202, cause: failed })
  await serving.server.sendText(id, "after")
  expect(await client.texts(2)).toEqual(["first", "after"])
})
