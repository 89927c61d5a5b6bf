/**
 * What is told of TLS handshakes: their steps among the other events of a connection, each record if that is asked for, and
 * failures by their codes.
 */
import { assert, describe, it } from "@effect/vitest"
import { once } from "node:events"
import * as Net from "node:net"
import { setTimeout } from "node:timers/promises"
import * as tls from "node:tls"
import { Duplex } from "node:stream"
import { text } from "../tls/openssl.ts"
import { both, hear, until } from "./component.ts"
import { closing, Secured } from "./securing.ts"

/** The bytes of a client's hello. */
const helloOf = async (): Promise<Buffer> => {
  const { promise, resolve } = Promise.withResolvers<Buffer>()
  const wire = new Duplex({
    read() {},
    write(chunk: Buffer, _, callback) {
      resolve(chunk)
      callback()
    }
  })
  const client = tls.connect({ socket: wire }).on("error", () => {})
  const hello = await promise
  client.destroy()
  return hello
}

describe.each(both)("%s", (_, make) => {
  it("SSLStatus, SSLStatus.ConnectionId, SSLStatus.Message: the steps of a handshake, in order with the other events of the connection", async () => {
    await using secured = await Secured.start(make, {
      on: (component) => {
        component.sslAuthenticateClients = true
        hear(component, "SSLClientAuthentication", (e) => (e.accept = true))
        // the next event waits for a listener that takes its time
        for (const name of ["SSLStatus", "SSLConnectionRequest", "SSLClientAuthentication"] as const) {
          hear(component, name, () => new Promise((resolve) => setImmediate(resolve)))
        }
      }
    })
    const client = await secured.wss()
    client.socket.send("hello")
    await until("the data", () => secured.events.some((event) => event.startsWith("DataIn")))
    client.socket.close(1000)
    await until("the end", () => secured.events.some((event) => event.startsWith("Disconnected")))
    const { id } = secured
    assert.match(id, /^\d+$/)
    assert.deepStrictEqual(
      secured.events.filter((event, i, all) => event !== all[i - 1]),
      [
        "ConnectionRequest ",
        ...[
          "SSLStatus",
          "SSLConnectionRequest",
          "SSLStatus",
          "SSLClientAuthentication",
          "WebSocketOpenRequest",
          "Connected",
          "DataIn",
          "Disconnected"
        ].map((name) => `${name} ${id}`)
      ]
    )
    const messages = secured.statuses.map(({ message }) => message)
    const step = (words: RegExp) => messages.findIndex((message) => words.test(message))
    const steps = [/^ClientHello: .*TLSv1\.2/, /^Certificate chosen: .*CN=server/, /^Handshake done: TLSv1\.2, TLS_/]
    assert.deepStrictEqual(
      steps.map(step),
      steps.map(step).toSorted((a, b) => a - b)
    )
    assert.notInclude(steps.map(step), -1)
    // the strength that was agreed on is shown here, as the documents have it
    assert.match(secured.status, /^Handshake done: TLSv1\.2, TLS_ECDHE_ECDSA_WITH_AES_(128|256)_\w+, .*\b\1 bits$/m)
    await client[Symbol.asyncDispose]()
  })

  it("SSLStatus.ConnectionId: that of its own connection, with many at once", async () => {
    await using secured = await Secured.start(make)
    const clients = await Promise.all(Array.from({ length: 10 }, () => secured.wss()))
    const ids = new Set(secured.component.connections.keys())
    assert.strictEqual(ids.size, 10)
    for (const id of ids) {
      const own = secured.events.filter((event) => event.endsWith(` ${id}`)).map((event) => event.split(" ")[0])
      assert.deepStrictEqual(own.slice(0, 2), ["SSLStatus", "SSLConnectionRequest"])
      assert.deepStrictEqual(
        own.filter((name) => name !== "SSLStatus"),
        ["SSLConnectionRequest", "WebSocketOpenRequest", "Connected"]
      )
    }
    for (const client of clients) await client[Symbol.asyncDispose]()
  })

  it("SSLStatus.Message: an alert, and why a handshake failed", async () => {
    await using secured = await Secured.start(make)
    await secured.sClient("-verify_return_error")
    await until("the failure", () => /^Handshake failed: /m.test(secured.status))
    assert.match(secured.status, /^Alert received: .*unknown_ca/m)
  })

  it("LogSSLPackets: each record that is received or sent", async () => {
    await using secured = await Secured.start(make, { config: ["LogSSLPackets=True"] })
    await using client = await secured.wss()
    const records = () => secured.statuses.filter(({ message }) => message.startsWith("TLS record"))
    const before = records().length
    assert.match(secured.status, /^TLS record received: handshake \(22\), version 3\.\d, \d+ bytes$/m)
    assert.match(secured.status, /^TLS record sent: handshake \(22\), version 3\.3, \d+ bytes$/m)
    client.socket.send("x".repeat(1000))
    await until("its record", () =>
      records()
        .slice(before)
        .some(({ message }) => /received: application_data \(23\), version 3\.3, 10\d\d bytes/.test(message))
    )
    assert.deepStrictEqual(new Set(records().map(({ connectionId }) => connectionId)), new Set([secured.id]))
    await using quiet = await Secured.start(make)
    await using other = await quiet.wss()
    assert.strictEqual(other.socket.readyState, other.socket.OPEN)
    assert.notInclude(quiet.status, "TLS record")
  })

  it("276, Error.ConnectionId: nothing in common, no TLS, or a client that does not trust", async () => {
    const failures: ReadonlyArray<(secured: Secured<ReturnType<typeof make>>) => Promise<unknown>> = [
      (secured) => secured.refusal({ minVersion: "TLSv1.3" }),
      (secured) => secured.refusal({ ciphers: "ECDHE-RSA-AES128-GCM-SHA256" }),
      (secured) => secured.sClient("-verify_return_error"),
      async (secured) => {
        const socket = Net.connect({ host: "127.0.0.1", port: secured.port })
        socket.end("GET / HTTP/1.1\r\n\r\n")
        await closing(socket.resume())
      }
    ]
    for (const fail of failures) {
      await using secured = await Secured.start(make)
      assert.notStrictEqual(await fail(secured), "")
      const error = await until("the error", () => secured.errors[0])
      assert.strictEqual(error.errorCode, 276)
      assert.match(error.description, /^Error during handshake\. .+/)
      assert.strictEqual(error.connectionId, secured.id)
      // and it costs nobody else anything
      await using client = await secured.wss({ ca: text("server.crt"), rejectUnauthorized: true })
      assert.strictEqual(client.socket.readyState, client.socket.OPEN)
      assert.deepStrictEqual(secured.codes, [276])
    }
  })

  it("10060, DefaultConnectionTimeout: a client that is silent during the handshake is cut off", async () => {
    const hello = await helloOf()
    for (const said of [Buffer.alloc(0), hello.subarray(0, 20), hello]) {
      await using secured = await Secured.start(make, { config: ["DefaultConnectionTimeout=1", "HandshakeTimeout=60"] })
      const socket = Net.connect({ host: "127.0.0.1", port: secured.port })
      socket.on("error", () => {}).resume()
      if (said.length > 0) socket.write(said)
      await closing(socket)
      const error = await until("the error", () => secured.errors[0])
      assert.strictEqual(error.errorCode, 10060)
      assert.match(error.connectionId, /^\d+$/)
    }
  })

  it("DefaultConnectionTimeout: it is of inactivity, and of the handshake alone", async () => {
    const hello = await helloOf()
    await using secured = await Secured.start(make, { config: ["DefaultConnectionTimeout=2"] })
    await using client = await secured.wss()
    const socket = Net.connect({ host: "127.0.0.1", port: secured.port })
    socket.on("error", () => {})
    // longer than that, in all
    for (let at = 0; at < 6; at++) {
      socket.write(hello.subarray(at, at + 1))
      await setTimeout(500)
    }
    assert.isFalse(socket.destroyed)
    assert.deepStrictEqual(secured.errors, [])
    socket.write(hello.subarray(6))
    await once(socket, "data")
    socket.destroy()
    assert.strictEqual(client.socket.readyState, client.socket.OPEN)
  })

  it("10060, HandshakeTimeout: a handshake takes so long at most, however busy it is", async () => {
    const hello = await helloOf()
    await using secured = await Secured.start(make, { config: ["HandshakeTimeout=1"] })
    const socket = Net.connect({ host: "127.0.0.1", port: secured.port })
    socket.on("error", () => {}).resume()
    const closed = closing(socket)
    for (let at = 0; !socket.closed && at < hello.length; at++) {
      socket.write(hello.subarray(at, at + 1))
      await Promise.race([closed, setTimeout(100)])
    }
    await closed
    assert.strictEqual((await until("the error", () => secured.errors[0])).errorCode, 10060)
  })

  it("10054: a client that goes away during the handshake", async () => {
    await using secured = await Secured.start(make)
    const socket = Net.connect({ host: "127.0.0.1", port: secured.port })
    await once(socket, "connect")
    socket.end((await helloOf()).subarray(0, 20))
    socket.resume()
    const error = await until("the error", () => secured.errors[0])
    assert.strictEqual(error.errorCode, 10054)
  })
})
