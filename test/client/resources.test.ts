/**
 * What a client holds after connections that ended, and attempts that failed, in every way: nothing.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Fiber, Layer, type Scope, Stream } from "effect"
import { Socket } from "effect/socket"
import { randomBytes } from "node:crypto"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import { bytesOf, close, text } from "../connection/connected.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { countingFibers, leavesNothing, obey } from "../server/resources.ts"
import { collectingLogs, eventually, serving } from "../server/serving.ts"
import { Request, switching } from "./server.ts"

/** More than the transport holds. */
const bytes = randomBytes(300_000)

const compression = { threshold: 0 }

/** What a server by hand does with who asks for a path, in one write, and whether it then ends or resets. */
const manners: Readonly<
  Record<string, readonly [answer: (request: Request) => string | Uint8Array, ending?: "end" | "reset"]>
> = {
  silence: [() => ""],
  "an end": [() => "", "end"],
  "a reset": [() => "", "reset"],
  nonsense: [() => "nonsense\r\n\r\n"],
  "half a head and an end": [() => "HTTP/1.1 101 Swit", "end"],
  "a refusal": [() => "HTTP/1.1 403 Forbidden\r\nContent-Length: 2\r\n\r\nno"],
  "a refusal without an end": [() => "HTTP/1.1 403 Forbidden\r\n\r\nno"],
  "a refusal that is long": [() => `HTTP/1.1 403 Forbidden\r\n\r\n${"x".repeat(50_000)}`, "end"],
  "interim answers": [() => "HTTP/1.1 103 Wait\r\n\r\n".repeat(20)],
  "another accept key": [(request) => switching(request, { "Sec-WebSocket-Accept": "x" })],
  "an end without a Close": [(request) => switching(request), "end"],
  "a reset behind the answer": [(request) => switching(request), "reset"],
  "a Close and an end": [
    (request) => Buffer.concat([Buffer.from(switching(request)), bytesOf("server", [text("x"), close(1000)])]),
    "end"
  ],
  "a Close and no end": [
    (request) => Buffer.concat([Buffer.from(switching(request)), bytesOf("server", [close(1000)])])
  ],
  "a violation": [(request) => Buffer.concat([Buffer.from(switching(request)), bytesOf("client", [text("masked")])])],
  "compressed nonsense": [
    (request) =>
      Buffer.concat([
        Buffer.from(
          switching(request, { "Sec-WebSocket-Extensions": "permessage-deflate; server_no_context_takeover" })
        ),
        bytesOf("server", [{ opcode: 2, rsv1: true, payload: new Uint8Array([0xff, 0xff]) }])
      ])
  ]
}

/** It listens, and does so. */
const byHand = RawTarget.listen({
  onConnection: (connection) => {
    let head = ""
    connection.sink = (chunk) => {
      if (head.includes("\r\n\r\n")) return
      head += chunk.toString("latin1")
      if (!head.includes("\r\n\r\n")) return
      const request = new Request(head)
      const [answer, ending] = manners[decodeURIComponent(/\/(\S*)/.exec(request.line)![1]!)] ?? [switching]
      connection.socket.write(answer(request), () => {
        if (ending === "end") connection.socket.end()
        if (ending === "reset") connection.socket.resetAndDestroy()
      })
    }
    // who ends is answered
    connection.socket.on("end", () => connection.socket.end())
  }
})

type Visit = (
  client: WebSocketClient.WebSocketClient["Service"],
  url: string
) => Effect.Effect<unknown, unknown, Scope.Scope>

const open =
  (use: (webSocket: WebSocket) => Effect.Effect<unknown, unknown, Scope.Scope>): Visit =>
  (client, url) =>
    Effect.flatMap(client.connect(url), use)

/** Runs for a moment, and is interrupted. */
const briefly = (self: Effect.Effect<unknown, unknown, Scope.Scope>) =>
  Effect.gen(function* () {
    const fiber = yield* Effect.forkChild(Effect.scoped(self), { startImmediately: true })
    yield* Effect.sleep("4 millis")
    yield* Fiber.interrupt(fiber)
  })

/** Visits to our own server, which does what it is told. */
const visits: Readonly<Record<string, Visit>> = {
  "a closing handshake": open((webSocket) => webSocket.close(4000)),
  "a closing handshake by the server": open((webSocket) =>
    Effect.andThen(webSocket.send("bye"), Stream.runDrain(webSocket.messages))
  ),
  "a failure of the server": open((webSocket) =>
    Effect.andThen(webSocket.send("fail"), Stream.runDrain(webSocket.messages))
  ),
  "nothing but leaving": open(() => Effect.void),
  "a failure": open(() => Effect.fail("no")),
  "no wait for the Close": open((webSocket) => webSocket.close(1000, "", { wait: false })),
  "a ping": open((webSocket) =>
    Effect.raceFirst(
      Stream.runDrain(webSocket.messages),
      Effect.andThen(Effect.ignore(webSocket.ping(new Uint8Array(200))), webSocket.ping())
    )
  ),
  "much to send": open((webSocket) => webSocket.send(bytes)),
  "an interruption of who reads": (client, url) =>
    briefly(open((webSocket) => Stream.runDrain(webSocket.messages))(client, url)),
  "an interruption of who sends": (client, url) =>
    briefly(
      open((webSocket) => Effect.forever(Effect.andThen(webSocket.send(bytes), Effect.sleep("1 millis"))))(client, url)
    ),
  "an interruption at any time": (client, url) => briefly(client.connect(url)),
  "a request that cannot be": (client, url) => client.connect(`${url}#x`),
  "a socket": (client, url) =>
    Effect.gen(function* () {
      const socket = Context.get(
        yield* Layer.build(
          Layer.provide(WebSocketClient.layerSocket(url), Layer.succeed(WebSocketClient.WebSocketClient)(client))
        ),
        Socket.Socket
      )
      const writer = yield* socket.writer
      const writing = yield* Effect.forkChild(writer.write("bye"), { startImmediately: true })
      const abandoned = yield* Effect.forkChild(Effect.andThen(Effect.sleep(1), writer.write("x")))
      const { pull } = yield* socket.reader
      yield* Fiber.join(writing)
      yield* Fiber.interrupt(abandoned)
      return yield* Effect.forever(pull)
    })
}

describe("after more than 200 attempts and connections, which ended in every way", () => {
  it.live(
    "no socket, timer or fiber is left, and no connection counted",
    () =>
      countingFibers((fibers) =>
        collectingLogs(() =>
          Effect.gen(function* () {
            const raw = yield* byHand
            const own = yield* serving(
              (webSocket) => Stream.runForEach(webSocket.messages, (message) => obey(webSocket, message)),
              { compression }
            )
            const nobody = yield* RawTarget.nobody
            const client = Context.get(
              yield* Layer.build(
                NodeWebSocketClient.layer({
                  compression,
                  closeTimeout: "100 millis",
                  handshakeTimeout: "200 millis",
                  dialTimeout: "1 second"
                })
              ),
              WebSocketClient.WebSocketClient
            )
            const drained = open(({ messages }) => Stream.runDrain(messages))
            const at = (path: string) => `ws://127.0.0.1:${raw.port}/${encodeURIComponent(path)}`
            const all = [
              ...Object.values(visits).map((visit) => visit(client, own.url)),
              ...Object.keys(manners).map((path) => drained(client, at(path))),
              briefly(drained(client, at("a Close that is awaited"))),
              open(() => Effect.void)(client, at("a Close that is awaited")),
              open(() => Effect.sleep("3 millis"))(client, at("a reset behind the answer")),
              briefly(client.connect(at("silence"))),
              briefly(client.connect(at("silence").replace("ws:", "wss:"))),
              client.connect(at("silence").replace("ws:", "wss:")),
              client.connect(`ws://127.0.0.1:${nobody.port}/`),
              client.connect("ws://nowhere.invalid/")
            ].map((visit) => Effect.exit(Effect.scoped(visit)))
            const settle = eventually(
              "all connections are closed",
              Effect.gen(function* () {
                for (const { over, socket } of raw.connections) if (over) socket.destroy()
                const open = (yield* client.connections) + (yield* own.server.connections)
                return open === 0 && raw.connections.every(({ socket }) => socket.closed)
              })
            )
            yield* leavesNothing(fibers, all, settle, "150 millis")
            assert.strictEqual(yield* client.connections, 0)
          })
        )
      ),
    30_000
  )
})
