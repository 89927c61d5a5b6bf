/**
 * Where a component listens, what LocalPort and LocalHost show of it, when they can be set, and the codes of what cannot be
 * listened on.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import { once } from "node:events"
import { readFileSync } from "node:fs"
import * as Net from "node:net"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { both, connect, failureOf, isTaken, listen, listening, listenNoMore, thrownBy, until } from "./component.ts"

describe.each(both)("%s", (_, make) => {
  it("LocalPort, LocalHost, Listening: while it listens they show the port and the address, and then what was set", async () => {
    await using component = make()
    component.localHost = "127.0.0.1"
    await listen(component)
    assert.isTrue(component.listening)
    assert.isTrue(component.getListening())
    const { localPort } = component
    assert.isAbove(localPort, 0)
    assert.strictEqual(component.getLocalPort(), localPort)
    assert.strictEqual(component.localHost, "127.0.0.1")
    assert.isTrue(await isTaken(localPort))
    await listenNoMore(component)
    assert.isFalse(component.listening)
    assert.strictEqual(component.localPort, 0)
    assert.isFalse(await isTaken(localPort))
    // the same again, where we say
    component.localPort = localPort
    await listen(component)
    assert.strictEqual(component.localPort, localPort)
    await listenNoMore(component)
    assert.strictEqual(component.localPort, localPort)
    assert.strictEqual(component.localHost, "127.0.0.1")
  })

  it("LocalHost: a name is looked up, and its address shown", async () => {
    await using component = make()
    component.localHost = "localhost"
    await listen(component)
    assert.strictEqual(component.localHost, "127.0.0.1")
    assert.strictEqual(component.getLocalHost(), "127.0.0.1")
    assert.isTrue(await isTaken(component.localPort))
    await listenNoMore(component)
    assert.strictEqual(component.localHost, "localhost")
  })

  it("LocalHost: empty is every address", async () => {
    await using component = make()
    await listen(component)
    assert.strictEqual(component.localHost, "0.0.0.0")
    assert.isTrue(await isTaken(component.localPort))
  })

  it("106, 107: LocalPort and LocalHost are not set while it listens, nor while it begins to", async () => {
    await using component = make()
    component.localHost = "127.0.0.1"
    const refuses = () => {
      const [port, host] = [component.localPort, component.localHost]
      assert.strictEqual(thrownBy(() => (component.localPort = 8080)).code, 106)
      assert.strictEqual(thrownBy(() => component.setLocalPort(8080)).code, 106)
      assert.strictEqual(thrownBy(() => (component.localHost = "127.0.0.2")).code, 107)
      assert.strictEqual(thrownBy(() => component.setLocalHost("127.0.0.2")).code, 107)
      assert.deepStrictEqual([component.localPort, component.localHost], [port, host])
    }
    const started = listen(component)
    refuses()
    await started
    refuses()
    assert.strictEqual(
      thrownBy(() => (component.localPort = 8080)).message,
      "Cannot change LocalPort when TCPServer is listening."
    )
    // what does not concern the listening can
    component.defaultTimeout = 5
    component.connectionBacklog = 7
    await listenNoMore(component)
    component.localPort = 0
    component.localHost = "127.0.0.2"
    assert.strictEqual(component.localHost, "127.0.0.2")
  })

  it("104: it listens already, or was asked to twice", async () => {
    await using component = make()
    component.localHost = "127.0.0.1"
    const [first, second] = await Promise.allSettled([listen(component), listen(component)])
    assert.strictEqual(first.status, "fulfilled")
    assert.strictEqual(second.status, "rejected")
    const { localPort } = component
    const error = await failureOf(listen(component))
    assert.strictEqual(error.code, 104)
    assert.strictEqual(error.message, "TCPServer is already listening.")
    assert.strictEqual(component.localPort, localPort)
    assert.isTrue(await isTaken(localPort))
  })

  it("10048: the port is in use; when it is free it can listen there", async () => {
    await using other = await listening(make())
    await using component = make()
    component.localHost = "127.0.0.1"
    component.localPort = other.localPort
    const error = await failureOf(listen(component))
    assert.strictEqual(error.code, 10048)
    assert.strictEqual(error.message, "[10048] Address already in use.")
    assert.isFalse(component.listening)
    component.localPort = other.localPort
    await listenNoMore(other)
    await listen(component)
    assert.isTrue(component.listening)
  })

  it("10049: no address of this machine", async () => {
    await using component = make()
    component.localHost = "203.0.113.77"
    assert.strictEqual((await failureOf(listen(component))).code, 10049)
    assert.isFalse(component.listening)
  })

  const privileged = process.platform === "linux" && process.getuid?.() !== 0 && readPort() > 1
  it("10013: a port that needs privileges (not tried as root, who has them)", { skip: !privileged }, async () => {
    await using component = make()
    component.localHost = "127.0.0.1"
    component.localPort = 1
    assert.strictEqual((await failureOf(listen(component))).code, 10013)
  })

  it("11001: a host name that there is not", async () => {
    await using component = make()
    // no label of a name may be empty, so nobody needs to be asked
    component.localHost = "no..name"
    const error = await failureOf(listen(component))
    assert.strictEqual(error.code, 11001)
    assert.strictEqual(error.message, "[11001] Host not found.")
    assert.isFalse(component.listening)
    component.localHost = "127.0.0.1"
    await listen(component)
  })

  it("10047, UseIPv6: an address of the family that it leaves out", async () => {
    await using component = make()
    component.localHost = "::1"
    assert.strictEqual((await failureOf(listen(component))).code, 10047)
    component.config("UseIPv6=1")
    component.localHost = "127.0.0.1"
    const error = await failureOf(listen(component))
    assert.strictEqual(error.code, 10047)
    assert.include(error.message, "LocalHost 127.0.0.1 is of IPv4, and UseIPv6 is 1.")
    assert.isFalse(component.listening)
  })

  it("Listening: ends while it begins, and begins while it ends, as was asked last", async () => {
    await using component = make()
    component.localHost = "127.0.0.1"
    await Promise.all([listen(component), listenNoMore(component)])
    assert.isFalse(component.listening)
    await Promise.all([listen(component), listenNoMore(component), listen(component)])
    assert.isTrue(component.listening)
    const { localPort } = component
    await Promise.all([listenNoMore(component), listen(component), component.shutdown()])
    assert.isFalse(component.listening)
    assert.isFalse(await isTaken(localPort))
  })
})

/** The first port that needs no privileges. */
function readPort(): number {
  return Number(readFileSync("/proc/sys/net/ipv4/ip_unprivileged_port_start", "utf8"))
}

describe("WSServer", () => {
  it("StartListening, StopListening: who is there stays, and nobody else comes", async () => {
    await using server = await listening(new WSServer())
    server.on("DataIn", (e) => server.sendText(e.connectionId, e.text))
    const { localPort } = server
    await using client = await connect(server)
    await server.stopListening()
    await server.stopListening()
    assert.isFalse(await isTaken(localPort))
    client.socket.send("still here")
    await until("the echo", () => client.messages.length === 1)
    assert.strictEqual(server.connections.size, 1)
    await server.startListening()
    await using another = await connect(server)
    await until("both", () => server.connections.size === 2)
    assert.strictEqual(another.socket.readyState, another.socket.OPEN)
  })
})

describe("WebSocketProxy", () => {
  it("Listening: is assigned to begin and to end", async () => {
    await using proxy = new WebSocketProxy()
    proxy.localHost = "127.0.0.1"
    proxy.listening = true
    await until("it to listen", () => proxy.listening)
    const { localPort } = proxy
    assert.isTrue(await isTaken(localPort))
    proxy.listening = false
    assert.isFalse(proxy.listening)
    assert.isFalse(await isTaken(localPort))
  })

  it("Error.ErrorCode, Error.ConnectionId, Error.Description, Log.LogType: tell why an assignment of Listening had no effect", async () => {
    await using other = await listening(new WSServer())
    await using proxy = new WebSocketProxy()
    const told: Array<string> = []
    proxy.on("Error", (e) => told.push(`${e.errorCode} "${e.connectionId}" ${e.description}`))
    proxy.on("Log", (e) => told.push(`${e.logType} ${e.logLevel} "${e.connectionId}" ${e.message}`))
    proxy.localHost = "127.0.0.1"
    proxy.localPort = other.localPort
    proxy.listening = true
    await until("both", () => told.length === 2)
    const why = `[10048] Address already in use. cannot listen on 127.0.0.1:${other.localPort}: the port is in use; choose another, or 0 to have one chosen`
    assert.deepStrictEqual(told, [`Error 1 "" ${why}`, `10048 "" ${why}`])
    assert.isFalse(proxy.listening)
  })

  it("10022, Listening: takes true and false", async () => {
    await using proxy = new WebSocketProxy()
    for (const value of ["true", 1, null, undefined]) {
      for (const error of [
        thrownBy(() => Reflect.set(proxy, "listening", value)),
        await failureOf(Reflect.apply(proxy.setListening, proxy, [value]))
      ]) {
        assert.strictEqual(error.code, 10022)
        assert.include(error.message, "Listening: expected true or false, got ")
      }
    }
    assert.isFalse(proxy.listening)
  })
})

const hasIPv6 = await (async () => {
  const server = Net.createServer().listen({ host: "::1", port: 0 })
  try {
    await once(server, "listening")
    return true
  } catch {
    return false
  } finally {
    server.close()
  }
})()

describe.skipIf(!hasIPv6).each(both)("with IPv6, %s", (_, make) => {
  it("UseIPv6: 0 takes IPv4 alone", async () => {
    await using component = await listening(make(), "UseIPv6=0")
    assert.deepStrictEqual(
      [await isTaken(component.localPort), await isTaken(component.localPort, "::1")],
      [true, false]
    )
  })

  it("UseIPv6, LocalHost: 1 takes IPv6 alone", async () => {
    await using component = await listening(make(), "UseIPv6=1")
    assert.strictEqual(component.localHost, "::")
    assert.deepStrictEqual(
      [await isTaken(component.localPort), await isTaken(component.localPort, "::1")],
      [false, true]
    )
  })

  it("UseIPv6, LocalHost: 2 takes both", async () => {
    await using component = await listening(make(), "UseIPv6=2")
    assert.strictEqual(component.localHost, "::")
    assert.deepStrictEqual(
      [await isTaken(component.localPort), await isTaken(component.localPort, "::1")],
      [true, true]
    )
  })

  it("UseIPv6, LocalHost, LocalPort: an IPv6 address is listened on and shown", async () => {
    for (const setting of ["UseIPv6=1", "UseIPv6=2"]) {
      await using component = make()
      component.localHost = "::1"
      await listening(component, setting)
      assert.strictEqual(component.localHost, "::1")
      assert.isAbove(component.localPort, 0)
      assert.deepStrictEqual(
        [await isTaken(component.localPort), await isTaken(component.localPort, "::1")],
        [false, true]
      )
    }
  })

  it("UseIPv6, 10048: 2 does not make do with IPv4 where the port is taken in IPv6", async () => {
    await using other = await listening(make(), "UseIPv6=1")
    await using component = make()
    component.localPort = other.localPort
    assert.strictEqual((await failureOf(listening(component, "UseIPv6=2"))).code, 10048)
    assert.isFalse(component.listening)
  })

  it("UseIPv6: 2 takes IPv4 where the system has no IPv6", async () => {
    const listen = vi.spyOn(Net.Server.prototype, "listen").mockImplementation(withoutIPv6)
    try {
      await using component = await listening(make(), "UseIPv6=2")
      assert.strictEqual(component.localHost, "0.0.0.0")
      assert.isTrue(await isTaken(component.localPort))
      await listenNoMore(component)
      // which one who wants IPv6 alone is not given
      assert.strictEqual((await failureOf(listening(component, "UseIPv6=1"))).code, 10047)
    } finally {
      listen.mockRestore()
    }
  })
})

const original = Net.Server.prototype.listen

/** `listen` of a system without IPv6. */
function withoutIPv6(this: Net.Server, ...args: ReadonlyArray<unknown>): Net.Server {
  const [options] = args
  if (typeof options === "object" && options !== null && "host" in options && options.host === "::") {
    process.nextTick(() => this.emit("error", Object.assign(new Error("no IPv6"), { code: "EAFNOSUPPORT" })))
    return this
  }
  return Reflect.apply(original, this, args)
}

describe.skipIf(!hasIPv6)("WSServer with IPv6", () => {
  it("UseIPv6, RemoteHost, LocalAddress: of an IPv4 client of both are IPv4", async () => {
    await using server = await listening(new WSServer(), "UseIPv6=2")
    await using four = await connect(server)
    await until("it", () => server.connections.size === 1)
    await using six = await connect(server, { host: "::1" })
    await until("both", () => server.connections.size === 2)
    assert.deepStrictEqual(
      [...server.connections.values()].map((view) => `${view.remoteHost} ${view.localAddress}`),
      ["127.0.0.1 127.0.0.1", "::1 ::1"]
    )
    assert.strictEqual(four.socket.readyState, six.socket.readyState)
  })
})
