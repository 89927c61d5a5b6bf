import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Stream } from "effect"
import { TestClock } from "effect/testing"
import * as Zlib from "node:zlib"
import * as Limits from "../../src/connection/Limits.ts"
import type { WebSocketError } from "../../src/connection/WebSocketError.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import {
  bytesOf,
  close,
  type FrameParts,
  type Options,
  type Peer,
  settled,
  shown,
  text,
  withPeer
} from "./connected.ts"
import { countingLimit } from "./metrics.ts"

type Way = "messages" | "fragments" | "payloads"
const ways: ReadonlyArray<Way> = ["messages", "fragments", "payloads"]

/** How a server connection that is read in this way ends, at the latest by a FIN, and how often the limit was counted. */
const bite = Effect.fnUntraced(function* (
  limit: string,
  options: Options,
  say: (peer: Peer) => Effect.Effect<unknown, unknown>,
  way: Way = "messages"
) {
  const { leave, peer, webSocket } = yield* withPeer("server", options)
  let exit: Exit.Exit<unknown, unknown> = Exit.void
  const count = yield* countingLimit(
    limit,
    Effect.gen(function* () {
      const saying = yield* Effect.forkChild(Effect.ignoreCause(Effect.andThen(say(peer), peer.end)))
      exit = yield* Effect.exit(Stream.runDrain<unknown, WebSocketError, never>(webSocket[way]))
      yield* Fiber.interrupt(saying)
    })
  )
  yield* peer.end
  yield* leave()
  const frames = yield* peer.rest
  const last = frames.at(-1)
  return { exit, count, code: last === undefined ? undefined : shown(last)[1], info: yield* webSocket.closed }
})

const bitten = (code: number) => ({ code, count: 1, failed: true })
const result = ({ code, count, exit }: Effect.Success<ReturnType<typeof bite>>) => ({
  code,
  count,
  failed: Exit.isFailure(exit)
})

describe("the defaults", () => {
  it("are the documented ones", () => {
    assert.deepStrictEqual(Limits.defaults, {
      maxFrameSize: 2 ** 53 - 1,
      maxMessageSize: 1024 * 1024,
      maxFragments: 65_536,
      maxControlFrameRate: 1000,
      pingInterval: 30_000,
      pongTimeout: 20_000,
      idleTimeout: Infinity,
      maxLifetime: Infinity,
      closeTimeout: 10_000
    })
    assert.deepStrictEqual(Limits.make(), Limits.defaults)
  })

  it("take any duration, and Infinity to switch one off", () => {
    const limits = Limits.make({
      pingInterval: "Infinity",
      pongTimeout: "1 minute",
      idleTimeout: 5,
      closeTimeout: "2 hours"
    })
    assert.deepStrictEqual(
      [limits.pingInterval, limits.pongTimeout, limits.idleTimeout, limits.closeTimeout],
      [Infinity, 60_000, 5, 7_200_000]
    )
  })

  it("are not what NaN, a negative number or no duration stands for: that is thrown, with the name of the option", () => {
    // as a program without types has them
    const wrong = [
      [{ maxFrameSize: Number.NaN }, "maxFrameSize: expected a number from 0 on; got NaN"],
      [{ maxMessageSize: Number.NaN }, "maxMessageSize: expected a number from 0 on; got NaN"],
      [{ maxMessageSize: "1 MiB" }, 'maxMessageSize: expected a number from 0 on; got "1 MiB"'],
      [{ maxFragments: -1 }, "maxFragments: expected a number from 0 on; got -1"],
      [{ maxControlFrameRate: -Infinity }, "maxControlFrameRate: expected a number from 0 on; got -Infinity"],
      [{ pingInterval: "abc" }, /^pingInterval: expected a duration above 0, such as "30 seconds".*; got "abc"$/],
      [{ pongTimeout: Number.NaN }, /^pongTimeout: expected a duration.*; got NaN$/],
      [{ idleTimeout: 0 }, /^idleTimeout: expected a duration above 0.*; got 0$/],
      [{ maxLifetime: "-1 seconds" }, /^maxLifetime: .*; got "-1 seconds"$/],
      [{ closeTimeout: -1 }, /^closeTimeout: expected a duration that is not negative.*; got -1$/]
    ] as ReadonlyArray<readonly [Limits.Options, string | RegExp]>
    for (const [options, message] of wrong) {
      assert.throws(() => Limits.make(options), message)
    }
    assert.strictEqual(Limits.make({ closeTimeout: 0, maxMessageSize: Infinity }).closeTimeout, 0)
  })

  it.effect("bite: a message over 1 MiB, 65,537 fragments, 1,001 control frames", () =>
    Effect.gen(function* () {
      const mebibyte: FrameParts = { opcode: Opcode.binary, payload: new Uint8Array(1024 * 1024) }
      assert.deepStrictEqual(result(yield* bite("MessageTooBig", {}, (peer) => peer.send(mebibyte, close(1000)))), {
        code: 1000,
        count: 0,
        failed: false
      })
      const more: FrameParts = { opcode: Opcode.binary, payload: new Uint8Array(1024 * 1024 + 1) }
      assert.deepStrictEqual(result(yield* bite("MessageTooBig", {}, (peer) => peer.send(more))), bitten(1009))
      const empty: ReadonlyArray<FrameParts> = Array.from({ length: 65_536 }, (_, i) => ({
        opcode: i === 0 ? Opcode.text : Opcode.continuation,
        fin: false
      }))
      const last: FrameParts = { opcode: Opcode.continuation }
      assert.deepStrictEqual(
        result(yield* bite("TooManyFragments", {}, (peer) => peer.send(...empty.slice(1), close(1000)))).failed,
        true
      )
      assert.deepStrictEqual(
        result(yield* bite("TooManyFragments", {}, (peer) => peer.send(...empty.slice(0, -1), last, close(1000)))),
        { code: 1000, count: 0, failed: false }
      )
      assert.deepStrictEqual(
        result(yield* bite("TooManyFragments", {}, (peer) => peer.send(...empty, last))),
        bitten(1008)
      )
      const pongs: ReadonlyArray<FrameParts> = Array.from({ length: 1000 }, () => ({ opcode: Opcode.pong }))
      assert.deepStrictEqual(
        result(yield* bite("TooManyControlFrames", {}, (peer) => peer.send(...pongs, { opcode: Opcode.pong }))),
        bitten(1008)
      )
    })
  )
})

describe("maxFrameSize", () => {
  for (const way of ways) {
    it.effect(`refuses a larger frame with 1009 while ${way} are read, by its header alone`, () =>
      Effect.gen(function* () {
        const options = { limits: { maxFrameSize: 1000 } }
        const fits: FrameParts = { opcode: Opcode.binary, payload: new Uint8Array(1000) }
        const ends = yield* bite(
          "FrameTooBig",
          options,
          (peer) => peer.send(fits, { ...fits, fin: false }, close(1000)),
          way
        )
        assert.deepStrictEqual([ends.code, ends.count], [1000, 0])
        // a mask, and a length of 1001 in two bytes
        const header = new Uint8Array([0x82, 0xfe, 0x03, 0xe9])
        const refused = yield* bite("FrameTooBig", options, (peer) => peer.sendBytes(header), way)
        assert.deepStrictEqual(result(refused), bitten(1009))
      })
    )
  }
})

describe("maxMessageSize", () => {
  it.effect("refuses a larger message with 1009, in one frame or many, by the headers alone", () =>
    Effect.gen(function* () {
      const options = { limits: { maxMessageSize: 1000 } }
      const enormous = new Uint8Array([0x81, 0xff, 0, 0, 1, 0, 0, 0, 0, 0])
      const one = yield* bite("MessageTooBig", options, (peer) =>
        peer.sendBytes(Buffer.concat([enormous, Buffer.alloc(4)]))
      )
      assert.deepStrictEqual(result(one), bitten(1009))
      const half: FrameParts = { opcode: Opcode.text, fin: false, payload: Buffer.alloc(500, "a") }
      const rest = (size: number): FrameParts => ({ opcode: Opcode.continuation, payload: Buffer.alloc(size, "a") })
      const fits = yield* bite("MessageTooBig", options, (peer) =>
        peer.send(half, rest(500), half, rest(1), close(1000))
      )
      assert.deepStrictEqual(result(fits), { code: 1000, count: 0, failed: false })
      const many = yield* bite("MessageTooBig", options, (peer) => peer.send(half, rest(501)))
      assert.deepStrictEqual(result(many), bitten(1009))
    })
  )

  it.effect("sets nothing aside for bytes that were announced and have not come", () =>
    Effect.gen(function* () {
      const before = process.memoryUsage().arrayBuffers
      const header = new Uint8Array([0x02, 0xff, 0, 0, 0, 0, 0, 0x0f, 0xff, 0xff, 0, 0, 0, 0, 1])
      const fibers = yield* Effect.forEach(Array.from({ length: 300 }), () =>
        Effect.gen(function* () {
          const { peer, webSocket } = yield* withPeer("server")
          yield* peer.sendBytes(header)
          return yield* Effect.forkChild(Effect.exit(Stream.runDrain(webSocket.messages)))
        })
      )
      yield* settled
      assert.isBelow(process.memoryUsage().arrayBuffers - before, 30 * 1024 * 1024)
      yield* Fiber.interruptAll(fibers)
    })
  )

  // a mebibyte of zeros is about a kilobyte; blocks behind one another are one message
  const block = Zlib.deflateRawSync(Buffer.alloc(1024 * 1024), { finishFlush: Zlib.constants.Z_SYNC_FLUSH })
  const bomb = (blocks: number): FrameParts => ({
    opcode: Opcode.binary,
    rsv1: true,
    payload: Buffer.concat(Array.from({ length: blocks }, () => block))
  })

  for (const way of ways) {
    it.effect(`refuses what inflates to more with 1009 while ${way} are read, in bounded memory`, () =>
      Effect.gen(function* () {
        const exact: FrameParts = { opcode: Opcode.binary, rsv1: true, payload: block.subarray(0, -4) }
        const fits = yield* bite("MessageTooBig", { deflate: {} }, (peer) => peer.send(exact, close(1000)), way)
        assert.deepStrictEqual(result(fits), { code: 1000, count: 0, failed: false })
        // inflated at once, and in the thread pool
        for (const blocks of [2, 30, 800]) {
          const peak = process.resourceUsage().maxRSS
          const refused = yield* bite("MessageTooBig", { deflate: {} }, (peer) => peer.send(bomb(blocks)), way)
          assert.deepStrictEqual(result(refused), bitten(1009), `${blocks} MiB`)
          assert.isBelow(process.resourceUsage().maxRSS - peak, 64 * 1024, `${blocks} MiB`)
        }
      })
    )
  }

  it.effect("counts the compressed bytes of a message in fragments too", () =>
    Effect.gen(function* () {
      const options = { deflate: {}, limits: { maxMessageSize: 1000 } }
      const noise = crypto.getRandomValues(new Uint8Array(600))
      for (const way of ways) {
        const refused = yield* bite(
          "MessageTooBig",
          options,
          (peer) =>
            peer.send(
              { opcode: Opcode.binary, rsv1: true, fin: false, payload: noise },
              { opcode: Opcode.continuation, fin: false, payload: noise }
            ),
          way
        )
        assert.deepStrictEqual(result(refused), bitten(1009))
      }
    })
  )
})

describe("maxFragments", () => {
  it.effect("refuses a message of more frames with 1008, and counts for each message anew", () =>
    Effect.gen(function* () {
      const options = { limits: { maxFragments: 3 } }
      const message = (frames: number): ReadonlyArray<FrameParts> =>
        Array.from({ length: frames }, (_, i) => ({
          opcode: i === 0 ? Opcode.text : Opcode.continuation,
          fin: i === frames - 1
        }))
      const fits = yield* bite("TooManyFragments", options, (peer) =>
        peer.send(...message(3), ...message(1), ...message(3), close(1000))
      )
      assert.deepStrictEqual(result(fits), { code: 1000, count: 0, failed: false })
      const refused = yield* bite("TooManyFragments", options, (peer) => peer.send(...message(4)))
      assert.deepStrictEqual(result(refused), bitten(1008))
    })
  )
})

describe("maxControlFrameRate", () => {
  const pings = (count: number): ReadonlyArray<FrameParts> =>
    Array.from({ length: count }, () => ({ opcode: Opcode.ping }))

  it.effect("refuses more control frames in a second with 1008, however old the connection is", () =>
    Effect.gen(function* () {
      const options = { limits: { maxControlFrameRate: 10 } }
      for (const age of ["0 seconds", "1 hour"] as const) {
        yield* TestClock.adjust(age)
        const fits = yield* bite("TooManyControlFrames", options, (peer) => peer.send(...pings(9), close(1000)))
        assert.deepStrictEqual(result(fits), { code: 1000, count: 0, failed: false }, age)
        const refused = yield* bite("TooManyControlFrames", options, (peer) => peer.send(...pings(11)))
        assert.deepStrictEqual(result(refused), bitten(1008), age)
      }
    })
  )

  it.effect("takes that many each second for as long as it likes, whatever their kind", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { limits: { maxControlFrameRate: 10 } })
      const reading = yield* Effect.forkChild(Effect.exit(Stream.runDrain(webSocket.messages)))
      for (let second = 0; second < 20; second++) {
        yield* peer.send(...pings(5), { opcode: Opcode.pong }, text("not counted"), ...pings(4))
        yield* settled
        yield* TestClock.adjust("1 second")
      }
      assert.isUndefined(reading.pollUnsafe())
      yield* Fiber.interrupt(reading)
    })
  )

  it.effect("keeps pongs for a peer that reads none of them from growing without end", () =>
    Effect.gen(function* () {
      const { end, peer, webSocket } = yield* withPeer("server", { highWaterMark: 10_000 })
      const reading = yield* Effect.forkChild(Effect.exit(Stream.runDrain(webSocket.messages)))
      const flood = bytesOf(
        "client",
        Array.from({ length: 900 }, () => ({ opcode: Opcode.ping, payload: new Uint8Array(125) }))
      )
      for (let second = 0; second < 20; second++) {
        yield* Effect.forkChild(Effect.ignoreCause(peer.sendBytes(flood.slice())))
        yield* settled
        yield* TestClock.adjust("1 second")
      }
      assert.isBelow(end.unread(), 10_000 + 2 * flood.length)
      yield* Fiber.interrupt(reading)
    })
  )
})
