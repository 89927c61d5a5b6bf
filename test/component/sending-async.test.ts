/**
 * Sending with Timeout 0: it does not wait, fails with 10035 when too much waits already, and tells by BytesSent how much went
 * out and by ReadyToSend when there is room again.
 */
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type * as Net from "node:net"
import { describe, expect, it } from "vitest"
import { DataFormats } from "../../src/component/Enums.ts"
import { text } from "../conformance/wire/frame.ts"
import { bytes as patternBytes } from "../proxy/pattern.ts"
import { Serving } from "./serving.ts"
import { codeOf, failure, isSettled, until } from "./until.ts"

const megabyte = 1024 * 1024
/** More than the system holds for a client that does not read. */
const tooMuch = 64 * megabyte

/** What is so large is compressed elsewhere, and not at once. */
const large = 100_000

describe.each([{ deflate: false }, { deflate: true }])("with permessage-deflate: $deflate", ({ deflate }) => {
  it("10035, Timeout, SendBytes: when the client does not read, sending fails at once and the rest arrives later", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw({ deflate })
    expect(connection.timeout).toBe(0)
    client.pause()
    const taken = await serving.fill(id, large)
    const error = await failure(serving.server.sendBytes(id, new Uint8Array(1)))
    expect([error.code, error.message]).toEqual([10035, "[10035] Operation would block."])
    expect(await codeOf(serving.server.sendText(id, "x"))).toBe(10035)
    expect(await codeOf(serving.server.send(id, "x"))).toBe(10035)
    client.resume()
    const messages = await client.messages(taken)
    expect(messages).toHaveLength(taken)
  })

  it("SendBytes, SendText, 10035: of an idle connection what is large is taken, as one message or as several", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw({ deflate })
    const { server } = serving
    for (const size of [131_072, 131_073, 300_000, 1_000_000]) {
      client.frames.length = 0
      const bytes = patternBytes(size, size)
      await server.sendBytes(id, bytes)
      expect([connection.bytesSent, connection.readyToSend]).toEqual([size, true])
      const messages = await client.messages(Math.ceil(size / 131_072))
      expect(Buffer.concat(messages.map(({ payload }) => payload)).equals(bytes)).toBe(true)
    }
    client.frames.length = 0
    await Promise.all([server.sendText(id, "a".repeat(70_000)), server.sendText(id, "b".repeat(70_000))])
    expect((await client.messages(2)).map(({ payload }) => payload.length)).toEqual([70_000, 70_000])
  })

  it("10035, BytesSent, ReadyToSend: sending on from BytesSent delivers each byte once, to a client that takes its time", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw({ deflate })
    const bytes = patternBytes(6, 16 * megabyte)
    client.pause()
    let failures = 0
    for (let sent = 0; sent < bytes.length;) {
      const before = serving.readies(id)
      const call = serving.server.sendBytes(id, bytes.subarray(sent))
      await call.catch(() => failures++)
      sent += connection.bytesSent
      if (connection.bytesSent > 0) continue
      client.resume()
      await until("ReadyToSend", () => serving.readies(id) > before)
    }
    expect(failures).toBeGreaterThan(0)
    const messages = await client.messages(bytes.length / 131_072)
    expect(Buffer.concat(messages.map(({ payload }) => payload)).equals(bytes)).toBe(true)
  })

  it("10035, SendBytes: what is sent in one turn is taken as far as it may wait, and no further", async () => {
    await using serving = await Serving.start()
    const { client, id } = await serving.raw({ deflate })
    client.pause()
    const chunk = patternBytes(1, large)
    const calls = Array.from({ length: 1000 }, () => serving.server.sendBytes(id, chunk))
    const results = await Promise.allSettled(calls)
    const taken = results.filter(({ status }) => status === "fulfilled").length
    // without compression the system takes most of it
    expect(taken * large).toBeLessThan(16 * megabyte)
    client.resume()
    expect(await client.messages(taken)).toHaveLength(taken)
  })

  it("SendBytes, 10022: bytes that were transferred away are refused, and what was sent around them arrives", async () => {
    await using serving = await Serving.start()
    const { client, id } = await serving.raw({ deflate })
    const away = new Uint8Array(5)
    structuredClone(away, { transfer: [away.buffer] })
    const sent = [serving.server.sendText(id, "before"), serving.server.sendBytes(id, patternBytes(1, 5000))]
    const error = await failure(serving.server.sendBytes(id, away))
    expect([error.code, error.message]).toEqual([10022, expect.stringContaining("transferred")])
    await Promise.all([...sent, serving.server.sendText(id, "behind")])
    expect((await client.messages(3)).map(({ payload }) => payload.length)).toEqual([6, 5000, 6])
  })

  it("ReadyToSend, WSConnection.ReadyToSend: false after 10035, and true again when the event fires", async () => {
    const seen: Array<boolean> = []
    await using serving = await Serving.start((server) => {
      server.on("ReadyToSend", ({ connectionId }) => seen.push(server.connections.item(connectionId).readyToSend))
    })
    const { client, connection, id } = await serving.raw({ deflate })
    expect([connection.readyToSend, seen]).toEqual([true, [true]])
    // and once more
    for (let i = 0; i < 2; i++) {
      client.pause()
      await serving.fill(id, large)
      expect(connection.readyToSend).toBe(false)
      const before = serving.readies(id)
      client.resume()
      await until("ReadyToSend", () => serving.readies(id) > before)
      expect([connection.readyToSend, serving.readies(id)]).toEqual([true, before + 1])
      await serving.server.sendText(id, "there is room")
    }
    expect(seen).not.toContain(false)
  })

  it("DataIn, 10035: what the client sends comes in while it reads nothing of the answers", async () => {
    const answer = patternBytes(2, large)
    let count = 0
    let isFull = false
    await using serving = await Serving.start((server) => {
      server.on("DataIn", ({ connectionId }) => {
        count++
        server.sendBytes(connectionId, answer).catch(() => {
          isFull = true
        })
      })
    })
    const { client } = await serving.raw({ deflate })
    client.pause()
    while (!isFull) {
      const before = count
      client.send(text("more"))
      await until("what was asked", () => count > before)
    }
    client.send(text("one"))
    client.send(text("two"))
    const before = count
    await until("what was asked after that", () => count === before + 2)
  })
})

describe("ReadyToSend", () => {
  it("ReadyToSend, Connected: fires once behind Connected, and the field is true from then on", async () => {
    const fields: Array<boolean> = []
    await using serving = await Serving.start((server) => {
      server.on("WebSocketOpenRequest", (e) => fields.push(server.connections.item(e.connectionId).readyToSend))
      server.on("ReadyToSend", (e) => fields.push(server.connections.item(e.connectionId).readyToSend))
    })
    const one = await serving.raw()
    const two = await serving.ws()
    await serving.server.sendText(one.id, "x")
    await one.client.texts(1)
    expect(serving.log).toEqual([
      `Connected ${one.id}`,
      `ReadyToSend ${one.id}`,
      `Connected ${two.id}`,
      `ReadyToSend ${two.id}`
    ])
    expect(fields).toEqual([false, true, false, true])
  })

  it("ReadyToSend: comes in its turn, behind a listener that takes its time", async () => {
    const log: Array<string> = []
    const door = Promise.withResolvers<void>()
    await using serving = await Serving.start((server) => {
      server.on("DataIn", async () => {
        log.push("DataIn begins")
        await door.promise
        log.push("DataIn ends")
      })
      server.on("ReadyToSend", () => log.push("ReadyToSend"))
    })
    const { client, connection, id } = await serving.raw()
    client.pause()
    await serving.fill(id)
    client.send(text("x"))
    await until("DataIn", () => log.includes("DataIn begins"))
    client.resume()
    await until("room", () => connection.readyToSend)
    expect(log).toEqual(["ReadyToSend", "DataIn begins"])
    door.resolve()
    await until("the event", () => log.length === 4)
    expect(log).toEqual(["ReadyToSend", "DataIn begins", "DataIn ends", "ReadyToSend"])
  })

  it("WSConnection.ReadyToSend: stays false, and no event comes, when the connection ends before there is room", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw()
    client.pause()
    await serving.fill(id)
    client.destroy()
    await until("the end", () => serving.log.includes(`Disconnected ${id}`))
    expect([connection.readyToSend, serving.readies(id)]).toEqual([false, 1])
  })
})

describe("BytesSent", () => {
  it("BytesSent, Send, SendBytes, SendText: the bytes of the last send, as they are encoded", async () => {
    await using serving = await Serving.start()
    const { connection, id } = await serving.raw()
    const { server } = serving
    expect(connection.bytesSent).toBe(0)
    await server.sendText(id, "aé€😀")
    expect(connection.bytesSent).toBe(10)
    await server.sendBytes(id, new Uint8Array(5))
    expect(connection.bytesSent).toBe(5)
    await server.send(id, "é")
    expect(connection.bytesSent).toBe(2)
    await server.sendText(id, "")
    expect(connection.bytesSent).toBe(0)
    connection.dataFormat = DataFormats.dfPing
    await server.send(id, "abc")
    expect(connection.bytesSent).toBe(3)
  })

  it("BytesSent, EnablePermessageDeflate: counts what was sent, not what it was compressed to", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw({ deflate: true })
    await serving.server.sendText(id, "a".repeat(100_000))
    expect(connection.bytesSent).toBe(100_000)
    const [message] = await client.messages(1)
    expect([message?.isCompressed, message?.payload.length]).toEqual([true, 100_000])
  })

  it("BytesSent, 10035: 0 when nothing of it went out", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw()
    client.pause()
    await serving.fill(id)
    await serving.server.sendText(id, "x").catch(() => {})
    expect(connection.bytesSent).toBe(0)
  })

  it("BytesSent, 10035, ReadyToSend, MaxFrameSize: after a part went out no event comes, and the rest can be sent on from there", async () => {
    await using serving = await Serving.start((server) => {
      server.config("MaxFrameSize=100000")
      server.config("OutBufferSize=300000")
    })
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    client.pause()
    const bytes = patternBytes(3, tooMuch)
    expect(await codeOf(server.sendBytes(id, bytes))).toBe(10035)
    let sent = connection.bytesSent
    expect(sent).toBeGreaterThan(0)
    expect(sent).toBeLessThan(tooMuch)
    expect(sent % 100_000).toBe(0)
    expect(connection.readyToSend).toBe(true)
    client.resume()
    // all of the part arrives, and nobody is told of it
    await until("the part", () => client.complete === sent / 100_000)
    expect([connection.readyToSend, serving.readies(id)]).toEqual([true, 1])
    while (sent < tooMuch) {
      const before = serving.readies(id)
      const rest = server.sendBytes(id, bytes.subarray(sent))
      await rest.catch(() => {})
      sent += connection.bytesSent
      if (connection.bytesSent === 0) await until("ReadyToSend", () => serving.readies(id) > before)
    }
    await until("all of it", () => client.bytes.length === tooMuch)
    expect(client.bytes.equals(bytes)).toBe(true)
    expect(client.frames.every(({ fin, payload }) => fin && payload.length <= 100_000)).toBe(true)
  })
})

describe("OutBufferSize", () => {
  it("OutBufferSize, 10035: how much may wait in the process; 64 KiB if it is 0; set for connections to come", async () => {
    const sockets: Array<Net.Socket> = []
    // what the channel tells is documented
    const accepted = (message: unknown) => sockets.push((message as { readonly socket: Net.Socket }).socket)
    subscribe("net.server.socket", accepted)
    try {
      await using serving = await Serving.start()
      const { server } = serving
      expect(server.config("OutBufferSize")).toBe("0")
      const before = await serving.raw()
      server.config(`OutBufferSize=${megabyte}`)
      const after = await serving.raw()
      const size = 16 * 1024
      for (const [{ client, id }, limit] of [
        [before, 65536],
        [after, megabyte]
      ] as const) {
        client.pause()
        await serving.fill(id, size)
        const waiting = sockets.find(({ remotePort }) => remotePort === client.socket.localPort)?.writableLength
        expect(waiting).toBeGreaterThanOrEqual(limit)
        // the last one may begin below it
        expect(waiting).toBeLessThan(limit + size + 1000)
      }
    } finally {
      unsubscribe("net.server.socket", accepted)
    }
  })

  it("OutBufferSize: one message may be larger when nothing waits", async () => {
    await using serving = await Serving.start((server) => {
      server.config("OutBufferSize=1000")
      server.config("MaxFrameSize=10000000")
    })
    const { client, connection, id } = await serving.raw()
    await serving.server.sendBytes(id, new Uint8Array(10_000_000))
    expect(connection.bytesSent).toBe(10_000_000)
    const [message] = await client.messages(1)
    expect(message?.sizes).toEqual([10_000_000])
  })
})

describe("Timeout 0", () => {
  it("Disconnect, EnablePermessageDeflate: is done in its time although the client reads nothing of what was sent", async () => {
    await using serving = await Serving.start()
    const { client, id } = await serving.raw({ deflate: true })
    client.pause()
    await serving.fill(id, large)
    await serving.server.disconnect(id)
    expect(serving.server.connections.has(id)).toBe(false)
  })

  it("Timeout, DefaultTimeout: of connections to come, and of each on its own; 0 at first", async () => {
    await using serving = await Serving.start()
    const { server } = serving
    expect(server.defaultTimeout).toBe(0)
    const one = await serving.raw()
    server.defaultTimeout = 7
    const two = await serving.raw()
    expect([one.connection.timeout, two.connection.timeout]).toEqual([0, 7])
    one.connection.timeout = 3
    expect([one.connection.timeout, two.connection.timeout, server.defaultTimeout]).toEqual([3, 7, 7])
    // sending waits on the one as on the other, and so tells no BytesSent
    await server.sendText(one.id, "x")
    expect(one.connection.bytesSent).toBe(0)
    one.connection.timeout = 0
    await server.sendText(one.id, "x")
    expect(one.connection.bytesSent).toBe(1)
  })

  it("Timeout, SendBytes, SendText, Send, Ping: with 0 each returns at once, whether the client reads or not", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    client.pause()
    const settled = async (call: Promise<void>) => {
      expect(await isSettled(call)).toBe(true)
      return call
    }
    await settled(server.sendBytes(id, new Uint8Array(1000)))
    await serving.fill(id)
    for (const format of Object.values(DataFormats)) {
      connection.dataFormat = format
      await expect(settled(server.send(id, "x"))).rejects.toMatchObject({ code: 10035 })
    }
    await expect(settled(server.sendText(id, "x"))).rejects.toMatchObject({ code: 10035 })
    await expect(settled(server.sendBytes(id, new Uint8Array(1)))).rejects.toMatchObject({ code: 10035 })
    await expect(settled(server.ping(id))).rejects.toMatchObject({ code: 10035 })
  })

  it("301: a signal that is aborted already", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    const signal = AbortSignal.abort(new Error("never mind"))
    const errors = [
      await failure(server.sendText(id, "no", signal)),
      await failure(server.sendBytes(id, new Uint8Array(1), signal)),
      await failure(server.send(id, "no", signal)),
      await failure(server.ping(id, signal))
    ]
    connection.dataFormat = DataFormats.dfPong
    errors.push(await failure(server.send(id, "no", signal)))
    for (const { cause, code } of errors) expect([code, cause]).toEqual([301, signal.reason])
    await server.sendText(id, "yes")
    expect(await client.texts(1)).toEqual(["yes"])
    expect(client.frames).toHaveLength(1)
  })

  it("10035, SendText: sends behind a file wait in the process, and not without limit", async () => {
    await using serving = await Serving.start()
    const { client, connection, id } = await serving.raw()
    const { server } = serving
    connection.timeout = 20
    const held = Promise.withResolvers<void>()
    const upload = server.setUploadStream(
      id,
      (async function* () {
        yield "first"
        await held.promise
        yield "last"
      })()
    )
    await until("the first fragment", () => client.frames.length === 1)
    connection.timeout = 0
    const taken = await serving.fill(id)
    expect(taken).toBeGreaterThan(0)
    expect(taken * 65536).toBeLessThan(2 * megabyte)
    held.resolve()
    await upload
    await until("ReadyToSend", () => serving.readies(id) === 2)
    const messages = await client.messages(1 + taken)
    expect(messages[0]?.payload.toString()).toBe("firstlast")
    expect(messages.slice(1).every(({ payload }) => payload.length === 65536)).toBe(true)
  })
})
