/**
 * The close table of the proxy (`src/proxy/WebSocketProxy.ts`), seen from both wires: the rows that the client begins.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { connected, soon, unhurried } from "./connected.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"
import type * as RawClient from "./rawClient.ts"
import { heldBack } from "./tcp.ts"
import { pass, timed } from "./watch.ts"

describe.concurrent("the client sends Close", { timeout: 30_000 }, () => {
  it.live("it is echoed, then FIN; the target gets all bytes, then FIN", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      const total = 300_000
      // in one write, Close right behind the data
      yield* client.write(
        Buffer.concat([
          ...[...Pattern.pieces(1, total, 10_000)].map((piece) => Frames.frame(Frames.binary, piece)),
          Frames.frame(Frames.close, Frames.closePayload(3001, "done"))
        ])
      )
      yield* target.until("end", soon)
      yield* client.until("end", soon)
      assert.isTrue(target.bytes.equals(Pattern.bytes(1, total)))
      assert.deepStrictEqual(client.log, ["open", "close 3001", "end"])
      assert.deepStrictEqual(target.log, ["end"])
      yield* target.end()
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(target.log, ["end", "closed"])
      assert.deepStrictEqual(client.log, ["open", "close 3001", "end", "closed"])
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live.each([
    ["without a code", undefined, "close 1005"],
    ["with a code", 1000, "close 1000"]
  ] as const)("%s: the echo has the same", ([, code, echo]) =>
    Effect.gen(function* () {
      const { client } = yield* connected()
      yield* client.sendClose(code)
      yield* client.until("end", soon)
      assert.deepStrictEqual(client.log, ["open", echo, "end"])
      assert.strictEqual(client.closeReason, "")
    })
  )

  it.live("what the target sends after that is read and discarded to its EOF", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      yield* client.sendClose(1000)
      yield* target.until("end", soon)
      // more than all buffers on the way: it is gone only because it is read
      assert.isTrue(yield* target.writeAll(Pattern.pieces(2, 20_000_000)))
      yield* target.end()
      yield* target.until("closed", soon)
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(target.log, ["end", "closed"], "the target sees no reset")
      assert.strictEqual(client.payloadBytes, 0)
      assert.deepStrictEqual(client.log, ["open", "close 1000", "end", "closed"])
    })
  )

  it.live("what was on its way to the client arrives before the echo, and whole", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      client.pause()
      const sending = yield* Effect.forkChild(target.writeAll(Pattern.pieces(3, Infinity)), { startImmediately: true })
      // all buffers on the way are full
      yield* heldBack(target)
      const checker = new Pattern.Checker(3)
      client.sink = (piece) => checker.push(piece)
      yield* client.sendClose(1000)
      client.resume()
      yield* client.until("end", soon)
      assert.strictEqual(checker.fault, undefined)
      assert.isAbove(checker.received, 100_000)
      assert.deepStrictEqual(client.log, ["open", "close 1000", "end"])
      yield* Fiber.interrupt(sending)
    })
  )

  it.live("a target that goes on after its FIN is waited for until the close timeout, and no longer", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 300 })
      const [, millis] = yield* timed(
        Effect.gen(function* () {
          yield* client.sendClose(1000)
          yield* client.until("end", soon)
          yield* client.end()
          yield* target.until("end", soon)
          yield* proxy.idle()
        })
      )
      assert.isAtLeast(millis, 290)
      assert.isBelow(millis, unhurried)
    })
  )

  it.live("a target that sends without end is cut off after the close timeout", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 300 })
      yield* client.sendClose(1000)
      yield* client.until("end", soon)
      yield* client.end()
      const [finished, millis] = yield* timed(target.writeAll(Pattern.pieces(4, Infinity)))
      assert.isFalse(finished)
      assert.isBelow(millis, unhurried)
      yield* proxy.idle(soon)
    })
  )

  it.live("a target that reads slowly gets all of it before FIN", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected({ accepting: { paused: true } })
      const source = new Pattern.Source(5)
      const sending = yield* Effect.forkChild(client.sendAll(source), { startImmediately: true })
      yield* heldBack(client)
      source.stop()
      const checker = new Pattern.Checker(5)
      target.sink = (chunk) => checker.push(chunk)
      target.resume()
      assert.isTrue(yield* Fiber.join(sending))
      yield* client.sendClose(1000)
      yield* client.end()
      yield* target.until("end")
      assert.strictEqual(checker.fault, undefined)
      assert.strictEqual(checker.received, source.sent)
      assert.deepStrictEqual(target.log, ["end"])
    })
  )

  it.live("a target that has not read it all when the close timeout passes still gets it, and FIN", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 300, accepting: { paused: true } })
      const total = 50_000
      yield* client.sendAll(Pattern.pieces(6, total))
      yield* client.sendClose(1000)
      yield* client.until("end", soon)
      yield* client.end()
      yield* proxy.idle(soon)
      target.resume()
      yield* target.until("end", soon)
      assert.isTrue(target.bytes.equals(Pattern.bytes(6, total)))
    })
  )

  it.live("the end of the proxy meanwhile takes nothing away from the target", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ accepting: { paused: true } })
      const total = 50_000
      yield* client.sendAll(Pattern.pieces(7, total))
      yield* client.sendClose(1000)
      yield* client.until("end", soon)
      yield* client.end()
      const source = new Pattern.Source(8)
      const sending = yield* Effect.forkChild(target.writeAll(source), { startImmediately: true })
      const stopping = yield* Effect.forkChild(proxy.stop, { startImmediately: true })
      yield* pass(100)
      target.resume()
      yield* target.watch.until("the end", () => target.over, soon)
      source.stop()
      yield* Fiber.join(sending)
      assert.strictEqual(target.received, total)
      assert.isTrue(target.bytes.equals(Pattern.bytes(7, total)))
      assert.strictEqual(target.log[0], "end")
      yield* target.end()
      yield* Fiber.join(stopping)
    })
  )

  it.live("a client that never ends TCP after the two Closes is given up after the close timeout", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 300 })
      yield* client.sendClose(1000)
      yield* target.until("end", soon)
      yield* target.end()
      yield* client.until("end", soon)
      const [, millis] = yield* timed(proxy.idle())
      assert.isBelow(millis, unhurried)
    })
  )
})

describe.concurrent("the client vanishes", { timeout: 30_000 }, () => {
  const vanishes = (how: string, vanish: (client: RawClient.RawClient) => Effect.Effect<void>) =>
    describe(how, () => {
      it.live("the target is reset at once", () =>
        Effect.gen(function* () {
          const { client, proxy, target } = yield* connected()
          yield* client.send(Frames.binary, "hello")
          yield* target.untilReceived(5)
          yield* vanish(client)
          yield* target.until("closed", soon)
          assert.deepStrictEqual(target.log, ["reset", "closed"])
          yield* proxy.idle(soon)
          assert.deepStrictEqual(proxy.log, [])
        })
      )

      it.live("also while the target is sending to it", () =>
        Effect.gen(function* () {
          const { client, proxy, target } = yield* connected()
          const sending = yield* Effect.forkChild(target.writeAll(Pattern.pieces(1, Infinity)), {
            startImmediately: true
          })
          yield* client.untilPayload(1_000_000)
          client.pause()
          yield* vanish(client)
          yield* target.until("closed", soon)
          assert.isFalse(yield* Fiber.join(sending))
          assert.deepStrictEqual(target.log, ["reset", "closed"])
          yield* proxy.idle(soon)
        })
      )

      it.live("also in the middle of a frame", () =>
        Effect.gen(function* () {
          const { client, target } = yield* connected()
          yield* client.write(Frames.header(Frames.binary, 1000))
          yield* client.write(Buffer.alloc(10))
          yield* target.untilReceived(10)
          yield* vanish(client)
          yield* target.until("closed", soon)
          assert.deepStrictEqual(target.log, ["reset", "closed"])
        })
      )
    })

  vanishes("by RST", (client) => client.reset())
  vanishes("by FIN without Close", (client) => client.end())

  it.live("by answering no ping: both are reset", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({
        pingInterval: 100,
        pongTimeout: 100,
        client: { pongs: false }
      })
      yield* target.until("closed", soon)
      assert.deepStrictEqual(target.log, ["reset", "closed"])
      yield* client.until("closed", soon)
      assert.deepStrictEqual(client.log, ["open", "ping", "reset", "closed"])
      yield* proxy.idle(soon)
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live("by RST while the target reads nothing: the connection is given up within the time of a ping", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({
        pingInterval: 100,
        pongTimeout: 100,
        closeTimeout: 300,
        accepting: { paused: true }
      })
      // fills every buffer up to the client
      const sending = yield* Effect.forkChild(client.sendAll(Pattern.pieces(1, Infinity)), { startImmediately: true })
      yield* heldBack(client)
      yield* client.reset()
      yield* Fiber.join(sending)
      yield* proxy.idle(soon)
      target.resume()
      yield* target.until("reset", soon)
    })
  )
})

describe.concurrent("a client that reads slowly", { timeout: 30_000 }, () => {
  it.live("is alive as long as it reads, however late its Pongs", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected({ pingInterval: 200, pongTimeout: 200 })
      client.sink = () => {}
      const sending = yield* Effect.forkChild(target.writeAll(Pattern.pieces(1, 30_000_000)), {
        startImmediately: true
      })
      // a little at a time: what is in the system's buffers before a ping takes longer than the ping may
      const before = client.payloadBytes
      for (let i = 0; i < 100; i++) {
        client.resume()
        yield* client.watch.until("more, or the end", () => client.received > before + i * 20_000 || client.over)
        assert.isFalse(client.over, `given up while it read: ${client.log}`)
        client.pause()
        yield* pass(15)
      }
      client.resume()
      yield* client.untilPayload(30_000_000)
      assert.isTrue(yield* Fiber.join(sending))
      assert.isFalse(client.over)
    })
  )
})
