/**
 * PauseData and ProcessData: nothing is given out in between, nothing is lost, the client is held up, and a connection that
 * ends is given out to its end.
 */
import { assert, describe, it } from "vitest"
import * as Frames from "../proxy/frames.ts"
import { heldBack } from "../proxy/tcp.ts"
import { collectGarbage, connect, eventually, idOf, rawClient, run, serving } from "./server.ts"

const MiB = 1024 * 1024

/** The bytes of all buffers that somebody holds. */
const heldBytes = (): number => {
  collectGarbage()
  return process.memoryUsage().arrayBuffers
}

describe("PauseData", () => {
  it("AcceptData, PauseData, ProcessData: nothing is given out while it is paused, and all of it in order afterwards", async () => {
    await using it = await serving()
    await using client = await connect(it.url)
    await it.until("ReadyToSend")
    const id = idOf(it)
    const connection = it.server.connections.item(id)
    assert.isTrue(connection.acceptData)
    await it.server.pauseData(id)
    assert.isFalse(connection.acceptData)
    client.socket.send("one")
    client.socket.ping("two")
    client.socket.send("three")
    await client.read()
    await it.server.pauseData(id)
    assert.deepStrictEqual(it.of("DataIn", "Ping"), [])
    await it.server.processData(id)
    assert.isTrue(connection.acceptData)
    await it.until("DataIn", 2)
    assert.deepStrictEqual(it.of("DataIn", "Ping").slice(0, 3), [
      'DataIn 1 "one" EOM',
      'Ping "two"',
      'DataIn 1 "three" EOM'
    ])
    await it.server.processData(id)
  })

  it("PauseData: called before the connection is open, it holds from the first byte on", async () => {
    await using it = await serving({
      on: (server) => server.on("WebSocketOpenRequest", (e) => server.pauseData(e.connectionId))
    })
    await using client = await connect(it.url)
    client.socket.send("early")
    await client.read()
    assert.deepStrictEqual(it.texts, [])
    await it.server.processData(idOf(it))
    await it.until("DataIn")
    assert.deepStrictEqual(it.texts, ["early"])
  })

  for (const mode of ["of messages", "of lines"]) {
    const lineMode = mode === "of lines"
    it(`PauseData, ProcessData: called by a listener ${mode}, it holds the very next, and nothing is lost however often`, async () => {
      let isPaused = false
      await using it = await serving({
        on: (server) =>
          server
            .on("Connected", (e) => server.changeLineMode(e.connectionId, lineMode))
            .on("DataIn", async (e) => {
              assert.isFalse(isPaused)
              if (e.text.length % 3 === 0) return
              if (e.text.length % 3 === 1) await new Promise(setImmediate)
              isPaused = true
              await server.pauseData(e.connectionId)
              setImmediate(() => {
                isPaused = false
                void server.processData(e.connectionId)
              })
            })
      })
      await using client = await connect(it.url)
      const texts = Array.from({ length: 300 }, (_, i) => `${i} ${"x".repeat(i % 11)}`)
      if (lineMode) client.socket.send(texts.map((text) => `${text}\n`).join(""))
      else for (const text of texts) client.socket.send(text)
      await it.until("DataIn", texts.length)
      assert.deepStrictEqual(it.texts, texts)
      assert.deepStrictEqual(it.of("Error"), [])
    })
  }

  it("PauseData: other connections go on", async () => {
    await using it = await serving()
    await using one = await connect(it.url)
    await it.until("ReadyToSend")
    const id = idOf(it)
    await it.server.pauseData(id)
    await using two = await connect(it.url)
    one.socket.send("held")
    await one.read()
    two.socket.send("given")
    await it.until("DataIn")
    assert.deepStrictEqual(it.texts, ["given"])
  })

  it("126: PauseData and ProcessData of a connection that there is not", async () => {
    await using it = await serving()
    for (const method of ["pauseData", "processData"] as const) {
      const error: unknown = await it.server[method]("7").then(
        () => undefined,
        (error: unknown) => error
      )
      assert.propertyVal(error, "code", 126)
    }
  })
})

describe("a client that sends on", () => {
  for (const how of ["paused", "waited for by a listener"]) {
    it(`AcceptData: is held up while it is ${how}, with little in memory, and all of it comes afterwards`, async () => {
      const go = Promise.withResolvers<void>()
      let bytes = 0
      let sum = 0
      await using it = await serving({
        record: ["ReadyToSend"],
        config: ["PingInterval=0"],
        on: (server) =>
          server.on("DataIn", async (e) => {
            if (how !== "paused" && bytes === 0) await go.promise
            const { textB } = e
            bytes += textB.length
            for (let i = 0; i < textB.length; i += 4096) sum = (sum * 31 + textB[i]!) | 0
          })
      })
      await using client = await rawClient(it.port)
      await it.until("ReadyToSend")
      const id = idOf(it)
      if (how === "paused") await it.server.pauseData(id)
      const total = 64 * MiB
      let expected = 0
      const frames = function* () {
        for (let at = 0; at < total; at += MiB / 16) {
          const payload = Buffer.alloc(MiB / 16, at / (MiB / 16))
          for (let i = 0; i < payload.length; i += 4096) expected = (expected * 31 + payload[i]!) | 0
          yield payload
        }
      }
      const before = heldBytes()
      const sending = run(client.sendAll(frames()))
      await run(heldBack(client))
      const taken = client.socket.bytesWritten - client.socket.writableLength
      // the rest of what was taken is the system's
      assert.isBelow(taken, total / 2, "the client is held up")
      assert.isBelow(heldBytes() - before, 2 * MiB)
      assert.strictEqual(bytes, 0)
      if (how === "paused") await it.server.processData(id)
      else go.resolve()
      assert.isTrue(await sending)
      await eventually("all of it", () => bytes >= total)
      assert.deepStrictEqual([bytes, sum], [total, expected])
    })
  }
})

describe("a paused connection that ends", () => {
  /** The client sends this, some of it before the first is given out and paused at, and goes. */
  const texts = ["one", "two", "three", ...Array.from({ length: 20 }, (_, i) => `${i} `.repeat(3000))]

  const endings = {
    "a Close frame": { end: Frames.frame(Frames.close, Frames.closePayload(1000, "bye")), told: '1000 "bye"' },
    "a FIN": { end: new Uint8Array(0), told: "1006 (43)" }
  }
  for (const [what, { end, told }] of Object.entries(endings)) {
    it(`PauseData, ProcessData, Disconnected.StatusCode: after ${what} all that came before it is given out, and then Disconnected fires`, async () => {
      await using it = await serving({
        config: ["PingInterval=0"],
        on: (server) => server.once("DataIn", (e) => server.pauseData(e.connectionId))
      })
      await using client = await rawClient(it.port)
      for (const text of texts) await run(client.send(Frames.text, text))
      await it.until("DataIn")
      await run(client.write(end))
      await run(client.end())
      client.socket.destroy()
      assert.deepStrictEqual(it.texts, ["one"])
      await it.server.processData(idOf(it))
      await it.until("Disconnected")
      assert.deepStrictEqual(it.texts, texts)
      assert.deepStrictEqual(it.of("Error", "Disconnected"), [`Disconnected ${told}`])
      await it.left(0)
    })
  }

  for (const again of ["once", "again and again"]) {
    it(`PauseData, Error.ErrorCode, Disconnected.StatusCode: a reset does not go unnoticed, and what was read is given out to a listener that pauses ${again}, then Error and Disconnected`, async () => {
      await using it = await serving({
        config: ["PingInterval=1"],
        on: (server) => server[again === "once" ? "once" : "on"]("DataIn", (e) => server.pauseData(e.connectionId))
      })
      await using client = await rawClient(it.port)
      const burst = texts.slice(0, 3).map((text) => Frames.frame(Frames.text, text))
      await run(client.write(Buffer.concat(burst)))
      await it.until("DataIn")
      await run(client.reset())
      await it.until("Disconnected")
      assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
        'DataIn 1 "one" EOM',
        'DataIn 1 "two" EOM',
        'DataIn 1 "three" EOM',
        "Error 10053",
        "Disconnected 1006 (43)"
      ])
      await it.left(0)
    })
  }

  it("Disconnect, PauseData: what is paused is closed like any other, and gives out no more", async () => {
    await using it = await serving({ on: (server) => server.once("DataIn", (e) => server.pauseData(e.connectionId)) })
    await using client = await connect(it.url)
    for (const text of texts) client.socket.send(text)
    await it.until("DataIn")
    await it.server.disconnect(idOf(it))
    assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
    assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
      'DataIn 1 "one" EOM',
      'Disconnected 1000 "Normal closure"'
    ])
  })

  it("PauseData, DataIn: the end of the component gives out nothing behind Disconnected", async () => {
    const go = Promise.withResolvers<void>()
    await using it = await serving({
      on: (server) =>
        server.on("DataIn", async (e) => {
          if (e.text === "one") await server.pauseData(e.connectionId)
          else await go.promise
        })
    })
    await using client = await connect(it.url)
    for (const text of texts) client.socket.send(text)
    await it.until("DataIn")
    await it.server.dispose()
    await client.closed
    go.resolve()
    await it.until("Disconnected")
    for (let i = 0; i < 5; i++) await new Promise(setImmediate)
    assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
      'DataIn 1 "one" EOM',
      'DataIn 1 "two" EOM',
      'Disconnected 1001 ""'
    ])
  })
})
