/** What a connection over TLS carries, how it waits, and how it ends. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect, Fiber, Scope, Stream } from "effect"
import { Socket } from "effect/socket"
import { once } from "node:events"
import * as Net from "node:net"
import * as tls from "node:tls"
import type * as Transport from "../../src/connection/Transport.ts"
import { layOn } from "../../src/node/internal/reset.ts"
import * as NodeSocket from "../../src/node/NodeSocket.ts"
import { Refusal } from "../../src/server/OpenRequest.ts"
import * as TlsSettings from "../../src/tls/TlsSettings.ts"
import { close, text } from "../connection/connected.ts"
import { countingFibers, leavesNothing, obey } from "../server/resources.ts"
import { collectingLogs, deciding, eventually, noneOpen, serving, steady } from "../server/serving.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { fromNode } from "./hellos.ts"
import { dial, echoing, localhost, tcp, upgraded, withTls } from "./listening.ts"

/** Bytes that tell where they belong. */
const pattern = (size: number): Buffer =>
  Buffer.from(Uint32Array.from({ length: size / 4 }, (_, i) => i * 2654435761).buffer)

describe("over TLS", () => {
  it.live.each(["TLSv1.2", "TLSv1.3"] as const)("big messages come intact, both ways: %s", (maxVersion) =>
    Effect.gen(function* () {
      const { port } = yield* echoing({}, { maxMessageSize: 2 ** 25 })
      const wire = yield* upgraded(port, { maxVersion })
      const payload = pattern(20_000_000)
      wire.send({ opcode: 2, payload })
      assert.isTrue(payload.equals((yield* wire.next).payload))
      wire.send(close(1000))
      assert.strictEqual((yield* wire.next).opcode, 8)
      assert.strictEqual(yield* wire.ended, "FIN")
    })
  )

  it.live("a client that takes nothing holds its sender back, and nothing is lost", () =>
    Effect.gen(function* () {
      const count = 400
      let sent = 0
      const message = pattern(100_000)
      const { port } = yield* serving(
        (webSocket) =>
          Effect.gen(function* () {
            for (; sent < count; sent++) yield* webSocket.send(message)
            yield* webSocket.close()
          }),
        { tls: yield* withTls() }
      )
      const wire = yield* upgraded(port)
      // what the system and the two streams hold, and no more
      assert.isBelow(yield* steady(() => sent), count / 2)
      for (let i = 0; i < count; i++) assert.isTrue(message.equals((yield* wire.next).payload))
      assert.strictEqual((yield* wire.next).opcode, 8)
    })
  )

  it.live("a server that takes nothing holds its client back", () =>
    Effect.gen(function* () {
      const go = yield* Deferred.make<void>()
      let bytes = 0
      const { port } = yield* serving(
        (webSocket) =>
          Effect.andThen(
            Deferred.await(go),
            Stream.runForEach(webSocket.messages, (message) => Effect.sync(() => void (bytes += message.length)))
          ),
        { tls: yield* withTls() }
      )
      const wire = yield* upgraded(port)
      for (let i = 0; i < 400; i++) wire.send({ opcode: 2, payload: pattern(100_000) })
      assert.isAbove(yield* steady(() => wire.socket.writableLength), 20_000_000)
      yield* Deferred.succeed(go, undefined)
      yield* eventually(
        "all has come",
        Effect.sync(() => bytes === 40_000_000)
      )
    })
  )

  it.live("the closing handshake loses nothing, from either side", () =>
    Effect.gen(function* () {
      const got: Array<string> = []
      const { port } = yield* serving(
        (webSocket) =>
          Effect.gen(function* () {
            yield* Stream.runForEach(webSocket.messages, (message) => {
              if (message !== "bye") return Effect.sync(() => got.push(String(message)))
              return Effect.andThen(
                Effect.forEach(
                  Array.from({ length: 1000 }, (_, i) => `down ${i}`),
                  (it) => webSocket.send(it)
                ),
                webSocket.close()
              )
            })
          }),
        { tls: yield* withTls() }
      )
      const first = yield* upgraded(port)
      first.send(...Array.from({ length: 1000 }, (_, i) => text(`up ${i}`)), close(1000))
      first.end()
      assert.strictEqual((yield* first.next).opcode, 8)
      assert.strictEqual(yield* first.ended, "FIN")
      assert.deepStrictEqual([got.length, got.at(-1)], [1000, "up 999"])
      const second = yield* upgraded(port)
      second.send(text("bye"))
      for (let i = 0; i < 1000; i++) {
        assert.strictEqual(Buffer.from((yield* second.next).payload).toString(), `down ${i}`)
      }
      assert.strictEqual((yield* second.next).opcode, 8)
      second.send(close(1000))
      assert.strictEqual(yield* second.ended, "FIN")
    })
  )

  it.live("a request that comes with the last byte of the handshake is read", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing({
        clientCertificates: { decide: () => Effect.as(Effect.sleep("50 millis"), true) }
      })
      const wire = new Wire(yield* dial(port))
      wire.write(upgradeRequest())
      wire.send(text("early"))
      assert.strictEqual((yield* wire.response).status, 101)
      assert.strictEqual(Buffer.from((yield* wire.next).payload).toString(), "early")
    })
  )
})

/** Two ends of a TLS connection, the near one as the listener makes it. */
const paired = Effect.fnUntraced(function* (watch: (near: tls.TLSSocket) => void) {
  const secureContext = tls.createSecureContext(TlsSettings.identity(yield* localhost))
  return yield* Effect.acquireRelease(
    Effect.promise(async () => {
      const server = Net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
      server.listen(0, "127.0.0.1")
      await once(server, "listening")
      // a TCP server's address is one of IP
      const { port } = server.address() as Net.AddressInfo
      const far = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false, allowHalfOpen: true } as object)
      far.on("error", () => {})
      const [socket] = (await once(server, "connection")) as [Net.Socket]
      const near = new tls.TLSSocket(socket, { isServer: true, secureContext })
      for (const stream of [socket, near]) stream.on("error", () => {})
      layOn(near, socket)
      watch(near)
      server.close()
      await Promise.all([
        once(near, "secure"),
        Promise.race(["secureConnect", "end", "close"].map((event) => once(far, event)))
      ])
      return { near, far }
    }),
    ({ far, near }) => Effect.sync(() => [near.destroy(), far.destroy()])
  )
})
const pair = paired(() => {})

describe("a NodeSocket over TLS", () => {
  const open = Effect.fnUntraced(function* (stream: tls.TLSSocket) {
    const scope = yield* Scope.make()
    const socket = NodeSocket.fromDuplex(stream)
    const reader: Transport.Reader = yield* Scope.provide(socket.reader, scope)
    const writer: Transport.Writer = yield* Scope.provide(socket.writer, scope)
    return { reader, writer, socket }
  })

  it.live("says what is unsent, what is taken and when all is flushed", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair
      far.pause()
      const { writer } = yield* open(near)
      yield* Effect.forkScoped(Effect.ignore(Effect.forever(Effect.suspend(() => writer.write(Buffer.alloc(16_384))))))
      const stuck = yield* steady(() => writer.taken!)
      assert.isAbove(stuck, 0)
      assert.isAbove(writer.unsent!, 0)
      far.resume()
      yield* eventually(
        "more is taken",
        Effect.sync(() => writer.taken! > stuck * 2)
      )
    })
  )

  it.live("is flushed when the system has it all", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair
      far.pause()
      const { writer } = yield* open(near)
      const writing = yield* Effect.forkChild(writer.write(Buffer.alloc(20_000_000)))
      yield* Effect.yieldNow
      const flushing = yield* Effect.forkChild(writer.flushed!)
      yield* Effect.sleep("100 millis")
      assert.isUndefined(flushing.pollUnsafe())
      far.resume()
      yield* Fiber.join(writing)
      yield* Fiber.join(flushing)
      assert.strictEqual(writer.unsent, 0)
      yield* writer.flushed!
    })
  )

  it.live("a long run of records comes in chunks whose memory nobody else holds", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair
      const { reader } = yield* open(near)
      const sent = pattern(1_000_000)
      far.write(sent)
      const got: Array<Uint8Array> = []
      let owned = 0
      for (let size = 0; size < sent.length;) {
        for (const chunk of yield* reader.pull) {
          if (typeof chunk === "string") return assert.fail("bytes are not text")
          if (reader.isExclusive!(chunk)) {
            assert.strictEqual(chunk.buffer.byteLength, chunk.length)
            owned++
          }
          size += chunk.length
          got.push(chunk)
        }
      }
      assert.isTrue(sent.equals(Buffer.concat(got)))
      assert.isAbove(owned, 0)
      // one for each record, where Node does not decrypt several into one buffer
      assert.isAtMost(got.length, 62)
    })
  )

  it.live("ends one side with close_notify, and reads on", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair
      const { socket } = yield* open(near)
      const { ends, reader } = (socket as Transport.OpenSocket)["~effect-websocket/connection/Transport/Open"]
      yield* ends.end
      yield* Effect.promise(() => once(far.resume(), "end"))
      far.end("still there")
      assert.strictEqual(Buffer.from((yield* reader.pull)[0]).toString(), "still there")
      const error = yield* Effect.flip(reader.pull)
      assert.deepInclude(error.reason, { _tag: "SocketCloseError", code: 1000 })
    })
  )

  it.live("lingers for the peer's end", () =>
    Effect.gen(function* () {
      const first = yield* pair
      const { socket } = yield* open(first.near)
      const { ends } = (socket as Transport.OpenSocket)["~effect-websocket/connection/Transport/Open"]
      first.far.resume().on("end", () => first.far.end())
      yield* ends.leave!(5000).pipe(Effect.timeout("2 seconds"))
    })
  )

  it.live("is reset as a plain one is: what is unsent is not, and the peer learns of it at once", () =>
    Effect.gen(function* () {
      const { far, near } = yield* pair
      const { writer } = yield* open(near)
      far.pause()
      yield* Effect.forkScoped(Effect.ignore(writer.write(Buffer.alloc(20_000_000))))
      yield* steady(() => writer.taken!)
      const error = yield* resetting(far, writer.write(new Socket.CloseEvent(1011)))
      // in Node 22 a reset is an end to a client of TLS (node/internal/endOfStream.ts)
      assert.include(process.version.startsWith("v22.") ? [undefined] : ["ECONNRESET"], error)
      assert.isTrue(near.destroyed)
    })
  )

  it.live.each(["secure", "data", "drain"])("is reset in the midst of the event %s, and Node lives", (event) =>
    Effect.forEach(
      Array.from({ length: 50 }),
      () =>
        Effect.gen(function* () {
          const { far, near } = yield* paired((near) => {
            const socket = NodeSocket.fromDuplex(near)
            const writer = Effect.runSync(Scope.provide(socket.writer, Scope.makeUnsafe()))
            near.once(event, () => Effect.runSync(writer.write(new Socket.CloseEvent(1011))))
          })
          near.resume()
          const over = resetting(far, Effect.void)
          if (event === "data") far.write("now")
          if (event === "drain") near.write(Buffer.alloc(1_000_000))
          assert.include(["ECONNRESET", undefined], yield* over)
          assert.isTrue(near.destroyed)
        }).pipe(Effect.scoped),
      { concurrency: 5 }
    )
  )
})

/** The code of the error that a stream ends with. */
const resetting = (stream: tls.TLSSocket, act: Effect.Effect<void, unknown>): Effect.Effect<string | undefined> =>
  Effect.gen(function* () {
    let code: string | undefined
    stream.on("error", (error: NodeJS.ErrnoException) => (code = error.code)).on("end", () => stream.destroy())
    yield* Effect.ignore(act)
    yield* Effect.callback<void>((resume) => {
      if (stream.destroyed) return resume(Effect.void)
      stream.once("close", () => resume(Effect.void))
      stream.resume()
    })
    return code
  })

const open = (then: (wire: Wire) => Effect.Effect<unknown> | void) =>
  Effect.fnUntraced(function* (port: number) {
    const wire = yield* Effect.orDie(upgraded(port))
    yield* then(wire) ?? Effect.void
  })
const asking = (target: string) =>
  Effect.fnUntraced(function* (port: number) {
    const wire = new Wire(yield* Effect.orDie(dial(port)))
    wire.write(upgradeRequest({}, target))
    yield* wire.response
  })
const sending = (bytes: Uint8Array, then: (socket: Net.Socket) => void = () => {}) =>
  Effect.fnUntraced(function* (port: number) {
    const socket = yield* tcp(port)
    socket.write(bytes)
    yield* Effect.sleep("5 millis")
    then(socket)
  })

/** Every way in which a connection over TLS, or what was to become one, can end. */
const endingsOf = (hello: Uint8Array) => ({
  "a closing handshake by the client": open((wire) => {
    wire.send(close(1000))
    return Effect.andThen(wire.next, wire.ended)
  }),
  "a closing handshake by the server": open((wire) => {
    wire.send(text("bye"))
    return Effect.andThen(
      wire.next,
      Effect.sync(() => wire.send(close(1000)))
    )
  }),
  "no answer to the server's Close": open((wire) => {
    wire.send(text("bye"))
    return wire.ended
  }),
  "an end without a Close": open((wire) => {
    wire.end()
    return wire.ended
  }),
  "a destroyed socket": open(() => {}),
  "a violation": open((wire) => {
    wire.write(new Uint8Array([0xff, 0xff]))
    return wire.ended
  }),
  "a failure of the handler": open((wire) => {
    wire.send(text("fail"))
    return wire.ended
  }),
  "a refusal": asking("/refused"),
  "no decision": asking("/undecided"),
  "nothing after TLS": (port: number) => Effect.asVoid(Effect.orDie(dial(port))),
  "a certificate that is not trusted": (port: number) => Effect.ignore(dial(port, { rejectUnauthorized: true })),
  "no version in common": (port: number) => Effect.ignore(dial(port, { maxVersion: "TLSv1.2" })),
  garbage: sending(Buffer.from("garbage")),
  "half a hello": sending(hello.subarray(0, 99)),
  "half a hello and an end": sending(hello.subarray(0, 99), (socket) => socket.end()),
  "a hello and a reset": sending(hello, (socket) => socket.resetAndDestroy()),
  "a hello and silence": sending(hello),
  "plain text": sending(Buffer.from("GET / HTTP/1.1\r\nHost: a\r\n\r\n"))
})

describe("after 200 connections over TLS that ended in every way", () => {
  it.live.each([false, true])("no socket, timer or fiber is left; with records: %s", (records) =>
    countingFibers((fibers) =>
      collectingLogs(() =>
        Effect.gen(function* () {
          const endings = endingsOf(yield* Effect.promise(() => fromNode({})))
          const tls = yield* withTls({ settings: { minVersion: "TLSv1.3" }, inactivityTimeout: "300 millis", records })
          const { port, server } = yield* deciding(
            (request) =>
              Effect.gen(function* () {
                const { path } = request.request
                if (path === "/refused") return yield* new Refusal({ status: 403, reason: "no" })
                if (path === "/undecided") return
                const webSocket = yield* request.accept
                yield* Stream.runForEach(webSocket.messages, (message) => obey(webSocket, message))
              }),
            { tls, closeTimeout: "100 millis", handshakeTimeout: "1 second" }
          )
          const visits = Object.values<(port: number) => Effect.Effect<unknown, never, Scope.Scope>>(endings).map(
            (ending) => Effect.scoped(ending(port))
          )
          const settle = eventually("all connections are closed", noneOpen(server))
          yield* leavesNothing(fibers, visits, settle, "300 millis")
        })
      )
    )
  )
})
