/**
 * What the proxy shares with the server, as far as the two differ: who may connect, how many, which settings there are, and
 * what the log tells.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { ConnectionRequestEvent, LogEvent } from "../../src/component/Events.ts"
import { settings } from "../../src/component/Settings.ts"
import { WSServer } from "../../src/component/WSServer.ts"
import * as Frames from "../proxy/frames.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually } from "../proxy/watch.ts"
import * as Forwarding from "./forwarding.ts"

const { call, saying, thrown } = Forwarding

describe("who may connect", { timeout: 30_000 }, () => {
  it.live("ConnectionRequest.Address, ConnectionRequest.Port, ConnectionRequest.Accept: comes before all else", () =>
    Effect.gen(function* () {
      const { proxy, told } = yield* Forwarding.listen()
      const events: Array<ConnectionRequestEvent> = []
      proxy.on("ConnectionRequest", (e) => {
        events.push({ ...e })
        assert.deepStrictEqual([told.lines, proxy.connections.size], [[], 0])
      })
      const client = yield* RawClient.open(proxy.localPort)
      assert.deepStrictEqual(events, [{ address: "127.0.0.1", port: client.socket.localPort!, accept: true }])
    })
  )

  it.live("ConnectionRequest.Accept: false cuts the client off, and nothing is connected to", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen()
      proxy.on("ConnectionRequest", async (e) => {
        await new Promise(setImmediate)
        e.accept = false
      })
      const client = yield* RawClient.request(proxy.localPort)
      yield* client.watch.until("the end", () => client.over)
      assert.isUndefined(client.status)
      assert.deepStrictEqual(told.lines, [])
      assert.lengthOf(listener.connections, 0)
    })
  )

  it.live("AllowedClients: presets ConnectionRequest.Accept, which a listener may set otherwise", () =>
    Effect.gen(function* () {
      const { proxy } = yield* Forwarding.listen({ config: ["AllowedClients=192.0.2.*, 198.51.100.7"] })
      const refused = yield* RawClient.request(proxy.localPort)
      yield* refused.watch.until("the end", () => refused.over)
      assert.isUndefined(refused.status)
      const preset: Array<boolean> = []
      proxy.on("ConnectionRequest", (e) => {
        preset.push(e.accept)
        e.accept = true
      })
      yield* RawClient.open(proxy.localPort)
      proxy.config("AllowedClients=192.0.2.*, 127.0.0.*")
      yield* RawClient.open(proxy.localPort)
      assert.deepStrictEqual(preset, [false, true])
    })
  )

  it.live("MaxConnections: more are answered with 503, and no forward host is connected to for them", () =>
    Effect.gen(function* () {
      const { client, listener, proxy, target, told } = yield* Forwarding.connected({ config: ["MaxConnections=1"] })
      const refused = yield* RawClient.request(proxy.localPort)
      yield* refused.until("503")
      assert.lengthOf(listener.connections, 1)
      assert.strictEqual(told.count("WebSocketOpenRequest"), 1)
      assert.include(told.logged.join("\n"), "MaxConnections is reached")
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.end()
      yield* Forwarding.idle(proxy)
      yield* RawClient.open(proxy.localPort)
      yield* listener.accept
    })
  )

  it.live("108, MaxConnections: cannot be changed while it listens", () =>
    Effect.gen(function* () {
      const { proxy } = yield* Forwarding.listen()
      assert.strictEqual(
        thrown(() => proxy.config("MaxConnections=5")),
        108
      )
      assert.strictEqual(proxy.config("MaxConnections"), "1000")
      yield* call(() => proxy.setListening(false))
      assert.strictEqual(proxy.config("MaxConnections=5"), "5")
    })
  )
})

describe("settings", () => {
  it.live("Config, 10022: those of the server alone are refused, with a message that names the proxy", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      const names = Object.values(settings).filter(({ documents }) => documents === "server")
      assert.isAbove(names.length, 10)
      for (const { name } of names) {
        for (const text of [name, `${name}=1`, `${name}[1]`]) {
          assert.strictEqual(
            thrown(() => proxy.config(text)),
            10022,
            text
          )
          assert.include(
            saying(() => proxy.config(text)),
            `WebSocketProxy has no setting ${name}`
          )
        }
      }
      assert.include(
        names.map(({ name }) => name),
        "BlockedClients"
      )
    })
  )

  it.live("Config, 10022: those of the proxy alone are refused by the server, with a message that names it", () =>
    Effect.gen(function* () {
      const server = new WSServer()
      yield* Effect.addFinalizer(() => call(() => server.dispose()))
      const names = Object.values(settings).filter(({ documents }) => documents === "proxy")
      assert.isAbove(names.length, 3)
      for (const { name } of names) {
        for (const text of [name, `${name}=1`]) {
          assert.strictEqual(
            thrown(() => server.config(text)),
            10022,
            text
          )
          assert.include(
            saying(() => server.config(text)),
            `WSServer has no setting ${name}`
          )
        }
      }
    })
  )

  it.live("Config: the proxy has all that are documented for it, in any case of the letters", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      for (const { documents, name, perConnection } of Object.values(settings)) {
        if (documents === "server" || perConnection === "only") continue
        const value = proxy.config(name)
        assert.strictEqual(proxy.config(name.toUpperCase()), value)
        assert.strictEqual(proxy.config(` ${name.toLowerCase()} `), value)
      }
    })
  )
})

describe("Log", { timeout: 30_000 }, () => {
  const logging = (level: number) =>
    Effect.gen(function* () {
      const lines: Array<LogEvent> = []
      const { listener, proxy } = yield* Forwarding.listen({
        config: [`LogLevel=${level}`],
        setUp: (proxy) => proxy.on("Log", (e) => void lines.push(e))
      })
      const client = yield* RawClient.open(proxy.localPort, {
        path: "/logged",
        headers: ["X-Header: seen", "Authorization: Basic c2VjcmV0"]
      })
      const target = yield* listener.accept
      yield* client.send(Frames.binary, "data")
      yield* target.untilReceived(4)
      yield* client.sendClose(1000, "bye")
      yield* target.until("end")
      yield* target.end()
      yield* Forwarding.idle(proxy)
      yield* eventually("the last line", () => level === 0 || lines.some(({ message }) => message.includes("bye")))
      return lines
    })

  it.live(
    "Log.ConnectionId, Log.LogLevel, Log.Message, Log.LogType, LogLevel: 1 tells of listening, requests and ends",
    () =>
      Effect.gen(function* () {
        const lines = yield* logging(1)
        assert.deepStrictEqual(
          lines.map(({ connectionId, logLevel, logType, message }) => [
            connectionId,
            logLevel,
            logType,
            message.replace(/:\d+$/, "")
          ]),
          [
            ["", 1, "Info", "Listening on 127.0.0.1"],
            ["1", 1, "Info", "GET /logged HTTP/1.1 from 127.0.0.1"],
            ["1", 1, "Info", "Connected"],
            ["1", 1, "Info", "Disconnected with status 1000: bye"]
          ]
        )
      })
  )

  it.live("Log.Message, LogLevel: 2 tells of the request's headers too, without secrets", () =>
    Effect.gen(function* () {
      const lines = yield* logging(2)
      const headers = lines.find(({ logLevel }) => logLevel === 2)!
      assert.strictEqual(headers.logType, "Verbose")
      assert.include(headers.message, "X-Header: seen\r\n")
      assert.include(headers.message, "Authorization: ***")
      assert.notInclude(headers.message, "c2VjcmV0")
    })
  )

  it.live("LogLevel: 0 tells nothing", () =>
    Effect.gen(function* () {
      assert.deepStrictEqual(yield* logging(0), [])
    })
  )

  it.live("Log.LogType, Error.ConnectionId: failures are of type Error, and are told with the connection's id", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const lines: Array<LogEvent> = []
      const { proxy, told } = yield* Forwarding.listen({ setUp: (proxy) => proxy.on("Log", (e) => void lines.push(e)) })
      proxy.defaultForwardPort = port
      const client = yield* RawClient.request(proxy.localPort)
      yield* client.until("502")
      const line = lines.find(({ logType }) => logType === "Error")
      assert.deepStrictEqual([line?.connectionId, line?.logLevel, line?.message], ["1", 1, told.errors[0]!.description])
    })
  )
})
