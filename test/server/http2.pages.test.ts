/**
 * HTTP/2 beside what else a port does: pages, TLS, proxies in front of it, policies, and what is left when all is over.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Redacted, Result, Stream } from "effect"
import { HttpRouter, HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { once } from "node:events"
import * as Http2 from "node:http2"
import * as Net from "node:net"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import * as NodeHttpAccess from "../../src/node/NodeHttpAccess.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import * as AccessList from "../../src/server/AccessList.ts"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"
import * as Identity from "../../src/server/Identity.ts"
import { Refusal } from "../../src/server/OpenRequest.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import * as WebSocketServers from "../../src/server/WebSocketServer.ts"
import { close, shown, text } from "../connection/connected.ts"
import { echoing, withTls } from "../tls/listening.ts"
import { answer, closed, type Headers, opened, opening, request, session } from "./http2-client.ts"
import { countingFibers, leavesNothing, obey } from "./resources.ts"
import { collectingLogs, deciding, drain, echo, eventually, noneOpen, portOf } from "./serving.ts"
import { connect, upgraded } from "./wire.ts"

const insecure = { rejectUnauthorized: false }

const pages = HttpRouter.addAll([
  HttpRouter.route(
    "GET",
    "/who",
    HttpServerRequest.HttpServerRequest.use(({ headers, remoteAddress }) =>
      Effect.succeed(HttpServerResponse.jsonUnsafe({ host: headers["host"], from: remoteAddress.valueOf() }))
    )
  ),
  HttpRouter.route(
    "POST",
    "/echo",
    HttpServerRequest.HttpServerRequest.use((request) =>
      Effect.map(Effect.orDie(request.text), (body) => HttpServerResponse.text(body))
    )
  ),
  HttpRouter.route("POST", "/deaf", Effect.succeed(HttpServerResponse.text("heard enough")))
])

const both = Effect.fnUntraced(function* (options: NodeWebSocketServer.Options = {}) {
  const App = Layer.mergeAll(
    WebSocketServers.layerHandler(echo),
    HttpRouter.serve(pages, { disableLogger: true, disableListenLog: true })
  )
  const server = NodeWebSocketServer.layerHttp({ port: 0, http2: true, origin: "any", ...options })
  return portOf(Context.get(yield* Layer.build(Layer.provideMerge(App, server)), WebSocketServer))
})

const get = (path: string, headers: Headers = {}): Headers => ({ ":method": "GET", ":path": path, ...headers })

describe("pages over HTTP/2", () => {
  it.live("an application answers on the connection that WebSockets share", () =>
    Effect.gen(function* () {
      const port = yield* both()
      const client = yield* session(port)
      const wire = yield* opened(client)
      const who = yield* answer(request(client, get("/who", { ":authority": "example.org" })))
      assert.deepStrictEqual([who.status, JSON.parse(who.body).host], [200, "example.org"])
      const posted = request(client, { ":method": "POST", ":path": "/echo", expect: "100-continue" })
      yield* Effect.promise(() => once(posted, "continue"))
      posted.end("abc")
      assert.strictEqual((yield* answer(posted)).body, "abc")
      assert.strictEqual((yield* answer(request(client, get("/nowhere")))).status, 404)
      wire.send(text("hello"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "hello"])
    })
  )

  it.live("a client that goes on with what nobody reads is told that there is no need to", () =>
    Effect.gen(function* () {
      const port = yield* both()
      const client = yield* session(port)
      const stream = request(client, { ":method": "POST", ":path": "/deaf" })
      stream.write("a")
      let body = ""
      stream.on("data", (chunk) => (body += String(chunk)))
      assert.strictEqual(yield* closed(stream), Http2.constants.NGHTTP2_NO_ERROR)
      assert.strictEqual(body, "heard enough")
    })
  )

  const basic = AccessPolicy.basic({
    verify: (_, password) =>
      Redacted.value(password) === "right"
        ? Effect.succeed({})
        : Effect.fail({ kind: "credentialsWrong", reason: "wrong password" } as const)
  })
  const credentials = (password: string) => ({
    authorization: `Basic ${Buffer.from(`ann:${password}`).toString("base64")}`
  })

  it.live("one policy decides about pages and WebSockets", () =>
    Effect.gen(function* () {
      const page = Effect.map(Identity.Current, ({ subject }) => HttpServerResponse.text(`hello ${subject}`))
      const options = { port: 0, http2: true, origin: "any", access: basic } as const
      const context = yield* Layer.build(
        HttpServer.serve(page).pipe(
          Layer.provide(NodeHttpAccess.layer(options)),
          Layer.provideMerge(NodeWebSocketServer.layerHttp(options))
        )
      )
      const server = Context.get(context, WebSocketServer)
      yield* Effect.forkScoped(server.run(drain))
      yield* Effect.yieldNow
      const client = yield* session(portOf(server))
      const asks = (headers: Headers) => answer(request(client, headers))
      for (const given of [{}, credentials("wrong")]) {
        const [page, socket] = [yield* asks(get("/", given)), yield* asks(opening(given))]
        assert.deepStrictEqual([page.status, socket.status], [401, 401])
        assert.include(page.headers["www-authenticate"]!, "Basic")
      }
      assert.strictEqual((yield* asks(get("/", credentials("right")))).body, "hello ann")
      yield* opened(client, credentials("right"))
    })
  )

  it.live("behind a trusted proxy each request has its own client", () =>
    Effect.gen(function* () {
      const trusted = Result.getOrThrow(AccessList.parse("127.0.0.1"))
      const blocked = Result.getOrThrow(AccessList.parse("192.0.2.9"))
      const port = yield* both({ forwarded: { trusted, header: "x-forwarded-for" }, clients: { blocked } })
      const client = yield* session(port)
      const from = (address: string) => ({ "x-forwarded-for": address })
      assert.include((yield* answer(request(client, get("/who", from("192.0.2.1"))))).body, "192.0.2.1")
      assert.strictEqual((yield* answer(request(client, get("/who", from("192.0.2.9"))))).status, 403)
      yield* opened(client, from("192.0.2.1"))
      assert.strictEqual((yield* answer(request(client, opening(from("192.0.2.9"))))).status, 403)
    })
  )

  it.live("behind a load balancer all have the client that it named", () =>
    Effect.gen(function* () {
      const trusted = Result.getOrThrow(AccessList.parse("127.0.0.1"))
      const port = yield* both({ proxyProtocol: { trusted } })
      const socket = Net.connect({ port, host: "127.0.0.1" })
      yield* Effect.promise(() => once(socket, "connect"))
      yield* Effect.promise(
        () => new Promise((resolve) => socket.write("PROXY TCP4 192.0.2.1 192.0.2.2 1000 80\r\n", resolve))
      )
      const client = yield* session(port, { createConnection: () => socket })
      assert.include((yield* answer(request(client, get("/who")))).body, "192.0.2.1")
      yield* opened(client)
    })
  )
})

describe("HTTP/2 over TLS", () => {
  it.live("is agreed on by ALPN, beside HTTP/1.1, and handlers see the session", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const { port } = yield* deciding(
        (open) => {
          seen.push(open.peer?.tls?.alpnProtocol)
          return Effect.flatMap(open.accept, echo)
        },
        { tls: yield* withTls(), http2: true, origin: "any" }
      )
      const client = yield* session(`https://127.0.0.1:${port}`, { ...insecure, servername: "localhost" })
      assert.strictEqual(client.alpnProtocol, "h2")
      const wires = yield* Effect.all([opened(client), opened(client)])
      for (const wire of wires) {
        const payload = new Uint8Array(500_000).fill(5)
        wire.send({ opcode: Opcode.binary, payload })
        assert.deepStrictEqual(Buffer.from((yield* wire.next).payload), Buffer.from(payload))
        wire.send(close(1000))
        yield* wire.ended
      }
      assert.deepStrictEqual(seen, ["h2", "h2"])
    })
  )

  it.live("is not offered unless it is asked for, and h2 alone is no way to ask", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      const error = yield* Effect.promise(async () => {
        const client = Http2.connect(`https://127.0.0.1:${port}`, insecure)
        const [error] = (await once(client, "error")) as [Error & { code?: string }]
        return error
      })
      assert.match(String(error.message), /no application protocol|closed|hang up/i)
      const wrong = yield* Effect.flip(echoing({ settings: { alpnProtocols: ["h2"] } }))
      assert.match(wrong.message, /http2/)
    })
  )
})

describe("after 200 streams of HTTP/2 that ended in every way", () => {
  type Wire = Effect.Success<ReturnType<typeof opened>>
  const open = (then: (wire: Wire) => Effect.Effect<unknown> | void) => (port: number) =>
    Effect.gen(function* () {
      const wire = yield* opened(yield* session(port), { "sec-websocket-extensions": "permessage-deflate" })
      yield* then(wire) ?? Effect.void
    })
  const obeying = (webSocket: WebSocket) => Stream.runForEach(webSocket.messages, (message) => obey(webSocket, message))
  const asking = (headers: Headers) =>
    Effect.fnUntraced(function* (port: number) {
      yield* answer(request(yield* session(port), headers))
    })
  const endings = {
    "a closing handshake by the client": open((wire) => {
      wire.send(close(1000))
      return Effect.andThen(wire.next, wire.ended)
    }),
    "a closing handshake by the server": open((wire) => {
      wire.send(text("bye"))
      return Effect.andThen(
        wire.next,
        Effect.sync(() => wire.send(close(1000)))
      )
    }),
    "no answer to the server's Close": open((wire) => {
      wire.send(text("bye"))
      return wire.ended
    }),
    "END_STREAM without a Close": open((wire) => {
      wire.end()
      return wire.ended
    }),
    "a reset": open((wire) => {
      wire.reset()
      return closed(wire.stream)
    }),
    "a destroyed connection": open(() => {}),
    "a violation": open((wire) => {
      wire.write(new Uint8Array([0xff, 0xff]))
      return wire.ended
    }),
    "a reset in the middle of a message": open((wire) => {
      wire.send({ opcode: 2, fin: false, payload: new Uint8Array(100_000) })
      return Effect.andThen(
        Effect.sleep("5 millis"),
        Effect.sync(() => wire.reset())
      )
    }),
    "a failure of the handler": open((wire) => {
      wire.send(text("fail"))
      return wire.ended
    }),
    "a refusal": asking(opening({ ":path": "/refused" })),
    "a refusal for its head": asking(opening({ "sec-websocket-version": "1" })),
    "no decision": asking(opening({ ":path": "/undecided" })),
    "a page": asking({ ":method": "GET" }),
    "no request at all": (port: number) => session(port),
    "half a preface": (port: number) => Effect.map(connect(port), (wire) => wire.write("PRI * HTTP/2")),
    "a reset during the decision": (port: number) =>
      Effect.gen(function* () {
        const stream = request(yield* session(port), opening({ ":path": "/slow" }))
        yield* Effect.sleep("5 millis")
        stream.close(Http2.constants.NGHTTP2_CANCEL)
        yield* closed(stream)
      }),
    "HTTP/1.1": (port: number) => Effect.asVoid(upgraded(port))
  }

  it.live(
    "no socket, timer or fiber is left, and no connection counted",
    () =>
      countingFibers((fibers) =>
        collectingLogs(() =>
          Effect.gen(function* () {
            const { port, server } = yield* deciding(
              (request) =>
                Effect.gen(function* () {
                  const { path } = request.request
                  if (path === "/refused") return yield* new Refusal({ status: 403, reason: "no" })
                  if (path === "/undecided") return
                  if (path === "/slow") yield* Effect.sleep("30 millis")
                  yield* obeying(yield* request.accept)
                }),
              { http2: true, origin: "any", compression: {}, closeTimeout: "100 millis", handshakeTimeout: "1 second" }
            )
            const visits = Object.values(endings).map((ending) => Effect.scoped(ending(port)))
            const settle = eventually("all connections are closed", noneOpen(server))
            yield* leavesNothing(fibers, visits, settle, "400 millis")
          })
        )
      ),
    30_000
  )
})
