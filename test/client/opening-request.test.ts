/**
 * What a client asks for: the bytes of its request, and what it does not ask for at all since it cannot be.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import type { Asking } from "../../src/client/WebSocketClient.ts"
import * as WebSocketClient from "../../src/client/WebSocketClient.ts"
import * as NodeUpgradeDialer from "../../src/node/NodeUpgradeDialer.ts"
import type * as NodeWebSocketClient from "../../src/node/NodeWebSocketClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { make } from "./client.ts"
import { dialled, type Options, requested } from "./server.ts"

/** The request, its key in place of a name of it. */
const written = Effect.fnUntraced(function* (options: Options = {}) {
  const { connection, request } = yield* dialled(options)
  return connection.bytes
    .toString("latin1")
    .replace(request.key, "KEY")
    .replaceAll(`127.0.0.1:${connection.socket.localPort}`, "HOST")
})

const head = (path: string, ...more: ReadonlyArray<string>) =>
  [
    `GET ${path} HTTP/1.1`,
    "host: HOST",
    "connection: Upgrade",
    "upgrade: websocket",
    "sec-websocket-version: 13",
    "sec-websocket-key: KEY",
    ...more,
    "",
    ""
  ].join("\r\n")

describe("the request of a client", () => {
  it.live("is no more than the handshake, where nothing else is asked for", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* written(), head("/"))
    })
  )

  it.live("names path and query as they were written", () =>
    Effect.gen(function* () {
      const path = "/a%2Fb//c;d=e?f=g&h=%20{}?/"
      assert.strictEqual(yield* written({ path }), head(path))
    })
  )

  it.live("has a key of 16 bytes, another each time", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const client = yield* make()
      const keys = new Set<string>()
      for (let i = 0; i < 20; i++) {
        yield* Effect.forkChild(client.connect(`ws://127.0.0.1:${listener.port}`), { startImmediately: true })
        const connection = yield* listener.accept
        const { key } = yield* requested(connection)
        assert.match(key, /^[A-Za-z0-9+/]{22}==$/)
        assert.lengthOf(Buffer.from(key, "base64"), 16)
        keys.add(key)
        yield* connection.reset()
      }
      assert.strictEqual(keys.size, 20)
    })
  )

  it.live("offers subprotocols in their order", () =>
    Effect.gen(function* () {
      assert.strictEqual(
        yield* written({ asking: { subprotocols: ["mqtt", "a.b-c", "x!#$%&'*+^_`|~"] } }),
        head("/", "sec-websocket-protocol: mqtt, a.b-c, x!#$%&'*+^_`|~")
      )
    })
  )

  it.live.each([
    [{}, "permessage-deflate; server_no_context_takeover; client_no_context_takeover; client_max_window_bits"],
    [{ contextTakeover: true }, "permessage-deflate; client_max_window_bits"],
    [
      { contextTakeover: true, serverMaxWindowBits: 10, clientMaxWindowBits: 9 },
      "permessage-deflate; server_max_window_bits=10; client_max_window_bits=9"
    ]
  ] as const)("offers compression: %j", ([compression, offer]) =>
    Effect.gen(function* () {
      assert.strictEqual(yield* written({ asking: { compression } }), head("/", `sec-websocket-extensions: ${offer}`))
    })
  )

  it.live("offers no compression where there is nothing to do it with", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const layer = Layer.provide(WebSocketClient.layer({ compression: {} }), NodeUpgradeDialer.layer())
      yield* Effect.forkChild(
        Effect.provide(WebSocketClient.connect(`ws://127.0.0.1:${listener.port}`, { compression: {} }), layer),
        { startImmediately: true }
      )
      const connection = yield* listener.accept
      assert.deepStrictEqual((yield* requested(connection)).all("sec-websocket-extensions"), [])
      yield* connection.reset()
    })
  )

  it.live("has the headers that are asked for, and several of one name", () =>
    Effect.gen(function* () {
      const headers = {
        Origin: "https://app.example",
        "x-several": ["one", "two", ""],
        "X-Odd": "\ta b\t\"'é\x80ÿ",
        "user-agent": "test"
      }
      assert.strictEqual(
        yield* written({ asking: { headers } }),
        head(
          "/",
          "origin: https://app.example",
          "x-several: one",
          "x-several: two",
          "x-several: ",
          "x-odd: \ta b\t\"'é\x80ÿ",
          "user-agent: test"
        )
      )
    })
  )

  it.live("has several cookies in one header (RFC 6265 section 5.4)", () =>
    Effect.gen(function* () {
      for (const [cookie, expected] of [
        [["a=1", "b=2"], ["cookie: a=1; b=2"]],
        [["a=1"], ["cookie: a=1"]],
        ["a=1; b=2", ["cookie: a=1; b=2"]],
        [[], []]
      ] as const) {
        assert.strictEqual(yield* written({ asking: { headers: { Cookie: cookie } } }), head("/", ...expected))
      }
    })
  )

  it.live(
    "has the credentials of the URL, which go before those of the client, and those of the attempt before them",
    () =>
      Effect.gen(function* () {
        const listener = yield* RawTarget.listen()
        const common = { headers: { Authorization: "Bearer common" } }
        const own = { headers: { authorization: "Bearer own" } }
        const basic = `Basic ${Buffer.from("jürgen:p@ss").toString("base64")}`
        const user = "j%C3%BCrgen:p%40ss@"
        for (const [options, credentials, asking, expected] of [
          [{}, "", {}, []],
          [{}, user, {}, [basic]],
          [common, "", {}, ["Bearer common"]],
          [common, user, {}, [basic]],
          [common, user, own, ["Bearer own"]],
          [{}, user, own, ["Bearer own"]]
        ] as const) {
          const connecting = (yield* make(options)).connect(`ws://${credentials}127.0.0.1:${listener.port}/`, asking)
          yield* Effect.forkChild(connecting, { startImmediately: true })
          const connection = yield* listener.accept
          const request = yield* requested(connection)
          assert.deepStrictEqual(request.all("authorization"), expected)
          assert.strictEqual(request.line, "GET / HTTP/1.1")
          yield* connection.reset()
        }
      })
  )

  it.live("has headers with names that every object has", () =>
    Effect.gen(function* () {
      const headers = Object.fromEntries([
        ["__proto__", "a"],
        ["constructor", "b"],
        ["toString", "c"]
      ])
      const { request } = yield* dialled({ asking: { headers } })
      assert.deepStrictEqual(
        [request.all("__proto__"), request.all("constructor"), request.all("tostring")],
        [["a"], ["b"], ["c"]]
      )
    })
  )

  it.live("goes to the server of the URL, whatever Host says", () =>
    Effect.gen(function* () {
      const { request } = yield* dialled({ asking: { headers: { Host: "virtual.example:1" } } })
      assert.deepStrictEqual(request.all("host"), ["virtual.example:1"])
    })
  )

  it.live("puts what is asked for at once before what the client was made with, headers one by one", () =>
    Effect.gen(function* () {
      const options: NodeWebSocketClient.Options = {
        subprotocols: ["a", "b"],
        compression: { contextTakeover: true },
        headers: { "X-Common": "common", "x-both": ["common", "more"] }
      }
      const offer = "sec-websocket-extensions: permessage-deflate; client_max_window_bits"
      assert.strictEqual(
        yield* written(options),
        head("/", "sec-websocket-protocol: a, b", offer, "x-common: common", "x-both: common", "x-both: more")
      )
      const asking: Asking = { subprotocols: ["c"], compression: false, headers: { "X-BOTH": "own", "x-own": "own" } }
      assert.strictEqual(
        yield* written({ ...options, asking }),
        head("/", "sec-websocket-protocol: c", "x-common: common", "x-both: own", "x-own: own")
      )
      assert.strictEqual(
        yield* written({ ...options, asking: { subprotocols: [], headers: {} } }),
        head("/", offer, "x-common: common", "x-both: common", "x-both: more")
      )
    })
  )
})

describe("a request that cannot be", () => {
  /** Asks for it at a server that listens, and gives what is wrong. */
  const invalid = Effect.fnUntraced(function* (asking: Asking, options: NodeWebSocketClient.Options = {}) {
    const listener = yield* RawTarget.listen()
    const client = yield* make(options)
    const url = `ws://ann:s3cr3t@127.0.0.1:${listener.port}/x?s3cr3t`
    const error = yield* Effect.flip(client.connect(url, asking))
    assert.strictEqual(error.reason._tag, "InvalidRequest", error.message)
    assert.strictEqual(error.url, `ws://127.0.0.1:${listener.port}/x`)
    assert.strictEqual(error.message, `no connection to ${error.url}: ${error.reason.message}`)
    assert.notInclude(error.message, "s3cr3t")
    // nobody was connected to
    assert.lengthOf(listener.connections, 0)
    return error.reason.message
  })

  it.live.each([
    "Upgrade",
    "connection",
    "Content-Length",
    "Transfer-Encoding",
    "Expect",
    "Sec-WebSocket-Key",
    "sec-websocket-version",
    "sec-websocket-protocol",
    "sec-websocket-extensions",
    "SEC-WEBSOCKET-ACCEPT",
    "sec-websocket-whatever"
  ])("has the handshake's own header %s", (name) =>
    Effect.gen(function* () {
      const expected = `headers: ${name} is not to be set: the handshake says it itself`
      assert.strictEqual(yield* invalid({ headers: { [name]: "13" } }), expected)
      assert.strictEqual(yield* invalid({}, { headers: { [name]: ["13"] } }), expected)
    })
  )

  it.live.each(["a\r\nx: y", "a\nx: y", "a\rb", "a\u0000b", "\x7f", "\x1b", "€", "🔑", "a\r\n\r\nGET / HTTP/1.1"])(
    "has a value that is no line of Latin-1, which is not told: %j",
    (value) =>
      Effect.gen(function* () {
        const expected = "headers: expected a value of x-a that is one line of Latin-1"
        assert.strictEqual(yield* invalid({ headers: { "x-a": value } }), expected)
        assert.strictEqual(yield* invalid({ headers: { "x-a": ["fine", value] } }), expected)
        assert.strictEqual(
          yield* invalid({ headers: { host: value } }),
          "headers: expected a value of host that is one line of Latin-1"
        )
      })
  )

  it.live.each(["", "a b", "a:", "a\r\nb", "(a)", "ü", "a\u0000", ":authority"])(
    "has a header whose name is none: %j",
    (name) =>
      Effect.gen(function* () {
        assert.match(
          yield* invalid({ headers: { [name]: "x" } }),
          /^headers: expected the name of a header; ".*" came$/
        )
      })
  )

  it.live.each(["", "a b", "a,b", "a\r\nb", "ü", "a;b", '"a"'])("has a subprotocol that is no token: %j", (name) =>
    Effect.gen(function* () {
      const expected = /^subprotocols: expected names without blanks or commas; ".*" came$/
      assert.match(yield* invalid({ subprotocols: ["fine", name] }), expected)
      assert.match(yield* invalid({}, { subprotocols: [name] }), expected)
    })
  )

  it.live("has the same subprotocol twice", () =>
    Effect.gen(function* () {
      assert.strictEqual(yield* invalid({ subprotocols: ["a", "b", "a"] }), "subprotocols: expected each name once")
      // names are compared to the letter
      const { request } = yield* dialled({ asking: { subprotocols: ["a", "A"] } })
      assert.deepStrictEqual(request.all("sec-websocket-protocol"), ["a, A"])
    })
  )

  it.live("announces trailers, which a request without a body cannot have", () =>
    Effect.gen(function* () {
      const message = yield* invalid({ headers: { Trailer: "x-checksum" } })
      assert.strictEqual(message, "headers: Trailer is not to be set: the handshake says it itself")
    })
  )

  it.live.each(["Host", "authorization", "Origin", "user-agent", "Referer"])(
    "has several values of %s, which has one",
    (name) =>
      Effect.gen(function* () {
        for (const values of [[], ["a"], ["a", "b"]]) {
          const message = yield* invalid({ headers: { [name]: values } })
          assert.strictEqual(message, `headers: expected one value of ${name}, not a list`)
        }
      })
  )

  it.live("has what only a program without types can give", () =>
    Effect.gen(function* () {
      for (const value of [5, null, undefined, {}, [5], ["a", undefined]]) {
        const message = yield* invalid({ headers: { "x-a": value as unknown as string } })
        assert.strictEqual(message, "headers: expected a value of x-a that is one line of Latin-1")
      }
      for (const names of ["chat", 5, {}]) {
        const message = yield* invalid({ subprotocols: names as unknown as Array<string> })
        assert.strictEqual(message, "subprotocols: expected a list of names")
      }
      assert.match(yield* invalid({ subprotocols: [5 as unknown as string] }), /^subprotocols: expected names without/)
    })
  )

  it.live.each(["ws://h/#x", "ftp://h/", "ws://h:0/", "", "ws+unix:app.sock"])("has the URL %j", (url) =>
    Effect.gen(function* () {
      const error = yield* Effect.flip((yield* make()).connect(url))
      assert.strictEqual(error.reason._tag, "InvalidRequest")
      assert.strictEqual(error.url, "a URL that cannot be used")
    })
  )
})

describe("an option that cannot be one", () => {
  it.live.each([
    ["closeTimeout", { closeTimeout: -1 }],
    ["pingInterval", { pingInterval: 0 }],
    ["maxMessageSize", { maxMessageSize: Number.NaN }],
    ["handshakeTimeout", { handshakeTimeout: 0 }],
    ["dialTimeout", { dialTimeout: -1 }],
    ["retries", { retries: -1 }],
    ["attemptDelay", { attemptDelay: -1 }]
  ] as ReadonlyArray<readonly [string, NodeWebSocketClient.Options]>)(
    "is a defect that names it: %s",
    ([name, options]) =>
      Effect.gen(function* () {
        const defect = yield* Effect.suspend(() => make(options)).pipe(
          Effect.as(undefined),
          Effect.catchDefect((defect) => Effect.succeed(defect))
        )
        assert.instanceOf(defect, RangeError)
        assert.match(String(defect), new RegExp(`^RangeError: ${name}: expected `))
      })
  )
})
