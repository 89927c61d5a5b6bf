/**
 * What dialled sockets read: all into one slab, and into buffers of their own where there is much. Small reads of many sockets must
 * not get into each other, and only so many may have a buffer.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as Transport from "../../src/connection/Transport.ts"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import * as Pattern from "./pattern.ts"
import * as RawTarget from "./rawTarget.ts"

/** What a socket reads, as it comes, without the end. */
const read = Effect.fnUntraced(function* (
  { reader }: Transport.Transport,
  bytes: number
): Effect.fn.Return<ReadonlyArray<Uint8Array>, unknown> {
  const chunks: Array<Uint8Array> = []
  let got = 0
  while (got < bytes) {
    for (const chunk of yield* reader.pull) {
      if (typeof chunk === "string") return assert.fail("text")
      got += chunk.length
      chunks.push(chunk)
    }
  }
  return chunks
})

const dialled = Effect.fnUntraced(function* (
  listener: RawTarget.RawTarget
): Effect.fn.Return<
  { readonly near: Transport.Transport; readonly far: RawTarget.TargetConnection },
  unknown,
  Scope.Scope
> {
  const socket = yield* NodeDialer.make().dial(new Target({ host: "127.0.0.1", port: listener.port }))
  return { far: yield* listener.accept, near: yield* Transport.fromSocket(socket) }
})

describe("what a dialled socket reads", { timeout: 30_000 }, () => {
  it.live("is all there, however long nobody has read, and the end behind it", () =>
    Effect.gen(function* () {
      const bytes = 1_000_000
      const listener = yield* RawTarget.listen()
      const socket = yield* NodeDialer.make().dial(new Target({ host: "127.0.0.1", port: listener.port }))
      const far = yield* listener.accept
      yield* far.write(Buffer.from("first "))
      yield* Effect.sleep(50)
      const sending = yield* Effect.forkChild(
        Effect.andThen(far.writeAll([Buffer.from("then "), ...Pattern.pieces(3, bytes)]), far.end())
      )
      yield* Effect.sleep(50)
      const near = yield* Transport.fromSocket(socket)
      const got = Buffer.concat(yield* read(near, 11 + bytes))
      assert.strictEqual(got.subarray(0, 11).toString(), "first then ")
      const checker = new Pattern.Checker(3)
      checker.push(got.subarray(11))
      assert.deepStrictEqual([checker.fault, checker.received], [undefined, bytes])
      const end = yield* Effect.flip(near.reader.pull)
      assert.strictEqual(end.reason._tag, "SocketCloseError")
      yield* Fiber.join(sending)
    }).pipe(Effect.scoped)
  )

  it.live("is, of much, a frame that fits into one segment of the largest kind, also as records of TLS", () =>
    Effect.gen(function* () {
      const bytes = 8_000_000
      const listener = yield* RawTarget.listen()
      const { far, near } = yield* dialled(listener)
      const sending = yield* Effect.forkChild(far.writeAll(Pattern.pieces(5, bytes)))
      const chunks = yield* read(near, bytes)
      yield* Fiber.join(sending)
      const largest = Math.max(...chunks.map(({ length }) => length))
      assert.isAbove(largest, 60_000)
      const header = 4
      const record = 5 + 1 + 16
      assert.isAtMost(header + largest + record * Math.ceil((header + largest) / 16_384), 65_464)
    }).pipe(Effect.scoped)
  )

  it.live("stays as it was when others have read: of 50 sockets, small and large by turns", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const sizes = [10, 70_000, 300, 20_000, 5000, 1, 16_384, 4096]
      const total = sizes.reduce((sum, size) => sum + size, 0)
      yield* Effect.forEach(
        Array.from({ length: 50 }, (_, seed) => seed),
        Effect.fnUntraced(function* (seed) {
          const { far, near } = yield* dialled(listener)
          const reading = yield* Effect.forkChild(read(near, total))
          let at = 0
          for (const size of sizes) {
            yield* far.writeAll([Pattern.slice(seed, at, size)])
            at += size
            yield* Effect.sleep(Math.random() * 5)
          }
          const checker = new Pattern.Checker(seed)
          for (const chunk of yield* Fiber.join(reading)) checker.push(Buffer.from(chunk))
          assert.deepStrictEqual([checker.fault, checker.received], [undefined, total])
        }, Effect.scoped),
        { concurrency: 10, discard: true }
      )
    }).pipe(Effect.scoped)
  )

  it.live("is in a buffer of its own for at most 64 sockets at a time, and for others when these are closed", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const size = 20_000
      /** Whether the second of two large reads went into a buffer that was there before. */
      const isOwner = Effect.gen(function* () {
        const { far, near } = yield* dialled(listener)
        const once = Effect.gen(function* () {
          yield* far.writeAll([new Uint8Array(size)])
          return yield* read(near, size)
        })
        yield* once
        return (yield* once).some(({ buffer }) => buffer.byteLength > 65_000)
      })
      for (let round = 0; round < 2; round++) {
        const owners = yield* Effect.scoped(Effect.replicateEffect(isOwner, 80))
        assert.strictEqual(owners.filter((it) => it).length, 64, `round ${round}`)
      }
    }).pipe(Effect.scoped)
  )
})
