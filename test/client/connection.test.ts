/**
 * Open connections of a client, to servers of another make and to our own: every kind of message both ways, whole, in pieces and
 * compressed, and the pings between them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Duration, Effect, Fiber, type Scope, Stream } from "effect"
import { randomBytes } from "node:crypto"
import type { Asking } from "../../src/client/WebSocketClient.ts"
import type { Message } from "../../src/protocol/Message.ts"
import type * as PerMessageDeflate from "../../src/protocol/PerMessageDeflate.ts"
import type { ListenError } from "../../src/server/UpgradeListener.ts"
import { echo, serving } from "../server/serving.ts"
import { make } from "./client.ts"
import * as WsServer from "./wsServer.ts"

const MiB = 1024 * 1024
const maxMessageSize = 32 * MiB

/** A text that compresses well, of this many bytes. */
const prose = (size: number) => "Grüße an alle, die da lesen. ".repeat(Math.ceil(size / 31)).slice(0, size)

const messages: ReadonlyArray<Message> = [
  "one",
  "",
  "Grüße 🎈 \u0000\u{10ffff}",
  new Uint8Array(0),
  ...[1, 2, 3, 125, 126, 127, 65_535, 65_536, 65_537].flatMap((size) => [
    new Uint8Array(randomBytes(size)),
    "x".repeat(size)
  ]),
  prose(100_000),
  new Uint8Array(randomBytes(3 * MiB)),
  prose(4 * MiB),
  new Uint8Array(5 * MiB),
  "last"
]

type Listening = Effect.Effect<string, ListenError, Scope.Scope>

/** Servers that send back what comes. */
const servers: ReadonlyArray<readonly [string, (compression: PerMessageDeflate.Policy | undefined) => Listening]> = [
  [
    "ws",
    (compression) =>
      Effect.map(
        WsServer.listen(
          {
            perMessageDeflate: compression !== undefined && {
              threshold: 0,
              serverNoContextTakeover: compression.contextTakeover !== true,
              clientNoContextTakeover: compression.contextTakeover !== true,
              ...(compression.serverMaxWindowBits !== undefined && {
                serverMaxWindowBits: compression.serverMaxWindowBits
              }),
              ...(compression.clientMaxWindowBits !== undefined && {
                clientMaxWindowBits: compression.clientMaxWindowBits
              })
            }
          },
          WsServer.echoing
        ),
        ({ url }) => url
      )
  ],
  [
    "our own",
    (compression) =>
      Effect.map(serving(echo, { maxMessageSize, compression: compression ?? false, origin: "any" }), ({ url }) => url)
  ]
]

const whole = { threshold: 0 }

/** What the client asks for, what the server does, and whether they agree on compression. */
const manners: ReadonlyArray<readonly [string, Asking, PerMessageDeflate.Policy | undefined, boolean]> = [
  ["plainly", {}, undefined, false],
  ["plainly, where the server would compress", {}, whole, false],
  ["plainly, where only the client would compress", { compression: whole }, undefined, false],
  ["compressed, each message by itself", { compression: whole }, whole, true],
  [
    "compressed, with context takeover",
    { compression: { ...whole, contextTakeover: true } },
    { ...whole, contextTakeover: true },
    true
  ],
  [
    "compressed, with context takeover that only the client would have",
    { compression: { ...whole, contextTakeover: true } },
    whole,
    true
  ],
  [
    "compressed, with small windows",
    { compression: { ...whole, contextTakeover: true, serverMaxWindowBits: 12, clientMaxWindowBits: 10 } },
    { ...whole, contextTakeover: true, serverMaxWindowBits: 10, clientMaxWindowBits: 9 },
    true
  ],
  ["compressed, where it is worth it", { compression: {} }, {}, true]
]

for (const [name, listen] of servers) {
  describe(`with ${name}`, { timeout: 60_000 }, () => {
    it.live.each(manners)("echoes all kinds of messages in their order, %s", ([, asking, policy, isCompressed]) =>
      Effect.gen(function* () {
        const url = yield* listen(policy)
        const webSocket = yield* (yield* make({ maxMessageSize })).connect(url, asking)
        assert.strictEqual(webSocket.isCompressed, isCompressed)
        assert.deepStrictEqual([webSocket.role, webSocket.subprotocol], ["client", undefined])
        // twice, so that there is something to refer to
        const all = [...messages, ...messages]
        const sending = yield* Effect.forkChild(Effect.forEach(all, (message) => webSocket.send(message)))
        const echoed = yield* Stream.runCollect(Stream.take(webSocket.messages, all.length))
        yield* Fiber.join(sending)
        assert.lengthOf(echoed, all.length)
        for (const [index, message] of all.entries()) {
          const other = echoed[index]!
          // equality told element by element would take minutes
          const isSame =
            typeof message === "string" || typeof other === "string"
              ? message === other
              : Buffer.compare(message, other) === 0
          assert.isTrue(isSame, `message ${index}`)
        }
      })
    )

    it.live("sends many in one write, and from many fibers at a time", () =>
      Effect.gen(function* () {
        const webSocket = yield* (yield* make()).connect(yield* listen(undefined))
        const batch = Array.from({ length: 1000 }, (_, i) => String(i)) as [string, ...Array<string>]
        const reading = yield* Effect.forkChild(Stream.runCollect(Stream.take(webSocket.messages, 2000)))
        yield* webSocket.sendAll(batch)
        yield* Effect.forEach(batch, (message) => webSocket.send(message), { concurrency: "unbounded" })
        const got = yield* Fiber.join(reading)
        assert.deepStrictEqual(got.slice(0, 1000), batch)
        assert.deepStrictEqual(got.slice(1000).toSorted(), batch.toSorted())
      })
    )

    it.live("sends a message in fragments, which is one to the server", () =>
      Effect.gen(function* () {
        for (const compression of [undefined, { ...whole, contextTakeover: true }]) {
          const url = yield* listen(compression)
          const webSocket = yield* (yield* make()).connect(url, { compression: compression ?? false })
          yield* webSocket.sendFragments(Stream.fromIterable(["Gr", "ü", "", "ße"]))
          yield* webSocket.sendFragments(Stream.fromIterable([new Uint8Array([1]), new Uint8Array([2, 3])]))
          yield* webSocket.send("behind")
          assert.deepStrictEqual(
            (yield* Stream.runCollect(Stream.take(webSocket.messages, 3))).map((message) =>
              typeof message === "string" ? message : [...message]
            ),
            ["Grüße", [1, 2, 3], "behind"]
          )
        }
      })
    )

    it.live("pings, and is told how long the answer took", () =>
      Effect.gen(function* () {
        const webSocket = yield* (yield* make()).connect(yield* listen(undefined))
        yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
        for (const payload of [undefined, new Uint8Array(0), new Uint8Array(randomBytes(125))]) {
          assert.isAtLeast(Duration.toMillis(yield* webSocket.ping(payload)), 0)
        }
        const { reason } = yield* Effect.flip(webSocket.ping(new Uint8Array(126)))
        assert.strictEqual(reason._tag, "InvalidUsage")
        // the connection is as it was
        yield* webSocket.ping()
      })
    )

    it.live("reads late what the server has sent back meanwhile", () =>
      Effect.gen(function* () {
        const webSocket = yield* (yield* make({ maxMessageSize })).connect(yield* listen(undefined))
        const bytes = new Uint8Array(randomBytes(MiB))
        const sending = yield* Effect.forkChild(
          Effect.forEach(Array.from({ length: 20 }), () => webSocket.send(bytes), { discard: true })
        )
        yield* Effect.sleep("200 millis")
        const got = yield* Stream.runCollect(Stream.take(webSocket.messages, 20))
        yield* Fiber.join(sending)
        for (const message of got) {
          assert.isTrue(typeof message !== "string" && Buffer.compare(message, bytes) === 0)
        }
      })
    )
  })
}

describe("with ws", { timeout: 30_000 }, () => {
  it.live("agrees on a subprotocol, and is asked with headers", () =>
    Effect.gen(function* () {
      const asked: Array<string | undefined> = []
      const server = yield* WsServer.listen({
        handleProtocols: (names) => [...names].at(-1) ?? false,
        verifyClient: ({ req }: { readonly req: { readonly headers: NodeJS.Dict<string | Array<string>> } }) => {
          asked.push(req.headers["cookie"]?.toString(), req.headers["origin"]?.toString())
          return true
        }
      })
      const headers = { cookie: ["a=1", "b=2"], origin: "https://app.example" }
      const webSocket = yield* (yield* make()).connect(server.url, { subprotocols: ["a", "b"], headers })
      assert.strictEqual(webSocket.subprotocol, "b")
      assert.deepStrictEqual(asked, ["a=1; b=2", "https://app.example"])
    })
  )

  it.live("receives fragments, whole or as they come", () =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen()
      const webSocket = yield* (yield* make()).connect(server.url)
      const { socket } = yield* server.accept
      const sendInPieces = () => {
        socket.send("Gr\u00fc", { fin: false })
        socket.ping("between")
        socket.send("", { fin: false })
        socket.send("\u00dfe", { fin: true })
        socket.send("x")
      }
      sendInPieces()
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(webSocket.messages, 2)), ["Grüße", "x"])
      sendInPieces()
      const pieces = yield* Stream.runCollect(
        Stream.takeUntil(webSocket.fragments, ({ payload }) => payload[0] === 0x78)
      )
      assert.strictEqual(Buffer.concat(pieces.map(({ payload }) => payload)).toString(), "Grüßex")
      assert.deepStrictEqual(
        pieces.filter(({ payload }) => payload.length > 0).map(({ first, isText, last }) => [isText, first, last]),
        [
          [true, true, false],
          [true, false, true],
          [true, true, true]
        ]
      )
    })
  )

  it.live("answers its pings, and takes its pongs for what they are", () =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen()
      const webSocket = yield* (yield* make()).connect(server.url)
      const visitor = yield* server.accept
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      visitor.socket.pong("unasked")
      visitor.socket.ping("are you there")
      assert.strictEqual((yield* visitor.until("pong")).data, "are you there")
      yield* webSocket.pong(Buffer.from("still here"))
      yield* webSocket.ping(Buffer.from("and you"))
      assert.strictEqual((yield* visitor.until("ping")).data, "and you")
      assert.deepStrictEqual(
        visitor.events.map(({ _tag }) => _tag),
        ["pong", "pong", "ping"]
      )
    })
  )

  it.live("sends less where it compresses", () =>
    Effect.gen(function* () {
      const server = yield* WsServer.listen({ perMessageDeflate: { threshold: 0 } })
      const sent = Effect.fnUntraced(function* (compression: PerMessageDeflate.Policy | false) {
        const webSocket = yield* (yield* make()).connect(server.url, { compression })
        const visitor = yield* server.accept
        const noise = randomBytes(4000).toString("hex")
        yield* webSocket.send(noise)
        yield* webSocket.send(noise)
        assert.deepStrictEqual(yield* visitor.untilMessages(2), [noise, noise])
        yield* webSocket.close(4000)
        return webSocket
      })
      const bytes: Array<number> = []
      for (const compression of [false, { threshold: 0 }, { threshold: 0, contextTakeover: true }] as const) {
        let read = 0
        server.server.once("connection", (_, request) =>
          request.socket.on("data", (chunk: Buffer) => (read += chunk.length))
        )
        yield* sent(compression)
        bytes.push(read)
      }
      // hexadecimal digits are half of a byte each, and the second message is the first again
      assert.isAbove(bytes[0]!, 16_000)
      assert.isBelow(bytes[1]!, 11_000)
      assert.isBelow(bytes[2]!, 6000)
    })
  )
})
