/**
 * One firewall that refuses, breaks off, says nothing or speaks something else, and what the client of a proxy behind it is told.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { soon } from "./connected.ts"
import * as DeafTarget from "./deafTarget.ts"
import { kinds, secret, socks5, sockets, target, tunnel, user } from "./firewall.ts"
import { answering, refusals, said } from "./firewallRefusals.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { eventually, pass } from "./watch.ts"

refusals([])

describe.each(kinds.map((kind) => [kind.name, kind] as const))("%s", { timeout: 30_000 }, (_, kind) => {
  it.live("is not there", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.nobody
      const { dial } = NodeDialer.make({ firewall: kind.at(port) })
      const error = yield* Effect.flip(Effect.scoped(dial(target)))
      assert.strictEqual(said(error), "refused our connection (ECONNREFUSED)")
      assert.strictEqual((error.cause as NodeJS.ErrnoException).code, "ECONNREFUSED")
    }).pipe(Effect.scoped)
  )
})

describe("a firewall that does not accept", { timeout: 30_000 }, () => {
  it.live("does not let the dialler wait longer than the dial timeout", () =>
    Effect.gen(function* () {
      const { port } = yield* DeafTarget.make
      const before = sockets()
      const { dial } = NodeDialer.make({ firewall: socks5.at(port), dialTimeout: 300 })
      assert.strictEqual((yield* Effect.flip(Effect.scoped(dial(target)))).kind, "TimedOut")
      yield* eventually("the socket to be gone", () => sockets() <= before)
    }).pipe(Effect.scoped)
  )

  it.live("has a name that is not found", () =>
    Effect.gen(function* () {
      const firewall = new Firewall.Socks5({ host: "nowhere.invalid" })
      const error = yield* Effect.flip(Effect.scoped(NodeDialer.make({ firewall }).dial(target)))
      assert.strictEqual(error.kind, "FirewallFailed")
      assert.match(error.message, /The SOCKS5 firewall nowhere\.invalid:1080 has a name that was not found \(E\w+\)\.$/)
    })
  )
})

describe("the client of a proxy behind a firewall", { timeout: 30_000 }, () => {
  it.live("is told 502 and no more, and the log has the firewall's words", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target, dialer: NodeDialer.layer({ firewall: tunnel.at(listener.port) }) })
      const client = yield* RawClient.request(proxy.port)
      const firewall = yield* listener.accept
      yield* answering("HTTP/1.1 403 Filtered\r\n\r\n")(firewall)
      yield* client.until("502", soon)
      assert.notInclude(client.answer, "Filtered")
      assert.notInclude(client.answer, String(listener.port))
      assert.strictEqual(
        proxy.log.join("\n"),
        `Warn cannot connect to 192.0.2.7:5900: The tunnel firewall 127.0.0.1:${listener.port} refused the connection: 403 Filtered.`
      )
    }).pipe(Effect.scoped)
  )

  it.live("that leaves meanwhile ends the dialling", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const firewall = new Firewall.Socks5({
        host: "127.0.0.1",
        port: listener.port,
        user,
        password: Redacted.make(secret)
      })
      const proxy = yield* Proxy.serve({ target, dialer: NodeDialer.layer({ firewall }) })
      const client = yield* RawClient.request(proxy.port)
      const asked = yield* listener.accept
      yield* asked.untilReceived(4)
      yield* client.reset()
      yield* asked.watch.until("the end", () => asked.over, soon)
      yield* proxy.idle(soon)
      yield* pass(20)
      assert.deepStrictEqual(proxy.log, [])
    }).pipe(Effect.scoped)
  )
})
