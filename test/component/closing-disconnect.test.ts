/**
 * Disconnect: what the client is told, what is waited for, and what happens when it is called by a listener.
 */
import { assert, describe, it } from "vitest"
import * as Frames from "../proxy/frames.ts"
import { connect, eventually, gate, idOf, rawClient, run, serving } from "./server.ts"

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error
  )

describe("DisconnectStatusCode and DisconnectStatusDescription", () => {
  const defaults: Readonly<Record<number, string>> = {
    1000: "Normal closure",
    1001: "Going away",
    1002: "Protocol error",
    1003: "Unsupported data",
    1007: "Invalid payload data",
    1008: "Policy violation",
    1009: "Message too big",
    1010: "Missing extension",
    1011: "Internal error",
    3000: "",
    4999: ""
  }
  for (const [code, description] of Object.entries(defaults)) {
    it(`Disconnect, DisconnectStatusCode, DisconnectStatusDescription: ${code} is sent, with the description that a standard code has`, async () => {
      await using it = await serving({ config: [`DisconnectStatusCode=${code}`] })
      await using client = await connect(it.url)
      await it.until("ReadyToSend")
      await it.server.disconnect(idOf(it))
      assert.deepStrictEqual(await client.closed, [Number(code), description])
      assert.deepStrictEqual(it.of("Error", "Disconnected"), [`Disconnected ${code} ${JSON.stringify(description)}`])
    })
  }

  it("DisconnectStatusCode, DisconnectStatusDescription: are 1000 and nothing by default, and a description that is set is sent with any code, as long as a frame takes", async () => {
    await using it = await serving()
    assert.strictEqual(it.server.config("DisconnectStatusCode"), "1000")
    assert.strictEqual(it.server.config("DisconnectStatusDescription"), "")
    const longest = "ü".repeat(61) + "."
    for (const [code, description] of [
      ["1000", "wir schließen"],
      ["4000", longest]
    ] as const) {
      it.server.config(`DisconnectStatusCode=${code}`)
      it.server.config(`DisconnectStatusDescription=${description}`)
      await using client = await connect(it.url)
      await eventually("a connection", () => [...it.server.connections.values()].some(({ connected }) => connected))
      await it.server.disconnect(idOf(it))
      assert.deepStrictEqual(await client.closed, [Number(code), description])
    }
    assert.throws(() => it.server.config(`DisconnectStatusDescription=${longest}x`), /^\[10022\]/)
  })

  it("DisconnectStatusCode, 10022: a code that may not be sent is refused", async () => {
    await using it = await serving()
    for (const code of [0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, "x"]) {
      assert.throws(
        () => it.server.config(`DisconnectStatusCode=${code}`),
        /^\[10022\] Invalid argument\. DisconnectStatusCode/
      )
    }
    assert.strictEqual(it.server.config("DisconnectStatusCode"), "1000")
  })
})

describe("WaitForCloseResponse", () => {
  it("WaitForCloseResponse, Disconnect: True waits for the client's Close frame; what it says there is what Disconnected tells", async () => {
    await using it = await serving()
    assert.strictEqual(it.server.config("WaitForCloseResponse"), "True")
    await using client = await rawClient(it.port)
    await it.until("ReadyToSend")
    let isDone = false
    const disconnecting = it.server.disconnect(idOf(it)).then(() => (isDone = true))
    await run(client.until("close 1000"))
    for (let i = 0; i < 20; i++) await new Promise(setImmediate)
    assert.isFalse(isDone)
    assert.deepStrictEqual(it.of("Disconnected"), [])
    await run(client.send(Frames.text, "too late: Disconnect was called"))
    await run(client.sendClose(1000, "likewise"))
    await disconnecting
    assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), ['Disconnected 1000 "likewise"'])
    await run(client.until("end"))
  })

  it("WaitForCloseResponse, 10060: a client that never answers is given up after CloseTimeout", async () => {
    await using it = await serving({ config: ["CloseTimeout=1"] })
    await using client = await rawClient(it.port)
    await it.until("ReadyToSend")
    await it.server.disconnect(idOf(it))
    assert.deepStrictEqual(it.of("Error", "Disconnected"), ["Error 10060", "Disconnected 1006 (43)"])
    assert.strictEqual(client.closeCode, 1000)
    await run(client.watch.until("the end", () => client.over))
    assert.strictEqual(it.server.connections.size, 0)
  })

  it("WaitForCloseResponse: False waits for no answer, and what was sent before is still delivered", async () => {
    await using it = await serving({ config: ["WaitForCloseResponse=False", "CloseTimeout=3600"] })
    await using client = await rawClient(it.port)
    await it.until("ReadyToSend")
    const id = idOf(it)
    await it.server.sendText(id, "the last word")
    await it.server.disconnect(id)
    assert.deepStrictEqual(it.of("Error", "Disconnected"), ['Disconnected 1000 "Normal closure"'])
    await run(client.until("end"))
    assert.deepStrictEqual(client.log, ["open", "text", "close 1000", "end"])
    assert.strictEqual(client.bytes.toString(), "the last word")
    assert.strictEqual(it.server.connections.size, 0)
  })
})

describe("a listener that does not end", () => {
  it("Disconnect, CloseTimeout: is not waited for longer than a client may be, and a signal ends the wait before", async () => {
    const told = gate()
    await using it = await serving({
      config: ["CloseTimeout=1"],
      on: (server) =>
        server.on("Disconnected", () => {
          told.open()
          return new Promise(() => {})
        })
    })
    const both = [await connect(it.url), await connect(it.url)]
    await it.until("ReadyToSend", 2)
    const [one = "", two = ""] = it.server.connections.keys()
    const aborter = new AbortController()
    const ended = failure(it.server.disconnect(one, aborter.signal))
    await told.opened
    aborter.abort()
    assert.propertyVal(await ended, "code", 301)
    await it.server.disconnect(two)
    assert.deepStrictEqual(it.of("Disconnected").length, 2)
    for (const client of both) await client[Symbol.asyncDispose]()
  })

  it("WSConnection.Connected, WSConnection.ReadyToSend: false when the client is gone, though its end is not read", async () => {
    await using it = await serving({ on: (server) => server.on("DataIn", () => new Promise(() => {})) })
    await using client = await rawClient(it.port)
    await it.until("ReadyToSend")
    const connection = it.server.connections.item(idOf(it))
    await run(client.send(Frames.text, "x"))
    await it.until("DataIn")
    assert.deepStrictEqual([connection.connected, connection.readyToSend], [true, true])
    await run(client.reset())
    await eventually("the end", () => !connection.connected)
    assert.deepStrictEqual([connection.readyToSend, it.of("Disconnected")], [false, []])
    await it.server.disconnect(connection.connectionId)
  })

  it("WSConnection.Connected: false when it was disconnected", async () => {
    await using it = await serving({ on: (server) => server.on("DataIn", () => new Promise(() => {})) })
    await using client = await connect(it.url)
    await it.until("ReadyToSend")
    const connection = it.server.connections.item(idOf(it))
    client.socket.send("x")
    await it.until("DataIn")
    await it.server.disconnect(connection.connectionId)
    assert.isFalse(connection.connected)
  })
})

describe("Disconnect", () => {
  it("126: Disconnect of a connection that there is not, or is no more", async () => {
    await using it = await serving()
    assert.propertyVal(await failure(it.server.disconnect("7")), "code", 126)
    await using _ = await connect(it.url)
    await it.until("ReadyToSend")
    const id = idOf(it)
    await it.server.disconnect(id)
    assert.propertyVal(await failure(it.server.disconnect(id)), "code", 126)
  })

  it("Disconnect: called again meanwhile, both end together and the client is told once", async () => {
    await using it = await serving()
    await using client = await connect(it.url)
    await it.until("ReadyToSend")
    const id = idOf(it)
    await Promise.all([it.server.disconnect(id), it.server.disconnect(id), it.server.disconnect(id)])
    assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
    assert.deepStrictEqual(it.of("Disconnected"), ['Disconnected 1000 "Normal closure"'])
  })

  it("Disconnect: while the client closes too, it is one closing", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port)
    await it.until("ReadyToSend")
    const disconnecting = it.server.disconnect(idOf(it))
    await run(client.sendClose(4000, "mine"))
    await disconnecting
    assert.deepStrictEqual(it.of("Error", "Disconnected"), ['Disconnected 4000 "mine"'])
  })

  for (const isAwaited of [true, false]) {
    const how = isAwaited ? "that waits for it" : "that does not wait for it"
    it(`Disconnect, DataIn: by a listener of DataIn ${how}, nothing more is given out, and it ends`, async () => {
      await using it = await serving({
        on: (server) =>
          server.on("DataIn", (e) => {
            const disconnecting = server.disconnect(e.connectionId)
            return isAwaited ? disconnecting : undefined
          })
      })
      await using client = await connect(it.url)
      for (const text of ["one", "two", "three"]) client.socket.send(text)
      assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
      await it.until("Disconnected")
      assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
        'DataIn 1 "one" EOM',
        'Disconnected 1000 "Normal closure"'
      ])
      await it.left(0)
    })

    it(`Disconnect, Connected: by a listener of Connected ${how}, nothing is given out, and ReadyToSend does not fire`, async () => {
      await using it = await serving({
        on: (server) =>
          server.on("Connected", (e) => {
            const disconnecting = server.disconnect(e.connectionId)
            return isAwaited ? disconnecting : undefined
          })
      })
      await using client = await connect(it.url)
      client.socket.send("for nobody")
      assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
      await it.until("Disconnected")
      assert.deepStrictEqual(it.events.slice(1), [
        "WebSocketOpenRequest",
        "Connected",
        'Disconnected 1000 "Normal closure"'
      ])
      await it.left(0)
    })
  }

  it("Disconnect, LineMode: what is held of a line is not given out behind it", async () => {
    await using it = await serving({
      on: (server) =>
        server
          .on("Connected", (e) => server.changeLineMode(e.connectionId, true))
          .on("DataIn", (e) => server.disconnect(e.connectionId))
    })
    await using client = await connect(it.url)
    client.socket.send("line\nheld")
    await client.closed
    await it.until("Disconnected")
    assert.deepStrictEqual(it.texts, ["line"])
  })

  it("Disconnect, Disconnected: by a listener of Disconnected, it is done already", async () => {
    const codes: Array<unknown> = []
    await using it = await serving({
      on: (server) =>
        server.on("Disconnected", async (e) => codes.push(await failure(server.disconnect(e.connectionId))))
    })
    await using client = await connect(it.url)
    client.socket.close()
    await it.until("Disconnected")
    await it.left(0)
    assert.deepStrictEqual(codes, [undefined])
  })

  it("Disconnect: two listeners that disconnect each other's connection do not wait for each other", async () => {
    const ids: Array<string> = []
    const both = gate()
    await using it = await serving({
      on: (server) =>
        server
          .on("Connected", (e) => ids.push(e.connectionId))
          .on("DataIn", async (e) => {
            if (it.data.length === 2) both.open()
            await both.opened
            await server.disconnect(ids.find((id) => id !== e.connectionId)!)
          })
    })
    await using one = await connect(it.url)
    await using two = await connect(it.url)
    one.socket.send("x")
    two.socket.send("y")
    await Promise.all([one.closed, two.closed])
    await it.until("Disconnected", 2)
    await it.left(0)
    assert.deepStrictEqual(it.of("Error"), [])
  })

  it("301: a wait that is aborted ends; the connection closes all the same", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port)
    await it.until("ReadyToSend")
    const abort = new AbortController()
    const disconnecting = it.server.disconnect(idOf(it), abort.signal)
    await run(client.until("close 1000"))
    abort.abort()
    assert.propertyVal(await failure(disconnecting), "code", 301)
    await run(client.sendClose(1000))
    await it.until("Disconnected")
    await it.left(0)
  })
})
