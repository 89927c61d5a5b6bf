/** What a connection holds while nothing comes, by the process's own account of its buffers. */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Stream } from "effect"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import { runForEachArray } from "../../src/connection/WebSocket.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { collectGarbage } from "../component/server.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually, serving } from "./serving.ts"
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
