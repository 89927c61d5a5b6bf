/**
 * The end of a client's connection: by either side, in order and not, and what the server is told when the scope is left. Whoever
 * leaves waits for the server's end of the byte stream, and not for longer than `closeTimeout`.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import type { WebSocketError } from "../../src/connection/WebSocketError.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, shown, text } from "../connection/connected.ts"
import { soon } from "../proxy/connected.ts"
import { pass } from "../proxy/watch.ts"
import { drain, eventually, serving } from "../server/serving.ts"
import { make } from "./client.ts"
import { opened, turns } from "./server.ts"
import * as WsServer from "./wsServer.ts"

const reasonOf = (error: WebSocketError) => error.reason._tag

/** A connection to a server, left with success. */
const visiting = <A, E, R>(
  server: WsServer.WsServer,
  visit: (webSocket: WebSocket, visitor: WsServer.Visitor) => Effect.Effect<A, E, R>
) =>
  Effect.gen(function* () {
    const webSocket = yield* (yield* make()).connect(server.url)
    return yield* visit(webSocket, yield* server.accept)
  }).pipe(Effect.scoped)

const longest = "é".repeat(61) + "!"

describe("a closing handshake with ws", { timeout: 30_000 }, () => {
  it.live.each([
    [undefined, undefined, 1000, ""],
    [1000, "bye", 1000, "bye"],
    [1001, "", 1001, ""],
    [3000, "Grüße", 3000, "Grüße"],
    [4999, longest, 4999, longest]
  ] as const)("that the client begins: %s %s", ([code, reason, sentCode, sentReason]) =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen()
      yield* visiting(server, (webSocket) =>
        Effect.gen(function* () {
          const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
          yield* webSocket.send("before")
          yield* webSocket.close(code, reason)
          // the stream ends: nothing is wrong. ws repeats code and reason
          yield* Fiber.join(reading)
          assert.deepStrictEqual(yield* webSocket.closed, { code: sentCode, reason: sentReason, wasClean: true })
          const error = yield* Effect.flip(webSocket.send("after"))
          assert.deepStrictEqual([reasonOf(error), error.closeCode], ["ConnectionClosed", sentCode])
        })
      )
      const [visitor] = server.visitors
      const { _tag, ...end } = yield* visitor!.until("close")
      assert.deepStrictEqual(end, { code: sentCode, reason: sentReason })
      assert.deepStrictEqual(visitor!.messages, ["before"])
    })
  )

  it.live.each([
    [1000, ""],
    [1001, "going"],
    [1011, "broken"],
    [3210, longest],
    [undefined, ""]
  ] as const)("that the server begins: %s %s", ([code, reason]) =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen({}, ({ socket }) => {
        socket.send("before")
        socket.close(code, reason)
      })
      yield* visiting(server, (webSocket) =>
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), ["before"])
          assert.deepStrictEqual(yield* webSocket.closed, { code: code ?? 1005, reason, wasClean: true })
        })
      )
      const [visitor] = server.visitors
      assert.strictEqual((yield* visitor!.until("close")).code, code ?? 1005)
    })
  )

  it.live("that both begin at a time", () =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen()
      yield* visiting(server, (webSocket, { socket }) =>
        Effect.gen(function* () {
          socket.close(4001, "server")
          yield* webSocket.close(4002, "client")
          assert.deepStrictEqual(yield* webSocket.closed, { code: 4001, reason: "server", wasClean: true })
        })
      )
      const [visitor] = server.visitors
      assert.strictEqual((yield* visitor!.until("close")).code, 4002)
    })
  )

  it.live.each([0, 999, 1004, 1005, 1006, 1015, 1016, 2999, 5000, 1000.5, Number.NaN])(
    "cannot have the code %d",
    (code) =>
      Effect.gen(function* () {
        const server = yield* WsServer.listen()
        const webSocket = yield* (yield* make()).connect(server.url)
        assert.strictEqual(reasonOf(yield* Effect.flip(webSocket.close(code))), "InvalidUsage")
        yield* webSocket.send("still open")
        const visitor = yield* server.accept
        assert.deepStrictEqual(yield* visitor.untilMessages(1), ["still open"])
      })
  )
})

describe("leaving the scope", { timeout: 30_000 }, () => {
  const ends: ReadonlyArray<readonly [string, Effect.Effect<unknown, string>, number]> = [
    ["after success", Effect.void, 1000],
    ["after a failure", Effect.fail("no"), 1011],
    ["after a defect", Effect.die("no"), 1011],
    ["by an interruption", Effect.interrupt, 1001]
  ]

  it.live.each(ends)("%s is told to the server", ([, end, code]) =>
    Effect.gen(function* () {
      const own = yield* serving(drain)
      const server = yield* WsServer.listen()
      const client = yield* make()
      for (const url of [server.url, own.url]) {
        const program = Effect.scoped(
          Effect.gen(function* () {
            const webSocket = yield* client.connect(url)
            yield* webSocket.send("sent before")
            assert.strictEqual(yield* client.connections, 1)
            return yield* end
          })
        )
        yield* Effect.exit(program)
        assert.strictEqual(yield* client.connections, 0)
      }
      const visitor = yield* server.accept
      const { _tag, ...closed } = yield* visitor.until("close")
      assert.deepStrictEqual(closed, { code, reason: "" })
      assert.deepStrictEqual(visitor.messages, ["sent before"])
      yield* eventually(
        "our own server has none left",
        Effect.map(own.server.connections, (count) => count === 0)
      )
    })
  )

  it.live("by the interruption of who reads is told to the server", () =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen()
      const client = yield* make()
      const program = Effect.flatMap(client.connect(server.url), ({ messages }) => Stream.runDrain(messages))
      const fiber = yield* Effect.forkChild(Effect.scoped(program))
      const visitor = yield* server.accept
      // before that there is nobody to tell
      yield* eventually(
        "it is open",
        Effect.map(client.connections, (count) => count === 1)
      )
      yield* Fiber.interrupt(fiber)
      assert.strictEqual((yield* visitor.until("close")).code, 1001)
    })
  )

  it.live("delivers what was sent, however much that is and however slow the server", () =>
    Effect.gen(function* () {
      const { connection, leave, peer, webSocket } = yield* opened()
      connection.pause()
      const bytes = new Uint8Array(6_000_000).fill(7)
      const sending = yield* Effect.forkChild(webSocket.send(bytes), { startImmediately: true })
      yield* pass(100)
      const leaving = yield* Effect.forkChild(Effect.andThen(Fiber.join(sending), leave()), { startImmediately: true })
      yield* pass(100)
      connection.resume()
      let size = 0
      for (;;) {
        const frame = yield* peer.next
        if (frame.opcode === Opcode.close) {
          assert.deepStrictEqual(shown(frame), [Opcode.close, 1000, ""])
          break
        }
        size += frame.payload.length
      }
      assert.strictEqual(size, bytes.length)
      yield* peer.send(close(1000))
      yield* connection.end()
      yield* Fiber.join(leaving)
    })
  )

  it.live("waits for the server's Close frame and for its end of the byte stream", () =>
    Effect.gen(function* () {
      const { client, connection, leave, peer } = yield* opened({ closeTimeout: "60 seconds" })
      const leaving = yield* Effect.forkChild(leave(), { startImmediately: true })
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1000, ""])
      yield* pass(50)
      assert.deepStrictEqual(connection.log, [])
      assert.isUndefined(leaving.pollUnsafe())
      yield* peer.send(text("late"), close(1000))
      yield* pass(50)
      assert.isUndefined(leaving.pollUnsafe())
      yield* connection.end()
      yield* Fiber.join(leaving)
      yield* connection.until("closed", soon)
      assert.deepStrictEqual(connection.log, ["end", "closed"])
      assert.strictEqual(yield* client.connections, 0)
    })
  )

  // RFC 6455 section 7.1.1: it is the server that is to remember the connection (TIME_WAIT), so a client does not end it first
  it.live("leaves it to the server to end the byte stream first", () =>
    Effect.gen(function* () {
      const { connection, leave, peer } = yield* opened({ closeTimeout: "60 seconds" })
      const leaving = yield* Effect.forkChild(leave(), { startImmediately: true })
      yield* peer.next
      yield* peer.send(close(1000))
      yield* Effect.andThen(turns, pass(50))
      assert.deepStrictEqual(connection.log, [], "the client ended the byte stream before the server did")
      yield* connection.end()
      yield* Fiber.join(leaving)
    })
  )

  it.live("waits for a server that does not answer the Close frame for the close timeout, and cuts it off", () =>
    Effect.gen(function* () {
      const { connection, leave, peer } = yield* opened({ closeTimeout: 150 })
      yield* leave()
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1000, ""])
      yield* connection.watch.until("the end", () => connection.over, soon)
    })
  )

  it.live("waits for a server that does not end the byte stream for the close timeout, and cuts it off", () =>
    Effect.gen(function* () {
      const { client, connection, leave, peer, webSocket } = yield* opened({ closeTimeout: 150 })
      const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      const leaving = yield* Effect.forkChild(leave(), { startImmediately: true })
      yield* peer.next
      yield* peer.send(close(1000))
      yield* Fiber.join(leaving)
      yield* Fiber.join(reading)
      assert.deepStrictEqual(yield* webSocket.closed, { code: 1000, reason: "", wasClean: true })
      assert.strictEqual(yield* client.connections, 0)
      // it is closed for good: what comes now is answered by a reset
      yield* connection.watch.until("the end", () => connection.over, soon)
      yield* Effect.forkChild(Effect.forever(Effect.andThen(peer.send(text("still here?")), pass(10))))
      yield* connection.until("closed", soon)
    })
  )

  it.live("waits for a server that goes on sending no longer than the close timeout allows", () =>
    Effect.gen(function* () {
      const { connection, leave, peer } = yield* opened({ closeTimeout: 150 })
      const flood = yield* Effect.forkChild(Effect.forever(Effect.andThen(peer.send(text("x".repeat(1000))), turns)))
      yield* leave(Exit.fail("no"))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 1011, ""])
      yield* connection.until("closed", soon)
      yield* Fiber.interrupt(flood)
    })
  )

  it.live("of a connection that is closed already says nothing more", () =>
    Effect.gen(function* () {
      const { connection, leave, peer, webSocket } = yield* opened({ closeTimeout: "60 seconds" })
      yield* peer.send(close(4000, "bye"))
      yield* Stream.runDrain(webSocket.messages)
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 4000, ""])
      yield* connection.end()
      yield* leave(Exit.fail("no"))
      yield* connection.until("closed", soon)
      assert.strictEqual(peer.waiting, 0)
    })
  )
})

describe("a scope that lasts", { timeout: 30_000 }, () => {
  it.live("holds no connection behind the closing handshake, whoever began that", () =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen()
      const client = yield* make({ closeTimeout: "60 seconds" })
      for (const begin of ["client", "server"] as const) {
        const webSocket = yield* client.connect(server.url)
        const visitor = yield* server.accept
        const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages), { startImmediately: true })
        if (begin === "server") visitor.socket.close(4000)
        else yield* webSocket.close(4000)
        yield* Fiber.join(reading)
        // ws tells it when the connection beneath is gone
        assert.strictEqual((yield* visitor.until("close")).code, 4000)
      }
    })
  )

  it.live("holds no connection that the server does not end in time", () =>
    Effect.gen(function* () {
      const { connection, peer, webSocket } = yield* opened({ closeTimeout: 150 })
      yield* peer.send(close(1000))
      yield* Stream.runDrain(webSocket.messages)
      yield* connection.watch.until("the end", () => connection.over, soon)
      yield* Effect.forkChild(Effect.forever(Effect.andThen(peer.send(text("still here?")), pass(10))))
      yield* connection.until("closed", soon)
    })
  )
})

describe("a server that breaks off", { timeout: 30_000 }, () => {
  it.live.each(["reset", "FIN"] as const)("by %s: the connection is lost, and left at once", (how) =>
    Effect.gen(function* () {
      const { connection, leave, webSocket } = yield* opened({ closeTimeout: "60 seconds" })
      const reading = yield* Effect.forkChild(Stream.runDrain(webSocket.messages), { startImmediately: true })
      const pinging = yield* Effect.forkChild(webSocket.ping(), { startImmediately: true })
      yield* how === "reset" ? connection.reset() : connection.end()
      const error = yield* Effect.flip(Fiber.join(reading))
      assert.deepStrictEqual([reasonOf(error), error.closeCode], ["ConnectionLost", 1006])
      assert.deepStrictEqual(yield* webSocket.closed, { code: 1006, reason: "", wasClean: false })
      assert.strictEqual(reasonOf(yield* Effect.flip(Fiber.join(pinging))), "ConnectionClosed")
      assert.strictEqual(reasonOf(yield* Effect.flip(webSocket.send("x"))), "ConnectionClosed")
      yield* leave()
    })
  )

  it.live("by a reset, while nobody reads: leaving does not wait", () =>
    Effect.gen(function* () {
      const { connection, leave, webSocket } = yield* opened({ closeTimeout: "60 seconds" })
      yield* connection.reset()
      yield* connection.until("closed", soon)
      yield* Effect.andThen(turns, pass(20))
      assert.strictEqual((yield* Effect.exit(webSocket.send("x")))._tag, "Failure")
      yield* leave()
    })
  )

  it.live("by a reset, while much waits to be sent: who sends is told", () =>
    Effect.gen(function* () {
      const { connection, webSocket } = yield* opened({ closeTimeout: "60 seconds" })
      connection.pause()
      const sending = yield* Effect.forkChild(webSocket.send(new Uint8Array(50_000_000)), { startImmediately: true })
      yield* pass(50)
      assert.isUndefined(sending.pollUnsafe())
      yield* connection.reset()
      assert.strictEqual(reasonOf(yield* Effect.flip(Fiber.join(sending))), "ConnectionLost")
    })
  )

  it.live("in the middle of a frame", () =>
    Effect.gen(function* () {
      const { connection, webSocket } = yield* opened()
      yield* connection.write(new Uint8Array([0x81, 0x05, 0x68]))
      yield* connection.end()
      const error = yield* Effect.flip(Stream.runDrain(webSocket.messages))
      assert.strictEqual(reasonOf(error), "ConnectionLost")
    })
  )
})

describe("how many connections are open", { timeout: 30_000 }, () => {
  it.live("is counted", () =>
    Effect.gen(function* () {
      const { url } = yield* serving(drain)
      const client = yield* make()
      assert.strictEqual(yield* client.connections, 0)
      yield* Effect.gen(function* () {
        yield* client.connect(url)
        assert.strictEqual(yield* client.connections, 1)
        yield* Effect.scoped(
          Effect.gen(function* () {
            yield* Effect.all([client.connect(url), client.connect(url)])
            assert.strictEqual(yield* client.connections, 3)
          })
        )
        assert.strictEqual(yield* client.connections, 1)
        yield* Effect.flip(client.connect(`${url}#`.replace("#", "#x")))
        assert.strictEqual(yield* client.connections, 1)
        // another client has its own
        assert.strictEqual(yield* (yield* make()).connections, 0)
      }).pipe(Effect.scoped)
      assert.strictEqual(yield* client.connections, 0)
    })
  )

  it.live("does not count what the server has closed, even if its scope lasts", () =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen({}, ({ socket }) => socket.close())
      const client = yield* make()
      yield* Effect.scoped(
        Effect.gen(function* () {
          const webSocket = yield* client.connect(server.url)
          yield* Stream.runDrain(webSocket.messages)
          yield* webSocket.closed
          assert.strictEqual(yield* client.connections, 0)
        })
      )
      assert.strictEqual(yield* client.connections, 0)
    })
  )
})
