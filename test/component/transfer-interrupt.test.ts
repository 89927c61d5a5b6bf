/**
 * Transfers that do not come to their end: Interrupt, Timeout, signals, and clients that go away or stop reading.
 */
import { getEventListeners } from "node:events"
import { mkdtemp, rm, truncate, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { afterAll, beforeAll, describe, expect, it } from "vitest"
import { text } from "../conformance/wire/frame.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, isSettled, until } from "./until.ts"

const megabyte = 1024 * 1024
const size = 48 * megabyte

let folder: string
let path: string
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "transfer-"))
  path = join(folder, "large")
  await writeFile(path, "")
  await truncate(path, size)
})
afterAll(() => rm(folder, { recursive: true }))

const start = (timeout = 20) =>
  Serving.start((server) => {
    server.defaultTimeout = timeout
  })

/** A file on its way to a client that does not read. */
const stuck = async (serving: Serving, signal?: AbortSignal, deflate = false) => {
  const { client, connection, id } = await serving.raw({ deflate })
  client.pause()
  const call = failure(serving.server.sendFile(id, path, signal))
  await until("the file to be on its way", () => connection.transferBytes > megabyte)
  return { client, connection, id, call }
}

/** The message ends somewhere, and the connection is as good as before. */
const goesOn = async (serving: Serving, { client, id }: Awaited<ReturnType<typeof stuck>>) => {
  client.resume()
  await serving.server.sendText(id, "after")
  await serving.server.sendFile(id, path)
  const messages = await client.messages(3)
  expect(messages[0]?.payload.length).toBeGreaterThan(megabyte)
  expect(messages[0]?.payload.length).toBeLessThan(size)
  expect(messages[1]?.payload.toString()).toBe("after")
  expect(messages[2]?.payload.length).toBe(size)
}

describe.each([{ deflate: false }, { deflate: true }])("with permessage-deflate: $deflate", ({ deflate }) => {
  it("Interrupt, SendFile, 301: ends the file and its message; the connection goes on", async () => {
    await using serving = await start()
    const transfer = await stuck(serving, undefined, deflate)
    await serving.server.interrupt(transfer.id)
    const { code, message } = await transfer.call
    expect([code, message]).toEqual([301, "Operation interrupted (or timeout)."])
    await goesOn(serving, transfer)
    expect(serving.errors).toEqual([])
  })

  it("SendFile, Timeout, 301: when the client takes nothing for so long; the connection goes on", async () => {
    await using serving = await start(1)
    const transfer = await stuck(serving, undefined, deflate)
    expect((await transfer.call).code).toBe(301)
    transfer.connection.timeout = 20
    await goesOn(serving, transfer)
  })

  it("SendFile, 301: a signal during it; the connection goes on", async () => {
    await using serving = await start()
    const aborter = new AbortController()
    const transfer = await stuck(serving, aborter.signal, deflate)
    aborter.abort(new Error("never mind"))
    const { cause, code } = await transfer.call
    expect([code, cause]).toEqual([301, aborter.signal.reason])
    expect(getEventListeners(aborter.signal, "abort")).toEqual([])
    await goesOn(serving, transfer)
  })
})

it("Interrupt: right behind the call, before anything of the file went out", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  const call = codeOf(serving.server.sendFile(id, path))
  await serving.server.interrupt(id)
  expect(await call).toBe(301)
  await serving.server.sendText(id, "after")
  const texts = await client.texts(1)
  expect(texts.at(-1)).toBe("after")
})

it("Interrupt: does nothing where nothing waits", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  await serving.server.interrupt(id)
  await serving.server.sendText(id, "after")
  await serving.server.interrupt(id)
  expect(await client.texts(1)).toEqual(["after"])
})

it("Interrupt: ends the sends that wait behind the file too, each with 301, and they are not sent", async () => {
  await using serving = await start()
  const transfer = await stuck(serving)
  const behind = [
    codeOf(serving.server.sendText(transfer.id, "no")),
    codeOf(serving.server.sendFile(transfer.id, path))
  ]
  expect(await isSettled(Promise.race(behind))).toBe(false)
  await serving.server.interrupt(transfer.id)
  expect((await transfer.call).code).toBe(301)
  expect(await Promise.all(behind)).toEqual([301, 301])
  await goesOn(serving, transfer)
})

it("SendFile, 301: a signal of a send that waits behind a file ends that one alone", async () => {
  await using serving = await start()
  const transfer = await stuck(serving)
  const { client, id } = transfer
  const aborter = new AbortController()
  const no = codeOf(serving.server.sendText(id, "no", aborter.signal))
  const yes = serving.server.sendText(id, "yes")
  aborter.abort()
  expect(await no).toBe(301)
  expect(await isSettled(transfer.call)).toBe(false)
  client.resume()
  await yes
  const messages = await client.messages(2)
  expect([messages[0]?.payload.length, messages[1]?.payload.toString()]).toEqual([size, "yes"])
  await expect(transfer.call).rejects.toThrow("expected a failure")
})

it("SendFile, 301: a signal that is aborted already", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  expect(await codeOf(serving.server.sendFile(id, path, AbortSignal.abort()))).toBe(301)
  await serving.server.sendText(id, "after")
  expect(await client.texts(1)).toEqual(["after"])
})

it("SendFile, Timeout: a client that reads slowly is waited for beyond it, as long as it reads", async () => {
  await using serving = await start(1)
  const { client, id } = await serving.raw()
  let received = 0
  client.sink = ({ payload }) => (received += payload.length)
  const began = performance.now()
  const reading = client.readSlowly(5)
  await serving.server.sendFile(id, path)
  const took = performance.now() - began
  reading.stop()
  await until("all of it", () => received === size)
  expect(took).toBeGreaterThan(1500)
})

it("SendFile, 4202: a client that goes away meanwhile", async () => {
  await using serving = await start()
  const { call, client, id } = await stuck(serving)
  client.socket.resetAndDestroy()
  expect((await call).code).toBe(4202)
  await until("Disconnected", () => serving.log.includes(`Disconnected ${id}`))
})

it("SendFile, Disconnect, 4202: the connection is closed meanwhile", async () => {
  await using serving = await start()
  const { call, client, id } = await stuck(serving)
  const closing = serving.server.disconnect(id)
  client.resume()
  expect((await call).code).toBe(4202)
  await until("the Close frame", () => client.frames.at(-1)?.opcode === 8)
  expect(client.data.some(({ fin }) => fin)).toBe(false)
  client.destroy()
  await closing
})

it("SendFile, SetUploadStream, 4202: while the connection closes, at once", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  const closing = serving.server.disconnect(id)
  const calls = [
    codeOf(serving.server.sendFile(id, path)),
    codeOf(serving.server.setUploadStream(id, new ReadableStream<string>()))
  ]
  expect(await isSettled(Promise.all(calls))).toBe(true)
  expect(await Promise.all(calls)).toEqual([4202, 4202])
  client.destroy()
  await closing
})

it("SendFile, Interrupt: twice over, and again after each", async () => {
  await using serving = await start()
  const { call, client, id } = await stuck(serving)
  await serving.server.interrupt(id)
  await call
  const again = codeOf(serving.server.sendFile(id, path))
  expect(await isSettled(again)).toBe(false)
  await serving.server.interrupt(id)
  expect(await again).toBe(301)
  client.resume()
  await serving.server.sendText(id, "after")
  await until("what comes after", () => client.data.at(-1)?.payload.toString() === "after")
  // what the second began of its file, if anything, is a message of its own
  const texts = await client.texts(client.complete)
  expect(texts.at(-1)).toBe("after")
})

it("Interrupt, Disconnect, 301: ends the wait for the client's Close frame, and the connection ends in its time all the same", async () => {
  await using serving = await start()
  const { client, id } = await serving.raw()
  const call = codeOf(serving.server.disconnect(id))
  await until("the Close frame", () => client.frames.length === 1)
  await serving.server.interrupt(id)
  expect(await call).toBe(301)
  await until("the end", () => serving.log.includes(`Disconnected ${id}`))
  await until("the end of TCP", () => client.isOver)
})

it("Disconnect, 301: a signal that is aborted already leaves the connection as it is; one during the wait does not", async () => {
  const texts: Array<string> = []
  await using serving = await Serving.start((server) => {
    server.on("DataIn", (e) => texts.push(e.text))
  })
  const { client, id } = await serving.raw()
  expect(await codeOf(serving.server.disconnect(id, AbortSignal.abort()))).toBe(301)
  client.send(text("still here"))
  await until("what it says", () => texts.length === 1)
  const aborter = new AbortController()
  const call = codeOf(serving.server.disconnect(id, aborter.signal))
  await until("the Close frame", () => client.frames.length === 1)
  aborter.abort()
  expect(await call).toBe(301)
  await until("the end", () => serving.log.includes(`Disconnected ${id}`))
})
