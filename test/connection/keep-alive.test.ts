import { assert, describe, it } from "@effect/vitest"
import { Clock, Deferred, Effect, Exit, Fiber, Metric, Stream } from "effect"
import type { Duration } from "effect"
import { Socket } from "effect/socket"
import { TestClock } from "effect/testing"
import { Worker } from "node:worker_threads"
import { WebSocket as Client } from "ws"
import { Connection } from "../../src/connection/internal/connection.ts"
import * as KeepAlive from "../../src/connection/KeepAlive.ts"
import * as Limits from "../../src/connection/Limits.ts"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import type * as Transport from "../../src/connection/Transport.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import type { WebSocketError } from "../../src/connection/WebSocketError.ts"
import * as Message from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import type * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import { memoryServer } from "../server/memory-listener.ts"
import { drain, eventually, noneOpen, serving, steady } from "../server/serving.ts"
import { close, type FrameParts, settled, shown, text } from "./connected.ts"
import { countingLimit } from "./metrics.ts"

/** One connection of a server whose handler is this, and how the handler ended. */
const serve = Effect.fnUntraced(function* (
  options: WebSocketServer.Options,
  handler: (webSocket: WebSocket) => Effect.Effect<unknown, WebSocketError>
) {
  const { open, server } = yield* memoryServer(options)
  const ended = yield* Deferred.make<unknown, WebSocketError>()
  yield* Effect.forkChild(
    server.run((webSocket) => Effect.onExit(handler(webSocket), (exit) => Deferred.done(ended, exit)))
  )
  yield* settled
  const client = yield* open()
  yield* client.answer
  return { ...client, server, ended }
})

/** Answers each ping once the server does nothing, and tells how many came (0) and were answered (1); 2 is when to answer. */
const slowPeer = `
  const { workerData: { url, told } } = require("node:worker_threads")
  const { WebSocket } = require("ws")
  const socket = new WebSocket(url, { autoPong: false })
  socket.on("ping", async () => {
    const answered = Atomics.load(told, 1)
    Atomics.add(told, 0, 1)
    await Atomics.waitAsync(told, 2, answered).value
    socket.pong()
    Atomics.add(told, 1, 1)
    Atomics.notify(told, 1)
  })
`

/** Lets time pass in steps, so that everything has its turn between. */
const pass = (duration: Duration.Input, steps = 20) =>
  Effect.repeat(Effect.andThen(TestClock.adjust(duration), settled), { times: steps - 1 })

describe("pings", () => {
  it.effect("go to a peer that was silent for 30 seconds; each Pong keeps the connection alive", () =>
    Effect.gen(function* () {
      const { ended, peer, server } = yield* serve({}, drain)
      yield* pass("1 second", 29)
      const first = yield* Effect.forkChild(peer.next)
      yield* settled
      assert.isUndefined(first.pollUnsafe(), "not before")
      yield* pass("1 second", 6)
      let ping = yield* Fiber.join(first)
      for (let i = 0; i < 10; i++) {
        assert.strictEqual(ping.opcode, Opcode.ping)
        yield* peer.send({ opcode: Opcode.pong, payload: ping.payload })
        yield* pass("5 seconds", 7)
        ping = yield* peer.next
      }
      assert.isFalse(yield* Deferred.isDone(ended))
      assert.strictEqual(yield* server.connections, 1)
    })
  )

  it.effect("to many at once leave others their turn", () =>
    Effect.gen(function* () {
      const many = 2000
      const limits = Limits.make()
      const clock = yield* Clock.Clock
      const keepAlive = yield* KeepAlive.make(limits)
      let sent = 0
      const writer: Transport.Writer = {
        write: () => Effect.void,
        writeAll: () => Effect.void,
        writeNow: () => {
          sent++
          return undefined
        }
      }
      const reader: Transport.Reader = { pull: Effect.never, upgrade: Socket.SocketUpgradeError.unsupported }
      const ends: Transport.Ends = { end: Effect.void, cut: Effect.void, destroy: () => Effect.void }
      for (let i = 0; i < many; i++) {
        const transport = { reader, writer, ends }
        const connection = new Connection({ terms: { role: "server", limits, clock }, transport })
        connection.inbound.beginRead(Message.Messages)
        keepAlive.watch(connection)
      }
      const seen = new Set<number>()
      const look = Effect.sync(() => seen.add(sent))
      const others = yield* Effect.forkChild(
        Effect.forever(Effect.andThen(Effect.yieldNow, look), { disableYield: true })
      )
      yield* pass("5 seconds", 7)
      yield* Fiber.interrupt(others)
      assert.strictEqual(sent, many)
      assert.deepStrictEqual([...seen], [0, 500, 1000, 1500, many])
    })
  )

  it.effect("do not go to a peer that speaks, whatever it says", () =>
    Effect.gen(function* () {
      const { end, peer } = yield* serve({ pingInterval: "10 seconds" }, drain)
      const said: ReadonlyArray<FrameParts> = [
        text("x"),
        { opcode: Opcode.pong },
        { opcode: Opcode.text, fin: false },
        { opcode: Opcode.continuation }
      ]
      for (let i = 0; i < 20; i++) {
        yield* peer.send(said[i % said.length]!)
        yield* pass("2 seconds", 4)
      }
      assert.strictEqual(end.writes.length, 0)
    })
  )

  it.effect("do not go to a peer that speaks and that two watch", () =>
    Effect.gen(function* () {
      const limits = Limits.make({ pingInterval: "10 seconds" })
      const { end, peer } = yield* serve({ pingInterval: "10 seconds" }, (webSocket) =>
        Effect.scoped(
          Effect.gen(function* () {
            const another = yield* KeepAlive.make(limits)
            another.watch(webSocket)
            yield* drain(webSocket)
          })
        )
      )
      for (let i = 0; i < 20; i++) {
        yield* peer.send(text("x"))
        yield* pass("2 seconds", 4)
      }
      assert.strictEqual(end.writes.length, 0)
    })
  )

  it.effect("unanswered for 20 seconds, fail the reader with PeerTimeout, reset the transport, and are counted", () =>
    Effect.gen(function* () {
      const { end, ended, peer, server } = yield* serve({}, drain)
      const bites = yield* countingLimit("pongTimeout", pass("1 second", 60))
      const error = yield* Effect.flip(Deferred.await(ended))
      assert.deepStrictEqual([error.reason._tag, error.closeCode], ["PeerTimeout", 1006])
      assert.match(error.message, /ping/)
      assert.strictEqual(bites, 1)
      assert.isFalse(end.isOpen())
      const frames = yield* peer.rest
      assert.isFalse(
        frames.some((frame) => frame.opcode === Opcode.close),
        "a dead peer is told nothing"
      )
      yield* settled
      assert.strictEqual(yield* server.connections, 0)
      assert.strictEqual(end.held(), 0)
    })
  )

  it.effect("any byte after the ping is life, not the Pong alone", () =>
    Effect.gen(function* () {
      const { ended, peer } = yield* serve({ pingInterval: "10 seconds", pongTimeout: "10 seconds" }, drain)
      for (let i = 0; i < 5; i++) {
        yield* pass("3 seconds", 5)
        yield* peer.sendBytes(new Uint8Array([[0x81, 0x82, 0, 0, 0][i % 5]!]))
      }
      yield* settled
      assert.isFalse(yield* Deferred.isDone(ended))
    })
  )

  it.effect("never condemn a peer whose bytes nobody reads", () =>
    Effect.gen(function* () {
      const work = yield* Deferred.make<void>()
      const { ended, peer } = yield* serve({}, (webSocket) =>
        Stream.runForEach(webSocket.messages, () => Deferred.await(work))
      )
      yield* peer.send(text("a long task"))
      yield* peer.send({ opcode: Opcode.ping })
      yield* pass("10 seconds", 60)
      assert.isFalse(yield* Deferred.isDone(ended))
      yield* Deferred.succeed(work, undefined)
      yield* settled
      yield* peer.send(close(1000))
      yield* Deferred.await(ended)
    })
  )

  it.effect(
    "nor one whose reader was interrupted",
    () =>
      Effect.gen(function* () {
        const work = yield* Deferred.make<void>()
        const { ended, peer } = yield* serve({}, (webSocket) =>
          Effect.gen(function* () {
            yield* Effect.timeoutOption(drain(webSocket), "1 second")
            yield* Deferred.await(work)
            yield* drain(webSocket)
          })
        )
        yield* pass("10 seconds", 60)
        // the peer did its part: it has answered every ping
        yield* peer.send({ opcode: Opcode.pong })
        yield* Deferred.succeed(work, undefined)
        yield* settled
        yield* peer.send(close(1000))
        yield* Deferred.await(ended)
      }),
    2000
  )

  it.live("do not pile up behind what a peer does not take", () =>
    Effect.gen(function* () {
      const open = yield* Deferred.make<Connection>()
      const { url } = yield* serving(
        (webSocket) =>
          // every WebSocket of this package is one
          Effect.andThen(Deferred.succeed(open, webSocket as Connection), webSocket.send(new Uint8Array(16_000_000))),
        { pingInterval: "20 millis", closeTimeout: "100 millis" }
      )
      const client = new Client(url)
      yield* Effect.addFinalizer(() => Effect.sync(() => client.terminate()))
      client.once("open", () => client.pause())
      const connection = yield* Deferred.await(open)
      const unsent = yield* steady(() => connection.unsent)
      yield* Effect.sleep("200 millis")
      assert.isAbove(unsent, 0)
      assert.strictEqual(connection.unsent, unsent)
    })
  )

  it.live("wait longer for a peer that has megabytes to take before it finds them, all in the system's hands", () =>
    Effect.gen(function* () {
      const open = yield* Deferred.make<Connection>()
      const { server, url } = yield* serving(
        (webSocket) =>
          Effect.gen(function* () {
            // every WebSocket of this package is one
            yield* Deferred.succeed(open, webSocket as Connection)
            yield* webSocket.send(new Uint8Array(1_500_000))
            yield* drain(webSocket)
          }),
        { pingInterval: "100 millis", pongTimeout: "300 millis" }
      )
      const client = new Client(url)
      yield* Effect.addFinalizer(() => Effect.sync(() => client.terminate()))
      client.once("open", () => client.pause())
      const connection = yield* Deferred.await(open)
      assert.strictEqual(yield* steady(() => connection.unsent), 0)
      const { bytes } = connection.inbound
      yield* Effect.sleep("800 millis")
      assert.strictEqual(yield* server.connections, 1)
      client.resume()
      yield* eventually(
        "its pong has come",
        Effect.sync(() => connection.inbound.bytes > bytes)
      )
      // and not for ever
      client.pause()
      yield* eventually("it is given up", noneOpen(server))
    })
  )

  it.live("count no time in which this process did nothing: what came meanwhile is read first", () =>
    Effect.gen(function* () {
      // longer than a thread waits for a processor where others are busy, and shorter than the process does nothing
      const { server, url } = yield* serving(drain, { pingInterval: "50 millis", pongTimeout: "1 second" })
      const told = new Int32Array(new SharedArrayBuffer(12))
      // in a thread of its own: a peer that goes on while we do not
      const peer = new Worker(slowPeer, { eval: true, workerData: { url, told } })
      yield* Effect.addFinalizer(() => Effect.promise(() => peer.terminate()))
      for (let i = 0; i < 3; i++) {
        while (Atomics.load(told, 0) <= i) yield* Effect.sleep("1 millis")
        assert.strictEqual(Atomics.load(told, 1), i)
        const answered = yield* Effect.callback<string>((resume) => {
          setTimeout(() => {
            Atomics.store(told, 2, i + 1)
            Atomics.notify(told, 2)
            const answered = Atomics.wait(told, 1, i, 10_000)
            Atomics.wait(told, 1, i + 1, 2500)
            resume(Effect.succeed(answered))
          }, 1)
          // by then the sweep is due, too, right behind it
          const due = performance.now() + 20
          while (performance.now() < due);
        })
        assert.notStrictEqual(answered, "timed-out")
        yield* Effect.sleep("20 millis")
        assert.strictEqual(yield* server.connections, 1)
      }
    })
  )

  it.effect("Infinity switches them off", () =>
    Effect.gen(function* () {
      const { end } = yield* serve({ pingInterval: "Infinity" }, drain)
      yield* pass("1 minute", 100)
      assert.strictEqual(end.writes.length, 0)
    })
  )
})

describe("idleTimeout", () => {
  it.effect("closes with 1001 a connection without data in either direction, and is counted", () =>
    Effect.gen(function* () {
      const { ended, peer } = yield* serve({ pingInterval: "Infinity", idleTimeout: "1 minute" }, drain)
      const bites = yield* countingLimit("idleTimeout", pass("5 seconds", 13))
      assert.deepStrictEqual(shown(yield* peer.next).slice(0, 2), [Opcode.close, 1001])
      yield* peer.send(close(1001))
      yield* Deferred.await(ended)
      assert.strictEqual(bites, 1)
    })
  )

  it.effect("is not put off by pings and pongs, and is by messages of either side", () =>
    Effect.gen(function* () {
      for (const [alive, say] of [
        [false, "ping"],
        [true, "client"],
        [true, "server"],
        [true, "echo"]
      ] as const) {
        const sockets: Array<WebSocket> = []
        const { end, peer } = yield* serve({ pingInterval: "Infinity", idleTimeout: "1 minute" }, (webSocket) => {
          sockets.push(webSocket)
          return say === "echo"
            ? Stream.runForEach(webSocket.messages, (message) => webSocket.send(message))
            : drain(webSocket)
        })
        for (let i = 0; i < 10; i++) {
          if (say === "ping") yield* Effect.ignoreCause(peer.send({ opcode: Opcode.ping }, { opcode: Opcode.pong }))
          else yield* say === "server" ? sockets[0]!.send("x") : peer.send(text(say === "echo" ? "" : "x"))
          yield* pass("5 seconds", 4)
        }
        assert.strictEqual(end.isOpen(), alive, say)
      }
    })
  )

  it.effect("is put off by the frames of a message that is not complete yet", () =>
    Effect.gen(function* () {
      const { end, ended, peer } = yield* serve({ pingInterval: "Infinity", idleTimeout: "1 minute" }, drain)
      yield* peer.send({ ...text("a long message"), fin: false })
      for (let i = 0; i < 10; i++) {
        yield* pass("5 seconds", 4)
        yield* Effect.ignoreCause(peer.send({ opcode: Opcode.continuation, fin: false, payload: Buffer.from("more") }))
      }
      assert.isTrue(end.isOpen())
      assert.isFalse(yield* Deferred.isDone(ended))
    })
  )

  it.effect(
    "closes also while the handler is busy, which then finds the stream ended",
    () =>
      Effect.gen(function* () {
        const work = yield* Deferred.make<void>()
        const { ended, peer } = yield* serve({ pingInterval: "Infinity", idleTimeout: "1 minute" }, (webSocket) =>
          Stream.runForEach(webSocket.messages, () => Deferred.await(work))
        )
        yield* peer.send(text("a long task"))
        yield* pass("5 seconds", 13)
        assert.deepStrictEqual(shown(yield* peer.next).slice(0, 2), [Opcode.close, 1001])
        yield* Deferred.succeed(work, undefined)
        yield* settled
        yield* peer.send(close(1001))
        yield* settled
        assert.isTrue(Exit.isSuccess(yield* Effect.exit(Deferred.await(ended))))
      }),
    2000
  )
})

describe("maxLifetime", () => {
  it.effect("closes with 1008 a connection as old as this, however busy it is, and is counted", () =>
    Effect.gen(function* () {
      const { ended, peer } = yield* serve({ maxLifetime: "1 minute" }, drain)
      const bites = yield* countingLimit(
        "maxLifetime",
        Effect.repeat(Effect.andThen(Effect.ignoreCause(peer.send(text("busy"))), pass("5 seconds", 1)), { times: 12 })
      )
      assert.deepStrictEqual(shown(yield* peer.next).slice(0, 2), [Opcode.close, 1008])
      yield* peer.send(close(1008))
      yield* Deferred.await(ended)
      assert.strictEqual(bites, 1)
    })
  )

  it.effect("is counted from when the connection was opened, however old the server is", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer({ maxLifetime: "1 minute", pingInterval: "Infinity" })
      yield* Effect.forkChild(server.run(drain))
      yield* pass("1 minute", 10)
      const { answer, end, peer } = yield* open()
      yield* answer
      const reading = yield* Effect.forkChild(peer.next)
      yield* pass("5 seconds", 11)
      assert.isTrue(end.isOpen())
      assert.isUndefined(reading.pollUnsafe())
      yield* pass("5 seconds", 2)
      assert.deepStrictEqual(shown(yield* Fiber.join(reading)).slice(0, 2), [Opcode.close, 1008])
    })
  )

  it.effect("a peer that does not answer it is cut off after closeTimeout", () =>
    Effect.gen(function* () {
      const { end, ended, server } = yield* serve({ maxLifetime: "1 minute", closeTimeout: "3 seconds" }, drain)
      yield* pass("5 seconds", 14)
      assert.isTrue(yield* Deferred.isDone(ended))
      assert.strictEqual(end.held(), 0)
      assert.strictEqual(yield* server.connections, 0)
    })
  )
})

describe("the sweep", () => {
  it.effect("watches each connection while it is open, and the gauge tells how many", () =>
    Effect.gen(function* () {
      const gauge = Effect.map(Metric.value(Telemetry.connections), (state) => state.value)
      const before = yield* gauge
      const { open, server } = yield* memoryServer()
      yield* Effect.forkChild(server.run(drain))
      yield* settled
      const clients = yield* Effect.forEach(Array.from({ length: 20 }), () => open())
      yield* settled
      assert.strictEqual((yield* gauge) - before, 20)
      for (const { peer } of clients) {
        yield* peer.send(close(1000))
        yield* peer.end
      }
      yield* settled
      assert.strictEqual((yield* gauge) - before, 0)
    })
  )

  it.effect("reports the bytes that passed, each once", () =>
    Effect.gen(function* () {
      const bytes = Effect.all([Metric.value(Telemetry.receivedBytes), Metric.value(Telemetry.sentBytes)])
      const [receivedBefore, sentBefore] = yield* bytes
      const { client, end, peer } = yield* serve({}, (webSocket) =>
        Stream.runForEach(webSocket.messages, (message) => webSocket.send(message))
      )
      yield* peer.send(text("x".repeat(1000)))
      yield* settled
      yield* pass("5 seconds", 2)
      const total = (writes: ReadonlyArray<Uint8Array>) => writes.reduce((sum, write) => sum + write.length, 0)
      const assertAll = Effect.map(bytes, ([received, sent]) => {
        assert.strictEqual(Number(received.count) - Number(receivedBefore.count), total(client.writes))
        assert.strictEqual(Number(sent.count) - Number(sentBefore.count), total(end.writes))
      })
      // while it is open, too
      yield* assertAll
      yield* peer.send(text("y".repeat(500)), close(1000))
      yield* peer.end
      yield* pass("5 seconds", 2)
      yield* assertAll
    })
  )
})

describe("a Close frame", () => {
  const shapes: Record<string, (webSocket: WebSocket) => Effect.Effect<unknown>> = {
    "that is waited for no longer": (webSocket) => Effect.timeoutOption(Effect.ignore(webSocket.close()), "1 second"),
    "behind a message that could not be completed": (webSocket) =>
      Effect.ignore(webSocket.sendFragments(Stream.concat(Stream.make("half"), Stream.fail("no more"))))
  }
  for (const [what, shape] of Object.entries(shapes)) {
    it.effect(`${what} has its bound all the same: who does not answer it is given up, and counted`, () =>
      Effect.gen(function* () {
        const hits = yield* countingLimit(
          "closeTimeout",
          Effect.gen(function* () {
            const { ended, server } = yield* serve({ closeTimeout: "3 seconds" }, (webSocket) =>
              Effect.andThen(shape(webSocket), drain(webSocket))
            )
            yield* pass("1 second", 5)
            assert.strictEqual(yield* server.connections, 1)
            yield* pass("1 second", 10)
            assert.isTrue(Exit.isFailure(yield* Effect.exit(Deferred.await(ended))))
            assert.strictEqual(yield* server.connections, 0)
          })
        )
        assert.strictEqual(hits, 1)
      })
    )
  }
})

describe("the clock on the wall", () => {
  for (const [what, step] of [
    ["forward", 3_600_000],
    ["back", -3_600_000]
  ] as const) {
    it.live(`that is set ${what} ends no connection, and peers are pinged as before`, () =>
      Effect.gen(function* () {
        const clock = yield* Clock.Clock
        let stepped = 0
        const wall: Clock.Clock = {
          ...clock,
          sleep: (duration) => clock.sleep(duration),
          currentTimeMillisUnsafe: () => clock.currentTimeMillisUnsafe() + stepped,
          currentTimeNanosUnsafe: () => clock.currentTimeNanosUnsafe() + BigInt(stepped) * 1_000_000n,
          monotonicTimeNanosUnsafe: () => clock.monotonicTimeNanosUnsafe()
        }
        const limits = { idleTimeout: "10 minutes", pingInterval: "20 millis", maxLifetime: "20 minutes" } as const
        const { server, url } = yield* Effect.provideService(serving(drain, limits), Clock.Clock, wall)
        const client = new Client(url)
        let pings = 0
        client.on("ping", () => pings++)
        yield* eventually(
          "it is pinged",
          Effect.sync(() => pings >= 1)
        )
        stepped = step
        const before = pings
        yield* eventually(
          "it is pinged again and again",
          Effect.sync(() => pings >= before + 3)
        )
        assert.strictEqual(client.readyState, Client.OPEN)
        assert.strictEqual(yield* server.connections, 1)
        client.terminate()
      })
    )
  }
})
