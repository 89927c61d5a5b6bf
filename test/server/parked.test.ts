/**
 * Connections that wait without a fiber: those of a handler that is nothing but `WebSocket.runForEachArray`, and proxied ones.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Fiber, Layer, Scheduler, Scope } from "effect"
import { setImmediate as turn } from "node:timers/promises"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import type { WebSocketError } from "../../src/connection/WebSocketError.ts"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import * as WebSocketProxy from "../../src/proxy/WebSocketProxy.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { close, shown, text } from "../connection/connected.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { countingFibers } from "./resources.ts"
import { collectingLogs, eventually, noneOpen, type Options, portOf, serving } from "./serving.ts"
import { ask, connect, leave, upgraded, upgradeRequest, type Wire } from "./wire.ts"

const count = 20

const echo = (webSocket: WebSocket.WebSocket) =>
  WebSocket.runForEachArray(webSocket, (messages) => webSocket.sendAll(messages))

const exchange = (wire: Wire, word: string) =>
  Effect.gen(function* () {
    wire.send(text(word))
    assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, word])
  })

describe("a connection that waits", () => {
  it.live("has no fiber, also when it has sent, and has answered pings", () =>
    countingFibers((fibers) =>
      Effect.gen(function* () {
        const { port, server } = yield* serving(echo)
        const first = yield* upgraded(port)
        yield* exchange(first, "first")
        const before = fibers.active
        const wires = yield* Effect.forEach(Array.from({ length: count }), () => upgraded(port))
        for (const wire of wires) {
          yield* exchange(wire, "one")
          wire.send({ opcode: Opcode.ping, payload: Buffer.from("here") })
          assert.strictEqual((yield* wire.next).opcode, Opcode.pong)
        }
        assert.strictEqual(yield* server.connections, count + 1)
        yield* eventually(
          "no fiber is left",
          Effect.sync(() => fibers.active <= before)
        )
        for (const wire of wires) wire.send(close(1000))
        for (const wire of wires) assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1000, ""])
        first.end()
        yield* eventually("nobody is left", noneOpen(server))
      })
    )
  )

  it.live("has one fiber to its end, once it was given an effect of the application's: its children live as long", () =>
    Effect.gen(function* () {
      const ended: Array<string> = []
      const ids = new Set<number>()
      const { port, server } = yield* serving((webSocket) =>
        WebSocket.runForEachArray(webSocket, (messages) => {
          if (messages.includes("plain")) return webSocket.sendAll(messages)
          const child = Effect.ensuring(
            Effect.andThen(Effect.delay(webSocket.send("from the child"), "50 millis"), Effect.never),
            Effect.sync(() => void ended.push("child"))
          )
          return Effect.gen(function* () {
            ids.add(yield* Effect.fiberId)
            if (messages.includes("fork")) yield* Effect.forkChild(child)
            yield* webSocket.sendAll(messages)
          })
        })
      )
      const wire = yield* upgraded(port)
      for (const word of ["plain", "fork", "more", "plain"]) yield* exchange(wire, word)
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "from the child"])
      yield* exchange(wire, "more")
      assert.deepStrictEqual([ids.size, ended], [1, []])
      wire.send(close(1000))
      yield* leave(wire)
      yield* eventually("nobody is left", noneOpen(server))
      assert.deepStrictEqual(ended, ["child"])
    })
  )

  it.live("has no fiber, if it is proxied, and both sides are heard", () =>
    countingFibers((fibers) =>
      Effect.gen(function* () {
        const { target } = yield* RawTarget.listen({
          onConnection: (connection) => {
            connection.sink = (chunk) => void connection.socket.write(chunk)
            connection.socket.on("end", () => connection.socket.end())
          }
        })
        const proxy = yield* Proxy.serve({ target })
        const first = yield* upgraded(proxy.port)
        first.send(text("first"))
        assert.deepStrictEqual(shown(yield* first.next)[0], Opcode.binary)
        const before = fibers.active
        const wires = yield* Effect.forEach(Array.from({ length: count }), () => upgraded(proxy.port))
        for (const wire of wires) {
          wire.send(text("one"))
          assert.strictEqual(Buffer.from((yield* wire.next).payload).toString(), "one")
        }
        assert.strictEqual(yield* proxy.connections, count + 1)
        yield* eventually(
          "no fiber is left",
          Effect.sync(() => fibers.active <= before)
        )
        for (const wire of [...wires, first]) wire.send(close(1000))
        for (const wire of [...wires, first]) assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1000, ""])
        yield* proxy.idle()
        assert.deepStrictEqual(proxy.log, [])
      })
    )
  )

  it.live("leaves nobody to wait for a target that has ended, if it is proxied", () =>
    countingFibers((fibers) =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const proxy = yield* Proxy.serve({ target: listener.target, closeTimeout: "1 hour" })
        const before = fibers.active
        const wire = yield* upgraded(proxy.port)
        const target = yield* listener.accept
        wire.send(close(1000))
        assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1000, ""])
        yield* target.until("end")
        yield* eventually(
          "it is waited for",
          Effect.sync(() => fibers.active > before)
        )
        yield* target.end()
        yield* proxy.idle()
        yield* eventually(
          "nobody waits",
          Effect.sync(() => fibers.active <= before)
        )
      })
    )
  )

  it.live("gives its batches one after the other, also to a handler that waits, and loses none", () =>
    Effect.gen(function* () {
      const seen: Array<Message> = []
      const busy = { now: 0, most: 0 }
      const { port } = yield* serving((webSocket) =>
        WebSocket.runForEachArray(webSocket, (messages) =>
          Effect.gen(function* () {
            busy.most = Math.max(busy.most, ++busy.now)
            yield* Effect.sleep("2 millis")
            seen.push(...messages)
            busy.now--
          })
        )
      )
      const wire = yield* upgraded(port)
      const words = Array.from({ length: 60 }, (_, i) => `word ${i}`)
      for (const word of words) {
        wire.send(text(word))
        yield* Effect.sleep("1 millis")
      }
      wire.send(close(1000))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
      assert.deepStrictEqual(seen, words)
      assert.strictEqual(busy.most, 1)
    })
  )

  it.live("ends with 1011 when what it does for a batch fails, and says so once", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port, server } = yield* serving((webSocket) =>
          WebSocket.runForEachArray(webSocket, (messages): Effect.Effect<void, unknown> =>
            messages.includes("fail") ? Effect.fail("as asked") : webSocket.sendAll(messages)
          )
        )
        const wire = yield* upgraded(port)
        yield* exchange(wire, "go on")
        wire.send(text("fail"))
        assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1011, ""])
        yield* eventually("nobody is left", noneOpen(server))
        const errors = logs.filter(({ level }) => level === "Error")
        assert.strictEqual(errors.length, 1)
        assert.match(errors[0]!.text, /A WebSocket handler failed.*as asked/s)
      })
    )
  )

  it.live("has one scope, which ends with it", () =>
    Effect.gen(function* () {
      const ends: Array<string> = []
      const { port, server } = yield* serving((webSocket) =>
        WebSocket.runForEachArray(webSocket, ([message]) =>
          Effect.andThen(
            Effect.addFinalizer(() => Effect.sync(() => void ends.push(`end of ${String(message)}`))),
            webSocket.send(message)
          )
        )
      )
      const wire = yield* upgraded(port)
      for (const word of ["one", "two"]) yield* exchange(wire, word)
      assert.deepStrictEqual(ends, [])
      wire.send(close(1000))
      yield* leave(wire)
      yield* eventually("nobody is left", noneOpen(server))
      assert.deepStrictEqual(ends, ["end of two", "end of one"])
    })
  )

  it.live("does what others ask of it meanwhile: to send, to ping, to close", () =>
    Effect.gen(function* () {
      const opened = yield* Deferred.make<WebSocket.WebSocket>()
      const { port, server } = yield* serving((webSocket) => {
        Deferred.doneUnsafe(opened, Effect.succeed(webSocket))
        return echo(webSocket)
      })
      const wire = yield* upgraded(port)
      const webSocket = yield* Deferred.await(opened)
      yield* webSocket.send("news")
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "news"])
      const pinging = yield* Effect.forkChild(webSocket.ping())
      const { payload } = yield* wire.next
      wire.send({ opcode: Opcode.pong, payload })
      yield* Fiber.join(pinging)
      const closing = yield* Effect.forkChild(webSocket.close(3000, "enough"))
      assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 3000, "enough"])
      yield* Fiber.join(closing)
      yield* eventually("nobody is left", noneOpen(server))
    })
  )

  it.live("lets another reader have what it gives up between two batches", () =>
    Effect.gen(function* () {
      const opened = yield* Deferred.make<WebSocket.WebSocket>()
      const { port } = yield* serving((webSocket) => {
        Deferred.doneUnsafe(opened, Effect.succeed(webSocket))
        return echo(webSocket)
      })
      const wire = yield* upgraded(port)
      const webSocket = yield* Deferred.await(opened)
      const other = yield* Effect.forkChild(webSocket.pullMessages, { startImmediately: true })
      yield* exchange(wire, "one")
      wire.send(text("two"))
      assert.deepStrictEqual(yield* Fiber.join(other), ["two"])
      yield* exchange(wire, "three")
    })
  )

  it.live("is gone when its client is", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo)
      const wires = yield* Effect.forEach(Array.from({ length: count }), () => upgraded(port))
      for (const wire of wires) wire.reset()
      yield* eventually("nobody is left", noneOpen(server))
    })
  )

  it.live("ends when it has been idle for too long, or has broken the protocol", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo, { idleTimeout: "200 millis", closeTimeout: "200 millis" })
      const idle = yield* upgraded(port)
      assert.deepStrictEqual(shown(yield* idle.next).slice(0, 2), [Opcode.close, 1001])
      const wrong = yield* upgraded(port)
      wrong.write(new Uint8Array([0x83, 0x80, 0, 0, 0, 0]))
      assert.deepStrictEqual(shown(yield* wrong.next).slice(0, 2), [Opcode.close, 1002])
      yield* eventually("nobody is left", noneOpen(server))
    })
  )
})

describe("a handler that does more than to wait", () => {
  it.live("lasts as long as its connection", () =>
    Effect.gen(function* () {
      let isOver = false
      const { port, server } = yield* serving((webSocket) =>
        Effect.ensuring(
          echo(webSocket),
          Effect.sync(() => void (isOver = true))
        )
      )
      const wire = yield* upgraded(port)
      for (const word of ["one", "two"]) yield* exchange(wire, word)
      assert.isFalse(isOver)
      wire.send(close(1000))
      yield* leave(wire)
      yield* eventually("nobody is left", noneOpen(server))
      assert.isTrue(isOver)
    })
  )
})

describe("a proxy's handler that somebody has put something around", () => {
  it.live("lasts as long as its connection", () =>
    Effect.gen(function* () {
      let isOver = false
      const { target } = yield* RawTarget.listen({
        onConnection: (connection) => {
          connection.socket.pipe(connection.socket)
        }
      })
      const server = Context.get(yield* Layer.build(NodeWebSocketServer.layer({ port: 0 })), WebSocketServer)
      const around = WebSocketServer.of({
        ...server,
        runRequests: (handler) =>
          server.runRequests((open) =>
            Effect.ensuring(
              handler(open),
              Effect.sync(() => void (isOver = true))
            )
          )
      })
      yield* Layer.build(
        WebSocketProxy.layer({ target }).pipe(
          Layer.provide(Layer.succeed(WebSocketServer)(around)),
          Layer.provide(NodeDialer.layer())
        )
      )
      const wire = yield* upgraded(portOf(server))
      wire.send({ opcode: Opcode.binary, payload: Buffer.from("there and back") })
      assert.strictEqual((yield* wire.next).payload.length, 14)
      for (let i = 0; i < 10; i++) yield* Effect.promise(() => turn())
      assert.isFalse(isOver)
      wire.send(close(1000))
      yield* leave(wire)
      yield* eventually("nobody is left", noneOpen(server))
      assert.isTrue(isOver)
    })
  )
})

describe("interrupting run", () => {
  const stopping = Effect.fnUntraced(function* (options: Options) {
    const served = yield* serving(echo, options)
    const wires = yield* Effect.forEach(Array.from({ length: count }), () => upgraded(served.port))
    for (const wire of wires) yield* exchange(wire, "here")
    // the scope of the test may end before what it forks does
    const fiber = yield* Effect.forkIn(served.stop, yield* Scope.make())
    return { ...served, wires, fiber }
  })

  it.live("closes those that wait with 1001, and is done when the clients have answered", () =>
    Effect.gen(function* () {
      const { fiber, port, server, wires } = yield* stopping({})
      for (const wire of wires) assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1001, ""])
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* server.connections, 0)
      assert.strictEqual((yield* ask(port, upgradeRequest())).status, 503)
    })
  )

  it.live("with drainTimeout lets them go on, and closes with 1001 who is left at the deadline", () =>
    Effect.gen(function* () {
      const { fiber, wires } = yield* stopping({ drainTimeout: "300 millis" })
      const [first, ...others] = wires
      yield* exchange(first!, "still served")
      first!.send(close(1000))
      assert.deepStrictEqual(yield* leave(first!), [Opcode.close, 1000, ""])
      for (const wire of others) assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1001, ""])
      yield* Fiber.join(fiber)
    })
  )

  it.live("with drainTimeout is done as soon as the last has ended by itself", () =>
    Effect.gen(function* () {
      const { fiber, wires } = yield* stopping({ drainTimeout: "Infinity" })
      for (const wire of wires) wire.send(close(1000))
      for (const wire of wires) assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1000, ""])
      yield* Fiber.join(fiber)
    })
  )

  it.live("with drainTimeout waits for what one of them begins, also if that ends the last other", () =>
    Effect.gen(function* () {
      const ended = yield* Deferred.make<void>()
      const { port, server, stop } = yield* serving(
        (webSocket, request): Effect.Effect<unknown, WebSocketError> =>
          request.path === "/other"
            ? Deferred.await(ended)
            : WebSocket.runForEachArray(webSocket, (messages) =>
                Effect.andThen(
                  Deferred.succeed(ended, undefined),
                  Effect.delay(webSocket.sendAll(messages), "50 millis")
                )
              ),
        { drainTimeout: "5 seconds", closeTimeout: "200 millis" }
      )
      const wire = yield* upgraded(port)
      const other = yield* connect(port)
      other.write(upgradeRequest({}, "/other"))
      assert.strictEqual((yield* other.response).status, 101)
      other.reset()
      const stopping = yield* Effect.forkIn(stop, yield* Scope.make(), { startImmediately: true })
      yield* exchange(wire, "answered")
      wire.send(close(1000))
      assert.deepStrictEqual(yield* leave(wire), [Opcode.close, 1000, ""])
      yield* Fiber.join(stopping)
      assert.strictEqual(yield* server.connections, 0)
    })
  )

  it.live(
    "at any step of a proxied pair closes it with 1001",
    () =>
      Effect.gen(function* () {
        const codes: Array<unknown> = []
        for (const steps of [5, 7, 13]) {
          for (const turns of [0, 1, 2, 3, 5]) {
            yield* Effect.scoped(
              Effect.gen(function* () {
                const { target } = yield* RawTarget.listen({
                  onConnection: ({ socket }) => void socket.on("end", () => socket.end())
                })
                const proxy = yield* Effect.provideService(
                  Proxy.serve({ target, closeTimeout: "200 millis" }),
                  Scheduler.MaxOpsBeforeYield,
                  steps
                )
                const wires = yield* Effect.forEach([1, 2, 3], () => upgraded(proxy.port))
                for (const wire of wires) {
                  wire.send(text("a"), { opcode: Opcode.ping, payload: Buffer.from("p") }, text("b"))
                }
                for (let i = 0; i < turns; i++) yield* Effect.promise(() => turn())
                const stopping = yield* Effect.forkIn(proxy.stop, yield* Scope.make(), { startImmediately: true })
                for (const wire of wires) {
                  let frame = yield* wire.next
                  while (frame.opcode !== Opcode.close) frame = yield* wire.next
                  codes.push(shown(frame)[1])
                  wire.send(close(1000))
                  yield* wire.ended
                  wire.end()
                }
                yield* Fiber.join(stopping)
                assert.deepStrictEqual(proxy.log, [])
              })
            )
          }
        }
        assert.deepStrictEqual([...new Set(codes)], [1001])
      }),
    20_000
  )

  it.live("cuts off who does not answer, after closeTimeout", () =>
    Effect.gen(function* () {
      const { fiber, server, wires } = yield* stopping({ closeTimeout: "200 millis" })
      yield* Fiber.join(fiber)
      assert.strictEqual(yield* server.connections, 0)
      for (const wire of wires) assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1001, ""])
    })
  )
})
