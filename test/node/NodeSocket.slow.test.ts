/**
 * A stream that is released, and a peer that takes what is left in small pieces for as long as it is let. What the system says of that
 * is played: it takes some at every look.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { once } from "node:events"
import * as Net from "node:net"
import { vi } from "vitest"
import { fromSocket } from "../../src/connection/Transport.ts"
import type * as Handle from "../../src/node/internal/handle.ts"
import { failsAsReset } from "../../src/node/internal/endOfStream.ts"
import * as NodeSocket from "../../src/node/NodeSocket.ts"

const played = vi.hoisted(() => ({ looks: 0 }))
vi.mock("../../src/node/internal/handle.ts", async (original) => ({
  ...(await original<typeof Handle>()),
  takenOf: () => ++played.looks,
  hasRoom: () => false
}))

describe("NodeSocket", () => {
  it.live("is reset by who released it when the peer has had its time twenty times, however steadily it takes", () =>
    Effect.gen(function* () {
      const server = yield* Effect.acquireRelease(
        Effect.promise(async () => {
          const server = Net.createServer()
          server.listen(0, "127.0.0.1")
          await once(server, "listening")
          return server
        }),
        (server) => Effect.sync(() => server.close())
      )
      const address = server.address()
      assert(address !== null && typeof address === "object")
      const client = Net.connect(address.port, "127.0.0.1").pause()
      const told: Array<string> = []
      client.on("error", (cause: NodeJS.ErrnoException) => told.push(String(cause.code)))
      client.on("end", () => failsAsReset(client) || told.push("end"))
      const socket = yield* Effect.callback<Net.Socket>((resume) => {
        server.once("connection", (socket) => resume(Effect.succeed(socket)))
      })
      const { ends, writer } = yield* fromSocket(NodeSocket.fromDuplex(socket))
      // more than the system holds for a client that does not read
      yield* Effect.forkChild(Effect.ignore(writer.writeAll([new Uint8Array(64 * 1024 * 1024)])), {
        startImmediately: true
      })
      played.looks = 0
      yield* ends.destroy(10)
      assert.isTrue(socket.destroyed)
      assert.isAtLeast(played.looks, 20)
      // some of them more than once each time
      assert.isBelow(played.looks, 100)
      client.resume()
      yield* Effect.promise(() => once(client, "close").catch(() => {}))
      assert.deepStrictEqual(told, ["ECONNRESET"])
    }).pipe(Effect.scoped)
  )
})
