/**
 * The pipe gives the memory of a chunk back as soon as it is written, which is right only while nobody else holds it. So many
 * transfers at a time share one process here, fast ones, slow ones and ones that break off, and every byte of every one of
 * them is compared with what belongs there.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { certificate, key } from "../tls/openssl.ts"
import * as CommandLine from "./commandLine.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import type { Tcp } from "./tcp.ts"
import { Watch } from "./watch.ts"

const MiB = 1024 * 1024

/**
 * Each connection has a seed, which the client sends as its first byte; the target answers with the stream of that seed, and
 * checks that of the client, which has the seed behind it.
 */
class Exchange {
  readonly checker: Pattern.Checker
  readonly sender: Tcp
  constructor(sender: Tcp, seed: number) {
    this.sender = sender
    this.checker = new Pattern.Checker(seed)
  }
}

const bulkTarget = Effect.fnUntraced(function* (bytes: number) {
  const exchanges = new Map<number, Exchange>()
  const watch = new Watch(() => `${exchanges.size} exchanges`)
  const listener = yield* RawTarget.listen({
    onConnection: (connection) => {
      let exchange: Exchange | undefined
      connection.sink = (chunk) => {
        if (exchange !== undefined) return exchange.checker.push(chunk)
        exchange = new Exchange(connection, chunk[0]! + 1)
        exchanges.set(chunk[0]!, exchange)
        exchange.checker.push(chunk.subarray(1))
        Effect.runFork(Effect.andThen(connection.writeAll(Pattern.pieces(chunk[0]!, bytes)), connection.end()))
        watch.changed()
      }
    }
  })
  return { exchanges, listener }
})

/** Reads in fits and starts. */
const stutter = (connection: Tcp, milliseconds: number) => {
  let timer: NodeJS.Timeout | undefined
  connection.socket.on("data", () => {
    if (timer !== undefined || Math.random() > 0.2) return
    connection.pause()
    timer = setTimeout(() => {
      timer = undefined
      connection.resume()
    }, Math.random() * milliseconds)
  })
}

/** Frames of a mix of sizes, whole and in fragments: what fills a read alone, and what shares it with others. */
function* framesOf(seed: number, bytes: number): Generator<Uint8Array> {
  const sizes = [64 * 1024, 100, 16 * 1024, 40_000, 1, 200_000, 4096, 65_000]
  let at = 0
  for (let i = 0; at < bytes; i++) {
    const piece = Pattern.slice(seed, at, Math.min(sizes[i % sizes.length]!, bytes - at))
    at += piece.length
    if (i % 5 === 4) {
      const half = piece.length >> 1
      yield Frames.frame(Frames.binary, piece.subarray(0, half), { fin: false })
      if (i % 2 === 0) yield Frames.frame(Frames.pong, "between")
      yield Frames.frame(Frames.continuation, piece.subarray(half))
    } else yield Frames.frame(Frames.binary, piece)
  }
}

describe("chunks that are freed when they are written", { timeout: 30_000 }, () => {
  it.live.each([{ over: "TCP" }, { over: "TLS" }])(
    "12 transfers both ways at once over $over, a third of the readers slow, come through whole",
    ({ over }) =>
      Effect.gen(function* () {
        const bytes = 16 * MiB
        const tls = over === "TLS"
        const { exchanges, listener } = yield* bulkTarget(bytes)
        const proxy = yield* CommandLine.proxy(
          listener,
          ...(tls ? ["--cert", certificate("p256"), "--key", key("p256")] : [])
        )
        const one = (seed: number) =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* RawClient.open(proxy.port, { tls })
              if (seed % 3 === 0) stutter(client, 5)
              const down = new Pattern.Checker(seed)
              client.sink = (piece) => down.push(piece)
              yield* client.send(Frames.binary, new Uint8Array([seed]))
              const sending = yield* Effect.forkChild(client.writeAll(framesOf(seed + 1, bytes)), {
                startImmediately: true
              })
              yield* client.untilPayload(bytes, 40_000)
              assert.isTrue(yield* Fiber.join(sending))
              yield* client.sendClose(1000)
              yield* client.until("end", 20_000)
              assert.deepStrictEqual([down.fault, down.received], [undefined, bytes])
            })
          )
        yield* Effect.forEach(
          Array.from({ length: 12 }, (_, i) => i * 2 + 2),
          one,
          { concurrency: "unbounded", discard: true }
        )
        assert.strictEqual(exchanges.size, 12)
        for (const { checker, sender } of exchanges.values()) {
          yield* sender.until("closed")
          assert.deepStrictEqual([checker.fault, checker.received], [undefined, bytes])
        }
        assert.isUndefined(proxy.exited)
        assert.deepStrictEqual(proxy.errors, [])
      }),
    60_000
  )

  it.live(
    "100 transfers that break off in the middle, beside 4 that do not: no byte is wrong, and nothing falls over",
    () =>
      Effect.gen(function* () {
        const bytes = 16 * MiB
        const { exchanges, listener } = yield* bulkTarget(bytes)
        const proxy = yield* CommandLine.proxy(listener)
        const whole = (seed: number) =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* RawClient.open(proxy.port)
              const down = new Pattern.Checker(seed)
              client.sink = (piece) => down.push(piece)
              stutter(client, 3)
              yield* client.send(Frames.binary, new Uint8Array([seed]))
              const sending = yield* Effect.forkChild(client.writeAll(framesOf(seed + 1, bytes)), {
                startImmediately: true
              })
              yield* client.untilPayload(bytes, 40_000)
              assert.isTrue(yield* Fiber.join(sending))
              yield* client.sendClose(1000)
              yield* client.until("end", 20_000)
              assert.deepStrictEqual([down.fault, down.received], [undefined, bytes])
              const { checker, sender } = exchanges.get(seed)!
              yield* sender.until("closed")
              assert.deepStrictEqual([checker.fault, checker.received], [undefined, bytes])
            })
          )
        const broken = (i: number) =>
          Effect.scoped(
            Effect.gen(function* () {
              const seed = 20 + i * 2
              const client = yield* RawClient.open(proxy.port)
              const down = new Pattern.Checker(seed)
              client.sink = (piece) => down.push(piece)
              yield* client.send(Frames.binary, new Uint8Array([seed]))
              const sending = yield* Effect.forkChild(client.writeAll(framesOf(seed + 1, bytes)), {
                startImmediately: true
              })
              yield* client.untilPayload(Math.floor(Math.random() * 3 * MiB), 40_000)
              const { checker, sender } = exchanges.get(seed)!
              yield* [client.reset(), sender.reset(), client.end(), client.send(3, "")][i % 4]!
              if (i % 4 === 1) yield* client.watch.until("a Close", () => client.closeCode !== undefined, 20_000)
              yield* client.release
              yield* sender.until("closed", 20_000)
              yield* Fiber.join(sending)
              assert.deepStrictEqual([down.fault, checker.fault], [undefined, undefined])
            })
          )
        yield* Effect.all(
          [
            Effect.forEach([1, 5, 9, 13], whole, { concurrency: "unbounded", discard: true }),
            Effect.forEach(
              Array.from({ length: 100 }, (_, i) => i),
              broken,
              { concurrency: 5, discard: true }
            )
          ],
          { concurrency: "unbounded" }
        )
        assert.isUndefined(proxy.exited)
        assert.deepStrictEqual(proxy.errors, [])
      }),
    60_000
  )
})
