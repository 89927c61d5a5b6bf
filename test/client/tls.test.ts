/**
 * `wss`: what the server sees of the client, whom the client trusts, and connections that are as good as plain ones.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import * as Http from "node:http"
import * as Https from "node:https"
import type * as Net from "node:net"
import { WebSocketServer } from "ws"
import type { WebSocketClientError } from "../../src/client/WebSocketClientError.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import type * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { bytesOf, close, shown, text } from "../connection/connected.ts"
import { soon } from "../proxy/connected.ts"
import { connectProxy } from "../proxy/firewall.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { names } from "../proxy/resolving.ts"
import { echo, serving } from "../server/serving.ts"
import { Authority } from "../tls/authority.ts"
import * as Listening from "../tls/listening.ts"
import { certificate, text as textOf } from "../tls/openssl.ts"
import { identity, listen, sServer } from "../tls/tlsTarget.ts"
import { make } from "./client.ts"
import { Peer, requested, switching, turns } from "./server.ts"
import * as WsServer from "./wsServer.ts"

const authority = new Authority("authority")
authority.issue("server")
authority.issue("named", { extensions: ["subjectAltName=DNS:ws.example,DNS:xn--bcher-kva.example"] })
authority.issue("expired", { from: "20200101000000Z", to: "20210101000000Z" })
certificate("lonely", { extensions: ["subjectAltName=DNS:localhost"] })

const ca = authority.pem
const tls = { ca }

/** A client that has asked a server of TLS, which has said nothing yet. */
const dialled = Effect.fnUntraced(function* (
  presented: Parameters<typeof listen>[0],
  options: NodeWebSocketClient.Options = { tls },
  host = "localhost"
) {
  const listener = yield* listen(presented)
  const client = yield* make(options)
  const connecting = yield* Effect.forkChild(client.connect(`wss://${host}:${listener.port}/x`), {
    startImmediately: true
  })
  const connection = yield* listener.accept
  yield* Effect.addFinalizer(() => connection.release)
  return { client, connection, connecting, listener, request: yield* requested(connection) }
})

const opened = Effect.fnUntraced(function* (...args: Parameters<typeof dialled>) {
  const { connection, connecting, request, ...more } = yield* dialled(...args)
  const peer = new Peer(connection)
  yield* connection.write(Buffer.from(switching(request)))
  const webSocket = yield* Fiber.join(connecting)
  yield* Effect.addFinalizer(() => connection.release)
  return { ...more, connection, peer, request, webSocket }
})

const echoes = (webSocket: WebSocket) =>
  Effect.gen(function* () {
    const large = "x".repeat(700_000)
    const sending = yield* Effect.forkChild(webSocket.sendAll(["hello", large]))
    assert.isTrue((yield* Stream.runCollect(Stream.take(webSocket.messages, 2))).join() === `hello,${large}`)
    yield* Fiber.join(sending)
  })

describe("wss", { timeout: 30_000 }, () => {
  it.live("asks for HTTP/1.1 and for the name of the URL, which is Host's too", () =>
    Effect.gen(function* () {
      const presented = { ...identity("server"), ALPNProtocols: ["h2", "http/1.1"] }
      const { connection, listener, request } = yield* opened(presented)
      assert.strictEqual(connection.tls.alpnProtocol, "http/1.1")
      assert.strictEqual(connection.tls.servername, "localhost")
      assert.strictEqual(request.line, "GET /x HTTP/1.1")
      assert.deepStrictEqual(request.all("host"), [`localhost:${listener.port}`])
    })
  )

  it.live("needs no server that knows of application protocols", () =>
    Effect.gen(function* () {
      const { connection } = yield* opened(identity("server"))
      assert.isFalse(connection.tls.alpnProtocol)
    })
  )

  it.live("is not spoken with a server that wants another protocol alone", () =>
    Effect.gen(function* () {
      const listener = yield* listen({ ...identity("server"), ALPNProtocols: ["h2"] })
      const { reason } = yield* Effect.flip((yield* make({ tls })).connect(`wss://localhost:${listener.port}`))
      assert.strictEqual(reason._tag === "DialError" && reason.kind, "TlsFailed", reason.message)
    })
  )

  it.live("asks for another name, or another protocol, if it is told to", () =>
    Effect.gen(function* () {
      const presented = { ...identity("named"), ALPNProtocols: ["h2", "http/1.1", "x"] }
      const { connection, listener, request } = yield* opened(presented, {
        tls: { ca, serverName: "ws.example", alpnProtocols: ["x"] }
      })
      assert.strictEqual(connection.tls.servername, "ws.example")
      assert.strictEqual(connection.tls.alpnProtocol, "x")
      assert.deepStrictEqual(request.all("host"), [`localhost:${listener.port}`])
    })
  )

  it.live("asks for a name in another script in ASCII", () =>
    Effect.gen(function* () {
      const { dns } = names({ "xn--bcher-kva.example": ["127.0.0.1"] })
      const { connection } = yield* opened(identity("named"), { tls, dns }, "bücher.example")
      assert.strictEqual(connection.tls.servername, "xn--bcher-kva.example")
    })
  )

  it.live("asks for no name of an address, for which the certificate must be", () =>
    Effect.gen(function* () {
      const { connection } = yield* opened(identity("server"), { tls }, "127.0.0.1")
      assert.isNotOk(connection.tls.servername)
    })
  )

  it.live("loses no byte behind the answer, in however many pieces that comes", () =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled(identity("server"))
      const head = Buffer.from(switching(request))
      yield* connection.write(head.subarray(0, 20))
      yield* turns
      const frames = bytesOf("server", [text("one"), text("x".repeat(100_000)), close(4000)])
      yield* connection.write(Buffer.concat([head.subarray(20), frames]))
      const webSocket = yield* Fiber.join(connecting)
      yield* turns
      assert.deepStrictEqual(
        (yield* Stream.runCollect(webSocket.messages)).map(({ length }) => length),
        [3, 100_000]
      )
      yield* connection.end()
    })
  )

  it.live("is spoken with our own server, compressed and not", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, {
        tls: yield* Listening.withTls(),
        compression: { threshold: 0, contextTakeover: true }
      })
      const client = yield* make({ tls: { ca: textOf("localhost.crt") } })
      for (const compression of [false, { threshold: 0, contextTakeover: true }] as const) {
        const visit = Effect.flatMap(client.connect(`wss://localhost:${port}`, { compression }), (webSocket) => {
          assert.strictEqual(webSocket.isCompressed, compression !== false)
          return echoes(webSocket)
        })
        yield* Effect.scoped(visit)
      }
      assert.strictEqual(yield* client.connections, 0)
    })
  )

  it.live("is spoken with ws, and through a firewall", () =>
    Effect.gen(function* () {
      const https = Https.createServer(identity("server"))
      const visitors: Array<WsServer.Visitor> = []
      const server = new WebSocketServer({ server: https }).on("connection", (socket) => {
        const visitor = new WsServer.Visitor(socket)
        visitors.push(visitor)
        WsServer.echoing(visitor)
      })
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void https.listen(0, "127.0.0.1", () => resume(Effect.void))),
        () => Effect.sync(() => void server.close(() => https.close()))
      )
      // a server on a port has an address of IP
      const { port } = https.address() as Net.AddressInfo
      const through = yield* connectProxy(Http.createServer())
      for (const firewall of [Firewall.none, new Firewall.Tunnel({ host: "127.0.0.1", port: through.port })]) {
        const client = yield* make({ tls, firewall, dns: names({ localhost: ["127.0.0.1"] }).dns })
        yield* Effect.scoped(Effect.flatMap(client.connect(`wss://localhost:${port}`), echoes))
        assert.strictEqual((yield* visitors.pop()!.until("close")).code, 1000)
      }
      assert.deepStrictEqual(through.asked, [`localhost:${port}`])
    })
  )
})

describe("a server that is not trusted", { timeout: 30_000 }, () => {
  const refusal = Effect.fnUntraced(function* (name: string, options: NodeWebSocketClient.Options, host = "localhost") {
    const listener = yield* listen(identity(name))
    const error: WebSocketClientError = yield* Effect.flip(
      (yield* make(options)).connect(`wss://ann:s3cr3t@${host}:${listener.port}/?s3cr3t`)
    )
    assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "TlsFailed", error.message)
    assert.isFalse(error.isTransient)
    assert.notInclude(error.message, "s3cr3t")
    // it was asked for nothing
    for (const connection of listener.connections) {
      yield* connection.watch.until("the end", () => connection.over, soon)
      assert.strictEqual(connection.received, 0)
    }
    return error.message
  })

  it.live("since nobody knows who it is, it is for another, or too old", () =>
    Effect.gen(function* () {
      assert.match(yield* refusal("server", {}), /authority/)
      assert.match(yield* refusal("lonely", { tls }), /self-signed|authority/)
      assert.match(yield* refusal("named", { tls }), /is not for localhost: it is for DNS:ws\.example/)
      assert.match(yield* refusal("expired", { tls }), /has expired/)
      assert.match(yield* refusal("server", { tls: { ca, serverName: "ws.example" } }), /is not for ws\.example/)
    })
  )

  it.live("cannot be, with options that cannot be used", () =>
    Effect.gen(function* () {
      assert.match(yield* refusal("server", { tls: { ca: "no certificate" } }), /options of TLS cannot be used/)
    })
  )
})

describe("a server that wants our certificate", { timeout: 30_000 }, () => {
  const wanting = (version: "-tls1_2" | "-tls1_3") =>
    sServer(
      ..."-cert server.crt -key server.key -Verify 1 -verify_return_error -CAfile lonely.crt -rev".split(" "),
      version
    )

  it.live("and misses it says so in TLS 1.3 behind the handshake, in place of an answer", () =>
    Effect.gen(function* () {
      const { target } = yield* wanting("-tls1_3")
      const error = yield* Effect.flip((yield* make({ tls })).connect(`wss://${target}/?s3cr3t`))
      assert.strictEqual(error.reason._tag === "NoAnswer" && error.reason.kind, "TlsFailed", error.message)
      assert.match(error.message, /it ended TLS with the alert .*certificate.* before it answered$/)
      assert.isFalse(error.isTransient)
    })
  )

  it.live("and misses it says so in TLS 1.2 in the handshake", () =>
    Effect.gen(function* () {
      const { target } = yield* wanting("-tls1_2")
      const error = yield* Effect.flip((yield* make({ tls })).connect(`wss://${target}/`))
      assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "TlsFailed", error.message)
      assert.isFalse(error.isTransient)
    })
  )

  it.live("may be another time, if it broke off in the handshake", () =>
    Effect.gen(function* () {
      for (const ending of ["end", "reset"] as const) {
        const listener = yield* RawTarget.listen()
        const connecting = yield* Effect.forkChild((yield* make({ tls })).connect(`wss://localhost:${listener.port}`), {
          startImmediately: true
        })
        const connection = yield* listener.accept
        yield* connection.untilReceived(1)
        yield* connection[ending]()
        const error = yield* Effect.flip(Fiber.join(connecting))
        assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "TlsFailed", error.message)
        assert.isTrue(error.isTransient, ending)
      }
    })
  )
})

describe("without TLS, a server that wants it", { timeout: 30_000 }, () => {
  it.live("gives no answer: it ends the connection, or says so in TLS", () =>
    Effect.gen(function* () {
      const listener = yield* listen(identity("server"))
      const { reason } = yield* Effect.flip((yield* make()).connect(`ws://localhost:${listener.port}`))
      assert.match(reason._tag === "NoAnswer" ? reason.kind : reason.message, /^(Lost|Unreadable)$/)
    })
  )
})

describe("the end of a connection over TLS", { timeout: 30_000 }, () => {
  it.live("is told in order, and the server's end is waited for", () =>
    Effect.gen(function* () {
      const listener = yield* listen(identity("server"))
      const client = yield* make({ tls, closeTimeout: "60 seconds" })
      const visit = yield* Effect.forkChild(Effect.scoped(client.connect(`wss://localhost:${listener.port}`)), {
        startImmediately: true
      })
      const connection = yield* listener.accept
      const request = yield* requested(connection)
      const peer = new Peer(connection)
      yield* connection.write(Buffer.from(switching(request)))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1000, ""])
      yield* peer.send(close(1000))
      yield* turns
      assert.isUndefined(visit.pollUnsafe())
      yield* connection.end()
      yield* Fiber.join(visit)
      yield* connection.until("closed", soon)
    })
  )

  it.live("by a reset is a loss", () =>
    Effect.gen(function* () {
      const { connection, webSocket } = yield* opened(identity("server"))
      const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages), { startImmediately: true })
      yield* connection.reset()
      const { reason } = yield* Effect.flip(Fiber.join(reading))
      assert.strictEqual(reason._tag, "ConnectionLost")
    })
  )

  it.live("that never comes from the server is not waited for longer than the close timeout", () =>
    Effect.gen(function* () {
      const listener = yield* listen(identity("server"))
      const client = yield* make({ tls, closeTimeout: 150 })
      const visit = yield* Effect.forkChild(Effect.scoped(client.connect(`wss://localhost:${listener.port}`)), {
        startImmediately: true
      })
      const connection = yield* listener.accept
      yield* connection.write(Buffer.from(switching(yield* requested(connection))))
      yield* Fiber.join(visit)
      yield* connection.watch.until("the end", () => connection.over, soon)
      assert.strictEqual(yield* client.connections, 0)
    })
  )
})

describe("who does not wait any more", { timeout: 30_000 }, () => {
  it.live("for an answer over TLS: the socket is gone at once", () =>
    Effect.gen(function* () {
      const { connecting, connection } = yield* dialled(identity("server"), { tls, handshakeTimeout: "60 seconds" })
      yield* Fiber.interrupt(connecting)
      yield* connection.watch.until("the end", () => connection.over, soon)
    })
  )

  it.live("since an answer over TLS did not come in time", () =>
    Effect.gen(function* () {
      const { connecting, connection } = yield* dialled(identity("server"), { tls, handshakeTimeout: 150 })
      const { reason } = yield* Effect.flip(Fiber.join(connecting))
      assert.strictEqual(reason._tag === "NoAnswer" && reason.kind, "TimedOut")
      yield* connection.watch.until("the end", () => connection.over, soon)
      // a server that is not asked in TLS is another matter
      const plain = yield* RawTarget.listen()
      const error = yield* Effect.flip(
        (yield* make({ tls, dialTimeout: 150 })).connect(`wss://127.0.0.1:${plain.port}`)
      )
      assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "TimedOut")
    })
  )
})
