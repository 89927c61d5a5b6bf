/**
 * Who may connect: ConnectionRequest, AllowedClients and BlockedClients, and how many: MaxConnections.
 */
import { networkInterfaces } from "node:os"
import { assert, describe, it } from "vitest"
import * as Frames from "../proxy/frames.ts"
import { connect, gate, type Raw, rawClient, rawRequest, refused, run, Serving, serving } from "./server.ts"

/** Waits until the server has ended the connection. */
const cutOff = async (client: Raw): Promise<void> => {
  await run(client.watch.until("the end", () => client.over))
  assert.strictEqual(client.answer, "", "nothing is answered")
}

describe("ConnectionRequest", () => {
  it("ConnectionRequest.Address, ConnectionRequest.Port, ConnectionRequest.Accept: tells who asks, accepts by default, and has no connection yet", async () => {
    const seen: Array<unknown> = []
    await using it = await serving({
      on: (server) =>
        server.on("ConnectionRequest", (e) => {
          seen.push(e.address, e.port, e.accept, server.connections.size)
        })
    })
    await using client = await rawClient(it.port)
    assert.deepStrictEqual(seen, ["127.0.0.1", client.socket.localPort, true, 0])
  })

  it("ConnectionRequest.Accept: false refuses before anything is answered; the next client is asked about anew", async () => {
    let count = 0
    await using it = await serving({
      on: (server) =>
        server.on("ConnectionRequest", (e) => {
          e.accept = ++count !== 1
        })
    })
    await using one = await rawRequest(it.port)
    await cutOff(one)
    assert.deepStrictEqual(it.events, ["ConnectionRequest"])
    assert.strictEqual(it.server.connections.size, 0)
    await using two = await connect(it.url)
    assert.strictEqual(two.socket.readyState, two.socket.OPEN)
  })

  it("ConnectionRequest: is waited for, and what the client sends meanwhile is not lost", async () => {
    const go = gate()
    await using it = await serving({ on: (server) => server.on("ConnectionRequest", () => go.opened) })
    await using client = await rawRequest(it.port)
    const texts = Array.from({ length: 50 }, (_, i) => `${i} `.repeat(500))
    for (const text of texts) await run(client.send(Frames.text, text))
    await it.until("ConnectionRequest")
    assert.deepStrictEqual(it.events, ["ConnectionRequest"])
    go.open()
    await run(client.until("open"))
    await it.until("DataIn", texts.length)
    assert.deepStrictEqual(it.texts, texts)
  })

  it("ConnectionRequest: one that is waited for holds up no other client", async () => {
    const go = gate()
    let count = 0
    await using it = await serving({
      on: (server) => server.on("ConnectionRequest", () => (++count === 1 ? go.opened : undefined))
    })
    await using first = await rawRequest(it.port)
    await it.until("ConnectionRequest")
    await using second = await connect(it.url)
    assert.strictEqual(second.socket.readyState, second.socket.OPEN)
    assert.strictEqual(first.status, undefined)
    go.open()
    await run(first.until("open"))
  })

  for (const then of ["stopListening", "shutdown", "dispose"] as const) {
    it(`ConnectionRequest, StopListening, Shutdown: a client that is not decided about is cut off by ${then}, at once, and is no connection later`, async () => {
      const go = gate()
      let count = 0
      await using it = await serving({
        on: (server) => server.on("ConnectionRequest", () => (++count === 2 ? go.opened : undefined))
      })
      // with a connection that goes on, the rest of the server goes on as well
      await using before = await connect(it.url)
      await using undecided = await rawRequest(it.port)
      await it.until("ConnectionRequest", 2)
      await it.server[then]()
      await cutOff(undecided)
      go.open()
      if (then === "stopListening") {
        before.socket.send("still here")
        await it.until("DataIn")
        assert.strictEqual(it.server.connections.size, 1)
      }
      assert.strictEqual(it.of("WebSocketOpenRequest").length, 1)
    })
  }
})

const hasIPv6 = Object.values(networkInterfaces()).some((all) => all?.some(({ family }) => family === "IPv6"))

describe("AllowedClients and BlockedClients", () => {
  it("UseIPv6, ConnectionRequest.Address, AllowedClients: on a socket of both families an IPv4 client has its IPv4 address", async (context) => {
    if (!hasIPv6) return context.skip()
    const addresses: Array<string> = []
    await using it = new Serving({
      config: ["UseIPv6=2", "AllowedClients=127.0.0.1"],
      on: (server) => server.on("ConnectionRequest", (e) => addresses.push(e.address))
    })
    it.server.localHost = "::"
    await it.server.startListening()
    await using _ = await connect(it.url)
    assert.deepStrictEqual(addresses, ["127.0.0.1"])
    await it.until("ReadyToSend")
    const [connection] = it.server.connections.values()
    assert.deepStrictEqual([connection!.remoteHost, connection!.localAddress], ["127.0.0.1", "127.0.0.1"])
  })

  const cases: ReadonlyArray<readonly [setting: string, accept: boolean]> = [
    ["AllowedClients=*", true],
    ["AllowedClients=", false],
    ["AllowedClients=127.0.0.1", true],
    ["AllowedClients=10.0.0.1", false],
    ["AllowedClients=10.0.0.1, 127.0.0.1", true],
    ["AllowedClients=127.0.*", true],
    ["AllowedClients=10.*", false],
    ["AllowedClients=127.*.0.1", true],
    ["AllowedClients=127.0.0.0/8", true],
    ["AllowedClients=10.0.0.0/8", false],
    ["AllowedClients=localhost", true],
    ["AllowedClients=no.such.host.invalid", false],
    ["BlockedClients=", true],
    ["BlockedClients=*", false],
    ["BlockedClients=127.0.0.1", false],
    ["BlockedClients=10.0.0.1", true],
    ["BlockedClients=10.0.0.1,127.0.0.*", false],
    ["BlockedClients=localhost", false],
    ["BlockedClients=10.0.0.0/8", true]
  ]
  for (const [setting, accept] of cases) {
    it(`AllowedClients, BlockedClients, ConnectionRequest.Accept: with ${setting} it fires with Accept ${accept}, and that decides`, async () => {
      const seen: Array<boolean> = []
      await using it = await serving({
        config: [setting],
        on: (server) => server.on("ConnectionRequest", (e) => seen.push(e.accept))
      })
      await using client = await rawRequest(it.port)
      if (accept) await run(client.until("open"))
      else await cutOff(client)
      assert.deepStrictEqual(seen, [accept])
    })
  }

  it("AllowedClients, BlockedClients: decide without a listener too, Blocked over Allowed", async () => {
    await using it = await serving({ record: [], config: ["AllowedClients=127.0.0.1", "BlockedClients=127.0.*"] })
    await using client = await rawRequest(it.port)
    await cutOff(client)
  })

  it("AllowedClients, ConnectionRequest.Accept: a listener may let in who is not allowed", async () => {
    await using it = await serving({
      config: ["AllowedClients=10.0.0.1", "BlockedClients=127.0.0.1"],
      on: (server) =>
        server.on("ConnectionRequest", async (e) => {
          await new Promise(setImmediate)
          e.accept = true
        })
    })
    await using client = await rawClient(it.port)
    assert.strictEqual(client.status, 101)
  })

  it("AllowedClients, BlockedClients: may be changed while it listens, for the clients to come", async () => {
    await using it = await serving()
    await using client = await connect(it.url)
    it.server.config("BlockedClients=127.0.0.1")
    await using blocked = await rawRequest(it.port)
    await cutOff(blocked)
    it.server.config("BlockedClients=")
    it.server.config("AllowedClients=10.*")
    await using other = await rawRequest(it.port)
    await cutOff(other)
    it.server.config("AllowedClients=*")
    await using last = await connect(it.url)
    assert.deepStrictEqual([client.socket.readyState, last.socket.readyState], [1, 1])
  })

  it("10022: a list that cannot be read is refused, and the one before stays", async () => {
    await using it = await serving({ config: ["AllowedClients=127.0.0.1"] })
    assert.throws(() => it.server.config("AllowedClients=300.1.2.3"), /^\[10022\] Invalid argument\. AllowedClients/)
    assert.strictEqual(it.server.config("AllowedClients"), "127.0.0.1")
    await using client = await connect(it.url)
    assert.strictEqual(client.socket.readyState, 1)
  })
})

describe("MaxConnections", () => {
  it("MaxConnections: more clients are answered with 503, and none has an event but ConnectionRequest", async () => {
    await using it = await serving({ config: ["MaxConnections=2"] })
    await using one = await connect(it.url)
    await using _ = await connect(it.url)
    const { status } = await refused(it.url)
    assert.strictEqual(status, 503)
    assert.strictEqual(it.server.connections.size, 2)
    assert.strictEqual(it.of("ConnectionRequest").length, 3)
    assert.strictEqual(it.of("WebSocketOpenRequest").length, 2)
    one.socket.close()
    await it.until("Disconnected")
    await it.left(1)
    await using three = await connect(it.url)
    assert.strictEqual(three.socket.readyState, 1)
    assert.strictEqual((await refused(it.url)).status, 503)
  })

  it("MaxConnections, WebSocketOpenRequest: who is being decided about counts, and who is refused or goes away frees", async () => {
    const go = gate()
    let status = 101
    await using it = await serving({
      config: ["MaxConnections=1"],
      on: (server) =>
        server.on("WebSocketOpenRequest", async (e) => {
          if (status === 101) await go.opened
          e.statusCode = status
        })
    })
    await using gone = await rawRequest(it.port)
    await it.until("WebSocketOpenRequest")
    assert.strictEqual((await refused(it.url)).status, 503)
    await run(gone.reset())
    await it.left(0)
    status = 403
    assert.strictEqual((await refused(it.url)).status, 403)
    assert.strictEqual((await refused(it.url)).status, 403)
    status = 101
    go.open()
    await using client = await connect(it.url)
    assert.strictEqual(client.socket.readyState, 1)
    assert.deepStrictEqual(it.of("Disconnected"), [])
  })

  it("108: MaxConnections cannot be changed while it listens, and can be before and after", async () => {
    await using it = await serving({ config: ["MaxConnections=1"] })
    await using client = await connect(it.url)
    let error: unknown
    try {
      it.server.config("MaxConnections=2")
    } catch (thrown) {
      error = thrown
    }
    assert.propertyVal(error, "code", 108)
    assert.strictEqual(it.server.config("MaxConnections"), "1")
    await it.server.stopListening()
    assert.strictEqual(it.server.config("MaxConnections=2"), "2")
    it.server.localPort = 0
    await it.server.startListening()
    // those from before count
    await using _ = await connect(it.url)
    assert.strictEqual((await refused(it.url)).status, 503)
    client.socket.close()
    await it.until("Disconnected")
    await it.left(1)
    await using __ = await connect(it.url)
  })

  it("MaxConnections: is 1000 by default, and at most 100000", async () => {
    await using it = await serving()
    await it.server.stopListening()
    assert.strictEqual(it.server.config("MaxConnections"), "1000")
    assert.strictEqual(it.server.config("MaxConnections=100000"), "100000")
    assert.throws(() => it.server.config("MaxConnections=100001"), /^\[10022\]/)
    assert.throws(() => it.server.config("MaxConnections=0"), /^\[10022\]/)
  })
})
