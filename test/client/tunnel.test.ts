/**
 * The client in a pipe: a TCP port whose connections lead through a WebSocket of our own to the proxy, and so to its target, as
 * `examples/tunnel.ts` has it. Every byte comes to the other end, and the end of one side is the end of both.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as Scope from "effect/Scope"
import * as SocketServer from "effect/socket/SocketServer"
import type * as Net from "node:net"
import * as Tunnel from "../../src/client/Tunnel.ts"
import { UpgradeDialer } from "../../src/client/UpgradeDialer.ts"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import * as NodeTcpListener from "../../src/node/NodeTcpListener.ts"
import * as NodeUpgradeDialer from "../../src/node/NodeUpgradeDialer.ts"
import * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import type { Target } from "../../src/proxy/Target.ts"
import { bytesOf, close, text } from "../connection/connected.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { heldBack, program, type Tcp } from "../proxy/tcp.ts"
import { eventually } from "../proxy/watch.ts"
import { countingFibers, leavesNothing } from "../server/resources.ts"
import { collectingLogs } from "../server/serving.ts"
import { requested, switching } from "./server.ts"

const MiB = 1024 * 1024
const total = 8 * MiB
const patience = 20_000

type Listening = NodeTcpListener.Options & NodeWebSocketClient.Options & Pick<Tunnel.Options, "onFailure">

/** A port that leads to the target, through a tunnel and a proxy, and what becomes of the tunnel's connections. */
const through = (
  listen: typeof NodeTcpListener.layer,
  connect: typeof NodeWebSocketClient.layer = NodeWebSocketClient.layer
) =>
  Effect.fnUntraced(function* (target: Target, { onFailure, ...options }: Listening = {}) {
    const proxy = yield* Proxy.serve({ target, closeTimeout: options.closeTimeout })
    const failures: Array<string> = []
    const scope = yield* Scope.fork(yield* Effect.scope)
    const context = yield* Layer.buildWithScope(
      Tunnel.layer({
        url: `ws://127.0.0.1:${proxy.port}`,
        onFailure: (error) => {
          failures.push(`${error._tag}: ${error.message}`)
          return onFailure?.(error) ?? Effect.void
        }
      }).pipe(Layer.provideMerge(Layer.merge(listen(options), connect({ closeTimeout: "2 seconds", ...options })))),
      scope
    )
    const { address } = Context.get(context, SocketServer.SocketServer)
    if (!NetAddress.isInetAddress(address)) return yield* Effect.die("it listens on an IP address")
    const client = Context.get(context, WebSocketClient.WebSocketClient)
    return { proxy, port: address.port, client, failures, stop: Scope.close(scope, Exit.void) }
  })

/** A server like others: it knows no handlers but effects that last as long as their connections. */
const keepingNone: typeof NodeTcpListener.layer = (options) =>
  Layer.effect(SocketServer.SocketServer)(
    Effect.map(SocketServer.SocketServer, ({ address, run }) => ({
      address,
      run: (handler) => run((socket) => handler(socket))
    }))
  ).pipe(Layer.provide(NodeTcpListener.layer(options)))

/** A client whose connections cannot be ended without a defect. */
const breaking: typeof NodeWebSocketClient.layer = (options) => {
  const { dial } = NodeUpgradeDialer.make()
  const broken = Effect.addFinalizer(() => Effect.die("it broke"))
  return WebSocketClient.layer(options).pipe(
    Layer.provide(Layer.succeed(UpgradeDialer)({ dial: (request) => Effect.andThen(broken, dial(request)) }))
  )
}

const checked = (socket: Net.Socket, seed: number) => {
  const checker = new Pattern.Checker(seed)
  socket.on("data", (chunk: Buffer) => checker.push(chunk))
  return checker
}

describe.each([
  ["whose connections the listener keeps", NodeTcpListener.layer],
  ["over a server that keeps none", keepingNone]
] as const)("a tunnel %s", (_how, listen) => {
  const tunnel = through(listen)

  it.live("carries every byte both ways at once, and what the program says before its end", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { port } = yield* tunnel(target.target)
      const tcp = yield* program({ host: "127.0.0.1", port })
      const down = checked(tcp.socket, 2)
      const connection = yield* target.accept
      const up = new Pattern.Checker(1)
      connection.sink = (chunk) => up.push(chunk)
      yield* Effect.all([tcp.writeAll(Pattern.pieces(1, total)), connection.writeAll(Pattern.pieces(2, total))], {
        concurrency: 2
      })
      yield* tcp.untilReceived(total, patience)
      tcp.socket.end()
      yield* connection.until("end", patience)
      connection.socket.end()
      assert.deepStrictEqual([up.fault, up.received, down.fault, down.received], [undefined, total, undefined, total])
      yield* tcp.until("end", patience)
    })
  )

  it.live("gives the program all that the target says before its end, however slowly it reads", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { client, port } = yield* tunnel(target.target)
      const tcp = yield* program({ host: "127.0.0.1", port })
      const down = checked(tcp.socket, 3)
      tcp.socket.pause()
      const connection = yield* target.accept
      connection.socket.end(Pattern.bytes(3, total))
      yield* Effect.sleep(300)
      // the tunnel has not read it all to the end, which nobody takes
      assert.strictEqual(yield* client.connections, 1)
      tcp.socket.resume()
      yield* tcp.until("end", patience)
      assert.deepStrictEqual([down.fault, down.received], [undefined, total])
      tcp.socket.end()
      yield* connection.until("end", patience)
    })
  )

  it.live("resets the program when the target was reset, once it has what came before", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { client, failures, port, proxy } = yield* tunnel(target.target)
      const tcp = yield* program({ host: "127.0.0.1", port })
      const down = checked(tcp.socket, 4)
      const connection = yield* target.accept
      connection.socket.write(Pattern.bytes(4, 1000))
      yield* tcp.untilReceived(1000)
      connection.socket.resetAndDestroy()
      yield* tcp.until("reset", patience)
      assert.deepStrictEqual([down.fault, down.received], [undefined, 1000])
      yield* tcp.until("closed", patience)
      yield* proxy.idle(patience)
      yield* eventually("the end of the connection", () => (failures.length > 0 ? 1 : undefined))
      assert.strictEqual(yield* client.connections, 0)
      assert.match(failures[0]!, /^WebSocketError: /)
    })
  )

  it.live("ends the target when the program was reset, and tells of the failure", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { failures, port } = yield* tunnel(target.target)
      const tcp = yield* program({ host: "127.0.0.1", port })
      const connection = yield* target.accept
      tcp.socket.write("hello")
      yield* connection.untilReceived(5)
      tcp.socket.resetAndDestroy()
      yield* connection.watch.until<true>("its end", () => connection.over, patience)
      connection.socket.end()
      yield* connection.until("closed", patience)
      yield* eventually("the failure", () => failures.find((text) => text.startsWith("SocketError")))
    })
  )

  it.live("resets the program when there is no connection for it", () =>
    Effect.gen(function* () {
      const { failures, port } = yield* tunnel(yield* RawTarget.nobody)
      const tcp = yield* program({ host: "127.0.0.1", port })
      yield* tcp.until("reset", patience)
      assert.match(
        failures.join(),
        /^WebSocketClientError: no connection to ws:\/\/127\.0\.0\.1:\d+\/: the server answered 502/
      )
    })
  )

  it.live("resets the program when a limit of its own is reached, whatever the server answers", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { failures, port } = yield* tunnel(target.target, { maxLifetime: "300 millis" })
      const tcp = yield* program({ host: "127.0.0.1", port })
      const connection = yield* target.accept
      connection.socket.write("half of an answer")
      yield* tcp.untilReceived(17)
      yield* tcp.until("reset", patience)
      yield* eventually("the failure", () => failures.find((text) => text.startsWith("WebSocketError")))
      yield* connection.until("end", patience)
      connection.socket.end()
    })
  )

  it.live.each([
    ["1000", close(1000), "end"],
    ["no code", { opcode: Opcode.close }, "end"],
    ["1001", close(1001), "reset"]
  ] as const)("of a server that closes with %s gives the program what came", ([, frame, ending]) =>
    Effect.gen(function* () {
      const server = yield* RawTarget.listen()
      const layer = Tunnel.layer({ url: `ws://127.0.0.1:${server.port}` }).pipe(
        Layer.provideMerge(Layer.merge(listen(), NodeWebSocketClient.layer({ closeTimeout: "2 seconds" })))
      )
      const { address } = Context.get(yield* Layer.build(layer), SocketServer.SocketServer)
      if (!NetAddress.isInetAddress(address)) return yield* Effect.die("it listens on an IP address")
      const tcp = yield* program({ host: "127.0.0.1", port: address.port })
      const connection = yield* server.accept
      yield* connection.write(Buffer.from(switching(yield* requested(connection))))
      yield* connection.write(bytesOf("server", [text("all of it"), frame]))
      yield* tcp.untilReceived(9)
      yield* tcp.until(ending, patience)
      tcp.socket.end()
      connection.socket.end()
    })
  )

  it.live("says at once what no connection could be made with", () =>
    Effect.gen(function* () {
      for (const options of [{ url: "redis.example" }, { url: "ws://a", headers: { upgrade: "x" } }]) {
        const error = yield* Effect.flip(
          Layer.build(Tunnel.layer(options).pipe(Layer.provide([NodeTcpListener.layer(), NodeWebSocketClient.layer()])))
        )
        assert.strictEqual(error._tag === "WebSocketClientError" && error.reason._tag, "InvalidRequest")
      }
    })
  )

  it.live("delivers what was said, and resets the program, when it is stopped; nobody else comes in then", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { port, stop } = yield* tunnel(target.target)
      const tcp = yield* program({ host: "127.0.0.1", port })
      const connection = yield* target.accept
      tcp.socket.write("up")
      connection.socket.write("down")
      yield* Effect.all([tcp.untilReceived(4), connection.untilReceived(2)])
      const stopping = yield* Effect.forkScoped(stop)
      const late = yield* program({ host: "127.0.0.1", port })
      yield* late.watch.until<true>("its end", () => late.over, patience)
      yield* connection.until("end", patience)
      yield* tcp.until("reset", patience)
      connection.socket.end()
      yield* Fiber.join(stopping)
    })
  )

  it.live("ends within its bounds when it is stopped, also with a program that takes nothing", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { port, stop } = yield* tunnel(target.target, { closeTimeout: "500 millis" })
      const tcp = yield* program({ host: "127.0.0.1", port })
      tcp.socket.pause()
      const connection = yield* target.accept
      // more than the system holds for both
      const writing = yield* Effect.forkScoped(connection.writeAll(Pattern.pieces(5, 8 * total)))
      yield* heldBack(connection)
      yield* Effect.timeoutOrElse(stop, { duration: patience, orElse: () => Effect.die("it has not ended") })
      yield* Fiber.interrupt(writing)
    })
  )

  it.live("ends when it is stopped, also if somebody is still being told of a failure", () =>
    Effect.gen(function* () {
      const { failures, port, stop } = yield* tunnel(yield* RawTarget.nobody, { onFailure: () => Effect.never })
      const tcp = yield* program({ host: "127.0.0.1", port })
      yield* tcp.until("reset", patience)
      yield* eventually("it is told", () => failures[0])
      yield* Effect.timeoutOrElse(stop, { duration: patience, orElse: () => Effect.die("it has not ended") })
    })
  )

  it.live("logs what goes wrong while somebody is told of a failure, and serves others", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port } = yield* tunnel(yield* RawTarget.nobody, { onFailure: () => Effect.die("it broke") })
        for (const _ of [1, 2]) yield* (yield* program({ host: "127.0.0.1", port })).until("reset", patience)
        const broken = () => (logs.filter(({ text }) => text.includes("it broke")).length === 2 ? true : undefined)
        yield* eventually("both are logged", broken)
      })
    )
  )

  it.live("tells of a failure also where something breaks at the end of the connection, and logs that", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const target = yield* RawTarget.listen()
        const { failures, port } = yield* through(listen, breaking)(target.target)
        const tcp = yield* program({ host: "127.0.0.1", port })
        const connection = yield* target.accept
        connection.socket.write("it is open")
        yield* tcp.untilReceived(10)
        connection.socket.resetAndDestroy()
        yield* tcp.until("closed", patience)
        yield* eventually("it is logged", () => logs.find(({ text }) => text.includes("it broke")))
        yield* eventually("it is told", () => failures.find((text) => text.startsWith("WebSocketError")))
        assert.strictEqual(failures.length, 1)
      })
    )
  )

  it.live("takes no more connections than it may", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { port } = yield* tunnel(target.target, { maxConnections: 1 })
      const first = yield* program({ host: "127.0.0.1", port })
      const connection = yield* target.accept
      const second = yield* program({ host: "127.0.0.1", port })
      yield* second.until("reset", patience)
      first.socket.end("bye")
      yield* connection.until("end", patience)
      assert.strictEqual(connection.text, "bye")
      connection.socket.end()
    })
  )
})

/** A target that says what it hears, and ends when it is ended. */
const parrot = RawTarget.listen({
  onConnection: (connection) => {
    connection.sink = (chunk) => {
      if (chunk.includes("bye")) connection.socket.end(chunk)
      else if (chunk.includes("fail")) connection.socket.resetAndDestroy()
      else connection.socket.write(chunk)
    }
    connection.socket.on("end", () => connection.socket.end())
  }
})

describe("a connection through a tunnel", () => {
  it.live("has no fiber while nothing comes, and both sides are heard", () =>
    countingFibers((fibers) =>
      Effect.gen(function* () {
        const { target } = yield* parrot
        const { client, failures, port, proxy } = yield* through(NodeTcpListener.layer)(target)
        const opened = Effect.gen(function* () {
          const tcp = yield* program({ host: "127.0.0.1", port })
          tcp.socket.write("one")
          yield* tcp.untilReceived(3)
          return tcp
        })
        const first = yield* opened
        const before = fibers.active
        const others = yield* Effect.forEach(Array.from({ length: 20 }), () => opened)
        assert.strictEqual(yield* client.connections, 21)
        yield* eventually("no fiber is left", () => (fibers.active <= before ? true : undefined))
        for (const { socket } of [first, ...others]) socket.write("bye")
        for (const tcp of [first, ...others]) {
          yield* tcp.until("end", patience)
          assert.strictEqual(tcp.received, 6)
          tcp.socket.end()
          yield* tcp.until("closed", patience)
        }
        yield* proxy.idle()
        assert.deepStrictEqual(failures, [])
      })
    )
  )

  it.live("leaves no socket, timer or fiber behind, however it ends", () =>
    countingFibers((fibers) =>
      Effect.gen(function* () {
        const { target } = yield* parrot
        const { failures, port, proxy } = yield* through(NodeTcpListener.layer)(target, {
          closeTimeout: "100 millis"
        })
        const unreachable = yield* through(NodeTcpListener.layer)(yield* RawTarget.nobody)
        const visit = (port: number, end: (tcp: Tcp) => Effect.Effect<unknown>) =>
          Effect.scoped(
            Effect.gen(function* () {
              const tcp = yield* program({ host: "127.0.0.1", port })
              yield* end(tcp)
              tcp.socket.end()
              yield* tcp.until("closed", patience)
            })
          )
        const said = (word: string) => (tcp: Tcp) => tcp.write(Buffer.from(word))
        const heard = (word: string) => (tcp: Tcp) => Effect.andThen(said(word)(tcp), tcp.untilReceived(3, patience))
        const reset = (tcp: Tcp) => Effect.sync(() => tcp.socket.resetAndDestroy())
        const visits = [
          visit(port, heard("one")),
          visit(port, said("one")),
          visit(port, () => Effect.void),
          visit(port, heard("bye")),
          visit(port, said("fail")),
          visit(port, reset),
          visit(port, (tcp) => Effect.andThen(heard("one")(tcp), reset(tcp))),
          visit(unreachable.port, said("one")),
          visit(unreachable.port, reset)
        ]
        yield* leavesNothing(fibers, Array.from({ length: 3 }, () => visits).flat(), proxy.idle(), "300 millis")
        assert.isAbove(failures.length, 0)
      })
    )
  )
})
