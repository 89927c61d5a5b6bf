/**
 * A pipe that somebody watches: the observer sees what the client sends before the target gets it, and changes nothing of it,
 * whenever it begins and stops to look.
 */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import type { Piece } from "../../src/protocol/MessageEvent.ts"
import type { Observer } from "../../src/proxy/WebSocketProxy.ts"
import { connected, soon } from "./connected.ts"
import * as Frames from "./frames.ts"
import * as Pattern from "./pattern.ts"

const observing = (
  isWatching: () => boolean,
  onPiece: (piece: Piece) => Effect.Effect<void>,
  wholeMessages = false
): Observer => ({ isWatching, gathering: { pieceSize: 1000, wholeMessages }, onPiece })

describe("an observer", () => {
  it.live("sees pieces and messages as they are asked for", () =>
    Effect.gen(function* () {
      for (const wholeMessages of [false, true]) {
        const seen: Array<string> = []
        const observer = observing(
          () => true,
          ({ first, last, payload, text }) =>
            Effect.sync(() => void seen.push(`${first ? "<" : ""}${text ?? payload.length}${last ? ">" : ""}`)),
          wholeMessages
        )
        const { client, target } = yield* connected({ observer })
        yield* client.send(Frames.text, Buffer.from("one"))
        yield* client.write(Frames.frame(Frames.binary, Buffer.alloc(600), { fin: false }))
        yield* client.write(Frames.frame(Frames.ping, "p"))
        yield* client.write(Frames.frame(Frames.continuation, Buffer.alloc(700)))
        yield* target.untilReceived(1303, soon)
        assert.deepStrictEqual(seen, wholeMessages ? ["<one>", "<1300>"] : ["<one>", "<600", "700>"])
      }
    })
  )

  it.live("holds the target up until it is done with a piece", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const { client, target } = yield* connected({
        observer: observing(
          () => true,
          () => Deferred.await(gate)
        )
      })
      yield* client.send(Frames.binary, Buffer.from("held"))
      yield* Effect.sleep(100)
      assert.strictEqual(target.bytes.length, 0)
      yield* Deferred.succeed(gate, undefined)
      yield* target.untilReceived(4, soon)
    })
  )

  it.live("may begin and stop to look in the midst of messages: no byte is lost or doubled", () =>
    Effect.gen(function* () {
      const total = 4_000_000
      const size = 70_001
      const source = Pattern.bytes(5, total)
      let asked = 0
      let seen = 0
      const observer = observing(
        // every third time it is asked
        () => asked++ % 3 === 0,
        ({ payload }) => Effect.sync(() => void (seen += payload.length))
      )
      const { client, target } = yield* connected({ observer })
      for (let at = 0; at < total; at += size) {
        const payload = source.subarray(at, at + size)
        const middle = payload.length >> 1
        yield* client.write(
          Buffer.concat([
            Frames.frame(Frames.binary, payload.subarray(0, middle), { fin: false }),
            Frames.frame(Frames.continuation, payload.subarray(middle))
          ])
        )
      }
      yield* target.untilReceived(total, soon)
      assert.isTrue(target.bytes.equals(source))
      assert.isAbove(seen, 0)
      assert.isBelow(seen, total)
    })
  )

  it.live("sees the last piece before a Close that came in the same read", () =>
    Effect.gen(function* () {
      const seen: Array<string> = []
      const { client, target } = yield* connected({
        observer: observing(
          () => true,
          ({ text }) => Effect.sync(() => void seen.push(text ?? ""))
        )
      })
      yield* client.write(
        Buffer.concat([Frames.frame(Frames.text, "last"), Frames.frame(Frames.close, Buffer.from([3, 0xe8]))])
      )
      yield* target.untilReceived(4, soon)
      assert.deepStrictEqual(seen, ["last"])
      assert.strictEqual(target.bytes.toString(), "last")
    })
  )
})

describe("segments", () => {
  it.live("cut what the target sends, or leave it a message", () =>
    Effect.gen(function* () {
      const { client, target } = yield* connected({
        segment: (bytes) =>
          bytes.length <= 3
            ? undefined
            : [
                { isText: false, payload: bytes.subarray(0, 3), first: true, last: false },
                { isText: false, payload: bytes.subarray(3), first: false, last: true }
              ]
      })
      yield* target.write(Buffer.from("ab"))
      yield* client.untilPayload(2, soon)
      yield* target.write(Buffer.from("abcdef"))
      yield* client.untilPayload(8, soon)
      assert.deepStrictEqual(
        client.messages.map(({ frames, payload }) => [payload.toString(), frames]),
        [
          ["ab", 1],
          ["abcdef", 2]
        ]
      )
    })
  )
})
