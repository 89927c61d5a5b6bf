import { NodeSocket, NodeSocketServer } from "@effect/platform-node"
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Exit, Fiber, Option, Stream } from "effect"
import { NetAddress } from "effect/net"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import * as Limits from "../../src/connection/Limits.ts"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import { connected, settled } from "./connected.ts"
import { makePair } from "./pair.ts"

describe("over sockets of effect's own", () => {
  it.live("both roles speak TCP with each other: messages, a large one, pings, a clean close", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<number>()
      const server = yield* NodeSocketServer.make({ port: 0, host: "127.0.0.1" })
      yield* Effect.forkScoped(
        server.run((socket) =>
          Effect.gen(function* () {
            const webSocket = yield* WebSocket.make(socket, { role: "server" })
            yield* Stream.runForEachArray(webSocket.messages, (batch) => webSocket.sendAll(batch))
            yield* Deferred.succeed(ended, (yield* webSocket.closed).code)
          }).pipe(Effect.scoped)
        )
      )
      const { address } = server
      if (!NetAddress.isInetAddress(address)) return assert.fail("no port")
      const client = yield* WebSocket.make(yield* NodeSocket.makeNet({ port: address.port, host: "127.0.0.1" }), {
        role: "client"
      })
      const large = new Uint8Array(1024 * 1024).fill(7)
      const answers = yield* Effect.forkChild(Stream.runCollect(client.messages))
      yield* client.sendAll(["hello", "", large])
      yield* client.ping()
      yield* client.sendFragments(Stream.make("in ", "pieces"))
      yield* client.ping()
      yield* client.close(3000)
      const got = yield* Fiber.join(answers)
      assert.deepStrictEqual([got[0], got[1], got[2]?.length, got[3]], ["hello", "", large.length, "in pieces"])
      assert.strictEqual(yield* Deferred.await(ended), 3000)
      assert.strictEqual((yield* client.closed).wasClean, true)
    })
  )
})

describe("a transport", () => {
  it.effect("that cannot be opened fails make with its own error, and nothing is held", () =>
    Effect.gen(function* () {
      const error = new Socket.SocketError({
        reason: new Socket.SocketOpenError({ kind: "Timeout", cause: undefined })
      })
      const pair = makePair()
      const socket = Socket.make({ reader: Effect.fail(error), writer: pair.client.socket.writer })
      assert.deepStrictEqual(
        yield* Effect.exit(Effect.scoped(WebSocket.make(socket, { role: "client" }))),
        Exit.fail(error)
      )
      assert.strictEqual(pair.client.held(), 0)
    })
  )

  for (const [what, writer] of [
    ["is given up", Effect.never],
    ["fails", Effect.die(new Error("no writer"))]
  ] as const) {
    it.effect(`whose writer ${what} while it is acquired has its reader released`, () =>
      Effect.gen(function* () {
        let held = 0
        const pair = makePair()
        const reader = Effect.andThen(
          Effect.acquireRelease(
            Effect.sync(() => held++),
            () => Effect.sync(() => held--)
          ),
          pair.client.socket.reader
        )
        const making = yield* Effect.forkChild(
          Effect.scoped(WebSocket.make(Socket.make({ reader, writer }), { role: "client" })),
          { startImmediately: true }
        )
        yield* Fiber.interrupt(making)
        assert.strictEqual(held, 0)
      })
    )
  }

  it.effect("that takes no abnormal code is released when its peer is given up, and its reader learns of it", () =>
    Effect.gen(function* () {
      const outer = yield* connected()
      yield* Effect.forkChild(Effect.ignore(Stream.runDrain(outer.client.messages)))
      const limits = Limits.make({ closeTimeout: "3 seconds" })
      const inner = yield* WebSocket.make(outer.server.socket, { role: "server", limits })
      const reading = yield* Effect.forkChild(Effect.exit(Stream.runDrain(inner.messages)))
      yield* settled
      const closing = yield* Effect.forkChild(inner.close())
      yield* settled
      yield* TestClock.adjust("4 seconds")
      yield* Fiber.join(closing)
      assert.isTrue(Exit.isFailure(yield* Fiber.join(reading)))
    })
  )

  it.effect("that takes for ever to open can be given up", () =>
    Effect.gen(function* () {
      let released = 0
      const socket = Socket.make({
        reader: Effect.andThen(
          Effect.acquireRelease(Effect.void, () => Effect.sync(() => released++)),
          Effect.never
        ),
        writer: makePair().client.socket.writer
      })
      const opening = yield* Effect.forkChild(Effect.scoped(WebSocket.make(socket, { role: "client" })))
      yield* settled
      yield* Fiber.interrupt(opening)
      assert.strictEqual(released, 1)
    })
  )
})

describe("two fibers that read one connection", () => {
  it.effect("take turns: each message goes to one of them, in order, and both see the end", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const got: Array<string> = []
      const read = Stream.runForEach(server.messages, (message) =>
        Effect.andThen(
          Effect.sync(() => got.push(String(message))),
          Effect.yieldNow
        )
      )
      const readers = yield* Effect.forEach([1, 2, 3], () => Effect.forkChild(read))
      for (let i = 0; i < 50; i++) yield* client.send(`${i}`)
      yield* client.close()
      yield* Fiber.joinAll(readers)
      assert.deepStrictEqual(
        got,
        Array.from({ length: 50 }, (_, i) => `${i}`)
      )
    })
  )

  it.effect("wait for their turn in vain if they are interrupted, and hold up no other", () =>
    Effect.gen(function* () {
      const { client, server } = yield* connected()
      const read = Effect.tap(Effect.forkChild(Stream.runHead(server.messages)), () => settled)
      const [reads, waits, waitsToo] = [yield* read, yield* read, yield* read]
      yield* Fiber.interrupt(waits)
      for (const [message, reader] of [
        ["one", reads],
        ["two", waitsToo]
      ] as const) {
        yield* client.send(message)
        yield* settled
        assert.deepStrictEqual(reader.pollUnsafe(), Exit.succeed(Option.some(message)))
      }
    })
  )
})
