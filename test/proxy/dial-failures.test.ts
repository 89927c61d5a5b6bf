/**
 * Every way in which a target may not be connected to, brought about and not played: what the client is answered, the line in the
 * log, the metric, and the code that a component tells.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import type * as Scope from "effect/Scope"
import { execFile } from "node:child_process"
import { fileURLToPath } from "node:url"
import { promisify } from "node:util"
import { unreachable } from "../../src/component/internal/proxyLink.ts"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import { DialError } from "../../src/proxy/Dialer.ts"
import { type AnyTarget, ClientTarget, Target, UnixTarget } from "../../src/proxy/Target.ts"
import { dialFailures } from "../../src/proxy/WebSocketProxy.ts"
import { soon } from "./connected.ts"
import * as DeafTarget from "./deafTarget.ts"
import { socks5, tunnel } from "./firewall.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import { names } from "./resolving.ts"

interface Way {
  readonly target: AnyTarget
  readonly options?: NodeDialer.Options
}

interface Case {
  readonly name: string
  readonly kind: DialError["kind"]
  readonly status: number
  readonly code: number
  readonly said: RegExp
  readonly way: Effect.Effect<Way, never, Scope.Scope>
}

const at = (host: string, port = 80) => new Target({ host, port })

const cases: ReadonlyArray<Case> = [
  {
    name: "nobody listens",
    kind: "Refused",
    status: 502,
    code: 10061,
    said: /: The target refused the connection\.$/,
    way: Effect.map(RawTarget.nobody, (target) => ({ target }))
  },
  {
    name: "no socket is at the path",
    kind: "Refused",
    status: 502,
    code: 10061,
    said: /unix:\/no\/such\.sock: The target refused the connection\.$/,
    way: Effect.succeed({ target: new UnixTarget({ path: "/no/such.sock" }) })
  },
  {
    name: "no way leads there",
    kind: "Unreachable",
    status: 502,
    code: 10051,
    said: /: The target cannot be reached\.$/,
    // no TCP goes to many at once
    way: Effect.succeed({ target: at("224.0.0.1") })
  },
  {
    name: "the name has no address",
    kind: "NameNotFound",
    status: 502,
    code: 11001,
    said: /: The target's name was not found\.$/,
    way: Effect.succeed({ target: at("nowhere.invalid"), options: { dns: names({}).dns } })
  },
  {
    name: "the host is no name",
    kind: "NameNotFound",
    status: 502,
    code: 11001,
    said: /: The target's host is neither a name nor an address: /,
    way: Effect.succeed({ target: at("0x7f.1") })
  },
  {
    name: "nobody answers",
    kind: "TimedOut",
    status: 504,
    code: 10060,
    said: /: The target did not answer in time\.$/,
    way: Effect.map(DeafTarget.make, (target) => ({ target, options: { dialTimeout: 200 } }))
  },
  {
    name: "the address is not for clients to choose",
    kind: "NotAllowed",
    status: 403,
    code: 10013,
    said: /: The target is not allowed: 127\.0\.0\.1:80 is reserved: it is loopback, and no rule allows/,
    way: Effect.succeed({ target: new ClientTarget(at("127.0.0.1")) })
  },
  {
    name: "the firewall refuses",
    kind: "FirewallFailed",
    status: 502,
    code: 118,
    said: /: The tunnel firewall 127\.0\.0\.1:\d+ refused the connection: 403 No\.$/,
    way: Effect.map(
      RawTarget.listen({ onConnection: ({ socket }) => void socket.write("HTTP/1.1 403 No\r\n\r\n") }),
      ({ port }) => ({ target: at("192.0.2.7"), options: { firewall: tunnel.at(port) } })
    )
  },
  {
    name: "the firewall is not there",
    kind: "FirewallFailed",
    status: 502,
    code: 118,
    said: /: The SOCKS5 firewall 127\.0\.0\.1:\d+ refused our connection \(ECONNREFUSED\)\.$/,
    way: Effect.map(RawTarget.nobody, ({ port }) => ({
      target: at("192.0.2.7"),
      options: { firewall: socks5.at(port) }
    }))
  },
  {
    name: "the target speaks no TLS",
    kind: "TlsFailed",
    status: 502,
    code: 276,
    said: /: The target does not answer in TLS; it may speak without it\.$/,
    way: Effect.map(
      RawTarget.listen({ onConnection: ({ socket }) => void socket.write("hello\r\n") }),
      ({ target }) => ({
        target,
        options: { tls: { insecure: true } }
      })
    )
  },
  {
    name: "the system says something else",
    kind: "Failed",
    status: 502,
    code: 10022,
    said: /: The target could not be connected to\.$/,
    // longer than the system's own structure for it
    way: Effect.succeed({ target: new UnixTarget({ path: `/${"a".repeat(200)}` }) })
  }
]

const counted = (kind: DialError["kind"]) =>
  Effect.map(Metric.value(dialFailures), ({ occurrences }) => occurrences.get(kind) ?? 0)

describe("a target that cannot be connected to", { timeout: 30_000 }, () => {
  it.live.each(cases.map((one) => [`${one.kind}: ${one.name}`, one] as const))("%s", ([, one]) =>
    Effect.gen(function* () {
      const { options, target } = yield* one.way
      const error = yield* Effect.flip(Effect.scoped(NodeDialer.make(options).dial(target)))
      assert.instanceOf(error, DialError)
      assert.strictEqual(error.kind, one.kind, error.message)
      assert.match(error.message, one.said)
      assert.strictEqual(unreachable(error).code, one.code)

      const before = yield* counted(one.kind)
      const proxy = yield* Proxy.serve({ target, dialer: NodeDialer.layer(options) })
      const client = yield* RawClient.request(proxy.port)
      yield* client.watch.until("an answer", () => client.status !== undefined, soon)
      assert.strictEqual(client.status, one.status)
      assert.strictEqual(error.refusal.status, one.status)
      yield* client.until("end", soon)
      // the client is told neither where it was to go, nor by which way, nor what is there
      const secrets = [String(target), "192.0.2", "127.0.0", "224.0.0", "firewall 1", "loopback"]
      for (const secret of secrets) assert.notInclude(client.answer, secret)
      assert.lengthOf(proxy.log, 1)
      assert.match(proxy.log[0]!, one.said)
      assert.isTrue(proxy.log[0]!.startsWith(`Warn cannot connect to ${target}: `))
      assert.strictEqual(yield* counted(one.kind), before + 1)
    }).pipe(Effect.scoped)
  )

  it.live.runIf(process.platform !== "win32")("Exhausted: this machine has no more files to open", () =>
    Effect.gen(function* () {
      const { port } = yield* RawTarget.listen()
      const source = (path: string) => JSON.stringify(fileURLToPath(new URL(`../../src/${path}`, import.meta.url)))
      const program = `
        import { Effect } from "effect"
        import { openSync } from "node:fs"
        import * as NodeDialer from ${source("node/NodeDialer.ts")}
        import { Target } from ${source("proxy/Target.ts")}
        import { unreachable } from ${source("component/internal/proxyLink.ts")}
        const dial = (host) => Effect.flip(Effect.scoped(NodeDialer.make().dial(new Target({ host, port: ${port} }))))
        const exhaust = () => { for (;;) try { openSync("/dev/null") } catch { return } }
        exhaust()
        // the resolver calls a name unknown that it has no file left to ask about
        for (const host of ["127.0.0.1", "localhost"]) {
          const error = await Effect.runPromise(dial(host))
          console.log(error.kind, error.refusal.status, unreachable(error).code, error.message)
        }
      `
      const node = [process.execPath, "--input-type=module", "-e", program]
      const run = promisify(execFile)
      const { stdout } = yield* Effect.promise(() => run("sh", ["-c", 'ulimit -n 200; exec "$@"', "sh", ...node]))
      const told = (host: string) =>
        `Exhausted 503 10024 cannot connect to ${host}:${port}: The proxy has no resources to reach the target now.`
      assert.deepStrictEqual(stdout.trim().split("\n"), [told("127.0.0.1"), told("localhost")])
    }).pipe(Effect.scoped)
  )
})
