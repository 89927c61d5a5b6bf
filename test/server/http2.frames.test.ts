/**
 * What clients of HTTP/2 send that no client of Node does: frames made here, several in one segment.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Stream } from "effect"
import { HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { once } from "node:events"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { countingLimit } from "../connection/metrics.ts"
import { answer, closed, opening, request, session } from "./http2-client.ts"
import { collectingLogs, drain, echo, eventually, portOf, serving } from "./serving.ts"
import { connect } from "./wire.ts"

// RFC 9113 section 4.1
const frame = (type: number, flags: number, stream: number, payload: Uint8Array = new Uint8Array(0)): Uint8Array => {
  const head = Buffer.alloc(9)
  head.writeUIntBE(payload.length, 0, 3)
  head.writeUIntBE(type * 256 + flags, 3, 2)
  head.writeUInt32BE(stream, 5)
  return Buffer.concat([head, payload])
}

// RFC 7541 section 6.2.2, of which no string here is 127 bytes long
const packed = (text: string): Uint8Array => Buffer.concat([Buffer.of(text.length), Buffer.from(text)])
const fields = (headers: Readonly<Record<string, string>>): Uint8Array =>
  Buffer.concat(Object.entries(headers).flatMap(([name, value]) => [Buffer.of(0), packed(name), packed(value)]))

/** The first frames of a client, which does not take the server's settings. */
const begin = Buffer.concat([Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"), frame(4, 0, 0)])
const asked = { ":scheme": "http", ":path": "/", ":authority": "a.example" }
const page = { ":method": "GET", ...asked }
const webSocket = { ":method": "CONNECT", ":protocol": "websocket", ...asked, "sec-websocket-version": "13" }
const headers = (stream: number, of: Readonly<Record<string, string>>, isEnd: boolean): Uint8Array =>
  frame(1, isEnd ? 5 : 4, stream, fields(of))
const reset = (stream: number, code: number): Uint8Array => frame(3, 0, stream, Buffer.of(0, 0, 0, code))

/** A server with pages, whose URLs are kept. */
const withPages = Effect.fnUntraced(function* (options: NodeWebSocketServer.Options = {}) {
  const seen: Array<string> = []
  const app = HttpServerRequest.HttpServerRequest.use(({ stream, url }) =>
    Effect.gen(function* () {
      seen.push(url)
      if (url === "/part") {
        yield* Effect.orDie(Stream.runDrain(Stream.take(stream, 1)))
        yield* Effect.sleep("100 millis")
      }
      return HttpServerResponse.text("well")
    })
  )
  const server = NodeWebSocketServer.layerHttp({ port: 0, http2: true, origin: "any", ...options })
  const context = yield* Layer.build(Layer.provideMerge(HttpServer.serve(app), server))
  const service = Context.get(context, WebSocketServer)
  yield* Effect.forkScoped(service.run(drain))
  yield* Effect.yieldNow
  return { port: portOf(service), seen }
})

describe("a stream that is reset together with its head", () => {
  const requests = {
    "a page": page,
    "a WebSocket": webSocket,
    "what is refused": { ...webSocket, "sec-websocket-version": "1" }
  }
  for (const [name, asks] of Object.entries(requests)) {
    for (const isEnd of [true, false]) {
      it.live(`${name}, ${isEnd ? "ended" : "open"}: nobody is asked, and it is not counted`, () =>
        collectingLogs((logs) =>
          Effect.gen(function* () {
            const { port, seen } = yield* withPages({
              http2: { idleTimeout: "100 millis" },
              handshakeTimeout: "200 millis"
            })
            for (const code of [0, 8]) {
              const wire = yield* connect(port)
              let isClosed = false
              wire.socket.once("end", () => (isClosed = true)).resume()
              wire.write(Buffer.concat([begin, headers(1, asks, isEnd), reset(1, code)]))
              yield* eventually(
                "the connection goes, since it has no request",
                Effect.sync(() => isClosed)
              )
            }
            assert.deepStrictEqual(seen, [])
            assert.deepStrictEqual(
              logs.filter(({ level }) => level === "Error"),
              []
            )
          })
        )
      )
    }
  }
})

it.live("a request of which not all was read, and that is reset with NO_ERROR then, goes", () =>
  Effect.gen(function* () {
    const { port, seen } = yield* withPages({ http2: { idleTimeout: "100 millis" }, handshakeTimeout: "200 millis" })
    const wire = yield* connect(port)
    let isClosed = false
    wire.socket.once("end", () => (isClosed = true)).resume()
    const data = frame(0, 0, 1, new Uint8Array(16_000))
    const head = headers(1, { ...page, ":method": "POST", ":path": "/part" }, false)
    // with the settings acknowledged, it may send 256 KiB ahead
    wire.write(begin)
    yield* Effect.promise(() => once(wire.socket, "data"))
    wire.write(Buffer.concat([frame(4, 1, 0), head, ...Array.from({ length: 15 }, () => data)]))
    yield* eventually(
      "it is asked",
      Effect.sync(() => seen.length === 1)
    )
    wire.write(reset(1, 0))
    yield* Effect.sleep("2 seconds")
    assert.isFalse(isClosed)
    yield* eventually(
      "the connection goes, since it has no request",
      Effect.sync(() => isClosed)
    )
  })
)

describe("the head of a request over HTTP/2", () => {
  it.live("has a path and http or https, as policies go by: 400", () =>
    Effect.gen(function* () {
      const { port, seen } = yield* withPages()
      const client = yield* session(port)
      const ask = (asks: object) => Effect.map(answer(request(client, { ...asks })), ({ status }) => status)
      for (const path of ["http://a.example/admin", "admin", "*", "/"]) {
        for (const of of [{ ":method": "GET" }, opening()]) {
          assert.strictEqual(yield* ask({ ...of, ":scheme": "other", ":path": path }), 400, path)
        }
      }
      assert.deepStrictEqual(seen, [])
      assert.strictEqual(yield* ask({ ":method": "GET", ":scheme": "https", ":path": "/a" }), 200)
      assert.strictEqual(yield* ask({ ":method": "OPTIONS", ":scheme": "http", ":path": "*" }), 200)
    })
  )

  it.live("is no larger where the client has not taken the settings: 431", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { http2: true, origin: "any", maxHeaderSize: 2000 })
      const many = Object.fromEntries(Array.from({ length: 40 }, (_, index) => [`x-${index}`, "y".repeat(100)]))
      const hits = countingLimit(
        "maxHeaderSize",
        Effect.gen(function* () {
          const wire = yield* connect(port)
          const came: Array<Buffer> = []
          wire.socket.on("data", (chunk: Buffer) => came.push(chunk))
          wire.write(Buffer.concat([begin, headers(1, { ...webSocket, ...many }, true)]))
          yield* eventually(
            "it is refused",
            Effect.sync(() => Buffer.concat(came).includes("too large"))
          )
        })
      )
      assert.strictEqual(yield* hits, 1)
    })
  )
})

describe("the rate of handshakes by address", () => {
  it.live("counts those that come one behind another on a connection", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, {
        http2: true,
        origin: "any",
        maxHandshakeRatePerAddress: 0.01,
        maxHandshakeBurstPerAddress: 3
      })
      const client = yield* session(port)
      const statuses: Array<number | undefined> = []
      for (let i = 0; i < 5; i++) {
        const stream = request(client, opening())
        const [head] = yield* Effect.promise(() => once(stream, "response"))
        statuses.push(head[":status"])
        stream.close()
        yield* closed(stream)
        yield* Effect.sleep("20 millis")
      }
      assert.deepStrictEqual(statuses, [200, 200, 200, 429, 429])
    })
  )
})
