/**
 * The order of events, and how listeners are called: one event of a connection at a time, each when the listeners of the one
 * before are done.
 */
import { assert, describe, it } from "vitest"
import type { WSServerEvents } from "../../src/component/Events.ts"
import type { WSServer } from "../../src/component/WSServer.ts"
import * as Frames from "../proxy/frames.ts"
import { connect, eventually, gate, idOf, rawClient, run, serving } from "./server.ts"

const turn = () => new Promise(setImmediate)

describe("the life of a connection", () => {
  it("ConnectionRequest, WebSocketOpenRequest, Connected, ReadyToSend, DataIn, Ping, Disconnected: fire in this order, with one ConnectionId", async () => {
    await using it = await serving()
    await using client = await connect(it.url)
    client.socket.send("one")
    client.socket.ping("between")
    client.socket.send("two")
    client.socket.close(1000, "bye")
    await it.until("Disconnected")
    const [id, ...others] = [...it.byId.keys()].filter((id) => id !== "")
    assert.deepStrictEqual(others, [])
    assert.deepStrictEqual(it.byId.get(""), ["ConnectionRequest"])
    assert.deepStrictEqual(it.byId.get(id!), [
      "WebSocketOpenRequest",
      "Connected",
      "ReadyToSend",
      'DataIn 1 "one" EOM',
      'Ping "between"',
      'DataIn 1 "two" EOM',
      'Disconnected 1000 "bye"'
    ])
    assert.strictEqual(it.events[0], "ConnectionRequest")
  })

  it("Connected.ConnectionId, ReadyToSend.ConnectionId, Error.ConnectionId, Disconnected.ConnectionId: Error comes before Disconnected, of the same connection", async () => {
    const ids: Array<string> = []
    await using it = await serving({
      on: (server) => {
        for (const name of ["Connected", "ReadyToSend", "Error", "Disconnected"] as const) {
          server.on(name, (e) => ids.push(`${name} ${e.connectionId === [...server.connections.keys()].at(-1)}`))
        }
      }
    })
    await using _ = await connect(it.url)
    await using client = await rawClient(it.port)
    await it.until("ReadyToSend", 2)
    await run(client.write(Uint8Array.of(0xff, 0xff)))
    await it.until("Disconnected")
    assert.deepStrictEqual(ids.slice(2), ["Connected true", "ReadyToSend true", "Error true", "Disconnected true"])
    assert.deepStrictEqual(it.byId.get([...it.byId.keys()].at(-1)!)!.slice(-2, -1), ["Error 10053"])
  })

  it("Connected: data that came right behind the request waits until its listener is done", async () => {
    const go = gate()
    const calls: Array<string> = []
    await using it = await serving({
      on: (server) =>
        server.on("Connected", async () => {
          await go.opened
          calls.push("Connected is done")
        })
    })
    await using client = await rawClient(it.port)
    await run(client.send(Frames.text, "early"))
    await it.until("Connected")
    for (let i = 0; i < 5; i++) await turn()
    assert.strictEqual(it.events.at(-1), "Connected")
    go.open()
    await it.until("DataIn")
    assert.deepStrictEqual(calls, ["Connected is done"])
    assert.deepStrictEqual(it.events.slice(-3), ["Connected", "ReadyToSend", 'DataIn 1 "early" EOM'])
  })
})

describe("listeners that take their time", () => {
  it("DataIn, Ping, Disconnected: never two at a time of one connection, in order, whatever they wait for", async () => {
    const order: Array<string> = []
    let running = 0
    const slowly = async (what: string) => {
      assert.strictEqual(running++, 0, `${what} within another`)
      for (let i = what.length % 4; i >= 0; i--) await turn()
      order.push(what)
      running--
    }
    await using it = await serving({
      on: (server) =>
        server
          .on("WebSocketOpenRequest", () => slowly("WebSocketOpenRequest"))
          .on("Connected", () => slowly("Connected"))
          .on("ReadyToSend", () => slowly("ReadyToSend"))
          .on("DataIn", (e) => slowly(e.text))
          .on("Ping", (e) => slowly(e.payload))
          .on("Disconnected", () => slowly("Disconnected"))
    })
    await using client = await connect(it.url)
    const sent = Array.from({ length: 60 }, (_, i) => "x".repeat(1 + (i % 5)) + i)
    for (const [i, text] of sent.entries()) {
      if (i % 6 === 5) client.socket.ping(text)
      else client.socket.send(text)
    }
    client.socket.close()
    await it.until("Disconnected")
    await eventually("the last listener", () => order.at(-1) === "Disconnected")
    assert.deepStrictEqual(order, ["WebSocketOpenRequest", "Connected", "ReadyToSend", ...sent, "Disconnected"])
  })

  it("DataIn: a listener that waits holds up its own connection and no other", async () => {
    const go = gate()
    await using it = await serving({
      on: (server) => server.on("DataIn", (e) => (e.text === "wait" ? go.opened : undefined))
    })
    await using slow = await connect(it.url)
    await using quick = await connect(it.url)
    slow.socket.send("wait")
    slow.socket.send("after")
    await it.until('DataIn 1 "wait"')
    for (let i = 0; i < 20; i++) quick.socket.send(`quick ${i}`)
    await it.until('DataIn 1 "quick', 20)
    quick.socket.close()
    await it.until("Disconnected")
    assert.notInclude(it.texts, "after")
    go.open()
    await it.until('DataIn 1 "after"')
  })

  it("DataIn: a listener may use its connection, and what it sends goes out in the order of the events", async () => {
    await using it = await serving({
      on: (server) =>
        server.on("DataIn", async (e) => {
          await server.sendText(e.connectionId, `${e.text}!`)
          await server.doEvents()
        })
    })
    await using client = await connect(it.url)
    for (let i = 0; i < 5; i++) client.socket.send(String(i))
    await it.until("DataIn", 5)
    await client.read()
    assert.deepStrictEqual(client.messages.slice(0, 4), ["0!", "1!", "2!", "3!"])
  })

  it("Disconnected: is waited for, and the connection is gone from Connections when its listener is done, and Disconnect with it", async () => {
    const go = gate()
    let isDone = false
    await using it = await serving({
      on: (server) =>
        server.on("Disconnected", async () => {
          await go.opened
          isDone = true
        })
    })
    await using client = await connect(it.url)
    await it.until("ReadyToSend")
    const id = idOf(it)
    const disconnecting = it.server.disconnect(id)
    await client.closed
    await it.until("Disconnected")
    assert.isTrue(it.server.connections.has(id))
    go.open()
    await disconnecting
    assert.isTrue(isDone)
    assert.isFalse(it.server.connections.has(id))
  })
})

describe("adding and taking away", () => {
  /** Fires Connected by a client that connects. */
  const calls = async (prepare: (server: WSServer, called: (what: string) => () => void) => unknown, clients = 1) => {
    const called: Array<string> = []
    await using it = await serving({
      record: ["ReadyToSend"],
      on: (server) => prepare(server, (what) => () => void called.push(what))
    })
    for (let i = 1; i <= clients; i++) {
      await using _ = await connect(it.url)
      await it.until("ReadyToSend", i)
    }
    return called
  }

  it("Connected: all its listeners are called in the order in which they were added, each when the one before is done", async () => {
    const seen = await calls((server, called) =>
      server
        .on("Connected", async () => {
          await turn()
          called("a")()
        })
        .on("Connected", called("b"))
        .on("Connected", called("c"))
    )
    assert.deepStrictEqual(seen, ["a", "b", "c"])
  })

  it("Connected: once is for one event alone, also among others, and with a promise", async () => {
    const seen = await calls(
      (server, called) =>
        server
          .once("Connected", called("once"))
          .on("Connected", called("on"))
          .once("Connected", async () => {
            await turn()
            called("slow once")()
          }),
      2
    )
    assert.deepStrictEqual(seen, ["once", "on", "slow once", "on"])
  })

  it("DataIn: once is for one event alone, though others wait for the same listener before it", async () => {
    const go = gate()
    let calls = 0
    await using it = await serving({
      on: (server) => server.on("DataIn", () => go.opened).once("DataIn", () => calls++)
    })
    await using one = await connect(it.url)
    await using two = await connect(it.url)
    one.socket.send("one")
    two.socket.send("two")
    await it.until("DataIn", 2)
    go.open()
    for (const client of [one, two]) await client.read()
    assert.strictEqual(calls, 1)
  })

  it("Connected: off takes one listener away, or one that was added with once, or all of an event", async () => {
    const seen = await calls((server, called) => {
      const [a, b, c] = [called("a"), called("b"), called("c")]
      server.on("Connected", a).on("Connected", b).on("Connected", a).once("Connected", c)
      server.off("Connected", a).off("Connected", c).off("Connected", called("never added"))
      server.on("ConnectionRequest", called("request")).off("ConnectionRequest")
      server.off("DataIn", called("nor this")).off("DataIn")
    })
    assert.deepStrictEqual(seen, ["a", "b"])
  })

  it("Connected: a listener may add and take away while it is called, which counts from the next event on", async () => {
    const seen = await calls((server, called) => {
      const again = () => {
        called("again")()
        server.off("Connected", again).on("Connected", called("new"))
      }
      server.on("Connected", again).on("Connected", called("last"))
    }, 2)
    assert.deepStrictEqual(seen, ["again", "last", "last", "new"])
  })

  it("10022: what is no function is no listener; a name that nobody fires is one as any other", async () => {
    await using it = await serving()
    for (const wrong of [undefined, null, "listener", {}]) {
      // as a caller without types gives it
      const listener = wrong as unknown as () => void
      assert.throws(() => it.server.on("DataIn", listener), /^\[10022\].*Listener of DataIn/)
      assert.throws(() => it.server.once("DataIn", listener), /^\[10022\].*Listener of DataIn/)
    }
    assert.strictEqual(
      it.server.on("PITrail" as "DataIn", () => {}),
      it.server
    )
    await using client = await connect(it.url)
    client.socket.send("x")
    await it.until("DataIn")
    assert.deepStrictEqual(it.of("Error"), [])
  })

  it("DataIn: what came while nobody listened is nobody's; listeners may be added while it listens", async () => {
    await using it = await serving({ record: ["ReadyToSend", "Ping"] })
    await using client = await connect(it.url)
    client.socket.send("for nobody")
    client.socket.ping("until here")
    await it.until("Ping")
    const texts: Array<string> = []
    it.server.on("DataIn", (e: WSServerEvents["DataIn"]) => {
      texts.push(e.text)
      it.watch.changed()
    })
    client.socket.send("for somebody")
    await run(it.watch.until("data", () => texts.length === 1))
    assert.deepStrictEqual(texts, ["for somebody"])
  })
})
