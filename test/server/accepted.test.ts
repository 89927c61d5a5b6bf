/**
 * A listener that listens nowhere, and serves connections that somebody else accepts.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer } from "effect"
import { NetAddress } from "effect/net"
import { once } from "node:events"
import * as Net from "node:net"
import type { Accepted } from "../../src/node/NodeUpgradeListener.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { close, shown, text } from "../connection/connected.ts"
import { echo, eventually, noneOpen, type Options } from "./serving.ts"
import { connect, upgraded } from "./wire.ts"

/** A socket that listens and gives its connections to one other. */
const accepting = Effect.acquireRelease(
  Effect.promise(async () => {
    const takers = new Set<(socket: Net.Socket) => void>()
    const held = new Set<Net.Socket>()
    const server = Net.createServer({ allowHalfOpen: false }, (socket) => {
      held.add(socket)
      for (const take of takers) take(socket)
    })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    // net.Server gives an AddressInfo for a port
    const { port } = server.address() as Net.AddressInfo
    const address = NetAddress.inetAddressFromIpStringUnsafe("127.0.0.1", port)
    const accepted: Accepted = {
      address,
      connections: (take) => {
        takers.add(take)
        return () => void takers.delete(take)
      }
    }
    return { server, held, port, accepted, takers }
  }),
  ({ held, server }) =>
    Effect.sync(() => {
      server.close()
      for (const socket of held) socket.destroy()
    })
)

const serving = Effect.fnUntraced(function* (options: Options = {}) {
  const source = yield* accepting
  const context = yield* Layer.build(NodeWebSocketServer.layer({ ...options, accepted: source.accepted }))
  const server = Context.get(context, WebSocketServer)
  yield* Effect.forkScoped(server.run(echo))
  yield* Effect.yieldNow
  return { ...source, webSockets: server }
})

describe("accepted", () => {
  it.live("serves connections that came elsewhere, under the address where they came, to their end", () =>
    Effect.gen(function* () {
      const { accepted, port, webSockets } = yield* serving()
      assert.strictEqual(webSockets.address, accepted.address)
      const wire = yield* upgraded(port)
      wire.send(text("handed over"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "handed over"])
      wire.send(close(1000))
      // what is half open still answers
      wire.end()
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
      assert.strictEqual(yield* wire.ended, "FIN")
      yield* eventually("nobody is left", noneOpen(webSockets))
    })
  )

  it.live("keeps the time of a request's head, and the limits", () =>
    Effect.gen(function* () {
      const late = yield* serving({ handshakeTimeout: "200 millis" })
      const slow = yield* connect(late.port)
      assert.strictEqual((yield* slow.response).status, 408)
      const { port } = yield* serving({ maxConnections: 1 })
      yield* upgraded(port)
      const other = yield* connect(port)
      assert.strictEqual((yield* other.response).status, 503)
    })
  )

  it.live("takes no more once it has been stopped, or its scope has ended", () =>
    Effect.gen(function* () {
      const { takers } = yield* Effect.scoped(
        Effect.gen(function* () {
          const serve = yield* serving()
          assert.strictEqual(serve.takers.size, 1)
          yield* serve.webSockets.stop
          assert.strictEqual(serve.takers.size, 0)
          return yield* serving()
        })
      )
      assert.strictEqual(takers.size, 0)
    })
  )
})
