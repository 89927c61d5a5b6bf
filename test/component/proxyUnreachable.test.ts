/**
 * Forward hosts that cannot be reached: the client gets an HTTP status and never an open connection, and Error says why, with
 * the documented code. Neither Connected nor Disconnected is told.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import * as DeafTarget from "../proxy/deafTarget.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import * as Forwarding from "./forwarding.ts"

const dns = process.getBuiltinModule("node:dns")

const unknown = "nowhere.invalid"

/** Has the look-up of this name fail so, without a network. */
const lookupFails = (code: string) =>
  Effect.acquireRelease(
    Effect.sync(() => {
      const { lookup } = dns
      const fails = (host: string, ...args: ReadonlyArray<unknown>) =>
        host === unknown
          ? process.nextTick(args.at(-1) as (error: Error) => void, Object.assign(new Error(code), { code }))
          : Reflect.apply(lookup, dns, [host, ...args])
      Object.assign(dns, { lookup: fails })
      return lookup
    }),
    (lookup) => Effect.sync(() => void Object.assign(dns, { lookup }))
  )

/** A request that must be refused, with what the client and the events are told. */
const refused = Effect.fnUntraced(function* (setUp: (proxy: WebSocketProxy) => void) {
  const forwarding = yield* Forwarding.listen()
  const { listener, proxy, told } = forwarding
  setUp(proxy)
  const client = yield* RawClient.request(proxy.localPort)
  yield* client.watch.until("an answer", () => client.status !== undefined)
  yield* client.until("end")
  yield* client.end()
  yield* Forwarding.idle(proxy)
  assert.strictEqual(told.lines.length, 2, told.lines.join())
  assert.strictEqual(told.lines[0], "WebSocketOpenRequest 1")
  const error = told.errors[0]!
  assert.strictEqual(told.lines[1], `Error 1 ${error.errorCode}`)
  assert.deepStrictEqual(
    told.logged.filter((line) => line.startsWith("Error")),
    [`Error 1 ${error.description}`]
  )
  // the client is not told what is behind the proxy
  assert.notInclude(client.answer, "127.0.0.1")
  assert.notInclude(client.answer, proxy.defaultForwardHost || "127.0.0.1")
  assert.lengthOf(listener.connections, 0)
  return { code: error.errorCode, status: client.status, description: error.description }
})

describe("a forward host that cannot be reached", { timeout: 30_000 }, () => {
  it.live("10061, Error.ConnectionId, Error.ErrorCode, Error.Description: nobody listens there; 502", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const { code, description, status } = yield* refused((proxy) => (proxy.defaultForwardPort = port))
      assert.deepStrictEqual([code, status], [10061, 502])
      assert.include(description, `127.0.0.1:${port}`)
    })
  )

  it.live("11001: its name was not found; 502", () =>
    Effect.gen(function* () {
      yield* lookupFails("ENOTFOUND")
      const { code, description, status } = yield* refused((proxy) => (proxy.defaultForwardHost = unknown))
      assert.deepStrictEqual([code, status], [11001, 502])
      assert.include(description, unknown)
    })
  )

  it.live("11002: its name could not be looked up now; 502", () =>
    Effect.gen(function* () {
      yield* lookupFails("EAI_AGAIN")
      const { code, status } = yield* refused((proxy) => (proxy.defaultForwardHost = unknown))
      assert.deepStrictEqual([code, status], [11002, 502])
    })
  )

  it.live("10060, DefaultTimeout: it does not answer in so many seconds; 504", () =>
    Effect.gen(function* () {
      const { port } = yield* DeafTarget.make
      const { code, status } = yield* refused((proxy) => {
        proxy.defaultForwardPort = port
        proxy.defaultTimeout = 1
      })
      assert.deepStrictEqual([code, status], [10060, 504])
    })
  )

  it.live("116: its port is 0; 502", () =>
    Effect.gen(function* () {
      const { code, status } = yield* refused((proxy) => (proxy.defaultForwardPort = 0))
      assert.deepStrictEqual([code, status], [116, 502])
    })
  )

  for (const host of ["", "0.0.0.0"]) {
    it.live(`102: its address is "${host}"; 502`, () =>
      Effect.gen(function* () {
        const { code, status } = yield* refused((proxy) => (proxy.defaultForwardHost = host))
        assert.deepStrictEqual([code, status], [102, 502])
      })
    )
  }

  for (const port of [-1, 65536, 80.5, Number.NaN, "80", null, undefined]) {
    it.live(
      `10022, WebSocketOpenRequest.ForwardPort: is set to ${typeof port} ${String(port)}, which is no port; 502`,
      () =>
        Effect.gen(function* () {
          const { code, description, status } = yield* refused((proxy) =>
            proxy.on("WebSocketOpenRequest", (e) => void Object.assign(e, { forwardPort: port }))
          )
          assert.deepStrictEqual([code, status], [10022, 502])
          assert.include(description, "ForwardPort")
        })
    )
  }

  for (const host of [7, null, undefined, "a\0b"]) {
    it.live(`10022, WebSocketOpenRequest.ForwardHost: is set to ${JSON.stringify(host)}, which is no host; 502`, () =>
      Effect.gen(function* () {
        const { code, status } = yield* refused((proxy) =>
          proxy.on("WebSocketOpenRequest", (e) => void Object.assign(e, { forwardHost: host }))
        )
        assert.deepStrictEqual([code, status], [10022, 502])
      })
    )
  }

  it.live(
    "WebSocketOpenRequest: a client that goes away while its forward host is connected to leaves nothing, and is told of by nothing",
    () =>
      Effect.gen(function* () {
        const { port } = yield* DeafTarget.make
        const { proxy, told } = yield* Forwarding.listen()
        proxy.defaultForwardPort = port
        const client = yield* RawClient.request(proxy.localPort)
        yield* told.until("WebSocketOpenRequest 1")
        // found, and not open
        assert.deepStrictEqual([proxy.connections.has("1"), proxy.connections.size], [true, 0])
        yield* client.reset()
        yield* Forwarding.gone(proxy, "1")
        assert.deepStrictEqual(told.lines, ["WebSocketOpenRequest 1"])
      })
  )

  it.live("WebSocketOpenRequest, Connected: the next connection may go where the one before could not", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const { listener, proxy, told } = yield* Forwarding.listen()
      const listening = proxy.defaultForwardPort
      proxy.defaultForwardPort = port
      const first = yield* RawClient.request(proxy.localPort)
      yield* first.until("502")
      proxy.defaultForwardPort = listening
      yield* RawClient.open(proxy.localPort)
      yield* listener.accept
      yield* told.until("Connected 2")
      assert.deepStrictEqual(told.lines, [
        "WebSocketOpenRequest 1",
        "Error 1 10061",
        "WebSocketOpenRequest 2",
        "Connected 2"
      ])
    })
  )
})
