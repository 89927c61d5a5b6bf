/**
 * Sending with a Timeout: it waits until the system has taken all, as long as anything moves, and gives up with 301.
 */
import { getEventListeners } from "node:events"
import { describe, expect, it } from "vitest"
import { DataFormats } from "../../src/component/Enums.ts"
import { binary } from "../conformance/wire/frame.ts"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, isSettled, until } from "./until.ts"

const megabyte = 1024 * 1024
/** More than the system holds for a client that does not read. */
const tooMuch = 32 * megabyte

/** What cannot be compressed. */
const noise = patternBytes(7, tooMuch)

const start = (timeout: number) =>
  Serving.start((server) => {
    server.defaultTimeout = timeout
  })

describe.each([{ deflate: false }, { deflate: true }])("with permessage-deflate: $deflate", ({ deflate }) => {
  it("Timeout, SendBytes: waits until the system has taken all of it", async () => {
    await using serving = await start(20)
    const { client, connection, id } = await serving.raw({ deflate })
    client.pause()
    const bytes = patternBytes(4, tooMuch)
    const call = serving.server.sendBytes(id, bytes)
    const behind = serving.server.sendText(id, "behind it")
    expect(await isSettled(call)).toBe(false)
    client.resume()
    await call
    await behind
    const messages = await client.messages(2)
    expect(messages[0]?.payload.equals(bytes)).toBe(true)
    expect(messages[1]?.payload.toString()).toBe("behind it")
    expect(connection.readyToSend).toBe(true)
  })

  it("Timeout, 301: when the client takes nothing for so long; what was sent arrives whole if it reads again", async () => {
    await using serving = await start(1)
    const { client, id } = await serving.raw({ deflate })
    client.pause()
    const bytes = patternBytes(5, tooMuch)
    const error = await failure(serving.server.sendBytes(id, bytes))
    expect([error.code, error.message]).toEqual([301, expect.stringMatching(/^Operation interrupted \(or timeout\)\./)])
    client.resume()
    await serving.server.sendText(id, "after")
    const messages = await client.messages(2)
    expect(messages[0]?.payload.equals(bytes)).toBe(true)
    expect(messages[1]?.payload.toString()).toBe("after")
  })

  it("301, SendText: a signal during the wait, which leaves no listener behind", async () => {
    await using serving = await start(20)
    const { client, id } = await serving.raw({ deflate })
    client.pause()
    const aborter = new AbortController()
    const { signal } = aborter
    const call = failure(serving.server.sendBytes(id, patternBytes(6, tooMuch), signal))
    const behind = failure(serving.server.sendText(id, "no", signal))
    expect(await isSettled(call)).toBe(false)
    aborter.abort(new Error("never mind"))
    for (const { cause, code } of [await call, await behind]) expect([code, cause]).toEqual([301, signal.reason])
    expect(getEventListeners(signal, "abort")).toEqual([])
    client.resume()
    await serving.server.sendText(id, "after", new AbortController().signal)
  })
})

it("Timeout, SendText: waits even for the little that there would be room for in the process", async () => {
  await using serving = await Serving.start((server) => {
    server.config("OutBufferSize=1000")
  })
  const { client, connection, id } = await serving.raw()
  client.pause()
  await serving.fill(id, 1000)
  connection.timeout = 20
  const call = serving.server.sendText(id, "little")
  expect(await isSettled(call)).toBe(false)
  client.resume()
  await call
})

it("BytesSent, Timeout: always 0 where sending waits", async () => {
  await using serving = await start(5)
  const { connection, id } = await serving.raw()
  const { server } = serving
  await server.sendText(id, "abc")
  expect(connection.bytesSent).toBe(0)
  // even if it was not before
  connection.timeout = 0
  await server.sendText(id, "abc")
  expect(connection.bytesSent).toBe(3)
  connection.timeout = 5
  await server.sendBytes(id, new Uint8Array(7))
  expect(connection.bytesSent).toBe(0)
  for (const format of [DataFormats.dfPing, DataFormats.dfPong]) {
    connection.timeout = 0
    await server.sendText(id, "abc")
    connection.timeout = 5
    connection.dataFormat = format
    await server.send(id, "x")
    expect(connection.bytesSent).toBe(0)
  }
})

it("Timeout: what was sent with 0 before arrives before what is waited for", async () => {
  await using serving = await start(0)
  const { client, connection, id } = await serving.raw()
  const calls = [serving.server.sendText(id, "1"), serving.server.sendText(id, "2")]
  connection.timeout = 5
  calls.push(serving.server.sendText(id, "3"))
  connection.timeout = 0
  calls.push(serving.server.sendText(id, "4"))
  await Promise.all(calls)
  expect(await client.texts(4)).toEqual(["1", "2", "3", "4"])
})

it("Timeout: a client that reads slowly is waited for beyond it, as long as it reads", async () => {
  await using serving = await start(1)
  // one frame, and the fragments that MaxFrameSize makes
  for (const maxFrameSize of [2 * tooMuch, 131072]) {
    serving.server.config(`MaxFrameSize=${maxFrameSize}`)
    const { client, id } = await serving.raw()
    let received = 0
    client.sink = ({ payload }) => (received += payload.length)
    const began = performance.now()
    // as much as a read brings (64 KiB) each time: some seconds for what the system does not hold
    const reading = client.readSlowly(8)
    await serving.server.sendBytes(id, noise)
    const took = performance.now() - began
    reading.stop()
    await until("all of it", () => received === tooMuch)
    expect(took).toBeGreaterThan(1500)
  }
})

it("Timeout: extended by what the client sends, though it takes nothing", async () => {
  await using serving = await start(1)
  const { client, id } = await serving.raw()
  client.pause()
  const call = serving.server.sendBytes(id, noise)
  const talking = setInterval(() => client.send(binary("still here")), 100)
  const began = performance.now()
  await until("more than the Timeout to pass", () => performance.now() - began > 2500)
  expect(await isSettled(call)).toBe(false)
  clearInterval(talking)
  expect(await codeOf(call)).toBe(301)
})

it("4202: a client that goes away while a send waits, whatever the system says of it", async () => {
  await using serving = await start(20)
  const { client, id } = await serving.raw()
  client.pause()
  const call = codeOf(serving.server.sendBytes(id, noise))
  const behind = codeOf(serving.server.sendText(id, "x"))
  expect(await isSettled(call)).toBe(false)
  client.socket.resetAndDestroy()
  expect([await call, await behind]).toEqual([4202, 4202])
})

it("301, Interrupt: ends what waits on the connection, and on no other", async () => {
  await using serving = await start(20)
  const one = await serving.raw()
  const two = await serving.raw()
  for (const { client } of [one, two]) client.pause()
  const first = codeOf(serving.server.sendBytes(one.id, noise))
  const second = serving.server.sendBytes(two.id, noise)
  expect(await isSettled(first)).toBe(false)
  await serving.server.interrupt(one.id)
  expect(await first).toBe(301)
  expect(await isSettled(second)).toBe(false)
  two.client.resume()
  await second
  one.client.resume()
  await serving.server.sendText(one.id, "after")
  const messages = await one.client.messages(2)
  expect([messages[0]?.payload.length, messages[1]?.payload.toString()]).toEqual([tooMuch, "after"])
})

it("Dispose, 4202: ends a send that waits", async () => {
  const serving = await start(20)
  const { client, id } = await serving.raw()
  client.pause()
  const call = codeOf(serving.server.sendBytes(id, noise))
  await serving.server.dispose()
  expect(await call).toBe(4202)
  await serving[Symbol.asyncDispose]()
})
