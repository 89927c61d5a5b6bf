/**
 * The proxy behind a firewall: what each type is asked for, and what becomes of its refusals.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { FirewallTypes } from "../../src/component/Enums.ts"
import { Firewall } from "../../src/component/Firewall.ts"
import * as Scripted from "../proxy/firewall.ts"
import * as Frames from "../proxy/frames.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import type { TargetConnection } from "../proxy/rawTarget.ts"
import * as Forwarding from "./forwarding.ts"

const { secret, target, user } = Scripted

/** A proxy behind a firewall that the test plays, its default forward host where no firewall lets nobody. */
const behind = Effect.fnUntraced(function* (
  type: FirewallTypes,
  credentials: { user?: string; password?: string } = {}
) {
  const firewall = yield* RawTarget.listen()
  const forwarding = yield* Forwarding.listen({
    setUp: (proxy) => {
      proxy.defaultForwardHost = target.host
      proxy.defaultForwardPort = target.port
      Object.assign(proxy.firewall, { firewallType: type, host: "127.0.0.1", port: firewall.port, ...credentials })
    }
  })
  return { ...forwarding, firewall }
})

/** The firewall is asked as this kind is, and then is as good as the forward host. */
const grants = (kind: Scripted.Kind, type: FirewallTypes, credentials: { user?: string; password?: string } = {}) =>
  Effect.gen(function* () {
    const { firewall, proxy, told } = yield* behind(type, credentials)
    const client = yield* RawClient.request(proxy.localPort)
    const connection = yield* firewall.accept
    const asked = yield* Scripted.play(connection, kind.steps, { behind: "banner" })
    yield* client.until("open")
    yield* client.untilPayload(6)
    assert.strictEqual(client.bytes.toString(), "banner")
    yield* client.send(Frames.binary, "hello")
    yield* connection.untilReceived(asked + 5)
    yield* connection.end()
    yield* client.until("close 1000")
    yield* client.sendClose(1000)
    yield* told.until("Disconnected 1 1000")
    assert.deepStrictEqual(told.errors, [])
  })

/** What Error tells of a request that fails, and what the client gets. */
const failure = Effect.fnUntraced(function* (
  { firewall, proxy, told }: Effect.Success<ReturnType<typeof behind>>,
  act?: (connection: TargetConnection) => Effect.Effect<unknown>
) {
  const client = yield* RawClient.request(proxy.localPort)
  if (act !== undefined) yield* act(yield* firewall.accept)
  yield* client.watch.until("an answer", () => client.status !== undefined)
  yield* client.until("end")
  const error = told.errors.at(-1)!
  assert.deepStrictEqual(told.lines, [`WebSocketOpenRequest 1`, `Error 1 ${error.errorCode}`])
  // neither the client nor the log learns a secret
  assert.notInclude(client.answer, "127.0.0.1")
  for (const said of [error.description, ...told.logged, client.answer]) assert.notInclude(said, secret)
  yield* Forwarding.idle(proxy)
  return { code: error.errorCode, description: error.description, status: client.status }
})

describe("its types", { timeout: 30_000 }, () => {
  const credentials = { user, password: secret }

  it.live("fwNone: nothing is between, whatever the other properties say", () =>
    Effect.gen(function* () {
      const { firewall, listener, proxy } = yield* behind(FirewallTypes.fwNone, credentials)
      proxy.defaultForwardHost = "127.0.0.1"
      proxy.defaultForwardPort = listener.port
      yield* RawClient.open(proxy.localPort)
      yield* listener.accept
      assert.lengthOf(firewall.connections, 0)
    })
  )
  it.live("fwTunnel, Firewall.FirewallType, Firewall.Host, Firewall.Port: CONNECT", () =>
    grants(Scripted.tunnel, FirewallTypes.fwTunnel)
  )
  it.live("fwTunnel, Firewall.User, Firewall.Password: CONNECT with Basic credentials", () =>
    grants(Scripted.tunnelWithUser, FirewallTypes.fwTunnel, credentials)
  )
  it.live("fwSOCKS4: SOCKS 4", () => grants(Scripted.socks4, FirewallTypes.fwSOCKS4))
  it.live("fwSOCKS4, Firewall.User: SOCKS 4 with a user, who has no password there", () =>
    grants(Scripted.socks4WithUser, FirewallTypes.fwSOCKS4, credentials)
  )
  it.live("fwSOCKS5: SOCKS 5 without authentication", () => grants(Scripted.socks5, FirewallTypes.fwSOCKS5))
  it.live("fwSOCKS5, Firewall.User, Firewall.Password: SOCKS 5 with user and password", () =>
    grants(Scripted.socks5WithUser, FirewallTypes.fwSOCKS5, credentials)
  )

  it.live("Firewall.AutoDetect: changes nothing", () =>
    Effect.gen(function* () {
      const { firewall, proxy } = yield* behind(FirewallTypes.fwTunnel)
      proxy.firewall.autoDetect = true
      const client = yield* RawClient.request(proxy.localPort)
      yield* Scripted.play(yield* firewall.accept, Scripted.tunnel.steps)
      yield* client.until("open")
    })
  )

  for (const [name, type, port] of [
    ["fwTunnel", FirewallTypes.fwTunnel, 80],
    ["fwSOCKS4", FirewallTypes.fwSOCKS4, 1080],
    ["fwSOCKS5", FirewallTypes.fwSOCKS5, 1080]
  ] as const) {
    it.live(`Firewall.Port: 0 is ${port} for ${name}`, () =>
      Effect.gen(function* () {
        const forwarding = yield* behind(type)
        forwarding.proxy.defaultTimeout = 2
        // an address of this machine that nobody uses
        Object.assign(forwarding.proxy.firewall, { host: "127.77.7.7", port: 0 })
        const { description } = yield* failure(forwarding)
        assert.include(description, `firewall 127.77.7.7:${port} `)
      })
    )
  }
})

describe("who looks the name up", { timeout: 30_000 }, () => {
  const port = [5432 >> 8, 5432 & 255]
  const name = "db.example"
  const kinds: ReadonlyArray<readonly [string, FirewallTypes, ReadonlyArray<Scripted.Step>]> = [
    [
      "fwTunnel",
      FirewallTypes.fwTunnel,
      [{ ask: Buffer.from(Scripted.connectRequest(`${name}:5432`)), answer: Buffer.from(Scripted.established) }]
    ],
    [
      "fwSOCKS4",
      FirewallTypes.fwSOCKS4,
      [
        {
          ask: Buffer.from([4, 1, ...port, 0, 0, 0, 1, 0, ...Buffer.from(name), 0]),
          answer: Buffer.from([0, 90, 0, 0, 0, 0, 0, 0])
        }
      ]
    ],
    [
      "fwSOCKS5",
      FirewallTypes.fwSOCKS5,
      [
        Scripted.socks5.steps[0]!,
        {
          ask: Buffer.from([5, 1, 0, 3, name.length, ...Buffer.from(name), ...port]),
          answer: Scripted.socks5.steps[1]!.answer
        }
      ]
    ]
  ]
  for (const [kind, type, steps] of kinds) {
    it.live(
      `WebSocketOpenRequest.ForwardHost, WebSocketProxyConnection.ForwardHost: with * before it ${kind} gets the name`,
      () =>
        Effect.gen(function* () {
          const { firewall, proxy, told } = yield* behind(type)
          proxy.on("WebSocketOpenRequest", (e) => {
            e.forwardHost = `*${name}`
            e.forwardPort = 5432
          })
          const client = yield* RawClient.request(proxy.localPort)
          yield* Scripted.play(yield* firewall.accept, steps)
          yield* client.until("open")
          yield* told.until("Connected 1")
          const { forwardHost, forwardPort } = proxy.connections.item("1")
          assert.deepStrictEqual([forwardHost, forwardPort], [`*${name}`, 5432])
        })
    )
  }

  it.live("fwSOCKS4, fwSOCKS5: without * the firewall gets an address, and the name is looked up here", () =>
    Effect.gen(function* () {
      for (const [type, version] of [
        [FirewallTypes.fwSOCKS4, 4],
        [FirewallTypes.fwSOCKS5, 5]
      ] as const) {
        const { firewall, proxy } = yield* behind(type)
        proxy.defaultForwardHost = "localhost"
        proxy.defaultForwardPort = 5432
        yield* RawClient.request(proxy.localPort)
        const connection = yield* firewall.accept
        if (version === 4) {
          yield* connection.untilReceived(9)
          assert.deepStrictEqual([...connection.bytes], [4, 1, ...port, 127, 0, 0, 1, 0])
        } else {
          yield* Scripted.play(connection, Scripted.socks5.steps.slice(0, 1))
          yield* connection.untilReceived(13)
          // of IPv4 or of IPv6, and no name
          assert.include([1, 4], connection.bytes[6])
        }
      }
    })
  )
})

describe("when it does not connect", { timeout: 30_000 }, () => {
  it.live("118, Error.Description: it refuses; 502, and what it says", () =>
    Effect.gen(function* () {
      const tunnel = yield* failure(yield* behind(FirewallTypes.fwTunnel, { user, password: secret }), (connection) =>
        connection.write(Buffer.from("HTTP/1.1 403 Not for you\r\ncontent-length: 0\r\n\r\n"))
      )
      assert.deepStrictEqual([tunnel.code, tunnel.status], [118, 502])
      assert.include(tunnel.description, "Firewall error.")
      assert.include(tunnel.description, "refused the connection: 403 Not for you")
      const socks = yield* failure(yield* behind(FirewallTypes.fwSOCKS4), (connection) =>
        connection.write(Buffer.from([0, 91, 0, 0, 0, 0, 0, 0]))
      )
      assert.deepStrictEqual([socks.code, socks.status], [118, 502])
      assert.include(socks.description, "rejected the request")
    })
  )

  it.live("118: it does not take the user; 502", () =>
    Effect.gen(function* () {
      const { code, description, status } = yield* failure(
        yield* behind(FirewallTypes.fwSOCKS5, { user, password: secret }),
        (connection) => Effect.andThen(connection.untilReceived(4), connection.write(Buffer.from([5, 255])))
      )
      assert.deepStrictEqual([code, status], [118, 502])
      assert.include(description, "accepts neither a user and a password nor none")
    })
  )

  it.live("118: it breaks off, or does not speak the protocol; 502", () =>
    Effect.gen(function* () {
      const ended = yield* failure(yield* behind(FirewallTypes.fwSOCKS5), (connection) => connection.end())
      assert.deepStrictEqual([ended.code, ended.status], [118, 502])
      const other = yield* failure(yield* behind(FirewallTypes.fwSOCKS5), (connection) =>
        connection.write(Buffer.from("HTTP/1.1 400 Bad Request\r\n\r\n"))
      )
      assert.deepStrictEqual([other.code, other.status], [118, 502])
      assert.include(other.description, "does not speak SOCKS5")
    })
  )

  it.live("118: nobody is there; 502", () =>
    Effect.gen(function* () {
      const forwarding = yield* behind(FirewallTypes.fwTunnel)
      const { port } = yield* RawTarget.nobody
      forwarding.proxy.firewall.port = port
      const { code, description, status } = yield* failure(forwarding)
      assert.deepStrictEqual([code, status], [118, 502])
      assert.include(description, `127.0.0.1:${port} refused our connection`)
    })
  )

  it.live("118, Firewall.Host: is empty; 502", () =>
    Effect.gen(function* () {
      const forwarding = yield* behind(FirewallTypes.fwTunnel)
      forwarding.proxy.firewall.host = ""
      const { code, description, status } = yield* failure(forwarding)
      assert.deepStrictEqual([code, status], [118, 502])
      assert.include(description, "FirewallHost")
    })
  )

  for (const [what, type, credentials] of [
    ["user", FirewallTypes.fwTunnel, { user: "a:b", password: secret }],
    ["user", FirewallTypes.fwSOCKS5, { user: "x".repeat(256), password: secret }],
    ["user", FirewallTypes.fwSOCKS4, { user: "a\0b" }],
    ["password", FirewallTypes.fwTunnel, { user, password: `${secret}\r\n` }]
  ] as const) {
    it.live(
      `118, Firewall.User, Firewall.Password: the ${what} is none that type ${type} can carry; 502, and that is said`,
      () =>
        Effect.gen(function* () {
          const forwarding = yield* behind(type, credentials)
          const { code, description, status } = yield* failure(forwarding)
          assert.deepStrictEqual([code, status], [118, 502])
          assert.include(description, `"${what}"`)
          assert.lengthOf(forwarding.firewall.connections, 0)
        })
    )
  }

  it.live("10060, DefaultTimeout: it says nothing for so long; 504", () =>
    Effect.gen(function* () {
      const forwarding = yield* behind(FirewallTypes.fwSOCKS5)
      forwarding.proxy.defaultTimeout = 1
      const { code, status } = yield* failure(forwarding)
      assert.deepStrictEqual([code, status], [10060, 504])
      const connection = yield* forwarding.firewall.accept
      yield* connection.watch.until("the end", () => connection.over)
    })
  )
})

describe("what is set counts for the next connection", { timeout: 30_000 }, () => {
  it.live("Firewall, Firewall.FirewallType: changed between connections, in part and as a whole", () =>
    Effect.gen(function* () {
      const { firewall, listener, proxy, told } = yield* behind(FirewallTypes.fwTunnel)
      const through = Effect.fnUntraced(function* (kind: Scripted.Kind, id: number) {
        const client = yield* RawClient.request(proxy.localPort)
        yield* Scripted.play(yield* firewall.accept, kind.steps)
        yield* client.until("open")
        yield* told.until(`Connected ${id}`)
      })
      yield* through(Scripted.tunnel, 1)
      proxy.firewall.firewallType = FirewallTypes.fwSOCKS5
      yield* through(Scripted.socks5, 2)
      const other = new Firewall()
      Object.assign(other, { firewallType: FirewallTypes.fwSOCKS4, host: "127.0.0.1", port: firewall.port, user })
      proxy.firewall = other
      yield* through(Scripted.socks4WithUser, 3)
      proxy.setFirewall(new Firewall())
      proxy.defaultForwardHost = "127.0.0.1"
      proxy.defaultForwardPort = listener.port
      yield* RawClient.open(proxy.localPort)
      yield* listener.accept
      yield* told.until("Connected 4")
      assert.deepStrictEqual(told.errors, [])
      // those before go on as they began
      assert.strictEqual(proxy.connections.size, 4)
      assert.isTrue(firewall.connections.every(({ over }) => !over))
    })
  )
})
