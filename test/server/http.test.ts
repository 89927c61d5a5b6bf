import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { HttpRouter, HttpServerRequest, HttpServerResponse } from "effect/http"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import * as WebSocketServers from "../../src/server/WebSocketServer.ts"
import { close, shown, text } from "../connection/connected.ts"
import { counting } from "../connection/metrics.ts"
import { ask, connect, upgraded, upgradeRequest } from "./wire.ts"
import { drain, echo, portOf, serving } from "./serving.ts"

const request = (method: string, path: string, more = "") =>
  `${method} ${path} HTTP/1.1\r\nHost: localhost\r\n${more}\r\n`
const h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"

describe("HTTP requests to a server that speaks WebSocket alone", () => {
  it.live("are told so: 426 with a body for people, and Upgrade for programs", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain)
      const count = yield* counting(
        Telemetry.refusals,
        "426",
        Effect.gen(function* () {
          const response = yield* ask(port, request("GET", "/some/page"))
          assert.strictEqual(response.status, 426)
          assert.include(response.body, "WebSocket")
          assert.strictEqual(response.headers["upgrade"], "websocket")
          assert.match(response.headers["content-type"]!, /^text\/plain/)
        })
      )
      assert.strictEqual(count, 1)
    })
  )

  it.live("a fetch of a browser or curl gets it as a response like any other", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain)
      const response = yield* Effect.promise(() => fetch(`http://127.0.0.1:${port}/`))
      assert.strictEqual(response.status, 426)
      assert.include(yield* Effect.promise(() => response.text()), "WebSocket")
    })
  )

  it.live("HEAD has no body, another method is 405, another protocol to upgrade to is 426", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain)
      const wire = yield* connect(port)
      wire.write(request("HEAD", "/"))
      assert.strictEqual(yield* wire.ended, "FIN")
      assert.strictEqual((yield* ask(port, request("POST", "/", "Content-Length: 5\r\n") + "hello")).status, 405)
      assert.strictEqual((yield* ask(port, upgradeRequest().replace("GET", "POST"))).status, 405)
      const other = yield* ask(port, request("GET", "/", h2c))
      assert.strictEqual(other.status, 426)
      assert.strictEqual(other.headers["upgrade"], "websocket")
    })
  )

  const wrong: ReadonlyArray<readonly [string, Readonly<Record<string, string | undefined>>, number]> = [
    ["no key", { "Sec-WebSocket-Key": undefined }, 400],
    ["a key of 15 bytes", { "Sec-WebSocket-Key": "AAAAAAAAAAAAAAAAAAAA" }, 400],
    ["no version", { "Sec-WebSocket-Version": undefined }, 426],
    ["version 8", { "Sec-WebSocket-Version": "8" }, 426],
    ["a Connection header that does not name Upgrade", { Connection: "close" }, 400],
    ["a subprotocol that is no token", { "Sec-WebSocket-Protocol": "a b" }, 400],
    ["extensions that are none", { "Sec-WebSocket-Extensions": "permessage-deflate; =" }, 400]
  ]
  for (const [what, headers, status] of wrong) {
    it.live(`a handshake with ${what} is answered with ${status} and a reason`, () =>
      Effect.gen(function* () {
        const { port } = yield* serving(drain)
        const response = yield* ask(port, upgradeRequest(headers))
        assert.strictEqual(response.status, status)
        assert.isAbove(response.body.length, 10)
        if (status === 426) assert.strictEqual(response.headers["sec-websocket-version"], "13")
      })
    )
  }

  it.live("a handshake that carries a body is not taken for frames", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      const wire = yield* connect(port)
      wire.write(upgradeRequest({ "Content-Length": "5" }) + "hello")
      const response = yield* wire.response
      if (response.status === 101) {
        wire.send(text("after the body"))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "after the body"])
      } else assert.strictEqual(response.status, 400)
    })
  )
})

const Routes = Layer.mergeAll(
  HttpRouter.add("GET", "/health", Effect.succeed(HttpServerResponse.text("ok\n"))),
  HttpRouter.add("GET", "/slow", Effect.delay(Effect.succeed(HttpServerResponse.text("at last\n")), "100 millis")),
  HttpRouter.add("GET", "/fails", Effect.die("boom")),
  HttpRouter.add(
    "POST",
    "/echo",
    Effect.flatMap(HttpServerRequest.HttpServerRequest, (request) =>
      Effect.map(Effect.orDie(request.text), (body) => HttpServerResponse.text(body))
    )
  )
)

/** An HTTP application and an echo on one port. */
const both = Effect.gen(function* () {
  const Server = NodeWebSocketServer.layerHttp({ port: 0, maxHeaders: 20 })
  const App = Layer.mergeAll(
    WebSocketServers.layerHandler(echo),
    HttpRouter.serve(Routes, { disableLogger: true, disableListenLog: true })
  )
  const context = yield* Layer.build(Layer.provideMerge(App, Server))
  return portOf(Context.get(context, WebSocketServer))
})

describe("an HTTP application beside a handler on one port", () => {
  it.live("answers what is no upgrade to WebSocket, and the handler what is", () =>
    Effect.gen(function* () {
      const port = yield* both
      assert.strictEqual((yield* ask(port, request("GET", "/health"))).body, "ok\n")
      const posted = yield* Effect.promise(() =>
        fetch(`http://127.0.0.1:${port}/echo`, { method: "POST", body: "abc" })
      )
      assert.strictEqual(yield* Effect.promise(() => posted.text()), "abc")
      assert.strictEqual((yield* ask(port, request("GET", "/nowhere"))).status, 404)
      const wire = yield* upgraded(port)
      wire.send(text("hi"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "hi"])
      assert.strictEqual((yield* ask(port, request("GET", "/fails"))).status, 500)
      wire.send(text("still"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still"])
    })
  )

  it.live("answers a request to upgrade to h2c as the HTTP/1.1 request that it also is, and reads its body", () =>
    Effect.gen(function* () {
      const port = yield* both
      const response = yield* ask(port, request("GET", "/health", h2c))
      assert.deepStrictEqual([response.status, response.body], [200, "ok\n"])
      const wire = yield* connect(port)
      wire.write(request("POST", "/echo", `${h2c}Content-Length: 10\r\n`) + "hello")
      yield* Effect.sleep(50)
      wire.write("world")
      assert.strictEqual((yield* wire.response).body, "helloworld")
    })
  )

  it.live("answers several on one connection, the last of which may upgrade", () =>
    Effect.gen(function* () {
      const port = yield* both
      const wire = yield* connect(port)
      wire.write(request("GET", "/health"))
      assert.strictEqual((yield* wire.response).body, "ok\n")
      wire.write(request("GET", "/health"))
      assert.strictEqual((yield* wire.response).body, "ok\n")
      wire.write(upgradeRequest())
      assert.strictEqual((yield* wire.response).status, 101)
      wire.send(text("hi"), close(1000))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "hi"])
    })
  )

  it.live("an upgrade that was sent before the answer to the request in front of it never overtakes it", () =>
    Effect.gen(function* () {
      const port = yield* both
      const wire = yield* connect(port)
      wire.write(request("GET", "/slow") + upgradeRequest())
      const first = yield* wire.response
      // or the late answer would stand between the frames; to refuse such a request is as good as to let it wait
      assert.notStrictEqual(first.status, 101)
    })
  )

  it.live("has the limits of heads for both", () =>
    Effect.gen(function* () {
      const port = yield* both
      const lines = Array.from({ length: 20 }, (_, i) => `X-${i}: 1\r\n`).join("")
      assert.strictEqual((yield* ask(port, request("GET", "/health", lines))).status, 431)
    })
  )
})
