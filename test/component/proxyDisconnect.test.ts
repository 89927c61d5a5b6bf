/**
 * Disconnect, Shutdown and their kin on the proxy: what the client is told, what the forward host still gets, and that they are
 * done when they say so, wherever they are called from.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { FirewallTypes } from "../../src/component/Enums.ts"
import type { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import * as Frames from "../proxy/frames.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as RawClient from "../proxy/rawClient.ts"
import type { TargetConnection } from "../proxy/rawTarget.ts"
import * as Forwarding from "./forwarding.ts"

const { call, codeOf } = Forwarding
const { binary } = Frames

/** Ends its side when the other has ended. */
const polite = ({ socket }: TargetConnection): void => void socket.once("end", () => socket.end())

/** Answers a Close frame with the same code. */
const answer = Effect.fnUntraced(function* (client: RawClient.RawClient, code: number) {
  yield* client.until(`close ${code}`)
  yield* client.sendClose(code)
})

/** Something that may be done by now. */
const watched = (promise: Promise<unknown>) => {
  const state = { isDone: false }
  void promise.then(() => (state.isDone = true))
  return state
}

describe("Disconnect", { timeout: 30_000 }, () => {
  it.live(
    "Disconnect, DisconnectStatusCode, DisconnectStatusDescription: 1000 and a description of its own by default",
    () =>
      Effect.gen(function* () {
        const { client, id, proxy, target, told } = yield* Forwarding.connected({ accepting: { onConnection: polite } })
        assert.deepStrictEqual(
          [proxy.config("DisconnectStatusCode"), proxy.config("DisconnectStatusDescription")],
          ["1000", ""]
        )
        const disconnecting = proxy.disconnect(id)
        const state = watched(disconnecting)
        yield* client.until("close 1000")
        assert.strictEqual(client.closeReason, "Normal closure")
        // what the client sends before its answer is the forward host's still
        yield* client.send(binary, "last words")
        yield* target.untilReceived(10)
        assert.isFalse(state.isDone)
        yield* client.sendClose(1000)
        yield* call(() => disconnecting)
        assert.isFalse(proxy.connections.has(id))
        assert.deepStrictEqual(told.lines.slice(1), ["Connected 1", "Disconnected 1 1000"])
        yield* target.until("end")
        assert.strictEqual(target.text, "last words")
        assert.notInclude(target.log, "reset")
      })
  )

  it.live("DisconnectStatusCode, DisconnectStatusDescription: are what the client gets", () =>
    Effect.gen(function* () {
      const { client, id, proxy } = yield* Forwarding.connected({
        accepting: { onConnection: polite },
        config: ["DisconnectStatusCode=3001", "DisconnectStatusDescription=enough, bitte schön"]
      })
      const disconnecting = proxy.disconnect(id)
      yield* answer(client, 3001)
      assert.strictEqual(client.closeReason, "enough, bitte schön")
      yield* call(() => disconnecting)
    })
  )

  it.live("126: no connection has the id, or has it any more", () =>
    Effect.gen(function* () {
      const { client, id, proxy } = yield* Forwarding.connected({ accepting: { onConnection: polite } })
      assert.strictEqual(yield* codeOf(() => proxy.disconnect("2")), 126)
      assert.strictEqual(yield* codeOf(() => proxy.disconnect("")), 126)
      yield* client.sendClose(1000)
      yield* Forwarding.gone(proxy, id)
      assert.strictEqual(yield* codeOf(() => proxy.disconnect(id)), 126)
    })
  )

  it.live("WaitForCloseResponse: True waits for the client's answer, but no longer than CloseTimeout", () =>
    Effect.gen(function* () {
      const { client, id, proxy, told } = yield* Forwarding.connected({
        accepting: { onConnection: polite },
        config: ["CloseTimeout=1"]
      })
      assert.strictEqual(proxy.config("WaitForCloseResponse"), "True")
      yield* call(() => proxy.disconnect(id))
      yield* client.until("close 1000")
      yield* client.watch.until("the end", () => client.over)
      yield* told.until("Disconnected 1 1006")
    })
  )

  it.live(
    "WaitForCloseResponse: False does not wait; what came before is the forward host's still, which sees an end",
    () =>
      Effect.gen(function* () {
        const { client, id, proxy, target, told } = yield* Forwarding.connected({
          accepting: { paused: true },
          config: ["WaitForCloseResponse=False"]
        })
        const total = 200_000
        const checker = new Pattern.Checker(1)
        target.sink = (chunk) => checker.push(chunk)
        yield* client.sendFrame(total, Pattern.pieces(1, total))
        // the proxy has read it all when it answers what comes behind
        yield* client.send(Frames.ping, "?")
        yield* client.until("pong")
        yield* call(() => proxy.disconnect(id))
        assert.isFalse(proxy.connections.has(id))
        assert.deepStrictEqual(told.lines.slice(1), ["Connected 1", "Disconnected 1 1000"])
        yield* client.until("close 1000")
        yield* client.watch.until("the end", () => client.over)
        target.resume()
        yield* target.until("end")
        assert.isUndefined(checker.fault)
        assert.strictEqual(checker.received, total)
      })
  )

  it.live("Disconnect, 301: a signal ends the wait, and one that was given already leaves all as it is", () =>
    Effect.gen(function* () {
      const { client, id, proxy, target } = yield* Forwarding.connected()
      assert.strictEqual(yield* codeOf(() => proxy.disconnect(id, AbortSignal.abort())), 301)
      yield* client.send(binary, "still open")
      yield* target.untilReceived(10)
      yield* target.write(Buffer.from("indeed"))
      yield* client.untilPayload(6)
      assert.isUndefined(client.closeCode)
      const controller = new AbortController()
      const disconnecting = proxy.disconnect(id, controller.signal)
      yield* client.until("close 1000")
      controller.abort()
      assert.strictEqual(yield* codeOf(() => disconnecting), 301)
      yield* client.sendClose(1000)
    })
  )

  it.live("Disconnect: twice at once is one Close frame, and both are done", () =>
    Effect.gen(function* () {
      const { client, id, proxy, told } = yield* Forwarding.connected({ accepting: { onConnection: polite } })
      const both = Promise.all([proxy.disconnect(id), proxy.disconnect(id)])
      yield* answer(client, 1000)
      yield* call(() => both)
      yield* client.until("end")
      assert.deepStrictEqual(client.log.slice(0, 3), ["open", "close 1000", "end"])
      assert.strictEqual(told.count("Disconnected"), 1)
    })
  )

  it.live("WebSocketProxyConnection.Connected: set to false it disconnects, set to true it does nothing", () =>
    Effect.gen(function* () {
      const { client, id, proxy, told } = yield* Forwarding.connected({
        accepting: { onConnection: polite },
        config: ["DisconnectStatusCode=3002"]
      })
      const connection = proxy.connections.item(id)
      connection.connected = true
      connection.setConnected(true)
      yield* client.send(Frames.ping, "?")
      yield* client.until("pong")
      assert.isUndefined(client.closeCode)
      connection.connected = false
      yield* answer(client, 3002)
      yield* told.until("Disconnected 1 3002")
      assert.deepStrictEqual(told.errors, [])
      yield* Forwarding.gone(proxy, id)
      const other = yield* RawClient.open(proxy.localPort)
      yield* told.until("Connected 2")
      proxy.connections.item("2").setConnected(false)
      yield* answer(other, 3002)
      yield* told.until("Disconnected 2 3002")
    })
  )
})

describe("Disconnect in a listener", { timeout: 30_000 }, () => {
  const disconnecting = (name: "Connected" | "DataIn" | "Disconnected") => (proxy: WebSocketProxy) =>
    proxy.on(name, (e) => proxy.disconnect(e.connectionId))

  it.live("Disconnect, DataIn: awaited by a listener of DataIn it holds nothing up, and what came is forwarded", () =>
    Effect.gen(function* () {
      const { client, proxy, target, told } = yield* Forwarding.connected({
        accepting: { onConnection: polite },
        // it would end by it too
        config: ["CloseTimeout=3600"],
        setUp: disconnecting("DataIn")
      })
      let events = 0
      proxy.on("DataIn", () => void events++)
      yield* client.write(Buffer.concat(["one,", "two,", "three"].map((text) => Frames.frame(binary, text))))
      yield* answer(client, 1000)
      yield* told.until("Disconnected 1 1000")
      yield* Forwarding.idle(proxy)
      yield* target.until("end")
      assert.strictEqual(target.text, "one,two,three")
      // no more is told of what comes then
      assert.strictEqual(events, 1)
      assert.deepStrictEqual(told.errors, [])
    })
  )

  it.live("Disconnect, Connected: awaited by a listener of Connected it ends the connection", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen({
        accepting: { onConnection: polite },
        config: ["CloseTimeout=3600"],
        setUp: disconnecting("Connected")
      })
      const client = yield* RawClient.open(proxy.localPort)
      yield* answer(client, 1000)
      yield* told.until("Disconnected 1 1000")
      yield* (yield* listener.accept).until("end")
      yield* Forwarding.idle(proxy)
      assert.deepStrictEqual(told.errors, [])
    })
  )

  it.live(
    "Disconnect, DataIn, Error: awaited by a listener of Error it is not held up by data that comes meanwhile",
    () =>
      Effect.gen(function* () {
        const { client, proxy, target, told } = yield* Forwarding.connected({
          accepting: { onConnection: polite },
          config: ["CloseTimeout=3600"],
          setUp: (proxy) =>
            proxy
              .on("DataIn", (e) => {
                if (e.text === "one,") throw new Error("a fault")
              })
              .on("Error", async (e) => {
                // what came is dealt with by then
                for (let turns = 0; turns < 10; turns++) await new Promise(setImmediate)
                await proxy.disconnect(e.connectionId)
              })
        })
        yield* client.send(binary, "one,")
        yield* client.until("close 1000")
        yield* client.write(
          Buffer.concat([Frames.frame(binary, "two"), Frames.frame(Frames.close, Frames.closePayload(1000))])
        )
        yield* told.until("Disconnected 1 1000")
        yield* Forwarding.idle(proxy)
        yield* target.until("end")
        assert.strictEqual(target.text, "one,two")
      })
  )

  it.live("Disconnect, Disconnected: awaited by a listener of Disconnected it is done at once", () =>
    Effect.gen(function* () {
      const { client, proxy, told } = yield* Forwarding.connected({
        accepting: { onConnection: polite },
        config: ["CloseTimeout=3600"],
        setUp: disconnecting("Disconnected")
      })
      yield* client.sendClose(1000)
      yield* Forwarding.idle(proxy)
      assert.deepStrictEqual(told.errors, [])
      assert.strictEqual(told.count("Disconnected"), 1)
    })
  )

  it.live(
    "Disconnect, WebSocketOpenRequest: awaited by a listener of WebSocketOpenRequest it refuses the request with 503",
    () =>
      Effect.gen(function* () {
        const { listener, proxy, told } = yield* Forwarding.listen({
          setUp: (proxy) => proxy.on("WebSocketOpenRequest", (e) => proxy.disconnect(e.connectionId))
        })
        const client = yield* RawClient.request(proxy.localPort)
        yield* client.until("503")
        yield* client.end()
        yield* Forwarding.idle(proxy)
        assert.lengthOf(listener.connections, 0)
        assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1"])
      })
  )
})

describe("Disconnect, while nothing is decided", { timeout: 30_000 }, () => {
  it.live("301, Disconnect: a signal that was given already leaves the request as it is", () =>
    Effect.gen(function* () {
      const codes: Array<unknown> = []
      const { proxy } = yield* Forwarding.listen({
        setUp: (proxy) =>
          proxy.on("WebSocketOpenRequest", async (e) => {
            codes.push(await Effect.runPromise(codeOf(() => proxy.disconnect(e.connectionId, AbortSignal.abort()))))
          })
      })
      yield* RawClient.open(proxy.localPort)
      assert.deepStrictEqual(codes, [301])
    })
  )
})

describe("while the forward host is connected to", { timeout: 30_000 }, () => {
  const ways: Record<string, (proxy: WebSocketProxy) => Promise<unknown>> = {
    disconnect: (proxy) => proxy.disconnect("1"),
    shutdown: (proxy) => proxy.shutdown(),
    connected: async (proxy) => void (proxy.connections.item("1").connected = false)
  }
  const given = (how: string) =>
    Effect.gen(function* () {
      // a firewall on the way, which does not answer
      const { listener, proxy, told } = yield* Forwarding.listen({ setUp: (proxy) => (proxy.defaultTimeout = 3600) })
      proxy.firewall.firewallType = FirewallTypes.fwSOCKS5
      proxy.firewall.host = "127.0.0.1"
      proxy.firewall.port = listener.port
      const client = yield* RawClient.request(proxy.localPort)
      const firewall = yield* listener.accept
      yield* firewall.untilReceived(3)
      yield* call(() => ways[how]!(proxy))
      // a method is done when the connection is
      if (how !== "connected") assert.strictEqual(proxy.connections.size, 0)
      yield* client.until("503")
      yield* firewall.watch.until("the end", () => firewall.over)
      yield* Forwarding.idle(proxy)
      assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1"])
    })

  it.live("Disconnect: gives it up, and the client gets 503", () => given("disconnect"))
  it.live("Shutdown: gives it up, and the client gets 503", () => given("shutdown"))
  it.live("WebSocketProxyConnection.Connected: set to false gives it up, and the client gets 503", () =>
    given("connected")
  )
})

describe("Shutdown", { timeout: 30_000 }, () => {
  it.live(
    "Shutdown, Listening: listens no more, disconnects everybody, and is done when all is; then it can listen again",
    () =>
      Effect.gen(function* () {
        const { listener, proxy, told } = yield* Forwarding.listen({
          accepting: { onConnection: polite },
          config: ["DisconnectStatusCode=1001"]
        })
        const clients = yield* Effect.forEach([1, 2, 3], () => RawClient.open(proxy.localPort))
        yield* told.untilCount("Connected", 3)
        const shutdown = proxy.shutdown()
        for (const client of clients) {
          yield* client.until("close 1001")
          assert.strictEqual(client.closeReason, "Going away")
          yield* client.sendClose(1001)
        }
        yield* call(() => shutdown)
        assert.deepStrictEqual([proxy.listening, proxy.connections.size], [false, 0])
        assert.strictEqual(told.count("Disconnected"), 3)
        assert.isTrue(listener.connections.every(({ log }) => log[0] === "end"))
        yield* call(() => proxy.shutdown())
        yield* call(() => proxy.setListening(true))
        yield* RawClient.open(proxy.localPort)
        yield* told.until("Connected 4")
      })
  )

  it.live("Shutdown: ends a connection whose listener of DataIn never comes back, and what came is forwarded", () =>
    Effect.gen(function* () {
      const called = Promise.withResolvers<void>()
      const { client, proxy, target } = yield* Forwarding.connected({
        accepting: { onConnection: polite },
        config: ["CloseTimeout=3600"],
        setUp: (proxy) =>
          proxy.on("DataIn", () => {
            called.resolve()
            return new Promise<never>(() => {})
          })
      })
      yield* client.write(Buffer.concat([Frames.frame(binary, "one,"), Frames.frame(binary, "two")]))
      yield* call(() => called.promise)
      yield* call(() => called.promise)
      const shutdown = proxy.shutdown()
      yield* answer(client, 1000)
      yield* call(() => shutdown)
      yield* target.until("end")
      assert.strictEqual(target.text, "one,two")
    })
  )

  it.live("Shutdown: has those of before who listened no more too", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* Forwarding.connected({ accepting: { onConnection: polite } })
      yield* call(() => proxy.setListening(false))
      const shutdown = proxy.shutdown()
      yield* answer(client, 1000)
      yield* call(() => shutdown)
      assert.strictEqual(proxy.connections.size, 0)
    })
  )
})
