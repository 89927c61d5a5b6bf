import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import WS from "ws"
import * as Hub from "../../src/connection/Hub.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import { shown } from "../connection/connected.ts"
import { drain, eventually, type Options, serving } from "./serving.ts"
import { upgraded } from "./wire.ts"

/** A server whose connections all subscribe to one topic. */
const room = Effect.fnUntraced(function* (options: Options = {}, hubOptions: Hub.Options = {}) {
  const hub = yield* Hub.make(hubOptions)
  const subscribed: Array<WebSocket> = []
  const { port, url } = yield* serving(
    (webSocket) =>
      Effect.gen(function* () {
        yield* hub.subscribe("room", webSocket)
        subscribed.push(webSocket)
        yield* drain(webSocket)
      }),
    { maxConnectionsPerAddress: 1000, ...options }
  )
  const joined = (count: number) =>
    eventually(
      `${count} have joined`,
      Effect.map(hub.subscribers("room"), (size) => size === count)
    )
  return { hub, joined, port, subscribed, url }
})

/** A client that keeps what comes. */
const listening = (url: string) =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = new WS(url)
      const got: Array<string> = []
      socket.on("message", (data) => got.push(String(data)))
      await once(socket, "open")
      return { got, socket }
    }),
    ({ socket }) => Effect.sync(() => socket.terminate())
  )

describe("broadcasts over sockets of the system", () => {
  for (const [title, options] of [
    ["plain", {}],
    ["compressed, without context takeover", { compression: { threshold: 0 } }],
    ["compressed, with context takeover", { compression: { threshold: 0, contextTakeover: true } }]
  ] as const) {
    it.live(`${title}: reach 50 clients of the ws package in order, among what is sent to each`, () =>
      Effect.gen(function* () {
        const { hub, joined, subscribed, url } = yield* room(options)
        const clients = yield* Effect.forEach(Array.from({ length: 50 }), () => listening(url), { concurrency: 10 })
        yield* joined(50)
        const said: Array<string> = []
        for (let i = 0; i < 20; i++) {
          const message = `${i}: ${"what was said before and is said again ".repeat(i * 10)}`
          said.push(message)
          if (i % 3 === 2) yield* Effect.forEach(subscribed, (socket) => socket.send(message))
          else assert.deepStrictEqual(yield* hub.publish("room", message), { sent: 50, slow: 0 })
        }
        yield* eventually(
          "all have all",
          Effect.sync(() => clients.every(({ got }) => got.length === said.length))
        )
        for (const { got } of clients) assert.deepStrictEqual(got, said)
      })
    )
  }

  it.live("a client that does not read is passed over, at a bounded cost, and the others have everything", () =>
    Effect.gen(function* () {
      const maxUnsent = 300_000
      const { hub, joined, port, subscribed, url } = yield* room({}, { maxUnsent })
      const wire = yield* upgraded(port)
      yield* joined(1)
      const { got } = yield* listening(url)
      yield* joined(2)
      const message = "x".repeat(100_000)
      let slow = 0
      let said = 0
      // the system itself takes some megabytes
      while (slow < 5 && said < 1000) {
        const before = ++said
        slow += (yield* hub.publish("room", message)).slow
        yield* eventually(
          "the other has it",
          Effect.sync(() => got.length === before)
        )
      }
      assert.strictEqual(slow, 5)
      assert.lengthOf(subscribed, 2)
      // what the other was given it has in full
      for (let i = 0; i < said - slow; i++) assert.strictEqual(shown(yield* wire.next)[1], message)
      yield* eventually(
        "it is served again",
        Effect.map(hub.publish("room", "again"), ({ slow }) => slow === 0)
      )
      let next = shown(yield* wire.next)[1]
      while (next !== "again") next = shown(yield* wire.next)[1]
    })
  )

  it.live("a client that does not read is closed with 1008 where the policy says so", () =>
    Effect.gen(function* () {
      const { hub, joined, port, subscribed } = yield* room(
        { closeTimeout: "100 millis" },
        { maxUnsent: 100_000, slow: "close" }
      )
      yield* upgraded(port)
      yield* joined(1)
      let slow = 0
      for (let said = 0; slow === 0 && said < 1000; said++) {
        slow += (yield* hub.publish("room", "x".repeat(100_000))).slow
        yield* Effect.yieldNow
      }
      assert.strictEqual(slow, 1)
      assert.strictEqual((yield* subscribed[0]!.closed).code, 1008)
      yield* joined(0)
    })
  )
})
