/**
 * The ways to a server that a client knows without TLS: a unix socket, firewalls, a name with several addresses, and what a policy
 * leaves of them.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber, Layer, Stream } from "effect"
import * as Result from "effect/Result"
import * as Http from "node:http"
import * as Net from "node:net"
import { join } from "node:path"
import { WebSocketServer } from "ws"
import type { WebSocket } from "../../src/connection/WebSocket.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import * as TargetPolicy from "../../src/proxy/TargetPolicy.ts"
import { layerHandler } from "../../src/server/WebSocketServer.ts"
import { bytesOf, text } from "../connection/connected.ts"
import { temporary } from "../node/files.ts"
import { soon } from "../proxy/connected.ts"
import { connectProxy, kinds, play, socks5 } from "../proxy/firewall.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import * as Real from "../proxy/realFirewall.ts"
import { names } from "../proxy/resolving.ts"
import { echo, serving } from "../server/serving.ts"
import { make } from "./client.ts"
import { requested, switching } from "./server.ts"
import * as WsServer from "./wsServer.ts"

const host = "127.0.0.1"

const echoes = (webSocket: WebSocket) =>
  Effect.gen(function* () {
    yield* webSocket.send("hello")
    assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(webSocket.messages, 1)), ["hello"])
  })

/** Why a client does not get there. */
const dialFailure = Effect.fnUntraced(function* (url: string, options: Parameters<typeof make>[0] = {}) {
  const { message, reason } = yield* Effect.flip((yield* make(options)).connect(url))
  if (reason._tag !== "DialError") return yield* Effect.die(new Error(message))
  return reason
})

describe("a unix socket", { timeout: 30_000 }, () => {
  /** A server of ours at the path, and what it was asked for. */
  const listening = Effect.fnUntraced(function* (path: string) {
    const asked: Array<ReadonlyArray<string | undefined>> = []
    yield* Layer.build(
      layerHandler((webSocket, { headers, target }) => {
        asked.push([target, headers["host"], headers["authorization"]])
        return echo(webSocket)
      }).pipe(Layer.provide(NodeWebSocketServer.layer({ unix: { path } })))
    )
    return asked
  })

  it.live("of our own server is connected to, and asked for a path", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "ws.sock")
      const asked = yield* listening(path)
      const client = yield* make()
      for (const [url, target] of [
        [`ws+unix:${path}:/a/b?c=d`, "/a/b?c=d"],
        [`ws+unix:${path}`, "/"],
        [`ws+unix://${path}:c`, "/c"]
      ] as const) {
        yield* Effect.scoped(Effect.flatMap(client.connect(url), echoes))
        assert.deepStrictEqual(asked.pop(), [target, "localhost", undefined])
      }
      assert.strictEqual(yield* client.connections, 0)
    })
  )

  it.live("has whatever path a file may have, by escapes", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const client = yield* make()
      for (const name of ["a b", "a:b", "ü€", "100%", "a?b#c"]) {
        const path = join(folder, name)
        const asked = yield* listening(path)
        const url = `ws+unix:${join(folder, encodeURIComponent(name))}:/x`
        yield* Effect.scoped(Effect.flatMap(client.connect(url), echoes))
        assert.deepStrictEqual(asked, [["/x", "localhost", undefined]], name)
      }
    })
  )

  it.live("of ws is connected to, and closed in order", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "ws.sock")
      const http = Http.createServer()
      const visitors: Array<WsServer.Visitor> = []
      const server = new WebSocketServer({ server: http }).on("connection", (socket) => {
        const visitor = new WsServer.Visitor(socket)
        visitors.push(visitor)
        WsServer.echoing(visitor)
      })
      yield* Effect.acquireRelease(
        Effect.callback<void>((resume) => void http.listen(path, () => resume(Effect.void))),
        () => Effect.sync(() => void server.close(() => http.close()))
      )
      yield* Effect.scoped(Effect.flatMap((yield* make({ compression: {} })).connect(`ws+unix:${path}`), echoes))
      assert.strictEqual((yield* visitors[0]!.until("close")).code, 1000)
    })
  )

  it.live("that is not there, or too long for one, is not connected to", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      const absent = yield* dialFailure(`ws+unix:${join(folder, "none.sock")}:/`)
      assert.strictEqual(absent.kind, "Refused")
      const long = yield* dialFailure(`ws+unix:${join(folder, "x".repeat(200))}:/`)
      assert.strictEqual(long.kind, "Failed")
    })
  )

  it.live("is judged by the policy, and not reached through a firewall", () =>
    Effect.gen(function* () {
      const path = join(yield* temporary, "ws.sock")
      yield* listening(path)
      const url = `ws+unix:${path}:/`
      const policy = (allow: string) => Result.getOrThrow(TargetPolicy.make({ allow: [allow] }))
      assert.strictEqual((yield* dialFailure(url, { policy: policy("unix:/run/other.sock") })).kind, "NotAllowed")
      const firewall = new Firewall.Socks5({ host, port: 9 })
      yield* Effect.flatMap((yield* make({ policy: policy(`unix:${path}`), firewall })).connect(url), echoes)
    })
  )

  it.live("whose URL begins with an escape has no path with blanks, which would be two words of the request", () =>
    Effect.gen(function* () {
      const folder = yield* temporary
      yield* listening(join(folder, "ws.sock"))
      // such a URL is opaque, and nothing in it is escaped
      const url = `ws+unix:${encodeURIComponent(join(folder, "ws.sock"))}:/a b`
      const { reason } = yield* Effect.flip((yield* make()).connect(url))
      assert.strictEqual(reason._tag, "InvalidRequest", reason.message)
    })
  )
})

describe.each(kinds.map((kind) => [kind.name, kind] as const))("through %s", { timeout: 30_000 }, (_, kind) => {
  it.live("the server is asked, and no byte behind the answer is lost", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const client = yield* make({ firewall: kind.at(listener.port) })
      const connecting = yield* Effect.forkChild(client.connect("ws://192.0.2.7:5900/path"), {
        startImmediately: true
      })
      const connection = yield* listener.accept
      const asked = yield* play(connection, kind.steps)
      const request = yield* requested(connection, asked)
      assert.strictEqual(request.line, "GET /path HTTP/1.1")
      assert.deepStrictEqual(request.all("host"), ["192.0.2.7:5900"])
      // what a firewall is told is none of the server's business
      assert.deepStrictEqual(request.all("proxy-authorization"), [])
      yield* connection.write(Buffer.concat([Buffer.from(switching(request)), bytesOf("server", [text("behind")])]))
      const webSocket = yield* Fiber.join(connecting)
      assert.deepStrictEqual(yield* Stream.runCollect(Stream.take(webSocket.messages, 1)), ["behind"])
      yield* connection.release
    })
  )
})

describe("through firewalls", { timeout: 30_000 }, () => {
  it.live("of another make, one behind the other, all is as without", () =>
    Effect.gen(function* () {
      const { port, url } = yield* serving(echo)
      const first = yield* connectProxy(Http.createServer())
      const second = yield* connectProxy(Http.createServer())
      const firewall = [first, second].map(({ port }) => new Firewall.Tunnel({ host, port }))
      const webSocket = yield* (yield* make({ firewall })).connect(url)
      yield* echoes(webSocket)
      assert.deepStrictEqual(first.asked, [`${host}:${second.port}`])
      assert.deepStrictEqual(second.asked, [`${host}:${port}`])
      yield* webSocket.close(4000)
      assert.strictEqual((yield* webSocket.closed).code, 4000)
    })
  )

  it.live.each([
    ["microsocks", Real.microsocks, (port: number) => new Firewall.Socks5({ host, port })],
    ["tinyproxy", Real.tinyproxy, (port: number) => new Firewall.Tunnel({ host, port })]
  ] as const)("in use: %s", ([, program, at], context) =>
    Effect.gen(function* () {
      const absent = Real.missing(program)
      if (absent !== undefined) return context.skip(absent)
      const port = yield* Real.start(program)
      const server = yield* WsServer.listen({}, WsServer.echoing)
      yield* Effect.scoped(Effect.flatMap((yield* make({ firewall: at(port) })).connect(server.url), echoes))
      assert.strictEqual((yield* (yield* server.accept).until("close")).code, 1000)
    })
  )

  it.live("one of which refuses, or is not there", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen({
        onConnection: ({ socket }) => socket.write("HTTP/1.1 403 Filtered\r\n\r\n")
      })
      const url = "ws://192.0.2.7:5900/?secret"
      const refused = yield* dialFailure(url, { firewall: new Firewall.Tunnel({ host, port: listener.port }) })
      assert.strictEqual(refused.kind, "FirewallFailed")
      assert.strictEqual(
        refused.message,
        `cannot connect to 192.0.2.7:5900: The tunnel firewall ${host}:${listener.port} refused the connection: 403 Filtered.`
      )
      const nobody = yield* RawTarget.nobody
      assert.strictEqual((yield* dialFailure(url, { firewall: socks5.at(nobody.port) })).kind, "FirewallFailed")
    })
  )

  it.live("which is not asked any more when nobody waits", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const client = yield* make({ firewall: socks5.at(listener.port) })
      const connecting = yield* Effect.forkChild(client.connect("ws://192.0.2.7:5900/"), { startImmediately: true })
      const connection = yield* listener.accept
      yield* connection.untilReceived(1)
      yield* Fiber.interrupt(connecting)
      yield* connection.watch.until("the end", () => connection.over, soon)
    })
  )
})

describe("a name", { timeout: 30_000 }, () => {
  it.live("with several addresses leads to the first that answers, and is what Host says", () =>
    Effect.gen(function* () {
      const { port } = yield* serving((webSocket, { headers }) => webSocket.send(headers["host"] ?? ""))
      // nobody listens at the first two
      const { asked, dns } = names({ "many.example": ["127.0.0.2", "::1", "127.0.0.1"] })
      const webSocket = yield* (yield* make({ dns })).connect(`ws://MANY.example:${port}/`)
      assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), [`many.example:${port}`])
      assert.deepStrictEqual(asked, ["many.example"])
    })
  )

  it.live("in another script is looked up in ASCII", () =>
    Effect.gen(function* () {
      const { port } = yield* serving((webSocket, { headers }) => webSocket.send(headers["host"] ?? ""))
      const { asked, dns } = names({ "xn--bcher-kva.example": ["127.0.0.1"] })
      const webSocket = yield* (yield* make({ dns })).connect(`ws://bücher.example:${port}/`)
      assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), [`xn--bcher-kva.example:${port}`])
      assert.deepStrictEqual(asked, ["xn--bcher-kva.example"])
    })
  )

  it.live("none of whose addresses answers is said with all of them", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const { dns } = names({ "many.example": ["127.0.0.1", "127.0.0.2"] })
      const reason = yield* dialFailure(`ws://many.example:${port}/`, { dns })
      assert.strictEqual(reason.kind, "Refused")
    })
  )

  it.live("that leads elsewhere a moment later is tried again, if asked to", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      const { asked, dns } = names({ "moves.example": [["127.0.0.2"], ["127.0.0.1"]] })
      const client = yield* make({ dns, retries: 2, retryDelay: "1 millis" })
      yield* Effect.flatMap(client.connect(`ws://moves.example:${port}/`), echoes)
      assert.lengthOf(asked, 2)
    })
  )
})

describe("a server by its address", { timeout: 30_000 }, () => {
  it.live("of IPv6 is connected to", (context) =>
    Effect.gen(function* () {
      const probe = Net.createServer()
      const hasIpv6 = yield* Effect.callback<boolean>((resume) => {
        probe.once("error", () => resume(Effect.succeed(false)))
        probe.listen(0, "::1", () => probe.close(() => resume(Effect.succeed(true))))
      })
      if (!hasIpv6) return context.skip("this machine has no IPv6")
      const { port } = yield* serving((webSocket, { headers }) => webSocket.send(headers["host"] ?? ""), {
        host: "::1"
      })
      const webSocket = yield* (yield* make()).connect(`ws://[::1]:${port}/`)
      assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), [`[::1]:${port}`])
    })
  )
})

describe("a policy", { timeout: 30_000 }, () => {
  it.live("says what may be connected to, and a function is asked each time", () =>
    Effect.gen(function* () {
      const { port, url } = yield* serving(echo)
      const allowed = (...allow: ReadonlyArray<string>) => Result.getOrThrow(TargetPolicy.make({ allow }))
      assert.strictEqual((yield* dialFailure(url, { policy: TargetPolicy.unreserved })).kind, "NotAllowed")
      assert.strictEqual((yield* dialFailure(url, { policy: allowed("127.0.0.2") })).kind, "NotAllowed")
      yield* Effect.flatMap((yield* make({ policy: allowed(`127.0.0.1:${port}`) })).connect(url), echoes)

      const asked: Array<string> = []
      let policy = TargetPolicy.everything
      const client = yield* make({
        policy: (target) => {
          asked.push(String(target))
          return policy
        }
      })
      yield* Effect.flatMap(client.connect(url), echoes)
      policy = TargetPolicy.unreserved
      const error = yield* Effect.flip(client.connect(url))
      assert.isFalse(error.isTransient)
      assert.deepStrictEqual(asked, [`${host}:${port}`, `${host}:${port}`])
    })
  )

  it.live("judges each address of a name", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      const { dns } = names({ "many.example": ["127.0.0.2", "127.0.0.1"] })
      const deny = (address: string) => Result.getOrThrow(TargetPolicy.make({ deny: [address], reserved: "allowed" }))
      const url = `ws://many.example:${port}/`
      yield* Effect.flatMap((yield* make({ dns, policy: deny("127.0.0.2") })).connect(url), echoes)
      assert.strictEqual((yield* dialFailure(url, { dns, policy: deny("127.0.0.0/8") })).kind, "NotAllowed")
    })
  )
})
