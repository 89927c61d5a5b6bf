/**
 * What one side sends, the other gets: all of it, in order, however slow anybody is, and up to the end of either side; with
 * listeners of DataIn as without.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { WebSocketProxy } from "../../src/component/WebSocketProxy.ts"
import * as Frames from "../proxy/frames.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as RawClient from "../proxy/rawClient.ts"
import { heldBack } from "../proxy/tcp.ts"
import * as Forwarding from "./forwarding.ts"

const MiB = 1024 * 1024
const patience = 30_000

/** More than all buffers on the way hold, the system's, which it sizes by itself, included. */
const buffers = 24 * MiB

/** Who listens to DataIn; what it holds up is nothing but time. */
const listeners = {
  "nobody listens": () => {},
  "a listener": (proxy: WebSocketProxy) => void proxy.on("DataIn", (e) => e.textB),
  "a slow listener": (proxy: WebSocketProxy) => void proxy.on("DataIn", () => new Promise(setImmediate))
}

const assertAll = (checker: Pattern.Checker, total: number) => {
  assert.isUndefined(checker.fault)
  assert.strictEqual(checker.received, total)
}

for (const [who, setUp] of Object.entries(listeners)) {
  describe(`forwarding, DataIn: ${who}`, { timeout: 60_000 }, () => {
    it.live("WebSocketProxy: bytes go both ways at once, whole and in order, in messages of any size", () =>
      Effect.gen(function* () {
        const total = 6 * MiB
        const { client, target } = yield* Forwarding.connected({ setUp })
        const up = new Pattern.Checker(1)
        const down = new Pattern.Checker(2)
        target.sink = (chunk) => up.push(chunk)
        client.sink = (piece) => down.push(piece)
        const sending = yield* Effect.forkChild(target.writeAll(Pattern.pieces(2, total, 50_021)), {
          startImmediately: true
        })
        // small ones, ones that no read holds, and one of a MiB in one frame
        const sizes = [1, 125, 126, 65_535, 65_536, 200_003, 7]
        let at = 0
        for (let i = 0; at < total - MiB; i++) {
          const size = Math.min(sizes[i % sizes.length]!, total - MiB - at)
          yield* client.send(Frames.binary, Buffer.from(Pattern.slice(1, at, size)))
          at += size
        }
        yield* client.sendFrame(
          MiB,
          (function* () {
            for (let sent = 0; sent < MiB; sent += 65_536) yield Pattern.slice(1, at + sent, 65_536)
          })()
        )
        yield* target.untilReceived(total, patience)
        yield* client.untilPayload(total, patience)
        yield* Fiber.join(sending)
        assertAll(up, total)
        assertAll(down, total)
      })
    )

    it.live("Disconnected.StatusCode: nothing is lost when the client closes behind a burst", () =>
      Effect.gen(function* () {
        const total = 4 * MiB
        const { client, target, told } = yield* Forwarding.connected({ setUp })
        const checker = new Pattern.Checker(1)
        target.sink = (chunk) => checker.push(chunk)
        const burst = function* () {
          for (const piece of Pattern.pieces(1, total)) yield Frames.frame(Frames.binary, piece)
          yield Frames.frame(Frames.close, Frames.closePayload(1000))
        }
        yield* client.writeAll(burst())
        yield* target.until("end", patience)
        assertAll(checker, total)
        yield* target.end()
        yield* told.until("Disconnected 1 1000", patience)
        assert.deepStrictEqual(target.log.slice(0, 1), ["end"])
      })
    )

    it.live("Disconnected.StatusCode: nothing is lost when the forward host closes behind a burst", () =>
      Effect.gen(function* () {
        const total = 4 * MiB
        const { client, target, told } = yield* Forwarding.connected({ setUp })
        const checker = new Pattern.Checker(1)
        client.sink = (piece) => checker.push(piece)
        yield* Effect.forkChild(Effect.andThen(target.writeAll(Pattern.pieces(1, total)), target.end()), {
          startImmediately: true
        })
        yield* client.until("close 1000", patience)
        assertAll(checker, total)
        // what the client has still to say arrives
        yield* client.write(
          Buffer.concat([Frames.frame(Frames.binary, "last"), Frames.frame(Frames.close, Frames.closePayload(1000))])
        )
        yield* target.until("end")
        assert.strictEqual(target.text, "last")
        yield* client.until("end")
        yield* told.until("Disconnected 1 1000")
      })
    )

    it.live("WebSocketProxy: a slow forward host holds the client up, with no more than buffers between them", () =>
      Effect.gen(function* () {
        const { client, target } = yield* Forwarding.connected({ setUp, accepting: { paused: true } })
        const source = new Pattern.Source(1)
        const checker = new Pattern.Checker(1)
        target.sink = (chunk) => checker.push(chunk)
        const sending = yield* Effect.forkChild(client.sendAll(source), { startImmediately: true })
        yield* heldBack(client)
        assert.strictEqual(target.received, 0)
        assert.isBelow(source.sent, buffers)
        source.stop()
        target.resume()
        yield* Fiber.join(sending)
        yield* target.untilReceived(source.sent, patience)
        assertAll(checker, source.sent)
      })
    )
  })
}

describe("forwarding to the client", { timeout: 60_000 }, () => {
  for (const [how, settings] of Object.entries({
    "as it comes": [],
    "cut at MaxFrameSize": ["MaxFrameSize=1000"]
  })) {
    it.live(`MaxFrameSize: a slow client holds the forward host up, with no more than buffers between; ${how}`, () =>
      Effect.gen(function* () {
        const { client, target } = yield* Forwarding.connected({ config: settings })
        const source = new Pattern.Source(1)
        const checker = new Pattern.Checker(1)
        client.sink = (piece) => checker.push(piece)
        client.pause()
        const sending = yield* Effect.forkChild(target.writeAll(source), { startImmediately: true })
        yield* heldBack(target)
        assert.strictEqual(client.payloadBytes, 0)
        assert.isBelow(source.sent, buffers)
        source.stop()
        client.resume()
        yield* Fiber.join(sending)
        yield* client.untilPayload(source.sent, patience)
        assertAll(checker, source.sent)
      })
    )
  }

  it.live("Connected: what the forward host says first waits for listeners of it, and comes behind", () =>
    Effect.gen(function* () {
      const release = Promise.withResolvers<void>()
      const { listener, proxy, told } = yield* Forwarding.listen({
        setUp: (proxy) => proxy.on("Connected", () => release.promise),
        accepting: { onConnection: ({ socket }) => void socket.end("banner") }
      })
      const client = yield* RawClient.request(proxy.localPort)
      yield* client.until("open")
      yield* client.send(Frames.binary, "hello")
      const target = yield* listener.accept
      assert.deepStrictEqual([client.payloadBytes, target.received], [0, 0])
      release.resolve()
      yield* client.until("close 1000")
      yield* client.sendClose(1000)
      yield* target.until("end")
      assert.deepStrictEqual([client.bytes.toString(), target.text], ["banner", "hello"])
      yield* told.until("Disconnected 1 1000")
    })
  )
})
