/**
 * Who looks up the name of a target that is dialled through a firewall: this machine, or the firewall, for which `*name` asks.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import * as NodeDialer from "../../src/node/NodeDialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import { connectRequest, dialling, type Kind, play, socks4, socks4a, socks5, type Step, tunnel } from "./firewall.ts"
import { names } from "./resolving.ts"

const to = (host: string) => new Target({ host, port: 5900 })
const port = [5900 >> 8, 5900 & 255]

const ask = (kind: Kind, host: ReadonlyArray<number>, type: number): ReadonlyArray<Step> => [
  { ask: Buffer.from([5, 1, 0]), answer: Buffer.from([5, 0]) },
  { ask: Buffer.from([5, 1, 0, type, ...host, ...port]), answer: kind.steps[1]!.answer }
]
const domain = (name: string) => ask(socks5, [name.length, ...Buffer.from(name)], 3)
const ipv4 = (address: string) => ask(socks5, address.split(".").map(Number), 1)
const ipv6 = (hex: string) => ask(socks5, [...Buffer.from(hex, "hex")], 4)

const by4 = (address: string): ReadonlyArray<Step> => [
  { ask: Buffer.from([4, 1, ...port, ...address.split(".").map(Number), 0]), answer: socks4.steps[0]!.answer }
]
const by4a = (name: string, user = ""): ReadonlyArray<Step> => [
  {
    ask: Buffer.concat([Buffer.from([4, 1, ...port, 0, 0, 0, 1]), Buffer.from(`${user}\0${name}\0`)]),
    answer: socks4.steps[0]!.answer
  }
]
const byConnect = (authority: string): ReadonlyArray<Step> => [
  { ask: Buffer.from(connectRequest(authority)), answer: tunnel.steps[0]!.answer }
]

/** Dials, and holds what the firewall is asked against the script. */
const asks = Effect.fnUntraced(function* (
  kind: Kind,
  host: string,
  steps: ReadonlyArray<Step>,
  dns?: NodeDialer.Options["dns"]
): Effect.fn.Return<void, unknown, Scope.Scope> {
  const { dialled, firewall } = yield* dialling(kind, { target: to(host), dns })
  yield* play(firewall, steps)
  yield* Fiber.join(dialled)
})

/** Dials a firewall that must not be asked at all. */
const refused = (kind: Kind, host: string, dns?: NodeDialer.Options["dns"]) =>
  Effect.flip(Effect.scoped(NodeDialer.make({ firewall: kind.at(9), dns }).dial(to(host))))

/** RFC 1035 section 2.3.4, without the dots and lengths that do not show. */
const longest = `${"a".repeat(63)}.`.repeat(3) + "a".repeat(61)

describe("a name", { timeout: 30_000 }, () => {
  const known = { "db.example": ["192.0.2.8"] }

  it.live.each([
    ["SOCKS4", socks4, by4("192.0.2.8")],
    ["SOCKS5", socks5, ipv4("192.0.2.8")]
  ] as const)("is looked up here for %s", ([, kind, steps]) =>
    Effect.gen(function* () {
      const { asked, dns } = names(known)
      yield* asks(kind, "db.example", steps, dns)
      assert.deepStrictEqual(asked, ["db.example"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["a tunnel", tunnel, "db.example", byConnect("db.example:5900")],
    ["a tunnel, with *", tunnel, "*db.example", byConnect("db.example:5900")],
    ["SOCKS4, with *", socks4, "*db.example", by4a("db.example")],
    ["SOCKS4a", socks4a, "db.example", by4a("db.example", "ann")],
    ["SOCKS4a, with *", socks4a, "*db.example", by4a("db.example", "ann")],
    ["SOCKS5, with *", socks5, "*db.example", domain("db.example")],
    ["SOCKS5, with * and beyond ASCII", socks5, "*b\u00fccher.example", domain("xn--bcher-kva.example")],
    ["a tunnel, beyond ASCII", tunnel, "b\u00fccher.example", byConnect("xn--bcher-kva.example:5900")],
    ["SOCKS5, with * and as long as can be", socks5, `*${longest}`, domain(longest)]
  ] as const)("is the firewall's to look up: %s", ([, kind, host, steps]) =>
    Effect.gen(function* () {
      const { asked, dns } = names(known)
      yield* asks(kind, host, steps, dns)
      assert.deepStrictEqual(asked, [])
    }).pipe(Effect.scoped)
  )

  it.live("that has no address is not asked for", () =>
    Effect.gen(function* () {
      const { asked, dns } = names({ "six.example": ["2001:db8::1"] })
      assert.strictEqual((yield* refused(socks5, "none.example", dns)).kind, "NameNotFound")
      assert.strictEqual((yield* refused(socks4, "six.example", dns)).kind, "NameNotFound")
      assert.deepStrictEqual(asked, ["none.example", "six.example"])
    }).pipe(Effect.scoped)
  )

  it.live.each([
    ["only *", "*"],
    ["too long", `*a${longest}`],
    ["with a line", "*a\r\nx: y"],
    ["with a space", "*a b"],
    ["with NUL", "*a\0b"]
  ] as const)("that no protocol carries is not asked for: %s", ([, host]) =>
    Effect.gen(function* () {
      for (const kind of [tunnel, socks4, socks4a, socks5]) {
        const error = yield* refused(kind, host)
        assert.strictEqual(error.kind, "NameNotFound", error.message)
      }
    })
  )

  it.live("with * and without a firewall is a name like any other, which there is not", () =>
    Effect.gen(function* () {
      const error = yield* Effect.flip(Effect.scoped(NodeDialer.make().dial(to("*nowhere.invalid"))))
      assert.strictEqual(error.kind, "NameNotFound")
    })
  )
})

describe("a name of several addresses", { timeout: 30_000 }, () => {
  const known = { "db.example": ["2001:db8::8", "192.0.2.8"] }
  const first = ipv6("20010db8000000000000000000000008")

  it.live("is asked for by the next where the firewall refuses one", () =>
    Effect.gen(function* () {
      const { dialled, firewall, listener } = yield* dialling(socks5, {
        target: to("db.example"),
        dns: names(known).dns
      })
      yield* play(firewall, [first[0]!, { ask: first[1]!.ask, answer: Buffer.from([5, 8, 0, 1, 0, 0, 0, 0, 0, 0]) }])
      const second = yield* listener.accept
      yield* firewall.watch.until("the end", () => firewall.over)
      yield* play(second, ipv4("192.0.2.8"))
      yield* Fiber.join(dialled)
    }).pipe(Effect.scoped)
  )

  it.live("says why the last was refused", () =>
    Effect.gen(function* () {
      const { dialled, firewall, listener } = yield* dialling(socks5, {
        target: to("db.example"),
        dns: names(known).dns
      })
      for (const [connection, code] of [
        [firewall, 8],
        [undefined, 5]
      ] as const) {
        const steps = code === 8 ? first : ipv4("192.0.2.8")
        const answer = Buffer.from([5, code, 0, 1, 0, 0, 0, 0, 0, 0])
        yield* play(connection ?? (yield* listener.accept), [steps[0]!, { ask: steps[1]!.ask, answer }])
      }
      const error = yield* Effect.flip(Fiber.join(dialled))
      assert.match(error.message, /reports that the target refused the connection \(reply 5\)\.$/)
    }).pipe(Effect.scoped)
  )

  it.live("is not asked for again where the firewall wants no such client", () =>
    Effect.gen(function* () {
      const { dialled, firewall, listener } = yield* dialling(socks5, {
        target: to("db.example"),
        dns: names(known).dns
      })
      yield* play(firewall, [{ ask: Buffer.from([5, 1, 0]), answer: Buffer.from([5, 255]) }])
      yield* Effect.flip(Fiber.join(dialled))
      assert.strictEqual(listener.connections.length, 1)
    }).pipe(Effect.scoped)
  )
})

describe("an IPv6 address", { timeout: 30_000 }, () => {
  it.live.each([
    ["SOCKS5", socks5, "2001:db8::8", ipv6("20010db8000000000000000000000008")],
    ["SOCKS5, with *", socks5, "*::1", ipv6("00000000000000000000000000000001")],
    ["SOCKS5, with a zone", socks5, "fe80::1%eth0", ipv6("fe800000000000000000000000000001")],
    ["SOCKS5, mapped", socks5, "::ffff:192.0.2.8", ipv6("00000000000000000000ffffc0000208")],
    ["a tunnel", tunnel, "2001:db8::8", byConnect("[2001:db8::8]:5900")],
    ["a tunnel, with a zone", tunnel, "fe80::1%eth0", byConnect("[fe80::1]:5900")]
  ] as const)("is asked for: %s", ([, kind, host, steps]) => Effect.scoped(asks(kind, host, steps)))

  it.live("is not to be had by SOCKS4", () =>
    Effect.gen(function* () {
      for (const kind of [socks4, socks4a]) {
        const error = yield* refused(kind, "2001:db8::8")
        assert.strictEqual(error.kind, "FirewallFailed")
        assert.match(error.message, /SOCKS4a? firewall 127\.0\.0\.1:9 cannot be asked for an IPv6 address/)
      }
    })
  )
})
