import { assert, describe, it } from "@effect/vitest"
import { Cause, Deferred, Effect, Exit, Fiber } from "effect"
import { once } from "node:events"
import { WebSocket as Client } from "ws"
import * as Now from "../../src/connection/internal/now.ts"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import type { Message } from "../../src/protocol/Message.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { serving } from "../server/serving.ts"
import { close, shown, text, withPeer } from "./connected.ts"

describe("runForEachArray", () => {
  it.effect("gives each batch in its order, and ends when the connection is closed", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const seen: Array<ReadonlyArray<Message>> = []
      const fiber = yield* Effect.forkChild(
        WebSocket.runForEachArray(webSocket, (messages) => {
          seen.push(messages)
          return webSocket.sendAll(messages)
        })
      )
      yield* peer.send(text("one"), text("two"))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "one"])
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "two"])
      yield* peer.send({ opcode: Opcode.ping, payload: new Uint8Array(0) }, text("three"), close(1000))
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, [["one", "two"], ["three"]])
      const rest = [yield* peer.next, yield* peer.next, yield* peer.next]
      assert.deepStrictEqual(
        rest.map(({ opcode }) => opcode),
        [Opcode.pong, Opcode.text, Opcode.close]
      )
      yield* peer.end
    })
  )

  it.effect("gives the function the connection, too, of whatever kind that is", () =>
    Effect.gen(function* () {
      const sendBack = (messages: readonly [Message, ...Array<Message>], to: WebSocket.WebSocket) =>
        Effect.as(to.sendAll(messages), to)
      const { peer, webSocket } = yield* withPeer("server")
      // what an application has made of a connection is none of ours; this is as much of one as is used
      const other = {
        messages: webSocket.messages,
        sendAll: () => webSocket.send("by the other")
      } as Partial<WebSocket.WebSocket> as WebSocket.WebSocket
      const fiber = yield* Effect.forkChild(WebSocket.runForEachArray(webSocket, sendBack))
      yield* peer.send(text("one"))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "one"])
      yield* Fiber.interrupt(fiber)
      const through = yield* Effect.forkChild(WebSocket.runForEachArray(other, sendBack))
      yield* peer.send(text("two"))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "by the other"])
      yield* peer.send(close(1000))
      yield* Fiber.join(through)
      yield* peer.end
    })
  )

  it.effect("waits for what is to be waited for before the next batch", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const gate = yield* Deferred.make<void>()
      const seen: Array<Message> = []
      const fiber = yield* Effect.forkChild(
        WebSocket.runForEachArray(webSocket, ([message]) => {
          seen.push(message)
          return Deferred.await(gate)
        })
      )
      yield* peer.send(text("one"))
      yield* peer.send(text("two"))
      yield* Effect.repeat(Effect.yieldNow, { times: 50 })
      assert.deepStrictEqual(seen, ["one"])
      yield* Deferred.succeed(gate, undefined)
      yield* peer.send(close(1000))
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["one", "two"])
      yield* peer.end
    })
  )

  it.effect("is closed by another fiber, and gives out what came before the peer's Close", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server")
      const seen: Array<Message> = []
      const fiber = yield* Effect.forkChild(
        WebSocket.runForEachArray(webSocket, (messages) => Effect.sync(() => void seen.push(...messages)))
      )
      const closing = yield* Effect.forkChild(webSocket.close(4000, "bye"))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 4000, "bye"])
      yield* peer.send(text("late"), close(4000))
      yield* Fiber.join(closing)
      yield* Fiber.join(fiber)
      assert.deepStrictEqual(seen, ["late"])
      yield* peer.end
    })
  )

  for (const [what, handler] of [
    [
      "throws",
      () => {
        throw new Error("thrown")
      }
    ],
    ["gives an effect that fails", () => Effect.fail("failed")],
    ["gives an effect that dies", () => Effect.die("dead")]
  ] as const) {
    it.live(`a handler that ${what} closes with 1011, and the closing handshake is done`, () =>
      Effect.gen(function* () {
        const { url } = yield* serving((webSocket) => WebSocket.runForEachArray(webSocket, handler), {
          // one that was not answered would be waited for much longer than a test may take
          closeTimeout: "10 minutes"
        })
        const client = new Client(url)
        yield* Effect.promise(() => once(client, "open"))
        client.send("go")
        const [code] = yield* Effect.promise(() => once(client, "close"))
        assert.strictEqual(code, 1011)
      })
    )
  }
})

describe("a pong that ends who flows", () => {
  it.live("does so behind what came with it, and nothing is lost", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { url } = yield* serving(
        Effect.fnUntraced(function* (webSocket) {
          const flowing = yield* Effect.forkChild(
            WebSocket.runForEachArray(webSocket, (messages) => {
              seen.push(`flowing: ${String(messages)}`)
              return Effect.void
            }),
            { startImmediately: true }
          )
          flowing.addObserver(() => void seen.push("ended"))
          yield* webSocket.ping(new Uint8Array([9]))
          yield* Fiber.interrupt(flowing)
          yield* webSocket.send("more")
          seen.push(`pulled: ${String(yield* webSocket.pullMessages)}`)
        })
      )
      const client = new Client(url, { autoPong: false })
      client.once("message", () => client.send("later"))
      client.once("ping", (payload) => {
        // in one write, and so in one read
        const socket = Reflect.get(client, "_socket")
        socket.cork()
        client.pong(payload)
        client.send("behind")
        socket.uncork()
      })
      yield* Effect.promise(() => once(client, "close"))
      assert.deepStrictEqual(seen, ["flowing: behind", "ended", "pulled: later"])
    })
  )
})

describe("several readers", () => {
  it.live("take turns: each message goes to one of them, in order, and all see the end", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const done = yield* Deferred.make<void>()
      const { url } = yield* serving((webSocket) => {
        const read = WebSocket.runForEachArray(webSocket, (messages) => {
          seen.push(...messages.map(String))
          return Effect.yieldNow
        })
        return Effect.andThen(Effect.all([read, read, read], { concurrency: 3 }), Deferred.succeed(done, undefined))
      })
      const client = new Client(url)
      yield* Effect.promise(() => once(client, "open"))
      const sent = Array.from({ length: 50 }, (_, i) => String(i))
      for (const message of sent) {
        client.send(message)
        if (Number(message) % 10 === 0) client.ping()
        yield* Effect.sleep("1 millis")
      }
      client.close()
      yield* Deferred.await(done)
      assert.deepStrictEqual(seen, sent)
    })
  )

  it.live("a reader that is interrupted by what it was given leaves what comes next to the one that waits", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const done = yield* Deferred.make<void>()
      const { url } = yield* serving(
        Effect.fnUntraced(function* (webSocket) {
          const first: Fiber.Fiber<void, unknown> = yield* Effect.forkChild(
            WebSocket.runForEachArray(webSocket, (messages) => {
              seen.push(`first: ${String(messages)}`)
              // in the turn that brings it
              first.interruptUnsafe()
              return Effect.sync(() => void seen.push("an effect of who is interrupted"))
            }),
            { startImmediately: true }
          )
          const second = yield* Effect.forkChild(webSocket.pullMessages, { startImmediately: true })
          seen.push(`second: ${String(yield* Fiber.join(second))}`)
          yield* Deferred.succeed(done, undefined)
        })
      )
      const client = new Client(url)
      yield* Effect.promise(() => once(client, "open"))
      client.send("one")
      yield* Effect.promise(() => new Promise((resolve) => client.once("pong", resolve).ping()))
      client.send("two")
      yield* Deferred.await(done)
      assert.deepStrictEqual(seen, ["first: one", "second: two"])
    })
  )
})

describe("an effect that may begin without a fiber", () => {
  const begun = (log: Array<string>, wait: Effect.Effect<void> | undefined) =>
    Now.make(() => {
      log.push("begun")
      return wait
    })

  it.effect("is to a fiber like any other", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const effect = begun(
        log,
        Effect.sync(() => void log.push("waited"))
      )
      assert.deepStrictEqual(log, [])
      yield* effect
      yield* Effect.andThen(effect, Effect.void)
      assert.deepStrictEqual(log, ["begun", "waited", "begun", "waited"])
    })
  )

  it.effect("does at once what it can, and gives what is to be waited for", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      assert.isUndefined(Now.begin(begun(log, undefined)))
      const wait = Now.begin(
        begun(
          log,
          Effect.sync(() => void log.push("waited"))
        )
      )
      assert.deepStrictEqual(log, ["begun", "begun"])
      yield* wait ?? Effect.die("there is something to wait for")
      assert.deepStrictEqual(log, ["begun", "begun", "waited"])
    })
  )

  it("is no other, but for one that has succeeded already", () => {
    for (const done of [Effect.void, Effect.succeed("done")]) assert.isUndefined(Now.begin(done))
    for (const other of [Effect.sync(() => {}), Effect.fail("failed"), Effect.interrupt, Effect.never]) {
      assert.strictEqual<unknown>(Now.begin<unknown, unknown, never>(other), other)
    }
  })

  it.effect("throws into no one's face: that is a defect", () =>
    Effect.gen(function* () {
      const broken = Now.make(() => {
        throw new Error("broken")
      })
      const exit = yield* Effect.exit(Now.begin(broken) ?? Effect.void)
      assert.isTrue(Exit.isFailure(exit) && Cause.hasDies(exit.cause))
    })
  )
})
