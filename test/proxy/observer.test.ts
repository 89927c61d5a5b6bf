/**
 * A pipe that is observed: what the observer is shown, compressed or not, and that it changes nothing of what the target gets.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import { WebSocket } from "ws"
import type { Piece } from "../../src/protocol/MessageEvent.ts"
import type { Observer } from "../../src/proxy/WebSocketProxy.ts"
import { soon } from "./connected.ts"
import * as Frames from "./frames.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually } from "./watch.ts"

const observing = (onPiece: (piece: Piece) => Effect.Effect<void> = () => Effect.void) => {
  const pieces: Array<string> = []
  const state = { isWatching: true, pieces }
  const observer: Observer = {
    isWatching: () => state.isWatching,
    gathering: { pieceSize: 65536, wholeMessages: false },
    onPiece: (piece) => {
      pieces.push(piece.text ?? Buffer.from(piece.payload).toString())
      return onPiece(piece)
    }
  }
  return Object.assign(state, { observer })
}

describe("an observer", { timeout: 30_000 }, () => {
  it.live("sees the messages that begin while it watches, compressed ones too", () =>
    Effect.gen(function* () {
      const watcher = observing()
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target: listener.target, observer: watcher.observer, compression: {} })
      const client = yield* Effect.acquireRelease(
        Effect.callback<WebSocket>((resume) => {
          const options = { perMessageDeflate: { threshold: 0 } }
          const client = new WebSocket(`ws://127.0.0.1:${proxy.port}`, options)
          client.once("open", () => resume(Effect.succeed(client)))
        }),
        (client) => Effect.sync(() => client.terminate())
      )
      assert.match(client.extensions, /permessage-deflate/)
      const target = yield* listener.accept
      client.send("one,")
      yield* target.untilReceived(4)
      watcher.isWatching = false
      client.send(Buffer.from("two,"))
      yield* target.untilReceived(8)
      watcher.isWatching = true
      client.send(Buffer.from("three"), { compress: false })
      yield* target.untilReceived(13)
      assert.deepStrictEqual(watcher.pieces, ["one,", "three"])
      assert.strictEqual(target.text, "one,two,three")
      yield* target.release
    })
  )

  it.live.each([1, 2, 3])(
    "sees nothing of control frames, nor of that message of three that come together for which it looks away: %i",
    (away) =>
      Effect.gen(function* () {
        const watcher = observing()
        const listener = yield* RawTarget.listen()
        let asked = 0
        const isWatching = () => ++asked !== away
        const proxy = yield* Proxy.serve({ target: listener.target, observer: { ...watcher.observer, isWatching } })
        const client = yield* RawClient.open(proxy.port)
        const target = yield* listener.accept
        const messages = ["one,", "two,", "three"]
        const [first, ...rest] = messages.map((text) => Frames.frame(Frames.binary, text))
        yield* client.write(Buffer.concat([first!, Frames.frame(Frames.ping, "to the proxy"), ...rest]))
        yield* target.untilReceived(13)
        assert.strictEqual(target.text, "one,two,three")
        assert.deepStrictEqual(watcher.pieces, messages.toSpliced(away - 1, 1))
        yield* target.release
      })
  )

  it.live("who is being waited for when the pipe is interrupted is left out, and the target has all the same", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const watcher = observing(({ payload }) =>
        Buffer.from(payload).toString() === "two,"
          ? Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
          : Effect.void
      )
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: listener.target,
        observer: watcher.observer,
        closeTimeout: "30 seconds"
      })
      const client = yield* RawClient.open(proxy.port)
      const target = yield* listener.accept
      const messages = ["one,", "two,", "three,"].map((text) => Frames.frame(Frames.binary, text))
      yield* client.write(Buffer.concat(messages))
      yield* Deferred.await(asked)
      const stopping = Effect.runPromise(proxy.stop)
      yield* client.until("close 1001", soon)
      yield* client.send(Frames.binary, "four")
      yield* client.sendClose(1001)
      yield* target.until("end", soon)
      assert.strictEqual(target.text, "one,two,three,four")
      assert.deepStrictEqual(watcher.pieces, ["one,", "two,"])
      yield* target.end()
      yield* client.end()
      yield* Effect.promise(() => stopping)
    })
  )

  it.live("who throws when it is asked whether it watches ends the connection, and holds its end up for nobody", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const isWatching = () => {
        throw new Error("no, thanks")
      }
      const proxy = yield* Proxy.serve({ target: listener.target, observer: { ...observing().observer, isWatching } })
      const client = yield* RawClient.open(proxy.port)
      yield* listener.accept
      yield* client.send(2, "hello")
      yield* client.until("close 1011", soon)
      yield* client.sendClose(1011)
      yield* client.end()
      // before the close timeout, which is ten seconds
      yield* proxy.idle(soon)
      assert.deepStrictEqual(proxy.log, ["Error A WebSocket handler failed"])
    })
  )

  it.live("who throws when it is told of a failure holds nobody up, and is heard of", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: listener.target,
        onFailure: () => {
          throw new Error("no, thanks")
        }
      })
      const client = yield* RawClient.open(proxy.port)
      const target = yield* listener.accept
      yield* target.reset()
      yield* client.until("close 1011", soon)
      yield* client.sendClose(1011)
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(proxy.log, ["Error A pipe failed"])
    })
  )

  it.live("of failures is told of the first, and of no end", () =>
    Effect.gen(function* () {
      const failures: Array<string> = []
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: listener.target,
        onFailure: (error) => failures.push(`${error._tag} ${error.reason._tag}`)
      })
      const open = Effect.gen(function* () {
        const client = yield* RawClient.open(proxy.port)
        return { client, target: yield* listener.accept }
      })
      const polite = yield* open
      yield* polite.client.sendClose(1000)
      yield* polite.target.end()
      yield* polite.client.end()
      const leaving = yield* open
      yield* leaving.target.end()
      yield* leaving.client.until("close 1000")
      yield* leaving.client.sendClose(1000)
      yield* leaving.client.end()
      yield* proxy.idle(soon)
      // the client has closed, and does not mind
      const late = yield* open
      yield* late.client.sendClose(1000)
      yield* late.client.until("close 1000")
      yield* late.target.reset()
      yield* late.client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(failures, [])
      const reset = yield* open
      yield* reset.target.reset()
      yield* reset.client.until("close 1011", soon)
      yield* reset.client.reset()
      yield* proxy.idle(soon)
      const rude = yield* open
      yield* rude.client.send(3, "")
      yield* rude.client.end()
      yield* proxy.idle(soon)
      yield* eventually("two failures", () => failures.length === 2)
      assert.deepStrictEqual(failures, ["SocketError SocketReadError", "WebSocketError ProtocolViolation"])
    })
  )

  it.live("changes nothing where the pipe is interrupted in the midst of a message: the target has it whole", () =>
    Effect.gen(function* () {
      const { observer } = observing()
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: listener.target,
        observer: { ...observer, gathering: { pieceSize: 0, wholeMessages: false } },
        closeTimeout: "30 seconds"
      })
      const client = yield* RawClient.open(proxy.port)
      const target = yield* listener.accept
      const message = Frames.frame(Frames.binary, "first, second")
      const middle = message.length - 6
      yield* client.write(message.subarray(0, middle))
      yield* target.untilReceived(7)
      const stopping = Effect.runPromise(proxy.stop)
      yield* client.until("close 1001")
      yield* client.write(message.subarray(middle))
      yield* client.sendClose(1001)
      yield* target.until("end", soon)
      assert.strictEqual(target.text, "first, second")
      yield* target.end()
      yield* client.end()
      yield* Effect.promise(() => stopping)
    })
  )
})
