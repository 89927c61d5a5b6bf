import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Schema, type Scope, Stream } from "effect"
import { NetAddress } from "effect/net"
import { Rpc, RpcClient, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { Socket, SocketServer } from "effect/socket"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import { close, shown, text } from "../connection/connected.ts"
import { upgraded } from "./wire.ts"

class Failure extends Schema.TaggedError<Failure>()("Failure", { why: Schema.String }) {}

class Calls extends RpcGroup.make(
  Rpc.make("Greet", { payload: { name: Schema.String }, success: Schema.String, error: Failure }),
  Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true })
) {}

const Handlers = Calls.toLayer({
  Greet: ({ name }) =>
    name === "" ? Effect.fail(new Failure({ why: "nobody to greet" })) : Effect.succeed(`Hello, ${name}!`),
  Count: ({ to }) => Stream.range(1, to)
})

const Server = RpcServer.layer(Calls).pipe(Layer.provide(Handlers), Layer.provide(RpcServer.layerProtocolSocketServer))

const Client = Layer.unwrap(
  Effect.map(SocketServer.SocketServer, ({ address }) =>
    RpcClient.layerProtocolSocket().pipe(
      Layer.provide(Socket.layerWebSocket(`ws://${NetAddress.formatSocketAddress(address)}`)),
      Layer.provide(Socket.layerWebSocketConstructorGlobal)
    )
  )
)

const live = (options: Partial<NodeWebSocketServer.Options>) =>
  Layer.mergeAll(Server, Client).pipe(
    Layer.provide(WebSocketServer.layerSocketServer),
    Layer.provide(NodeWebSocketServer.layer({ port: 0, ...options })),
    Layer.provide(RpcSerialization.layerNdjson)
  )

describe("effect/rpc over the server as a SocketServer", () => {
  for (const [how, options] of [
    ["plain", {}],
    ["compressed", { compression: { contextTakeover: true, threshold: 0 } }]
  ] as const) {
    it.live(`${how}: calls, typed failures, streams and many at a time come back`, () =>
      Effect.gen(function* () {
        const client = yield* RpcClient.make(Calls)
        assert.strictEqual(yield* client.Greet({ name: "WebSocket" }), "Hello, WebSocket!")
        const failure = yield* Effect.flip(client.Greet({ name: "" }))
        assert.strictEqual(failure instanceof Failure && failure.why, "nobody to greet")
        const numbers = yield* Stream.runCollect(client.Count({ to: 2000 }))
        assert.strictEqual(numbers.length, 2000)
        assert.strictEqual(numbers[1999], 2000)
        const names = Array.from({ length: 100 }, (_, i) => `${i}`.repeat(i + 1))
        const greetings = yield* Effect.all(
          names.map((name) => client.Greet({ name })),
          { concurrency: "unbounded" }
        )
        assert.deepStrictEqual(
          greetings,
          names.map((name) => `Hello, ${name}!`)
        )
      }).pipe(Effect.scoped, Effect.provide(live(options)))
    )
  }
})

describe("the sockets of the SocketServer", () => {
  const sockets = <E>(handler: (socket: Socket.Socket) => Effect.Effect<unknown, E, Scope.Scope>) =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        WebSocketServer.layerSocketServer.pipe(Layer.provide(NodeWebSocketServer.layer({ port: 0 })))
      )
      const server = yield* Effect.provide(SocketServer.SocketServer, context)
      const running = yield* Effect.forkScoped(server.run(handler))
      yield* Effect.yieldNow
      if (!NetAddress.isInetAddress(server.address)) return yield* Effect.die("no port")
      return { port: server.address.port, running }
    })

  it.live("carry messages and end with a SocketCloseError of the peer's code", () =>
    Effect.gen(function* () {
      const ends: Array<unknown> = []
      const { port } = yield* sockets((socket) =>
        Effect.gen(function* () {
          const { pull } = yield* socket.reader
          const writer = yield* socket.writer
          while (true) yield* writer.writeAll(yield* pull)
        }).pipe(Effect.catch((error) => Effect.sync(() => ends.push(error.reason))))
      )
      const wire = yield* upgraded(port)
      wire.send(text("one"), text("two"), close(4004, "bye"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "one"])
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "two"])
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 4004, ""])
      yield* wire.ended
      const [end] = ends as ReadonlyArray<Socket.SocketErrorReason>
      assert.deepStrictEqual(end?._tag === "SocketCloseError" && [end.code, end.closeReason], [4004, "bye"])
    })
  )

  it.live("close when their handler ends, and with 1001 when run is interrupted", () =>
    Effect.gen(function* () {
      const { port, running } = yield* sockets((socket) =>
        Effect.gen(function* () {
          const { pull } = yield* socket.reader
          const [first] = yield* pull
          if (first === "stay") return yield* Effect.never
        })
      )
      const short = yield* upgraded(port)
      short.send(text("go"))
      assert.deepStrictEqual(shown(yield* short.next), [Opcode.close, 1000, ""])
      const long = yield* upgraded(port)
      long.send(text("stay"))
      const stopping = yield* Effect.forkChild(Fiber.interrupt(running))
      assert.deepStrictEqual(shown(yield* long.next), [Opcode.close, 1001, ""])
      for (const wire of [short, long]) {
        wire.send(close(1000))
        wire.end()
      }
      yield* Fiber.join(stopping)
    })
  )
})
