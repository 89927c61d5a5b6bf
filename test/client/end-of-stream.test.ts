/**
 * Behind a closing handshake that is done, the end of the byte stream is the server's to begin, so that it is the one who remembers the
 * connection (RFC 6455 section 7.1.1); a client ends first only where there was none, or when the server takes too long.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Stream } from "effect"
import { close } from "../connection/connected.ts"
import { pass } from "../proxy/watch.ts"
import { opened } from "./server.ts"

/** Reads to the end, or closes by itself; and then the scope is left. */
const manners = {
  reads: Effect.fnUntraced(function* ({ leave, webSocket }: Opened) {
    yield* Stream.runDrain(webSocket.messages)
    yield* leave()
  }),
  closes: Effect.fnUntraced(function* ({ leave, webSocket }: Opened) {
    yield* webSocket.close()
    yield* leave()
  })
} as const

type Opened = Effect.Success<ReturnType<typeof opened>>

describe("the end of the byte stream", () => {
  for (const [manner, visit] of Object.entries(manners)) {
    it.live(`comes from the server first, also if the client ${manner}`, () =>
      Effect.gen(function* () {
        const one = yield* opened({ closeTimeout: "1 second" })
        const { connection, peer } = one
        const visiting = yield* Effect.forkChild(visit(one), { startImmediately: true })
        if (manner === "closes") yield* peer.next
        yield* peer.send(close(1000))
        if (manner === "reads") yield* peer.next
        yield* pass(200)
        assert.deepStrictEqual(connection.log, [])
        assert.isUndefined(visiting.pollUnsafe())
        yield* connection.end()
        yield* connection.until("end")
        yield* Fiber.join(visiting)
      })
    )
  }

  it.live("comes behind the server's, also if the scope of the connection goes on", () =>
    Effect.gen(function* () {
      const { connection, peer, webSocket } = yield* opened()
      yield* peer.send(close(1000))
      yield* Stream.runDrain(webSocket.messages)
      yield* connection.end()
      yield* connection.until("closed")
    })
  )

  it.live("comes from the client if the server takes longer than the close timeout", () =>
    Effect.gen(function* () {
      const one = yield* opened({ closeTimeout: "1 second" })
      const visiting = yield* Effect.forkChild(manners.reads(one), { startImmediately: true })
      yield* one.peer.send(close(1000))
      yield* one.connection.until("end")
      yield* Fiber.join(visiting)
      yield* one.connection.end()
      yield* one.connection.until("closed")
    })
  )
})
