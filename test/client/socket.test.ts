/**
 * A client as effect's `Socket`: whoever acquires the reader connects, and again each time; whoever writes waits for that. And what
 * takes such a socket: the client of effect/rpc, which goes on when the server has dropped its connection.
 */
import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Exit, Fiber, Layer, Schedule, Schema, Scope, Stream } from "effect"
import { NetAddress } from "effect/net"
import { Rpc, RpcClient, RpcClientError, RpcGroup, RpcSerialization, RpcServer } from "effect/rpc"
import { Socket, SocketServer } from "effect/socket"
import * as Net from "node:net"
import { performance } from "node:perf_hooks"
import type { Asking } from "../../src/client/WebSocketClient.ts"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import { WebSocketClientError } from "../../src/client/WebSocketClientError.ts"
import * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import { close, shown, text } from "../connection/connected.ts"
import { soon } from "../proxy/connected.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { pass } from "../proxy/watch.ts"
import { Peer, requested, switching, turns } from "./server.ts"

const urlOf = ({ port }: { readonly port: number }) => `ws://127.0.0.1:${port}/`

const socketTo = (url: string, options: NodeWebSocketClient.Options = {}, asking?: Asking) =>
  Effect.map(
    Layer.build(Layer.provide(WebSocketClient.layerSocket(url, asking), NodeWebSocketClient.layer(options))),
    Context.get(Socket.Socket)
  )

/** A reader in a scope of its own, once the server has let it in; and the server's end. */
const reading = Effect.fnUntraced(function* (socket: Socket.Socket, listener: RawTarget.RawTarget) {
  const scope = yield* Scope.make()
  const acquiring = yield* Effect.forkChild(Scope.provide(socket.reader, scope), { startImmediately: true })
  const connection = yield* listener.accept
  const request = yield* requested(connection)
  const peer = new Peer(connection)
  yield* connection.write(Buffer.from(switching(request)))
  const reader = yield* Fiber.join(acquiring)
  const leave = Scope.close(scope, Exit.void)
  yield* Effect.addFinalizer(() => Effect.andThen(connection.release, leave))
  return { reader, connection, peer, request, leave }
})

/** Plays the server's part to the end: gives the next frame, which is to be a Close, and answers it. */
const part = ({ connection, peer }: { readonly connection: RawTarget.TargetConnection; readonly peer: Peer }) =>
  Effect.gen(function* () {
    const frame = yield* peer.next
    yield* peer.send(close(1000))
    yield* connection.end()
    return shown(frame)
  })

describe("a client as a Socket", { timeout: 30_000 }, () => {
  it.live("connects when its reader is acquired, and writes wait until it is open", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const writer = yield* socket.writer
      const writes = yield* Effect.forkChild(
        Effect.all([writer.write("one"), writer.writeAll(["two", "three"]), writer.write(new Uint8Array([4]))], {
          concurrency: "unbounded"
        }),
        { startImmediately: true }
      )
      const abandoned = yield* Effect.forkChild(writer.write("never"), { startImmediately: true })
      yield* pass(50)
      assert.lengthOf(listener.connections, 0)
      assert.isUndefined(writes.pollUnsafe())
      yield* Fiber.interrupt(abandoned)

      const { peer } = yield* reading(socket, listener)
      yield* Fiber.join(writes)
      yield* writer.write("five")
      const frames: Array<ReadonlyArray<unknown>> = []
      for (let i = 0; i < 5; i++) frames.push(shown(yield* peer.next))
      assert.deepStrictEqual(frames, [
        [Opcode.text, "one"],
        [Opcode.text, "two"],
        [Opcode.text, "three"],
        [Opcode.binary, "\u0004"],
        [Opcode.text, "five"]
      ])
      assert.lengthOf(listener.connections, 1)
      assert.strictEqual(peer.waiting, 0)
    })
  )

  it.live("asks for what it is told to", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener), {}, { subprotocols: ["a"], headers: { "x-own": "b" } })
      const { request } = yield* reading(socket, listener)
      assert.deepStrictEqual(request.all("sec-websocket-protocol"), ["a"])
      assert.deepStrictEqual(request.all("x-own"), ["b"])
    })
  )

  it.live("gives messages, and the server's Close as a SocketCloseError", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { peer, reader } = yield* reading(yield* socketTo(urlOf(listener)), listener)
      yield* peer.send(text("one"), { opcode: Opcode.binary, payload: new Uint8Array([2]) })
      assert.deepStrictEqual([...(yield* reader.pull)], ["one", new Uint8Array([2])])
      yield* peer.send(close(4000, "bye"))
      // and for good
      for (let i = 0; i < 2; i++) {
        const { reason } = yield* Effect.flip(reader.pull)
        assert.deepStrictEqual(reason._tag === "SocketCloseError" && [reason.code, reason.closeReason], [4000, "bye"])
      }
      assert.strictEqual((yield* Effect.flip(reader.upgrade())).reason._tag, "SocketUpgradeError")
    })
  )

  it.live("gives the loss of the connection as a SocketCloseError of 1006", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { connection, reader } = yield* reading(yield* socketTo(urlOf(listener)), listener)
      const pulling = yield* Effect.forkChild(reader.pull, { startImmediately: true })
      yield* connection.reset()
      const { reason } = yield* Effect.flip(Fiber.join(pulling))
      assert.strictEqual(reason._tag === "SocketCloseError" && reason.code, 1006)
    })
  )

  it.live("closes in order when its reader is released, and a pull that waits fails", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const open = yield* reading(yield* socketTo(urlOf(listener)), listener)
      const pulling = yield* Effect.forkChild(open.reader.pull, { startImmediately: true })
      const leaving = yield* Effect.forkChild(open.leave, { startImmediately: true })
      assert.deepStrictEqual(yield* part(open), [Opcode.close, 1000, ""])
      assert.strictEqual((yield* Effect.flip(Fiber.join(pulling))).reason._tag, "SocketCloseError")
      yield* Fiber.join(leaving)
      yield* open.connection.until("closed", soon)
    })
  )

  it.live("closes with the code of a CloseEvent that is written", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const { peer, reader } = yield* reading(socket, listener)
      const pulling = yield* Effect.forkChild(reader.pull, { startImmediately: true })
      const writer = yield* socket.writer
      const closing = yield* Effect.forkChild(writer.write(new Socket.CloseEvent(4321, "done")))
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 4321, "done"])
      yield* peer.send(close(4321))
      yield* Fiber.join(closing)
      const { reason } = yield* Effect.flip(Fiber.join(pulling))
      assert.strictEqual(reason._tag === "SocketCloseError" && reason.code, 4321)
    })
  )

  it.live("connects anew when its reader is acquired again, and writes go there", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const writer = yield* socket.writer
      for (let round = 1; round <= 3; round++) {
        const waiting = yield* Effect.forkChild(writer.write(`waited ${round}`), { startImmediately: true })
        yield* turns
        assert.isUndefined(waiting.pollUnsafe())
        const open = yield* reading(socket, listener)
        yield* Fiber.join(waiting)
        yield* writer.write(`wrote ${round}`)
        assert.deepStrictEqual(shown(yield* open.peer.next), [Opcode.text, `waited ${round}`])
        assert.deepStrictEqual(shown(yield* open.peer.next), [Opcode.text, `wrote ${round}`])
        const leaving = yield* Effect.forkChild(open.leave, { startImmediately: true })
        // while it is being left, too
        const next = yield* Effect.forkChild(writer.write("to nobody"), { startImmediately: true })
        assert.strictEqual((yield* part(open))[1], 1000)
        yield* Fiber.join(leaving)
        yield* Fiber.interrupt(next)
        assert.lengthOf(listener.connections, round)
      }
    })
  )

  it.live("has who writes when the connection has just ended wait for the next one", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const writer = yield* socket.writer
      const open = yield* reading(socket, listener)
      yield* open.peer.send(close(1000))
      yield* Effect.flip(open.reader.pull)
      // nobody has let go of the reader
      const writing = yield* Effect.forkChild(writer.write("hello"), { startImmediately: true })
      yield* turns
      assert.isUndefined(writing.pollUnsafe())
      yield* open.connection.end()
      yield* open.leave
      const next = yield* reading(socket, listener)
      yield* Fiber.join(writing)
      assert.deepStrictEqual(shown(yield* next.peer.next), [Opcode.text, "hello"])
    })
  )

  it.live("tells who writes what cannot be written, and goes on", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const { peer } = yield* reading(socket, listener)
      const writer = yield* socket.writer
      // RFC 6455 section 7.4.1: no endpoint may send it
      const { reason } = yield* Effect.flip(writer.write(new Socket.CloseEvent(1006)))
      assert.strictEqual(reason._tag, "SocketWriteError")
      yield* writer.write("hello")
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "hello"])
    })
  )

  it.live("makes nobody busy who waits to write, also after a connection", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const writer = yield* socket.writer
      const open = yield* reading(socket, listener)
      const leaving = yield* Effect.forkChild(open.leave, { startImmediately: true })
      yield* part(open)
      yield* Fiber.join(leaving)
      yield* Effect.forkChild(writer.write("to nobody"), { startImmediately: true })
      const before = performance.eventLoopUtilization()
      yield* pass(200)
      assert.isBelow(performance.eventLoopUtilization(before).utilization, 0.5)
    })
  )

  it.live("writes to the connection that was opened last, whatever becomes of one before", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const writer = yield* socket.writer
      const first = yield* reading(socket, listener)
      const second = yield* reading(socket, listener)
      const leaving = yield* Effect.forkChild(first.leave, { startImmediately: true })
      yield* part(first)
      yield* Fiber.join(leaving)
      yield* writer.write("hello")
      assert.deepStrictEqual(shown(yield* second.peer.next), [Opcode.text, "hello"])
    })
  )

  it.live("does not end the connection when a writer is released", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const { peer } = yield* reading(socket, listener)
      for (const message of ["one", "two"]) {
        yield* Effect.scoped(Effect.flatMap(socket.writer, (writer) => writer.write(message)))
        assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, message])
      }
      assert.strictEqual(peer.waiting, 0)
    })
  )
})

describe("a Socket that does not open", { timeout: 30_000 }, () => {
  const failure = Effect.fnUntraced(function* (url: string, options?: NodeWebSocketClient.Options) {
    const socket = yield* socketTo(url, options)
    const { reason } = yield* Effect.flip(Effect.scoped(socket.reader))
    if (reason._tag !== "SocketOpenError") return yield* Effect.die(new Error(reason._tag))
    const { cause, kind } = reason
    if (!(cause instanceof WebSocketClientError)) return yield* Effect.die(new Error("another cause"))
    return [kind, cause.reason._tag]
  })

  it.live("says so, with the error of the client as its cause", () =>
    Effect.gen(function* () {
      const nobody = yield* RawTarget.nobody
      assert.deepStrictEqual(yield* failure(urlOf(nobody)), ["Unknown", "DialError"])
      assert.deepStrictEqual(yield* failure("ws://h:0/"), ["Unknown", "InvalidRequest"])
      const answering = (answer: string) => RawTarget.listen({ onConnection: ({ socket }) => socket.write(answer) })
      const declining = yield* answering("HTTP/1.1 404 X\r\nContent-Length: 0\r\n\r\n")
      assert.deepStrictEqual(yield* failure(urlOf(declining)), ["Unknown", "Declined"])
      const other = yield* answering("220 mail.example\r\n\r\n")
      assert.deepStrictEqual(yield* failure(urlOf(other)), ["Unknown", "NoAnswer"])
    })
  )

  it.live("in time has the kind Timeout", () =>
    Effect.gen(function* () {
      const silent = yield* RawTarget.listen()
      assert.deepStrictEqual(yield* failure(urlOf(silent), { handshakeTimeout: 100 }), ["Timeout", "NoAnswer"])
      const url = urlOf(silent).replace("ws:", "wss:")
      assert.deepStrictEqual(yield* failure(url, { dialTimeout: 100 }), ["Timeout", "DialError"])
    })
  )

  it.live("lets those wait who write, and opens at the next attempt", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const socket = yield* socketTo(urlOf(listener))
      const writer = yield* socket.writer
      const writing = yield* Effect.forkChild(writer.write("patience"), { startImmediately: true })
      const acquiring = yield* Effect.forkChild(Effect.scoped(socket.reader), { startImmediately: true })
      const connection = yield* listener.accept
      yield* connection.reset()
      yield* Effect.flip(Fiber.join(acquiring))
      assert.isUndefined(writing.pollUnsafe())
      const { peer } = yield* reading(socket, listener)
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.text, "patience"])
      yield* Fiber.join(writing)
    })
  )
})

class Failure extends Schema.TaggedError<Failure>()("Failure", { why: Schema.String }) {}

class Calls extends RpcGroup.make(
  Rpc.make("Greet", { payload: { name: Schema.String }, success: Schema.String, error: Failure }),
  Rpc.make("Count", { payload: { to: Schema.Int }, success: Schema.Int, stream: true }),
  Rpc.make("Wait", {})
) {}

const Handlers = Calls.toLayer({
  Greet: ({ name }) =>
    name === "" ? Effect.fail(new Failure({ why: "nobody to greet" })) : Effect.succeed(`Hello, ${name}!`),
  Count: ({ to }) => Stream.range(1, to),
  Wait: () => Effect.never
})

/** A server of calls, and its port. */
const serving = Effect.fnUntraced(function* (options: Partial<NodeWebSocketServer.Options> = {}) {
  const context = yield* Layer.build(
    RpcServer.layer(Calls).pipe(
      Layer.provide(Handlers),
      Layer.provide(RpcServer.layerProtocolSocketServer),
      Layer.provideMerge(WebSocketServer.layerSocketServer),
      Layer.provide(NodeWebSocketServer.layer({ port: 0, ...options })),
      Layer.provide(RpcSerialization.layerNdjson)
    )
  )
  const { address } = Context.get(context, SocketServer.SocketServer)
  return NetAddress.isInetAddress(address) ? address.port : yield* Effect.die("it listens on no port")
})

const calling = (port: number, options: NodeWebSocketClient.Options = {}) =>
  Effect.flatMap(
    Layer.build(
      RpcClient.layerProtocolSocket({ retryPolicy: Schedule.spaced("50 millis") }).pipe(
        Layer.provide(WebSocketClient.layerSocket(`ws://127.0.0.1:${port}`)),
        Layer.provide(NodeWebSocketClient.layer(options)),
        Layer.provide(RpcSerialization.layerNdjson)
      )
    ),
    (context) => Effect.provide(RpcClient.make(Calls), context)
  )

/** A port that leads to another, and whose connections can be dropped. */
const relay = (port: number) =>
  RawTarget.listen({
    onConnection: (connection) => {
      const up = Net.connect({ port, host: "127.0.0.1" })
      connection.sink = (chunk) => void up.write(chunk)
      up.on("data", (chunk) => void connection.socket.write(chunk))
      up.on("error", () => {})
      up.on("end", () => connection.socket.end())
      connection.socket.on("close", () => up.destroy())
    }
  })

describe("effect/rpc over a client", { timeout: 30_000 }, () => {
  for (const [how, options] of [
    ["plain", {}],
    ["compressed", { compression: { contextTakeover: true, threshold: 0 } }]
  ] as const) {
    it.live(`${how}: calls, typed failures, streams and many at a time come back`, () =>
      Effect.gen(function* () {
        const client = yield* calling(yield* serving(options), options)
        assert.strictEqual(yield* client.Greet({ name: "WebSocket" }), "Hello, WebSocket!")
        const failure = yield* Effect.flip(client.Greet({ name: "" }))
        assert.strictEqual(failure instanceof Failure && failure.why, "nobody to greet")
        const numbers = yield* Stream.runCollect(client.Count({ to: 2000 }))
        assert.deepStrictEqual([numbers.length, numbers[1999]], [2000, 2000])
        const names = Array.from({ length: 100 }, (_, i) => `${i}`.repeat(i + 1))
        assert.deepStrictEqual(
          yield* Effect.all(
            names.map((name) => client.Greet({ name })),
            { concurrency: "unbounded" }
          ),
          names.map((name) => `Hello, ${name}!`)
        )
      })
    )
  }

  it.live("goes on after the connection was dropped, and who waited is told", () =>
    Effect.gen(function* () {
      const listener = yield* relay(yield* serving())
      const client = yield* calling(listener.port)
      for (const drop of ["reset", "end"] as const) {
        // until it is connected again a call fails with what was last
        const greeting = client.Greet({ name: drop }).pipe(Effect.retry({ schedule: Schedule.spaced("20 millis") }))
        assert.strictEqual(yield* greeting, `Hello, ${drop}!`)
        const waiting = yield* Effect.forkChild(client.Wait(), { startImmediately: true })
        yield* pass(30)
        yield* listener.connections.at(-1)![drop]()
        const error = yield* Effect.flip(Fiber.join(waiting))
        assert.instanceOf(error, RpcClientError.RpcClientError)
        assert.strictEqual(yield* greeting, `Hello, ${drop}!`)
      }
      assert.isAtLeast(listener.connections.length, 3)
    })
  )

  it.live("goes on after the server has closed the connection", () =>
    Effect.gen(function* () {
      const port = yield* serving({ maxLifetime: "200 millis" })
      const client = yield* calling(port)
      for (let i = 0; i < 3; i++) {
        const greeting = client.Greet({ name: `${i}` }).pipe(Effect.retry({ schedule: Schedule.spaced("20 millis") }))
        assert.strictEqual(yield* greeting, `Hello, ${i}!`)
        // ends with the connection
        const error = yield* Effect.flip(client.Wait())
        assert.instanceOf(error, RpcClientError.RpcClientError)
      }
    })
  )
})
