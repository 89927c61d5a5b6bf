/**
 * The close table of the proxy (`src/proxy/WebSocketProxy.ts`), seen from both wires: clients that break the protocol or a
 * limit of a connection.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { connected, soon, unhurried } from "./connected.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"
import { heldBack } from "./tcp.ts"
import { pass, timed } from "./watch.ts"

const faults: ReadonlyArray<readonly [what: string, code: number, bytes: Buffer]> = [
  ["a frame without a mask", 1002, Frames.frame(Frames.binary, "x", { mask: null })],
  ["a reserved opcode", 1002, Frames.frame(3, "x")],
  ["a reserved bit", 1002, Frames.frame(Frames.binary, "x", { rsv: 4 })],
  ["a continuation of nothing", 1002, Frames.frame(Frames.continuation, "x")],
  ["a ping in fragments", 1002, Frames.frame(Frames.ping, "x", { fin: false })],
  ["a Close of one byte", 1002, Frames.frame(Frames.close, "x")],
  ["a Close with a code that may not be sent", 1002, Frames.frame(Frames.close, Frames.closePayload(1006))],
  ["text that is not UTF-8", 1007, Frames.frame(Frames.text, Buffer.from([0x61, 0xff]))],
  ["text that ends inside a code point", 1007, Frames.frame(Frames.text, Buffer.from([0xe2, 0x82]))],
  ["a frame above the limit", 1009, Frames.header(Frames.binary, 2 ** 40)]
]

describe.concurrent("the client breaks the protocol", { timeout: 30_000 }, () => {
  it.live.each(faults)("%s: Close %i, FIN, and in the end destroyed; the target is reset", ([, code, bytes]) =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ maxFrameSize: 2 ** 32 })
      yield* client.write(Buffer.concat([Frames.frame(Frames.binary, "before"), bytes]))
      yield* client.until("end", soon)
      yield* target.until("closed", soon)
      assert.deepStrictEqual(client.log, ["open", `close ${code}`, "end"])
      assert.isAbove(client.closeReason.length, 10, "the reason says what was wrong")
      assert.deepStrictEqual(target.log, ["reset", "closed"])
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live("what came before the fault reaches the target that reads it", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      yield* client.send(Frames.binary, "before")
      yield* target.untilReceived(6)
      yield* client.send(3, "")
      yield* target.until("reset", soon)
      assert.strictEqual(target.text, "before")
    })
  )

  it.live("a client that goes on sending still reads its Close, and is destroyed after the close timeout", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* connected({ closeTimeout: 300 })
      client.pause()
      yield* client.send(3, "")
      const sending = yield* Effect.forkChild(timed(client.sendAll(new Pattern.Source(1))), { startImmediately: true })
      yield* pass(100)
      client.resume()
      yield* client.until("end", soon)
      assert.deepStrictEqual(client.log, ["open", "close 1002", "end"])
      const [finished, millis] = yield* Fiber.join(sending)
      assert.isFalse(finished)
      assert.isBelow(millis, unhurried)
      yield* proxy.idle(soon)
    })
  )

  it.live("a client that does nothing is destroyed after the close timeout", () =>
    Effect.gen(function* () {
      const { client, proxy } = yield* connected({ closeTimeout: 300 })
      yield* client.send(3, "")
      yield* client.until("end", soon)
      const [, millis] = yield* timed(proxy.idle(soon))
      assert.isBelow(millis, unhurried)
    })
  )

  it.live("a client that reads nothing, with all buffers full, is destroyed after the close timeouts", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ closeTimeout: 300 })
      client.pause()
      const sending = yield* Effect.forkChild(target.writeAll(new Pattern.Source(1)), { startImmediately: true })
      yield* heldBack(target)
      yield* client.send(3, "")
      yield* target.until("reset", soon)
      yield* proxy.idle(soon)
      yield* Fiber.join(sending)
    })
  )

  it.live("data behind the fault is not delivered", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected()
      yield* client.write(Buffer.concat([Frames.frame(3, ""), Frames.frame(Frames.binary, "after")]))
      yield* target.until("closed", soon)
      assert.strictEqual(target.text, "")
    })
  )
})

describe.concurrent("a limit of the connection", { timeout: 30_000 }, () => {
  it.live.each([
    ["idleTimeout", 1001],
    ["maxLifetime", 1008]
  ] as const)("%s: Close %i; the target gets what is left, then FIN", ([limit, code]) =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ [limit]: 400 })
      yield* client.send(Frames.binary, "hello")
      yield* client.until(`close ${code}`, soon)
      yield* client.send(Frames.binary, " and goodbye")
      yield* client.sendClose(code)
      yield* target.until("end", soon)
      yield* client.until("end", soon)
      assert.strictEqual(target.text, "hello and goodbye")
      assert.deepStrictEqual(client.log, ["open", `close ${code}`, "end"])
      yield* target.end()
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(target.log, ["end", "closed"])
      assert.deepStrictEqual(proxy.log, [])
    })
  )

  it.live.each(["idleTimeout", "maxLifetime"] as const)("%s: a client that does not answer is cut off", (limit) =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ [limit]: 300, closeTimeout: 300 })
      yield* client.watch.until("a Close, and then the end", () => client.closeCode !== undefined && client.over, soon)
      assert.match(client.log.join(), /^open,close \d+,(end|reset)/)
      yield* target.watch.until("the end", () => target.over, soon)
      yield* target.end()
      yield* client.end()
      yield* proxy.idle(soon)
    })
  )

  it.live("idleTimeout spares a connection with data in one direction", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected({ idleTimeout: 300 })
      for (let i = 1; i <= 8; i++) {
        yield* i % 2 === 0 ? target.write(Buffer.from("x")) : client.send(Frames.binary, "x")
        yield* pass(75)
      }
      assert.deepStrictEqual(
        client.log.filter((event) => event !== "binary"),
        ["open"]
      )
      yield* client.until("close 1001", soon)
    })
  )

  it.live(
    "maxLifetime in the middle of an upload to a slow target loses nothing of what came before the client's Close",
    () =>
      Effect.gen(function* () {
        const { client, proxy, target } = yield* connected({ maxLifetime: 600, accepting: { paused: true } })
        const source = new Pattern.Source(1)
        const sending = yield* Effect.forkChild(client.sendAll(source), { startImmediately: true })
        yield* client.until("close 1008", soon)
        source.stop()
        const checker = new Pattern.Checker(1)
        target.sink = (chunk) => checker.push(chunk)
        yield* pass(100)
        target.resume()
        assert.isTrue(yield* Fiber.join(sending))
        yield* client.sendClose(1008)
        yield* target.until("end")
        assert.strictEqual(checker.fault, undefined)
        assert.strictEqual(checker.received, source.sent)
        yield* target.end()
        yield* client.end()
        yield* proxy.idle(soon)
      })
  )

  it.live("maxLifetime in the middle of a download: a prefix arrives, then Close 1008, and the target sees FIN", () =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({ maxLifetime: 300 })
      const checker = new Pattern.Checker(2)
      client.sink = (piece) => checker.push(piece)
      const source = new Pattern.Source(2)
      const sending = yield* Effect.forkChild(target.writeAll(source), { startImmediately: true })
      yield* client.until("close 1008", soon)
      yield* client.sendClose(1008)
      yield* target.until("end", soon)
      source.stop()
      assert.isTrue(yield* Fiber.join(sending), "the target is not reset while it sends")
      yield* target.end()
      yield* client.end()
      yield* proxy.idle(soon)
      assert.strictEqual(checker.fault, undefined)
      assert.deepStrictEqual(target.log, ["end", "closed"])
    })
  )

  it.live.each(["idleTimeout", "maxLifetime"] as const)("%s ends a connection whose target reads nothing", (limit) =>
    Effect.gen(function* () {
      const { client, proxy, target } = yield* connected({
        [limit]: 500,
        closeTimeout: 300,
        accepting: { paused: true }
      })
      const sending = yield* Effect.forkChild(client.sendAll(new Pattern.Source(1)), { startImmediately: true })
      yield* client.watch.until("a Close", () => client.closeCode !== undefined, soon)
      yield* Fiber.join(sending)
      yield* proxy.idle(soon)
      target.resume()
      yield* target.watch.until("the end", () => target.over, soon)
    })
  )
})
