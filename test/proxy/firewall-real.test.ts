/**
 * Through firewalls that are in use, where they are installed.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import * as Firewall from "../../src/proxy/Firewall.ts"
import { Target } from "../../src/proxy/Target.ts"
import { soon } from "./connected.ts"
import { secret, user } from "./firewall.ts"
import * as Frames from "./frames.ts"
import * as Proxy from "./proxy.ts"
import * as RawClient from "./rawClient.ts"
import * as RawTarget from "./rawTarget.ts"
import * as Real from "./realFirewall.ts"

const host = "127.0.0.1"
const password = Redacted.make(secret)

interface Case {
  readonly name: string
  readonly program: Real.Program
  readonly at: (port: number) => Firewall.Firewall
  /** What it says of a target where nobody listens. */
  readonly refusal: RegExp
  /** Whether it looks up names. Default: true. */
  readonly names?: boolean
}

const refused5 = /reports that the target refused the connection \(reply 5\)\.$/
const refusedTunnel = /refused the connection: 50\d .*\.$/
const refused4 = /rejected the request, or failed to connect \(reply 91\)\.$/

const cases: ReadonlyArray<Case> = [
  {
    name: "microsocks, SOCKS5",
    program: Real.microsocks,
    at: (port) => new Firewall.Socks5({ host, port }),
    refusal: refused5
  },
  {
    name: "microsocks, SOCKS5 with a user",
    program: Real.microsocksWithUser,
    at: (port) => new Firewall.Socks5({ host, port, user, password }),
    refusal: refused5
  },
  {
    name: "danted, SOCKS5",
    program: Real.danted,
    at: (port) => new Firewall.Socks5({ host, port }),
    refusal: refused5
  },
  {
    // which takes the mark of SOCKS4a for an address
    name: "danted, SOCKS4",
    program: Real.danted,
    at: (port) => new Firewall.Socks4({ host, port, user }),
    names: false,
    refusal: refused4
  },
  {
    name: "tinyproxy",
    program: Real.tinyproxy,
    at: (port) => new Firewall.Tunnel({ host, port }),
    refusal: refusedTunnel
  },
  {
    name: "squid",
    program: Real.squid,
    at: (port) => new Firewall.Tunnel({ host, port }),
    refusal: refusedTunnel
  },
  {
    name: "tinyproxy with a user",
    program: Real.tinyproxyWithUser,
    at: (port) => new Firewall.Tunnel({ host, port, user, password }),
    refusal: refusedTunnel
  }
]

const size = 3 << 20
/** Bytes that are nowhere the same as a little further on. */
const pattern = Uint8Array.from({ length: size }, (_, index) => (index * 31 + (index >> 8)) & 255)

describe.each(cases.map((real) => [real.name, real] as const))("%s", { timeout: 60_000 }, (_, real) => {
  it.live("carries all bytes both ways, whoever looks up the name", (context) =>
    Effect.gen(function* () {
      const absent = Real.missing(real.program)
      if (absent !== undefined) return context.skip(absent)
      const port = yield* Real.start(real.program)
      const listener = yield* RawTarget.listen({
        // it speaks first
        onConnection: ({ socket }) => void socket.write("banner")
      })
      const dialer = NodeDialer.layer({ firewall: real.at(port) })
      for (const name of ["127.0.0.1", "localhost", ...(real.names === false ? [] : ["*localhost"])]) {
        const proxy = yield* Proxy.serve({ target: new Target({ host: name, port: listener.port }), dialer })
        const client = yield* RawClient.open(proxy.port)
        const target = yield* listener.accept
        yield* client.untilPayload(6, soon)
        yield* client.send(Frames.binary, pattern)
        yield* target.untilReceived(size)
        assert.isTrue(target.bytes.equals(pattern), name)
        yield* target.write(pattern)
        yield* client.untilPayload(size + 6)
        assert.isTrue(client.bytes.equals(Buffer.concat([Buffer.from("banner"), pattern])), name)
        yield* client.sendClose()
        yield* target.until("end", soon)
        yield* target.end()
        yield* client.until("close 1005", soon)
        yield* client.end()
        yield* proxy.idle(soon)
        assert.deepStrictEqual(proxy.log, [])
      }
    }).pipe(Effect.scoped)
  )

  it.live("says that nobody listens", (context) =>
    Effect.gen(function* () {
      const absent = Real.missing(real.program)
      if (absent !== undefined) return context.skip(absent)
      const port = yield* Real.start(real.program)
      const { dial } = NodeDialer.make({ firewall: real.at(port) })
      const error = yield* Effect.flip(Effect.scoped(dial(yield* RawTarget.nobody)))
      assert.match(error.message, real.refusal)
    }).pipe(Effect.scoped)
  )
})

const tunnel = (port: number) => new Firewall.Tunnel({ host, port })
const tunnelWithUser = (port: number) => new Firewall.Tunnel({ host, port, user, password })
const socks4 = (port: number) => new Firewall.Socks4({ host, port })
const socks5 = (port: number) => new Firewall.Socks5({ host, port })
const socks5WithUser = (port: number) => new Firewall.Socks5({ host, port, user, password })

type Hop = readonly [Real.Program, (port: number) => Firewall.Firewall]

const chains: ReadonlyArray<readonly [string, ReadonlyArray<Hop>]> = [
  [
    "microsocks, and squid behind it",
    [
      [Real.microsocks, socks5],
      [Real.squid, tunnel]
    ]
  ],
  [
    "squid, and danted by SOCKS4 behind it",
    [
      [Real.squid, tunnel],
      [Real.danted, socks4]
    ]
  ],
  [
    "danted, and tinyproxy with a user behind it",
    [
      [Real.danted, socks5],
      [Real.tinyproxyWithUser, tunnelWithUser]
    ]
  ],
  [
    "tinyproxy, danted by SOCKS4 and microsocks with a user, one behind the other",
    [
      [Real.tinyproxy, tunnel],
      [Real.danted, socks4],
      [Real.microsocksWithUser, socks5WithUser]
    ]
  ],
  [
    "microsocks, squid and tinyproxy, one behind the other",
    [
      [Real.microsocks, socks5],
      [Real.squid, tunnel],
      [Real.tinyproxy, tunnel]
    ]
  ]
]

describe.each(chains)("%s", { timeout: 60_000 }, (_, hops) => {
  it.live("carry all bytes both ways, and say that nobody listens", (context) =>
    Effect.gen(function* () {
      for (const [program] of hops) {
        const absent = Real.missing(program)
        if (absent !== undefined) return context.skip(absent)
      }
      const firewall = yield* Effect.forEach(hops, ([program, at]) => Effect.map(Real.start(program), at))
      const listener = yield* RawTarget.listen({ onConnection: ({ socket }) => void socket.write("banner") })
      const dialer = NodeDialer.layer({ firewall })
      const proxy = yield* Proxy.serve({ target: listener.target, dialer })
      const client = yield* RawClient.open(proxy.port)
      const target = yield* listener.accept
      yield* client.untilPayload(6, soon)
      yield* client.send(Frames.binary, pattern)
      yield* target.untilReceived(size)
      assert.isTrue(target.bytes.equals(pattern))
      yield* target.write(pattern)
      yield* client.untilPayload(size + 6)
      assert.isTrue(client.bytes.equals(Buffer.concat([Buffer.from("banner"), pattern])))
      yield* client.sendClose()
      yield* target.until("end", soon)
      yield* target.end()
      yield* client.until("close 1005", soon)
      yield* client.end()
      yield* proxy.idle(soon)
      assert.deepStrictEqual(proxy.log, [])
      const nobody = yield* RawTarget.nobody
      const error = yield* Effect.flip(Effect.scoped(NodeDialer.make({ firewall }).dial(nobody)))
      assert.strictEqual(error.kind, "FirewallFailed")
      assert.include(error.message, `The ${firewall.at(-1)} `)
    }).pipe(Effect.scoped)
  )
})

describe.each([
  ["microsocks", Real.microsocksWithUser, Firewall.Socks5],
  ["tinyproxy", Real.tinyproxyWithUser, Firewall.Tunnel]
] as const)("%s, which wants a user and a password", { timeout: 60_000 }, (_, program, Kind) => {
  it.live("says which it misses", (context) =>
    Effect.gen(function* () {
      const absent = Real.missing(program)
      if (absent !== undefined) return context.skip(absent)
      const port = yield* Real.start(program)
      const { target } = yield* RawTarget.listen()
      const failure = (firewall: Firewall.Firewall) =>
        Effect.map(Effect.flip(Effect.scoped(NodeDialer.make({ firewall }).dial(target))), (error) => error.message)
      assert.match(
        yield* failure(new Kind({ host, port })),
        /(does not accept connections without authentication|asks for a user and a password: 407 .*)\.$/
      )
      assert.match(
        yield* failure(new Kind({ host, port, user, password: Redacted.make("another") })),
        /refused the (user or the password|connection: 401 .*)\.$/
      )
    }).pipe(Effect.scoped)
  )
})
