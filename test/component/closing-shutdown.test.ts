/**
 * The end of listening, of all connections, and of the component.
 */
import { once } from "node:events"
import * as Net from "node:net"
import { assert, describe, it } from "vitest"
import { WSServer } from "../../src/component/WSServer.ts"
import { connect, eventually, gate, rawClient, refused, run, Serving, serving } from "./server.ts"

const failure = (promise: Promise<unknown>): Promise<unknown> =>
  promise.then(
    () => undefined,
    (error: unknown) => error
  )

/** The system's answer to a connection attempt. */
const attempt = async (port: number): Promise<string> => {
  const socket = Net.connect({ host: "127.0.0.1", port })
  try {
    await once(socket, "connect")
    return "connected"
  } catch (error) {
    return error instanceof Error && "code" in error ? String(error.code) : String(error)
  } finally {
    socket.destroy()
  }
}

describe("StopListening", () => {
  it("StopListening, Listening: new clients are refused by the system, and those that are connected go on", async () => {
    await using it = await serving()
    await using client = await connect(it.url)
    await it.until("ReadyToSend")
    const { port } = it
    assert.isTrue(it.server.listening)
    await it.server.stopListening()
    assert.isFalse(it.server.listening)
    assert.strictEqual(await attempt(port), "ECONNREFUSED")
    client.socket.send("hello")
    await it.until("DataIn")
    await it.server.sendText([...it.server.connections.keys()][0]!, "still here")
    await eventually("an answer", () => client.messages.length === 1)
    client.socket.close(1000, "bye")
    await it.until("Disconnected")
    assert.strictEqual(it.events.at(-1), 'Disconnected 1000 "bye"')
    assert.strictEqual((await client.closed)[0], 1000)
    await it.left(0)
    await it.server.stopListening()
  })

  it("StopListening: a client that is in its opening handshake when it is called is cut off, one that is being decided about goes on", async () => {
    const go = gate()
    await using it = await serving({ on: (server) => server.on("WebSocketOpenRequest", () => go.opened) })
    const { port } = it
    const half = Net.connect({ host: "127.0.0.1", port }).on("error", () => {})
    await once(half, "connect")
    half.write("GET / HTTP/1.1\r\nHost: x\r\n")
    const deciding = connect(it.url)
    await it.until("WebSocketOpenRequest")
    await it.until("ConnectionRequest", 2)
    const ended = once(half, "close")
    await it.server.stopListening()
    await ended
    go.open()
    await using client = await deciding
    client.socket.send("here")
    await it.until("DataIn")
  })

  it("StartListening, StopListening, LocalPort: it may listen again, on another port, while connections from before live on", async () => {
    await using it = await serving()
    await using old = await connect(it.url)
    const { port } = it
    await it.server.stopListening()
    it.server.localPort = 0
    await it.server.startListening()
    assert.notStrictEqual(it.port, 0)
    if (it.port !== port) assert.strictEqual(await attempt(port), "ECONNREFUSED")
    await using young = await connect(it.url)
    await it.until("ReadyToSend", 2)
    assert.strictEqual(it.server.connections.size, 2)
    old.socket.send("old")
    await it.until("DataIn")
    young.socket.send("young")
    await it.until("DataIn", 2)
    assert.deepStrictEqual(it.texts, ["old", "young"])
    old.socket.close()
    await it.left(1)
    young.socket.send("still")
    await it.until("DataIn", 3)
    await it.server.shutdown()
    assert.strictEqual(it.server.connections.size, 0)
    assert.strictEqual((await young.closed)[0], 1000)
  })
})

describe("Shutdown", () => {
  it("Shutdown: listens no more, and disconnects every client as Disconnect does, also those of a listening before", async () => {
    await using it = await serving({
      config: ["DisconnectStatusCode=1001", "DisconnectStatusDescription=closing time"]
    })
    await using one = await connect(it.url)
    await using two = await connect(it.url)
    await it.server.stopListening()
    it.server.localPort = 0
    await it.server.startListening()
    await using three = await connect(it.url)
    await it.until("ReadyToSend", 3)
    const { port } = it
    await it.server.shutdown()
    assert.isFalse(it.server.listening)
    assert.strictEqual(await attempt(port), "ECONNREFUSED")
    for (const client of [one, two, three]) assert.deepStrictEqual(await client.closed, [1001, "closing time"])
    assert.deepStrictEqual(it.of("Error", "Disconnected"), Array(3).fill('Disconnected 1001 "closing time"'))
    assert.strictEqual(it.server.connections.size, 0)
  })

  it("Shutdown: waits for mute clients no longer than CloseTimeout, for all of them together", async () => {
    await using it = await serving({ config: ["CloseTimeout=1"] })
    const clients = await Promise.all(Array.from({ length: 20 }, () => rawClient(it.port)))
    await it.until("ReadyToSend", 20)
    const start = performance.now()
    await it.server.shutdown()
    // one after the other they would take twenty seconds
    assert.isBelow(performance.now() - start, 15_000)
    assert.strictEqual(it.server.connections.size, 0)
    for (const client of clients) await client[Symbol.asyncDispose]()
  })

  it("Shutdown, DataIn: may be called by a listener, which it does not wait for", async () => {
    await using it = await serving({ on: (server) => server.on("DataIn", () => server.shutdown()) })
    await using one = await connect(it.url)
    await using two = await connect(it.url)
    await it.until("ReadyToSend", 2)
    one.socket.send("stop")
    assert.strictEqual((await one.closed)[0], 1000)
    assert.strictEqual((await two.closed)[0], 1000)
    await it.left(0)
    assert.isFalse(it.server.listening)
  })

  it("Shutdown, WebSocketOpenRequest: a client that is being decided about is refused, whatever is decided", async () => {
    const go = gate()
    await using it = await serving({ on: (server) => server.on("WebSocketOpenRequest", () => go.opened) })
    const answer = refused(it.url)
    await it.until("WebSocketOpenRequest")
    await it.server.shutdown()
    go.open()
    assert.strictEqual((await answer).status, 503)
    await it.left(0)
    assert.deepStrictEqual(it.of("Connected", "Disconnected"), [])
  })

  it("Shutdown, StartListening: it may listen again afterwards", async () => {
    await using it = await serving()
    await using _ = await connect(it.url)
    await it.server.shutdown()
    it.server.localPort = 0
    await it.server.startListening()
    await using client = await connect(it.url)
    client.socket.send("again")
    await it.until("DataIn")
    assert.deepStrictEqual(it.texts, ["again"])
  })

  it("Shutdown, StopListening: do nothing where nothing listens", async () => {
    await using server = new WSServer()
    await server.stopListening()
    await server.shutdown()
    assert.isFalse(server.listening)
  })
})

describe("dispose", () => {
  it("Disconnected.StatusCode: clients are told 1001, and so is Disconnected", async () => {
    const it = await serving()
    await using one = await connect(it.url)
    await using two = await rawClient(it.port)
    await it.until("ReadyToSend", 2)
    const { port } = it
    const disposing = it.server.dispose()
    await run(two.until("close 1001"))
    await run(two.sendClose(1001))
    await run(two.end())
    await disposing
    assert.strictEqual((await one.closed)[0], 1001)
    assert.deepStrictEqual(it.of("Error", "Disconnected"), Array(2).fill('Disconnected 1001 ""'))
    assert.strictEqual(it.server.connections.size, 0)
    assert.strictEqual(await attempt(port), "ECONNREFUSED")
    await it.server.dispose()
    await Promise.all([it.server.dispose(), it.server.dispose()])
  })

  it("10038: nothing listens after it, also if it came while it began to", async () => {
    const it = new Serving({})
    for (const turns of [0, 1, 2, 3, 5, 10]) {
      const server = new WSServer()
      server.localHost = "127.0.0.1"
      const starting = failure(server.startListening())
      for (let i = 0; i < turns; i++) await new Promise(setImmediate)
      const wasListening = server.listening
      await server.dispose()
      const error = await starting
      if (!wasListening) assert.propertyVal(error, "code", 10038, `after ${turns} turns`)
      assert.isFalse(server.listening)
      assert.propertyVal(await failure(server.startListening()), "code", 10038)
    }
    await it.server.dispose()
    assert.propertyVal(await failure(it.server.startListening()), "code", 10038)
  })

  it("DataIn, Disconnected: in the midst of listeners it waits for none of them, and nothing fires behind Disconnected", async () => {
    const go = gate()
    const it = await serving({
      on: (server) => server.on("DataIn", (e) => (e.text === "slow" ? go.opened : new Promise(() => {})))
    })
    await using one = await connect(it.url)
    one.socket.send("slow")
    one.socket.send("after")
    await it.until("DataIn")
    await using two = await connect(it.url)
    two.socket.send("for ever")
    await it.until("DataIn", 2)
    await it.server.dispose()
    assert.strictEqual((await one.closed)[0], 1001)
    assert.strictEqual((await two.closed)[0], 1001)
    go.open()
    await it.until("Disconnected")
    for (let i = 0; i < 5; i++) await new Promise(setImmediate)
    assert.deepStrictEqual(it.of("DataIn", "Error", "Disconnected"), [
      'DataIn 1 "slow" EOM',
      'DataIn 1 "for ever" EOM',
      'Disconnected 1001 ""'
    ])
    assert.strictEqual(it.server.connections.size, 0)
  })

  for (const name of ["ConnectionRequest", "WebSocketOpenRequest", "Connected", "DataIn", "Disconnected"] as const) {
    it(`${name}: its listener may dispose of the component, and wait for that`, async () => {
      let isDone = false
      const it = await serving({
        on: (server) =>
          server.on(name, async () => {
            await server.dispose()
            isDone = true
          })
      })
      // it is refused where it is not open yet
      const client = await connect(it.url).catch(() => undefined)
      client?.socket.send("x")
      client?.socket.close()
      await client?.closed
      await eventually("the end of dispose", () => isDone)
      assert.isFalse(it.server.listening)
      assert.strictEqual(it.server.connections.size, 0)
      assert.deepStrictEqual(it.of("Error"), [])
    })
  }

  it("StartListening: a component is disposed by await using, and by using", async () => {
    const ports: Array<number> = []
    {
      await using server = new WSServer()
      server.localHost = "127.0.0.1"
      await server.startListening()
      ports.push(server.localPort)
      assert.strictEqual(await attempt(server.localPort), "connected")
    }
    assert.strictEqual(await attempt(ports[0]!), "ECONNREFUSED")
    {
      using server = new WSServer()
      server.localHost = "127.0.0.1"
      await server.startListening()
      ports.push(server.localPort)
    }
    let last = ""
    for (let i = 0; i < 100 && last !== "ECONNREFUSED"; i++) last = await attempt(ports[1]!)
    assert.strictEqual(last, "ECONNREFUSED")
  })
})
