/**
 * What becomes of a message when nobody waits for it any more: one that has not begun is taken back, and one that has is completed,
 * from a copy, before anything else is sent.
 */
import { describe, expect, it } from "vitest"
import { CLOSE } from "../conformance/wire/frame.ts"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import { Serving } from "./serving.ts"
import { failure, isSettled, until } from "./until.ts"

/** More than the system holds for a client that does not read. */
const tooMuch = 32 * 1024 * 1024
const noise = patternBytes(9, tooMuch)

const start = (...settings: ReadonlyArray<string>) =>
  Serving.start((server) => {
    server.defaultTimeout = 20
    for (const setting of settings) server.config(setting)
  })

describe.each([{ deflate: false }, { deflate: true }])("with permessage-deflate: $deflate", ({ deflate }) => {
  it("301, SendText, SendBytes: what has not begun is taken back, however often, and is delivered once when it is sent again", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    const { server } = serving
    client.pause()
    const first = failure(server.sendBytes(id, noise))
    expect(await isSettled(first)).toBe(false)
    await server.interrupt(id)
    expect((await first).message).toBe(
      "Operation interrupted (or timeout). The message has begun, and is completed when the client takes it."
    )
    for (let i = 0; i < 3; i++) {
      const again = [
        failure(server.sendText(id, "the order")),
        failure(server.sendBytes(id, patternBytes(1, 100_000))),
        failure(server.sendBytes(id, patternBytes(1, 1_000_000)))
      ]
      expect(await isSettled(Promise.race(again))).toBe(false)
      await server.interrupt(id)
      for (const { code, message } of await Promise.all(again)) {
        expect([code, message]).toEqual([301, "Operation interrupted (or timeout)."])
      }
    }
    const order = server.sendText(id, "the order")
    client.resume()
    await order
    await server.sendText(id, "the end")
    const messages = await client.messages(3)
    expect(messages[0]?.payload.equals(noise)).toBe(true)
    expect(messages.slice(1).map(({ payload }) => payload.toString())).toEqual(["the order", "the end"])
  })

  it("301, SendBytes: the sender may write to its bytes again, and what was sent arrives as it was", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    const bytes = new Uint8Array(noise)
    client.pause()
    const aborter = new AbortController()
    const call = failure(serving.server.sendBytes(id, bytes, aborter.signal))
    expect(await isSettled(call)).toBe(false)
    aborter.abort()
    await call
    bytes.fill(0)
    client.resume()
    const [message] = await client.messages(1)
    expect(message?.payload.equals(noise)).toBe(true)
  })

  it("301, Timeout: what is sent with 0 then comes behind the message that has begun", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw({ deflate })
    const { server } = serving
    client.pause()
    const call = failure(server.sendBytes(id, noise))
    expect(await isSettled(call)).toBe(false)
    await server.interrupt(id)
    await call
    connection.timeout = 0
    await server.sendText(id, "behind").catch(() => {})
    client.resume()
    await until("ReadyToSend", () => connection.readyToSend)
    await server.sendText(id, "the end")
    const messages = await client.messages(2)
    expect(messages[0]?.payload.equals(noise)).toBe(true)
    expect(["behind", "the end"]).toContain(messages[1]?.payload.toString())
  })

  it("Disconnect, SendBytes: comes behind the messages that are waited for, if the client takes them", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    const { server } = serving
    client.pause()
    const sent = Promise.all([server.sendBytes(id, noise), server.sendText(id, "the end")])
    const disconnected = server.disconnect(id)
    client.resume()
    await sent
    const messages = await client.messages(2)
    expect(messages[0]?.payload.equals(noise)).toBe(true)
    await until("the Close frame", () => client.frames.at(-1)?.opcode === CLOSE)
    client.destroy()
    await disconnected
  })
})

it("301, SetUploadStream: what is given up while something else is unsent has sent nothing, not even a fragment", async () => {
  // so that the message is a single frame, behind which others need not wait for their turn
  await using serving = await start(`MaxFrameSize=${2 * tooMuch}`)
  const { client, id } = await serving.raw()
  const { server } = serving
  client.pause()
  const first = server.sendBytes(id, noise)
  const aborter = new AbortController()
  let isRead = false
  const upload = failure(
    server.setUploadStream(
      id,
      (async function* () {
        isRead = true
        yield "never"
      })(),
      aborter.signal
    )
  )
  expect(await isSettled(upload)).toBe(false)
  aborter.abort()
  expect([(await upload).code, isRead]).toEqual([301, false])
  client.resume()
  await first
  await server.sendText(id, "the end")
  const messages = await client.messages(2)
  expect([messages[0]?.payload.length, messages[1]?.payload.toString()]).toEqual([tooMuch, "the end"])
})
