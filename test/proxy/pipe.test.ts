/**
 * `WebSocketProxy.pipe` alone: two in-memory sockets, no server and no network, and its timeouts under `TestClock`.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Arr from "effect/Array"
import * as Clock from "effect/Clock"
import * as Deferred from "effect/Deferred"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { identity } from "effect/Function"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import { TestClock } from "effect/testing"
import * as Limits from "../../src/connection/Limits.ts"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import * as WebSocketProxy from "../../src/proxy/WebSocketProxy.ts"
import { makePair, type Pair } from "../connection/pair.ts"
import * as Frames from "./frames.ts"
import { MemoryClient, MemoryPeer, readAll } from "./memoryPeer.ts"
import * as Pattern from "./pattern.ts"
import { eventually } from "./watch.ts"

interface Options extends WebSocketProxy.PipeOptions {
  readonly clientReads?: boolean
  readonly targetReads?: boolean
  readonly highWaterMark?: number
  readonly limits?: Limits.Options
  /** What the pipe has in place of its socket to the target. */
  readonly targetSocket?: (socket: Socket.Socket) => Socket.Socket
}

interface Piped {
  readonly client: MemoryClient
  readonly target: MemoryPeer
  readonly fiber: Fiber.Fiber<void, Socket.SocketError>
  readonly pairs: { readonly down: Pair; readonly up: Pair }
  /** Nothing of the pipe's own ends is held any more. */
  readonly assertReleased: () => void
}

/** A test that leaves a pipe open must not wait for the timeouts of its end: no clock moves then. */
const cutOff = (down: Pair, up: Pair) => Effect.addFinalizer(() => Effect.andThen(down.client.reset, up.server.reset))

const piped = Effect.fnUntraced(function* (options: Options = {}): Effect.fn.Return<Piped, never, Scope.Scope> {
  const down = makePair(options.highWaterMark)
  const up = makePair(options.highWaterMark)
  const client = yield* MemoryClient.make(down.client, options.clientReads)
  const target = yield* MemoryPeer.make(up.server, options.targetReads)
  const limits = Limits.make({ closeTimeout: "10 seconds", ...options.limits })
  const { isWhole, messages, onFailure, targetSocket = identity } = options
  const fiber = yield* Effect.forkScoped(
    WebSocketProxy.pipe(down.server.socket, targetSocket(up.client.socket), { isWhole, messages, onFailure, limits }),
    { startImmediately: true }
  )
  yield* cutOff(down, up)
  return {
    client,
    target,
    fiber,
    pairs: { down, up },
    assertReleased: () => {
      assert.strictEqual(down.server.held(), 0, "the client's socket is released")
      assert.strictEqual(up.client.held(), 0, "the target's socket is released")
    }
  }
})

const isDone = (fiber: Fiber.Fiber<unknown, unknown>): boolean => fiber.pollUnsafe() !== undefined

describe("pipe", { timeout: 30_000 }, () => {
  it.effect("carries both ways, and ends when both sides have", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* client.send(Frames.binary, "ping")
      yield* target.untilBytes(4)
      yield* target.write("pong")
      yield* client.untilBytes(4)
      assert.strictEqual(target.bytes.toString(), "ping")
      assert.strictEqual(client.bytes.toString(), "pong")
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* client.until("end")
      assert.isFalse(isDone(fiber))
      yield* target.finish
      yield* client.finish
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(client.log, ["close 1000", "end"])
      assertReleased()
    })
  )

  it.effect("the client closes and the target does not: FIN, and the end after the close timeout", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* client.finish
      yield* TestClock.adjust("9 seconds")
      assert.isFalse(isDone(fiber))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("the target ends and the client does not: no FIN before the close timeout, and the end after it", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* target.write("last words")
      yield* target.finish
      yield* client.until("close 1000")
      assert.strictEqual(client.bytes.toString(), "last words")
      yield* TestClock.adjust("9 seconds")
      assert.deepStrictEqual(client.log, ["close 1000"])
      assert.deepStrictEqual(target.log, [])
      yield* TestClock.adjust("1 second")
      yield* client.watch.until("the end", () => client.log.length === 2)
      // what is left is bounded too
      yield* TestClock.adjust("30 seconds")
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("the target ends, and what the client still sends reaches it", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* target.finish
      yield* client.until("close 1000")
      yield* client.send(Frames.binary, "still here")
      yield* target.untilBytes(10)
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* client.until("end")
      yield* client.finish
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("a client that does not end after the two Closes is waited for until the close timeout", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.finish
      yield* client.until("end")
      yield* TestClock.adjust("9 seconds")
      assert.isFalse(isDone(fiber))
      yield* TestClock.adjust("1 second")
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("the client vanishes: the target is reset", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, pairs, target } = yield* piped()
      yield* client.send(Frames.binary, "x")
      yield* target.untilBytes(1)
      yield* pairs.down.client.reset
      yield* target.until("reset")
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("the client ends without Close: the target is reset", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* client.finish
      yield* target.until("reset")
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("the target is reset: Close 1011", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, pairs } = yield* piped()
      yield* pairs.up.server.reset
      yield* client.until("close 1011")
      assert.deepStrictEqual(client.log, ["close 1011"])
      yield* client.sendClose(1011)
      yield* client.until("end")
      yield* client.finish
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("the target is reset when the client has closed: nobody is told of a failure", () =>
    Effect.gen(function* () {
      const failures: Array<string> = []
      const { client, fiber, pairs, target } = yield* piped({ onFailure: ({ reason }) => failures.push(reason._tag) })
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* pairs.up.server.reset
      yield* client.finish
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(failures, [])
    })
  )

  it.effect("a protocol error: Close 1002, and the target is reset", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* client.send(3, "")
      yield* target.until("reset")
      yield* client.until("end")
      assert.deepStrictEqual(client.log, ["close 1002", "end"])
      yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(fiber)
      assertReleased()
    })
  )

  it.effect("interruption: Close 1001, and the target gets what is left and FIN", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped()
      yield* client.send(Frames.binary, "hello")
      yield* target.untilBytes(5)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* client.until("close 1001")
      yield* client.send(Frames.binary, ", and good-bye")
      yield* client.sendClose(1001)
      yield* target.until("end")
      yield* target.finish
      yield* client.until("end")
      yield* client.finish
      yield* Fiber.join(interrupting)
      assert.strictEqual(target.bytes.toString(), "hello, and good-bye")
      assert.deepStrictEqual(client.log, ["close 1001", "end"])
      assert.deepStrictEqual(target.log, ["end"])
      assertReleased()
    })
  )

  it.effect("interruption, and a target that takes its time to read: nothing is taken away from it", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber, target } = yield* piped({ targetReads: false })
      yield* client.send(Frames.binary, "hello")
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* client.until("close 1001")
      yield* client.sendClose(1001)
      yield* client.until("end")
      yield* client.finish
      for (let i = 0; i < 4; i++) yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(interrupting)
      yield* readAll(target)
      assert.strictEqual(target.bytes.toString(), "hello")
      assert.deepStrictEqual(target.log, ["end"])
      assertReleased()
    })
  )

  it.effect("interruption while neither side does anything is bounded", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber } = yield* piped()
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* client.until("close 1001")
      for (let i = 0; i < 4; i++) yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(interrupting)
      assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(fiber)))
      assertReleased()
    })
  )

  it.effect.each([true, false])("interruption leaves nothing behind that waits (the client answers: %s)", (answers) =>
    Effect.gen(function* () {
      const clock = yield* Clock.Clock
      let waits = 0
      const sleep = (duration: Duration.Duration) =>
        Effect.suspend(() => {
          waits++
          return Effect.ensuring(
            clock.sleep(duration),
            Effect.sync(() => waits--)
          )
        })
      const counting: Clock.Clock = Object.create(clock, { sleep: { value: sleep } })
      const { client, fiber, target } = yield* Effect.provideService(piped(), Clock.Clock, counting)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber))
      yield* client.until("close 1001")
      if (answers) {
        yield* client.sendClose(1001)
        yield* client.finish
      }
      yield* Effect.forkChild(Effect.andThen(target.until("end"), target.finish))
      // the waits for who does not answer come one after the other
      for (let i = 0; i < 10 && !isDone(interrupting); i++) {
        yield* TestClock.adjust("5 seconds")
        yield* Effect.yieldNow
      }
      yield* Fiber.join(interrupting)
      yield* Effect.repeat(Effect.yieldNow, { times: 10 })
      assert.strictEqual(waits, 0)
    })
  )

  it.effect("interruption while the target takes nothing: the client is told at once", () =>
    Effect.gen(function* () {
      const { assertReleased, client, fiber } = yield* piped({ targetReads: false, highWaterMark: 1000 })
      for (let i = 0; i < 3; i++) yield* Effect.forkChild(client.send(Frames.binary, Pattern.bytes(1, 1001)))
      yield* eventually("the pipe to be held back", () => client.end.unread() > 0)
      const interrupting = yield* Effect.forkChild(Fiber.interrupt(fiber), { startImmediately: true })
      yield* client.until("close 1001")
      for (let i = 0; i < 4; i++) yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(interrupting)
      assertReleased()
    })
  )
})

describe("a target", { timeout: 30_000 }, () => {
  /** The same socket, with two bytes of each chunk as text, as an application's own may give them. */
  const partlyText = (socket: Socket.Socket): Socket.Socket => {
    const given = (chunk: Uint8Array | string): Arr.NonEmptyArray<Uint8Array | string> =>
      typeof chunk === "string" ? [chunk] : [Buffer.from(chunk).toString("latin1", 0, 2), chunk.subarray(2)]
    return Socket.make({
      reader: Effect.map(socket.reader, ({ pull, upgrade }) => ({
        pull: Effect.map(pull, Arr.flatMap(given)),
        upgrade
      })),
      writer: socket.writer
    })
  }

  it.effect.each([
    ["binary", Frames.binary],
    ["text", Frames.text]
  ] as const)("may give text as well as bytes, to a client that gets %s", ([messages, opcode]) =>
    Effect.gen(function* () {
      const { client, pairs, target } = yield* piped({ messages, targetSocket: partlyText })
      yield* target.write("vu et déjà vu")
      yield* client.untilBytes(15)
      assert.strictEqual(client.bytes.toString(), "vu et déjà vu")
      assert.strictEqual(pairs.down.server.writes[0]![0], 0x80 | opcode)
    })
  )

  it.effect("has given no message as long as it is a piece of a code point", () =>
    Effect.gen(function* () {
      const { client, pairs, target } = yield* piped({ messages: "text" })
      for (const byte of Buffer.from("é€😀")) yield* target.write(Buffer.of(byte))
      yield* client.untilBytes(9)
      assert.strictEqual(client.bytes.toString(), "é€😀")
      assert.strictEqual(pairs.down.server.writes.length, 3)
    })
  )

  it.effect.each([true, false])(
    "is reset after an end that is not the whole, behind what it takes (all of it: %s)",
    (takesAll) =>
      Effect.gen(function* () {
        const flushed = yield* Deferred.make<void>()
        const failures: Array<number | string> = []
        const { client, fiber, target } = yield* piped({
          isWhole: ({ code }) => code === 1000,
          onFailure: (error) => failures.push(error._tag === "WebSocketError" ? error.closeCode : error.message),
          targetSocket: (socket) =>
            Socket.make({
              reader: socket.reader,
              writer: Effect.map(socket.writer, (writer) => ({ ...writer, flushed: Deferred.await(flushed) }))
            })
        })
        yield* client.send(Frames.binary, "a part")
        yield* client.sendClose(1001)
        yield* target.untilBytes(6)
        yield* TestClock.adjust("9 seconds")
        assert.deepStrictEqual(target.log, [])
        if (takesAll) yield* Deferred.succeed(flushed, undefined)
        else yield* TestClock.adjust("1 second")
        yield* target.until("reset")
        yield* client.finish
        yield* Fiber.join(fiber)
      })
  )

  it.effect("is ended in order after our own end of the whole, whatever the client answers", () =>
    Effect.gen(function* () {
      const failures: Array<string> = []
      const { client, fiber, target } = yield* piped({
        isWhole: ({ code }) => code === 1000,
        onFailure: ({ message }) => failures.push(message)
      })
      yield* target.finish
      yield* client.until("close 1000")
      yield* client.sendClose(1011)
      yield* target.until("end")
      yield* client.finish
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(failures, [])
    })
  )

  it.effect("that takes no more and says nothing of it: Close 1011", () =>
    Effect.gen(function* () {
      const failed = Effect.fail(
        new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: new Error("EPIPE") }) })
      )
      const { client } = yield* piped({
        targetSocket: () =>
          Socket.make({
            reader: Effect.succeed({ pull: Effect.never, upgrade: Socket.SocketUpgradeError.unsupported }),
            writer: Effect.succeed({ write: () => failed, writeAll: () => failed })
          })
      })
      yield* client.send(Frames.binary, "hello")
      yield* client.until("close 1011")
      assert.deepStrictEqual(client.log, ["close 1011"])
    })
  )

  it.effect("that closes with another code than 1000 has failed: Close 1011", () =>
    Effect.gen(function* () {
      const abnormal = Effect.fail(new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1006 }) }))
      const { client } = yield* piped({
        targetSocket: (socket) =>
          Socket.make({
            reader: Effect.map(socket.reader, ({ upgrade }) => ({ pull: abnormal, upgrade })),
            writer: socket.writer
          })
      })
      yield* client.until("close 1011")
      assert.deepStrictEqual(client.log, ["close 1011"])
    })
  )
})

describe("backpressure", { timeout: 30_000 }, () => {
  it.effect("a target that takes nothing holds the client back, and nothing piles up", () =>
    Effect.gen(function* () {
      const { client, pairs, target } = yield* piped({ targetReads: false, highWaterMark: 1000 })
      const payload = Pattern.bytes(1, 100_000)
      const sending = yield* Effect.forkChild(
        Effect.forEach(Pattern.pieces(1, 100_000, 1001), (piece) => client.send(Frames.binary, piece), {
          discard: true
        }),
        { startImmediately: true }
      )
      yield* eventually(
        "the client to be held back",
        () => client.end.unread() > 1000 && pairs.up.client.unread() > 1000
      )
      // what is on its way is what each buffer takes, and a piece
      assert.isBelow(pairs.up.client.unread() + pairs.down.client.unread(), 6000)
      yield* Effect.forkScoped(readAll(target), { startImmediately: true })
      yield* Fiber.join(sending)
      yield* target.untilBytes(payload.length)
      assert.isTrue(target.bytes.equals(payload))
    })
  )

  it.effect("a client that takes nothing holds the target back, and nothing piles up", () =>
    Effect.gen(function* () {
      const { client, pairs, target } = yield* piped({ clientReads: false, highWaterMark: 1000 })
      const payload = Pattern.bytes(2, 100_000)
      const sending = yield* Effect.forkChild(
        Effect.forEach(Pattern.pieces(2, 100_000, 1001), (piece) => target.write(piece), { discard: true }),
        { startImmediately: true }
      )
      yield* eventually(
        "the target to be held back",
        () => target.end.unread() > 1000 && pairs.down.server.unread() > 1000
      )
      assert.isBelow(pairs.up.server.unread() + pairs.down.server.unread(), 6000)
      yield* Effect.forkScoped(readAll(client), { startImmediately: true })
      yield* Fiber.join(sending)
      yield* client.untilBytes(payload.length)
      assert.isTrue(client.bytes.equals(payload))
    })
  )
})

describe("pipeWebSocket, closed by somebody else", { timeout: 30_000 }, () => {
  /** The pipe of a connection that an administrator holds as well. */
  const administered = Effect.fnUntraced(function* (options: Options = {}) {
    const down = makePair(options.highWaterMark)
    const up = makePair(options.highWaterMark)
    const client = yield* MemoryClient.make(down.client, options.clientReads)
    const target = yield* MemoryPeer.make(up.server, options.targetReads)
    const webSocket = yield* Effect.orDie(
      WebSocket.make(down.server.socket, { role: "server", limits: Limits.make({ closeTimeout: "10 seconds" }) })
    )
    const fiber = yield* Effect.forkScoped(WebSocketProxy.pipeWebSocket(webSocket, up.client.socket), {
      startImmediately: true
    })
    yield* cutOff(down, up)
    return { client, target, webSocket, fiber }
  })

  it.effect("the client is told, and what it sent and sends until its Close reaches the target", () =>
    Effect.gen(function* () {
      const { client, fiber, target, webSocket } = yield* administered()
      yield* client.send(Frames.binary, "one ")
      const closing = yield* Effect.forkChild(webSocket.close(1008, "enough"), { startImmediately: true })
      yield* client.until("close 1008")
      yield* client.send(Frames.binary, "two")
      yield* client.sendClose(1008)
      yield* target.until("end")
      assert.strictEqual(target.bytes.toString(), "one two")
      yield* target.finish
      yield* Fiber.join(closing)
      yield* Fiber.join(fiber)
    })
  )

  it.effect("by who does not wait: what the client sent before reaches the target, and then its end", () =>
    Effect.gen(function* () {
      const { client, fiber, target, webSocket } = yield* administered()
      yield* client.send(Frames.binary, "hello")
      yield* webSocket.close(1008, "enough", { wait: false })
      yield* client.until("close 1008")
      yield* client.finish
      yield* target.until("end")
      assert.strictEqual(target.bytes.toString(), "hello")
      yield* target.finish
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(target.log, ["end"])
    })
  )

  it.effect("the same while the target takes nothing: not a byte is missing", () =>
    Effect.gen(function* () {
      const { client, fiber, target, webSocket } = yield* administered({ targetReads: false, highWaterMark: 1000 })
      const total = 20_000
      const sending = yield* Effect.forkChild(
        Effect.andThen(
          Effect.forEach(Pattern.pieces(3, total, 1001), (piece) => client.send(Frames.binary, piece), {
            discard: true
          }),
          client.sendClose(1008)
        ),
        { startImmediately: true }
      )
      yield* eventually("the client to be held back", () => client.end.unread() > 1000)
      const closing = yield* Effect.forkChild(webSocket.close(1008, "enough"), { startImmediately: true })
      yield* client.until("close 1008")
      yield* Effect.forkScoped(readAll(target), { startImmediately: true })
      yield* Fiber.join(sending)
      yield* target.until("end")
      assert.strictEqual(target.bytes.length, total)
      assert.isTrue(target.bytes.equals(Pattern.bytes(3, total)))
      yield* target.finish
      yield* Fiber.join(closing)
      yield* Fiber.join(fiber)
    })
  )

  it.effect("a target that takes nothing at all does not hold the end up beyond the close timeouts", () =>
    Effect.gen(function* () {
      const { client, fiber, target, webSocket } = yield* administered({ targetReads: false, highWaterMark: 1000 })
      for (let i = 0; i < 5; i++) yield* Effect.forkChild(client.send(Frames.binary, Pattern.bytes(1, 1001)))
      yield* eventually("the client to be held back", () => client.end.unread() > 1000)
      const closing = yield* Effect.forkChild(webSocket.close(1008, "enough"), { startImmediately: true })
      yield* client.until("close 1008")
      for (let i = 0; i < 4; i++) yield* TestClock.adjust("10 seconds")
      yield* Fiber.join(closing)
      yield* eventually("the end of the pipe", () => isDone(fiber))
      yield* readAll(target)
      assert.isAbove(target.log.length, 0)
    })
  )
})
