/**
 * The fields of WSConnection, as properties and as the methods that the JavaScript edition has.
 */
import { assert, describe, it } from "vitest"
import { DataFormats } from "../../src/component/Enums.ts"
import { WSConnection } from "../../src/component/WSConnection.ts"
import { connect, eventually, gate, idOf, rawClient, rawRequest, run, serving } from "./server.ts"

/** The documented name of a field. */
const named = (key: string): string => key[0]!.toUpperCase() + key.slice(1)

/** A field of an object, and what its `get` method gives. */
const both = (connection: WSConnection, key: string): ReadonlyArray<unknown> => {
  const get: unknown = Reflect.get(connection, `get${named(key)}`)
  assert.isFunction(get, key)
  return [Reflect.get(connection, key), Reflect.apply(get as () => unknown, connection, [])]
}

const readOnly = [
  "acceptData",
  "bytesSent",
  "connected",
  "connectionId",
  "host",
  "lineMode",
  "localAddress",
  "origin",
  "readyToSend",
  "remoteHost",
  "remotePort",
  "requestHeaders",
  "requestURI",
  "subProtocols"
]

describe("WSConnection", () => {
  it("WSConnection.Host, WSConnection.Origin, WSConnection.LocalAddress, WSConnection.RemoteHost, WSConnection.RemotePort, WSConnection.RequestHeaders, WSConnection.RequestURI, WSConnection.SubProtocols, WSConnection.Connected, WSConnection.ConnectionId, WSConnection.AcceptData, WSConnection.BytesSent, WSConnection.LineMode, WSConnection.ReadyToSend: say who is connected, by property and by method", async () => {
    await using it = await serving()
    await using client = await rawClient(it.port, {
      path: "/room?x=1",
      headers: ["Origin: https://page.example", "Sec-WebSocket-Protocol: a,  b"]
    })
    await it.until("ReadyToSend")
    const connectionId = idOf(it)
    const connection = it.server.connections.item(connectionId)
    assert.instanceOf(connection, WSConnection)
    const expected: Readonly<Record<string, unknown>> = {
      acceptData: true,
      bytesSent: 0,
      connected: true,
      connectionId,
      dataFormat: DataFormats.dfAutomatic,
      host: `127.0.0.1:${it.port}`,
      lineMode: false,
      localAddress: "127.0.0.1",
      origin: "https://page.example",
      readyToSend: true,
      remoteHost: "127.0.0.1",
      remotePort: client.socket.localPort,
      requestHeaders: [
        `Host: 127.0.0.1:${it.port}`,
        "Upgrade: websocket",
        "Connection: Upgrade",
        "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
        "Sec-WebSocket-Version: 13",
        "Origin: https://page.example",
        "Sec-WebSocket-Protocol: a,  b",
        ""
      ].join("\r\n"),
      requestURI: "/room?x=1",
      subProtocols: "a, b",
      timeout: 0
    }
    for (const [key, value] of Object.entries(expected))
      assert.deepStrictEqual(both(connection, key), [value, value], key)
  })

  it("WSConnection.DataFormat, WSConnection.Timeout: may be set, by property and by method, of this connection alone", async () => {
    await using it = await serving()
    await using _ = await connect(it.url)
    await using __ = await connect(it.url)
    await it.until("ReadyToSend", 2)
    const [one, two] = [...it.server.connections.values()]
    one!.timeout = 7
    assert.strictEqual(one!.getTimeout(), 7)
    one!.setTimeout(8)
    assert.strictEqual(one!.timeout, 8)
    one!.dataFormat = DataFormats.dfBinary
    assert.strictEqual(one!.getDataFormat(), 2)
    one!.setDataFormat(DataFormats.dfText)
    assert.strictEqual(one!.dataFormat, 1)
    assert.deepStrictEqual([two!.timeout, two!.dataFormat], [0, 0])
  })

  it("WSConnection.DataFormat, WSConnection.Timeout, MessageLength: may be set while the request is decided, for the time after", async () => {
    const seen: Array<unknown> = []
    await using it = await serving({
      on: (server) =>
        server
          .on("WebSocketOpenRequest", ({ connectionId }) => {
            const connection = server.connections.item(connectionId)
            connection.dataFormat = DataFormats.dfText
            server.config(`MessageLength[${connectionId}]=4`)
            seen.push(connection.dataFormat, server.config(`MessageLength[${connectionId}]`))
          })
          .on("Connected", async ({ connectionId }) => {
            await server.send(connectionId, new TextEncoder().encode("ab"))
            await server.send(connectionId, new TextEncoder().encode("cd"))
            seen.push(server.config(`MessageLength[${connectionId}]`))
            server.connections.item(connectionId).dataFormat = DataFormats.dfBinary
            await server.send(connectionId, "e")
          })
    })
    await using client = await connect(it.url)
    await eventually("both", () => client.messages.length === 2)
    assert.deepStrictEqual(client.messages, ["abcd", Buffer.from("e")])
    assert.deepStrictEqual(seen, [1, "4", "0"])
  })

  it("10022: a field takes no value that it cannot have, and keeps the one it has", async () => {
    await using it = await serving()
    await using _ = await connect(it.url)
    await it.until("ReadyToSend")
    const connection = it.server.connections.item(idOf(it))
    connection.timeout = 3
    for (const value of [-1, 1.5, "5", Number.NaN, undefined]) {
      assert.throws(() => Reflect.set(connection, "timeout", value), /^\[10022\] Invalid argument\. Timeout/)
    }
    for (const value of [3, -1, "1", null]) {
      assert.throws(() => Reflect.set(connection, "dataFormat", value), /^\[10022\] Invalid argument\. DataFormat/)
    }
    assert.deepStrictEqual([connection.timeout, connection.dataFormat], [3, 0])
  })

  it("WSConnection: what the documents call read-only cannot be set", async () => {
    await using it = await serving()
    await using _ = await connect(it.url)
    await it.until("ReadyToSend")
    for (const connection of [it.server.connections.item(idOf(it)), new WSConnection()]) {
      for (const key of readOnly) {
        const before: unknown = Reflect.get(connection, key)
        assert.isFalse(Reflect.set(connection, key, "other"), key)
        assert.strictEqual(Reflect.get(connection, key), before)
        assert.isFalse(`set${named(key)}` in connection, key)
      }
    }
  })

  it("WSConnection(): has the documented defaults", () => {
    const connection = new WSConnection()
    const defaults: Readonly<Record<string, unknown>> = {
      acceptData: true,
      bytesSent: 0,
      connected: false,
      connectionId: "",
      dataFormat: 0,
      host: "",
      lineMode: false,
      localAddress: "",
      origin: "",
      readyToSend: false,
      remoteHost: "",
      remotePort: 0,
      requestHeaders: "",
      requestURI: "",
      subProtocols: "",
      timeout: 0
    }
    for (const [key, value] of Object.entries(defaults))
      assert.deepStrictEqual(both(connection, key), [value, value], key)
    connection.timeout = 5
    connection.setDataFormat(DataFormats.dfPing)
    assert.deepStrictEqual([connection.getTimeout(), connection.dataFormat], [5, 9])
  })

  it("WSConnection.Connected, WSConnection.ReadyToSend, WSConnection.RemoteHost, WSConnection.RemotePort: inside Disconnected it is found, no longer connected, and who it was is known, also later", async () => {
    const seen: Array<unknown> = []
    let kept: WSConnection | undefined
    await using it = await serving({
      on: (server) =>
        server.on("Disconnected", (e) => {
          kept = server.connections.item(e.connectionId)
          seen.push(kept.connected, kept.readyToSend, kept.remoteHost, kept.remotePort, kept.requestURI)
        })
    })
    await using client = await rawClient(it.port, { path: "/who" })
    const port = client.socket.localPort
    await it.until("ReadyToSend")
    await run(client.reset())
    await it.until("Disconnected")
    assert.deepStrictEqual(seen, [false, false, "127.0.0.1", port, "/who"])
    assert.deepStrictEqual([kept?.connected, kept?.remoteHost, kept?.remotePort], [false, "127.0.0.1", port])
    await it.left(0)
  })
})

describe("Connections", () => {
  it("Connections, WebSocketOpenRequest: while a request is decided its connection is found, and a loop over all does not come to it", async () => {
    const door = gate()
    await using it = await serving({
      on: (server) =>
        server
          .on("WebSocketOpenRequest", (e) => (e.requestURI === "/slow" ? door.opened : undefined))
          .on("DataIn", async (e) => {
            for (const { connectionId } of server.connections.values()) await server.sendText(connectionId, e.text)
          })
    })
    const { connections } = it.server
    await using client = await connect(it.url)
    await it.until("ReadyToSend")
    const id = idOf(it)
    await using _ = await rawRequest(it.port, { path: "/slow" })
    await it.until("WebSocketOpenRequest", 2)
    const slow = [...it.byId.keys()].find((other) => other !== id && other !== "") ?? ""
    assert.deepStrictEqual([connections.has(slow), connections.item(slow).requestURI], [true, "/slow"])
    assert.deepStrictEqual(
      [connections.size, [...connections.keys()], [...connections].map(([key]) => key)],
      [1, [id], [id]]
    )
    client.socket.send("to all")
    await eventually("the broadcast", () => client.messages.length === 1)
    assert.deepStrictEqual([client.messages, it.of("Error")], [["to all"], []])
    door.open()
    await it.until("ReadyToSend", 2)
    assert.deepStrictEqual([...connections.keys()], [id, slow])
  })

  it("Connections, 126: a map by ConnectionId that is read and follows what happens; item fails for an id that there is not", async () => {
    await using it = await serving()
    const { connections } = it.server
    assert.strictEqual(it.server.getConnections(), connections)
    assert.strictEqual(connections.size, 0)
    await using one = await connect(it.url)
    await using _ = await connect(it.url)
    await it.until("ReadyToSend", 2)
    const ids = [...connections.keys()]
    assert.strictEqual(new Set(ids).size, 2)
    assert.deepStrictEqual(
      [...connections.values()].map(({ connectionId }) => connectionId),
      ids
    )
    assert.deepStrictEqual(
      [...connections].map(([id, connection]) => [id, connection.connectionId]),
      ids.map((id) => [id, id])
    )
    const each: Array<string> = []
    connections.forEach((connection, id) => each.push(id, connection.connectionId))
    assert.deepStrictEqual(
      each,
      ids.flatMap((id) => [id, id])
    )
    assert.isTrue(connections.has(ids[0]!))
    assert.strictEqual(connections.get(ids[0]!), connections.item(ids[0]!))
    one.socket.close()
    await it.left(1)
    assert.deepStrictEqual([...connections.keys()], [ids[1]])
    assert.isUndefined(connections.get(ids[0]!))
    assert.throws(() => connections.item(ids[0]!), "Invalid ConnectionId.")
    try {
      connections.item(ids[0]!)
    } catch (error) {
      assert.propertyVal(error, "code", 126)
    }
    for (const name of ["set", "delete", "clear"]) assert.isFalse(name in connections, name)
  })
})
