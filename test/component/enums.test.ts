/**
 * The values of the enumerations: their numbers, and what each does.
 */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import * as Net from "node:net"
import {
  CertStoreTypes,
  DataFormats,
  FirewallTypes,
  LogLevels,
  WSServerSSLProviders
} from "../../src/component/index.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import { connect, failureOf, listening, raw, until } from "./component.ts"

describe("DataFormats", () => {
  /** What `send` makes of data: the opcode and the payload of its frame. */
  const sent = async (format: DataFormats, data: string | Uint8Array) => {
    await using server = await listening(new WSServer())
    await using client = await raw(server.localPort)
    const [view] = [...server.connections.values()]
    assert.isDefined(view)
    await until("it", () => view.connected)
    view.dataFormat = format
    await server.send(view.connectionId, data)
    const wanted = { [DataFormats.dfPing]: "ping", [DataFormats.dfPong]: "pong" }[Number(format)]
    if (wanted !== undefined) {
      await until(wanted, () => client.has(wanted))
      return wanted
    }
    const { opcode, payload } = await until("the message", () => client.messages[0])
    return [opcode, payload.toString("latin1")]
  }
  const bytes = new Uint8Array([0xc3, 0xbc])

  it("dfAutomatic: 0, text of a string and binary data of bytes", async () => {
    assert.strictEqual(DataFormats.dfAutomatic, 0)
    assert.deepStrictEqual(await sent(DataFormats.dfAutomatic, "ü"), [1, "\xc3\xbc"])
    assert.deepStrictEqual(await sent(DataFormats.dfAutomatic, bytes), [2, "\xc3\xbc"])
  })

  it("dfText: 1, text of both", async () => {
    assert.strictEqual(DataFormats.dfText, 1)
    assert.deepStrictEqual(await sent(DataFormats.dfText, "ü"), [1, "\xc3\xbc"])
    assert.deepStrictEqual(await sent(DataFormats.dfText, bytes), [1, "\xc3\xbc"])
    assert.strictEqual((await failureOf(sent(DataFormats.dfText, new Uint8Array([0xff])))).code, 10022)
  })

  it("dfBinary: 2, binary data of both", async () => {
    assert.strictEqual(DataFormats.dfBinary, 2)
    assert.deepStrictEqual(await sent(DataFormats.dfBinary, "ü"), [2, "\xc3\xbc"])
    assert.deepStrictEqual(await sent(DataFormats.dfBinary, bytes), [2, "\xc3\xbc"])
  })

  it("dfPing: 9, a ping", async () => {
    assert.strictEqual(DataFormats.dfPing, 9)
    assert.strictEqual(await sent(DataFormats.dfPing, "x"), "ping")
  })

  it("dfPong: 10, a pong", async () => {
    assert.strictEqual(DataFormats.dfPong, 10)
    assert.strictEqual(await sent(DataFormats.dfPong, "x"), "pong")
  })
})

describe("FirewallTypes", () => {
  /** The first bytes that come where the firewall is, or the forward host if there is no firewall. */
  const asked = async (type: FirewallTypes, forwardHost = "192.0.2.7") => {
    const service = Net.createServer().listen(0, "127.0.0.1")
    await once(service, "listening")
    const { port } = service.address() as Net.AddressInfo
    try {
      await using proxy = await listening(new WebSocketProxy())
      proxy.firewall.firewallType = type
      proxy.firewall.host = "127.0.0.1"
      proxy.firewall.port = port
      proxy.defaultForwardHost = type === FirewallTypes.fwNone ? "127.0.0.1" : forwardHost
      proxy.defaultForwardPort = type === FirewallTypes.fwNone ? port : 5900
      const accepted = once(service, "connection")
      const client = connect(proxy).catch(() => undefined)
      const socket: Net.Socket = (await accepted)[0]
      if (type === FirewallTypes.fwNone) (await client)!.socket.send("straight")
      const [first] = await once(socket, "data")
      socket.destroy()
      await (await client)?.[Symbol.asyncDispose]()
      return Buffer.from(first)
    } finally {
      service.close()
    }
  }

  it("fwNone: 0, goes straight to the forward host", async () => {
    assert.strictEqual(FirewallTypes.fwNone, 0)
    assert.strictEqual((await asked(FirewallTypes.fwNone)).toString(), "straight")
  })

  it("fwTunnel: 1, asks by HTTP CONNECT", async () => {
    assert.strictEqual(FirewallTypes.fwTunnel, 1)
    assert.match((await asked(FirewallTypes.fwTunnel)).toString(), /^CONNECT 192\.0\.2\.7:5900 HTTP\/1\.1\r\n/)
  })

  it("fwSOCKS4: 2, asks by version 4 for an address", async () => {
    assert.strictEqual(FirewallTypes.fwSOCKS4, 2)
    assert.deepStrictEqual([...(await asked(FirewallTypes.fwSOCKS4))], [4, 1, 0x17, 0x0c, 192, 0, 2, 7, 0])
  })

  it("fwSOCKS5: 3, asks by version 5", async () => {
    assert.strictEqual(FirewallTypes.fwSOCKS5, 3)
    assert.deepStrictEqual([...(await asked(FirewallTypes.fwSOCKS5))].slice(0, 1), [5])
  })

  it("fwSOCKS4A: 10, asks by version 4 for a name", async () => {
    assert.strictEqual(FirewallTypes.fwSOCKS4A, 10)
    const bytes = await asked(FirewallTypes.fwSOCKS4A, "host.example")
    assert.deepStrictEqual([...bytes.subarray(0, 9)], [4, 1, 0x17, 0x0c, 0, 0, 0, 1, 0])
    assert.strictEqual(bytes.subarray(9).toString(), "host.example\0")
  })
})

describe("the others", () => {
  it("the numbers: of levels of the log, providers and stores", () => {
    assert.deepStrictEqual({ ...LogLevels }, { none: 0, info: 1, verbose: 2, debug: 3 })
    assert.deepStrictEqual({ ...WSServerSSLProviders }, { sslpAutomatic: 0, sslpPlatform: 1, sslpInternal: 2 })
    const { cstAuto, ...inOrder } = CertStoreTypes
    assert.strictEqual(cstAuto, 99)
    const numbers = Array.from({ length: 24 }, (_, i) => i).filter((i) => i !== 20)
    assert.deepStrictEqual(Object.values(inOrder), numbers)
  })
})
