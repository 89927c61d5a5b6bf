/**
 * Handshakes with a target that come to nothing: what the failure says, in which time, and that nothing is left of them.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import type { Target } from "../../src/proxy/Target.ts"
import type * as TlsClient from "../../src/tls/TlsClient.ts"
import { soon, unhurried } from "../proxy/connected.ts"
import { sockets, tunnel } from "../proxy/firewall.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually, timed } from "../proxy/watch.ts"
import { Authority } from "./authority.ts"
import { identity, listen, sServer } from "./tlsTarget.ts"

const authority = new Authority("authority")
authority.issue("server")
const ca = authority.pem

const make = (options: NodeDialer.Options = {}) => NodeDialer.make({ tls: { ca, serverName: "localhost" }, ...options })

/** What a dial says that fails by TLS. */
const failure = Effect.fnUntraced(function* (target: Target, options: TlsClient.Options = {}) {
  const { dial } = make({ tls: { ca, serverName: "localhost", ...options } })
  const error = yield* Effect.flip(dial(target))
  assert.strictEqual(error.kind, "TlsFailed", error.message)
  return error.detail ?? ""
}, Effect.scoped)

/** Answers the first bytes of a connection with these, or ends it. */
const answering = (answer: (connection: RawTarget.TargetConnection) => void) =>
  RawTarget.listen({
    onConnection: (connection) => void connection.socket.once("data", () => answer(connection))
  })

const plain = "The target does not answer in TLS; it may speak without it."

describe("a target that speaks no TLS", { timeout: 30_000 }, () => {
  it.live.each([
    ["SSH", Buffer.from("SSH-2.0-Server_1.0\r\n")],
    ["HTTP", Buffer.from("HTTP/1.1 400 Bad Request\r\nConnection: close\r\n\r\n")],
    ["noise", Buffer.alloc(2000, 0x5a)],
    ["a record that is too long", Buffer.from([22, 3, 3, 255, 255, 2, 0, 0, 0])],
    ["records of no type", Buffer.from([99, 3, 3, 0, 1, 0])]
  ] as const)("answers in %s", ([, bytes]) =>
    Effect.gen(function* () {
      const target = yield* answering(({ socket }) => void socket.write(bytes))
      assert.strictEqual(yield* failure(target.target), plain)
      yield* (yield* target.accept).until("end", soon)
    }).pipe(Effect.scoped)
  )

  it.live("speaks first", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen({
        onConnection: ({ socket }) => void socket.write("220 mail.example ESMTP\r\n")
      })
      assert.strictEqual(yield* failure(target.target), plain)
    }).pipe(Effect.scoped)
  )
})

describe("a target that ends the handshake", { timeout: 30_000 }, () => {
  it.live("by FIN", () =>
    Effect.gen(function* () {
      const target = yield* answering(({ socket }) => void socket.end())
      assert.strictEqual(yield* failure(target.target), "The target closed the connection in the TLS handshake.")
    }).pipe(Effect.scoped)
  )

  it.live("by RST", () =>
    Effect.gen(function* () {
      const target = yield* answering(({ socket }) => void socket.resetAndDestroy())
      assert.strictEqual(yield* failure(target.target), "The target reset the connection in the TLS handshake.")
    }).pipe(Effect.scoped)
  )

  it.live.each([
    [
      40,
      /^The target refused the TLS handshake with the alert handshake_failure \(40\): it has no cipher suite, group/
    ],
    [70, /with the alert protocol_version \(70\): it speaks none of the versions of TLS that are offered\.$/],
    [80, /with the alert internal_error \(80\)\.$/],
    [112, /with the alert unrecognized_name \(112\): it has no certificate for the name that it was asked for\.$/]
  ] as const)("by alert %i", ([number, detail]) =>
    Effect.gen(function* () {
      const target = yield* answering(({ socket }) => void socket.write(Buffer.from([21, 3, 3, 0, 2, 2, number])))
      assert.match(yield* failure(target.target), detail)
    }).pipe(Effect.scoped)
  )

  it.live("by an alert that nobody knows, and by a close_notify", () =>
    Effect.gen(function* () {
      for (const alert of [
        [2, 99],
        [1, 0]
      ]) {
        const target = yield* answering(({ socket }) => void socket.end(Buffer.from([21, 3, 3, 0, 2, ...alert])))
        assert.match(yield* failure(target.target), /^The target (closed|refused)|^The TLS handshake with the target/)
      }
    }).pipe(Effect.scoped)
  )
})

describe("a target that has nothing in common with us", { timeout: 30_000 }, () => {
  const own = (...args: ReadonlyArray<string>) => sServer("-cert", "server.crt", "-key", "server.key", ...args)

  it.live("but an older version", () =>
    Effect.gen(function* () {
      const { target } = yield* own("-tls1_2")
      const detail = yield* failure(target, { settings: { minVersion: "TLSv1.3" } })
      assert.match(detail, /with the alert protocol_version \(70\): it speaks none of the versions/)
    }).pipe(Effect.scoped)
  )

  it.live("but a newer version", () =>
    Effect.gen(function* () {
      const { target } = yield* own("-tls1_3")
      const detail = yield* failure(target, { settings: { maxVersion: "TLSv1.2" } })
      assert.match(detail, /with the alert protocol_version \(70\)/)
    }).pipe(Effect.scoped)
  )

  it.live("no cipher suite, in TLS 1.2 and 1.3", () =>
    Effect.gen(function* () {
      const old = yield* own("-tls1_2", "-cipher", "ECDHE-ECDSA-AES128-GCM-SHA256")
      const suites = { cipherSuites: ["TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384"] }
      assert.match(yield* failure(old.target, { settings: suites }), /handshake_failure \(40\): it has no cipher suite/)
      const recent = yield* own("-tls1_3", "-ciphersuites", "TLS_AES_128_GCM_SHA256")
      const suites13 = { cipherSuites: ["TLS_AES_256_GCM_SHA384"] }
      assert.match(yield* failure(recent.target, { settings: suites13 }), /handshake_failure \(40\): it has no cipher/)
    }).pipe(Effect.scoped)
  )

  it.live("no application protocol", () =>
    Effect.gen(function* () {
      const server = yield* listen({ ...identity("server"), ALPNProtocols: ["h2"] })
      const detail = yield* failure(server.target, { alpnProtocols: ["postgresql"] })
      assert.match(
        detail,
        /with the alert no_application_protocol \(120\): it speaks none of the application protocols/
      )
    }).pipe(Effect.scoped)
  )
})

describe("options that cannot be used", () => {
  it.live("are said, and nobody is dialled", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const detail = yield* failure(target.target, { ca: "none" })
      assert.match(detail, /^The options of TLS cannot be used: expected certificates of authorities in PEM/)
      assert.strictEqual(target.connections.length, 0)
    }).pipe(Effect.scoped)
  )
})

describe("the time", { timeout: 30_000 }, () => {
  it.live("is one for connecting and the handshake", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const { dial } = make({ dialTimeout: 300 })
      const [error, millis] = yield* timed(Effect.flip(dial(target.target)))
      assert.strictEqual(error.kind, "TimedOut")
      assert.strictEqual(error.refusal.status, 504)
      assert.match(error.message, /It took the connection, but did not finish the TLS handshake in time; it may not/)
      assert.isAtLeast(millis, 290)
      assert.isBelow(millis, unhurried)
      yield* (yield* target.accept).until("end", soon)
    }).pipe(Effect.scoped)
  )

  it.live("is also over for a handshake that stalls in the middle", () =>
    Effect.gen(function* () {
      // the beginning of a ServerHello, and no more
      const target = yield* answering(({ socket }) => void socket.write(Buffer.from([22, 3, 3, 0, 100, 2, 0, 0, 96])))
      const error = yield* Effect.flip(make({ dialTimeout: 300 }).dial(target.target))
      assert.strictEqual(error.kind, "TimedOut")
      yield* (yield* target.accept).until("end", soon)
    }).pipe(Effect.scoped)
  )

  it.live("is the same behind a firewall", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { dial } = make({ dialTimeout: 500, firewall: tunnel.at(listener.port) })
      const dialled = yield* Effect.forkChild(Effect.flip(dial(listener.target)), { startImmediately: true })
      const firewall = yield* listener.accept
      yield* firewall.untilReceived(1)
      yield* firewall.write(Buffer.from("HTTP/1.1 200 OK\r\n\r\n"))
      const error = yield* Fiber.join(dialled)
      assert.strictEqual(error.kind, "TimedOut")
      assert.match(error.message, /did not finish the TLS handshake/)
      yield* firewall.until("end", soon)
    }).pipe(Effect.scoped)
  )
})

describe("nothing is left", { timeout: 30_000 }, () => {
  it.live("of a handshake that is interrupted", () =>
    Effect.gen(function* () {
      const before = sockets()
      yield* Effect.gen(function* () {
        const target = yield* RawTarget.listen()
        const dialled = yield* Effect.forkChild(make().dial(target.target), { startImmediately: true })
        const connection = yield* target.accept
        yield* connection.untilReceived(100)
        yield* Fiber.interrupt(dialled)
        assert.isTrue(Exit.hasInterrupts(yield* Fiber.await(dialled)))
        yield* connection.until("end", soon)
      }).pipe(Effect.scoped)
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    })
  )

  it.live("of a hundred handshakes that are interrupted at any moment", () =>
    Effect.gen(function* () {
      const before = sockets()
      yield* Effect.gen(function* () {
        const server = yield* listen(identity("server"))
        const { dial } = make()
        yield* Effect.forEach(
          Array.from({ length: 100 }, (_, i) => i),
          (i) => Effect.ignore(Effect.timeout(Effect.scoped(dial(server.target)), i / 8)),
          { concurrency: 10, discard: true }
        )
        yield* Effect.scoped(dial(server.target))
      }).pipe(Effect.scoped)
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    })
  )

  it.live("of a connection that nobody reads", () =>
    Effect.gen(function* () {
      const before = sockets()
      const server = yield* listen(identity("server"))
      const target = yield* Effect.scoped(Effect.andThen(make().dial(server.target), server.accept))
      yield* target.until("end", soon)
      server.close()
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    }).pipe(Effect.scoped)
  )
})

describe("a failure", () => {
  it.live("tells no secrets, and no lines of a certificate's making", () =>
    Effect.gen(function* () {
      const stranger = new Authority("stranger", "p256", "/O=x\x07y\nz/CN=stranger")
      stranger.issue("stranger-server")
      const server = yield* listen(identity("stranger-server"))
      const detail = yield* failure(server.target)
      assert.match(detail, /^[\x20-\x7e]+$/)
      assert.include(detail, "is not trusted")
    }).pipe(Effect.scoped)
  )

  it.live("repeats no more than so much of what a certificate says", () =>
    Effect.gen(function* () {
      const units = Array.from({ length: 10 }, () => `/OU=${"x".repeat(60)}`).join("")
      const stranger = new Authority("wordy", "p256", `/O=Test${units}/CN=wordy`)
      stranger.issue("wordy-server")
      const server = yield* listen(identity("wordy-server"))
      const detail = yield* failure(server.target)
      assert.match(detail, /is not trusted \(.*x…\)/)
      assert.isBelow(detail.length, 450)
    }).pipe(Effect.scoped)
  )
})
