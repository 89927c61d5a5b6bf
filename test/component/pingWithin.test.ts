/**
 * A ping whose pong comes while a listener, which may wait for it, or a pause holds the reading up: the reading goes on for it, and
 * what is read meanwhile is given out later, in its order.
 */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import { WebSocket } from "ws"
import { WSServer } from "../../src/component/index.ts"

const serving = async (timeout = 10) => {
  const server = new WSServer()
  server.localHost = "127.0.0.1"
  server.defaultTimeout = timeout
  await server.startListening()
  return server
}

describe("Ping within a listener", () => {
  for (const where of ["Connected", "ReadyToSend", "DataIn"] as const) {
    it(`Ping, Timeout: a listener of ${where} may wait for the pong`, async () => {
      await using server = await serving()
      const ponged = Promise.withResolvers<void>()
      server.on(where, (e) => server.ping(e.connectionId).then(ponged.resolve, ponged.reject))
      const client = new WebSocket(`ws://127.0.0.1:${server.localPort}`)
      await once(client, "open")
      client.send("x")
      await ponged.promise
      client.terminate()
    })
  }

  for (const where of ["Connected", "ReadyToSend"] as const) {
    it(`Ping, DataIn: what is read while ${where} waits for the pong comes behind it, in order and at once`, async () => {
      await using server = await serving()
      const seen: Array<string> = []
      const second = Promise.withResolvers<void>()
      const third = Promise.withResolvers<void>()
      server.on(where, (e) => server.ping(e.connectionId))
      server.on("DataIn", (e) => {
        seen.push(e.text)
        if (e.text === "second") second.resolve()
        if (e.text === "third") third.resolve()
      })
      const client = new WebSocket(`ws://127.0.0.1:${server.localPort}`, { autoPong: false })
      client.once("ping", (payload) => {
        client.send("first")
        client.send("second")
        client.pong(payload)
      })
      await second.promise
      client.send("third")
      await third.promise
      assert.deepStrictEqual(seen, ["first", "second", "third"])
      client.terminate()
    })
  }

  it("Ping, DataIn: what comes before the pong is given out behind the listener, all of it and in order", async () => {
    await using server = await serving()
    const seen: Array<string> = []
    const ended = Promise.withResolvers<number>()
    server.on("DataIn", async (e) => {
      if (e.text === "0") await server.ping(e.connectionId)
      seen.push(e.text)
      await server.sendText(e.connectionId, e.text)
    })
    server.on("Disconnected", (e) => ended.resolve(e.statusCode))
    const client = new WebSocket(`ws://127.0.0.1:${server.localPort}`, { autoPong: false })
    const answers: Array<string> = []
    client.on("message", (data) => answers.push(String(data)))
    client.on("ping", (payload) => {
      for (let i = 1; i < 50; i++) client.send(String(i))
      client.pong(payload)
      for (let i = 50; i < 100; i++) client.send(String(i))
      client.close(1000)
    })
    await once(client, "open")
    const closed = once(client, "close")
    client.send("0")
    assert.strictEqual(await ended.promise, 1000)
    await closed
    const expected = Array.from({ length: 100 }, (_, i) => String(i))
    assert.deepStrictEqual(seen, expected)
    assert.deepStrictEqual(answers, expected)
  })

  it("Ping, 301: a listener that waits for a pong that does not come goes on after the Timeout", async () => {
    await using server = await serving(1)
    const seen: Array<string> = []
    const done = Promise.withResolvers<void>()
    server.on("DataIn", async (e) => {
      if (e.text === "first")
        seen.push(
          await server.ping(e.connectionId).then(
            () => "pong",
            (error) => String(error.code)
          )
        )
      seen.push(e.text)
      if (e.text === "last") done.resolve()
    })
    const client = new WebSocket(`ws://127.0.0.1:${server.localPort}`, { autoPong: false })
    await once(client, "open")
    client.send("first")
    client.send("last")
    await done.promise
    assert.deepStrictEqual(seen, ["301", "first", "last"])
    client.terminate()
  })
})

describe("Ping before a listener", () => {
  /** Of more than is read at once, and less than is read ahead. */
  const texts = [...Array.from({ length: 10 }, (_, i) => String(i).repeat(60_000)), "behind the pong"]

  /** A client that answers a ping with messages, the last of them behind the pong. */
  const answering = async (server: WSServer) => {
    const client = new WebSocket(`ws://127.0.0.1:${server.localPort}`, { autoPong: false, perMessageDeflate: false })
    client.once("ping", (payload) => {
      for (const text of texts.slice(0, -1)) client.send(text)
      client.pong(payload)
      client.send(texts.at(-1)!)
    })
    await once(client, "open")
    return client
  }

  it("Ping, DataIn: a listener that takes long, or waits for the same pong, does not hold it up", async () => {
    await using server = await serving()
    const ready = Promise.withResolvers<string>()
    const ended = Promise.withResolvers<void>()
    const seen: Array<string> = []
    const pinging = ready.promise.then((id) => server.ping(id))
    server
      .on("ReadyToSend", (e) => ready.resolve(e.connectionId))
      .on("DataIn", async (e) => {
        await pinging
        if (seen.push(e.text) === texts.length) ended.resolve()
      })
    const client = await answering(server)
    await pinging
    await ended.promise
    assert.deepStrictEqual(seen, texts)
    client.terminate()
  })

  it("Ping, PauseData, ProcessData: a pause does not hold the pong up, and nothing is given out in it", async () => {
    await using server = await serving()
    const ready = Promise.withResolvers<string>()
    const ended = Promise.withResolvers<void>()
    const seen: Array<string> = []
    server
      .on("ReadyToSend", (e) => ready.resolve(e.connectionId))
      .on("DataIn", (e) => {
        if (seen.push(e.text) === texts.length) ended.resolve()
      })
    const client = await answering(server)
    const id = await ready.promise
    await server.pauseData(id)
    await server.ping(id)
    assert.deepStrictEqual(seen, [])
    await server.processData(id)
    await ended.promise
    assert.deepStrictEqual(seen, texts)
    client.terminate()
  })

  it("Ping, DataIn: data does not wait for a pong that does not come", async () => {
    await using server = await serving(60)
    const ready = Promise.withResolvers<string>()
    const ended = Promise.withResolvers<void>()
    const seen: Array<string> = []
    server
      .on("ReadyToSend", (e) => ready.resolve(e.connectionId))
      .on("DataIn", async (e) => {
        await new Promise(setImmediate)
        seen.push(e.text)
        if (e.text === "last") ended.resolve()
      })
    const client = new WebSocket(`ws://127.0.0.1:${server.localPort}`, { autoPong: false })
    const pinged = once(client, "ping")
    await once(client, "open")
    const pinging = server.ping(await ready.promise)
    await pinged
    for (const text of ["first", "second", "last"]) {
      await new Promise<void>((resolve) => client.send(text, () => resolve()))
      await new Promise(setImmediate)
    }
    await ended.promise
    assert.deepStrictEqual(seen, ["first", "second", "last"])
    client.pong((await pinged)[0] as Buffer)
    await pinging
    client.terminate()
  })
})
