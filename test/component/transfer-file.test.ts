/**
 * SendFile: a file as one message, as fast as the client takes it.
 */
import { createHash } from "node:crypto"
import { mkdtemp, open, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { DataFormats } from "../../src/component/Enums.ts"
import { BINARY, CONTINUATION, TEXT } from "../conformance/wire/frame.ts"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, until } from "./until.ts"

const megabyte = 1024 * 1024

let folder: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-"))
})
afterAll(() => rm(folder, { recursive: true }))

const file = async (content: Uint8Array | string): Promise<string> => {
  const path = join(folder, crypto.randomUUID())
  await writeFile(path, content)
  return path
}

const start = (timeout = 20) =>
  Serving.start((server) => {
    server.defaultTimeout = timeout
  })

describe.each([{ deflate: false }, { deflate: true }])("with permessage-deflate: $deflate", ({ deflate }) => {
  it("SendFile, MaxFrameSize: one binary message, in fragments of at most that size", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    const content = patternBytes(1, 300_000)
    await serving.server.sendFile(id, await file(content))
    serving.server.config("MaxFrameSize=1000")
    await serving.server.sendFile(id, await file(content.subarray(0, 2500)))
    const [large, small] = await client.messages(2)
    expect([large?.isText, large?.payload.equals(content)]).toEqual([false, true])
    expect(large?.sizes.every((size) => size <= 131_072)).toBe(true)
    expect([small?.isText, small?.payload.equals(content.subarray(0, 2500))]).toEqual([false, true])
    expect(small?.sizes.filter((size) => size > 0)).toEqual([1000, 1000, 500])
  })

  it("SendFile, dfText: as text, whose code points lie across what is read at a time", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw({ deflate })
    connection.dataFormat = DataFormats.dfText
    const sizes = [4, 7, 1000, 131_072]
    for (const [i, size] of sizes.entries()) {
      serving.server.config(`MaxFrameSize=${size}`)
      const text = "aé€😀".repeat(size)
      await serving.server.sendFile(id, await file(text))
      const message = (await client.messages(i + 1)).at(-1)
      expect([message?.isText, message?.payload.toString() === text]).toEqual([true, true])
      expect(message?.sizes.every((length) => length <= size)).toBe(true)
    }
  })
})

it("SendFile: an empty file is an empty message, of text if DataFormat says so", async () => {
  await using serving = await start()
  const { client, connection, id } = await serving.raw()
  const empty = await file("")
  await serving.server.sendFile(id, empty)
  connection.dataFormat = DataFormats.dfText
  await serving.server.sendFile(id, empty)
  const messages = await client.messages(2)
  expect(messages.map(({ isText, payload }) => [isText, payload.length])).toEqual([
    [false, 0],
    [true, 0]
  ])
})

it("SendFile, DataFormat: a file is binary if DataFormat does not say text", async () => {
  await using serving = await start()
  const { client, connection, id } = await serving.raw()
  const path = await file("abc")
  const { dfAutomatic, dfBinary, dfPing, dfPong } = DataFormats
  for (const format of [dfAutomatic, dfBinary, dfPing, dfPong]) {
    connection.dataFormat = format
    await serving.server.sendFile(id, path)
  }
  const messages = await client.messages(4)
  expect(messages.map(({ isText, payload }) => [isText, payload.toString()])).toEqual(
    messages.map(() => [false, "abc"])
  )
})

it("SendFile, 135: with Timeout 0 on a connection that does not wait, and nothing is sent", async () => {
  await using serving = await start(0)
  const { client, connection, id } = await serving.raw()
  const path = await file("abc")
  const error = await failure(serving.server.sendFile(id, path))
  expect([error.code, error.message]).toEqual([135, "Operation would block."])
  expect(await codeOf(serving.server.setUploadStream(id, new ReadableStream<string>()))).toBe(135)
  connection.timeout = 5
  await serving.server.sendFile(id, path)
  expect(await client.texts(1)).toEqual(["abc"])
})

it("SendFile, 4202: a file that is not there, and a folder; the connection goes on", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  const missing = await failure(serving.server.sendFile(id, join(folder, "missing")))
  expect([missing.code, missing.cause]).toEqual([4202, expect.objectContaining({ code: "ENOENT" })])
  // which it is, and why
  expect(missing.message).toContain(`ENOENT: no such file or directory, stat '${join(folder, "missing")}'`)
  const none = await failure(serving.server.sendFile(id, folder))
  expect([none.code, none.message]).toEqual([4202, expect.stringContaining(folder)])
  expect(await codeOf(serving.server.sendFile(id, ""))).toBe(4202)
  // as callers without types give it
  for (const wrong of [undefined, null, 5, {}, /x/, Symbol("path")]) {
    const error = await failure(serving.server.sendFile(id, wrong as unknown as string))
    expect([error.code, error.message]).toEqual([10022, expect.stringContaining("FileName")])
  }
  await serving.server.sendText(id, "after")
  expect(await client.texts(1)).toEqual(["after"])
  expect(client.frames).toHaveLength(1)
})

it("SendFile, dfText, 10022: a file that is no UTF-8 is refused; if that shows only later, the connection ends with 1011", async () => {
  await using serving = await start()
  for (const path of [await file(new Uint8Array([0xff])), await file(new Uint8Array([0xe2, 0x82]))]) {
    const { client, connection, id } = await serving.raw()
    connection.dataFormat = DataFormats.dfText
    expect(await codeOf(serving.server.sendFile(id, path))).toBe(10022)
    connection.dataFormat = DataFormats.dfAutomatic
    await serving.server.sendText(id, "after")
    expect(await client.texts(1)).toEqual(["after"])
    expect(client.frames).toHaveLength(1)
  }
  const { client, connection, id } = await serving.raw()
  connection.dataFormat = DataFormats.dfText
  const late = await file(Buffer.concat([Buffer.alloc(200_000, "a"), Buffer.from([0xff])]))
  expect(await codeOf(serving.server.sendFile(id, late))).toBe(10022)
  await until("the Close frame", () => client.frames.at(-1)?.opcode === 8)
  expect(client.frames.at(-1)?.payload.readUInt16BE(0)).toBe(1011)
  expect(client.data.some(({ fin }) => fin)).toBe(false)
})

it("SendFile, TransferBytes, TransferLength: a file that memory would not like is read as fast as the client takes it", async () => {
  const size = 64 * megabyte
  const path = join(folder, "large")
  const handle = await open(path, "w")
  await truncate(path, size)
  for (const at of [0, 1, 13_000_000, size - 5]) await handle.write("12345", at)
  await handle.close()
  const expected = createHash("sha256")
  const whole = Buffer.alloc(size)
  for (const at of [0, 1, 13_000_000, size - 5]) whole.write("12345", at)
  expected.update(whole)

  await using serving = await start()
  const { client, connection, id } = await serving.raw()
  expect([connection.transferBytes, connection.transferLength]).toEqual([0, 0])
  const hash = createHash("sha256")
  const opcodes = new Set<number>()
  let received = 0
  let isComplete = false
  client.sink = ({ fin, opcode, payload }) => {
    hash.update(payload)
    opcodes.add(opcode)
    received += payload.length
    isComplete ||= fin
  }
  client.pause()
  const sending = serving.server.sendFile(id, path)
  let seen = -1
  let still = 0
  await until("the client to hold it up", () => {
    still = connection.transferBytes === seen ? still + 1 : 0
    seen = connection.transferBytes
    return seen > 0 && still > 20
  })
  // no more than the system's buffers, and a little of our own
  expect(seen).toBeLessThan(32 * megabyte)
  expect(connection.transferLength).toBe(size)
  client.resume()
  await sending
  expect([connection.transferBytes, connection.transferLength]).toEqual([size, size])
  await until("the end of it", () => isComplete)
  expect(received).toBe(size)
  expect(hash.digest("hex")).toBe(expected.digest("hex"))
  expect(opcodes).toEqual(new Set([BINARY, CONTINUATION]))
})

describe("other sends", () => {
  it("SendFile, SendText, Ping: what is sent while a file is, arrives after it; a ping may come between", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw()
    const { server } = serving
    const content = patternBytes(2, 20 * megabyte)
    client.pause()
    const path = await file(content)
    const small = await file("3")
    const order: Array<string> = []
    const calls = [
      server.sendText(id, "before").then(() => order.push("before")),
      server.sendFile(id, path).then(() => order.push("file")),
      server.sendText(id, "1").then(() => order.push("1")),
      server.sendBytes(id, Buffer.from("2")).then(() => order.push("2")),
      server.sendFile(id, small).then(() => order.push("3")),
      server.sendText(id, "4").then(() => order.push("4"))
    ]
    await until("the file to be on its way", () => serving.server.connections.item(id).transferBytes > megabyte)
    const ping = server.ping(id)
    client.resume()
    await ping
    await Promise.all(calls)
    const messages = await client.messages(6)
    expect(messages[1]?.payload.equals(content)).toBe(true)
    expect(messages.map(({ payload }, i) => (i === 1 ? "file" : payload.toString()))).toEqual(order)
    expect(order).toEqual(["before", "file", "1", "2", "3", "4"])
    expect(client.data.filter(({ opcode }) => opcode === TEXT)).toHaveLength(3)
  })

  it("SendFile: files called for one after the other, without waiting, arrive in that order", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate: true })
    const paths = await Promise.all(Array.from({ length: 10 }, (_, i) => file(`${i}`.repeat(1 + i * 5000))))
    const calls = paths.flatMap((path, i) => [serving.server.sendFile(id, path), serving.server.sendText(id, `${i}`)])
    await Promise.all(calls)
    const texts = await client.texts(20)
    expect(texts.map((text) => text[0])).toEqual(paths.flatMap((_, i) => [`${i}`, `${i}`]))
    expect(texts.map((text) => text.length)).toEqual(paths.flatMap((_, i) => [1 + i * 5000, 1]))
  })

  it("SendFile: to several connections at once", async () => {
    await using serving = await start()
    const opened = [await serving.raw(), await serving.raw(), await serving.raw({ deflate: true })]
    const content = patternBytes(3, 2 * megabyte)
    const path = await file(content)
    await Promise.all(opened.map(({ id }) => serving.server.sendFile(id, path)))
    for (const { client } of opened) {
      const [message] = await client.messages(1)
      expect(message?.payload.equals(content)).toBe(true)
    }
  })
})

it("SendFile, DataIn: an answer to what came in", async () => {
  const path = await file("the file")
  await using serving = await Serving.start((server) => {
    server.defaultTimeout = 5
    server.on("DataIn", async ({ connectionId }) => {
      await server.sendFile(connectionId, path)
      await server.sendText(connectionId, "that was it")
    })
  })
  const { client, received } = await serving.ws()
  client.send("please")
  client.send("again")
  await until("the answers", () => received.length === 4)
  expect(received.map(({ isText, payload }) => [isText, payload.toString()])).toEqual([
    [false, "the file"],
    [true, "that was it"],
    [false, "the file"],
    [true, "that was it"]
  ])
})
