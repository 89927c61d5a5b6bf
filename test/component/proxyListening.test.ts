/**
 * Listening of the proxy: by assignment, whose failure is told by Error and Log, and by `setListening`, which has it.
 */
import { assert, describe, it, vi } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { ComponentError } from "../../src/component/ComponentError.ts"
import { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import * as Frames from "../proxy/frames.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually } from "../proxy/watch.ts"
import * as Forwarding from "./forwarding.ts"

const { call, codeOf } = Forwarding

/** What became of an attempt to connect. */
const knock = (port: number): Effect.Effect<string> =>
  Effect.callback<string>((resume) => {
    const socket = Net.connect({ host: "127.0.0.1", port })
    const settle = (what: string) => {
      socket.destroy()
      resume(Effect.succeed(what))
    }
    socket.once("connect", () => settle("connected"))
    socket.once("error", (error: NodeJS.ErrnoException) => settle(error.code ?? ""))
  })

const until = (proxy: WebSocketProxy, listening: boolean) =>
  eventually(`listening to be ${listening}`, () => proxy.listening === listening)

/** A port that somebody has. */
const taken: Effect.Effect<number, never, Scope.Scope> = Effect.map(RawTarget.listen(), ({ port }) => port)

describe("Listening", { timeout: 30_000 }, () => {
  it.live("Listening, LocalPort: setListening begins and ends it, listening and getListening tell which", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      const told = new Forwarding.Told(proxy)
      assert.deepStrictEqual([proxy.listening, proxy.getListening(), proxy.localPort], [false, false, 0])
      yield* call(() => proxy.setListening(true))
      const port = proxy.localPort
      assert.deepStrictEqual([proxy.listening, proxy.getListening()], [true, true])
      assert.isAbove(port, 0)
      assert.strictEqual(yield* knock(port), "connected")
      yield* call(() => proxy.setListening(false))
      assert.deepStrictEqual([proxy.listening, proxy.getListening(), proxy.localPort], [false, false, 0])
      assert.strictEqual(yield* knock(port), "ECONNREFUSED")
      // to end what has ended is nothing
      yield* call(() => proxy.setListening(false))
      assert.deepStrictEqual(told.logged, [`Info  Listening on 127.0.0.1:${port}`, "Info  Listening no more"])
      assert.deepStrictEqual(told.lines, [])
    })
  )

  it.live("Listening: is assigned to begin and to end it", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      proxy.listening = true
      yield* until(proxy, true)
      const port = proxy.localPort
      assert.strictEqual(yield* knock(port), "connected")
      proxy.listening = false
      // at once, so that the properties can be set again
      assert.isFalse(proxy.listening)
      proxy.localPort = port
      proxy.listening = true
      yield* until(proxy, true)
      assert.strictEqual(proxy.localPort, port)
      assert.strictEqual(yield* knock(port), "connected")
    })
  )

  it.live("Listening: what is asked for in quick succession is done in its order", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      const told = new Forwarding.Told(proxy)
      proxy.listening = true
      proxy.listening = false
      yield* call(() => proxy.setListening(true))
      proxy.listening = false
      proxy.listening = true
      yield* call(() => proxy.setListening(false))
      assert.isFalse(proxy.listening)
      const [begun, ended] = ["Listening on", "no more"].map((what) =>
        told.logged.filter((line) => line.includes(what))
      )
      assert.deepStrictEqual([begun?.length, ended?.length], [3, 3])
      assert.deepStrictEqual(told.lines, [])
    })
  )

  it.live("104: it is asked to listen while it does: setListening fails, and assignment is told by Error and Log", () =>
    Effect.gen(function* () {
      const { proxy, told } = yield* Forwarding.listen()
      const port = proxy.localPort
      assert.strictEqual(yield* codeOf(() => proxy.setListening(true)), 104)
      assert.deepStrictEqual(told.lines, [])
      proxy.listening = true
      yield* told.until("Error  104")
      const [error] = told.errors
      assert.deepStrictEqual(
        { ...error },
        { connectionId: "", errorCode: 104, description: "TCPServer is already listening." }
      )
      assert.include(told.logged, "Error  TCPServer is already listening.")
      assert.deepStrictEqual([proxy.listening, proxy.localPort], [true, port])
      const twice = yield* Forwarding.make()
      const first = twice.setListening(true)
      assert.strictEqual(yield* codeOf(() => twice.setListening(true)), 104)
      yield* call(() => first)
      assert.isTrue(twice.listening)
    })
  )

  it.live("10048: another has the port: setListening fails, and assignment is told by Error and Log", () =>
    Effect.gen(function* () {
      const port = yield* taken
      const proxy = yield* Forwarding.make((proxy) => (proxy.localPort = port))
      const told = new Forwarding.Told(proxy)
      assert.strictEqual(yield* codeOf(() => proxy.setListening(true)), 10048)
      assert.isFalse(proxy.listening)
      assert.deepStrictEqual(told.lines, [])
      proxy.listening = true
      yield* told.until("Error  10048")
      assert.include(told.errors[0]!.description, "[10048] Address already in use.")
      assert.lengthOf(
        told.logged.filter((line) => line.startsWith("Error  [10048]")),
        1
      )
      assert.isFalse(proxy.listening)
      // it is as it was before
      proxy.localPort = 0
      yield* call(() => proxy.setListening(true))
      assert.isTrue(proxy.listening)
    })
  )

  it.live("10048: what is assigned and fails while nobody listens to Error or Log is a warning of the process", () =>
    Effect.gen(function* () {
      const proxy = new WebSocketProxy()
      yield* Effect.addFinalizer(() => Effect.promise(() => proxy.dispose()))
      const warn = vi.spyOn(process, "emitWarning").mockImplementation(() => {})
      yield* Effect.addFinalizer(() => Effect.sync(() => warn.mockRestore()))
      proxy.localHost = "127.0.0.1"
      proxy.localPort = yield* taken
      proxy.listening = true
      const [warning] = yield* eventually("the warning", () => warn.mock.calls[0])
      assert.instanceOf(warning, ComponentError)
      assert.strictEqual(warning.code, 10048)
      // who listens is told by the event alone
      const told = new Forwarding.Told(proxy)
      proxy.listening = true
      yield* told.until("Error  10048")
      assert.strictEqual(warn.mock.calls.length, 1)
    })
  )

  it.live("10022: what is neither true nor false is refused", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      assert.strictEqual(yield* codeOf(() => proxy.setListening("yes" as never)), 10022)
      assert.throws(() => (proxy.listening = 1 as never), /10022.*True or False|10022.*true or false/)
      assert.isFalse(proxy.listening)
    })
  )

  it.live("301: setListening takes a signal, and listens to nothing if it was given", () =>
    Effect.gen(function* () {
      const proxy = yield* Forwarding.make()
      assert.strictEqual(yield* codeOf(() => proxy.setListening(true, AbortSignal.abort())), 301)
      assert.isFalse(proxy.listening)
      const controller = new AbortController()
      const listening = codeOf(() => proxy.setListening(true, controller.signal))
      const code = Effect.runPromise(listening)
      controller.abort()
      assert.strictEqual(yield* Effect.promise(() => code), 301)
      assert.isFalse(proxy.listening)
      yield* call(() => proxy.setListening(true))
    })
  )

  it.live("Listening: false keeps the connections, and refuses others; true takes more beside them", () =>
    Effect.gen(function* () {
      const { client, listener, proxy, target, told } = yield* Forwarding.connected()
      const port = proxy.localPort
      yield* call(() => proxy.setListening(false))
      assert.strictEqual(yield* knock(port), "ECONNREFUSED")
      assert.deepStrictEqual([proxy.connections.size, proxy.connections.item("1").connected], [1, true])
      yield* client.send(Frames.binary, "still there")
      yield* target.untilReceived(11)
      yield* target.write(Buffer.from("so am I"))
      yield* client.untilPayload(7)
      yield* call(() => proxy.setListening(true))
      yield* RawClient.open(proxy.localPort)
      const other = yield* listener.accept
      yield* told.until("Connected 2")
      assert.deepStrictEqual([...proxy.connections.keys()], ["1", "2"])
      yield* client.send(Frames.binary, "!")
      yield* target.untilReceived(12)
      assert.strictEqual(other.received, 0)
      // and Disconnect reaches those of before
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.end()
      yield* told.until("Disconnected 1 1000")
    })
  )

  it.live("Listening: false lets a request that waits for its decision go on", () =>
    Effect.gen(function* () {
      const { listener, proxy, told } = yield* Forwarding.listen()
      const release = Promise.withResolvers<void>()
      proxy.on("WebSocketOpenRequest", () => release.promise)
      const client = yield* RawClient.request(proxy.localPort)
      yield* told.until("WebSocketOpenRequest 1")
      yield* call(() => proxy.setListening(false))
      release.resolve()
      yield* client.until("open")
      yield* listener.accept
      yield* told.until("Connected 1")
    })
  )
})
