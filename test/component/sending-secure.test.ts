/**
 * Sending with TLS, which waits whatever the Timeout is: with 0 as long as it takes.
 */
import { mkdtemp, rm, writeFile } from "node:fs/promises"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { Readable } from "node:stream"
import { expect, it } from "vitest"
import { PING, pong } from "../conformance/wire/frame.ts"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import { local, pem, show } from "./securing.ts"
import { Serving } from "./serving.ts"
import { codeOf, isSettled, until } from "./until.ts"

const megabyte = 1024 * 1024
/** More than the system holds for a client that does not read. */
const tooMuch = 32 * megabyte
const content = patternBytes(8, tooMuch)

const start = (timeout: number) =>
  Serving.start((server) => {
    server.useSSL = true
    show(server, pem("sending", local))
    server.defaultTimeout = timeout
  })

it("UseSSL, DefaultTimeout, Timeout, BytesSent: with 0 sending waits until the system has taken all of it", async () => {
  await using serving = await start(0)
  const { client, connection, id } = await serving.raw({ secure: true })
  client.pause()
  const calls = [
    serving.server.sendBytes(id, content),
    serving.server.sendText(id, "behind it"),
    serving.server.send(id, "and that")
  ]
  expect([await isSettled(Promise.race(calls)), connection.bytesSent]).toEqual([false, 0])
  client.resume()
  await Promise.all(calls)
  expect([connection.bytesSent, connection.readyToSend, serving.readies(id)]).toEqual([0, true, 1])
  const messages = await client.messages(3)
  expect(messages[0]?.payload.equals(content)).toBe(true)
  // fragments of one message, as where sending waits without TLS
  expect(messages[0]?.sizes).toHaveLength(tooMuch / 131_072)
  expect(messages.slice(1).map(({ payload }) => payload.toString())).toEqual(["behind it", "and that"])
})

it("UseSSL, Timeout, 301: if positive, when the client takes nothing for so long; what was sent arrives whole", async () => {
  await using serving = await start(1)
  const { client, id } = await serving.raw({ secure: true })
  client.pause()
  expect(await codeOf(serving.server.sendBytes(id, content))).toBe(301)
  client.resume()
  await serving.server.sendText(id, "after")
  const messages = await client.messages(2)
  expect([messages[0]?.payload.equals(content), messages[1]?.payload.toString()]).toEqual([true, "after"])
})

it("UseSSL, Timeout: a client that reads slowly is waited for beyond it, as long as it reads", async () => {
  await using serving = await start(1)
  const size = 24 * megabyte
  // one frame, and the fragments that MaxFrameSize makes
  for (const maxFrameSize of [2 * size, 131_072]) {
    serving.server.config(`MaxFrameSize=${maxFrameSize}`)
    const { client, id } = await serving.raw({ secure: true })
    let received = 0
    client.sink = ({ payload }) => (received += payload.length)
    const began = performance.now()
    const reading = client.readSlowly(2)
    await serving.server.sendBytes(id, content.subarray(0, size))
    const took = performance.now() - began
    reading.stop()
    await until("all of it", () => received === size)
    expect(took).toBeGreaterThan(1500)
  }
})

it("UseSSL, Ping, Timeout: with 0 it waits for the pong", async () => {
  await using serving = await start(0)
  const { client, id } = await serving.raw({ secure: true, pongs: false })
  const call = serving.server.ping(id)
  const [frame] = await until("the ping", () => client.frames.some(({ opcode }) => opcode === PING) && client.frames)
  expect(await isSettled(call)).toBe(false)
  client.send(pong(frame?.payload ?? ""))
  await call
})

it("UseSSL, SendFile, SetUploadStream, Interrupt, 301: with Timeout 0 too, and as long as it takes", async () => {
  const folder = await mkdtemp(join(tmpdir(), "transfer-"))
  const path = join(folder, "large")
  try {
    await writeFile(path, content)
    await using serving = await start(0)
    const { client, connection, id } = await serving.raw({ secure: true })
    client.pause()
    const call = codeOf(serving.server.sendFile(id, path))
    await until("the file to be on its way", () => connection.transferBytes > megabyte)
    await serving.server.interrupt(id)
    expect(await call).toBe(301)
    client.resume()
    await serving.server.sendFile(id, path)
    await serving.server.setUploadStream(id, Readable.from([content]))
    const messages = await client.messages(3)
    expect(messages[0]?.payload.equals(content.subarray(0, messages[0].payload.length))).toBe(true)
    expect(messages.slice(1).map(({ payload }) => payload.equals(content))).toEqual([true, true])
  } finally {
    await rm(folder, { recursive: true })
  }
})

it("UseSSL, SendText: goes on as it was for connections that are there, when UseSSL is changed", async () => {
  await using serving = await start(0)
  const { client, connection, id } = await serving.raw({ secure: true })
  serving.server.useSSL = false
  await serving.server.sendText(id, "as before")
  expect(await client.texts(1)).toEqual(["as before"])
  expect(connection.bytesSent).toBe(0)
})
