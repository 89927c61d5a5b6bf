/**
 * What becomes of data that is sent: text or binary, a ping or a pong, and in which order it arrives.
 */
import { describe, expect, it, vi } from "vitest"
import * as Net from "node:net"
import { ComponentError } from "../../src/component/ComponentError.ts"
import { DataFormats } from "../../src/component/Enums.ts"
import { BINARY, binary, CLOSE, PING, PONG, TEXT, text } from "../conformance/wire/frame.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, until } from "./until.ts"

const { dfAutomatic, dfBinary, dfPing, dfPong, dfText } = DataFormats
/** Every length of a code point in UTF-8. */
const letters = "aé€😀"

describe.each([
  { way: "Timeout 0", timeout: 0, deflate: false },
  { way: "Timeout 0 and permessage-deflate", timeout: 0, deflate: true },
  { way: "a Timeout", timeout: 5, deflate: false },
  { way: "a Timeout and permessage-deflate", timeout: 5, deflate: true }
])("with $way", ({ deflate, timeout }) => {
  const start = () =>
    Serving.start((server) => {
      server.defaultTimeout = timeout
    })

  it("SendText: a message of text, whatever DataFormat says", async () => {
    await using serving = await start()
    const { connection, id, received } = await serving.ws(deflate)
    for (const format of [dfAutomatic, dfText, dfBinary, dfPing, dfPong]) {
      connection.dataFormat = format
      await serving.server.sendText(id, `${letters} ${format}`)
    }
    await until("the messages", () => received.length === 5)
    expect(received.map(({ isText, payload }) => [isText, payload.toString()])).toEqual(
      [0, 1, 2, 9, 10].map((format) => [true, `${letters} ${format}`])
    )
  })

  it("SendBytes: a binary message, whatever DataFormat says", async () => {
    await using serving = await start()
    const { connection, id, received } = await serving.ws(deflate)
    for (const format of [dfAutomatic, dfText, dfBinary, dfPing, dfPong]) {
      connection.dataFormat = format
      await serving.server.sendBytes(id, new Uint8Array([0xff, format]))
    }
    await until("the messages", () => received.length === 5)
    expect(received.map(({ isText, payload }) => [isText, [...payload]])).toEqual(
      [0, 1, 2, 9, 10].map((format) => [false, [0xff, format]])
    )
  })

  it("Send, DataFormat, dfAutomatic: text for a string, binary for bytes", async () => {
    await using serving = await start()
    const { connection, id, received } = await serving.ws(deflate)
    expect(connection.dataFormat).toBe(dfAutomatic)
    await serving.server.send(id, letters)
    await serving.server.send(id, Buffer.from("abc"))
    await until("the messages", () => received.length === 2)
    expect(received).toEqual([
      { isText: true, payload: Buffer.from(letters) },
      { isText: false, payload: Buffer.from("abc") }
    ])
  })

  it("Send, DataFormat, dfText: all is text, bytes that are UTF-8 already too", async () => {
    await using serving = await start()
    const { connection, id, received } = await serving.ws(deflate)
    connection.dataFormat = dfText
    await serving.server.send(id, letters)
    await serving.server.send(id, Buffer.from(`\ufeff${letters}`))
    await until("the messages", () => received.length === 2)
    expect(received).toEqual([
      { isText: true, payload: Buffer.from(letters) },
      { isText: true, payload: Buffer.from(`\ufeff${letters}`) }
    ])
  })

  it("Send, dfText, 10022: bytes that are no UTF-8 are refused, and nothing of them is sent", async () => {
    await using serving = await start()
    const { connection, id, received } = await serving.ws(deflate)
    connection.dataFormat = dfText
    const error = await failure(serving.server.send(id, new Uint8Array([0x61, 0xff])))
    expect(error.code).toBe(10022)
    expect(error.message).toContain("UTF-8")
    await serving.server.send(id, "after")
    await until("the message", () => received.length === 1)
    expect(received).toEqual([{ isText: true, payload: Buffer.from("after") }])
  })

  it("Send, DataFormat, dfBinary: all is binary, strings as their UTF-8", async () => {
    await using serving = await start()
    const { connection, id, received } = await serving.ws(deflate)
    connection.dataFormat = dfBinary
    await serving.server.send(id, letters)
    await serving.server.send(id, new Uint8Array([0xff]))
    await until("the messages", () => received.length === 2)
    expect(received).toEqual([
      { isText: false, payload: Buffer.from(letters) },
      { isText: false, payload: Buffer.from([0xff]) }
    ])
  })

  it("Send, DataFormat, dfPing, dfPong: a ping or a pong with the data as its payload, in the order of the messages", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw({ deflate })
    await serving.server.sendText(id, "before")
    connection.dataFormat = dfPing
    await serving.server.send(id, letters)
    connection.dataFormat = dfPong
    await serving.server.send(id, new Uint8Array(125).fill(7))
    await serving.server.sendText(id, "after")
    await client.messages(2)
    expect(client.frames.map(({ opcode, payload }) => [opcode, payload])).toEqual([
      [TEXT, Buffer.from("before")],
      [PING, Buffer.from(letters)],
      [PONG, Buffer.alloc(125, 7)],
      [TEXT, Buffer.from("after")]
    ])
    // the client has answered the ping
    await until("the pong", () => serving.pings.length === 1)
    expect(serving.pings.map(({ payload, response }) => [payload, response])).toEqual([[letters, true]])
  })

  it("dfPing, dfPong, 10022: more than 125 bytes are refused", async () => {
    await using serving = await start()
    const { client, connection, id } = await serving.raw({ deflate })
    for (const format of [dfPing, dfPong]) {
      connection.dataFormat = format
      const error = await failure(serving.server.send(id, new Uint8Array(126)))
      expect([error.code, error.message]).toEqual([10022, expect.stringContaining("125")])
    }
    await serving.server.sendText(id, "after")
    await client.messages(1)
    expect(client.frames).toHaveLength(1)
  })

  it("Send, SendBytes, SendText: nothing at all is a message of no bytes", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    await serving.server.sendText(id, "")
    await serving.server.sendBytes(id, new Uint8Array(0))
    await serving.server.send(id, "")
    const messages = await client.messages(3)
    expect(messages.map(({ isText, sizes }) => [isText, sizes])).toEqual([
      [true, [0]],
      [false, [0]],
      [true, [0]]
    ])
  })

  it("Send, SendBytes, SendText, 10022: what is neither text nor bytes is refused", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    // as a program without types would call them
    const { server } = serving
    const untyped = [server.send, server.sendBytes, server.sendText] as unknown as ReadonlyArray<
      (this: unknown, id: string, data: unknown) => Promise<void>
    >
    for (const send of untyped) {
      for (const data of [undefined, null, 7, {}, [1], new ArrayBuffer(1)]) {
        expect(await codeOf(send.call(server, id, data))).toBe(10022)
      }
    }
    await server.sendText(id, "after")
    expect(await client.texts(1)).toEqual(["after"])
    expect(client.frames).toHaveLength(1)
  })

  it("SendText: bytes are taken as text if they are UTF-8, as no client may be sent other text", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    const { server } = serving
    const sendText = server.sendText as unknown as (this: unknown, id: string, data: Uint8Array) => Promise<void>
    expect(await codeOf(sendText.call(server, id, new Uint8Array([0xff])))).toBe(10022)
    await sendText.call(server, id, Buffer.from(letters))
    const [message] = await client.messages(1)
    expect([message?.isText, message?.payload.toString()]).toEqual([true, letters])
  })

  it("Send, SendBytes, SendText: sends that nobody waits for arrive in their order, among many connections", async () => {
    await using serving = await start()
    const opened = [
      await serving.raw({ deflate }),
      await serving.raw({ deflate: true }),
      await serving.raw({ deflate })
    ]
    const count = 500
    const calls: Array<Promise<void>> = []
    for (let i = 0; i < count; i++) {
      for (const { id } of opened) {
        if (i % 3 === 0) calls.push(serving.server.send(id, `${i}`))
        else if (i % 3 === 1) calls.push(serving.server.sendBytes(id, Buffer.from(`${i}`)))
        else calls.push(serving.server.sendText(id, `${i}`))
      }
    }
    await Promise.all(calls)
    const expected = Array.from({ length: count }, (_, i) => `${i}`)
    for (const { client } of opened) {
      expect(await client.texts(count)).toEqual(expected)
      expect(client.data.map((frame) => frame.opcode)).toEqual(expected.map((_, i) => (i % 3 === 1 ? BINARY : TEXT)))
    }
  })

  it("Send, SendText, EnablePermessageDeflate: small and large messages keep their order, compressed or not", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate: true })
    const texts = Array.from({ length: 60 }, (_, i) => `${i}:${letters.repeat(i % 4 === 0 ? 4000 : i)}`)
    const calls = texts.map((one, i) => (i % 2 === 0 ? serving.server.sendText(id, one) : serving.server.send(id, one)))
    await Promise.all(calls)
    const messages = await client.messages(texts.length)
    expect(messages.map((message) => message.payload.toString())).toEqual(texts)
    expect(messages.some((message) => message.isCompressed)).toBe(true)
  })

  it("EnablePermessageDeflate: switched off, nothing that is sent is compressed", async () => {
    await using serving = await Serving.start((server) => {
      server.defaultTimeout = timeout
      server.config("EnablePermessageDeflate=False")
    })
    const { client, id } = await serving.raw({ deflate: true })
    await serving.server.sendText(id, "a".repeat(10_000))
    const [message] = await client.messages(1)
    expect([message?.isCompressed, message?.payload.toString()]).toEqual([false, "a".repeat(10_000)])
  })

  it("SendText, Connections: a broadcast reaches every connection", async () => {
    await using serving = await start()
    const opened = [
      await serving.raw({ deflate }),
      await serving.raw({ deflate }),
      await serving.raw({ deflate: true })
    ]
    for (const { connectionId } of serving.server.connections.values()) {
      await serving.server.sendText(connectionId, "to all")
    }
    for (const { client } of opened) expect(await client.texts(1)).toEqual(["to all"])
  })

  it("126: of an id that no connection has, and of one that is gone", async () => {
    await using serving = await start()
    const { client, id } = await serving.raw({ deflate })
    const { server } = serving
    client.destroy()
    await until("the end", () => !server.connections.has(id))
    for (const no of [id, "", "nobody"]) {
      const calls = [
        server.send(no, "x"),
        server.sendBytes(no, new Uint8Array(1)),
        server.sendText(no, "x"),
        server.sendFile(no, "x"),
        server.setUploadStream(no, new ReadableStream<string>()),
        server.interrupt(no),
        server.ping(no)
      ]
      expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 126))
    }
  })

  it("4202: sending while the connection closes", async () => {
    await using serving = await start()
    const { server } = serving
    const { client, connection, id } = await serving.raw({ deflate })
    const closing = server.disconnect(id)
    const calls = [
      server.send(id, "x"),
      server.sendBytes(id, new Uint8Array(1)),
      server.sendText(id, "x"),
      server.ping(id)
    ]
    expect(await Promise.all(calls.map(codeOf))).toEqual(calls.map(() => 4202))
    for (const format of [dfPing, dfPong]) {
      connection.dataFormat = format
      expect(await codeOf(server.send(id, "x"))).toBe(4202)
    }
    client.destroy()
    await closing
    expect(client.data).toEqual([])
  })

  it("4202: sending from a listener of Disconnected", async () => {
    const codes: Array<number> = []
    await using serving = await Serving.start((server) => {
      server.defaultTimeout = timeout
      server.on("Disconnected", async ({ connectionId }) => {
        codes.push(await codeOf(server.sendText(connectionId, "too late")))
      })
    })
    const { client } = await serving.raw({ deflate })
    client.destroy()
    await until("Disconnected", () => codes.length === 1)
    expect(codes).toEqual([4202])
  })

  it("10057: sending before the connection is open", async () => {
    const codes: Array<number> = []
    await using serving = await Serving.start((server) => {
      server.defaultTimeout = timeout
      server.on("WebSocketOpenRequest", async ({ connectionId: id }) => {
        for (const call of [server.sendText(id, "too early"), server.ping(id)]) codes.push(await codeOf(call))
      })
    })
    const { client, id } = await serving.raw({ deflate })
    expect(codes).toEqual([10057, 10057])
    await serving.server.sendText(id, "now")
    expect(await client.texts(1)).toEqual(["now"])
  })

  it("SendText, DataIn: what a listener answers arrives in order, each answer behind the one before", async () => {
    await using serving = await Serving.start((server) => {
      server.defaultTimeout = timeout
      server.on("DataIn", async (e) => {
        await server.sendText(e.connectionId, `${e.text} 1`)
        await server.sendText(e.connectionId, `${e.text} 2`)
      })
    })
    const { client } = await serving.raw({ deflate })
    client.send(text("a"), text("b"), text("c"))
    expect(await client.texts(6)).toEqual(["a 1", "a 2", "b 1", "b 2", "c 1", "c 2"])
  })
})

describe("with Timeout 0", () => {
  it("SendText, DataIn: what listeners send in one turn goes out in one write", async () => {
    await using serving = await Serving.start((server) => {
      server.on("DataIn", (e) => {
        void server.sendText(e.connectionId, `${e.text} 1`)
        void server.sendBytes(e.connectionId, Buffer.from(`${e.text} 2`))
      })
    })
    const { client } = await serving.raw()
    const writes: Array<Net.Socket> = []
    const { write } = Net.Socket.prototype
    const spy = vi.spyOn(Net.Socket.prototype, "write").mockImplementation(function (this: Net.Socket, ...args) {
      writes.push(this)
      return write.apply(this, args)
    })
    try {
      client.send(text("a"), binary("b"), text("c"))
      expect(await client.texts(6)).toEqual(["a 1", "a 2", "b 1", "b 2", "c 1", "c 2"])
    } finally {
      spy.mockRestore()
    }
    expect(writes.filter((socket) => socket.remotePort === client.socket.localPort)).toHaveLength(1)
    expect(client.reads).toHaveLength(1)
  })

  it("SendBytes: the bytes are the caller's again when the call is done", async () => {
    await using serving = await Serving.start()
    const { client, id } = await serving.raw()
    // so that some wait in the process
    client.pause()
    const bytes = new Uint8Array(32_768)
    let count = 0
    for (let isFull = false; !isFull;) {
      bytes.fill(count % 251)
      await serving.server.sendBytes(id, bytes).then(
        () => count++,
        () => (isFull = true)
      )
    }
    bytes.fill(255)
    client.resume()
    const messages = await client.messages(count)
    expect(messages.map(({ payload }) => payload.equals(Buffer.alloc(bytes.length, payload[0])))).not.toContain(false)
    expect(messages.map(({ payload }) => payload[0])).toEqual(messages.map((_, i) => i % 251))
  })

  it("SendText, Dispose: what is sent right before it arrives", async () => {
    await using serving = await Serving.start()
    const { client, id } = await serving.raw()
    // as in an async function that has waited before
    await serving.server.sendText(id, "last")
    await serving.server.sendText(id, "words")
    const disposing = serving.server.dispose()
    await until("the Close frame", () => client.frames.at(-1)?.opcode === CLOSE)
    expect(client.frames.map(({ payload }) => payload.toString()).slice(0, -1)).toEqual(["last", "words"])
    client.destroy()
    await disposing
  })

  it("SendText: what is sent right before Disconnect arrives before the Close frame", async () => {
    await using serving = await Serving.start()
    const { client, id } = await serving.raw()
    void serving.server.sendText(id, "last words")
    const closing = serving.server.disconnect(id)
    await until("the Close frame", () => client.frames.length === 2)
    expect(client.frames[0]?.payload.toString()).toBe("last words")
    client.destroy()
    await closing
  })
})

it("ComponentError: what a send fails with", async () => {
  await using serving = await Serving.start()
  await expect(serving.server.sendText("none", "x")).rejects.toBeInstanceOf(ComponentError)
})
