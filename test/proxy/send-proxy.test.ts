/** Targets that are told for whom they are dialled, in the PROXY protocol. */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import { mkdtempSync, rmSync } from "node:fs"
import * as Net from "node:net"
import { tmpdir } from "node:os"
import { join } from "node:path"
import * as tls from "node:tls"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import type * as NodeProxyProtocol from "../../src/node/NodeProxyProtocol.ts"
import * as ProxyProtocol from "../../src/protocol/ProxyProtocol.ts"
import type { Client } from "../../src/proxy/Dialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { Target, UnixTarget } from "../../src/proxy/Target.ts"
import * as Identities from "../../src/tls/Identities.ts"
import { patterned } from "../protocol/bytes.ts"
import { balancer, connectFrom, header, list, trusted } from "../server/balancer.ts"
import { upgradeRequest, Wire } from "../server/wire.ts"
import { Authority } from "../tls/authority.ts"
import { localhost } from "../tls/listening.ts"
import { text } from "../tls/openssl.ts"
import { identity } from "../tls/tlsTarget.ts"
import { play, target as behindFirewall, tunnel } from "./firewall.ts"
import * as Frames from "./frames.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually } from "./watch.ts"

const authority = new Authority("authority")
authority.issue("server")
authority.issue("alice", { extensions: ["extendedKeyUsage=clientAuth"] })

/** Waits for the header that a target got first, and gives it. */
const told = (target: RawTarget.TargetConnection) =>
  eventually("the header", () => {
    const outcome = new ProxyProtocol.Decoder().push(target.bytes)
    return outcome._tag === "Header" ? outcome.header : undefined
  })

/** What a header says, as text. */
const shown = (header: ProxyProtocol.Header) =>
  header._tag === "Inet" ? `${header.version} ${String(header.source)} ${String(header.destination)}` : header._tag

const tlvsOf = (header: ProxyProtocol.Header): ProxyProtocol.Tlvs =>
  header._tag === "Inet" ? header.tlvs : assert.fail(header._tag)

const sending = (proxyProtocol: NodeProxyProtocol.Sending) => NodeDialer.layer({ proxyProtocol })

const all: ReadonlyArray<NodeProxyProtocol.Tlv> = ["authority", "alpn", "ssl", "uniqueId"]

describe("a client's address", () => {
  it.live.each([[1], [2]] as const)("is the first that a target gets, in version %s", ([version]) =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target: listener.target, dialer: sending({ version }) })
      const client = yield* RawClient.open(proxy.port)
      yield* client.send(Frames.binary, "hello")
      const target = yield* listener.accept
      const header = yield* told(target)
      const { localPort } = client.socket
      assert.strictEqual(shown(header), `${version} 127.0.0.1:${localPort} 127.0.0.1:${proxy.port}`)
      yield* eventually("the client's bytes", () => target.text.endsWith("hello"))
      if (version === 1) {
        assert.strictEqual(target.text, `PROXY TCP4 127.0.0.1 127.0.0.1 ${localPort} ${proxy.port}\r\nhello`)
      }
    })
  )

  it.live("is the one that a load balancer said, and so is all else", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: listener.target,
        proxyProtocol: { trusted },
        dialer: sending({ version: 2, tlvs: all, checksum: true })
      })
      const tlvs: ProxyProtocol.Tlvs = {
        alpn: "http/1.1",
        authority: "app.example",
        uniqueId: patterned(16),
        ssl: {
          isTls: true,
          hasCertificate: true,
          hasSessionCertificate: true,
          verify: 0,
          version: "TLSv1.2",
          commonName: "bob",
          others: [{ type: 0x26, value: patterned(3) }]
        },
        others: []
      }
      const socket = yield* connectFrom(balancer, proxy.port)
      socket.write(header("[2001:db8::7]:4711", { ...tlvs, netns: "blue" }))
      socket.write(upgradeRequest())
      const passed = yield* told(yield* listener.accept)
      assert.strictEqual(shown(passed), "2 [2001:db8::7]:4711 [2001:db8::ffff]:443")
      assert.deepStrictEqual(tlvsOf(passed), tlvs)
    })
  )

  it.live("is the one that a reverse proxy said, whose own connection says nothing of it", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({
        target: listener.target,
        proxyProtocol: { trusted },
        forwarded: { trusted: list("10.0.0.0/8"), header: "x-forwarded-for" },
        dialer: sending({ version: 2, tlvs: ["authority", "ssl"] })
      })
      const said = header("10.0.0.1:4711", { authority: "inner.example", others: [] })
      const through = yield* connectFrom(balancer, proxy.port)
      through.write(said)
      through.write(upgradeRequest({ "X-Forwarded-For": "2001:db8::7" }))
      const one = yield* told(yield* listener.accept)
      assert.strictEqual(shown(one), "2 [2001:db8::7]:0 [::ffff:203.0.113.1]:443")
      assert.deepStrictEqual(tlvsOf(one), ProxyProtocol.noTlvs)
      const own = yield* connectFrom(balancer, proxy.port)
      own.write(said)
      own.write(upgradeRequest())
      const two = yield* told(yield* listener.accept)
      assert.strictEqual(shown(two), "2 10.0.0.1:4711 203.0.113.1:443")
      assert.strictEqual(tlvsOf(two).authority, "inner.example")
    })
  )

  it.live("may be missing: nobody's dial, and a client's without an address", () =>
    Effect.gen(function* () {
      const peer = { localAddress: "127.0.0.1", localPort: 80 }
      const clients: ReadonlyArray<readonly [Client | undefined, string]> = [
        [undefined, "Local"],
        [{ remoteAddress: undefined, peer }, "Unknown"],
        [{ remoteAddress: "unknown", peer }, "Unknown"],
        [{ remoteAddress: "_hidden", peer }, "Unknown"],
        [{ remoteAddress: "198.51.100.7", peer: undefined }, "Unknown"],
        [{ remoteAddress: "fe80::1%eth0", peer }, "2 [fe80::1]:0 [::ffff:127.0.0.1]:80"],
        [
          {
            remoteAddress: "::ffff:198.51.100.7",
            peer: { ...peer, remoteAddress: "::ffff:198.51.100.7", remotePort: 9 }
          },
          "2 198.51.100.7:9 127.0.0.1:80"
        ]
      ]
      const listener = yield* RawTarget.listen()
      for (const version of [1, 2] as const) {
        const { dial } = NodeDialer.make({ proxyProtocol: { version, tlvs: all } })
        for (const [client, expected] of clients) {
          yield* dial(listener.target, client)
          const header = yield* told(yield* listener.accept)
          assert.strictEqual(
            shown(header),
            version === 2 ? expected : expected.replace("Local", "Unknown").replace(/^2/, "1")
          )
        }
      }
    })
  )
})

describe("TLVs", () => {
  /** A client that speaks TLS and shows a certificate, and what its target is told. */
  const secured = (wanted: ReadonlyArray<NodeProxyProtocol.Tlv>, options: tls.ConnectionOptions) =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const certificate = yield* localhost
      const proxy = yield* Proxy.serve({
        target: listener.target,
        tls: {
          identities: Identities.one(certificate),
          clientCertificates: { ca: [text("authority.crt")], decide: () => Effect.succeed(true) }
        },
        dialer: sending({ version: 2, tlvs: wanted })
      })
      const socket = tls.connect({
        socket: yield* connectFrom(balancer, proxy.port),
        rejectUnauthorized: false,
        ...options
      })
      new Wire(socket).write(upgradeRequest())
      return tlvsOf(yield* told(yield* listener.accept))
    }).pipe(Effect.scoped)

  it.live("say what was agreed on with a client that speaks TLS, and who it is", () =>
    Effect.gen(function* () {
      const { uniqueId, ...tlvs } = yield* secured(all, {
        ...identity("alice"),
        servername: "localhost",
        ALPNProtocols: ["http/1.1"],
        ciphers: "ECDHE-ECDSA-AES128-GCM-SHA256",
        maxVersion: "TLSv1.2"
      })
      assert.deepStrictEqual(tlvs, {
        authority: "localhost",
        alpn: "http/1.1",
        ssl: {
          isTls: true,
          hasCertificate: true,
          hasSessionCertificate: true,
          verify: 0,
          version: "TLSv1.2",
          commonName: "alice",
          cipher: "ECDHE-ECDSA-AES128-GCM-SHA256",
          others: []
        },
        others: []
      })
      assert.match(Buffer.from(uniqueId!).toString(), /^[\da-f-]{36}$/)
    })
  )

  it.live("say that there is no certificate, or that it is not trusted", () =>
    Effect.gen(function* () {
      const { ssl: none, ...rest } = yield* secured(["ssl"], { servername: "localhost" })
      assert.deepStrictEqual(rest, { others: [] })
      assert.deepStrictEqual(
        [none?.isTls, none?.hasCertificate, none?.verify, none?.commonName, none?.version],
        [true, false, 1, undefined, "TLSv1.3"]
      )
      const { ssl } = yield* secured(["ssl"], { ...identity("localhost"), servername: "localhost" })
      assert.deepStrictEqual([ssl?.hasCertificate, ssl?.verify], [true, 1])
      assert.isFalse(ProxyProtocol.isVerified(ssl!))
    })
  )

  it.live("are what is asked for, and nothing more", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target: listener.target, dialer: sending({ version: 2, tlvs: all }) })
      yield* RawClient.request(proxy.port)
      const header = yield* told(yield* listener.accept)
      assert.deepStrictEqual(Object.keys(tlvsOf(header)).toSorted(), ["others", "uniqueId"])
    })
  )
})

/** A target that reads a header, and then speaks TLS. */
const tlsBehindHeader = Effect.acquireRelease(
  Effect.promise(
    () =>
      new Promise<{ server: Net.Server; seen: Array<string> }>((resolve) => {
        const seen: Array<string> = []
        const server = Net.createServer((raw) => {
          const decoder = new ProxyProtocol.Decoder()
          raw.on("error", () => {})
          raw.on("data", function onData(chunk: Buffer) {
            const outcome = decoder.push(chunk)
            if (outcome._tag !== "Header") return
            raw.off("data", onData)
            raw.pause()
            seen.push(shown(outcome.header))
            raw.unshift(decoder.received.subarray(outcome.size))
            const stream = new tls.TLSSocket(raw, { ...identity("server"), isServer: true })
            stream.on("error", () => {})
            stream.on("data", (bytes: Buffer) => seen.push(bytes.toString()))
          })
        })
        server.listen(0, "127.0.0.1", () => resolve({ server, seen }))
      })
  ),
  ({ server }) => Effect.sync(() => server.close())
)

describe("the way to the target", () => {
  it.live("has the header before TLS", () =>
    Effect.gen(function* () {
      const { seen, server } = yield* tlsBehindHeader
      const { port } = server.address() as Net.AddressInfo
      const proxy = yield* Proxy.serve({
        target: new Target({ host: "localhost", port }),
        dialer: NodeDialer.layer({ tls: { ca: authority.pem }, proxyProtocol: { version: 1 } })
      })
      const client = yield* RawClient.open(proxy.port)
      yield* client.send(Frames.binary, "hello")
      yield* eventually("what it has seen", () => seen.length === 2)
      assert.deepStrictEqual(seen, [`1 127.0.0.1:${client.socket.localPort} 127.0.0.1:${proxy.port}`, "hello"])
    })
  )

  it.live("has it within a firewall's tunnel", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { dial } = NodeDialer.make({
        proxyProtocol: { version: 1 },
        firewall: new Firewall.Tunnel({ host: "127.0.0.1", port: listener.port })
      })
      const peer = { remoteAddress: "198.51.100.7", remotePort: 1, localAddress: "203.0.113.1", localPort: 2 }
      const client = { remoteAddress: peer.remoteAddress, peer }
      const dialled = yield* Effect.forkChild(dial(behindFirewall, client), { startImmediately: true })
      const firewall = yield* listener.accept
      const asked = yield* play(firewall, tunnel.steps)
      yield* Fiber.join(dialled)
      const expected = "PROXY TCP4 198.51.100.7 203.0.113.1 1 2\r\n"
      yield* firewall.untilReceived(asked + expected.length)
      assert.strictEqual(firewall.bytes.subarray(asked).toString(), expected)
    })
  )

  it.live("has it on a unix socket, and none where the target has none", () =>
    Effect.gen(function* () {
      const folder = yield* Effect.acquireRelease(
        Effect.sync(() => mkdtempSync(join(tmpdir(), "send-proxy-"))),
        (folder) => Effect.sync(() => rmSync(folder, { recursive: true, force: true }))
      )
      const listener = new RawTarget.RawTarget({})
      yield* Effect.acquireRelease(
        Effect.promise(() => new Promise<void>((resolve) => void listener.server.listen(join(folder, "s"), resolve))),
        () => Effect.sync(() => listener.server.close())
      )
      const { dial } = NodeDialer.make({
        proxyProtocol: (target) => (target instanceof UnixTarget ? { version: 2 } : undefined)
      })
      yield* dial(new UnixTarget({ path: join(folder, "s") }))
      assert.strictEqual(shown(yield* told(yield* listener.accept)), "Local")
      const plain = yield* RawTarget.listen()
      const socket = yield* dial(plain.target)
      const writer = yield* socket.writer
      yield* writer.write("first")
      const connection = yield* plain.accept
      yield* connection.untilReceived(5)
      assert.strictEqual(connection.text, "first")
    })
  )
})
