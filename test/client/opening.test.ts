/**
 * From the request to an open connection: an answer in whatever pieces, what comes right behind it, no answer at all, and nobody who
 * waits for it any more. Whatever fails leaves nothing behind.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Exit, Fiber, Scope, Stream } from "effect"
import { subscribe, unsubscribe } from "node:diagnostics_channel"
import type { WebSocketClientErrorReason } from "../../src/client/WebSocketClientError.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { bytesOf, close, shown, text } from "../connection/connected.ts"
import { soon } from "../proxy/connected.ts"
import * as DeafTarget from "../proxy/deafTarget.ts"
import { sockets } from "../proxy/firewall.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually, pass } from "../proxy/watch.ts"
import { heldBy, make } from "./client.ts"
import { answered, type Changes, dialled, openAt, Peer, requested, switching, turns } from "./server.ts"

const url = ({ port }: { readonly port: number }, scheme = "ws") => `${scheme}://127.0.0.1:${port}/`

describe("an answer that opens", { timeout: 30_000 }, () => {
  it.live("needs no request of node:http, unless it is of an unusual shape", () =>
    Effect.gen(function* () {
      let count = 0
      const onRequest = () => void count++
      subscribe("http.client.request.start", onRequest)
      yield* Effect.addFinalizer(() => Effect.sync(() => unsubscribe("http.client.request.start", onRequest)))
      for (const [changes, expected] of [
        [{}, 0],
        [{ "Content-Length": "0" }, 1]
      ] as const) {
        const { connecting, connection, request } = yield* dialled()
        yield* connection.write(Buffer.from(switching(request, changes)))
        yield* Fiber.join(connecting)
        assert.strictEqual(count, expected)
        yield* connection.release
      }
    })
  )

  it.live("loses no byte that comes in one packet with it", () =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled()
      const frames = bytesOf("server", [text("one"), { opcode: Opcode.ping }, text("two"), close(4000, "bye")])
      yield* connection.write(Buffer.concat([Buffer.from(switching(request)), frames]))
      const peer = new Peer(connection)
      const webSocket = yield* Fiber.join(connecting)
      assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), ["one", "two"])
      assert.deepStrictEqual(yield* webSocket.closed, { code: 4000, reason: "bye", wasClean: true })
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.pong, ""])
      assert.deepStrictEqual(shown(yield* peer.next), [Opcode.close, 4000, ""])
      yield* connection.release
    })
  )

  it.live("loses none of many that come behind it before anybody reads", () =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled()
      const messages = Array.from({ length: 300 }, (_, i) => `${i}:`.padEnd(1000, "x"))
      const frames = bytesOf("server", [...messages.map(text), close(1000)])
      yield* connection.write(Buffer.concat([Buffer.from(switching(request)), frames]))
      const webSocket = yield* Fiber.join(connecting)
      yield* Effect.andThen(turns, pass(20))
      assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), messages)
      yield* connection.release
    })
  )

  it.live("is read byte by byte, with frames behind it", () =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled({ asking: { subprotocols: ["a"] } })
      const answer = Buffer.from(switching(request, { "Sec-WebSocket-Protocol": "a" }))
      for (const byte of Buffer.concat([answer, bytesOf("server", [text("one"), close(1000)])])) {
        yield* connection.write(Uint8Array.of(byte))
        yield* turns
      }
      const webSocket = yield* Fiber.join(connecting)
      assert.strictEqual(webSocket.subprotocol, "a")
      assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), ["one"])
      yield* connection.release
    })
  )

  it.live("may be cut anywhere", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const client = yield* make()
      for (let at = 1; ; at += 7) {
        const connecting = yield* Effect.forkChild(client.connect(url(listener)), { startImmediately: true })
        const connection = yield* listener.accept
        const head = Buffer.from(switching(yield* requested(connection)))
        const bytes = Buffer.concat([head, bytesOf("server", [text("one"), close(1000)])])
        yield* connection.write(bytes.subarray(0, at))
        yield* turns
        yield* connection.write(bytes.subarray(at))
        const webSocket = yield* Fiber.join(connecting)
        assert.deepStrictEqual(yield* Stream.runCollect(webSocket.messages), ["one"], `cut at ${at}`)
        yield* connection.end()
        if (at >= bytes.length) break
      }
    })
  )

  it.live("comes behind interim answers, of which there may be 16", () =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled()
      const interim = `HTTP/1.1 100 Continue\r\n\r\n${"HTTP/1.1 103 Early Hints\r\nlink: </a>\r\n\r\n".repeat(15)}`
      yield* connection.write(Buffer.from(`${interim}${switching(request)}`))
      const webSocket = yield* Fiber.join(connecting)
      assert.isFalse(webSocket.isCompressed)
      yield* connection.release
    })
  )

  it.live("has the server's FIN behind it: the connection is open, and then lost", () =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled()
      connection.socket.end(Buffer.concat([Buffer.from(switching(request)), bytesOf("server", [text("one")])]))
      const webSocket = yield* Fiber.join(connecting)
      const seen: Array<unknown> = []
      const error = yield* Effect.flip(
        Stream.runForEach(webSocket.messages, (message) => Effect.sync(() => seen.push(message)))
      )
      assert.deepStrictEqual(seen, ["one"])
      assert.strictEqual(error.reason._tag, "ConnectionLost")
    })
  )

  it.live("may have a head that is just not too large", () =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled()
      yield* connection.write(Buffer.from(switching(request, { "x-large": "x".repeat(15 * 1024) })))
      yield* Fiber.join(connecting)
      yield* connection.release
    })
  )
})

describe("no answer", { timeout: 30_000 }, () => {
  /** What the reason of an error is to be. */
  const is = (reason: WebSocketClientErrorReason, kind: string, words: string) => {
    assert.deepStrictEqual(
      [reason._tag, "kind" in reason && reason.kind, reason.message],
      ["NoAnswer", kind, `the server did not answer: it ${words}`]
    )
  }

  it.live.each([
    ["it ends the connection", "", "FIN"],
    ["it resets the connection", "", "reset"],
    ["it ends the connection in the middle of a head", "HTTP/1.1 101 Switching", "FIN"],
    ["it resets the connection in the middle of a head", "HTTP/1.1 101 Switching\r\nUpgrade: web", "reset"],
    ["it ends the connection behind an interim answer", "HTTP/1.1 100 Continue\r\n\r\n", "FIN"]
  ] as const)("%s", ([, answer, ending]) =>
    Effect.gen(function* () {
      is(yield* answered(answer, { ending }), "Lost", "ended the connection")
    })
  )

  it.live("but 101 in a version of HTTP that has none", () =>
    Effect.gen(function* () {
      const reason = yield* answered((request) => switching(request).replace("HTTP/1.1", "HTTP/1.0"))
      is(reason, "Unreadable", "answered 101 in HTTP/1.0")
    })
  )

  it.live.each([
    ["of SSH", "SSH-2.0-OpenSSH_9.6\r\n"],
    ["of SMTP", "220 mail.example ESMTP\r\n"],
    ["of a WebSocket without a handshake", "\x81\x05hello"],
    ["of TLS", "\x15\x03\x03\x00\x02\x02\x46"],
    ["of HTTP/2", "\x00\x00\x12\x04\x00\x00\x00\x00\x00"],
    ["of HTTP with a broken status", "HTTP/1.1 1x1 Switching\r\n\r\n"],
    ["of HTTP with a broken header", "HTTP/1.1 101 Switching\r\nUp grade : x\r\n\r\n"],
    ["of HTTP with two lengths", "HTTP/1.1 200 X\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nx"]
  ] as const)("but words %s", ([, answer]) =>
    Effect.gen(function* () {
      const reason = yield* answered(answer)
      is(reason, "Unreadable", "sent something that is not HTTP/1.1")
      assert.instanceOf("cause" in reason && reason.cause, Error)
    })
  )

  it.live.each([
    ["in one header", (request: string) => request.replace("\r\n", `\r\nx-large: ${"x".repeat(17_000)}\r\n`)],
    ["in many", (request: string) => request.replace("\r\n", `\r\n${"x-many: 123456789\r\n".repeat(1500)}`)],
    ["without an end", (request: string) => request.replace("\r\n\r\n", `\r\nx: ${"x".repeat(20_000)}`)]
  ] as const)("but a head that is too large: %s", ([, enlarge]) =>
    Effect.gen(function* () {
      const reason = yield* answered((request) => enlarge(switching(request)))
      is(reason, "Unreadable", "sent a head of more than 16384 bytes")
    })
  )

  it.live("but interim answers, again and again", () =>
    Effect.gen(function* () {
      const reason = yield* answered((request) => `${"HTTP/1.1 103 Wait\r\n\r\n".repeat(17)}${switching(request)}`)
      is(reason, "Unreadable", "answered more than 16 times with 1xx")
    })
  )

  it.live.each([
    ["an Upgrade header", { Upgrade: undefined }],
    ["a Connection header", { Connection: undefined }],
    ["a Connection header that names it", { Connection: "keep-alive" }]
  ] as ReadonlyArray<readonly [string, Changes]>)("but 101 without %s, which switches to nothing", ([, changes]) =>
    Effect.gen(function* () {
      const reason = yield* answered((request) => switching(request, changes))
      is(reason, "Unreadable", "answered 101 without Upgrade and Connection headers")
    })
  )

  const late = "said nothing, or not all of it, within 150 milliseconds"

  it.live.each([
    ["nothing", ""],
    ["half a head", "HTTP/1.1 101 Switching\r\nUpgrade: websocket\r\n"],
    ["an interim answer", "HTTP/1.1 100 Continue\r\n\r\n"]
  ] as const)("in time: %s", ([, answer]) =>
    Effect.gen(function* () {
      const { connecting, connection } = yield* dialled({ handshakeTimeout: 150 })
      if (answer !== "") yield* connection.write(Buffer.from(answer))
      const { reason } = yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      is(reason, "TimedOut", late)
      yield* connection.watch.until("the end", () => connection.over, soon)
    })
  )

  it.live("in time, however often something comes", () =>
    Effect.gen(function* () {
      const { connecting, connection } = yield* dialled({ handshakeTimeout: 150 })
      yield* connection.write(Buffer.from("HTTP/1.1 101 Switching\r\nx: "))
      yield* Effect.forkChild(Effect.forever(Effect.andThen(connection.write(Buffer.from("x")), pass(10))))
      const { reason } = yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      is(reason, "TimedOut", late)
    })
  )

  it.live("that is awaited: what a server says before it is asked is an answer, too", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen({
        onConnection: ({ socket }) => socket.end("HTTP/1.1 503 Full\r\nContent-Length: 0\r\n\r\n")
      })
      const { reason } = yield* Effect.flip((yield* make()).connect(url(listener)))
      assert.strictEqual(reason._tag === "Declined" && reason.status, 503, reason.message)
    })
  )
})

describe("no connection", { timeout: 30_000 }, () => {
  it.live("where nobody listens", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const error = yield* Effect.flip((yield* make()).connect(`ws://ann:s3cr3t@127.0.0.1:${port}/a?token=s3cr3t`))
      assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "Refused")
      assert.strictEqual(
        error.message,
        `no connection to ws://127.0.0.1:${port}/a: cannot connect to 127.0.0.1:${port}: The target refused the connection.`
      )
    })
  )

  it.live("where the name is none's", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* make()).connect("ws://nowhere.invalid/"))
      assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "NameNotFound")
    })
  )

  it.live("of TLS with a server that speaks something else", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen({
        onConnection: ({ socket }) => socket.write("HTTP/1.1 400 Bad Request\r\n\r\n")
      })
      const error = yield* Effect.flip((yield* make()).connect(url(listener, "wss")))
      assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "TlsFailed", error.message)
      const [connection] = listener.connections
      yield* connection!.watch.until("the end", () => connection!.over, soon)
    })
  )

  it.live("of TLS in time", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const error = yield* Effect.flip((yield* make({ dialTimeout: 200 })).connect(url(listener, "wss")))
      assert.strictEqual(error.reason._tag === "DialError" && error.reason.kind, "TimedOut", error.message)
    })
  )
})

describe("who does not wait any more", { timeout: 30_000 }, () => {
  const until = (what: string, count: () => boolean) => eventually(what, count, soon)

  it.live("for a connection: the socket is gone at once", () =>
    Effect.gen(function* () {
      const { port } = yield* DeafTarget.make
      const client = yield* make({ dialTimeout: "60 seconds" })
      const before = sockets()
      const connecting = yield* Effect.forkChild(client.connect(url({ port })), { startImmediately: true })
      yield* until("a socket", () => sockets() > before)
      yield* Fiber.interrupt(connecting)
      yield* until("the socket to be gone", () => sockets() <= before)
    })
  )

  it.live.each(["ws", "wss"])("for an answer over %s: the socket is gone at once", (scheme) =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const client = yield* make({ dialTimeout: "60 seconds", handshakeTimeout: "60 seconds" })
      const connecting = yield* Effect.forkChild(client.connect(url(listener, scheme)), { startImmediately: true })
      const connection = yield* listener.accept
      yield* connection.untilReceived(1)
      const exit = yield* Effect.exit(Fiber.interrupt(connecting))
      assert.isTrue(Exit.isSuccess(exit))
      yield* connection.watch.until("the end", () => connection.over, soon)
      assert.strictEqual(yield* client.connections, 0)
    })
  )

  it.live("for the rest of an answer: the socket is gone at once", () =>
    Effect.gen(function* () {
      for (const answer of ["HTTP/1.1 101 Switching\r\nUpg", "HTTP/1.1 500 X\r\n\r\nhello"]) {
        const { connecting, connection } = yield* dialled({ handshakeTimeout: "60 seconds" })
        yield* connection.write(Buffer.from(answer))
        yield* turns
        yield* Fiber.interrupt(connecting)
        yield* connection.watch.until("the end", () => connection.over, soon)
      }
    })
  )

  it.live("since the scope has ended", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const client = yield* make({ handshakeTimeout: "60 seconds" })
      const scope = yield* Scope.make()
      const connecting = yield* Effect.forkChild(Scope.provide(client.connect(url(listener)), scope), {
        startImmediately: true
      })
      const connection = yield* listener.accept
      yield* requested(connection)
      yield* Scope.close(scope, Exit.void)
      yield* connection.watch.until("the end", () => connection.over, soon)
      const { reason } = yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      assert.strictEqual(reason._tag, "NoAnswer")
    })
  )
})

describe("many attempts in one scope", { timeout: 30_000 }, () => {
  const answers: ReadonlyArray<(key: Parameters<typeof switching>[0]) => string | undefined> = [
    () => undefined,
    () => "nonsense\r\n\r\n",
    () => "HTTP/1.1 302 Found\r\nLocation: /\r\nContent-Length: 0\r\n\r\n",
    () => "HTTP/1.1 500 X\r\n\r\nno end",
    (request) => switching(request, { "Sec-WebSocket-Accept": "x" }),
    (request) => switching(request, { "Sec-WebSocket-Protocol": "x" })
  ]

  it.live("leave nothing in it, and no socket, however they fail", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const nobody = yield* RawTarget.nobody
      const client = yield* make({ handshakeTimeout: 300 })
      const scope = yield* Scope.make()
      const before = sockets()
      const attempt = (to: string) => Scope.provide(client.connect(to), scope)
      for (let round = 0; round < 3; round++) {
        for (const answer of answers) {
          const connecting = yield* Effect.forkChild(attempt(url(listener)), { startImmediately: true })
          const connection = yield* listener.accept
          const bytes = answer(yield* requested(connection))
          if (bytes !== undefined) yield* connection.write(Buffer.from(bytes))
          yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
          yield* connection.watch.until("the end", () => connection.over, soon)
          assert.strictEqual(heldBy(scope), 0)
        }
        yield* Effect.flip(attempt(url(nobody)))
        yield* Effect.flip(attempt("ws://h:0/"))
        const connecting = yield* Effect.forkChild(attempt(url(listener)), { startImmediately: true })
        yield* requested(yield* listener.accept)
        yield* Fiber.interrupt(connecting)
        assert.strictEqual(heldBy(scope), 0)
      }
      yield* eventually("the sockets to be gone", () => openAt(listener) === 0, soon)
      for (const connection of listener.connections) yield* connection.release
      yield* eventually("our sockets to be gone", () => sockets() <= before, soon)
      assert.strictEqual(yield* client.connections, 0)

      // and the next one may be
      const connecting = yield* Effect.forkChild(attempt(url(listener)), { startImmediately: true })
      const connection = yield* listener.accept
      yield* connection.write(Buffer.from(switching(yield* requested(connection))))
      yield* Fiber.join(connecting)
      assert.strictEqual(yield* client.connections, 1)
      assert.strictEqual(heldBy(scope), 1)
      yield* connection.release
      yield* Scope.close(scope, Exit.void)
      assert.strictEqual(yield* client.connections, 0)
    })
  )
})
