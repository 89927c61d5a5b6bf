/**
 * Firewalls that are spoken to over TLS: asked as without it, no byte lost, TLS in TLS, and what is said of those that are not
 * trusted. Their failures are the firewall's, and never taken for the target's.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Logger from "effect/Logger"
import * as Https from "node:https"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { soon } from "../proxy/connected.ts"
import * as DeafTarget from "../proxy/deafTarget.ts"
import { connectProxy, kinds, play, read, socks5, sockets, target, tunnel } from "../proxy/firewall.ts"
import * as Frames from "../proxy/frames.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually } from "../proxy/watch.ts"
import { Authority } from "./authority.ts"
import { certificate } from "./openssl.ts"
import { identity, listen } from "./tlsTarget.ts"

const authority = new Authority("authority")
authority.issue("server")
authority.issue("named", { extensions: ["subjectAltName=DNS:db.example"] })
certificate("lonely", { extensions: ["subjectAltName=DNS:localhost"] })
const ca = authority.pem
const MiB = 1024 * 1024

const classes = {
  Tunnel: Firewall.Tunnel,
  Socks4: Firewall.Socks4,
  Socks4a: Firewall.Socks4a,
  Socks5: Firewall.Socks5
} as const

/** The same firewall, by the name that its certificate has, over TLS. */
const overTls = (firewall: Firewall.Firewall): Firewall.Firewall => {
  if (!Firewall.isPresent(firewall)) return firewall
  const { _tag, ...fields } = firewall
  return new classes[_tag]({ ...fields, host: "localhost", tls: true })
}

describe.each(kinds.map((kind) => [kind.name, kind] as const))("%s over TLS", { timeout: 30_000 }, (_, kind) => {
  it.live("is asked as without it, and loses no byte", () =>
    Effect.gen(function* () {
      const listener = yield* listen(identity("server"))
      const { dial } = NodeDialer.make({ firewall: overTls(kind.at(listener.port)), firewallTls: { ca } })
      const dialled = yield* Effect.forkChild(dial(target), { startImmediately: true })
      const firewall = yield* listener.accept
      const asked = yield* play(firewall, kind.steps, { slowly: true, behind: "hello" })
      const socket = yield* Fiber.join(dialled)
      const reader = yield* socket.reader
      assert.strictEqual(yield* read(reader, 5), "hello")
      yield* Effect.scoped(Effect.flatMap(socket.writer, (writer) => writer.write("question")))
      yield* firewall.until("end", soon)
      assert.strictEqual(firewall.bytes.subarray(asked).toString(), "question")
      yield* firewall.write(Buffer.from("answer"))
      assert.strictEqual(yield* read(reader, 6), "answer")
      yield* firewall.end()
      assert.strictEqual(yield* read(reader, 1), "<end>")
    }).pipe(Effect.scoped)
  )

  it.live("that closes or resets in place of an answer says so, and leaves no socket", () =>
    Effect.gen(function* () {
      const before = sockets()
      for (const ends of ["end", "reset"] as const) {
        yield* Effect.gen(function* () {
          const listener = yield* listen(identity("server"))
          const { dial } = NodeDialer.make({ firewall: overTls(kind.at(listener.port)), firewallTls: { ca } })
          const dialled = yield* Effect.forkChild(dial(target), { startImmediately: true })
          const firewall = yield* listener.accept
          yield* firewall.untilReceived(1)
          yield* firewall[ends]()
          const error = yield* Effect.flip(Fiber.join(dialled))
          assert.strictEqual(error.kind, "FirewallFailed")
          assert.match(error.message, /(closed|broke) the connection before it answered/)
        }).pipe(Effect.scoped)
      }
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    })
  )
})

describe("TLS in TLS in TLS", { timeout: 60_000 }, () => {
  it.live("carries megabytes both ways, intact", () =>
    Effect.gen(function* () {
      const before = sockets()
      yield* Effect.gen(function* () {
        const listener = yield* listen(identity("server"))
        const first = yield* connectProxy(Https.createServer(identity("server")))
        const second = yield* connectProxy(Https.createServer(identity("server")))
        const at = ({ port }: { readonly port: number }) => new Firewall.Tunnel({ host: "localhost", port, tls: true })
        const proxy = yield* Proxy.serve({
          closeTimeout: "30 seconds",
          target: listener.target,
          dialer: NodeDialer.layer({ tls: { ca }, firewall: [at(first), at(second)], firewallTls: { ca } })
        })
        const client = yield* RawClient.open(proxy.port)
        const target = yield* listener.accept
        const up = new Pattern.Checker(1)
        const down = new Pattern.Checker(2)
        target.sink = (chunk) => up.push(chunk)
        client.sink = (piece) => down.push(piece)
        const total = 4 * MiB + 345
        yield* Effect.all(
          [client.sendAll(Pattern.pieces(1, total, 50_000)), target.writeAll(Pattern.pieces(2, total, 70_001))],
          { concurrency: "unbounded" }
        )
        yield* target.untilReceived(total, 20_000)
        yield* client.untilPayload(total, 20_000)
        assert.deepStrictEqual([up.fault, up.received], [undefined, total])
        assert.deepStrictEqual([down.fault, down.received], [undefined, total])
        assert.deepStrictEqual(first.asked, [`localhost:${second.port}`])
        assert.deepStrictEqual(second.asked, [`localhost:${listener.port}`])
        yield* client.send(Frames.binary, "last")
        yield* client.sendClose(1000)
        yield* target.until("end", soon)
        yield* target.end()
        yield* client.until("close 1000", soon)
        yield* client.end()
        yield* proxy.idle(soon)
        assert.deepStrictEqual(proxy.log, [])
      }).pipe(Effect.scoped)
      yield* eventually("the sockets to be gone", () => sockets() <= before)
    })
  )
})

describe("a firewall over TLS that cannot be trusted", { timeout: 30_000 }, () => {
  const failing = (options: NodeDialer.Options) =>
    Effect.gen(function* () {
      const before = sockets()
      const error = yield* Effect.flip(Effect.scoped(NodeDialer.make(options).dial(target)))
      yield* eventually("our socket to be gone", () => sockets() <= before + 1)
      return error
    })

  it.live.each([
    ["is for another name", "named", "the firewall's certificate is not for localhost: it is for DNS:db.example;"],
    ["is self-signed", "lonely", "the firewall's certificate is self-signed, and not a trusted one;"]
  ] as const)("has a certificate that %s", ([, name, said]) =>
    Effect.gen(function* () {
      const { port } = yield* listen(identity(name))
      const firewall = new Firewall.Socks5({ host: "localhost", port, tls: true })
      const error = yield* failing({ firewall, firewallTls: { ca } })
      assert.strictEqual(error.kind, "FirewallFailed")
      assert.strictEqual(error.refusal.status, 502)
      assert.include(error.message, `: TLS with the SOCKS5 firewall localhost:${port} failed: ${said}`)
    }).pipe(Effect.scoped)
  )

  it.live("is asked for and verified by a name that is set for it", () =>
    Effect.gen(function* () {
      const listener = yield* listen(identity("named"))
      const asked: Array<string> = []
      const { dial } = NodeDialer.make({
        firewall: overTls(socks5.at(listener.port)),
        firewallTls: (firewall) => {
          asked.push(String(firewall))
          return { ca, serverName: "db.example" }
        }
      })
      const dialled = yield* Effect.forkChild(dial(target), { startImmediately: true })
      yield* play(yield* listener.accept, socks5.steps)
      yield* Fiber.join(dialled)
      assert.deepStrictEqual(asked, [`SOCKS5 firewall localhost:${listener.port}`])
    }).pipe(Effect.scoped)
  )

  it.live("is spoken to with `insecure`, which is logged", () =>
    Effect.gen(function* () {
      const log: Array<string> = []
      const logger = Logger.make(({ logLevel, message }) => void log.push(`${logLevel} ${String(message)}`))
      const listener = yield* listen(identity("lonely"))
      const { dial } = NodeDialer.make({
        firewall: overTls(tunnel.at(listener.port)),
        firewallTls: { insecure: true }
      })
      const dialled = yield* Effect.forkChild(dial(target).pipe(Effect.provide(Logger.layer([logger]))), {
        startImmediately: true
      })
      yield* play(yield* listener.accept, tunnel.steps)
      yield* Fiber.join(dialled)
      assert.match(log.join(), /^Warn connected to tunnel firewall localhost:\d+ with TLS that is insecure: its/)
    }).pipe(Effect.scoped)
  )

  it.live("speaks none", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen({ onConnection: ({ socket }) => void socket.write("SSH-2.0-x\r\n") })
      const error = yield* failing({ firewall: overTls(tunnel.at(listener.port)), firewallTls: { ca } })
      assert.strictEqual(error.kind, "FirewallFailed")
      assert.match(
        error.message,
        /TLS with the tunnel firewall \S+ failed: the firewall does not answer in TLS; it may/
      )
    }).pipe(Effect.scoped)
  )

  it.live("says nothing: the dial timeout, and which firewall it was", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.listen()
      const options = { firewallTls: { ca }, dialTimeout: 300 }
      const error = yield* failing({ ...options, firewall: overTls(tunnel.at(port)) })
      assert.strictEqual(error.kind, "TimedOut")
      assert.include(
        error.message,
        `The tunnel firewall localhost:${port} took the connection, but did not finish the TLS`
      )
      const deaf = yield* DeafTarget.make
      const silent = yield* failing({ ...options, firewall: overTls(tunnel.at(deaf.port)) })
      assert.strictEqual(silent.kind, "TimedOut")
    }).pipe(Effect.scoped)
  )

  it.live("has a certificate of which nobody says in time whether it is revoked: it is let go", () =>
    Effect.gen(function* () {
      const listener = yield* listen(identity("server"))
      const error = yield* failing({
        firewall: overTls(socks5.at(listener.port)),
        firewallTls: { ca, revocation: { check: () => Effect.never } },
        dialTimeout: 500
      })
      assert.strictEqual(error.kind, "TimedOut")
      assert.include(
        error.message,
        "Whether the firewall's certificate has been revoked could not be found out in time."
      )
      const firewall = yield* listener.accept
      yield* firewall.watch.until("the end", () => firewall.over, soon)
      assert.strictEqual(firewall.received, 0)
    }).pipe(Effect.scoped)
  )

  it.live("is not connected to with options that cannot be used", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const error = yield* failing({
        firewall: overTls(tunnel.at(listener.port)),
        firewallTls: { onlyGivenCa: true }
      })
      assert.strictEqual(error.kind, "FirewallFailed")
      assert.include(error.message, "cannot be asked. The options of TLS cannot be used: onlyGivenCa trusts")
      assert.lengthOf(listener.connections, 0)
    }).pipe(Effect.scoped)
  )
})
