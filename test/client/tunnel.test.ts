/**
 * The client in a pipe: a TCP port whose connections lead through a WebSocket of our own to the proxy, and so to its target, as
 * `examples/tunnel.ts` has it. Every byte comes to the other end, and the end of one side is the end of both.
 */
import * as NodeSocketServer from "@effect/platform-node/NodeSocketServer"
import { assert, describe, it } from "@effect/vitest"
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as NetAddress from "effect/net/NetAddress"
import * as SocketServer from "effect/socket/SocketServer"
import * as Net from "node:net"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import type { Target } from "../../src/proxy/Target.ts"
import * as WebSocketProxy from "../../src/proxy/WebSocketProxy.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { Tcp } from "../proxy/tcp.ts"

const MiB = 1024 * 1024
const total = 8 * MiB
const patience = 20_000

/** A port that leads to the target, through a tunnel and a proxy, and what becomes of the tunnel's connections. */
const tunnel = Effect.fnUntraced(function* (target: Target) {
  const proxy = yield* Proxy.serve({ target })
  const context = yield* Layer.build(
    Layer.merge(
      NodeSocketServer.layer({ host: "127.0.0.1", port: 0, allowHalfOpen: true }),
      NodeWebSocketClient.layer()
    )
  )
  const server = Context.get(context, SocketServer.SocketServer)
  const client = Context.get(context, WebSocketClient.WebSocketClient)
  const failures: Array<string> = []
  yield* Effect.forkScoped(
    server.run((tcp) =>
      client.connect(`ws://127.0.0.1:${proxy.port}`).pipe(
        Effect.flatMap((webSocket) => WebSocketProxy.pipeWebSocket(webSocket, tcp)),
        Effect.scoped,
        Effect.tapError((error) => Effect.sync(() => void failures.push(error.message))),
        Effect.catch(() => Effect.scoped(tcp.reader))
      )
    )
  )
  if (!NetAddress.isInetAddress(server.address)) return yield* Effect.die("it listens on an IP address")
  return { port: server.address.port, proxy, client, failures }
})

/** A program that speaks TCP. */
const program = (port: number) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => Net.connect({ host: "127.0.0.1", port, allowHalfOpen: true })),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => new Tcp(socket)
  )

/** Writes a stream as fast as it is taken. */
const writeAll = (socket: Net.Socket, seed: number) =>
  Effect.promise(async () => {
    for (const piece of Pattern.pieces(seed, total)) {
      if (!socket.write(piece)) await new Promise((resolve) => socket.once("drain", resolve))
    }
  })

const checked = (socket: Net.Socket, seed: number) => {
  const checker = new Pattern.Checker(seed)
  socket.on("data", (chunk: Buffer) => checker.push(chunk))
  return checker
}

describe("a tunnel", () => {
  it.live("carries every byte both ways at once, and what the program says before its end", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { port } = yield* tunnel(target.target)
      const tcp = yield* program(port)
      const down = checked(tcp.socket, 2)
      const connection = yield* target.accept
      const up = new Pattern.Checker(1)
      connection.sink = (chunk) => up.push(chunk)
      yield* Effect.all([writeAll(tcp.socket, 1), writeAll(connection.socket, 2)], { concurrency: 2 })
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
      const tcp = yield* program(port)
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

  it.live("ends the program when the target is gone or cannot be reached, and leaves nothing open", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const one = yield* tunnel(target.target)
      const tcp = yield* program(one.port)
      const connection = yield* target.accept
      connection.socket.resetAndDestroy()
      yield* tcp.watch.until<true>("its end", () => tcp.over)
      tcp.socket.end()
      yield* one.proxy.idle(patience)
      yield* tcp.until("closed", patience)
      assert.strictEqual(yield* one.client.connections, 0)

      const none = yield* tunnel(yield* RawTarget.nobody)
      const other = yield* program(none.port)
      yield* other.watch.until<true>("its end", () => other.over)
      other.socket.end()
      yield* other.until("closed", patience)
      assert.strictEqual(none.failures.length, 1)
      assert.match(
        none.failures[0]!,
        /^no connection to ws:\/\/127\.0\.0\.1:\d+\/: the server answered 502 instead of 101$/
      )
    })
  )
})
