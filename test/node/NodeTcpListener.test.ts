/** Byte streams on a port: who is handled, since when and until when. What goes through them is in `client/tunnel.test.ts`. */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as NetAddress from "effect/net/NetAddress"
import type * as Socket from "effect/socket/Socket"
import { once } from "node:events"
import * as Net from "node:net"
import * as NodeTcpListener from "../../src/node/NodeTcpListener.ts"
import { eventually } from "../proxy/watch.ts"

const listening = Effect.gen(function* () {
  const listener = yield* NodeTcpListener.make()
  const { address } = listener
  assert(NetAddress.isInetAddress(address))
  const { port } = address
  const connect = Effect.acquireRelease(
    Effect.promise(async () => {
      const socket = Net.connect({ host: "127.0.0.1", port }).on("error", () => {})
      await once(socket, "connect")
      return socket
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
  return { listener, connect }
})

/** Says one byte for each connection. */
const greet = (socket: Socket.Socket) =>
  Effect.scoped(Effect.flatMap(socket.writer, (writer) => writer.write(Uint8Array.of(1))))

const ended = (socket: Net.Socket) =>
  Effect.promise(async () => {
    let bytes = 0
    for await (const chunk of socket) bytes += (chunk as Buffer).length
    return bytes
  })

describe("NodeTcpListener", () => {
  it.live("has those that came before wait, unread, until something runs", () =>
    Effect.gen(function* () {
      const { connect, listener } = yield* listening
      const early = [yield* connect, yield* connect, yield* connect]
      early[1]!.destroy()
      const running = yield* Effect.forkChild(listener.run(greet))
      assert.deepStrictEqual(yield* Effect.all([early[0]!, early[2]!, yield* connect].map(ended)), [1, 1, 1])
      yield* Fiber.interrupt(running)
    })
  )

  for (const [when, isEarly] of [
    ["that came before", true],
    ["that comes", false]
  ] as const) {
    it.live(`ends also if a handler ends it in its first turn, of a connection ${when}`, () =>
      Effect.gen(function* () {
        const { connect, listener } = yield* listening
        const enough = yield* Deferred.make<void>()
        const first = isEarly ? yield* connect : undefined
        // it has come, as far as the listener is concerned
        if (isEarly) yield* Effect.sleep(50)
        let handled = 0
        const run = listener.run(() => {
          handled++
          return Effect.asVoid(Deferred.succeed(enough, undefined))
        })
        const done = yield* Effect.forkChild(Effect.raceFirst(run, Deferred.await(enough)))
        const second = first ?? (yield* connect)
        yield* Fiber.join(done)
        assert.strictEqual(handled, 1)
        assert.strictEqual(yield* ended(second), 0)
        // nothing runs any more, so that who comes now waits
        const late = yield* connect
        yield* Effect.sleep(50)
        assert.strictEqual(handled, 1)
        const again = yield* Effect.forkChild(listener.run(greet))
        assert.strictEqual(yield* ended(late), 1)
        yield* Fiber.interrupt(again)
      })
    )
  }

  it.live("interrupts its handlers when it is interrupted, and waits for them", () =>
    Effect.gen(function* () {
      const { connect, listener } = yield* listening
      let running = 0
      const fiber = yield* Effect.forkChild(
        listener.run(() =>
          Effect.onExit(
            Effect.andThen(
              Effect.sync(() => running++),
              Effect.never
            ),
            () =>
              Effect.delay(
                Effect.sync(() => running--),
                50
              )
          )
        )
      )
      yield* connect
      yield* connect
      yield* eventually("both run", () => running === 2, 5000)
      yield* Fiber.interrupt(fiber)
      assert.strictEqual(running, 0)
    })
  )
})
