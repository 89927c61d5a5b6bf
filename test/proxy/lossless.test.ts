/**
 * Nothing that one side sent before it closed is lost: many transfers at a time through the command line's proxy, each ended
 * by its sender at once, with every byte compared with what belongs there.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as CommandLine from "./commandLine.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { heldBack } from "./tcp.ts"
import { pass } from "./watch.ts"

const MiB = 1024 * 1024
const total = 10 * MiB
const transfers = 100
const atATime = 10
const patience = 20_000

const assertAll = (checker: Pattern.Checker, expected: number) => {
  assert.strictEqual(checker.fault, undefined)
  assert.strictEqual(checker.received, expected)
}

/** The frame that a client sends as its last. */
const goodbye = Frames.frame(Frames.close, Frames.closePayload(1000))

function* upload(seed: number): Generator<Uint8Array> {
  for (const piece of Pattern.pieces(seed, total)) yield Frames.frame(Frames.binary, piece)
  yield goodbye
}

const many = <A>(one: (seed: number) => Effect.Effect<A>) =>
  Effect.forEach(
    Array.from({ length: transfers }, (_, i) => i + 1),
    one,
    { concurrency: atATime, discard: true }
  )

describe("nothing is lost at the close", { timeout: 30_000 }, () => {
  it.live(
    `${transfers} times the target writes 10 MiB and closes at once`,
    () =>
      Effect.gen(function* () {
        let next = 0
        const listener = yield* RawTarget.listen({
          onConnection: (connection) => {
            const seed = ++next
            // the client learns from the first byte whose bytes these are
            connection.socket.write(Buffer.from([seed]))
            Effect.runFork(Effect.andThen(connection.writeAll(Pattern.pieces(seed, total)), connection.end()))
          }
        })
        const proxy = yield* CommandLine.proxy(listener)
        yield* many(() =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* RawClient.request(proxy.port)
              let checker: Pattern.Checker | undefined
              client.sink = (piece) => {
                if (checker !== undefined) return checker.push(piece)
                checker = new Pattern.Checker(piece[0]!)
                checker.push(piece.subarray(1))
              }
              yield* client.until("close 1000", patience)
              assertAll(checker!, total)
              yield* client.sendClose(1000)
              yield* client.until("end", patience)
              assert.deepStrictEqual(client.log, ["open", "close 1000", "end"])
            })
          )
        )
        yield* Effect.forEach(listener.connections, (connection) => connection.until("closed", patience))
        assert.deepStrictEqual(
          listener.connections.filter((connection) => connection.log.join() !== "end,closed").map((_) => _.log),
          []
        )
      }),
    60_000
  )

  it.live(
    `${transfers} times the client sends 10 MiB and closes at once`,
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen({
          onConnection: (connection) => {
            // the first byte says whose bytes these are
            let checker: Pattern.Checker | undefined
            connection.sink = (chunk) => {
              if (checker !== undefined) return checker.push(chunk)
              checker = new Pattern.Checker(chunk[0]!)
              checker.push(chunk.subarray(1))
            }
            connection.socket.on("end", () => {
              results.push(checker!)
              connection.socket.end()
            })
          }
        })
        const results: Array<Pattern.Checker> = []
        const proxy = yield* CommandLine.proxy(listener)
        yield* many((seed) =>
          Effect.scoped(
            Effect.gen(function* () {
              const client = yield* RawClient.open(proxy.port)
              yield* client.send(Frames.binary, new Uint8Array([seed]))
              assert.isTrue(yield* client.writeAll(upload(seed)))
              yield* client.end()
              yield* client.until("end", patience)
              assert.deepStrictEqual(client.log.slice(0, 3), ["open", "close 1000", "end"])
            })
          )
        )
        yield* Effect.forEach(listener.connections, (connection) => connection.until("closed", patience))
        assert.strictEqual(results.length, transfers)
        for (const checker of results) assertAll(checker, total)
        assert.isTrue(listener.connections.every((connection) => connection.log.join() === "end,closed"))
      }),
    60_000
  )

  it.live(
    "both ways at once, 20 times: each side sends 4 MiB, and the client closes when it has all of the target's",
    () =>
      Effect.gen(function* () {
        const size = 4 * MiB
        const listener = yield* RawTarget.listen()
        const proxy = yield* CommandLine.proxy(listener)
        const one = Effect.scoped(
          Effect.gen(function* () {
            const client = yield* RawClient.open(proxy.port)
            const target = yield* listener.meet(client)
            const up = new Pattern.Checker(1)
            const down = new Pattern.Checker(2)
            target.sink = (chunk) => up.push(chunk)
            client.sink = (piece) => down.push(piece)
            const sending = yield* Effect.forkChild(target.writeAll(Pattern.pieces(2, size)), {
              startImmediately: true
            })
            yield* client.sendAll(Pattern.pieces(1, size, 10_000))
            yield* client.untilPayload(size, patience)
            yield* client.sendClose(1000)
            yield* Fiber.join(sending)
            yield* target.until("end", patience)
            yield* target.end()
            yield* client.until("end", patience)
            return { up, down }
          })
        )
        const results = yield* Effect.forEach(Array.from({ length: 20 }), () => one, { concurrency: atATime })
        for (const { down, up } of results) {
          assertAll(up, size)
          assertAll(down, size)
        }
      }),
    60_000
  )

  it.live(
    "a slow client: the target closes with everything on its way held up, and the client reads a second later",
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const proxy = yield* CommandLine.proxy(listener)
        const client = yield* RawClient.open(proxy.port)
        const target = yield* listener.accept
        client.pause()
        const checker = new Pattern.Checker(1)
        client.sink = (piece) => checker.push(piece)
        const sending = yield* Effect.forkChild(
          Effect.andThen(target.writeAll(Pattern.pieces(1, 2 * total)), target.end()),
          { startImmediately: true }
        )
        yield* heldBack(target)
        yield* pass(1000)
        client.resume()
        yield* client.until("close 1000", patience)
        yield* Fiber.join(sending)
        assertAll(checker, 2 * total)
      }),
    30_000
  )

  it.live(
    "a slow target: the client closes and is gone, and the target reads a second later",
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen({ paused: true })
        const proxy = yield* CommandLine.proxy(listener)
        const client = yield* RawClient.open(proxy.port)
        const target = yield* listener.accept
        const checker = new Pattern.Checker(1)
        target.sink = (chunk) => checker.push(chunk)
        const sending = yield* Effect.forkChild(Effect.andThen(client.writeAll(upload(1)), client.destroySoon()), {
          startImmediately: true
        })
        yield* pass(1000)
        target.resume()
        yield* target.until("end", patience)
        yield* Fiber.join(sending)
        assertAll(checker, total)
      }),
    30_000
  )
})
