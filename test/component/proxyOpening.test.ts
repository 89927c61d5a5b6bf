/**
 * How a connection of the proxy begins: where it is forwarded to, who decides that, and what the client is answered.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import WS from "ws"
import { FirewallTypes } from "../../src/component/Enums.ts"
import type { ForwardOpenRequestEvent } from "../../src/component/Events.ts"
import * as Firewall from "../proxy/firewall.ts"
import * as Frames from "../proxy/frames.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import * as Forwarding from "./forwarding.ts"

const { binary } = Frames

describe("the forward host", { timeout: 30_000 }, () => {
  it.live("DefaultForwardHost, DefaultForwardPort: where connections are forwarded to, and read back", () =>
    Effect.gen(function* () {
      const other = yield* RawTarget.listen()
      const { client, listener, proxy, target } = yield* Forwarding.connected()
      yield* client.send(binary, "one")
      yield* target.untilReceived(3)
      assert.deepStrictEqual(
        [
          proxy.defaultForwardHost,
          proxy.getDefaultForwardHost(),
          proxy.defaultForwardPort,
          proxy.getDefaultForwardPort()
        ],
        ["127.0.0.1", "127.0.0.1", listener.port, listener.port]
      )
      // for the connections to come
      proxy.setDefaultForwardPort(other.port)
      proxy.setDefaultForwardHost("localhost")
      assert.deepStrictEqual([proxy.defaultForwardHost, proxy.defaultForwardPort], ["localhost", other.port])
      yield* client.send(binary, "two")
      yield* target.untilReceived(6)
      const later = yield* RawClient.open(proxy.localPort)
      yield* later.send(binary, "three")
      yield* (yield* other.accept).untilReceived(5)
      assert.strictEqual(target.text, "onetwo")
      assert.lengthOf(listener.connections, 1)
    })
  )

  it.live("DefaultForwardHost, DefaultForwardPort, 10022: take no other values, and are empty and 0 before", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      assert.deepStrictEqual([proxy.defaultForwardHost, proxy.defaultForwardPort], ["", 0])
      for (const port of [-1, 65536, 1.5, Number.NaN, "80", undefined]) {
        assert.strictEqual(
          Forwarding.thrown(() => (proxy.defaultForwardPort = port as number)),
          10022
        )
        assert.strictEqual(
          Forwarding.thrown(() => proxy.setDefaultForwardPort(port as number)),
          10022
        )
      }
      assert.strictEqual(
        Forwarding.thrown(() => (proxy.defaultForwardHost = 7 as never)),
        10022
      )
      assert.strictEqual(
        Forwarding.thrown(() => proxy.setDefaultForwardHost(null as never)),
        10022
      )
      assert.deepStrictEqual([proxy.defaultForwardHost, proxy.defaultForwardPort], ["", 0])
    })
  )

  it.live(
    "Connected, WebSocketOpenRequest: it is connected to before the client is answered, and after it was decided about",
    () =>
      Effect.gen(function* () {
        const firewall = yield* RawTarget.listen()
        const { proxy, told } = yield* Forwarding.listen({
          setUp: ({ firewall: it }) => {
            it.firewallType = FirewallTypes.fwSOCKS5
            it.host = "127.0.0.1"
          }
        })
        proxy.firewall.port = firewall.port
        proxy.defaultForwardHost = Firewall.target.host
        proxy.defaultForwardPort = Firewall.target.port
        const release = Promise.withResolvers<void>()
        proxy.on("WebSocketOpenRequest", () => release.promise)
        const client = yield* RawClient.request(proxy.localPort)
        yield* told.until("WebSocketOpenRequest 1")
        assert.lengthOf(firewall.connections, 0)
        release.resolve()
        const connection = yield* firewall.accept
        yield* connection.untilReceived(3)
        assert.isUndefined(client.status)
        assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1"])
        yield* Firewall.play(connection, Firewall.socks5.steps)
        yield* client.until("open")
        yield* told.until("Connected 1")
        assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1", "Connected 1"])
      })
  )

  it.live(
    "WebSocketOpenRequest.ForwardHost, WebSocketOpenRequest.ForwardPort: are the default's, and each connection's own",
    () =>
      Effect.gen(function* () {
        const other = yield* RawTarget.listen()
        const { listener, proxy } = yield* Forwarding.listen()
        const preset: Array<readonly [string, number]> = []
        proxy.on("WebSocketOpenRequest", (e) => {
          preset.push([e.forwardHost, e.forwardPort])
          if (e.requestURI !== "/other") return
          e.forwardHost = "localhost"
          e.forwardPort = other.port
        })
        for (const path of ["/", "/other", "/"]) {
          const client = yield* RawClient.open(proxy.localPort, { path })
          yield* client.send(binary, path)
          const target = yield* (path === "/other" ? other : listener).accept
          yield* target.untilReceived(path.length)
          assert.strictEqual(target.text, path)
        }
        const usual = ["127.0.0.1", listener.port] as const
        assert.deepStrictEqual(preset, [usual, usual, usual])
        assert.deepStrictEqual(
          Array.from(proxy.connections.values(), ({ forwardHost, forwardPort }) => [forwardHost, forwardPort]),
          [usual, ["localhost", other.port], usual]
        )
      })
  )

  it.live("WebSocketOpenRequest.ForwardPort: an async listener is waited for", () =>
    Effect.gen(function* () {
      const other = yield* RawTarget.listen()
      const { proxy } = yield* Forwarding.listen()
      proxy.on("WebSocketOpenRequest", async (e) => {
        await new Promise(setImmediate)
        e.forwardPort = other.port
      })
      yield* RawClient.open(proxy.localPort)
      yield* other.accept
    })
  )
})

describe("the request", { timeout: 30_000 }, () => {
  it.live(
    "WebSocketOpenRequest.ConnectionId, WebSocketOpenRequest.RequestURI, WebSocketOpenRequest.HostHeader, WebSocketOpenRequest.OriginHeader, WebSocketOpenRequest.SubProtocols, WebSocketOpenRequest.Extensions, WebSocketOpenRequest.RequestHeaders, WebSocketOpenRequest.StatusCode, WebSocketOpenRequest.ResponseHeaders: what it says",
    () =>
      Effect.gen(function* () {
        const { proxy } = yield* Forwarding.listen()
        const events: Array<ForwardOpenRequestEvent> = []
        proxy.on("WebSocketOpenRequest", (e) => void events.push(e))
        yield* RawClient.open(proxy.localPort, {
          path: "/path?query",
          headers: [
            "Origin: https://origin.example",
            "Sec-WebSocket-Protocol: one, two",
            "Sec-WebSocket-Extensions: permessage-deflate"
          ]
        })
        const event = events[0]!
        assert.strictEqual(event.connectionId, "1")
        assert.strictEqual(event.requestURI, "/path?query")
        assert.strictEqual(event.hostHeader, `127.0.0.1:${proxy.localPort}`)
        assert.strictEqual(event.originHeader, "https://origin.example")
        assert.strictEqual(event.subProtocols, "one, two")
        assert.strictEqual(event.extensions, "permessage-deflate")
        assert.include(event.requestHeaders, "Origin: https://origin.example\r\n")
        assert.strictEqual(event.statusCode, 101)
        assert.strictEqual(event.responseHeaders, "")
      })
  )

  it.live("WebSocketOpenRequest.StatusCode, WebSocketOpenRequest.ResponseHeaders: 401, and nothing is forwarded", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen()
      proxy.on("WebSocketOpenRequest", async (e) => {
        await new Promise(setImmediate)
        e.statusCode = 401
        e.responseHeaders = 'WWW-Authenticate: Basic realm="Secure Realm"\r\nX-Other: 1'
      })
      const client = yield* RawClient.request(proxy.localPort)
      yield* client.until("401")
      yield* client.until("end")
      assert.match(client.answer, /\r\nWWW-Authenticate: Basic realm="Secure Realm"\r\n/i)
      assert.match(client.answer, /\r\nX-Other: 1\r\n/i)
      yield* client.end()
      yield* Forwarding.idle(proxy)
      assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1"])
      assert.lengthOf(listener.connections, 0)
    })
  )

  it.live("WebSocketOpenRequest.ResponseHeaders: go with 101 too", () =>
    Effect.gen(function* () {
      const { proxy } = yield* Forwarding.listen()
      proxy.on("WebSocketOpenRequest", (e) => void (e.responseHeaders = "X-Forwarded: yes"))
      const client = yield* RawClient.open(proxy.localPort)
      assert.match(client.answer, /\r\nX-Forwarded: yes(\r\n|$)/i)
    })
  )

  it.live(
    "WebSocketOpenRequest.SubProtocols: one of the client's is chosen by setting it, and none if it is left",
    () =>
      Effect.gen(function* () {
        const { proxy, told } = yield* Forwarding.listen()
        const offers = { headers: ["Sec-WebSocket-Protocol: one, two"] }
        const left = yield* RawClient.open(proxy.localPort, offers)
        assert.notMatch(left.answer, /sec-websocket-protocol/i)
        let choice = "two"
        proxy.on("WebSocketOpenRequest", (e) => void (e.subProtocols = choice))
        const chosen = yield* RawClient.open(proxy.localPort, offers)
        assert.match(chosen.answer, /\r\nSec-WebSocket-Protocol: two(\r\n|$)/i)
        choice = "three"
        const stray = yield* RawClient.open(proxy.localPort, offers)
        assert.notMatch(stray.answer, /sec-websocket-protocol/i)
        yield* told.until("Connected 3")
        assert.include(told.logged.join("\n"), "does not offer the subprotocol three")
      })
  )

  it.live("WebSocketOpenRequest, 500: a listener that fails has the client refused, and nothing forwarded", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen()
      proxy.on("WebSocketOpenRequest", () => Promise.reject(new Error("no decision")))
      const client = yield* RawClient.request(proxy.localPort)
      yield* client.until("500")
      assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1", "Error 1 500"])
      assert.lengthOf(listener.connections, 0)
    })
  )

  it.live("WebSocketOpenRequest.Extensions: permessage-deflate is never agreed on, whoever offers it", () =>
    Effect.gen(function* () {
      const { listener, proxy } = yield* Forwarding.listen()
      const client = yield* Effect.acquireRelease(
        Effect.callback<WS>((resume) => {
          const client = new WS(`ws://127.0.0.1:${proxy.localPort}`, { perMessageDeflate: true })
          client.once("open", () => resume(Effect.succeed(client)))
        }),
        (client) => Effect.sync(() => client.terminate())
      )
      const target = yield* listener.accept
      assert.strictEqual(client.extensions, "")
      client.send("x".repeat(10_000))
      yield* target.untilReceived(10_000)
      assert.strictEqual(target.text, "x".repeat(10_000))
      assert.include(
        Forwarding.saying(() => proxy.config("EnablePermessageDeflate")),
        "WebSocketProxy"
      )
    })
  )
})
