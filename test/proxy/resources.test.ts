/**
 * Whatever way connections end, nothing of them is left: no socket, no timer, no file of the process, no place taken.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as CommandLine from "./commandLine.ts"
import { soon } from "./connected.ts"
import * as Frames from "./frames.ts"
import { assertNoMore, resources } from "./held.ts"
import * as Pattern from "./pattern.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually } from "./watch.ts"

interface Ends {
  readonly client: RawClient.RawClient
  readonly target: RawTarget.TargetConnection
}

/** What the ends do, and then nothing more: whatever is not over by itself is over in the close timeout. */
const endings: Record<string, (ends: Ends) => Effect.Effect<unknown>> = {
  "a polite client": ({ client, target }) =>
    Effect.gen(function* () {
      yield* client.sendClose(1000)
      yield* target.until("end")
      yield* target.end()
      yield* client.watch.until("the end", () => client.over)
      yield* client.end()
    }),
  "a polite target": ({ client, target }) =>
    Effect.gen(function* () {
      yield* target.end()
      yield* client.until("close 1000")
      yield* client.sendClose(1000)
      yield* client.watch.until("the end", () => client.over)
      yield* client.end()
    }),
  "a client that resets": ({ client }) => client.reset(),
  "a client that only ends": ({ client }) => client.end(),
  "a client that closes and does nothing": ({ client }) => client.sendClose(1000),
  "a client that resets in the middle of a frame": ({ client, target }) =>
    Effect.gen(function* () {
      yield* client.write(Frames.header(Frames.binary, 1000))
      yield* client.write(Buffer.alloc(5))
      yield* target.untilReceived(5)
      yield* client.reset()
    }),
  "a target that resets": ({ target }) => target.reset(),
  "a target that ends, and a client that does not answer": ({ target }) => target.end(),
  "a client that breaks the protocol": ({ client }) => client.send(3, ""),
  "a client that resets while the target sends": ({ client, target }) =>
    Effect.gen(function* () {
      target.socket.on("error", () => {})
      client.sink = () => {}
      yield* Effect.forkChild(target.writeAll(Pattern.pieces(1, 20_000_000)), { startImmediately: true })
      yield* client.untilPayload(500_000)
      yield* client.reset()
      yield* target.until("closed")
    }),
  "a target that resets while the client sends": ({ client, target }) =>
    Effect.gen(function* () {
      target.sink = () => {}
      yield* Effect.forkChild(client.sendAll(Pattern.pieces(1, 20_000_000)), { startImmediately: true })
      yield* target.untilReceived(500_000)
      yield* target.reset()
      // one that is too slow to answer in the close timeout is reset, and may not have read it
      yield* client.watch.until("Close 1011, or the end", () => client.closeCode === 1011 || client.over)
      yield* client.end()
    })
}

const hundred = Array.from({ length: 100 }, (_, i) => Object.values(endings)[i % Object.keys(endings).length]!)

/** 100 connections, ten at a time, each with an end of its own; it waits until each is over for both. */
const endAll = (port: number, listener: RawTarget.RawTarget): Effect.Effect<void> => {
  const one = (ending: (typeof hundred)[number]) =>
    Effect.scoped(
      Effect.gen(function* () {
        const client = yield* RawClient.open(port)
        const target = yield* listener.meet(client)
        yield* ending({ client, target })
        yield* client.watch.until("the end for the client", () => client.over)
        yield* target.watch.until("the end for the target", () => target.over)
        yield* target.end()
      })
    )
  return Effect.forEach(hundred, one, { concurrency: 10, discard: true })
}

describe("after 100 connections of all endings", { timeout: 30_000 }, () => {
  it.live(
    "the server and the process hold what they held before",
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const proxy = yield* Proxy.serve({ target: listener.target, closeTimeout: 300 })
        const before = yield* resources
        yield* endAll(proxy.port, listener)
        yield* proxy.idle(soon)
        yield* eventually("the target's sockets to be closed", () =>
          listener.connections.every((connection) => connection.socket.closed)
        )
        assertNoMore(yield* resources, before)
        assert.deepStrictEqual(
          process.getActiveResourcesInfo().filter((type) => type.startsWith("TCPSocketWrap")),
          []
        )
        assert.deepStrictEqual(proxy.log, [])
      }),
    30_000
  )

  it.live.each(["refused", "not WebSocket"] as const)("and after 100 requests that were %s", (what) =>
    Effect.gen(function* () {
      const target = yield* RawTarget.nobody
      const proxy = yield* Proxy.serve({ target })
      const before = yield* resources
      const one = Effect.scoped(
        Effect.gen(function* () {
          const client = yield* RawClient.request(proxy.port, what === "refused" ? {} : { path: "not a path" })
          yield* client.until("end", soon)
        })
      )
      yield* Effect.forEach(Array.from({ length: 100 }), () => one, { concurrency: 10, discard: true })
      yield* proxy.idle(soon)
      assertNoMore(yield* resources, before)
    })
  )

  it.live.skipIf(CommandLine.noMemory !== undefined)(
    "the command line has the files open that it had before",
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const proxy = yield* CommandLine.proxy(listener, "--close-timeout", "300ms")
        // the first connection opens what is opened once
        yield* Effect.scoped(
          Effect.gen(function* () {
            const client = yield* RawClient.open(proxy.port)
            yield* client.reset()
          })
        )
        const target = yield* listener.accept
        yield* target.until("closed", soon)
        const before = proxy.openFiles.length
        yield* endAll(proxy.port, listener)
        yield* eventually("the files to be what they were", () => proxy.openFiles.length <= before)
        assert.deepStrictEqual(proxy.errors, [])
        yield* proxy.signal("SIGTERM")
        assert.deepStrictEqual(yield* proxy.exit(), { code: 0, signal: null })
      }),
    30_000
  )
})
