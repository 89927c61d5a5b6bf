import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { duplexPair } from "node:stream"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as NodeSocket from "../../src/node/NodeSocket.ts"
import { tcp } from "../server/tcp.ts"

const large = 100_000

describe("messages whose memory is given away", () => {
  const connected = Effect.gen(function* () {
    const { far, near } = yield* tcp
    const pair = {
      client: yield* WebSocket.make(NodeSocket.fromDuplex(near), { role: "client" }),
      server: yield* WebSocket.make(NodeSocket.fromDuplex(far.resume()), { role: "server" })
    }
    // before each of them waits for the other's Close
    yield* Effect.addFinalizer(() => Effect.sync(() => void near.destroy()))
    return pair
  })
  /** The length of a message of one byte again and again, and that byte. */
  const filled = (message: Message) => {
    const bytes = typeof message === "string" ? [] : [...new Set(message)]
    return [message.length, ...bytes]
  }
  const roles = ["client", "server"] as const

  it.live.each(roles)("come whole, and what is large is freed: from the %s", (role) =>
    Effect.gen(function* () {
      const pair = yield* connected
      const [from, to] = role === "client" ? [pair.client, pair.server] : [pair.server, pair.client]
      const whole = new Uint8Array(large).fill(1)
      const part = new Uint8Array(large + 1).fill(2).subarray(1)
      const small = new Uint8Array(100).fill(3)
      const got = yield* Effect.forkChild(Stream.runCollect(Stream.take(to.messages, 6)))
      yield* from.sendAll(["text", whole, part, small], { transfer: true })
      const alone = new Uint8Array(large).fill(4)
      yield* from.send(alone, { transfer: true })
      const kept = new Uint8Array(large).fill(5)
      yield* from.send(kept)
      const messages = yield* Fiber.join(got)
      assert.strictEqual(messages[0], "text")
      assert.deepStrictEqual(messages.slice(1).map(filled), [
        [large, 1],
        [large, 2],
        [100, 3],
        [large, 4],
        [large, 5]
      ])
      yield* from.flushed
      assert.deepStrictEqual(
        [whole, part, small, alone, kept].map(({ buffer }) => buffer.byteLength),
        [0, large + 1, 100, 0, large]
      )
    }).pipe(Effect.scoped)
  )

  it.live("that is there twice comes twice", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected
      const whole = new Uint8Array(large).fill(1)
      const got = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.messages, 2)))
      yield* server.sendAll([whole, whole], { transfer: true })
      for (const message of yield* Fiber.join(got)) {
        assert.deepStrictEqual(filled(message), [large, 1])
      }
      assert.strictEqual(whole.length, 0)
    }).pipe(Effect.scoped)
  )

  it.live("go round: what was received is given back", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected
      const seen: Array<Uint8Array> = []
      yield* Effect.forkChild(
        WebSocket.runForEachArray(server, (messages) => {
          for (const message of messages) if (typeof message !== "string") seen.push(message)
          return server.sendAll(messages, { transfer: true })
        })
      )
      const got = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.messages, 20)))
      for (let i = 0; i < 20; i++) yield* client.send(new Uint8Array(large + i).fill(i))
      const messages = yield* Fiber.join(got)
      messages.forEach((message, i) => {
        assert.deepStrictEqual(filled(message), [large + i, i])
      })
      yield* server.flushed
      // some may be parts of what else was read with them
      assert.isAbove(seen.filter(({ buffer }) => buffer.byteLength === 0).length, 10)
    }).pipe(Effect.scoped)
  )

  it.live("whose memory cannot be freed come all the same, and those that another stream passes on", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected
      const ofWasm = new Uint8Array(new WebAssembly.Memory({ initial: 1 }).buffer).fill(1)
      const shared = new Uint8Array(new SharedArrayBuffer(large)).fill(2)
      const got = yield* Effect.forkChild(Stream.runCollect(Stream.take(client.messages, 3)))
      yield* server.sendAll([ofWasm, shared], { transfer: true })
      yield* server.send("after", { transfer: true })
      assert.deepStrictEqual((yield* Fiber.join(got)).map(filled), [[65_536, 1], [large, 2], [5]])

      const [one, other] = duplexPair()
      const from = yield* WebSocket.make(NodeSocket.fromDuplex(one), { role: "server" })
      const to = yield* WebSocket.make(NodeSocket.fromDuplex(other), { role: "client" })
      yield* Effect.addFinalizer(() => Effect.sync(() => [one, other].forEach((end) => end.destroy())))
      const passed = yield* Effect.forkChild(Stream.runCollect(Stream.take(to.messages, 1)))
      yield* from.send(new Uint8Array(large).fill(3), { transfer: true })
      assert.deepStrictEqual((yield* Fiber.join(passed)).map(filled), [[large, 3]])
    }).pipe(Effect.scoped)
  )

  it.live("are not touched if they cannot be sent", () =>
    Effect.gen(function* () {
      const { client } = yield* connected
      yield* client.close(1000, "", { wait: false })
      const whole = new Uint8Array(large)
      yield* Effect.flip(client.send(whole, { transfer: true }))
      assert.strictEqual(whole.length, large)
    }).pipe(Effect.scoped)
  )
})
