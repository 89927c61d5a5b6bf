/**
 * Large transfers through the command line's proxy with its resident memory sampled from outside: every byte must arrive, and
 * no sample may lie far above what the process takes when idle. The data is made on the fly and held nowhere, so the size is
 * a matter of time alone; `bounded.test.ts` and the soak test differ in nothing but numbers.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as CommandLine from "./commandLine.ts"
import * as Pattern from "./pattern.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import type { Tcp } from "./tcp.ts"
import { pass } from "./watch.ts"

const MiB = 1024 * 1024

export interface Options {
  /** `up` is one frame from the client to the target; `down` comes in frames of the proxy's making. */
  readonly direction: "up" | "down"
  readonly bytes: number
  /** For how long the receiver reads slowly, a piece at a time, before it reads as fast as it can. */
  readonly slowMillis: number
  /** How much more than idle the process may take, in bytes. */
  readonly allowance: number
  /** How long the whole may take. */
  readonly bound: number
}

export interface Report {
  readonly idle: number
  /** The most above idle that was seen. */
  readonly growth: number
  readonly samples: number
  readonly millis: number
}

/** Reads one piece, then nothing for a while, and so on until the time is over. */
const readSlowly = (receiver: Tcp, millis: number): Effect.Effect<void> =>
  Effect.suspend(() => {
    if (millis === 0) return Effect.void
    const pause = () => receiver.pause()
    receiver.pause()
    receiver.socket.on("data", pause)
    const timer = setInterval(() => receiver.resume(), 25)
    return Effect.ensuring(
      pass(millis),
      Effect.sync(() => {
        clearInterval(timer)
        receiver.socket.off("data", pause)
        receiver.resume()
      })
    )
  })

/** Samples until it is interrupted. */
const watchMemory = (proxy: CommandLine.CommandLine, idle: number, report: { growth: number; samples: number }) =>
  Effect.forever(
    Effect.suspend(() => {
      report.growth = Math.max(report.growth, proxy.residentBytes - idle)
      report.samples++
      return pass(20)
    })
  )

export const transfer = (options: Options): Effect.Effect<Report> =>
  Effect.scoped(
    Effect.gen(function* () {
      const { bound, bytes, direction, slowMillis } = options
      const listener = yield* RawTarget.listen()
      const proxy = yield* CommandLine.proxy(listener)
      const idle = proxy.residentBytes
      const start = performance.now()
      const report = { growth: 0, samples: 0 }
      const sampling = yield* Effect.forkChild(watchMemory(proxy, idle, report), { startImmediately: true })
      const client = yield* RawClient.open(proxy.port)
      const target = yield* listener.accept
      const hasher = new Pattern.Hasher()
      const seed = 1
      const slow = yield* Effect.forkChild(readSlowly(direction === "up" ? target : client, slowMillis), {
        startImmediately: true
      })
      if (direction === "up") {
        target.sink = (chunk) => hasher.push(chunk)
        assert.isTrue(yield* client.sendFrame(bytes, Pattern.pieces(seed, bytes)))
        yield* client.sendClose(1000)
        yield* target.watch.until("the end", () => target.over, bound)
        assert.deepStrictEqual(target.log, ["end"])
        yield* target.end()
      } else {
        client.sink = (piece) => hasher.push(piece)
        assert.isTrue(yield* target.writeAll(Pattern.pieces(seed, bytes)))
        yield* target.end()
        yield* client.watch.until("the end", () => client.over || client.closeCode !== undefined, bound)
        assert.deepStrictEqual(
          client.log.filter((event) => event !== "ping"),
          ["open", "close 1000"]
        )
        yield* client.sendClose(1000)
      }
      yield* client.until("end")
      yield* Fiber.join(slow)
      yield* Fiber.interrupt(sampling)
      assert.strictEqual(hasher.received, bytes)
      assert.strictEqual(hasher.hash, Pattern.hashOf(seed, bytes))
      const growth = `${Math.round(report.growth / MiB)} MiB above ${Math.round(idle / MiB)} MiB`
      assert.isAtMost(report.growth, options.allowance, `the process grew to ${growth}`)
      return { idle, ...report, millis: performance.now() - start }
    })
  )
