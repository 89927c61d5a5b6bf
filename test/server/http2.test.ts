import { assert, describe, it } from "@effect/vitest"
import { Cause, Effect, Exit, Stream } from "effect"
import { once } from "node:events"
import * as Http2 from "node:http2"
import type { AddressInfo } from "node:net"
import { setTimeout as delay } from "node:timers/promises"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import * as Transport from "../../src/connection/Transport.ts"
import * as NodeSocket from "../../src/node/NodeSocket.ts"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { type OpenRequest, Refusal } from "../../src/server/OpenRequest.ts"
import { close, shown, text } from "../connection/connected.ts"
import { counting } from "../connection/metrics.ts"
import { answer, closed, type Headers, opened, opening, request, session } from "./http2-client.ts"
import {
  collectingLogs,
  deciding,
  drain,
  echo,
  eventually,
  listening,
  noneOpen,
  type Options,
  serving
} from "./serving.ts"
import { connect, upgraded, upgradeRequest } from "./wire.ts"

const http2: Options = { http2: true, origin: "any" }

const hello = shown({ ...text("hello"), fin: true } as never)

describe("WebSockets over HTTP/2", () => {
  it.live("open with an extended CONNECT, echo, and close in order", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo, { ...http2, subprotocols: ["b"], compression: true })
      const client = yield* session(port)
      assert.isTrue(client.remoteSettings.enableConnectProtocol)
      const wire = yield* opened(client, {
        "sec-websocket-protocol": "a, b",
        "sec-websocket-extensions": "permessage-deflate"
      })
      assert.strictEqual(wire.headers["sec-websocket-protocol"], "b")
      assert.include(String(wire.headers["sec-websocket-extensions"]), "permessage-deflate")
      // RFC 8441 section 5
      for (const name of ["connection", "upgrade", "sec-websocket-accept"]) assert.notProperty(wire.headers, name)
      wire.send(text("hello"))
      assert.deepStrictEqual(shown(yield* wire.next), hello)
      wire.send(close(1000))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
      assert.strictEqual(yield* wire.ended, "FIN")
      wire.end()
      assert.strictEqual(yield* closed(wire.stream), 0)
      yield* eventually("none is open", noneOpen(server))
    })
  )

  it.live("many share one connection, and one that is not read holds up no other", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo, http2)
      const client = yield* session(port)
      const stuck = yield* opened(client)
      // more than the windows of both sides and the server's buffers; nothing of what comes back is read
      for (let i = 0; i < 64; i++) stuck.send({ opcode: Opcode.binary, payload: new Uint8Array(64 * 1024) })
      const wires = yield* Effect.all(
        Array.from({ length: 50 }, () => opened(client)),
        { concurrency: "unbounded" }
      )
      assert.strictEqual(yield* server.connections, 51)
      for (const [index, wire] of wires.entries()) {
        wire.send(text(`message ${index}`))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, `message ${index}`])
      }
      // what waits is not taken from the client at all
      yield* Effect.promise(() => delay(100))
      assert.isAbove(stuck.stream.bufferSize, 1024 * 1024)
      let size = 0
      while (size < 64 * 64 * 1024) size += (yield* stuck.next).payload.length
      assert.strictEqual(size, 64 * 64 * 1024)
    })
  )

  it.live("a handler sees the request as over HTTP/1.1, and whom it is from", () =>
    Effect.gen(function* () {
      const seen: Array<OpenRequest> = []
      const { port } = yield* deciding(
        (open) => {
          seen.push(open)
          return Effect.flatMap(
            open.acceptWith({ headers: { "Set-Cookie": ["a=1"], "set-cookie": "b=2", Upgrade: "x", TE: "x" } }),
            drain
          )
        },
        { ...http2, keepRawHeaders: true }
      )
      const client = yield* session(port)
      const wire = yield* opened(client, { ":path": "/room?a=1", ":authority": "example.org:80", cookie: "x=1" })
      assert.deepStrictEqual(wire.headers["set-cookie"], ["a=1", "b=2"])
      const [{ peer, remoteAddress, request: asked } = assert.fail("none came")] = seen
      assert.deepStrictEqual(
        [asked.method, asked.protocol, asked.httpVersion, asked.path, asked.query.get("a")],
        ["CONNECT", "websocket", "2.0", "/room", "1"]
      )
      assert.deepStrictEqual(
        [asked.headers["host"], asked.headers["cookie"], asked.headers[":path"]],
        ["example.org:80", "x=1", undefined]
      )
      assert.include(asked.rawHeaders!, ":authority")
      assert.deepStrictEqual([remoteAddress, peer?.remotePort], ["127.0.0.1", client.socket.localPort])
    })
  )

  it.live("the port speaks HTTP/1.1 as well, and says so until it is known what comes", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, http2)
      const plain = yield* upgraded(port)
      plain.send(text("hello"))
      assert.deepStrictEqual(shown(yield* plain.next), hello)
      // what begins like HTTP/2 and is not
      const wire = yield* connect(port)
      wire.write("P")
      yield* Effect.sleep("20 millis")
      wire.write("OST / HTTP/1.1\r\nHost: a\r\n\r\n")
      assert.strictEqual((yield* wire.response).status, 405)
      const other = yield* connect(port)
      other.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r!")
      assert.strictEqual((yield* other.response).status, 400)
      const gone = yield* connect(port)
      gone.write("PRI * HTTP")
      yield* Effect.sleep("20 millis")
      gone.end()
      assert.strictEqual(yield* gone.ended, "FIN")
    })
  )

  it.live("the preface may come in pieces", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, http2)
      const wire = yield* connect(port)
      const bytes = Buffer.concat([
        Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"),
        // SETTINGS without any, and PING (RFC 9113 sections 6.5 and 6.7)
        Buffer.from("000000040000000000", "hex"),
        Buffer.from("0000080600000000000102030405060708", "hex")
      ])
      for (const byte of bytes) {
        wire.write(Uint8Array.of(byte))
        yield* Effect.sleep("1 millis")
      }
      const came: Array<Buffer> = []
      wire.socket.on("data", (chunk: Buffer) => came.push(chunk))
      yield* eventually(
        "the answer to the PING came",
        Effect.sync(() => Buffer.concat(came).includes(Buffer.from("0000080601000000000102030405060708", "hex")))
      )
    })
  )

  it.live("without the option, HTTP/2 is not spoken", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { http2: false })
      const wire = yield* connect(port)
      wire.write("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
      assert.strictEqual((yield* wire.response).status, 400)
    })
  )
})

describe("what is no opening handshake over HTTP/2", () => {
  const many = Object.fromEntries(Array.from({ length: 101 }, (_, index) => [`x-${index}`, "1"]))
  const refusals: Record<string, readonly [Headers, status: number, reason: RegExp, headers?: Headers]> = {
    "another protocol": [{ ":protocol": "connect-udp" }, 501, /:protocol must be "websocket"; "connect-udp" came/],
    "a tunnel": [
      { ":protocol": undefined, ":scheme": undefined, ":path": undefined, ":authority": "a:1" },
      501,
      /none came/
    ],
    "another version": [
      { "sec-websocket-version": "8" },
      400,
      /must be 13; "8" came/,
      { "sec-websocket-version": "13" }
    ],
    "no version": [{ "sec-websocket-version": undefined }, 400, /must be 13; none came/],
    "a page of another origin": [{ origin: "https://elsewhere.example" }, 403, /refused/],
    "a broken subprotocol": [{ "sec-websocket-protocol": "a, a" }, 400, /unique tokens/],
    "a broken extension": [{ "sec-websocket-extensions": ";" }, 400, /Sec-WebSocket-Extensions/],
    "two hosts": [{ host: "other.example", ":authority": "a.example" }, 400, /name different hosts/],
    "a body": [{ "content-length": "5" }, 400, /no body/],
    "too many headers": [many, 431, /more than 100/],
    "a page": [
      { ":method": "GET", ":protocol": undefined },
      405,
      /opens over HTTP\/2 with CONNECT/,
      { allow: "CONNECT" }
    ],
    "an expectation": [{ ":method": "POST", ":protocol": undefined, expect: "x" }, 417, /expectation/]
  }
  for (const [name, [headers, status, reason, more = {}]] of Object.entries(refusals)) {
    it.live(`${name}: ${status}`, () =>
      Effect.gen(function* () {
        const { port, server } = yield* serving(echo, { http2: true })
        const client = yield* session(port)
        const count = yield* counting(
          Telemetry.refusals,
          String(status),
          Effect.gen(function* () {
            const stream = request(client, opening(headers))
            const came = yield* answer(stream)
            assert.deepStrictEqual([came.status, reason.test(came.body)], [status, true], came.body)
            for (const name in more) assert.strictEqual(came.headers[name], more[name])
            for (const name of ["connection", "upgrade"]) assert.notProperty(came.headers, name)
            assert.strictEqual(yield* closed(stream), 0)
          })
        )
        assert.strictEqual(count, 1)
        assert.strictEqual(yield* server.connections, 0)
        // the connection goes on
        yield* opened(client)
      })
    )
  }

  it.live("HEAD has no body, and what is beyond all limits is reset", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { ...http2, maxHeaderSize: 1000 })
      const client = yield* session(port)
      const head = yield* answer(request(client, { ":method": "HEAD" }))
      assert.deepStrictEqual([head.status, head.body], [405, ""])
      const nowhere = request(client, opening({ ":authority": "a b" }))
      assert.strictEqual(yield* closed(nowhere), Http2.constants.NGHTTP2_PROTOCOL_ERROR)
      const large = request(client, opening({ "x-large": "x".repeat(2000) }))
      assert.strictEqual(yield* closed(large), Http2.constants.NGHTTP2_ENHANCE_YOUR_CALM)
    })
  )

  it.live("who is refused and goes on is told that there is no need to, after a while", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, http2)
      const stream = request(yield* session(port), opening({ "sec-websocket-version": "8" }))
      assert.strictEqual(yield* closed(stream), Http2.constants.NGHTTP2_NO_ERROR)
      assert.isFalse(stream.writableEnded && stream.aborted === false)
    })
  )

  it.live("a handler's refusal has its headers, but for those of a connection", () =>
    Effect.gen(function* () {
      const { port } = yield* deciding(
        () =>
          Effect.fail(
            new Refusal({ status: 401, reason: "who?", headers: { "WWW-Authenticate": "Basic", Connection: "close" } })
          ),
        http2
      )
      const client = yield* session(port)
      const came = yield* answer(request(client, opening()))
      assert.deepStrictEqual([came.status, came.body, came.headers["www-authenticate"]], [401, "who?\n", "Basic"])
      assert.notProperty(came.headers, "connection")
    })
  )
})

describe("the end of a WebSocket over HTTP/2", () => {
  it.live("a client's reset is no end in order, and ends nothing else", () =>
    Effect.gen(function* () {
      const exits: Array<Exit.Exit<unknown, unknown>> = []
      const { port } = yield* serving(
        (webSocket) => Effect.onExit(echo(webSocket), (exit) => Effect.sync(() => exits.push(exit))),
        http2
      )
      const client = yield* session(port)
      const [one, two] = [yield* opened(client), yield* opened(client)]
      one.reset()
      yield* eventually(
        "it is noticed",
        Effect.sync(() => exits.length === 1)
      )
      assert.isTrue(Exit.isFailure(exits[0]!), "1006")
      two.send(text("hello"))
      assert.deepStrictEqual(shown(yield* two.next), hello)
      two.end()
      yield* eventually(
        "END_STREAM without a Close is noticed",
        Effect.sync(() => exits.length === 2)
      )
    })
  )

  it.live("the loss of the connection is the end of all that share it", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo, http2)
      const client = yield* session(port)
      yield* Effect.all(Array.from({ length: 10 }, () => opened(client)))
      assert.strictEqual(yield* server.connections, 10)
      client.destroy()
      yield* eventually("none is open", noneOpen(server))
    })
  )

  it.live("a violation is answered with Close, and the stream ended", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, http2)
      const wire = yield* opened(yield* session(port))
      wire.write(new Uint8Array([0xff, 0xff]))
      assert.deepStrictEqual(shown(yield* wire.next).slice(0, 2), [Opcode.close, 1002])
      assert.strictEqual(yield* wire.ended, "FIN")
    })
  )

  it.live("a client that never ends its stream is reset after the close timeout", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving((webSocket) => webSocket.close(), {
        ...http2,
        closeTimeout: "200 millis"
      })
      const client = yield* session(port)
      const wire = yield* opened(client)
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
      yield* closed(wire.stream)
      yield* eventually("none is open", noneOpen(server))
      assert.isFalse(client.destroyed)
    })
  )

  it.live("all that was sent before the end is delivered, through windows smaller than it", () =>
    Effect.gen(function* () {
      const size = 3_000_000
      const { port } = yield* serving(
        (webSocket) => Effect.andThen(webSocket.send(new Uint8Array(size).fill(7)), webSocket.close()),
        http2
      )
      const wire = yield* opened(yield* session(port, { settings: { initialWindowSize: 5000 } }))
      const frame = yield* wire.next
      assert.isTrue(frame.payload.length === size && frame.payload.every((byte) => byte === 7))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
    })
  )

  const leaving: Record<string, (webSocket: WebSocket) => Effect.Effect<unknown, unknown>> = {
    "at once": () => Effect.void,
    "after a while": () => Effect.sleep("150 millis"),
    "by closing": (webSocket) => Effect.andThen(Effect.sleep("150 millis"), webSocket.close()),
    "in a failure": () => Effect.andThen(Effect.sleep("150 millis"), Effect.fail("as asked")),
    "in an interruption": () => Effect.andThen(Effect.sleep("150 millis"), Effect.interrupt),
    "behind the first message": (webSocket) => Stream.runDrain(Stream.take(webSocket.messages, 1))
  }
  for (const [how, leave] of Object.entries(leaving)) {
    for (const end of ["END_STREAM", "Close", "reset", "nothing"] as const) {
      it.live(`a handler that leaves ${how} and reads nothing holds no stream of a client that sent ${end}`, () =>
        collectingLogs(() =>
          Effect.gen(function* () {
            const options = { ...http2, http2: { idleTimeout: "50 millis" }, closeTimeout: "300 millis" } as const
            const { port, server } = yield* serving(leave, options)
            const client = yield* session(port)
            const wire = yield* opened(client)
            wire.stream.resume()
            for (let i = 0; i < 20; i++) wire.send({ opcode: Opcode.binary, payload: new Uint8Array(8000) })
            if (end === "Close") wire.send(close(1000))
            if (end === "END_STREAM" || end === "Close") wire.end()
            if (end === "reset") setTimeout(() => wire.reset(), 50)
            yield* eventually("none is open", noneOpen(server))
            // a stream that is kept would keep the connection
            yield* eventually(
              "the connection ends, since it has no stream",
              Effect.sync(() => client.destroyed)
            )
          })
        )
      )
    }
  }

  it.live("a stream whose sides are both closed is released with what was not read of it", () =>
    Effect.gen(function* () {
      const streams: Array<Http2.ServerHttp2Stream> = []
      const server = Http2.createServer()
      server.on("session", (session) =>
        session.on("stream", (stream) => {
          stream.respond({ ":status": 200 })
          streams.push(stream)
        })
      )
      yield* Effect.acquireRelease(
        Effect.promise(() => once(server.listen(0, "127.0.0.1"), "listening")),
        () => Effect.sync(() => server.close())
      )
      // net.Server gives an AddressInfo for a port
      const client = yield* session((server.address() as AddressInfo).port)
      const asked = request(client, { ":method": "POST" })
      asked.resume().end(new Uint8Array(32_000))
      yield* eventually(
        "it has come",
        Effect.sync(() => streams.length === 1)
      )
      const [stream = assert.fail()] = streams
      const transport = Transport.openOf(NodeSocket.fromDuplex(stream)) ?? assert.fail()
      yield* transport.ends.end
      yield* eventually(
        "it is closed",
        Effect.sync(() => stream.closed)
      )
      yield* transport.ends.destroy(1000)
      assert.isTrue(stream.destroyed)
    })
  )

  it.live("a request whose client is gone before the answer ends its handler", () =>
    Effect.gen(function* () {
      const exits: Array<Exit.Exit<unknown, unknown>> = []
      const { port, server } = yield* deciding(
        () => Effect.onExit(Effect.never, (exit) => Effect.sync(() => exits.push(exit))),
        http2
      )
      const client = yield* session(port)
      const stream = request(client, opening())
      yield* eventually(
        "it has come",
        Effect.map(server.connections, (count) => count === 1)
      )
      stream.close(Http2.constants.NGHTTP2_CANCEL)
      yield* eventually(
        "it is interrupted",
        Effect.sync(() => exits.length === 1)
      )
      assert.isTrue(Exit.isFailure(exits[0]!) && Cause.hasInterruptsOnly(exits[0].cause))
    })
  )
})

describe("connections of HTTP/2", () => {
  it.live("those without a request go after idleTimeout, others stay", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { ...http2, http2: { idleTimeout: "300 millis" } })
      const client = yield* session(port)
      const wire = yield* opened(client)
      yield* Effect.sleep("1 second")
      wire.send(text("hello"))
      assert.deepStrictEqual(shown(yield* wire.next), hello)
      assert.isFalse(client.closed)
      wire.reset()
      yield* Effect.promise(() => once(client, "close"))
    })
  )

  it.live("the first request has to come within handshakeTimeout", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { ...http2, handshakeTimeout: "200 millis" })
      const client = yield* session(port)
      yield* Effect.promise(() => once(client, "close"))
      assert.isTrue(client.destroyed)
    })
  )

  it.live("those that were told to go, and do not, are cut off", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { ...http2, handshakeTimeout: "200 millis" })
      const wire = yield* connect(port)
      wire.write(
        Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), Buffer.from("000000040000000000", "hex")])
      )
      // it never ends its side, until it learns that nobody is there
      assert.strictEqual(yield* wire.ended, "FIN")
      let isClosed = false
      wire.socket.once("close", () => (isClosed = true))
      yield* eventually(
        "it is reset",
        Effect.sync(() => {
          if (!isClosed) wire.write(Uint8Array.of(0))
          return isClosed
        })
      )
    })
  )

  it.live("they wait among those without a request: maxPending", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { ...http2, maxPending: 2 })
      const [one] = [yield* session(port), yield* session(port)]
      const third = yield* connect(port)
      yield* third.ended
      yield* opened(one)
      yield* session(port)
    })
  )

  it.live("more than maxStreams at a time are refused", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo, { ...http2, http2: { maxStreams: 2 } })
      const client = yield* session(port)
      assert.strictEqual(client.remoteSettings.maxConcurrentStreams, 2)
      yield* opened(client)
      const two = yield* opened(client)
      two.reset()
      yield* eventually(
        "it is gone",
        Effect.map(server.connections, (count) => count === 1)
      )
      yield* opened(client)
    })
  )

  it.live("limits by address count each WebSocket", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo, { ...http2, maxConnectionsPerAddress: 3 })
      const client = yield* session(port)
      const wires = yield* Effect.all([opened(client), opened(client), opened(client)])
      assert.strictEqual((yield* answer(request(client, opening()))).status, 429)
      wires[0].reset()
      yield* eventually(
        "it is gone",
        Effect.map(server.connections, (count) => count === 2)
      )
      yield* opened(client)
      assert.strictEqual((yield* answer(request(client, opening()))).status, 429)
      const plain = yield* connect(port)
      plain.write(upgradeRequest())
      assert.strictEqual((yield* plain.response).status, 429)
      client.destroy()
      yield* eventually("none is open", noneOpen(server))
      yield* upgraded(port)
    })
  )

  it.live("a listener that stops takes no more requests, and lets those that are open go on", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo, http2)
      const [client, unused] = [yield* session(port), yield* session(port)]
      const wire = yield* opened(client)
      yield* server.stop
      yield* Effect.promise(async () => {
        if (!unused.destroyed) await once(unused, "close")
      })
      yield* eventually(
        "it was told so",
        Effect.sync(() => client.closed)
      )
      wire.send(text("hello"))
      assert.deepStrictEqual(shown(yield* wire.next), hello)
      wire.send(close(1000))
      yield* wire.ended
      wire.end()
      yield* Effect.promise(async () => {
        if (!client.destroyed) await once(client, "close")
      })
    })
  )

  it.live("while nothing runs, requests get 503; a server that ends closes what is open with 1001", () =>
    Effect.gen(function* () {
      const { port } = yield* listening(http2)
      const client = yield* session(port)
      assert.strictEqual((yield* answer(request(client, opening()))).status, 503)
      const other = yield* serving(drain, http2)
      const second = yield* session(other.port)
      const wire = yield* opened(second)
      yield* Effect.forkScoped(other.stop)
      assert.deepStrictEqual(shown(yield* wire.next).slice(0, 2), [Opcode.close, 1001])
    })
  )

  it.live("pings, messages and streams of messages work as over HTTP/1.1", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(
        (webSocket) =>
          Effect.andThen(
            webSocket.sendFragments(Stream.make("a", "b", "c")),
            Stream.runForEach(webSocket.messages, (message) => webSocket.send(message))
          ),
        { ...http2, pingInterval: "100 millis" }
      )
      const wire = yield* opened(yield* session(port))
      const seen = new Set<number>()
      while (!seen.has(Opcode.ping)) seen.add((yield* wire.next).opcode)
      assert.isTrue(seen.has(Opcode.continuation))
    })
  )
})
