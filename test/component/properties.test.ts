/**
 * The properties of both components: by accessor and by their pair of methods, their values at first, the values that they
 * take, when they can be set, and what they do.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Net from "node:net"
import { inspect } from "node:util"
import { inCode, items } from "../../src/component/Catalogue.ts"
import * as Component from "../../src/component/index.ts"
import { both, connect, echo, listening, thrownBy, until } from "./component.ts"

interface Row {
  readonly name: string
  readonly first: unknown
  readonly good: ReadonlyArray<unknown>
  readonly bad: ReadonlyArray<unknown>
  /** What the error says that it accepts. */
  readonly accepts: string
}

const port: Omit<Row, "name"> = {
  first: 0,
  good: [1, 8080, 65535, 0],
  bad: [-1, 65536, 1.5, Number.NaN, Infinity, "80", null, undefined, true, [], 80n],
  accepts: "a whole number from 0 to 65535"
}
const text: Omit<Row, "name"> = { first: "", good: ["x", ""], bad: [0, null, undefined, {}, ["x"]], accepts: "text" }
const flag: Omit<Row, "name"> = {
  first: false,
  good: [true, false],
  bad: ["true", "Yes", 0, 1, null, undefined, {}],
  accepts: "true or false"
}

/** Reads and writes a property in both ways, and in every wrong way. */
const check = (object: object, { accepts, bad, first, good, name }: Row): void => {
  const key = inCode(name)
  const call = (method: string, ...args: ReadonlyArray<unknown>): unknown =>
    Reflect.apply(Reflect.get(object, method), object, args)
  const isNow = (value: unknown) => {
    assert.strictEqual(Reflect.get(object, key), value, key)
    assert.strictEqual(call(`get${name}`), value, `get${name}`)
  }
  isNow(first)
  for (const value of good) {
    Reflect.set(object, key, value)
    isNow(value)
    Reflect.set(object, key, first)
    call(`set${name}`, value)
    isNow(value)
  }
  for (const value of bad) {
    for (const error of [thrownBy(() => Reflect.set(object, key, value)), thrownBy(() => call(`set${name}`, value))]) {
      assert.strictEqual(error.code, 10022)
      assert.include(error.message, `${name}: expected ${accepts}, got `)
    }
    isNow(good.at(-1))
  }
}

describe.each(both)("%s", (_, make) => {
  it("10022, ConnectionBacklog: 5 at first, takes from 1 up", async () => {
    await using component = make()
    const bad = [0, -1, 2 ** 31, 1.5, "5", null, undefined]
    const accepts = "a whole number from 1 to 2147483647"
    check(component, { name: "ConnectionBacklog", first: 5, good: [1, 511, 2 ** 31 - 1], bad, accepts })
  })

  it("10022, DefaultTimeout: 0 at first, takes seconds of a day", async () => {
    await using component = make()
    const bad = [-1, 86401, 0.5, "0", null]
    const accepts = "a whole number from 0 to 86400"
    check(component, { name: "DefaultTimeout", first: 0, good: [1, 86400, 0], bad, accepts })
  })

  it("10022, LocalHost: empty at first, takes text", async () => {
    await using component = make()
    check(component, { name: "LocalHost", ...text })
  })

  it("10022, LocalPort: 0 at first, takes ports", async () => {
    await using component = make()
    check(component, { name: "LocalPort", ...port })
  })

  it("the two about TLS: false at first, take true and false", async () => {
    await using component = make()
    check(component, { name: "UseSSL", ...flag })
    check(component, { name: "SSLAuthenticateClients", ...flag })
  })

  it("the value that it got: is shown in the error, shortened", async () => {
    await using component = make()
    const messageOf = (value: unknown) => thrownBy(() => Reflect.set(component, "localPort", value)).message
    assert.match(messageOf("x".repeat(1000)), /, got "x{64}…"\.$/)
    assert.match(messageOf({ toString: () => "secret" }), /, got an object\.$/)
    assert.match(messageOf(Symbol("s")), /, got Symbol\(s\)\.$/)
  })
})

describe("WSServer", () => {
  it("Listening: can be read alone", async () => {
    await using server = new Component.WSServer()
    assert.isFalse(server.listening)
    assert.isFalse(server.getListening())
    assert.throws(() => Reflect.apply(Object.assign, Object, [server, { listening: true }]), TypeError)
    assert.notProperty(server, "setListening")
    assert.isFalse(server.listening)
  })

  it("the provider of TLS: automatic at first, takes its three values", async () => {
    await using server = new Component.WSServer()
    const accepts = "0 (automatic), 1 (platform) or 2 (internal)"
    check(server, { name: "SSLProvider", first: 0, good: [1, 2, 0], bad: [3, -1, "1", null], accepts })
  })

  it("DefaultTimeout: is the Timeout of the connections to come", async () => {
    await using server = await listening(new Component.WSServer())
    server.defaultTimeout = 7
    await using first = await connect(server)
    server.defaultTimeout = 9
    await using second = await connect(server)
    await until("both", () => server.connections.size === 2)
    assert.deepStrictEqual(
      [...server.connections.values()].map(({ timeout }) => timeout),
      [7, 9]
    )
    assert.strictEqual(first.socket.readyState, second.socket.readyState)
  })
})

describe("WebSocketProxy", () => {
  it("10022, DefaultForwardHost, DefaultForwardPort: none at first, take text and ports", async () => {
    await using proxy = new Component.WebSocketProxy()
    check(proxy, { name: "DefaultForwardHost", ...text })
    check(proxy, { name: "DefaultForwardPort", ...port })
  })

  it("DefaultForwardHost, DefaultForwardPort: where the connections to come are forwarded to", async () => {
    await using one = await echo()
    await using other = await echo()
    await using proxy = await listening(new Component.WebSocketProxy())
    proxy.defaultForwardHost = "127.0.0.1"
    proxy.defaultForwardPort = one.port
    await using first = await connect(proxy)
    proxy.defaultForwardHost = "localhost"
    proxy.defaultForwardPort = other.port
    await using second = await connect(proxy)
    const forwarded = () => [...proxy.connections.values()].map((view) => `${view.forwardHost}:${view.forwardPort}`)
    await until("both", () => forwarded().length === 2)
    assert.deepStrictEqual(forwarded(), [`127.0.0.1:${one.port}`, `localhost:${other.port}`])
    for (const { messages, socket } of [first, second]) {
      socket.send("there and back")
      await until("the echo", () => messages.join("") === "there and back")
    }
  })

  it("10022, Firewall: an object of its own at first, takes a Firewall and nothing else", async () => {
    await using proxy = new Component.WebSocketProxy()
    await using other = new Component.WebSocketProxy()
    assert.instanceOf(proxy.firewall, Component.Firewall)
    assert.notStrictEqual(proxy.firewall, other.firewall)
    const firewall = new Component.Firewall()
    const bad = [null, undefined, "fw", { host: "a" }]
    check(proxy, { name: "Firewall", first: proxy.firewall, good: [firewall], bad, accepts: "a Firewall" })
  })

  it("10022, Firewall.FirewallType, Firewall.Host, Firewall.Port, Firewall.User, Firewall.Password, AutoDetect: their values", () => {
    const firewall = new Component.Firewall()
    const accepts = "a value of FirewallTypes"
    check(firewall, { name: "FirewallType", first: 0, good: [1, 2, 3, 10, 0], bad: [4, -1, "1", null], accepts })
    for (const name of ["Host", "User", "Password"]) check(firewall, { name, ...text })
    check(firewall, { name: "Port", ...port })
    check(firewall, { name: "AutoDetect", ...flag })
  })
})

describe("WSConnection", () => {
  it("WSConnection: of no connection, it has the defaults of the fields", () => {
    const connection = new Component.WSConnection()
    const expected = {
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
      timeout: 0,
      transferBytes: 0,
      transferLength: 0
    }
    assert.deepStrictEqual(JSON.parse(JSON.stringify(connection)), expected)
    for (const { name } of items.filter(({ kind }) => kind === "WSConnection")) {
      const value = Reflect.get(expected, inCode(name))
      assert.strictEqual(Reflect.get(connection, inCode(name)), value, name)
      assert.strictEqual(Reflect.apply(Reflect.get(connection, `get${name}`), connection, []), value, name)
    }
  })

  it("10022, WSConnection: two of its fields can be set, and the others not", () => {
    const connection = new Component.WSConnection()
    const accepts = "a value of DataFormats"
    check(connection, { name: "DataFormat", first: 0, good: [1, 2, 9, 10], bad: [3, 8, "1", null], accepts })
    const bad = [-1, 86401, 0.5, "0", null]
    check(connection, { name: "Timeout", first: 0, good: [60], bad, accepts: "a whole number from 0 to 86400" })
    for (const { name } of items.filter(({ kind }) => kind === "WSConnection")) {
      if (name === "DataFormat" || name === "Timeout") continue
      assert.isFalse(Reflect.set(connection, inCode(name), 1), name)
      assert.notProperty(connection, `set${name}`)
    }
  })
})

describe("names", () => {
  it("in code: a leading run of capitals is lowered whole", () => {
    const names = {
      LocalPort: "localPort",
      UseSSL: "useSSL",
      SSLCertStore: "sslCertStore",
      SSLProvider: "sslProvider",
      SSLCert: "sslCert",
      RequestURI: "requestURI",
      EOM: "eom",
      EOL: "eol",
      TextB: "textB",
      PayloadB: "payloadB",
      FirewallType: "firewallType",
      ConnectionId: "connectionId"
    }
    for (const [name, expected] of Object.entries(names)) assert.strictEqual(inCode(name), expected)
  })

  it("in code: every property has an accessor, `get` and, if it can be set, `set` with its documented name", () => {
    const has = (object: object, names: ReadonlyArray<string>, canBeSet: boolean) => {
      for (const name of names) {
        assert.property(object, inCode(name))
        assert.isFunction(Reflect.get(object, `get${name}`), name)
        assert.strictEqual(`set${name}` in object, canBeSet, name)
      }
    }
    const [server, proxy] = [new Component.WSServer(), new Component.WebSocketProxy()]
    const shared = ["ConnectionBacklog", "DefaultTimeout", "LocalHost", "LocalPort", "SSLAuthenticateClients", "UseSSL"]
    has(server, [...shared, "SSLProvider"], true)
    has(server, ["Listening"], false)
    has(proxy, [...shared, "DefaultForwardHost", "DefaultForwardPort", "Firewall", "Listening"], true)
    assert.strictEqual(server.getConnections(), server.connections)
    assert.strictEqual(proxy.getConnections(), proxy.connections)
    // as a caller without types does
    for (const component of [server, proxy]) {
      for (const name of ["connections", ...(component === server ? ["listening"] : [])]) {
        assert.throws(() => Object.assign(component, { [name]: true }), TypeError)
      }
    }
  })

  it("in lower case: the classes have the names that the JavaScript edition has", () => {
    assert.strictEqual(Component.wsserver, Component.WSServer)
    assert.strictEqual(Component.websocketproxy, Component.WebSocketProxy)
    assert.strictEqual(Component.WSConnectionMap, Component.ConnectionMap)
  })

  it.each(both)("when a %s is printed: its properties, no password and no store", async (name, make) => {
    await using component = make()
    if (component instanceof Component.WebSocketProxy) {
      component.firewall.password = "open sesame"
      component.sslCertStorePassword = "open sesame"
      // which may be a private key
      component.sslCertStore = "open sesame"
      assert.notInclude(thrownBy(() => Object.assign(component, { sslCertStore: 5150 })).message, "5150")
    }
    for (const shown of [inspect(component), JSON.stringify(component)]) {
      assert.match(shown, /"?localPort"?: ?0/)
      assert.notInclude(shown, "sesame")
    }
    assert.isTrue(inspect(component).startsWith(`${name} {`))
  })
})

describe("Connections", () => {
  const server = async () => {
    const component = await listening(new Component.WSServer())
    const opened: Array<string> = []
    component.on("Connected", (e) => opened.push(e.connectionId))
    return { component, opened }
  }

  it("Connections, 126: by id, with get, item, has, size, keys, values, entries and forEach", async () => {
    const { component, opened } = await server()
    await using _component = component
    const { connections } = component
    assert.strictEqual(connections.size, 0)
    assert.strictEqual(thrownBy(() => connections.item("1")).code, 126)
    await using one = await connect(component)
    await until("one", () => opened.length === 1)
    await using two = await connect(component)
    await until("two", () => opened.length === 2)
    const [first = "", second = ""] = opened
    assert.notStrictEqual(first, second)
    assert.strictEqual(connections.size, 2)
    assert.isTrue(connections.has(first))
    assert.isFalse(connections.has("no such"))
    const view = connections.get(first)
    assert.instanceOf(view, Component.WSConnection)
    assert.strictEqual(connections.item(first), view)
    assert.strictEqual(view.connectionId, first)
    assert.isUndefined(connections.get("no such"))
    assert.strictEqual(thrownBy(() => connections.item("no such")).code, 126)
    assert.deepStrictEqual([...connections.keys()], opened)
    assert.deepStrictEqual(
      [...connections.values()].map((view) => view.connectionId),
      opened
    )
    const pairs = opened.map((id) => [id, connections.item(id)])
    assert.deepStrictEqual([...connections.entries()], pairs)
    assert.deepStrictEqual([...connections], pairs)
    const seen: Array<unknown> = []
    connections.forEach((view, id, map) => seen.push([id, view, map]))
    assert.deepStrictEqual(
      seen,
      pairs.map((pair) => [...pair, connections])
    )
    one.socket.close()
    await until("one to go", () => connections.size === 1)
    assert.strictEqual(thrownBy(() => connections.item(first)).code, 126)
    // what was kept of it is what it was
    assert.isFalse(view.connected)
    assert.strictEqual(view.connectionId, first)
    assert.strictEqual(two.socket.readyState, two.socket.OPEN)
  })

  it("Connections: are iterated over while they come and go", async () => {
    const { component, opened } = await server()
    await using _component = component
    const { connections } = component
    const clients = [await connect(component), await connect(component), await connect(component)]
    await until("three", () => opened.length === 3)
    const seen: Array<string> = []
    for (const [id] of connections) {
      seen.push(id)
      if (seen.length > 1) continue
      // the second goes and a fourth comes
      clients[1]!.socket.close()
      await until("it to go", () => connections.size === 2)
      clients.push(await connect(component))
      await until("the fourth", () => opened.length === 4)
    }
    assert.deepStrictEqual(seen, [opened[0], opened[2], opened[3]])
    for (const id of connections.keys()) await component.disconnect(id)
    await until("all to go", () => connections.size === 0)
    await Promise.all(clients.map((client) => client[Symbol.asyncDispose]()))
  })

  it("Connections: of the proxy are its own type", async () => {
    await using target = await echo()
    await using proxy = await listening(new Component.WebSocketProxy())
    proxy.defaultForwardHost = "127.0.0.1"
    proxy.defaultForwardPort = target.port
    await using client = await connect(proxy)
    const view = await until("it", () => [...proxy.connections.values()][0])
    assert.instanceOf(view, Component.WebSocketProxyConnection)
    assert.strictEqual(view.remotePort, addressOf(client.socket).localPort)
  })
})

/** The client's end of its connection. */
const addressOf = (socket: object): Net.Socket => {
  const inner: unknown = Reflect.get(socket, "_socket")
  assert.instanceOf(inner, Net.Socket)
  return inner
}
