/**
 * What the watch does by what a transport says of itself: how much of what was written the peer takes, whether something is unread, and
 * whether it is gone.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Clock from "effect/Clock"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Queue from "effect/Queue"
import * as Socket from "effect/socket/Socket"
import * as Stream from "effect/Stream"
import { TestClock } from "effect/testing"
import { Connection } from "../../src/connection/internal/connection.ts"
import * as KeepAlive from "../../src/connection/KeepAlive.ts"
import * as Limits from "../../src/connection/Limits.ts"
import type * as Transport from "../../src/connection/Transport.ts"
import * as Frame from "../../src/protocol/Frame.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { bytesOf, close, settled } from "./connected.ts"
import { countingLimit } from "./metrics.ts"

/** What a transport says, for the test to change. */
interface Said {
  unsent: number
  taken: number
  hasUnread: boolean
  isGone: boolean
}

/** A server's connection that is watched. */
const watched = Effect.fnUntraced(function* (options: Limits.Options) {
  const limits = Limits.make(options)
  const clock = yield* Clock.Clock
  const keepAlive = yield* KeepAlive.make(limits)
  const said: Said = { unsent: 0, taken: 0, hasUnread: false, isGone: false }
  /** The opcodes of the frames that were sent, and how the transport was ended. */
  const sent: Array<number | "reset" | "cut"> = []
  const frames = Frame.decoder({ masking: "forbidden", maxFrameSize: 1000 })
  const incoming = yield* Queue.make<Uint8Array>()
  const write = (bytes: Uint8Array | string | Socket.CloseEvent) =>
    Effect.sync(() => {
      if (Socket.isCloseEvent(bytes)) sent.push("reset")
      // text is no frame
      else for (const { opcode } of frames.push(bytes as Uint8Array)) sent.push(opcode)
    })
  const writer: Transport.Writer = Object.create(
    { write, writeAll: (chunks: ReadonlyArray<Uint8Array>) => write(Buffer.concat(chunks)) },
    { unsent: { get: () => said.unsent }, taken: { get: () => said.taken } }
  )
  const reader: Transport.Reader = Object.create(
    { pull: Effect.map(Queue.take(incoming), (bytes) => [bytes]), upgrade: Socket.SocketUpgradeError.unsupported },
    { hasUnread: { get: () => said.hasUnread }, isGone: { get: () => said.isGone } }
  )
  const cut = Effect.sync(() => void sent.push("cut"))
  const ends: Transport.Ends = { end: Effect.void, cut, destroy: () => Effect.void }
  const connection = new Connection({ terms: { role: "server", limits, clock }, transport: { reader, writer, ends } })
  keepAlive.watch(connection)
  return {
    connection,
    said,
    sent,
    keepAlive,
    read: Effect.forkScoped(Effect.ignore(Stream.runDrain(connection.messages)), { startImmediately: true }),
    pong: Effect.andThen(Queue.offer(incoming, bytesOf("client", [{ opcode: Opcode.pong }])), settled),
    close: Effect.andThen(Queue.offer(incoming, bytesOf("client", [close(1000)])), settled)
  }
})

/** Lets time pass in steps of a second. */
const pass = (seconds: number, each: Effect.Effect<unknown> = Effect.void) =>
  Effect.repeat(Effect.andThen(Effect.andThen(each, TestClock.adjust("1 second")), settled), { times: seconds - 1 })

const tenSeconds = { pingInterval: "10 seconds", pongTimeout: "10 seconds" } satisfies Limits.Options

describe("a peer that does not answer a ping", () => {
  const many = 128 * 1024
  /** The sweep comes each 2.5 seconds, so that what is due in between is done up to so much later. */
  const tick = 3

  const givenUpAfter = Effect.fnUntraced(function* (
    { connection, sent }: Effect.Success<ReturnType<typeof watched>>,
    seconds: number
  ) {
    yield* pass(seconds - 1)
    assert.notInclude(sent, "reset")
    assert.isTrue(connection.isOpen)
    yield* pass(1 + tick)
    assert.include(sent, "reset")
    assert.isFalse(connection.isOpen)
  })

  it.effect.each([
    ["once, if nothing was written", 0, 1],
    ["once, if less was written than what counts", many - 1, 1],
    ["four times, for three times as many bytes in the system's hands", 3 * many, 4],
    ["ten times at most", 1000 * many, 10]
  ] as const)("is given its time %s", ([, taken, times]) =>
    Effect.gen(function* () {
      const all = yield* watched(tenSeconds)
      yield* all.read
      all.said.taken = taken
      yield* pass(10 + tick)
      assert.deepStrictEqual(all.sent, [Opcode.ping])
      yield* givenUpAfter(all, 10 * times - tick)
    })
  )

  it.effect("is given no time for what was in the system's hands when it was last heard", () =>
    Effect.gen(function* () {
      const all = yield* watched(tenSeconds)
      yield* all.read
      all.said.taken = 5 * many
      yield* all.pong
      yield* pass(tick)
      yield* pass(10)
      assert.deepStrictEqual(all.sent, [Opcode.ping])
      yield* givenUpAfter(all, 10 - tick)
    })
  )

  it.effect("is given ten times its time while it takes nothing of what waits for it", () =>
    Effect.gen(function* () {
      const all = yield* watched(tenSeconds)
      yield* all.read
      all.said.unsent = 1
      yield* pass(10 + tick)
      assert.deepStrictEqual(all.sent, [Opcode.ping])
      yield* givenUpAfter(all, 100 - tick)
    })
  )

  it.effect("is not given up as long as it takes some of that, and gets no pings behind it", () =>
    Effect.gen(function* () {
      const { connection, read, said, sent } = yield* watched(tenSeconds)
      yield* read
      said.unsent = 1
      yield* pass(
        500,
        Effect.sync(() => said.taken++)
      )
      assert.isTrue(connection.isOpen)
      assert.deepStrictEqual(sent, [])
    })
  )
})

describe("a connection that nobody reads", () => {
  const pings = (count: number) => Array<number>(count).fill(Opcode.ping)

  it.effect("is pinged as often as one is due, and never given up", () =>
    Effect.gen(function* () {
      const { connection, sent } = yield* watched(tenSeconds)
      yield* pass(105)
      assert.deepStrictEqual(sent, pings(10))
      assert.isTrue(connection.isOpen)
    })
  )

  it.effect("is not pinged while something waits to be sent", () =>
    Effect.gen(function* () {
      const { said, sent } = yield* watched(tenSeconds)
      said.unsent = 1
      yield* pass(105)
      assert.deepStrictEqual(sent, [])
      said.unsent = 0
      yield* pass(5)
      assert.deepStrictEqual(sent, pings(1))
    })
  )

  it.effect("is not pinged while something is unread, unless somebody reads to the end", () =>
    Effect.gen(function* () {
      const { connection, said, sent } = yield* watched(tenSeconds)
      said.hasUnread = true
      yield* pass(105)
      assert.deepStrictEqual(sent, [])
      connection.keepsReading = true
      yield* pass(5)
      assert.deepStrictEqual(sent, pings(1))
    })
  )

  it.effect("is over when its transport is gone", () =>
    Effect.gen(function* () {
      const { connection, said } = yield* watched(tenSeconds)
      yield* pass(5)
      assert.isTrue(connection.isOpen)
      said.isGone = true
      yield* pass(5)
      assert.isFalse(connection.isOpen)
      assert.strictEqual((yield* connection.closed).code, 1006)
    })
  )
})

describe("a limit", () => {
  const noPings = { pingInterval: "Infinity" } satisfies Limits.Options

  it.effect("bites at most a quarter of it late, however long the others are", () =>
    Effect.gen(function* () {
      const { read, sent } = yield* watched({
        pingInterval: "1 minute",
        pongTimeout: "1 minute",
        idleTimeout: "4 seconds"
      })
      yield* read
      yield* pass(5)
      assert.deepStrictEqual(sent, [Opcode.close])
    })
  )

  it.effect.each([
    ["maxLifetime", { maxLifetime: "10 seconds" as Duration.Input }],
    ["idleTimeout", { idleTimeout: "10 seconds" as Duration.Input }]
  ] as const)("%s is none of a connection that has closed", ([name, limit]) =>
    Effect.gen(function* () {
      const { close, connection, read, sent } = yield* watched({ ...noPings, ...limit })
      yield* read
      yield* close
      assert.isFalse(connection.isOpen)
      assert.strictEqual(yield* countingLimit(name, pass(20)), 0)
      assert.deepStrictEqual(sent, [Opcode.close])
    })
  )

  it.effect("that closes a connection leaves it to its close timeout, which is counted once", () =>
    Effect.gen(function* () {
      const { connection, read, sent } = yield* watched({
        ...noPings,
        idleTimeout: "10 seconds",
        closeTimeout: "10 seconds"
      })
      yield* read
      assert.strictEqual(yield* countingLimit("closeTimeout", pass(60)), 1)
      assert.strictEqual((yield* connection.closed).code, 1006)
      // what the peer has not read yet is still its own
      assert.deepStrictEqual(sent, [Opcode.close, "cut"])
    })
  )
})

it.effect("a watch tells how many it watches, and how many of them are open", () =>
  Effect.gen(function* () {
    const { close, connection, keepAlive, read } = yield* watched({})
    const another = keepAlive.watch(connection)
    assert.deepStrictEqual([keepAlive.size(), keepAlive.open()], [2, 2])
    yield* read
    yield* close
    assert.deepStrictEqual([keepAlive.size(), keepAlive.open()], [2, 0])
    keepAlive.forget(another)
    keepAlive.forget(another)
    assert.deepStrictEqual([keepAlive.size(), keepAlive.open()], [1, 0])
  })
)
