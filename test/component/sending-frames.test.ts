/**
 * How what is sent becomes frames: MaxFrameSize, which makes messages of their own with Timeout 0 and fragments otherwise, and
 * MessageLength, which makes one message of several sends.
 */
import { isUtf8 } from "node:buffer"
import { describe, expect, it } from "vitest"
import { DataFormats } from "../../src/component/Enums.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { BINARY, CONTINUATION, PING, TEXT } from "../conformance/wire/frame.ts"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import type { FrameClient } from "./frameClient.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, until } from "./until.ts"

const start = (timeout: number, ...settings: ReadonlyArray<string>) =>
  Serving.start((server) => {
    server.defaultTimeout = timeout
    for (const setting of settings) server.config(setting)
  })

/** The frames of data, as opcode, FIN and length. */
const shape = (client: FrameClient) => client.data.map(({ fin, opcode, payload }) => [opcode, fin, payload.length])

/** Waits until the client has so many bytes of payload. */
const untilBytes = (client: FrameClient, length: number) =>
  until(`${length} bytes`, () => client.bytes.length >= length && client.fault === undefined)

describe.each([{ deflate: false }, { deflate: true }])("with permessage-deflate: $deflate", ({ deflate }) => {
  describe("MaxFrameSize", () => {
    it("MaxFrameSize, Timeout: with 0 a larger message goes as messages of their own, each at most as large, each with FIN", async () => {
      await using serving = await start(0, "MaxFrameSize=10")
      const { client, connection, id } = await serving.raw({ deflate })
      await serving.server.sendBytes(id, patternBytes(1, 25))
      expect(connection.bytesSent).toBe(25)
      await untilBytes(client, 25)
      expect(shape(client)).toEqual([
        [BINARY, true, 10],
        [BINARY, true, 10],
        [BINARY, true, 5]
      ])
      expect(client.bytes.equals(patternBytes(1, 25))).toBe(true)
    })

    it("MaxFrameSize, Timeout: if positive a larger message goes as the fragments of one", async () => {
      await using serving = await start(5, "MaxFrameSize=10")
      const { client, id } = await serving.raw({ deflate })
      await serving.server.sendBytes(id, patternBytes(1, 25))
      await serving.server.sendText(id, "x".repeat(20))
      await untilBytes(client, 45)
      expect(shape(client)).toEqual([
        [BINARY, false, 10],
        [CONTINUATION, false, 10],
        [CONTINUATION, true, 5],
        [TEXT, false, 10],
        [CONTINUATION, true, 10]
      ])
      expect(client.bytes.subarray(0, 25).equals(patternBytes(1, 25))).toBe(true)
    })

    it.each([0, 5])("MaxFrameSize: a message of exactly that size is one frame (Timeout %i)", async (timeout) => {
      await using serving = await start(timeout, "MaxFrameSize=10")
      const { client, id } = await serving.raw({ deflate })
      await serving.server.sendBytes(id, new Uint8Array(10))
      await serving.server.sendText(id, "é".repeat(5))
      await untilBytes(client, 20)
      expect(shape(client)).toEqual([
        [BINARY, true, 10],
        [TEXT, true, 10]
      ])
    })

    it.each([0, 5])("MaxFrameSize, SendText: text is cut between code points (Timeout %i)", async (timeout) => {
      const text = "aé€😀".repeat(30)
      const size = Buffer.byteLength(text)
      for (const limit of [4, 5, 6, 7, 10]) {
        await using serving = await start(timeout, `MaxFrameSize=${limit}`)
        const { client, id } = await serving.raw({ deflate })
        await serving.server.sendText(id, text)
        await untilBytes(client, size)
        expect(client.bytes.toString()).toBe(text)
        const payloads = client.data.map(({ payload }) => payload)
        expect(payloads.every((payload) => payload.length <= limit && payload.length > limit - 4)).toBe(true)
        expect(payloads.every((payload) => isUtf8(payload))).toBe(true)
      }
    })

    it("MaxFrameSize: a code point that is larger goes whole", async () => {
      await using serving = await start(0, "MaxFrameSize=1")
      const { client, id } = await serving.raw({ deflate })
      await serving.server.sendText(id, "a😀é")
      await untilBytes(client, 7)
      expect(client.data.map(({ payload }) => payload.toString())).toEqual(["a", "😀", "é"])
    })
  })

  describe("MessageLength", () => {
    it("MessageLength, EOM: the next so many bytes are one message, of which only the last frame has FIN", async () => {
      await using serving = await start(0)
      const { client, id } = await serving.raw({ deflate })
      const { server } = serving
      await server.sendBytes(id, Buffer.from("before"))
      server.config(`MessageLength[${id}]=12`)
      await server.sendBytes(id, Buffer.from("hello"))
      await server.sendBytes(id, Buffer.from(", "))
      await server.sendBytes(id, Buffer.from("world"))
      await server.sendBytes(id, Buffer.from("after"))
      await client.messages(3)
      expect(shape(client)).toEqual([
        [BINARY, true, 6],
        [BINARY, false, 5],
        [CONTINUATION, false, 2],
        [CONTINUATION, true, 5],
        [BINARY, true, 5]
      ])
      expect((await client.texts(3))[1]).toBe("hello, world")
    })

    it("MessageLength, MaxFrameSize: sends within it are cut, and still one message", async () => {
      await using serving = await start(0, "MaxFrameSize=4")
      const { client, id } = await serving.raw({ deflate })
      serving.server.config(`MessageLength[${id}]=12`)
      await serving.server.sendText(id, "aé€")
      await serving.server.sendText(id, "😀bc")
      await serving.server.sendText(id, "after")
      await untilBytes(client, 17)
      expect(client.data.map(({ fin, opcode, payload }) => [opcode, fin, payload.toString()])).toEqual([
        [TEXT, false, "aé"],
        [CONTINUATION, false, "€"],
        [CONTINUATION, false, "😀"],
        [CONTINUATION, true, "bc"],
        [TEXT, true, "afte"],
        [TEXT, true, "r"]
      ])
    })

    it("MessageLength: several messages behind one another, of several kinds", async () => {
      await using serving = await start(0)
      const { client, id } = await serving.raw({ deflate })
      const { server } = serving
      for (let i = 0; i < 20; i++) {
        server.config(`MessageLength[${id}]=${2 * i + 2}`)
        for (let part = 0; part < 2; part++) {
          if (i % 2 === 0) void server.sendText(id, "t".repeat(i + 1))
          else void server.sendBytes(id, new Uint8Array(i + 1).fill(0x62))
        }
      }
      const messages = await client.messages(20)
      expect(messages.map(({ isText, payload, sizes }) => [isText, payload.toString(), sizes])).toEqual(
        Array.from({ length: 20 }, (_, i) => [i % 2 === 0, (i % 2 === 0 ? "t" : "b").repeat(2 * i + 2), [i + 1, i + 1]])
      )
    })
  })
})

describe("MaxFrameSize", () => {
  it("MaxFrameSize: 128 KiB at first; can be changed at any time, and not to what is no size", async () => {
    await using serving = await start(5)
    const { server } = serving
    expect(server.config("MaxFrameSize")).toBe("131072")
    const { client, id } = await serving.raw()
    await server.sendBytes(id, new Uint8Array(131_073))
    server.config("MaxFrameSize=131073")
    await server.sendBytes(id, new Uint8Array(131_073))
    const messages = await client.messages(2)
    expect(messages.map(({ sizes }) => sizes)).toEqual([[131_072, 1], [131_073]])
    for (const value of ["0", "-1", "1.5", "many", ""]) {
      expect(() => server.config(`MaxFrameSize=${value}`)).toThrowError(expect.objectContaining({ code: 10022 }))
    }
    expect(server.config("MaxFrameSize")).toBe("131073")
  })

  it("MaxFrameSize, EOM: what the receiving side is told, if that is another client", async () => {
    for (const timeout of [0, 5]) {
      await using serving = await start(timeout, "MaxFrameSize=1000")
      const { id, received } = await serving.ws()
      await serving.server.sendBytes(id, patternBytes(2, 2500))
      const sizes = timeout === 0 ? [1000, 1000, 500] : [2500]
      await until("the messages", () => received.length === sizes.length)
      expect(received.map(({ payload }) => payload.length)).toEqual(sizes)
    }
  })

  it("EnablePermessageDeflate, MaxFrameSize, Timeout: with 0 each of the messages is compressed", async () => {
    await using serving = await start(0, "MaxFrameSize=20000")
    const { client, id } = await serving.raw({ deflate: true })
    const text = "aé€😀".repeat(5000)
    await serving.server.sendText(id, text)
    const messages = await client.messages(3)
    expect(messages.map(({ isCompressed, payload }) => [isCompressed, payload.length])).toEqual([
      [true, 20_000],
      [true, 20_000],
      [true, 10_000]
    ])
    expect(messages.map(({ payload }) => payload.toString()).join("")).toBe(text)
  })
})

describe("MessageLength", () => {
  it("MessageLength: tells how much is left of it, and is 0 again when the message is complete", async () => {
    await using serving = await start(0)
    const { id } = await serving.raw()
    const { server } = serving
    const left = () => server.config(`MessageLength[${id}]`)
    expect(left()).toBe("0")
    server.config(`MessageLength[${id}]=10`)
    expect(left()).toBe("10")
    await server.sendText(id, "123")
    expect(left()).toBe("7")
    await server.sendText(id, "4567890")
    expect(left()).toBe("0")
  })

  it("MessageLength, 10022: more than is left is refused, and nothing of it is sent", async () => {
    await using serving = await start(0)
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    server.config(`MessageLength[${id}]=10`)
    await server.sendText(id, "123")
    const error = await failure(server.sendText(id, "45678901"))
    expect(error.code).toBe(10022)
    expect(error.message).toMatch(/MessageLength: 7 .* 8 /)
    expect(connection.bytesSent).toBe(0)
    await server.sendText(id, "4567890")
    expect(await client.texts(1)).toEqual(["1234567890"])
  })

  it("MessageLength, 10022: can be changed before the message begins, and not within it", async () => {
    await using serving = await start(0)
    const { client, id } = await serving.raw()
    const { server } = serving
    server.config(`MessageLength[${id}]=10`)
    server.config(`MessageLength[${id}]=4`)
    await server.sendText(id, "12")
    for (const value of [0, 2, 5]) {
      expect(() => server.config(`MessageLength[${id}]=${value}`)).toThrowError(
        expect.objectContaining({ code: 10022 })
      )
    }
    await server.sendText(id, "34")
    server.config(`MessageLength[${id}]=10`)
    server.config(`MessageLength[${id}]=0`)
    await server.sendText(id, "whole")
    expect(await client.texts(2)).toEqual(["1234", "whole"])
  })

  it("MessageLength, Ping, dfPing: a ping may come within the message", async () => {
    await using serving = await start(0)
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    server.config(`MessageLength[${id}]=2`)
    await server.sendText(id, "1")
    await server.ping(id)
    connection.dataFormat = DataFormats.dfPing
    await server.send(id, "x")
    await server.sendText(id, "2")
    expect(await client.texts(1)).toEqual(["12"])
    expect(client.frames.map(({ opcode }) => opcode)).toEqual([TEXT, PING, PING, CONTINUATION])
  })

  it("MessageLength, 135: what would be another message within it, with a Timeout, is refused until it is complete", async () => {
    await using serving = await start(0)
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    server.config(`MessageLength[${id}]=2`)
    await server.sendText(id, "1")
    connection.timeout = 5
    expect(await codeOf(server.sendText(id, "no"))).toBe(135)
    expect(await codeOf(server.sendFile(id, import.meta.filename))).toBe(135)
    expect(await codeOf(server.setUploadStream(id, new ReadableStream<string>()))).toBe(135)
    connection.timeout = 0
    await server.sendText(id, "2")
    connection.timeout = 5
    await server.sendText(id, "yes")
    expect(await client.texts(2)).toEqual(["12", "yes"])
  })

  it("MessageLength, Timeout: means nothing to what is sent with a Timeout", async () => {
    await using serving = await start(5)
    const { client, id } = await serving.raw()
    serving.server.config(`MessageLength[${id}]=4`)
    await serving.server.sendText(id, "12")
    await serving.server.sendText(id, "34")
    expect(await client.texts(2)).toEqual(["12", "34"])
  })

  it("MessageLength, 10035, BytesSent: a message that goes out in parts goes on where it stopped", async () => {
    await using serving = await start(0, "MaxFrameSize=100000", "OutBufferSize=300000")
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    const total = 40_000_000
    const bytes = patternBytes(3, total)
    client.pause()
    server.config(`MessageLength[${id}]=${total}`)
    expect(await codeOf(server.sendBytes(id, bytes))).toBe(10035)
    let sent = connection.bytesSent
    expect(server.config(`MessageLength[${id}]`)).toBe(String(total - sent))
    client.resume()
    while (sent < total) {
      const before = serving.readies(id)
      await server.sendBytes(id, bytes.subarray(sent)).catch(() => {})
      sent += connection.bytesSent
      if (connection.bytesSent === 0) await until("ReadyToSend", () => serving.readies(id) > before)
    }
    const [message] = await client.messages(1)
    expect(message?.payload.equals(bytes)).toBe(true)
    expect(message?.sizes).toHaveLength(400)
  })

  it("126, 10022: MessageLength is of a connection, of one that there is", async () => {
    await using serving = await Serving.start()
    const { id } = await serving.raw()
    const { server } = serving
    expect(() => server.config("MessageLength[none]=1")).toThrowError(expect.objectContaining({ code: 126 }))
    expect(() => server.config("MessageLength=1")).toThrowError(expect.objectContaining({ code: 10022 }))
    expect(() => server.config(`MessageLength[${id}]=-1`)).toThrowError(expect.objectContaining({ code: 10022 }))
  })

  it("MessageLength: without a connection to any client it cannot be set", async () => {
    await using server = new WSServer()
    expect(() => server.config("MessageLength[1]=1")).toThrowError(expect.objectContaining({ code: 126 }))
  })
})
