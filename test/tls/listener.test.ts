/** A listener that speaks TLS, seen by clients of every make. */
import { assert, describe, it } from "@effect/vitest"
import { Context, Deferred, Effect, Layer, Metric } from "effect"
import { execFile, spawn } from "node:child_process"
import { readFileSync } from "node:fs"
import { WebSocket as WsClient } from "ws"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import type { Peer } from "../../src/server/UpgradeListener.ts"
import * as WebSocketServer from "../../src/server/WebSocketServer.ts"
import * as ClientHello from "../../src/tls/ClientHello.ts"
import * as Identities from "../../src/tls/Identities.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { bytesOf, shown, text as textFrame } from "../connection/connected.ts"
import { has } from "../installed.ts"
import { collectingLogs, deciding, eventually, serving } from "../server/serving.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { fromNode } from "./hellos.ts"
import { dial, echoing, isLetIn, localhost, rest, tcp, upgraded, withTls } from "./listening.ts"
import { path, text } from "./openssl.ts"

const command = (name: string, args: ReadonlyArray<string>) =>
  Effect.callback<{ readonly code: number; readonly out: string }>((resume) => {
    const child = execFile(name, args, { encoding: "utf8", timeout: 8000 }, (error, stdout, stderr) =>
      resume(Effect.succeed({ code: error === null ? 0 : Number(error.code ?? -1), out: stdout + stderr }))
    )
    return Effect.sync(() => void child.kill())
  })

/** Runs `openssl s_client`, for as long as the scope lives. */
const sClient = (port: number, ...args: ReadonlyArray<string>) =>
  Effect.acquireRelease(
    Effect.sync(() => spawn("openssl", ["s_client", ...args, "-connect", `127.0.0.1:${port}`])),
    (child) => Effect.sync(() => child.kill("SIGKILL"))
  )

describe("a listener that speaks TLS", () => {
  it.live("echoes to ws over TLS 1.2 and 1.3, which verifies the certificate", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      for (const version of ["TLSv1.2", "TLSv1.3"] as const) {
        const answer = yield* Effect.callback<string>((resume) => {
          const client = new WsClient(`wss://localhost:${port}`, {
            ca: text("localhost.crt"),
            lookup: (_host, _options, callback) => callback(null, [{ address: "127.0.0.1", family: 4 }]),
            minVersion: version,
            maxVersion: version
          })
          client.on("open", () => client.send("hello"))
          client.on("message", (data) => {
            resume(Effect.succeed(String(data)))
            client.close()
          })
          client.on("error", (error) => resume(Effect.die(error)))
        })
        assert.strictEqual(answer, "hello")
      }
    })
  )

  it.live("echoes to openssl s_client", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      for (const version of ["-tls1_2", "-tls1_3"]) {
        const child = yield* sClient(port, "-quiet", version)
        const out = yield* Effect.callback<string>((resume) => {
          let out = ""
          child.stdout.on("data", (chunk: Buffer) => {
            const isFirst = out === ""
            out += chunk.toString("latin1")
            // a masked "hi" under the key 0
            if (isFirst) child.stdin.write(Uint8Array.of(0x81, 0x82, 0, 0, 0, 0, 0x68, 0x69))
            if (out.includes("hi")) resume(Effect.succeed(out))
          })
          child.stdin.write(upgradeRequest())
        }).pipe(Effect.timeout("5 seconds"))
        assert.match(out, /^HTTP\/1\.1 101 /)
      }
    })
  )

  it.live.runIf(has("curl"))("answers curl: HTTP over TLS is told what this address speaks", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      const { out } = yield* command("curl", ["-sSi", "--cacert", path("localhost.crt"), `https://localhost:${port}/`])
      assert.match(out, /^HTTP\/1\.1 426 /)
    })
  )

  it.live("says what was negotiated, with one peer for the whole connection", () =>
    Effect.gen(function* () {
      const seen = yield* Deferred.make<Peer | undefined>()
      const peers = new Set<Peer>()
      const certificate = yield* localhost
      const { port } = yield* deciding((request) => Deferred.succeed(seen, request.peer), {
        admit: (peer) => Effect.sync(() => peers.add(peer).size === 1 && peer.tls === undefined),
        tls: {
          identities: Identities.make((_, client) => {
            peers.add(client)
            return Effect.succeed(certificate)
          }),
          onStatus: (peer) => peers.add(peer)
        }
      })
      const socket = yield* dial(port, { ALPNProtocols: ["http/1.1"] })
      socket.write(upgradeRequest())
      const peer = yield* Deferred.await(seen)
      const { localPort } = socket
      socket.destroy()
      yield* Effect.sleep("50 millis")
      assert.deepStrictEqual([...peers], [peer])
      assert.strictEqual(peer?.remoteAddress, "127.0.0.1")
      assert.strictEqual(peer?.remotePort, localPort)
      assert.strictEqual(peer?.localAddress, "127.0.0.1")
      assert.strictEqual(peer?.localPort, port)
      const session = peer?.tls
      assert.strictEqual(session?.version, "TLSv1.3")
      assert.strictEqual(session?.cipherSuite.name, "TLS_AES_256_GCM_SHA384")
      assert.strictEqual(session?.cipherSuite.bits, 256)
      assert.strictEqual(session?.serverName, "localhost")
      assert.strictEqual(session?.alpnProtocol, "http/1.1")
      assert.isFalse(session?.isResumed)
      assert.strictEqual(session?.certificate, certificate)
      assert.isUndefined(session?.clientCertificate)
    })
  )

  const exchanges = [
    [{ ecdhCurve: "X25519" }, "X25519", 253],
    [{ ecdhCurve: "P-384" }, "P-384", 384],
    [{ maxVersion: "TLSv1.2", ecdhCurve: "P-256" }, "ECDHE", 256]
  ] as const
  it.live.each(exchanges)("knows how the keys were exchanged: %o", ([options, name, bits]) =>
    Effect.gen(function* () {
      const seen = yield* Deferred.make<Peer | undefined>()
      const tls = yield* withTls()
      const { port } = yield* deciding((request) => Deferred.succeed(seen, request.peer), { tls })
      const socket = yield* dial(port, options)
      socket.write(upgradeRequest())
      const peer = yield* Deferred.await(seen)
      assert.strictEqual(peer?.tls?.keyExchange, name)
      assert.strictEqual(peer?.tls?.keyExchangeBits, bits)
    })
  )

  it.live("speaks ws and wss on one port, if it is to", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing({ plaintext: true })
      const wire = yield* upgraded(port)
      wire.send({ opcode: 2, payload: Buffer.from("over TLS") })
      assert.strictEqual(Buffer.from((yield* wire.next).payload).toString(), "over TLS")
      const answer = yield* Effect.callback<string>((resume) => {
        const client = new WsClient(`ws://127.0.0.1:${port}`)
        client.on("open", () => client.send("plain"))
        client.on("message", (data) => {
          resume(Effect.succeed(String(data)))
          client.close()
        })
        client.on("error", (error) => resume(Effect.die(error)))
      })
      assert.strictEqual(answer, "plain")
      // a byte at a time
      const socket = yield* tcp(port)
      const request = upgradeRequest({ "Sec-WebSocket-Version": "1" })
      for (const byte of request) {
        socket.write(byte)
        yield* Effect.yieldNow
      }
      assert.match((yield* rest(socket)).toString(), /^HTTP\/1\.1 426 /)
    })
  )

  it.live("says wss where it listens", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const tls = yield* withTls({ plaintext: true })
        yield* Layer.build(
          WebSocketServer.layerLogAddress.pipe(Layer.provide(NodeWebSocketServer.layer({ port: 0, tls })))
        )
        assert.match(logs.map((it) => it.text).join(), /Listening on wss:\/\/127\.0\.0\.1:\d+ and ws:\/\/127/)
      })
    )
  )

  it.live("takes its identities from a layer, too", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        NodeWebSocketServer.layerTls({ port: 0 }).pipe(Layer.provide(Identities.layer(yield* localhost)))
      )
      const server = Context.get(context, WebSocketServer.WebSocketServer)
      assert.deepStrictEqual(server.schemes, ["wss"])
    })
  )

  it.live("does not listen with settings that cannot be met", () =>
    Effect.gen(function* () {
      const tls = yield* withTls({ settings: { cipherSuites: ["NO_SUCH"] } })
      const error = yield* Effect.flip(serving(() => Effect.void, { tls }))
      assert.strictEqual(error.code, "ERR_TLS_SETTINGS")
      assert.include(error.message, "NO_SUCH")
    })
  )

  it.live("does not listen with an authority that cannot be read, which TLS would pass over", () =>
    Effect.gen(function* () {
      const ca = [text("localhost.crt"), "-----BEGIN CERTIFICATE-----\nTm90aGluZw==\n-----END CERTIFICATE-----\n"]
      const tls = yield* withTls({ clientCertificates: { ca } })
      const error = yield* Effect.flip(serving(() => Effect.void, { tls }))
      assert.strictEqual(error.code, "ERR_TLS_SETTINGS")
      assert.match(error.message, /clientCertificates\.ca: a certificate of an authority cannot be read/)
    })
  )

  it.live("appends to the key log file what decrypts the connections", () =>
    Effect.gen(function* () {
      const keyLogFile = path("keys.log")
      const { port } = yield* echoing({ settings: { keyLogFile } })
      const lines: Array<string> = []
      const socket = yield* dial(port)
      socket.on("keylog", (line: Buffer) => lines.push(line.toString()))
      const second = yield* dial(port, { maxVersion: "TLSv1.2" })
      yield* Effect.sleep("50 millis")
      const log = readFileSync(keyLogFile, "utf8")
      assert.match(log, /^CLIENT_RANDOM [0-9a-f]{64} [0-9a-f]{96}$/m)
      for (const name of ["CLIENT_HANDSHAKE", "SERVER_HANDSHAKE"]) {
        assert.match(log, new RegExp(`^${name}_TRAFFIC_SECRET [0-9a-f]{64} [0-9a-f]{96}$`, "m"))
      }
      assert.match(log, /^CLIENT_TRAFFIC_SECRET_0 /m)
      // the same secret on both sides
      const master = (yield* Effect.sync(() => second.getSession()!)).toString("hex")
      assert.include(master, /^CLIENT_RANDOM \S+ (\S+)$/m.exec(log)![1]!)
    })
  )

  it.live.each([true, false])("resumes sessions if tickets are on: %s", (sessionTickets) =>
    Effect.gen(function* () {
      const resumed: Array<boolean> = []
      const tls = yield* withTls({ settings: { sessionTickets } })
      const { port } = yield* deciding(
        (request) =>
          Effect.as(
            Effect.sync(() => resumed.push(request.peer?.tls?.isResumed === true)),
            undefined
          ),
        { tls }
      )
      for (const maxVersion of ["TLSv1.2", "TLSv1.3"] as const) {
        let session: Buffer | undefined
        for (let i = 0; i < 2; i++) {
          const socket = yield* dial(port, { maxVersion, ...(session !== undefined && { session }) })
          socket.on("session", (it: Buffer) => (session = it))
          session ??= maxVersion === "TLSv1.2" ? socket.getSession() : undefined
          socket.write(upgradeRequest())
          yield* rest(socket)
        }
      }
      assert.deepStrictEqual(resumed, [false, sessionTickets, false, sessionTickets])
    })
  )

  it.live("does not renegotiate", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      const child = yield* sClient(port, "-tls1_2")
      yield* Effect.callback<void>((resume) => {
        child.stdout.on("data", (chunk: Buffer) => {
          // a line of its own asks for it
          if (chunk.includes("Verify return code")) child.stdin.write("R\n")
        })
        child.on("exit", () => resume(Effect.void))
      }).pipe(Effect.timeout("5 seconds"))
      assert.isTrue(yield* isLetIn(port))
    })
  )
})

const outcome = (kind: string) =>
  Effect.map(Metric.value(Telemetry.tlsHandshakes), (it) => it.occurrences.get(kind) ?? 0)

const garbages = [
  "GET / HTTP/1.1\r\n\r\n",
  "CONNECT a:1 HTTP/1.1\r\n\r\n",
  "SSH-2.0-x\r\n",
  "\x16\x02\x01\0\0",
  "\x16\x03\x01\xff\xff\x01"
]

describe("who does not come through TLS", () => {
  it.live("is told from who does, where nobody else reads the hello", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      const [notTls, unused] = [yield* outcome("NotTls"), yield* outcome("Unused")]
      for (const garbage of garbages) {
        const socket = yield* tcp(port)
        socket.write(garbage, "latin1")
        const answer = yield* rest(socket)
        if (garbage.includes("HTTP")) assert.include(answer.toString(), "400 Bad Request")
        else assert.strictEqual(answer[0] ?? 21, 21, garbage)
      }
      assert.strictEqual((yield* outcome("NotTls")) - notTls, garbages.length)
      const idle = yield* tcp(port)
      idle.end()
      yield* rest(idle)
      assert.strictEqual((yield* outcome("Unused")) - unused, 1)
    })
  )

  it.live("gets the alert of TLS for garbage, and the end", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing({ onStatus: () => {} })
      const before = yield* outcome("NotTls")
      for (const garbage of ["\x80\x2e\x01\x03\x01", ...garbages.filter((it) => !it.includes("HTTP"))]) {
        const socket = yield* tcp(port)
        socket.write(garbage, "latin1")
        const answer = yield* rest(socket)
        const { alert } = ClientHello.parse(Buffer.from(garbage, "latin1")) as { alert: ClientHello.Alert }
        assert.deepStrictEqual([...answer], [...ClientHello.alertRecord(alert)], garbage)
      }
      assert.strictEqual((yield* outcome("NotTls")) - before, 4)
    })
  )

  it.live("is told in its own language, if that is HTTP", () =>
    Effect.gen(function* () {
      const messages: Array<string> = []
      const { port } = yield* echoing({ onStatus: (_, message) => messages.push(message) })
      const socket = yield* tcp(port)
      // more of it comes when it is answered already
      for (const part of ["GET /", " HTTP/1.1\r\n", `Host: localhost:${port}\r\n\r\n`]) {
        socket.write(part)
        yield* Effect.sleep("5 millis")
      }
      const answer = (yield* rest(socket)).toString()
      assert.match(
        answer,
        /^HTTP\/1\.1 400 Bad Request\r\n[^]*\r\n\r\nThis port speaks TLS: connect with wss or https\.\n$/
      )
      assert.deepStrictEqual(messages, ["Handshake failed: expected TLS, got an HTTP request in plain text"])
      const client = new WsClient(`ws://127.0.0.1:${port}`)
      const error = yield* Effect.callback<Error>(
        (resume) => void client.on("error", (it) => resume(Effect.succeed(it)))
      )
      assert.include(error.message, "Unexpected server response: 400")
    })
  )

  it.live("is told of once, also if it stays until the deadline", () =>
    Effect.gen(function* () {
      const told: Array<string> = []
      const { port } = yield* echoing(
        { onStatus: () => {}, onFailure: (_, { kind }) => told.push(kind) },
        { handshakeTimeout: "200 millis" }
      )
      const socket = yield* tcp(port)
      socket.write(garbages[2]!, "latin1")
      // it reads its alert, and ends nothing
      yield* rest(socket)
      yield* Effect.sleep("400 millis")
      assert.deepStrictEqual(told, ["NotTls"])
    })
  )

  it.live("is cut off at the deadline with half a handshake, however steadily it sends", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing({}, { handshakeTimeout: "300 millis" })
      const hello = yield* Effect.promise(() => fromNode({}))
      const silent = yield* tcp(port)
      const half = yield* tcp(port)
      half.write(hello.subarray(0, 100))
      // the whole hello, and nothing after it
      const mute = yield* tcp(port)
      mute.write(hello)
      const slow = yield* tcp(port)
      let at = 0
      const timer = setInterval(() => slow.writable && slow.write(hello.subarray(at, ++at)), 20)
      const begin = Date.now()
      yield* Effect.all([silent, half, mute, slow].map(rest), { concurrency: "unbounded" })
      clearInterval(timer)
      assert.isBelow(Date.now() - begin, 5000)
      assert.isAtLeast(Date.now() - begin, 250)
    })
  )

  it.live("is cut off when it is silent for inactivityTimeout, and not while it sends", () =>
    Effect.gen(function* () {
      const before = yield* outcome("Inactive")
      const { port } = yield* echoing({ inactivityTimeout: "200 millis" })
      const hello = yield* Effect.promise(() => fromNode({}))
      const silent = yield* tcp(port)
      const mute = yield* tcp(port)
      mute.write(hello)
      const begin = Date.now()
      yield* Effect.all([silent, mute].map(rest), { concurrency: "unbounded" })
      assert.isBelow(Date.now() - begin, 5000)
      assert.strictEqual((yield* outcome("Inactive")) - before, 2)
      const slow = yield* tcp(port)
      let over = false
      slow.on("end", () => (over = true)).resume()
      for (let i = 0; i < 20; i++) {
        slow.write(hello.subarray(i, i + 1))
        yield* Effect.sleep("30 millis")
      }
      assert.isFalse(over)
    })
  )

  it.live("may send its ClientHello a byte at a time", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      const socket = yield* tcp(port)
      const hello = yield* Effect.promise(() => fromNode({}))
      socket.setNoDelay(true)
      for (let i = 0; i < hello.length; i++) {
        socket.write(hello.subarray(i, i + 1))
        yield* Effect.yieldNow
      }
      const answer = yield* Effect.callback<Buffer>(
        (resume) => void socket.once("data", (it: Buffer) => resume(Effect.succeed(it)))
      )
      // a ServerHello
      assert.deepStrictEqual([answer[0], answer[5]], [22, 2])
    })
  )

  it.live("is told nothing of a half-closed connection, which ends", () =>
    Effect.gen(function* () {
      const { port } = yield* echoing()
      const hello = yield* Effect.promise(() => fromNode({}))
      for (const sent of [hello.subarray(0, 50), new Uint8Array(0)]) {
        const socket = yield* tcp(port)
        socket.end(sent)
        yield* rest(socket)
      }
    })
  )

  it.live("leaves the server to others, whatever it does", () =>
    Effect.gen(function* () {
      const messages: Array<string> = []
      const { port } = yield* echoing({
        settings: { minVersion: "TLSv1.3" },
        onStatus: (_, message) => messages.push(message)
      })
      const error = yield* Effect.flip(dial(port, { maxVersion: "TLSv1.2" }))
      assert.include(error.message, "alert")
      yield* Effect.flip(dial(port, { ALPNProtocols: ["h2"] }))
      yield* Effect.flip(dial(port, { rejectUnauthorized: true }))
      const reset = yield* tcp(port)
      reset.write(yield* Effect.promise(() => fromNode({})))
      yield* Effect.sleep("20 millis")
      reset.resetAndDestroy()
      const out = yield* command("openssl", ["s_client", "-connect", `127.0.0.1:${port}`, "-verify_return_error"])
      assert.notStrictEqual(out.code, 0)
      assert.isTrue(yield* isLetIn(port))
      yield* eventually(
        "all is told",
        Effect.sync(() => messages.some((it) => it.startsWith("Alert received")))
      )
      const text = messages.join("\n")
      assert.include(text, "Alert sent: protocol_version (70)")
      assert.include(text, "Alert sent: no_application_protocol (120)")
      assert.match(text, /Alert received: (unknown_ca|bad_certificate|certificate_unknown)/)
      assert.include(text, "Handshake failed: the client speaks none of the versions that are enabled here")
      assert.match(text, /Handshake done: TLSv1\.3, TLS_AES_256_GCM_SHA384, X25519/)
    })
  )

  it.live("is cut off when the listener stops", () =>
    Effect.gen(function* () {
      const { port, server } = yield* echoing()
      const socket = yield* tcp(port)
      socket.write(Buffer.from([22, 3]))
      yield* Effect.sleep("50 millis")
      yield* server.stop
      yield* rest(socket)
    }).pipe(Effect.timeout("3 seconds"))
  )
})

describe("records", () => {
  it.live("are told of, each with its direction, type, version and length", () =>
    Effect.gen(function* () {
      const messages: Array<string> = []
      const { port } = yield* echoing({ records: true, onStatus: (_, message) => messages.push(message) })
      const wire = yield* upgraded(port)
      const payload = Buffer.alloc(300_000, 7)
      wire.send({ opcode: 2, payload })
      assert.deepStrictEqual(Buffer.from((yield* wire.next).payload), payload)
      const heads = messages.filter((it) => it.startsWith("TLS record"))
      assert.match(heads[0]!, /^TLS record received: handshake \(22\), version 3\.1, \d+ bytes$/)
      assert.isAbove(heads.filter((it) => /received: application_data \(23\), version 3\.3/.test(it)).length, 18)
      assert.isAbove(heads.filter((it) => /sent: application_data \(23\), version 3\.3/.test(it)).length, 18)
      assert.isTrue(heads.every((it) => !it.includes("unknown")))
    })
  )

  for (const records of [false, true]) {
    it.live(`that a request comes in, many at once, are one request${records ? ", told of as well" : ""}`, () =>
      Effect.gen(function* () {
        const { port } = yield* echoing({ records, onStatus: () => {} })
        const socket = yield* dial(port)
        assert.isTrue(socket.setMaxSendFragment(512))
        const wire = new Wire(socket)
        const request = upgradeRequest({ "X-Fill": "a".repeat(2000) })
        wire.write(Buffer.concat([Buffer.from(request), bytesOf("client", [textFrame("hi"), textFrame("ho")])]))
        assert.strictEqual((yield* wire.response).status, 101)
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "hi"])
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "ho"])
      })
    )
  }
})
