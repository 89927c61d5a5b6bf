/**
 * The access log: what is written of requests and connections, whichever way they end.
 */
import { assert, describe, it } from "@effect/vitest"
import { DateTime, Deferred, Effect, Fiber, Layer, type Scope, Stream } from "effect"
import { TestClock } from "effect/testing"
import { connect } from "node:net"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import * as WebSocket from "../../src/connection/WebSocket.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as AccessLog from "../../src/server/AccessLog.ts"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"
import { type OpenRequest, Refusal } from "../../src/server/OpenRequest.ts"
import * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import { settled, text } from "../connection/connected.ts"
import { memoryServer } from "./memory-listener.ts"
import { collectingLogs, portOf } from "./serving.ts"
import { upgradeRequest } from "./wire.ts"

/** Entries, and a wait for the next that nobody has waited for. */
const collecting = () => {
  const entries: Array<AccessLog.Entry> = []
  let taken = 0
  let waiting: Deferred.Deferred<void> = Deferred.makeUnsafe()
  const next: Effect.Effect<AccessLog.Entry> = Effect.suspend(() => {
    const entry = entries[taken]
    if (entry === undefined) return Effect.flatMap(Deferred.await(waiting), () => next)
    taken++
    return Effect.succeed(entry)
  })
  const log = AccessLog.AccessLog.of({
    write: (entry) =>
      Effect.suspend(() => {
        entries.push(entry)
        const before = waiting
        waiting = Deferred.makeUnsafe()
        return Effect.asVoid(Deferred.succeed(before, undefined))
      })
  })
  return { entries, next, log }
}

type Serves = (server: WebSocketServer.WebSocketServer["Service"]) => Effect.Effect<never, never, Scope.Scope>

/** A server, a client of it, and its log. */
const logged = Effect.fnUntraced(function* (serves: Serves, options: NodeWebSocketServer.TestOptions = {}) {
  const { entries, log, next } = collecting()
  const context = yield* Layer.build(
    NodeWebSocketServer.layerTest(options).pipe(Layer.provide(Layer.succeed(AccessLog.AccessLog)(log)))
  )
  const server = yield* Effect.provideContext(WebSocketServer.WebSocketServer, context)
  const running = yield* Effect.forkScoped(serves(server))
  yield* Effect.yieldNow
  const client = yield* Effect.provideContext(WebSocketClient.WebSocketClient, context)
  return { entries, next, client, port: portOf(server), stop: Fiber.interrupt(running) }
})

const deciding = (
  handler: (open: OpenRequest) => Effect.Effect<unknown, unknown, Scope.Scope>,
  options?: NodeWebSocketServer.TestOptions
) => logged((server) => server.runRequests((open) => handler(open) as Effect.Effect<unknown, Refusal>), options)

/** The log of a request whose client goes away before the handler decides. */
const leftBefore = Effect.fnUntraced(function* (
  decide: (open: OpenRequest) => Effect.Effect<unknown, unknown, Scope.Scope>
) {
  const asked = yield* Deferred.make<void>()
  const { next, port } = yield* deciding((request) =>
    Effect.uninterruptibleMask((restore) =>
      Deferred.succeed(asked, undefined).pipe(
        // a client that goes away interrupts it
        Effect.andThen(Effect.exit(restore(Effect.never))),
        Effect.andThen(decide(request))
      )
    )
  )
  const socket = connect(port, "127.0.0.1")
  socket.write(upgradeRequest())
  yield* Deferred.await(asked)
  socket.resetAndDestroy()
  return { next }
})

/** What does not differ from run to run. */
const told = (entry: AccessLog.Entry) => {
  const { at: _at, host: _host, id: _id, peer: _peer, ...rest } = entry
  return Object.fromEntries(Object.entries(rest).filter(([, value]) => value !== undefined))
}

const open = { client: "127.0.0.1", path: "/", annotations: {}, elapsed: 0 } as const

describe("a connection", () => {
  it.effect("is written down when it opens and when it has ended", () =>
    Effect.gen(function* () {
      yield* TestClock.setTime(1_000_000)
      const { client, next, port } = yield* deciding((request) =>
        Effect.gen(function* () {
          request.annotate("tenant", "garden")
          const webSocket = yield* request.accept
          yield* Stream.runForEach(webSocket.messages, (message) => {
            request.annotate("last", String(message))
            return webSocket.send("12345")
          })
        })
      )
      yield* Effect.gen(function* () {
        const webSocket = yield* client.connect("/room?token=secret", {
          headers: { "user-agent": "a test", origin: `http://127.0.0.1:${port}` },
          subprotocols: ["chat"]
        })
        const opened = yield* next
        const common = {
          ...open,
          path: "/room",
          origin: `http://127.0.0.1:${port}`,
          userAgent: "a test"
        }
        assert.deepStrictEqual(told(opened), {
          event: "opened",
          ...common,
          annotations: { tenant: "garden" },
          isCompressed: false
        })
        assert.match(opened.id, /^[\da-f-]{36}$/)
        assert.match(opened.peer ?? "", /^127\.0\.0\.1:\d+$/)
        assert.strictEqual(opened.host, `127.0.0.1:${port}`)
        yield* webSocket.send("abc")
        yield* Stream.runDrain(Stream.take(webSocket.messages, 1))
        yield* TestClock.adjust("5 seconds")
        yield* webSocket.close(3001, "enough")
        const closed = yield* next
        assert.deepStrictEqual(told(closed), {
          event: "closed",
          ...common,
          annotations: { tenant: "garden", last: "abc" },
          elapsed: 5000,
          code: 3001,
          reason: "enough",
          wasClean: true,
          // masked: 6 more for each frame, and 4 less the other way
          received: 6 + 3 + 6 + 8,
          sent: 2 + 5 + 2 + 2
        })
        assert.strictEqual(closed.id, opened.id)
        assert.strictEqual(DateTime.toEpochMillis(closed.at) - DateTime.toEpochMillis(opened.at), 5000)
      }).pipe(Effect.scoped)
    })
  )

  it.effect("is written down also where it waits without a fiber", () =>
    Effect.gen(function* () {
      const { client, next } = yield* logged((server) =>
        server.run((webSocket) => WebSocket.runForEachArray(webSocket, () => Effect.void))
      )
      yield* Effect.scoped(Effect.flatMap(client.connect("/"), (webSocket) => webSocket.send("abc")))
      assert.strictEqual((yield* next).event, "opened")
      const closed = yield* next
      assert.deepInclude(told(closed), { event: "closed", code: 1000, received: 6 + 3 + 6 + 2 })
    })
  )

  it.effect("that the server ends has the code that it was closed with", () =>
    Effect.gen(function* () {
      const { client, entries, stop } = yield* logged((server) =>
        server.run((webSocket) => Stream.runDrain(webSocket.messages))
      )
      const webSocket = yield* client.connect("/")
      yield* Effect.forkChild(Stream.runDrain(webSocket.messages))
      yield* stop
      assert.deepInclude(told(entries[1]!), { event: "closed", code: 1001, wasClean: true })
    })
  )

  it.effect("that is compressed says so", () =>
    Effect.gen(function* () {
      const { log, next } = collecting()
      const memory = yield* Effect.provideService(memoryServer({ compression: {} }), AccessLog.AccessLog, log)
      yield* Effect.forkChild(memory.server.run((webSocket) => Stream.runDrain(webSocket.messages)))
      yield* settled
      yield* memory.open({ headers: { "sec-websocket-extensions": "permessage-deflate" } })
      assert.deepInclude(told(yield* next), { event: "opened", isCompressed: true })
    })
  )

  it.effect("that is lost has 1006", () =>
    Effect.gen(function* () {
      const { log, next } = collecting()
      const memory = yield* Effect.provideService(memoryServer(), AccessLog.AccessLog, log)
      yield* Effect.forkChild(memory.server.run((webSocket) => Stream.runDrain(webSocket.messages)))
      yield* settled
      const { client, peer } = yield* memory.open()
      yield* peer.send(text("abc"))
      yield* client.reset
      assert.strictEqual((yield* next).event, "opened")
      assert.deepStrictEqual(told(yield* next), {
        event: "closed",
        path: "/",
        annotations: {},
        elapsed: 0,
        code: 1006,
        reason: "",
        wasClean: false,
        received: 9,
        sent: 0
      })
    })
  )
})

describe("a request that is not accepted", () => {
  const refusals: ReadonlyArray<
    readonly [string, NodeWebSocketServer.TestOptions, Effect.Effect<unknown, unknown>, Record<string, unknown>]
  > = [
    [
      "refused by the application",
      {},
      Effect.fail(new Refusal({ status: 404, reason: "no such room" })),
      { status: 404, reason: "no such room" }
    ],
    [
      "refused by an access policy",
      { access: AccessPolicy.custom("hours", () => Effect.fail(AccessPolicy.denied("hours", "we are closed"))) },
      Effect.void,
      { status: 403, reason: "The request was refused.", annotations: { denied: "custom" } }
    ],
    ["left undecided", {}, Effect.void, { status: 500, reason: "The server made no decision." }],
    [
      "whose handler failed",
      {},
      Effect.die("boom"),
      { status: 500, reason: "The server failed to handle the request." }
    ],
    [
      "whose refusal cannot be sent",
      {},
      Effect.fail(new Refusal({ status: 404, reason: "no such room", headers: { "x-room": "none\r\nat all" } })),
      { status: 500, reason: "The server failed to handle the request." }
    ]
  ]
  it.effect.each(refusals)("is written down: %s", ([, options, decision, expected]) =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const { client, entries, next, stop } = yield* deciding(() => decision, options)
        yield* Effect.flip(Effect.scoped(client.connect("/")))
        assert.deepStrictEqual(told(yield* next), { event: "refused", ...open, ...expected })
        yield* stop
        assert.strictEqual(entries.length, 1)
      })
    )
  )

  it.effect("is written down: one too many", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const { entries, log } = collecting()
        const memory = yield* Effect.provideService(memoryServer({ maxConnections: 1 }), AccessLog.AccessLog, log)
        yield* Effect.forkChild(memory.server.run(() => Effect.never))
        yield* settled
        yield* memory.open()
        const { answer } = yield* memory.open()
        yield* Effect.flip(answer)
        yield* settled
        assert.deepInclude(told(entries[1]!), {
          event: "refused",
          status: 503,
          annotations: { denied: "maxConnections" }
        })
      })
    )
  )

  it.effect("is written down: one that nothing can be agreed on with", () =>
    Effect.gen(function* () {
      const { next, port } = yield* logged((server) => server.run(() => Effect.void))
      const socket = connect(port, "127.0.0.1")
      socket.on("error", () => {}).resume()
      const long = "x".repeat(2000)
      socket.end(upgradeRequest({ "User-Agent": long, "Sec-WebSocket-Version": "8" }, `/${long}?token=secret`))
      const { path, userAgent, ...rest } = told(yield* next)
      assert.deepInclude(rest, { event: "refused", status: 426 })
      assert.strictEqual(path, `/${"x".repeat(1023)}…`)
      assert.strictEqual(userAgent, `${"x".repeat(1024)}…`)
    })
  )

  it.effect.each([
    ["accepts it", (request: OpenRequest) => Effect.orDie(request.accept)],
    ["refuses it", () => Effect.fail(new Refusal({ status: 404, reason: "no such room" }))],
    ["fails", () => Effect.die("boom")]
  ] as const)("is written down: one whose client went away before the handler %s", ([, decide]) =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const { next } = yield* leftBefore(decide)
        assert.deepStrictEqual(told(yield* next), { event: "gone", ...open })
      })
    )
  )
})

describe("the program's own log", () => {
  it.effect("has no error where the client went away before it could be accepted", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { next } = yield* leftBefore(({ accept }) => accept)
        assert.strictEqual((yield* next).event, "gone")
        assert.deepStrictEqual(
          logs.filter(({ level }) => level === "Error"),
          []
        )
      })
    )
  )
})

describe("the log", () => {
  it.effect("may fail, and that is logged and nothing else", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const memory = yield* Effect.provideService(memoryServer(), AccessLog.AccessLog, {
          write: () => Effect.die("no paper")
        })
        yield* Effect.forkChild(memory.server.run((webSocket) => webSocket.send("hello")))
        yield* settled
        const { peer } = yield* memory.open()
        assert.strictEqual((yield* peer.next).payload.length, 5)
        assert.match(logs[0]!.text, /The access log failed.*no paper/)
      })
    )
  )

  it.effect("may be the logger", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const memory = yield* memoryServer().pipe(Effect.provide(AccessLog.layerLogger("Warn")))
        yield* Effect.forkChild(
          memory.server.runRequests((request) => {
            request.annotate("target", "db:5432")
            return Effect.fail(new Refusal({ status: 404, reason: "no" }))
          })
        )
        yield* settled
        const { answer } = yield* memory.open({ remoteAddress: "192.0.2.1", target: '/a"\u001b\u009b?b' })
        yield* Effect.flip(answer)
        yield* settled
        assert.strictEqual(logs[0]!.level, "Warn")
        assert.match(logs[0]!.text, /^Refused "\/a\\"\\u001b\\u009b" for 192\.0\.2\.1 to db:5432: 404/)
      })
    )
  )
})
