/**
 * The close table of the proxy (`src/proxy/WebSocketProxy.ts`), seen from both wires: the rows that the target begins.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as CommandLine from "./commandLine.ts"
import { connected, soon, unhurried } from "./connected.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { heldBack } from "./tcp.ts"
import { pass, timed } from "./watch.ts"

describe.concurrent("the target sends FIN", { timeout: 30_000 }, () => {
  it.live("all its bytes go first, then Close 1000, and no FIN before the client's Close", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      const total = 3_000_000
      const checker = new Pattern.Checker(1)
      client.sink = (piece) => checker.push(piece)
      yield* target.writeAll(Pattern.pieces(1, total))
      yield* target.end()
      yield* client.until("close 1000", soon)
      assert.strictEqual(checker.fault, undefined)
      assert.strictEqual(checker.received, total)
      assert.strictEqual(client.closeReason, "")

      // still open this way: what the client sends after our Close reaches the target, and no FIN has come to either
      yield* client.send(Frames.binary, "still ")
      yield* client.send(Frames.text, "here")
      yield* target.untilReceived(10, soon)
      assert.strictEqual(target.text, "still here")
      assert.deepStrictEqual(client.log, ["open", "close 1000"])
      assert.deepStrictEqual(target.log, [])

      yield* client.sendClose(1000)
      yield* client.until("end", soon)
      yield* target.until("closed", soon)
      assert.deepStrictEqual(client.log, ["open", "close 1000", "end"])
      assert.deepStrictEqual(target.log, ["end", "closed"])
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live("a client that does not answer is not ended before the close timeout, and is ended then", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 400 })
      const [, millis] = yield* timed(
        Effect.andThen(
          target.end(),
          client.watch.until("the end", () => client.over, soon)
        )
      )
      assert.strictEqual(client.log[1], "close 1000")
      assert.isAtLeast(millis, 390)
      yield* target.until("closed", soon)
      yield* client.end()
      yield* proxy.idle(soon)
    })
  )

  it.live("a client that goes on sending for longer than the timeout is ended too", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 400 })
      yield* target.end()
      yield* client.until("close 1000", soon)
      const source = new Pattern.Source(1)
      const [sent, millis] = yield* timed(client.sendAll(source))
      assert.isFalse(sent)
      assert.isBelow(millis, unhurried)
      yield* target.until("closed", soon)
      assert.isTrue(target.bytes.equals(Pattern.bytes(1, target.received)))
      yield* proxy.idle(soon)
    })
  )

  it.live("what the client had sent before is delivered to a target that reads slowly", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected({ accepting: { paused: true } })
      const source = new Pattern.Source(2)
      const sending = yield* Effect.forkChild(client.sendAll(source), { startImmediately: true })
      yield* heldBack(client)
      source.stop()
      yield* target.end()
      yield* client.until("close 1000", soon)
      const checker = new Pattern.Checker(2)
      target.sink = (chunk) => checker.push(chunk)
      target.resume()
      assert.isTrue(yield* Fiber.join(sending))
      yield* client.sendClose(1000)
      yield* target.until("end")
      assert.strictEqual(checker.fault, undefined)
      assert.strictEqual(checker.received, source.sent)
      assert.deepStrictEqual(target.log.at(0), "end")
    })
  )

  it.live("a client that is slow for less than the close timeout gets everything", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected({ closeTimeout: 3000 })
      client.pause()
      const total = 20_000_000
      const checker = new Pattern.Checker(3)
      client.sink = (piece) => checker.push(piece)
      const sending = yield* Effect.forkChild(Effect.andThen(target.writeAll(Pattern.pieces(3, total)), target.end()), {
        startImmediately: true
      })
      yield* heldBack(target)
      yield* pass(800)
      client.resume()
      yield* client.until("close 1000")
      yield* Fiber.join(sending)
      assert.strictEqual(checker.fault, undefined)
      assert.strictEqual(checker.received, total)
    })
  )

  it.live(
    "a client that reads at a steady slow pace gets everything, however long that takes",
    () =>
      Effect.gen(function* () {
        // the timeout is for a client that does nothing, not for one whose buffers are long
        const { client, target } = yield* connected({ closeTimeout: 1500 })
        client.pause()
        const source = new Pattern.Source(4)
        const checker = new Pattern.Checker(4)
        client.sink = (piece) => checker.push(piece)
        const sending = yield* Effect.forkChild(Effect.andThen(target.writeAll(source), target.end()), {
          startImmediately: true
        })
        yield* heldBack(target)
        source.stop()
        // five seconds for what is in the buffers
        const step = source.sent / 100
        for (let next = step; !client.over && !client.has("close 1000"); next += step) {
          client.resume()
          yield* client.watch.until("more", () => client.received >= next || client.over || client.has("close 1000"))
          client.pause()
          yield* pass(50)
        }
        assert.deepStrictEqual(client.log.slice(0, 2), ["open", "close 1000"])
        yield* Fiber.join(sending)
        assert.strictEqual(checker.fault, undefined)
        assert.strictEqual(checker.received, source.sent)
      }),
    30_000
  )

  it.live("a target that ends for good with its answer held back: all of it arrives", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      client.pause()
      const source = new Pattern.Source(5)
      const checker = new Pattern.Checker(5)
      client.sink = (piece) => checker.push(piece)
      const sending = yield* Effect.forkChild(target.writeAll(source), { startImmediately: true })
      yield* heldBack(target)
      source.stop()
      // close(2): what comes to the target from now on is answered with RST
      yield* target.destroySoon()
      client.resume()
      yield* client.until("close 1000")
      yield* Fiber.interrupt(sending)
      assert.strictEqual(checker.fault, undefined)
      assert.strictEqual(checker.received, source.sent)
    })
  )
})

describe.concurrent("the target fails", { timeout: 30_000 }, () => {
  it.live("by RST: Close 1011 with a reason that names nothing of the target", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      yield* target.write(Buffer.from("partial answer"))
      yield* client.untilPayload(14)
      yield* target.reset()
      yield* client.until("close 1011", soon)
      assert.strictEqual(client.bytes.toString(), "partial answer")
      assert.strictEqual(client.closeReason, "the target failed")
      // no FIN before its Close
      yield* pass(100)
      assert.deepStrictEqual(client.log, ["open", "binary", "close 1011"])
      yield* client.sendClose(1011)
      yield* client.until("end", soon)
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live("by RST while the client is sending", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      const sending = yield* Effect.forkChild(client.sendAll(new Pattern.Source(1)), { startImmediately: true })
      yield* target.untilReceived(1_000_000)
      yield* target.reset()
      yield* client.until("close 1011", soon)
      yield* Fiber.interrupt(sending)
      yield* client.sendClose(1011)
      yield* client.until("end", soon)
      yield* client.end()
      yield* client.until("closed", soon)
      yield* proxy.idle(soon)
      assert.deepStrictEqual(client.log, ["open", "close 1011", "end", "closed"])
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live("by RST while it reads nothing and the client is held back", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ accepting: { paused: true } })
      const sending = yield* Effect.forkChild(client.sendAll(new Pattern.Source(1)), { startImmediately: true })
      yield* heldBack(client)
      yield* target.reset()
      yield* client.until("close 1011", soon)
      yield* Fiber.interrupt(sending)
      yield* client.sendClose(1011)
      yield* client.until("end", soon)
      yield* client.end()
      yield* proxy.idle(soon)
    })
  )

  it.live("by RST right behind its last bytes: Close 1011", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      target.socket.write("hello")
      yield* target.reset()
      yield* client.until("close 1011", soon)
      yield* client.sendClose(1011)
      yield* client.until("end", soon)
      yield* client.end()
      yield* proxy.idle(soon)
    })
  )

  it.live("by RST while the client reads nothing: what came before goes first, then Close 1011", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      client.pause()
      const sending = yield* Effect.forkChild(target.writeAll(new Pattern.Source(2)), { startImmediately: true })
      yield* heldBack(target)
      yield* target.reset()
      yield* Fiber.join(sending)
      const checker = new Pattern.Checker(2)
      client.sink = (piece) => checker.push(piece)
      client.resume()
      yield* client.until("close 1011", soon)
      assert.strictEqual(checker.fault, undefined)
      assert.isAbove(checker.received, 100_000)
      yield* client.sendClose(1011)
      yield* client.until("end", soon)
      yield* client.end()
      yield* proxy.idle(soon)
    })
  )

  it.live("after its FIN, when the client goes on sending: the client is told, once", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected()
      yield* target.end()
      yield* client.until("close 1000", soon)
      yield* target.reset()
      const sending = yield* Effect.forkChild(client.sendAll(Pattern.pieces(1, 1_000_000)), { startImmediately: true })
      yield* Fiber.join(sending)
      yield* client.sendClose(1000)
      yield* client.watch.until("the end", () => client.over, soon)
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(client.log.slice(0, 3), ["open", "close 1000", "end"])
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live("a client that does not answer the Close 1011 is ended after the close timeout", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 300 })
      const [, millis] = yield* timed(
        Effect.andThen(
          target.reset(),
          client.watch.until("the end", () => client.over, soon)
        )
      )
      assert.strictEqual(client.log[1], "close 1011")
      assert.isAtLeast(millis, 290)
      yield* client.end()
      yield* proxy.idle(soon)
    })
  )
})

// one after the other: they keep this process so busy that nothing else in it is answered in time
describe("the target fails, many times", { timeout: 30_000 }, () => {
  it.live(
    "by RST with data on its way in both directions: never Close 1000, as if that were all",
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const proxy = yield* CommandLine.proxy(listener)
        const codes: Record<number, number> = {}
        const once = Effect.scoped(
          Effect.gen(function* () {
            const client = yield* RawClient.open(proxy.port)
            const target = yield* listener.meet(client)
            client.sink = () => {}
            target.pause()
            yield* Effect.forkChild(client.sendAll(new Pattern.Source(1)), { startImmediately: true })
            yield* Effect.forkChild(target.writeAll(new Pattern.Source(2)), { startImmediately: true })
            yield* heldBack(client)
            yield* target.reset()
            const code = yield* client.watch.until("a Close", () => client.closeCode)
            codes[code] = (codes[code] ?? 0) + 1
            yield* client.reset()
          })
        )
        yield* Effect.forEach(Array.from({ length: 40 }), () => once, { concurrency: 4, discard: true })
        assert.deepStrictEqual(codes, { 1011: 40 })
      }),
    30_000
  )

  it.live("a target that resets as soon as it accepts: a refusal or Close 1011, and nothing else", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen({ onConnection: (connection) => connection.socket.resetAndDestroy() })
      const proxy = yield* Proxy.serve({ target: listener.target })
      const once = Effect.scoped(
        Effect.gen(function* () {
          const client = yield* RawClient.request(proxy.port)
          yield* client.watch.until("an answer", () => client.has("502") || client.has("close 1011"), soon)
          if (client.status === 101) yield* client.sendClose(1011)
          yield* client.until("end", soon)
        })
      )
      yield* Effect.forEach(Array.from({ length: 200 }), () => once, { concurrency: 10, discard: true })
      yield* proxy.idle(soon)
      assert.deepStrictEqual(
        proxy.log.filter((line) => !line.startsWith("Warn cannot connect to")),
        []
      )
    })
  )
})
