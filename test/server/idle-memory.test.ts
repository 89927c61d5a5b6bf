/** What a connection holds while nothing comes: of what was sent, by the process's own account of its buffers, and of its request. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import { runForEachArray } from "../../src/connection/WebSocket.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { collectGarbage } from "../component/server.ts"
import { everyone } from "../../src/server/AccessPolicy.ts"
import type { OpenRequest } from "../../src/server/OpenRequest.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { deciding, eventually, serving } from "./serving.ts"
import { upgraded } from "./wire.ts"

const connections = 40
const message = Buffer.alloc(48_000, 7)

/** The bytes of buffers that are held by the process for each connection, once each has sent a message and falls silent. */
const heldAfter = Effect.fnUntraced(function* (port: number, received: () => number) {
  const wires = yield* Effect.forEach(Array.from({ length: connections }), () => upgraded(port))
  collectGarbage()
  const before = process.memoryUsage().arrayBuffers
  for (const wire of wires) wire.send({ opcode: Opcode.binary, payload: message })
  yield* eventually(
    "all has come",
    Effect.sync(() => received() === connections * message.length)
  )
  yield* Effect.sleep("50 millis")
  collectGarbage()
  return (process.memoryUsage().arrayBuffers - before) / connections
})

describe("a connection on which nothing comes", () => {
  const count = { bytes: 0 }
  const add = (bytes: Uint8Array | string) => Effect.sync(() => void (count.bytes += bytes.length))
  const ways: Readonly<Record<string, (webSocket: WebSocket) => Effect.Effect<void, unknown>>> = {
    "messages, in the turn that brings them": (webSocket) =>
      runForEachArray(webSocket, (messages) => Effect.forEach(messages, add, { discard: true })),
    messages: (webSocket) => Stream.runForEach(webSocket.messages, add),
    fragments: (webSocket) => Stream.runForEach(webSocket.fragments, ({ payload }) => add(payload)),
    payloads: (webSocket) => Stream.runForEach(webSocket.payloads, add)
  }
  for (const [way, read] of Object.entries(ways)) {
    it.live(`holds none of the chunk that came last: ${way}`, () =>
      Effect.gen(function* () {
        count.bytes = 0
        const { port } = yield* serving(read)
        assert.isBelow(yield* heldAfter(port, () => count.bytes), 4096)
      })
    )
  }

  it.live("holds none of the chunk that came last: a pipe to a target", () =>
    Effect.gen(function* () {
      const received = { bytes: 0 }
      const { target } = yield* RawTarget.listen({
        onConnection: (connection) => {
          connection.sink = (chunk) => void (received.bytes += chunk.length)
        }
      })
      const { port } = yield* Proxy.serve({ target })
      assert.isBelow(yield* heldAfter(port, () => received.bytes), 4096)
    })
  )
})

describe("a connection that is open", () => {
  /** How many of the requests are still there, with the connections open. */
  const heldOf = Effect.fnUntraced(function* (port: number, requests: ReadonlyArray<WeakRef<object>>) {
    yield* Effect.forEach(Array.from({ length: connections }), () => upgraded(port))
    yield* Effect.sleep("50 millis")
    collectGarbage()
    assert.strictEqual(requests.length, connections)
    return requests.filter((request) => request.deref() !== undefined).length
  })

  const handlers: Readonly<Record<string, (webSocket: WebSocket) => Effect.Effect<void, unknown>>> = {
    "that waits without a fiber": (webSocket) => runForEachArray(webSocket, () => Effect.void),
    "whose handler has a fiber": (webSocket) => Stream.runDrain(webSocket.messages)
  }
  for (const [what, handler] of Object.entries(handlers)) {
    for (const [whose, options] of Object.entries({ "": {}, ", a policy having been asked": { access: everyone } })) {
      it.live(`${what} has no request any more${whose}`, () =>
        Effect.gen(function* () {
          const requests: Array<WeakRef<object>> = []
          const { port } = yield* serving((webSocket, request) => {
            requests.push(new WeakRef(request))
            return handler(webSocket)
          }, options)
          assert.strictEqual(yield* heldOf(port, requests), 0)
        })
      )
    }
  }

  it.live("to a target has no request any more", () =>
    Effect.gen(function* () {
      const requests: Array<WeakRef<object>> = []
      const { target } = yield* RawTarget.listen({ onConnection: () => {} })
      const { port } = yield* Proxy.serve({
        target: (open) => {
          requests.push(new WeakRef(open), new WeakRef(open.request))
          return Effect.succeed(target)
        }
      })
      yield* upgraded(port)
      yield* Effect.sleep("50 millis")
      collectGarbage()
      assert.deepStrictEqual(
        requests.map((request) => request.deref()),
        [undefined, undefined]
      )
    })
  )

  it.live("has its request for who keeps it", () =>
    Effect.gen(function* () {
      const kept: Array<OpenRequest> = []
      const { port } = yield* deciding((open) => {
        kept.push(open)
        return Effect.flatMap(open.accept, (webSocket) => Stream.runDrain(webSocket.messages))
      })
      yield* upgraded(port, { "x-mark": "there" })
      const open = kept[0]!
      assert.strictEqual(open.request.headers["x-mark"], "there")
      assert.strictEqual(open.remoteAddress, "127.0.0.1")
      assert.strictEqual(yield* open.accept, yield* open.accept)
    })
  )
})
