/**
 * Connections over TLS: sending, which waits whatever Timeout says, data of any size in both ways, and their ends.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Net from "node:net"
import type { DataInEvent } from "../../src/component/Events.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import * as Pattern from "../proxy/pattern.ts"
import { write } from "../tls/openssl.ts"
import { both, failureOf, hear, isTaken, until } from "./component.ts"
import { closing, Relay, Secured } from "./securing.ts"
import { isSettled } from "./until.ts"

/** More than the systems and the processes at both ends hold of it. */
const large = Pattern.bytes(3, 16 * 1024 * 1024)

/** With another bit within its first record. */
const flipped = (chunk: Buffer): Buffer => {
  const changed = Buffer.from(chunk)
  const at = 5 + Math.min(changed.readUInt16BE(3), changed.length - 5) - 1
  changed[at] = changed[at]! ^ 1
  return changed
}

/** A server, a client of it, and the connection. */
const opened = async (...config: ReadonlyArray<string>) => {
  const secured = await Secured.start(() => new WSServer(), { config: ["PingInterval=0", "CloseTimeout=1", ...config] })
  const ready: Array<string> = []
  secured.component.on("ReadyToSend", (e) => void ready.push(e.connectionId))
  const client = await secured.wss({ maxPayload: 2 ** 28 })
  const received: Array<Buffer> = []
  // ws gives a Buffer unless it is told otherwise
  client.socket.on("message", (data: Buffer) => void received.push(data))
  const connection = await until(
    "the connection",
    () => ready.length > 0 && secured.component.connections.item(ready[0]!)
  )
  return {
    secured,
    client,
    received,
    ready,
    connection,
    id: connection.connectionId,
    server: secured.component,
    async [Symbol.asyncDispose]() {
      await client[Symbol.asyncDispose]()
      await secured[Symbol.asyncDispose]()
    }
  }
}

describe("WSServer", () => {
  it("WSConnection.Timeout, WSConnection.BytesSent, ReadyToSend: under TLS, 0 waits without limit", async () => {
    await using test = await opened("OutBufferSize=1024")
    const { client, connection, id, ready, received, server } = test
    assert.strictEqual(connection.timeout, 0)
    client.socket.pause()
    const sending = server.sendBytes(id, large)
    const next = server.sendText(id, "behind it")
    for (let i = 0; i < 50; i++) assert.isFalse(await isSettled(sending))
    assert.strictEqual(connection.bytesSent, 0)
    assert.isTrue(connection.readyToSend)
    client.socket.resume()
    await sending
    await next
    await until("both", () => received.length === 2)
    assert.isTrue(received[0]?.equals(large))
    assert.strictEqual(received[1]?.toString(), "behind it")
    assert.strictEqual(connection.bytesSent, 0)
    assert.strictEqual(ready.length, 1)
  })

  it("301, WSConnection.Timeout: under TLS, seconds without progress", async () => {
    await using test = await opened()
    test.connection.timeout = 1
    test.client.socket.pause()
    assert.strictEqual((await failureOf(test.server.sendBytes(test.id, large))).code, 301)
  })

  it("Interrupt: ends a send that waits under TLS", async () => {
    await using test = await opened()
    test.client.socket.pause()
    const sending = failureOf(test.server.sendBytes(test.id, large))
    await test.server.interrupt(test.id)
    assert.strictEqual((await sending).code, 301)
  })

  it("SendFile, SetUploadStream: under TLS, with Timeout 0", async () => {
    await using test = await opened()
    const { id, received, server } = test
    await server.sendFile(id, write("large.bin", large))
    await server.setUploadStream(
      id,
      (async function* () {
        yield large.subarray(0, 1000)
        yield large.subarray(1000, 100_000)
      })()
    )
    await until("both", () => received.length === 2)
    assert.isTrue(received[0]?.equals(large))
    assert.isTrue(received[1]?.equals(large.subarray(0, 100_000)))
  })

  it("Ping: under TLS, with Timeout 0, waits for the pong", async () => {
    await using test = await opened()
    const pongs: Array<boolean> = []
    test.server.on("Ping", (e) => void pongs.push(e.response))
    test.client.socket.pause()
    const ping = test.server.ping(test.id)
    for (let i = 0; i < 20; i++) assert.isFalse(await isSettled(ping))
    test.client.socket.resume()
    await ping
    await until("the event", () => pongs.length > 0)
    assert.deepStrictEqual(pongs, [true])
  })

  it("UseSSL, Send: large messages arrive whole in both ways, also with LogSSLPackets", async () => {
    for (const packets of [false, true]) {
      await using test = await opened("BufferMessage=True", "MaxMessageSize=33554432", `LogSSLPackets=${packets}`)
      const { client, id, received, server } = test
      const data: Array<Uint8Array> = []
      server.on("DataIn", (e) => void data.push(e.textB))
      client.socket.send(large)
      const got = await until("the message", () => data[0])
      assert.isTrue(large.equals(got))
      await server.send(id, large)
      assert.isTrue((await until("the answer", () => received[0])).equals(large))
      assert.deepStrictEqual(test.secured.errors, [])
    }
  })

  it("UseSSL, DataIn: frames of a large message come in pieces and in order", async () => {
    await using test = await opened()
    const pieces: Array<Buffer> = []
    let isOver = false
    test.server.on("DataIn", (e: DataInEvent) => {
      pieces.push(Buffer.from(e.textB))
      isOver = e.eom
    })
    test.client.socket.send(large)
    await until("the end of the message", () => isOver)
    assert.isTrue(Buffer.concat(pieces).equals(large))
    assert.isAbove(pieces.length, 1)
  })

  it("283, 284: TLS fails while something is sent", async () => {
    await using test = await opened()
    const { ready, secured, server } = test
    await using relay = await Relay.open(secured.port)
    await using client = await secured.wss({}, relay.port)
    client.socket.on("error", () => {})
    const id = await until("the connection behind the relay", () => ready[1])
    // the client answers with an alert, and what is sent meanwhile does not come through
    relay.changeBack = flipped
    const error = await failureOf(server.sendBytes(id, large))
    assert.strictEqual(error.code, 283)
    assert.match(error.message, /^Error encrypting data\./)
    assert.strictEqual((await until("the error", () => secured.errors[0])).errorCode, 284)
    assert.strictEqual(secured.errors[0]?.connectionId, id)
  })
})

describe.each(both)("%s", (_, make) => {
  it("UseSSL: what is forwarded or echoed is whole, for several clients at once", async () => {
    await using secured = await Secured.start(make, { config: ["MaxMessageSize=33554432", "BufferMessage=True"] })
    const { component } = secured
    if (component instanceof WSServer) component.on("DataIn", (e) => component.sendBytes(e.connectionId, e.textB))
    const echoOf = async (seed: number) => {
      await using client = await secured.wss({ maxPayload: 2 ** 28 })
      const sent = Pattern.bytes(seed, 4 * 1024 * 1024)
      const chunks: Array<Buffer> = []
      let size = 0
      client.socket.on("message", (data: Buffer) => {
        chunks.push(data)
        size += data.length
      })
      client.socket.send(sent)
      await until("the echo", () => size >= sent.length)
      assert.isTrue(Buffer.concat(chunks).equals(sent))
    }
    await Promise.all([echoOf(1), echoOf(2), echoOf(3)])
    assert.deepStrictEqual(secured.errors, [])
  })

  const ended = (secured: Secured<ReturnType<typeof make>>) =>
    until("the end", () => secured.events.some((event) => event.startsWith("Disconnected")))

  it("Disconnect, Disconnected.StatusCode: over TLS, from both sides, with and without a Close frame", async () => {
    const codes: Array<number> = []
    await using secured = await Secured.start(make, {
      on: (component) => hear(component, "Disconnected", (e) => void codes.push(e.statusCode))
    })
    const next = (count: number) => until(`${count} ends`, () => codes.length === count)
    {
      await using client = await secured.wss()
      await secured.component.disconnect([...secured.component.connections.keys()][0]!)
      assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
      await next(1)
    }
    {
      await using client = await secured.wss()
      client.socket.close(4000, "bye")
      assert.strictEqual((await client.closed)[0], 4000)
      await next(2)
    }
    {
      await using client = await secured.wss()
      client.socket.terminate()
      await next(3)
    }
    assert.deepStrictEqual(codes, [1000, 4000, 1006])
    assert.deepStrictEqual(secured.errors, [])
  })

  it("Shutdown: over TLS", async () => {
    await using secured = await Secured.start(make)
    await using client = await secured.wss()
    await secured.component.shutdown()
    assert.deepStrictEqual(await client.closed, [1000, "Normal closure"])
    assert.strictEqual(secured.component.connections.size, 0)
  })

  it("284: what comes was changed on its way", async () => {
    await using secured = await Secured.start(make)
    await using relay = await Relay.open(secured.port)
    const client = await secured.wss({}, relay.port)
    relay.change = flipped
    client.socket.send("hello")
    await ended(secured)
    const [error] = secured.errors
    assert.deepStrictEqual(secured.codes, [284])
    assert.match(error!.description, /^Error decrypting data\. /)
    assert.strictEqual(error!.connectionId, secured.id)
    assert.notInclude(secured.events.join(), "DataIn")
    await client[Symbol.asyncDispose]()
  })

  it("Dispose: half of a handshake is no reason to stay", async () => {
    const waits = Promise.withResolvers<void>()
    const secured = await Secured.start(make, {
      on: (component) => {
        component.sslAuthenticateClients = true
        hear(component, "SSLClientAuthentication", () => waits.promise)
      }
    })
    const { port } = secured
    const sockets = [0, 1, 20].map((size) => {
      const socket = Net.connect({ host: "127.0.0.1", port })
      socket.on("error", () => {}).resume()
      if (size > 0) socket.write(Buffer.of(22, 3, 1, 2, 0, 1, 0, 1, 252, 3, 3, ...Buffer.alloc(20)).subarray(0, size))
      return socket
    })
    const waiting = secured.refusal()
    await until("the decision to be asked for", () =>
      secured.events.some((event) => event.startsWith("SSLClientAuthentication"))
    )
    await until("all", () => secured.events.filter((event) => event.startsWith("ConnectionRequest")).length === 4)
    const closed = sockets.map((socket) => closing(socket))
    await secured[Symbol.asyncDispose]()
    await Promise.all(closed)
    assert.notStrictEqual(await waiting, "")
    assert.isFalse(await isTaken(port))
    const told = secured.events.length
    waits.resolve()
    await new Promise((resolve) => setImmediate(resolve))
    assert.notInclude(secured.events.slice(told).join(), "WebSocketOpenRequest")
    assert.notInclude(secured.events.join(), "Connected")
  })
})
