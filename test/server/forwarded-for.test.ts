import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import { Context, Deferred, Effect, Exit, Layer, Option, Queue, Result, Scope } from "effect"
import { HttpServer, HttpServerRequest, HttpServerResponse } from "effect/http"
import { NetAddress } from "effect/net"
import * as Schema from "effect/Schema"
import * as NodeUpgradeListener from "../../src/node/NodeUpgradeListener.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { ClientNames } from "../../src/server/ClientNames.ts"
import * as ForwardedFor from "../../src/server/ForwardedFor.ts"
import { WebSocketServer } from "../../src/server/WebSocketServer.ts"
import { balancer, line, list, seen, stranger, trusted, wireFrom } from "./balancer.ts"
import { collectingLogs, deciding, echo, type Options, portOf } from "./serving.ts"
import { upgradeRequest } from "./wire.ts"

const node = (text: string): string => {
  const one = ForwardedFor.node(text)
  if (one._tag === "Address")
    return `${NetAddress.formatIp(one.address)}${one.port === undefined ? "" : ` ${one.port}`}`
  return one._tag === "Obfuscated" ? one.name : "unknown"
}

const elements = (header: string) =>
  Result.match(ForwardedFor.parseForwarded(header), {
    onFailure: () => "malformed",
    onSuccess: (all) => all.map((element) => Object.fromEntries(element))
  })

describe("node", () => {
  it("reads addresses with and without ports, brackets where IPv6 has them, and what hides them", () => {
    const table: ReadonlyArray<readonly [string, string]> = [
      ["192.0.2.43", "192.0.2.43"],
      ["192.0.2.43:47011", "192.0.2.43 47011"],
      ["192.0.2.43:_port", "192.0.2.43"],
      ["[2001:db8:cafe::17]", "2001:db8:cafe::17"],
      ["[2001:db8:cafe::17]:4711", "2001:db8:cafe::17 4711"],
      ["[2001:db8:cafe::17]:_x", "2001:db8:cafe::17"],
      // as X-Forwarded-For has it
      ["2001:db8:cafe::17", "2001:db8:cafe::17"],
      ["::1", "::1"],
      ["_gazonk", "_gazonk"],
      ["_SEVKISEK:4711", "_SEVKISEK"],
      ["unknown", "unknown"],
      ["", "unknown"],
      ["localhost", "unknown"],
      ["192.0.2.256", "unknown"],
      ["192.0.2.043", "unknown"],
      ["192.0.2.1:65535", "192.0.2.1 65535"],
      ["192.0.2.1:65536", "unknown"],
      ["192.0.2.1:", "unknown"],
      ["[192.0.2.1]", "unknown"],
      ["[192.0.2.1]:80", "unknown"],
      ["[2001:db8::1", "unknown"],
      ["[::1]x", "unknown"],
      ["x[::1]", "unknown"],
      ["a_b", "unknown"],
      ["_", "unknown"],
      ["_a b", "unknown"],
      ["192.0.2.1 ", "unknown"]
    ]
    for (const [text, expected] of table) assert.strictEqual(node(text), expected, text)
  })
})

describe("parseForwarded (RFC 7239 section 4)", () => {
  it("reads the RFC's own examples", () => {
    assert.deepStrictEqual(elements('for="_gazonk"'), [{ for: "_gazonk" }])
    assert.deepStrictEqual(elements('For="[2001:db8:cafe::17]:4711"'), [{ for: "[2001:db8:cafe::17]:4711" }])
    assert.deepStrictEqual(elements("for=192.0.2.60;proto=http;by=203.0.113.43"), [
      { for: "192.0.2.60", proto: "http", by: "203.0.113.43" }
    ])
    assert.deepStrictEqual(elements("for=192.0.2.43, for=198.51.100.17"), [
      { for: "192.0.2.43" },
      { for: "198.51.100.17" }
    ])
    assert.deepStrictEqual(elements('for=192.0.2.43,for="[2001:db8:cafe::17]",for=unknown'), [
      { for: "192.0.2.43" },
      { for: "[2001:db8:cafe::17]" },
      { for: "unknown" }
    ])
    assert.deepStrictEqual(elements("for=192.0.2.43, for=198.51.100.17;by=203.0.113.60;proto=http;host=example.com"), [
      { for: "192.0.2.43" },
      { for: "198.51.100.17", by: "203.0.113.60", proto: "http", host: "example.com" }
    ])
  })

  it("reads quotes to their end, whatever is within", () => {
    assert.deepStrictEqual(elements('for="a, for=192.0.2.1;\\"x\\\\y";ext=""'), [
      { for: 'a, for=192.0.2.1;"x\\y', ext: "" }
    ])
    assert.deepStrictEqual(elements('for="\\192.0.2.1"'), [{ for: "192.0.2.1" }])
  })

  it("takes empty elements, blanks, and addresses without their quotes", () => {
    assert.deepStrictEqual(elements(""), [])
    assert.deepStrictEqual(elements(" ,, \t, "), [])
    assert.deepStrictEqual(elements(";for=a;;proto=b; ,"), [{ for: "a", proto: "b" }])
    assert.deepStrictEqual(elements("for=192.0.2.1:80 ; by=[2001:db8::1]:1"), [
      { for: "192.0.2.1:80", by: "[2001:db8::1]:1" }
    ])
  })

  it("refuses what is not of its grammar", () => {
    for (const header of [
      'for="192.0.2.1',
      'for="192.0.2.1\\',
      'for="a"b',
      'for="a" b',
      "for",
      "for=",
      "for =a",
      "for= a",
      "=a",
      "for=a b",
      "for=a@b",
      "for=a for=b",
      "for=a;for=b",
      "for=a;FOR=b",
      'for="\u0001"',
      "for=a/b"
    ]) {
      assert.strictEqual(elements(header), "malformed", header)
    }
  })

  it.prop(
    "answers any text, and whatever a client begins, the proxy's entry is the last or the whole is refused",
    [
      Arbitrary.array(Arbitrary.schema(Schema.Literals(['"', "\\", ",", ";", "=", "for", "a", " ", "["])), {
        maxLength: 30
      })
    ],
    ([pieces]) => {
      const appended = `${pieces.join("")}, for="[2001:db8::1]:80";by="_x"`
      const read = ForwardedFor.parseForwarded(appended)
      if (Result.isSuccess(read)) assert.strictEqual(read.success.at(-1)?.get("for"), "[2001:db8::1]:80", appended)
    }
  )
})

const client = (header: ForwardedFor.Header, proxies: string, from: string | undefined, value: string | undefined) =>
  Result.getOrElse(ForwardedFor.clientAddress({ header, trusted: list(proxies) }, from, value), () => "malformed")

describe("clientAddress", () => {
  const proxies = "10.0.0.0/8, 2001:db8:1::/48"
  const xff = (from: string | undefined, value: string | undefined) => client("x-forwarded-for", proxies, from, value)
  const forwarded = (from: string | undefined, value: string | undefined) => client("forwarded", proxies, from, value)

  it("goes from the right, over trusted addresses alone", () => {
    assert.strictEqual(xff("10.0.0.1", "198.51.100.7"), "198.51.100.7")
    assert.strictEqual(xff("10.0.0.1", "198.51.100.7, 10.0.0.2, 10.0.0.3"), "198.51.100.7")
    assert.strictEqual(xff("10.0.0.1", "192.0.2.1, 198.51.100.7"), "198.51.100.7")
    assert.strictEqual(xff("10.0.0.1", "10.0.0.9, 198.51.100.7, 10.0.0.2"), "198.51.100.7")
    assert.strictEqual(xff("2001:db8:1::1", "2001:db8::7, 2001:db8:1::2"), "2001:db8::7")
    assert.strictEqual(forwarded("10.0.0.1", 'for=192.0.2.1, for="[2001:db8::7]:80";by=10.0.0.1'), "2001:db8::7")
    assert.strictEqual(xff("::ffff:10.0.0.1", "::ffff:198.51.100.7"), "198.51.100.7")
    // ports, as some proxies write them
    assert.strictEqual(xff("10.0.0.1", "198.51.100.7:4711, [2001:db8:1::2]:80"), "198.51.100.7")
    assert.strictEqual(xff("10.0.0.1", " ,198.51.100.7,, "), "198.51.100.7")
  })

  it("is the proxy's own request if nobody else is named", () => {
    for (const value of [undefined, "", " , "]) assert.strictEqual(xff("10.0.0.1", value), "10.0.0.1")
    assert.strictEqual(xff("10.0.0.1", "10.0.0.3, 10.0.0.2"), "10.0.0.3")
    assert.strictEqual(forwarded("10.0.0.1", ""), "10.0.0.1")
  })

  it("believes an address that is not trusted nothing, not even that it makes a mistake", () => {
    for (const value of ["192.0.2.1", "10.0.0.1", 'for="']) {
      assert.strictEqual(xff("198.51.100.7", value), "198.51.100.7")
      assert.strictEqual(forwarded("198.51.100.7", value), "198.51.100.7")
      assert.strictEqual(forwarded(undefined, value), undefined)
    }
  })

  it("is nobody that is known where a trusted proxy says so, and never the one before", () => {
    assert.strictEqual(xff("10.0.0.1", "192.0.2.1, unknown"), "unknown")
    assert.strictEqual(xff("10.0.0.1", "192.0.2.1, nonsense"), "unknown")
    assert.strictEqual(forwarded("10.0.0.1", "for=192.0.2.1, for=_hidden"), "_hidden")
    assert.strictEqual(forwarded("10.0.0.1", "for=192.0.2.1, proto=https"), "unknown")
    assert.strictEqual(forwarded("10.0.0.1", "for=192.0.2.1, for=unknown, for=10.0.0.2"), "unknown")
  })

  it("reads the one header alone", () => {
    assert.strictEqual(forwarded("10.0.0.1", "for=198.51.100.7"), "198.51.100.7")
    assert.strictEqual(xff("10.0.0.1", "for=198.51.100.7"), "unknown")
    assert.strictEqual(forwarded("10.0.0.1", "198.51.100.7"), "malformed")
  })
})

const behind = Effect.fnUntraced(function* (header: ForwardedFor.Header, options: Options = {}) {
  const requests = yield* Queue.unbounded<ReturnType<typeof seen>>()
  const { port } = yield* deciding(
    (open) => Effect.andThen(Queue.offer(requests, seen(open)), Effect.flatMap(open.accept, echo)),
    { forwarded: { trusted: list("127.0.0.1, 10.0.0.0/8"), header }, ...options }
  )
  const ask = (headers: Readonly<Record<string, string>>, from = balancer, first = "") =>
    Effect.flatMap(wireFrom(from, port, first, upgradeRequest(headers)), (wire) => wire.response)
  return { ask, requests, next: Queue.take(requests) }
})

describe("a server behind a reverse proxy", () => {
  it.live("takes the client's address from the header that it believes in", () =>
    Effect.gen(function* () {
      const { ask, next } = yield* behind("x-forwarded-for")
      const headers = { "X-Forwarded-For": "192.0.2.1, 198.51.100.7, 10.0.0.1", Forwarded: "for=192.0.2.9" }
      assert.strictEqual((yield* ask(headers)).status, 101)
      const { peer, remoteAddress } = yield* next
      assert.strictEqual(remoteAddress, "198.51.100.7")
      // the connection is still the proxy's
      assert.strictEqual(peer?.remoteAddress, balancer)
      const other = yield* behind("forwarded")
      assert.strictEqual((yield* other.ask(headers)).status, 101)
      assert.strictEqual((yield* other.next).remoteAddress, "192.0.2.9")
      assert.strictEqual((yield* other.ask({})).status, 101)
      assert.strictEqual((yield* other.next).remoteAddress, balancer)
    })
  )

  it.live("believes nothing of an address that is not trusted", () =>
    Effect.gen(function* () {
      for (const header of ["forwarded", "x-forwarded-for"] as const) {
        const { ask, next } = yield* behind(header)
        const headers = { "X-Forwarded-For": "127.0.0.1, 10.0.0.1", Forwarded: 'for="127.0.0.1' }
        assert.strictEqual((yield* ask(headers, stranger)).status, 101)
        assert.strictEqual((yield* next).remoteAddress, stranger)
      }
    })
  )

  it.live("counts a client's connections as its own", () =>
    Effect.gen(function* () {
      const { ask } = yield* behind("x-forwarded-for", { maxConnectionsPerAddress: 1 })
      const status = (value: string) => Effect.map(ask({ "X-Forwarded-For": value }), ({ status }) => status)
      assert.strictEqual(yield* status("198.51.100.7"), 101)
      assert.strictEqual(yield* status("198.51.100.8"), 101)
      assert.strictEqual(yield* status("192.0.2.1, 198.51.100.8"), 429)
      // those who are not known are one
      assert.strictEqual(yield* status("unknown"), 101)
      assert.strictEqual(yield* status("unknown"), 429)
    })
  )

  it.live("asks about the client's address who may come in, for other requests as well", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const clients = { allowed: list("198.51.100.0/24, 127.0.0.2"), blocked: list("198.51.100.66") }
        const { ask, requests } = yield* behind("x-forwarded-for", { clients })
        const status = (value: string, from?: string) =>
          Effect.map(ask({ "X-Forwarded-For": value }, from), ({ status }) => status)
        assert.strictEqual(yield* status("198.51.100.7"), 101)
        assert.strictEqual(yield* status("198.51.100.7, 198.51.100.66"), 403)
        assert.strictEqual(yield* status("198.51.100.7, 192.0.2.1"), 403)
        assert.strictEqual(yield* status("unknown"), 403)
        // the proxy itself is in no list
        assert.strictEqual((yield* ask({})).status, 403)
        assert.strictEqual(yield* status("198.51.100.66", stranger), 101)
        assert.strictEqual(yield* status("198.51.100.7", "127.0.0.3"), 403)
        const plain = (value: string) => ask({ "X-Forwarded-For": value, Upgrade: "", Connection: "close" })
        assert.strictEqual((yield* plain("198.51.100.66")).status, 403)
        assert.strictEqual((yield* plain("198.51.100.7")).status, 426)
        assert.strictEqual(yield* Queue.size(requests), 2)
        assert.isTrue(logs.some(({ text }) => /Refused 198\.51\.100\.66: its address is on the list/.test(text)))
      })
    )
  )

  it.live("cuts off whose name is still looked up when it ends", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const names = Layer.succeed(ClientNames)({
        namesOf: () => Effect.never,
        addressesOf: () => Effect.andThen(Deferred.succeed(asked, undefined), Effect.never)
      })
      const scope = yield* Scope.make()
      const { listener } = yield* NodeUpgradeListener.make({
        port: 0,
        forwarded: { trusted, header: "x-forwarded-for" },
        clients: { allowed: list("client.example") }
      }).pipe(Scope.provide(scope), Effect.provide(names))
      yield* Effect.forkIn(
        listener.run(() => Effect.void),
        scope,
        { startImmediately: true }
      )
      const { address } = listener
      if (!NetAddress.isInetAddress(address)) return assert.fail("it listens on no port")
      const wire = yield* wireFrom(balancer, address.port, upgradeRequest({ "X-Forwarded-For": "192.0.2.1" }))
      yield* Deferred.await(asked)
      yield* Scope.close(scope, Exit.void)
      assert.oneOf(yield* wire.ended, ["FIN", "reset"])
    })
  )

  it.live("refuses a header that cannot be read, and says why in the log alone", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const { ask, requests } = yield* behind("forwarded")
        const response = yield* ask({ Forwarded: 'for="192.0.2.1, for=198.51.100.7' })
        assert.strictEqual(response.status, 400)
        assert.notMatch(response.body, /forwarded|quote/i)
        assert.strictEqual(yield* Queue.size(requests), 0)
        assert.match(logs[0]?.text ?? "", /Refused 127\.0\.0\.1: forwarded: a quoted value does not end/)
      })
    )
  )

  it.live("joins the header's lines in their order", () =>
    Effect.gen(function* () {
      const { ask, next } = yield* behind("x-forwarded-for")
      yield* ask({ "X-Forwarded-For": "192.0.2.1\r\nX-Forwarded-For: 198.51.100.7\r\nX-Forwarded-For: 10.0.0.1" })
      assert.strictEqual((yield* next).remoteAddress, "198.51.100.7")
    })
  )

  it.live("goes on from the address that a load balancer says", () =>
    Effect.gen(function* () {
      const { ask, next } = yield* behind("x-forwarded-for", { proxyProtocol: { trusted } })
      const headers = { "X-Forwarded-For": "198.51.100.7" }
      assert.strictEqual((yield* ask(headers, balancer, line("10.0.0.1", 1))).status, 101)
      assert.strictEqual((yield* next).remoteAddress, "198.51.100.7")
      assert.strictEqual((yield* ask(headers, balancer, line("192.0.2.1", 1))).status, 101)
      assert.strictEqual((yield* next).remoteAddress, "192.0.2.1")
    })
  )
})

describe("an HTTP application behind proxies", () => {
  const show = Effect.map(HttpServerRequest.HttpServerRequest, ({ peerAddress, remoteAddress }) =>
    HttpServerResponse.text([remoteAddress, peerAddress].map((it) => Option.getOrElse(it, () => "-")).join(" "))
  )

  it.live("sees the same client as a WebSocket does, and the proxy as its peer", () =>
    Effect.gen(function* () {
      const context = yield* Layer.build(
        Layer.provideMerge(
          HttpServer.serve(show),
          NodeWebSocketServer.layerHttp({
            port: 0,
            proxyProtocol: { trusted, mode: "optional" },
            forwarded: { trusted: list("127.0.0.1, 10.0.0.0/8"), header: "x-forwarded-for" }
          })
        )
      )
      const port = portOf(Context.get(context, WebSocketServer))
      const get = (first: string, header = "", from = balancer) =>
        Effect.flatMap(
          wireFrom(from, port, `${first}GET / HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n${header}\r\n`),
          (wire) => Effect.map(wire.response, ({ body }) => body)
        )
      const header = "X-Forwarded-For: 192.0.2.1, 198.51.100.7\r\n"
      assert.strictEqual(yield* get(""), `${balancer} ${balancer}`)
      assert.strictEqual(yield* get("", header), `198.51.100.7 ${balancer}`)
      assert.strictEqual(yield* get("", "X-Forwarded-For: unknown\r\n"), `unknown ${balancer}`)
      assert.strictEqual(yield* get("", header, stranger), `${stranger} ${stranger}`)
      assert.strictEqual(yield* get(line("198.51.100.9", 1)), `198.51.100.9 ${balancer}`)
      assert.strictEqual(yield* get(line("10.0.0.1", 1), header), `198.51.100.7 ${balancer}`)
    })
  )
})
