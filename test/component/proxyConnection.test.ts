/**
 * The connections of the proxy, with every field, from WebSocketOpenRequest on.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { inspect } from "node:util"
import type { WebSocketProxyConnection } from "../../src/component/WebSocketProxyConnection.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as Forwarding from "./forwarding.ts"

const { thrown } = Forwarding

const headers = ["Origin: https://origin.example", "Sec-WebSocket-Protocol: one, two", "X-Header: kept As It Was"]

describe("Connections", { timeout: 30_000 }, () => {
  it.live("Connections: by id, as a map that follows the connections", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen()
      const { connections } = proxy
      assert.strictEqual(proxy.getConnections(), connections)
      assert.strictEqual(connections.size, 0)
      const first = yield* RawClient.open(proxy.localPort)
      yield* told.until("Connected 1")
      yield* RawClient.open(proxy.localPort)
      yield* told.until("Connected 2")
      assert.deepStrictEqual([...connections.keys()], ["1", "2"])
      assert.deepStrictEqual(
        Array.from(connections, ([id, connection]) => [id, connection.connectionId]),
        [
          ["1", "1"],
          ["2", "2"]
        ]
      )
      assert.strictEqual(connections.get("1"), connections.item("1"))
      assert.deepStrictEqual([connections.has("3"), connections.get("3")], [false, undefined])
      const seen: Array<string> = []
      connections.forEach(({ connectionId }, id, map) => seen.push(connectionId, id, String(map === connections)))
      assert.deepStrictEqual(seen, ["1", "1", "true", "2", "2", "true"])
      yield* first.sendClose(1000)
      yield* (yield* listener.accept).end()
      yield* Forwarding.gone(proxy, "1")
      assert.deepStrictEqual([...connections.keys()], ["2"])
    })
  )

  it.live("126, Connections: there is none with this id", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      assert.strictEqual(
        thrown(() => proxy.connections.item("1")),
        126
      )
    })
  )

  it.live(
    "Connections, WebSocketOpenRequest, Connected: it is there from WebSocketOpenRequest, and connected from Connected",
    () =>
      Effect.gen(function* () {
        const { listener, proxy, told } = yield* Forwarding.listen()
        const seen: Array<unknown> = []
        const see = ({ connectionId }: { readonly connectionId: string }) => {
          const { connected, forwardHost, forwardPort, remoteHost } = proxy.connections.item(connectionId)
          seen.push([connected, forwardHost, forwardPort, remoteHost])
        }
        proxy.on("WebSocketOpenRequest", (e) => {
          see(e)
          e.forwardHost = "localhost"
        })
        proxy.on("Connected", see)
        const client = yield* RawClient.open(proxy.localPort)
        yield* told.until("Connected 1")
        assert.deepStrictEqual(seen, [
          [false, "127.0.0.1", listener.port, "127.0.0.1"],
          [true, "localhost", listener.port, "127.0.0.1"]
        ])
        yield* client.reset()
        yield* Forwarding.idle(proxy)
      })
  )
})

describe("WebSocketProxyConnection", { timeout: 30_000 }, () => {
  /** Each field, by its accessor and by its method. */
  const both = (connection: WebSocketProxyConnection, name: string): unknown => {
    const key = name.startsWith("Request") ? name.replace("Request", "request") : name[0]!.toLowerCase() + name.slice(1)
    const value: unknown = Reflect.get(connection, key)
    const method = Reflect.get(connection, `get${name}`) as () => unknown
    assert.deepStrictEqual(method.call(connection), value)
    return value
  }

  it.live(
    "WebSocketProxyConnection.Connected, WebSocketProxyConnection.ConnectionId, WebSocketProxyConnection.ForwardHost, WebSocketProxyConnection.ForwardPort, WebSocketProxyConnection.Host, WebSocketProxyConnection.LocalAddress, WebSocketProxyConnection.Origin, WebSocketProxyConnection.RemoteHost, WebSocketProxyConnection.RemotePort, WebSocketProxyConnection.RequestHeaders, WebSocketProxyConnection.RequestURI, WebSocketProxyConnection.SubProtocols, WebSocketProxyConnection.Timeout: of an open connection, and after its end",
    () =>
      Effect.gen(function* () {
        const { client, id, listener, proxy } = yield* Forwarding.connected({
          client: { path: "/path?query", headers },
          setUp: (proxy) => (proxy.defaultTimeout = 7)
        })
        const { localPort } = client.socket
        const connection = proxy.connections.item(id)
        const expected: Record<string, unknown> = {
          Connected: true,
          ConnectionId: "1",
          ForwardHost: "127.0.0.1",
          ForwardPort: listener.port,
          Host: `127.0.0.1:${proxy.localPort}`,
          LocalAddress: "127.0.0.1",
          Origin: "https://origin.example",
          RemoteHost: "127.0.0.1",
          RemotePort: localPort,
          RequestURI: "/path?query",
          SubProtocols: "one, two",
          Timeout: 7
        }
        for (const [name, value] of Object.entries(expected))
          assert.deepStrictEqual(both(connection, name), value, name)
        const requestHeaders = both(connection, "RequestHeaders")
        assert.match(String(requestHeaders), /^Host: 127\.0\.0\.1:\d+\r\nUpgrade: websocket\r\n/)
        assert.match(String(requestHeaders), /\r\nX-Header: kept As It Was\r\n$/)
        // who holds on to it still reads it
        yield* client.reset()
        yield* Forwarding.idle(proxy)
        for (const [name, value] of Object.entries({ ...expected, Connected: false })) {
          assert.deepStrictEqual(both(connection, name), value, name)
        }
      })
  )

  it.live(
    "WebSocketProxyConnection.Host, WebSocketProxyConnection.Origin, WebSocketProxyConnection.SubProtocols, WebSocketProxyConnection.Timeout: are empty or 0 if there is nothing",
    () =>
      Effect.gen(function* () {
        const { id, proxy } = yield* Forwarding.connected()
        const connection = proxy.connections.item(id)
        assert.deepStrictEqual([connection.origin, connection.subProtocols, connection.timeout], ["", "", 0])
      })
  )

  it.live("100, WebSocketProxyConnection.ForwardPort: cannot be changed", () =>
    Effect.gen(function* () {
      const { id, listener, proxy } = yield* Forwarding.connected()
      const connection = proxy.connections.item(id)
      assert.strictEqual(
        thrown(() => (connection.forwardPort = 80)),
        100
      )
      assert.strictEqual(
        thrown(() => connection.setForwardPort(80)),
        100
      )
      assert.strictEqual(
        thrown(() => (connection.forwardPort = 65536)),
        10022
      )
      assert.strictEqual(connection.forwardPort, listener.port)
    })
  )

  it.live("101, WebSocketProxyConnection.ForwardHost: cannot be changed", () =>
    Effect.gen(function* () {
      const { id, proxy } = yield* Forwarding.connected()
      const connection = proxy.connections.item(id)
      assert.strictEqual(
        thrown(() => (connection.forwardHost = "other")),
        101
      )
      assert.strictEqual(
        thrown(() => connection.setForwardHost("other")),
        101
      )
      assert.strictEqual(connection.forwardHost, "127.0.0.1")
    })
  )

  it.live(
    "10022, WebSocketProxyConnection.Timeout, WebSocketProxyConnection.Connected: take what they can be, and the rest cannot be set",
    () =>
      Effect.gen(function* () {
        const { id, proxy } = yield* Forwarding.connected()
        const connection = proxy.connections.item(id)
        connection.timeout = 5
        assert.strictEqual(connection.getTimeout(), 5)
        connection.setTimeout(0)
        assert.strictEqual(connection.timeout, 0)
        for (const value of [-1, 0.5, "5", null]) {
          assert.strictEqual(
            thrown(() => (connection.timeout = value as number)),
            10022
          )
        }
        assert.strictEqual(
          thrown(() => (connection.connected = "no" as never)),
          10022
        )
        for (const name of ["ConnectionId", "Host", "RemoteHost", "RemotePort", "SubProtocols"]) {
          const key = name[0]!.toLowerCase() + name.slice(1)
          assert.throws(() => Object.assign(connection, { [key]: "other" }), TypeError)
          assert.isFalse(`set${name}` in connection)
        }
      })
  )

  it.live("DefaultTimeout, WebSocketProxyConnection.Timeout: is of the connections to come", () =>
    Effect.gen(function* () {
      const { id, proxy, told } = yield* Forwarding.connected()
      proxy.setDefaultTimeout(9)
      assert.deepStrictEqual([proxy.defaultTimeout, proxy.getDefaultTimeout()], [9, 9])
      yield* RawClient.open(proxy.localPort)
      yield* told.until("Connected 2")
      assert.deepStrictEqual(
        Array.from(proxy.connections.values(), ({ timeout }) => timeout),
        [0, 9]
      )
      assert.strictEqual(proxy.connections.item(id).timeout, 0)
    })
  )

  it.live("WebSocketProxyConnection.ConnectionId: it is shown as its fields, in print and in JSON", () =>
    Effect.gen(function* () {
      const { id, proxy } = yield* Forwarding.connected()
      const connection = proxy.connections.item(id)
      assert.match(inspect(connection), /^WebSocketProxyConnection \{[\s\S]*connectionId: '1'/)
      assert.strictEqual(JSON.parse(JSON.stringify(connection)).forwardHost, "127.0.0.1")
    })
  )
})
