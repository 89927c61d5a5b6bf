import { assert, describe, it } from "@effect/vitest"
import { Context, Effect, Layer, Queue } from "effect"
import { randomBytes } from "node:crypto"
import { mkdtempSync, rmSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import type * as NodeProxyProtocol from "../../src/node/NodeProxyProtocol.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import * as ProxyProtocol from "../../src/protocol/ProxyProtocol.ts"
import type { OpenRequest } from "../../src/server/OpenRequest.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { text } from "../connection/connected.ts"
import { counting } from "../connection/metrics.ts"
import { eachByte, patterned } from "../protocol/bytes.ts"
import * as Balancer from "./balancer.ts"
import { balancer, header, line, list, seen, stranger, trusted, wireFrom } from "./balancer.ts"
import { collectingLogs, deciding, echo, eventually, type Logged, noneOpen, type Options } from "./serving.ts"
import { upgradeRequest, Wire } from "./wire.ts"

/** An echo server behind a balancer, and the requests that it gets. */
const behind = Effect.fnUntraced(function* (
  options: Omit<Options, "proxyProtocol"> = {},
  accepting: Partial<NodeProxyProtocol.Accepting> = {}
) {
  const requests = yield* Queue.unbounded<OpenRequest>()
  const running = yield* deciding(
    (open) => Effect.andThen(Queue.offer(requests, open), Effect.flatMap(open.accept, echo)),
    { proxyProtocol: { trusted, ...accepting }, ...options }
  )
  return { ...running, next: Effect.map(Queue.take(requests), seen), requests }
})

const isLogged = (logs: ReadonlyArray<Logged>, level: string, what: RegExp) =>
  eventually(
    `it logs ${what}`,
    Effect.sync(() => logs.some((log) => log.level === level && what.test(log.text)))
  )

const local = Uint8Array.of(13, 10, 13, 10, 0, 13, 10, 81, 85, 73, 84, 10, 0x20, 0, 0, 0)

describe("a header from a trusted address", () => {
  it.live("says whose the connection is, in either version", () =>
    Effect.gen(function* () {
      const { next, port } = yield* behind()
      const one = yield* wireFrom(balancer, port, line("198.51.100.7", 4711), upgradeRequest())
      assert.strictEqual((yield* one.response).status, 101)
      const first = yield* next
      assert.strictEqual(first.remoteAddress, "198.51.100.7")
      assert.deepStrictEqual(first.peer, {
        remoteAddress: "198.51.100.7",
        remotePort: 4711,
        localAddress: "203.0.113.1",
        localPort: 443
      })
      assert.deepStrictEqual(first.proxied, {
        version: 1,
        by: {
          remoteAddress: balancer,
          remotePort: one.socket.localPort!,
          localAddress: "127.0.0.1",
          localPort: port
        },
        tlvs: { others: [] }
      })
      const tlvs: ProxyProtocol.Tlvs = {
        authority: "app.example",
        uniqueId: patterned(20),
        ssl: {
          isTls: true,
          hasCertificate: true,
          hasSessionCertificate: false,
          verify: 0,
          version: "TLSv1.3",
          commonName: "alice",
          others: []
        },
        others: []
      }
      const two = yield* wireFrom(balancer, port, header("[2001:db8::7]:4712", tlvs), upgradeRequest())
      assert.strictEqual((yield* two.response).status, 101)
      const second = yield* next
      assert.strictEqual(second.remoteAddress, "2001:db8::7")
      assert.deepStrictEqual(second.proxied?.tlvs, tlvs)
      assert.strictEqual(second.proxied?.version, 2)
      // one and the same, whatever its notation
      yield* wireFrom(balancer, port, header("[::ffff:198.51.100.7]:1"), upgradeRequest())
      assert.strictEqual((yield* next).remoteAddress, "198.51.100.7")
    })
  )

  it.live("loses nothing of what comes behind it, in one piece or byte by byte", () =>
    Effect.gen(function* () {
      const { next, port } = yield* behind()
      for (const first of [line("198.51.100.7", 1), header("198.51.100.7:1")]) {
        const all = Buffer.concat([Buffer.from(first), Buffer.from(upgradeRequest())])
        for (const chunks of [[all], eachByte(all)]) {
          const wire = yield* wireFrom(balancer, port, ...chunks)
          wire.send(text("at once"))
          assert.strictEqual((yield* wire.response).status, 101)
          assert.strictEqual(Buffer.from((yield* wire.next).payload).toString(), "at once")
          assert.strictEqual((yield* next).remoteAddress, "198.51.100.7")
        }
      }
    })
  )

  it.live("decides what address is admitted, and what limits by address count", () =>
    Effect.gen(function* () {
      const asked: Array<string | undefined> = []
      const { next, port } = yield* behind({
        maxConnectionsPerAddress: 1,
        admit: ({ remoteAddress }) =>
          Effect.sync(() => {
            asked.push(remoteAddress)
            return remoteAddress !== "198.51.100.66"
          })
      })
      const status = (source: string) => Balancer.statusBehind(port, line(source, 1))
      assert.strictEqual(yield* status("198.51.100.7"), 101)
      assert.strictEqual(yield* status("198.51.100.8"), 101)
      assert.strictEqual(yield* status("198.51.100.7"), 429)
      assert.deepStrictEqual(
        [(yield* next).remoteAddress, (yield* next).remoteAddress],
        ["198.51.100.7", "198.51.100.8"]
      )
      const refused = yield* wireFrom(balancer, port, line("198.51.100.66", 1), upgradeRequest())
      yield* refused.ended
      assert.strictEqual(refused.socket.bytesRead, 0)
      // who has too many is not asked about
      assert.deepStrictEqual(asked, ["198.51.100.7", "198.51.100.8", "198.51.100.66"])
    })
  )

  it.live("leaves the address as it is if it speaks for the balancer itself, or for nobody, or of a datagram", () =>
    Effect.gen(function* () {
      const { next, port } = yield* behind()
      const datagram = header("198.51.100.7:1").slice(0, 28)
      datagram[13] = 0x12
      datagram[15] = 12
      const unspecified = local.slice()
      unspecified[12] = 0x21
      for (const first of [local, unspecified, datagram, "PROXY UNKNOWN\r\n"]) {
        const wire = yield* wireFrom(balancer, port, first, upgradeRequest())
        assert.strictEqual((yield* wire.response).status, 101)
        const { peer, proxied, remoteAddress } = yield* next
        assert.deepStrictEqual([remoteAddress, proxied], [balancer, undefined])
        assert.strictEqual(peer?.remotePort, wire.socket.localPort)
      }
    })
  )

  it.live("has a client of a unix socket be one without an address", () =>
    Effect.gen(function* () {
      const { next, port } = yield* behind()
      const unix = ProxyProtocol.toBytes({
        _tag: "Unix",
        version: 2,
        transport: "stream",
        source: "",
        destination: "/run/balancer.sock",
        tlvs: ProxyProtocol.noTlvs
      })
      assert.isTrue(unix._tag === "Success")
      if (unix._tag !== "Success") return
      assert.strictEqual(yield* Balancer.statusBehind(port, unix.success), 101)
      const { peer, remoteAddress } = yield* next
      assert.strictEqual(remoteAddress, undefined)
      assert.strictEqual(peer?.remotePort, undefined)
    })
  )
})

describe("a connection of a trusted address without a header that can be read", () => {
  const damaged = header("198.51.100.7:1")
  damaged[20]! ^= 1
  const cases: ReadonlyArray<readonly [string, string | Uint8Array, RegExp, string]> = [
    ["a request", upgradeRequest(), /expected a PROXY protocol header, got 0x47 as byte 1/, "NotProxyProtocol"],
    ["a line that is none", "PROXY TCP4 1.2.3.4 nonsense 1 2\r\n", /expected addresses of TCP4/, "Address"],
    ["an endless line", `PROXY ${"x".repeat(200)}`, /within 107 bytes/, "TooLong"],
    ["a damaged header", damaged, /its CRC32C is another/, "Checksum"],
    [
      "a header larger than is taken",
      header("198.51.100.7:1", { authority: "x".repeat(100), others: [] }),
      /at most 64 bytes/,
      "TooLong"
    ]
  ]
  it.live.each(cases)("is closed without a word, and why is logged: %s", ([, bytes, why, kind]) =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port, server } = yield* behind({}, { maxHeaderSize: 64 })
        const count = yield* counting(
          Telemetry.proxyHeaders,
          kind,
          Effect.gen(function* () {
            const wire = yield* wireFrom(balancer, port, bytes)
            yield* wire.ended
            assert.strictEqual(wire.socket.bytesRead, 0)
            yield* isLogged(logs, "Warn", why)
          })
        )
        assert.strictEqual(count, 1)
        assert.isTrue(logs.every((log) => log.text.includes(`A connection from ${balancer} was closed`)))
        assert.isTrue(yield* noneOpen(server))
      })
    )
  )

  it.live("is closed at the end of the handshake's time, with nothing or a part of one", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port } = yield* behind({ handshakeTimeout: "200 millis" })
        const silent = yield* wireFrom(balancer, port)
        const slow = yield* wireFrom(balancer, port, "PROXY TCP4 ")
        yield* silent.ended
        yield* slow.ended
        assert.strictEqual(logs.filter(({ text }) => /not there within 0.2 seconds/.test(text)).length, 2)
      })
    )
  )

  it.live("is nobody's if it ends before its first byte, and one for the log if it ends later", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port } = yield* behind()
        const probe = yield* wireFrom(balancer, port)
        probe.end()
        yield* probe.ended
        assert.deepStrictEqual(
          logs.filter(({ level }) => level !== "Debug"),
          []
        )
        const torn = yield* wireFrom(balancer, port, "PROXY TCP4 198.51.100.7")
        torn.end()
        yield* torn.ended
        yield* isLogged(logs, "Warn", /it ended within its PROXY protocol header/)
      })
    )
  )

  it.live("is cut off when the server stops", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { port, server } = yield* behind({ handshakeTimeout: "1 minute" })
        const wire = yield* wireFrom(balancer, port, "PROXY")
        // it was accepted before this one
        yield* Effect.flatMap(wireFrom(stranger, port, upgradeRequest()), (other) => other.response)
        yield* server.stop
        yield* wire.ended
        assert.deepStrictEqual(logs, [])
      })
    )
  )

  it.live("is taken as it is where a header is optional, and one that is damaged is not", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const { next, port } = yield* behind({}, { mode: "optional" })
        const without = yield* wireFrom(balancer, port, "G", upgradeRequest().slice(1))
        without.send(text("hello"))
        assert.strictEqual((yield* without.response).status, 101)
        assert.strictEqual(Buffer.from((yield* without.next).payload).toString(), "hello")
        assert.strictEqual((yield* next).remoteAddress, balancer)
        assert.strictEqual(yield* Balancer.statusBehind(port, line("198.51.100.7", 1)), 101)
        assert.strictEqual((yield* next).remoteAddress, "198.51.100.7")
        // what begins as a header does is one
        const wire = yield* wireFrom(balancer, port, "PROXY TCP4 nonsense\r\n", upgradeRequest())
        yield* wire.ended
        assert.strictEqual(wire.socket.bytesRead, 0)
      })
    )
  )
})

describe("bytes of no kind", () => {
  it.live("end their own connection and no other", () =>
    collectingLogs(() =>
      Effect.gen(function* () {
        const { port, requests, server } = yield* behind({ handshakeTimeout: "5 seconds" })
        const beginnings = ["", "PROXY ", "PROXY TCP4 198.51.100.7 ", local.subarray(0, 12), local.subarray(0, 13)]
        for (const [index, beginning] of [...beginnings, ...beginnings].entries()) {
          for (const size of [1, 16, 300]) {
            const from = index < beginnings.length ? balancer : stranger
            const wire = yield* wireFrom(from, port, beginning, randomBytes(size))
            wire.end()
            yield* wire.ended
          }
        }
        assert.strictEqual(yield* Queue.size(requests), 0)
        assert.strictEqual(yield* Balancer.statusBehind(port, line("198.51.100.7", 1)), 101)
        yield* eventually(
          "only one is left",
          Effect.map(server.connections, (count) => count === 1)
        )
      })
    )
  )
})

describe("a unix socket", () => {
  it.live("is believed if everybody is, since nobody has an address there", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "proxy-protocol-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      )
      const path = join(folder, "socket")
      const requests = yield* Queue.unbounded<OpenRequest>()
      const context = yield* Layer.build(
        NodeWebSocketServer.layer({ unix: { path }, proxyProtocol: { trusted: list("*") } })
      )
      yield* Effect.forkScoped(
        Context.get(context, WebSocketServer).runRequests((open) =>
          Effect.andThen(Queue.offer(requests, open), Effect.flatMap(open.accept, echo))
        )
      )
      const wire = yield* Effect.acquireRelease(
        Effect.sync(() => new Wire(Net.connect({ path }))),
        ({ socket }) => Effect.sync(() => socket.destroy())
      )
      wire.write(line("198.51.100.7", 4711))
      wire.write(upgradeRequest())
      assert.strictEqual((yield* wire.response).status, 101)
      const { proxied, remoteAddress } = seen(yield* Queue.take(requests))
      assert.strictEqual(remoteAddress, "198.51.100.7")
      assert.strictEqual(proxied?.by.remoteAddress, undefined)
    })
  )
})

describe("an address that is not trusted", () => {
  it.live("is believed nothing: its header is no HTTP", () =>
    Effect.gen(function* () {
      const { next, port, requests } = yield* behind()
      for (const first of [line("198.51.100.7", 1), header("198.51.100.7:1"), local]) {
        assert.strictEqual(yield* Balancer.statusBehind(port, first, {}, stranger), 400)
      }
      assert.strictEqual(yield* Queue.size(requests), 0)
      assert.strictEqual(yield* Balancer.statusBehind(port, "", {}, stranger), 101)
      const { proxied, remoteAddress } = yield* next
      assert.deepStrictEqual([remoteAddress, proxied], [stranger, undefined])
    })
  )

  it.live("is one behind a balancer, too: a second header is the client's", () =>
    Effect.gen(function* () {
      const { port, requests } = yield* behind()
      const both = `${line("198.51.100.7", 1)}${line(balancer, 1)}`
      assert.strictEqual(yield* Balancer.statusBehind(port, both), 400)
      assert.strictEqual(yield* Queue.size(requests), 0)
    })
  )

  it.live("is everybody who is in no list, whatever the notation of the list", () =>
    Effect.gen(function* () {
      const { next, port } = yield* behind({}, { trusted: list("::ffff:127.0.0.2, 10.0.0.0/8") })
      assert.strictEqual(yield* Balancer.statusBehind(port, line("198.51.100.7", 1), {}, stranger), 101)
      assert.strictEqual((yield* next).remoteAddress, "198.51.100.7")
      assert.strictEqual(yield* Balancer.statusBehind(port, line("198.51.100.7", 1), {}, balancer), 400)
    })
  )
})
