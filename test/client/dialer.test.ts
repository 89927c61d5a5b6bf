/**
 * The client over another dialler than Node's, in memory: what such a one is asked, and what becomes of what it gives.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Layer, Scope, Stream } from "effect"
import { createHash } from "node:crypto"
import { type Answer, NoAnswer, type Request, UpgradeDialer } from "../../src/client/UpgradeDialer.ts"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import * as NodeZlib from "../../src/node/NodeZlib.ts"
import { DialError } from "../../src/proxy/Dialer.ts"
import { Target, UnixTarget } from "../../src/proxy/Target.ts"
import { makePair } from "../connection/pair.ts"
import { heldBy } from "./client.ts"

/** A client whose dialler answers so, and what that was asked. */
const clientOf = Effect.fnUntraced(function* (
  dial: (request: Request) => Effect.Effect<Answer, DialError | NoAnswer, Scope.Scope>,
  options?: WebSocketClient.Options
) {
  const asked: Array<Request> = []
  const dialler = Layer.succeed(UpgradeDialer)({
    dial: (request) => {
      asked.push(request)
      return dial(request)
    }
  })
  const client = yield* Effect.provide(WebSocketClient.make(options), Layer.merge(dialler, NodeZlib.layer))
  return { client, asked }
})

const accepting = ({ headers }: Request, more: Readonly<Record<string, string>> = {}) => ({
  upgrade: "websocket",
  connection: "Upgrade",
  "sec-websocket-accept": createHash("sha1")
    .update(`${String(headers["sec-websocket-key"])}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`)
    .digest("base64"),
  ...more
})

const declining: Answer = { status: 403, headers: { "x-why": "so" }, body: "no" }

describe("a dialler", () => {
  it.effect("is asked for a target, whether in TLS, and with all headers", () =>
    Effect.gen(function* () {
      const { asked, client } = yield* clientOf(() => Effect.succeed(declining), {
        headers: { "X-Several": ["a", "b"] }
      })
      for (const url of ["wss://ann:secret@[::1]:8443/p?q", "ws://h", "ws+unix:/run/a.sock:/p"]) {
        yield* Effect.flip(client.connect(url, { subprotocols: ["x"], compression: { contextTakeover: true } }))
      }
      assert.deepStrictEqual(
        asked.map(({ isSecure, path, target }) => [target, isSecure, path]),
        [
          [new Target({ host: "::1", port: 8443 }), true, "/p?q"],
          [new Target({ host: "h", port: 80 }), false, "/"],
          [new UnixTarget({ path: "/run/a.sock" }), false, "/p"]
        ]
      )
      const { "sec-websocket-key": key, ...headers } = asked[0]!.headers
      assert.match(String(key), /^[A-Za-z0-9+/]{22}==$/)
      assert.deepStrictEqual(headers, {
        host: "[::1]:8443",
        connection: "Upgrade",
        upgrade: "websocket",
        "sec-websocket-version": "13",
        "sec-websocket-protocol": "x",
        "sec-websocket-extensions": "permessage-deflate; client_max_window_bits",
        authorization: `Basic ${Buffer.from("ann:secret").toString("base64")}`,
        "x-several": ["a", "b"]
      })
      assert.deepStrictEqual([asked[1]!.headers["host"], asked[2]!.headers["host"]], ["h", "localhost"])
    })
  )

  it.effect("is not asked for what cannot be", () =>
    Effect.gen(function* () {
      const { asked, client } = yield* clientOf(() => Effect.succeed(declining))
      assert.strictEqual((yield* Effect.flip(client.connect("ws://h/#x"))).reason._tag, "InvalidRequest")
      assert.lengthOf(asked, 0)
    })
  )

  it.effect("fails in its own words, and what it declines with is told as it is", () =>
    Effect.gen(function* () {
      const target = new Target({ host: "h", port: 80 })
      for (const failure of [
        new DialError({ target, kind: "Unreachable" }),
        new NoAnswer({ kind: "Unreadable", instead: "spoke in tongues", cause: "x" })
      ]) {
        const { client } = yield* clientOf(() => Effect.fail(failure))
        const error = yield* Effect.flip(client.connect("ws://ann:secret@h/p?secret"))
        assert.strictEqual(error.reason, failure)
        assert.strictEqual(error.url, "ws://h/p")
        assert.strictEqual(error.message, `no connection to ws://h/p: ${failure.message}`)
      }
      const { client } = yield* clientOf(() => Effect.succeed(declining))
      const { reason } = yield* Effect.flip(client.connect("ws://h"))
      assert.deepStrictEqual(
        reason._tag === "Declined" && { status: reason.status, headers: reason.headers, body: reason.body },
        declining
      )
    })
  )

  it.effect("gives a stream, and both ends of it are a WebSocket", () =>
    Effect.gen(function* () {
      const pair = makePair()
      const { client } = yield* clientOf((request) =>
        Effect.succeed({
          status: 101,
          headers: accepting(request, { "sec-websocket-protocol": "b" }),
          socket: pair.client.socket
        })
      )
      const server = yield* WebSocket.make(pair.server.socket, { role: "server" })
      yield* Effect.forkChild(Stream.runForEach(server.messages, (message) => server.send(message)))
      yield* Effect.scoped(
        Effect.gen(function* () {
          const webSocket = yield* client.connect("ws://h", { subprotocols: ["a", "b"] })
          assert.strictEqual(webSocket.subprotocol, "b")
          assert.strictEqual(yield* client.connections, 1)
          yield* webSocket.send("hello")
          assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(webSocket.messages, 1)), ["hello"])
          // the server ends its side once both Close frames have passed
          yield* webSocket.close(4000)
          yield* Effect.exit(server.close())
          yield* pair.server.reset
        })
      )
      assert.strictEqual((yield* server.closed).code, 4000)
      assert.strictEqual(yield* client.connections, 0)
      assert.strictEqual(pair.client.held(), 0)
    })
  )

  it.effect("has what it acquired released where the answer is none to what was asked", () =>
    Effect.gen(function* () {
      const pair = makePair()
      let released = 0
      const { client } = yield* clientOf((request) =>
        Effect.acquireRelease(
          Effect.succeed<Answer>({
            status: 101,
            headers: accepting(request, { "sec-websocket-protocol": "x" }),
            socket: pair.client.socket
          }),
          () => Effect.sync(() => released++)
        )
      )
      const scope = yield* Scope.make()
      for (let i = 1; i <= 3; i++) {
        const { reason } = yield* Effect.flip(Scope.provide(client.connect("ws://h"), scope))
        assert.strictEqual(reason._tag, "InvalidAnswer")
        assert.deepStrictEqual([released, heldBy(scope), pair.client.held(), pair.client.writes.length], [i, 0, 0, 0])
      }
      assert.strictEqual(yield* client.connections, 0)
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(released, 3)
    })
  )

  it.effect("that dies has what it acquired released, too", () =>
    Effect.gen(function* () {
      let released = 0
      const { client } = yield* clientOf(() =>
        Effect.andThen(
          Effect.addFinalizer(() => Effect.sync(() => released++)),
          Effect.die("broken")
        )
      )
      const scope = yield* Scope.make()
      const exit = yield* Effect.exit(Scope.provide(client.connect("ws://h"), scope))
      assert.isTrue(Exit.hasDies(exit))
      assert.deepStrictEqual([released, heldBy(scope)], [1, 0])
    })
  )
})
