import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Queue, Stream } from "effect"
import * as Broadcast from "../../src/connection/Broadcast.ts"
import type { Zlib } from "../../src/connection/Deflate.ts"
import * as PreparedMessage from "../../src/connection/PreparedMessage.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import * as Classic from "./classic-deflate.ts"
import { compressingAfter, type Peer, settled, shown, withPeer } from "./connected.ts"
import { countingLimit } from "./metrics.ts"

const long = "words and more words, ".repeat(60)

/** Counts what is compressed. */
const counted = () => {
  const calls: Array<string> = []
  const zlib: Zlib["Service"] = {
    ...NodeZlib.make,
    deflate: (bytes, options) => {
      calls.push(`${options.windowBits}/${options.level}`)
      return NodeZlib.make.deflate(bytes, options)
    }
  }
  return { calls, zlib }
}

const texts = (peer: Peer, count: number) =>
  Effect.map(Effect.replicateEffect(peer.next, count), (frames) => frames.map((frame) => shown(frame)[1]))

describe("a broadcast", () => {
  it.effect("reaches every connection of either role, text and binary, but for the one that is left out", () =>
    Effect.gen(function* () {
      const one = yield* withPeer("server")
      const two = yield* withPeer("client")
      const three = yield* withPeer("server")
      const all = [one.webSocket, two.webSocket, three.webSocket]
      const bytes = new Uint8Array([1, 2, 3])
      assert.deepStrictEqual(yield* Broadcast.send(all, "to all"), { sent: 3, slow: 0 })
      assert.deepStrictEqual(yield* Broadcast.send(new Set(all), bytes, { except: three.webSocket }), {
        sent: 2,
        slow: 0
      })
      for (const { peer } of [one, two]) {
        assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "to all"])
        assert.deepStrictEqual(shown(yield* peer.next), [Opcode.binary, "\x01\x02\x03"])
      }
      yield* three.webSocket.send("last")
      assert.deepStrictEqual(yield* texts(three.peer, 2), ["to all", "last"])
    })
  )

  it.effect("passes over connections that are closing or closed", () =>
    Effect.gen(function* () {
      const open = yield* withPeer("server")
      const closed = yield* withPeer("server")
      yield* closed.webSocket.close(1000, "", { wait: false })
      assert.deepStrictEqual(yield* Broadcast.send([closed.webSocket, open.webSocket], "x"), { sent: 1, slow: 0 })
      assert.deepStrictEqual(yield* Broadcast.send([], "x"), { sent: 0, slow: 0 })
    })
  )

  it.effect("comes behind a message that is open in fragments, for that connection alone", () =>
    Effect.gen(function* () {
      const one = yield* withPeer("server")
      const two = yield* withPeer("server")
      const pieces = yield* Queue.unbounded<string>()
      yield* Effect.forkChild(one.webSocket.sendFragments(Stream.take(Stream.fromQueue(pieces), 2)))
      yield* Queue.offer(pieces, "a")
      assert.deepStrictEqual(shown(yield* one.peer.next), [Opcode.text, "a"])
      yield* Broadcast.send([one.webSocket, two.webSocket], "between")
      yield* Broadcast.send([one.webSocket, two.webSocket], "and next")
      assert.deepStrictEqual(yield* texts(two.peer, 2), ["between", "and next"])
      yield* Queue.offer(pieces, "b")
      const frames = yield* Effect.replicateEffect(one.peer.next, 4)
      assert.deepStrictEqual(frames.map(shown), [
        [Opcode.continuation, "b"],
        [Opcode.continuation, ""],
        [Opcode.text, "between"],
        [Opcode.text, "and next"]
      ])
    })
  )

  it.effect("does not overtake a message that is being compressed", () =>
    Effect.gen(function* () {
      const gate = yield* Deferred.make<void>()
      const zlib = compressingAfter(Deferred.await(gate))
      const { peer, webSocket } = yield* withPeer("server", { deflate: {}, policy: { threshold: 100 }, zlib })
      yield* Effect.forkChild(webSocket.send(long))
      yield* settled
      yield* Broadcast.send([webSocket], "short")
      yield* Deferred.succeed(gate, undefined)
      assert.isTrue((yield* peer.next).rsv1)
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "short"])
    })
  )
})

describe("a prepared message", () => {
  it.effect("is compressed once for each window and level, and goes plain where it is not compressed", () =>
    Effect.gen(function* () {
      const { calls, zlib } = counted()
      const open = (options: Parameters<typeof withPeer>[1]) => withPeer("server", { zlib, ...options })
      const fresh = { serverNoContextTakeover: true }
      const opened = [
        yield* open({ deflate: fresh }),
        yield* open({ deflate: fresh, policy: {} }),
        yield* open({ deflate: {} }),
        yield* open({ deflate: { ...fresh, serverMaxWindowBits: 11 } }),
        yield* open({}),
        yield* open({ deflate: fresh, policy: { threshold: 5000 } })
      ]
      const sockets = opened.map(({ webSocket }) => webSocket)
      const message = PreparedMessage.make(long)
      yield* Broadcast.send(sockets, message)
      yield* Broadcast.send(sockets, message)
      yield* Effect.forEach(sockets, (socket) => socket.send(message))
      assert.deepStrictEqual(calls, ["15/6", "11/6"])
      for (const [i, bits] of [15, 15, 15, 11].entries()) {
        const classic = yield* Classic.make({ ours: { bits: 15, fresh: true }, theirs: { bits, fresh: i !== 2 } })
        for (let times = 0; times < 3; times++) {
          const { payload, rsv1 } = yield* opened[i]!.peer.next
          assert.isTrue(rsv1)
          assert.strictEqual(String(yield* classic.decompress(payload)), long)
        }
      }
      for (const { peer } of opened.slice(4)) {
        const frame = yield* peer.next
        assert.isFalse(frame.rsv1)
        assert.strictEqual(shown(frame)[1], long)
      }
    })
  )

  it.effect("with context takeover, what is sent next refers to it, and the peer's window is in step", () =>
    Effect.gen(function* () {
      for (const bits of [9, 15]) {
        const deflate = { serverMaxWindowBits: bits }
        const one = yield* withPeer("server", { deflate })
        const two = yield* withPeer("server", { deflate })
        const noise = Buffer.from(crypto.getRandomValues(new Uint8Array(300))).toString("base64")
        // the last is larger than the smaller window
        const said = [noise, `${noise}!`, "own", `all: ${noise}`, noise, long + noise, noise]
        for (const [i, message] of said.entries()) {
          if (i % 2 === 1) yield* Broadcast.send([one.webSocket, two.webSocket], message)
          else for (const { webSocket } of [one, two]) yield* webSocket.send(i === 2 ? `${message} ${noise}` : message)
        }
        for (const { peer } of [one, two]) {
          const classic = yield* Classic.make({ ours: { bits, fresh: false }, theirs: { bits, fresh: false } })
          const sizes: Array<number> = []
          for (const [i, message] of said.entries()) {
            const { payload, rsv1 } = yield* peer.next
            sizes.push(payload.length)
            const got = rsv1 ? String(yield* classic.decompress(payload)) : Buffer.from(payload).toString()
            assert.strictEqual(got, i === 2 ? `${message} ${noise}` : message)
          }
          assert.isBelow(sizes[4]!, bits === 15 ? 40 : 1000)
        }
      }
    })
  )

  it.effect("may be changed when it was sent: the windows have copies", () =>
    Effect.gen(function* () {
      const { peer, webSocket } = yield* withPeer("server", { deflate: {} })
      const classic = yield* Classic.make({ ours: { bits: 15, fresh: false }, theirs: { bits: 15, fresh: false } })
      const bytes = Buffer.from(long)
      yield* Broadcast.send([webSocket], bytes)
      yield* settled
      bytes.fill(0)
      yield* webSocket.send(long)
      for (let times = 0; times < 2; times++) {
        assert.strictEqual(String(yield* classic.decompress((yield* peer.next).payload)), long)
      }
    })
  )

  it("is known from other values, and has its message", () => {
    assert.isTrue(PreparedMessage.isPreparedMessage(PreparedMessage.make("x")))
    assert.isFalse(PreparedMessage.isPreparedMessage("x"))
    assert.strictEqual(PreparedMessage.make("x").message, "x")
  })
})

describe("a connection that does not read", () => {
  const payload = "x".repeat(2000)

  /** One that reads and one that does not, after so many broadcasts that it is slow. */
  const slowed = Effect.fnUntraced(function* (options: Broadcast.Options) {
    const slow = yield* withPeer("server", { highWaterMark: 10, limits: { closeTimeout: "1 second" } })
    const quick = yield* withPeer("server", { highWaterMark: 1 << 20 })
    const sockets = [slow.webSocket, quick.webSocket]
    const say = (message: string) => Broadcast.send(sockets, message, { maxUnsent: 5000, ...options })
    for (let i = 0; i < 3; i++) assert.deepStrictEqual(yield* say(payload), { sent: 2, slow: 0 })
    return { slow, quick, say }
  })

  it.effect("is passed over once more than maxUnsent waits for it, and served again when it reads", () =>
    Effect.gen(function* () {
      const { quick, say, slow } = yield* slowed({})
      const bites = yield* countingLimit(
        "maxUnsent",
        Effect.gen(function* () {
          assert.deepStrictEqual(yield* say("missed"), { sent: 1, slow: 1 })
          assert.deepStrictEqual(yield* say("missed"), { sent: 1, slow: 1 })
        })
      )
      assert.strictEqual(bites, 2)
      assert.deepStrictEqual(yield* texts(slow.peer, 3), [payload, payload, payload])
      yield* settled
      assert.deepStrictEqual(yield* say("again"), { sent: 2, slow: 0 })
      assert.deepStrictEqual(yield* texts(slow.peer, 1), ["again"])
      assert.deepStrictEqual(yield* texts(quick.peer, 6), [payload, payload, payload, "missed", "missed", "again"])
    })
  )

  it.effect("is closed with 1008 where the policy says so, and nobody waits for that", () =>
    Effect.gen(function* () {
      const { quick, say, slow } = yield* slowed({ slow: "close" })
      assert.deepStrictEqual(yield* say("too much"), { sent: 1, slow: 1 })
      assert.deepStrictEqual(yield* say("next"), { sent: 1, slow: 0 })
      assert.deepStrictEqual((yield* texts(quick.peer, 5)).slice(3), ["too much", "next"])
      yield* Effect.forkChild(slow.peer.rest)
      assert.strictEqual((yield* slow.webSocket.closed).code, 1008)
    })
  )

  it.effect("is waited for where the policy says so, when the others have theirs; the order holds", () =>
    Effect.gen(function* () {
      const { quick, say, slow } = yield* slowed({ slow: "wait" })
      const waiting = yield* Effect.forkChild(say("awaited"))
      yield* settled
      assert.isUndefined(waiting.pollUnsafe())
      assert.deepStrictEqual((yield* texts(quick.peer, 4)).slice(3), ["awaited"])
      yield* Effect.forkChild(slow.webSocket.send("behind"))
      assert.deepStrictEqual((yield* texts(slow.peer, 5)).slice(3), ["awaited", "behind"])
      assert.deepStrictEqual(yield* Fiber.join(waiting), { sent: 2, slow: 1 })
    })
  )

  it.effect("small messages count as what it takes to hold them", () =>
    Effect.gen(function* () {
      const { webSocket } = yield* withPeer("server", { highWaterMark: 10 })
      yield* Effect.forkChild(webSocket.send("fills the transport"))
      yield* settled
      let sent = 0
      for (let i = 0; i < 100; i++) sent += (yield* Broadcast.send([webSocket], "x", { maxUnsent: 10 * 1024 })).sent
      assert.strictEqual(sent, 11)
    })
  )
})
