/**
 * What DataIn gives of messages, frames and pieces of frames, and Ping between them.
 */
import { assert, describe, it } from "vitest"
import * as Frames from "../proxy/frames.ts"
import { connect, gate, idOf, rawClient, run, serving } from "./server.ts"

/** Of one, two, three and four bytes in UTF-8. */
const mixed = (length: number): string => "aé€🎈".repeat(Math.ceil(length / 10))

describe("DataIn", () => {
  it("DataIn.ConnectionId, DataIn.DataFormat, DataIn.Text, DataIn.TextB, DataIn.EOM, DataIn.EOL: a message in one frame, text or binary", async () => {
    await using it = await serving()
    await using client = await connect(it.url)
    client.socket.send("Grüße 🎈")
    client.socket.send(Uint8Array.of(0, 255, 65))
    client.socket.send("")
    client.socket.send(new Uint8Array(0))
    await it.until("DataIn", 4)
    const connectionId = idOf(it)
    assert.deepStrictEqual(
      it.data.map((e) => [e.connectionId, e.dataFormat, e.text, [...e.textB], e.eom, e.eol]),
      [
        [connectionId, 1, "Grüße 🎈", [...Buffer.from("Grüße 🎈")], true, false],
        [connectionId, 2, "\0\uFFFDA", [0, 255, 65], true, false],
        [connectionId, 1, "", [], true, false],
        [connectionId, 2, "", [], true, false]
      ]
    )
  })

  it("DataIn.ConnectionId: tells connections apart", async () => {
    await using it = await serving()
    await using one = await connect(it.url)
    await using two = await connect(it.url)
    one.socket.send("of one")
    await it.until("DataIn")
    two.socket.send("of two")
    await it.until("DataIn", 2)
    const [a, b] = it.data
    assert.notStrictEqual(a!.connectionId, b!.connectionId)
    assert.deepStrictEqual([...it.server.connections.keys()], [a!.connectionId, b!.connectionId])
  })

  it("DataIn.DataFormat, DataIn.EOM: fires for each fragment as it comes, 0 for those that continue a message, EOM with the last", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port)
    await run(client.send(Frames.text, "one ", { fin: false }))
    await it.until("DataIn", 1)
    await run(client.send(Frames.continuation, "two ", { fin: false }))
    await it.until("DataIn", 2)
    await run(client.send(Frames.continuation, "", { fin: false }))
    await run(client.send(Frames.continuation, "three"))
    await run(client.send(Frames.binary, "a", { fin: false }))
    await run(client.send(Frames.continuation, ""))
    await run(client.send(Frames.text, "whole"))
    await it.until("DataIn", 7)
    assert.deepStrictEqual(it.of("DataIn"), [
      'DataIn 1 "one "',
      'DataIn 0 "two "',
      'DataIn 0 ""',
      'DataIn 0 "three" EOM',
      'DataIn 2 "a"',
      'DataIn 0 "" EOM',
      'DataIn 1 "whole" EOM'
    ])
  })

  it("DataIn.Text, DataIn.TextB: the pieces of a text are the text, though fragments cut its code points; bytes are as they came", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port)
    const text = mixed(400)
    const bytes = Buffer.from(text)
    let at = 0
    for (let size = 1; at < bytes.length; size = (size % 7) + 1) {
      const fin = at + size >= bytes.length
      const opcode = at === 0 ? Frames.text : Frames.continuation
      await run(client.send(opcode, bytes.subarray(at, at + size), { fin }))
      at += size
    }
    await it.watch.until("the end of the message", () => it.data.at(-1)?.eom === true).pipe(run)
    assert.strictEqual(it.texts.join(""), text)
    assert.notInclude(it.texts.join(""), "\uFFFD")
    assert.deepStrictEqual(it.bytes, bytes)
    assert.isAbove(it.data.length, 50)
  })

  it("DataIn.Text: a byte order mark is part of the text, wherever it is", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port)
    const mark = Buffer.from("\uFEFF")
    await run(client.send(Frames.text, "\uFEFFa\uFEFF"))
    await run(client.send(Frames.text, mark.subarray(0, 2), { fin: false }))
    await run(client.send(Frames.continuation, Buffer.concat([mark.subarray(2), Buffer.from("b")])))
    await run(client.send(Frames.binary, mark))
    await it.until("DataIn", 4)
    assert.deepStrictEqual(it.texts, ["\uFEFFa\uFEFF", "", "\uFEFFb", "\uFEFF"])
  })

  it("DataIn.TextB, Ping.PayloadB: are the listener's own, to keep and to write into", async () => {
    await using it = await serving({
      on: (server) =>
        server
          .on("DataIn", (e) => {
            if (e.text.startsWith("scratch")) e.textB.fill(0)
          })
          .on("Ping", (e) => e.payloadB.fill(120))
    })
    await using client = await connect(it.url)
    const sent = Array.from({ length: 300 }, (_, i) => Buffer.alloc(1000, i))
    client.socket.send("scratch")
    for (const message of sent) client.socket.send(message)
    client.socket.ping("ping")
    const [pong] = await new Promise<Array<unknown>>((resolve) => client.socket.on("pong", (...e) => resolve(e)))
    await it.until("DataIn", 301)
    assert.deepStrictEqual(
      it.data.slice(1).map(({ textB }) => Buffer.from(textB)),
      sent
    )
    // small ones share a buffer, of which each has a part of its own
    const parts = it.data.map(({ textB }) => textB)
    for (const part of parts) part.fill(7)
    const last = parts.at(-1)!
    last.fill(9)
    for (const part of parts.slice(0, -1)) assert.isTrue(part.every((byte) => byte === 7))
    assert.strictEqual(String(pong), "ping", "the answer to a ping is not what the listener made of it")
  })

  it("DataIn.Text, DataIn.TextB: can be read when the listener has waited, and other data came meanwhile", async () => {
    const later = gate()
    const seen: Array<unknown> = []
    await using it = await serving({
      record: [],
      on: (server) =>
        server.on("DataIn", async (e) => {
          await later.opened
          seen.push(e.text, Buffer.from(e.textB).toString())
        })
    })
    await using client = await connect(it.url)
    client.socket.send("first")
    client.socket.send("x".repeat(100_000))
    client.socket.send("last")
    later.open()
    client.socket.close()
    await client.closed
    assert.deepStrictEqual(seen, ["first", "first", "x".repeat(100_000), "x".repeat(100_000), "last", "last"])
  })

  it("EnablePermessageDeflate, DataIn.Text, DataIn.EOM: what was compressed comes whole, as it was", async () => {
    await using it = await serving({ config: ["InBufferSize=1000"] })
    await using client = await connect(it.url, { perMessageDeflate: { threshold: 0 } })
    assert.match(client.socket.extensions, /permessage-deflate/)
    const text = mixed(200_000)
    client.socket.send(text)
    client.socket.send(Buffer.alloc(50_000, 7))
    await it.until("DataIn", 2)
    assert.deepStrictEqual(
      it.data.map((e) => [e.dataFormat, e.eom]),
      [
        [1, true],
        [2, true]
      ]
    )
    assert.isTrue(it.data[0]!.text === text)
    assert.isTrue(Buffer.from(it.data[1]!.textB).equals(Buffer.alloc(50_000, 7)))
  })
})

describe("InBufferSize", () => {
  const text = mixed(100_000)
  const bytes = Buffer.from(text)
  const ways: Readonly<Record<string, number>> = { "at once": bytes.length + 100, "little by little": 777 }
  for (const [way, step] of Object.entries(ways)) {
    it(`InBufferSize, DataIn.DataFormat, DataIn.EOM: a larger frame that comes ${way} is given in pieces of at most so many bytes`, async () => {
      await using it = await serving({ config: ["InBufferSize=1000"] })
      await using client = await rawClient(it.port)
      const frame = Frames.frame(Frames.text, bytes)
      for (let at = 0; at < frame.length; at += step) await run(client.write(frame.subarray(at, at + step)))
      await it.watch.until("the end of the message", () => it.data.at(-1)?.eom === true).pipe(run)
      assert.isAtLeast(it.data.length, Math.ceil(bytes.length / 1000))
      for (const { textB } of it.data) assert.isAtMost(textB.length, 1000)
      assert.isTrue(it.texts.join("") === text)
      assert.isTrue(it.bytes.equals(bytes))
      assert.deepStrictEqual(new Set(it.data.slice(1).map(({ dataFormat }) => dataFormat)), new Set([0]))
      assert.strictEqual(it.data[0]!.dataFormat, 1)
      assert.strictEqual(it.data.filter(({ eom }) => eom).length, 1)
    })
  }

  it("InBufferSize: a frame that is not larger comes in one piece, in however many segments", async () => {
    await using it = await serving({ config: ["InBufferSize=1000"] })
    await using client = await rawClient(it.port)
    for (const byte of Frames.frame(Frames.binary, Buffer.alloc(1000, 1))) await run(client.write(Uint8Array.of(byte)))
    await it.until("DataIn")
    assert.deepStrictEqual(it.of("DataIn"), ["DataIn 2 (1000) EOM"])
  })
})

describe("Ping", () => {
  it("Ping.ConnectionId, Ping.Payload, Ping.PayloadB, Ping.Response: fires for pings, which are answered, and for pongs, where they came between data", async () => {
    const pings: Array<unknown> = []
    await using it = await serving({
      on: (server) => server.on("Ping", (e) => pings.push([e.connectionId, e.payload, [...e.payloadB], e.response]))
    })
    await using client = await rawClient(it.port)
    await run(
      client.write(
        Buffer.concat([
          Frames.frame(Frames.text, "one ", { fin: false }),
          Frames.frame(Frames.ping, "hé"),
          Frames.frame(Frames.continuation, "two"),
          Frames.frame(Frames.pong, Uint8Array.of(255)),
          Frames.frame(Frames.text, "three"),
          Frames.frame(Frames.ping, "")
        ])
      )
    )
    await it.until("Ping", 3)
    assert.deepStrictEqual(it.of("DataIn", "Ping"), [
      'DataIn 1 "one "',
      'Ping "hé"',
      'DataIn 0 "two" EOM',
      'Ping "\uFFFD" response',
      'DataIn 1 "three" EOM',
      'Ping ""'
    ])
    const id = idOf(it)
    assert.deepStrictEqual(pings, [
      [id, "hé", [...Buffer.from("hé")], false],
      [id, "\uFFFD", [255], true],
      [id, "", [], false]
    ])
    await run(client.watch.until("two pongs", () => client.log.filter((line) => line === "pong").length === 2))
  })

  it("Ping.Response: the answer to our own ping is told", async () => {
    await using it = await serving()
    await using client = await connect(it.url)
    await it.until("ReadyToSend")
    const connection = it.server.connections.item(idOf(it))
    connection.timeout = 5
    await it.server.ping(connection.connectionId)
    await it.until("Ping")
    assert.match(it.of("Ping")[0]!, / response$/)
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })
})
