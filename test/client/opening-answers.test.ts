/**
 * Answers that open no connection: what the server said in place of 101, and a 101 to something else than what was asked. The connection
 * that they came over is gone, whatever the server does.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Fiber } from "effect"
import type { Asking } from "../../src/client/WebSocketClient.ts"
import * as ClientError from "../../src/client/WebSocketClientError.ts"
import { NoAnswer } from "../../src/client/UpgradeDialer.ts"
import { DialError } from "../../src/proxy/Dialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import { answered, type Changes, dialled, switching, turns } from "./server.ts"

/** The server's answer, and what becomes of the connection then. */
const declined = Effect.fnUntraced(function* (...args: Parameters<typeof answered>) {
  const reason = yield* answered(...args)
  if (reason._tag !== "Declined") return yield* Effect.die(new Error(`${reason._tag}: ${reason.message}`))
  return reason
})

describe("a server that declines", { timeout: 30_000 }, () => {
  it.live.each([301, 302, 307, 308])("by a redirect, %i, which is not followed but told", (status) =>
    Effect.gen(function* () {
      const reason = yield* declined(
        `HTTP/1.1 ${status} Elsewhere\r\nLocation: wss://other.example/path\r\nContent-Length: 0\r\n\r\n`
      )
      assert.strictEqual(reason.status, status)
      assert.strictEqual(reason.headers["location"], "wss://other.example/path")
      assert.strictEqual(reason.body, "")
      assert.strictEqual(
        reason.message,
        `the server answered ${status} instead of 101, and names "wss://other.example/path"`
      )
    })
  )

  it.live("says what it wants, in headers whose names are in lower case", () =>
    Effect.gen(function* () {
      const reason = yield* declined(
        'HTTP/1.1 401 Unauthorized\r\nWWW-Authenticate: Basic realm="x"\r\nWWW-Authenticate: Bearer\r\n' +
          "Set-Cookie: a=1\r\nset-cookie: b=2\r\nX-Empty:\r\nContent-Length: 2\r\n\r\nno"
      )
      assert.deepStrictEqual(
        { status: reason.status, headers: reason.headers, body: reason.body, message: reason.message },
        {
          status: 401,
          headers: {
            "www-authenticate": 'Basic realm="x", Bearer',
            "set-cookie": "a=1, b=2",
            "x-empty": "",
            "content-length": "2"
          },
          body: "no",
          message: "the server answered 401 instead of 101"
        }
      )
    })
  )

  it.live("has headers that came more than once, joined by commas", () =>
    Effect.gen(function* () {
      const { headers } = yield* declined(
        "HTTP/1.1 503 X\r\nRetry-After: 1\r\nVia: a\r\nretry-after: 2\r\nvia: b\r\nContent-Length: 0\r\n\r\n"
      )
      assert.deepStrictEqual([headers["retry-after"], headers["via"]], ["1, 2", "a, b"])
    })
  )

  it.live.each([
    ["of a length that it says", "Content-Length: 5\r\n\r\nhello"],
    ["in chunks", "Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nx-trailer: z\r\n\r\n"]
  ])("has a body %s", ([, answer]) =>
    Effect.gen(function* () {
      const { body, status } = yield* declined(`HTTP/1.1 503 Busy\r\nRetry-After: 5\r\n${answer}`)
      assert.deepStrictEqual([status, body], [503, "hello"])
    })
  )

  it.live("has a body that is text in UTF-8, and what is none does no harm", () =>
    Effect.gen(function* () {
      const text = "Grüße 🎈"
      const bytes = Buffer.from(text).toString("latin1")
      const head = (length: number) => `HTTP/1.1 503 Busy\r\nContent-Length: ${length}\r\n\r\n`
      assert.strictEqual((yield* declined(`${head(bytes.length)}${bytes}`)).body, text)
      assert.strictEqual((yield* declined(`${head(3)}a\xffb`)).body, "a\ufffdb")
    })
  )

  it.live.each([
    ["its end ends", "HTTP/1.1 500 X\r\n\r\nhello", "FIN"],
    ["is cut off by its end", "HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\nhello", "FIN"],
    ["is cut off by its end, in chunks", "HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n9\r\nhello", "FIN"],
    ["is wrong in its chunks", "HTTP/1.1 500 X\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\nzz\r\n", undefined],
    ["has something behind its end", "HTTP/1.1 500 X\r\nContent-Length: 5\r\n\r\nhellogarbage", undefined],
    ["is cut off by a reset", "HTTP/1.1 500 X\r\nContent-Length: 10\r\n\r\nhello", "reset"]
  ] as const)("has a body that %s, and its status is known all the same", ([, answer, then]) =>
    Effect.gen(function* () {
      const { connecting, connection } = yield* dialled()
      yield* connection.write(Buffer.from(answer))
      if (then === "FIN") yield* connection.end()
      // what a reset comes behind is to be read before
      if (then === "reset") yield* Effect.andThen(turns, connection.reset())
      const { reason } = yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      assert.strictEqual(reason._tag, "Declined", reason.message)
      assert.deepStrictEqual(reason._tag === "Declined" && [reason.status, reason.body], [500, "hello"])
    })
  )

  it.live("has a body of which no more than 4 KiB are read, and of those no more are awaited", () =>
    Effect.gen(function* () {
      const answer = `HTTP/1.1 500 X\r\nContent-Length: 1000000\r\n\r\n${"x".repeat(100_000)}`
      // in less than the second that a body is waited for
      const { body } = yield* declined(answer, { handshakeTimeout: 700 })
      assert.strictEqual(body, "x".repeat(4096))
    })
  )

  it.live("has a body that never ends, of which the beginning is told after a while", () =>
    Effect.gen(function* () {
      const { connecting, connection } = yield* dialled({ handshakeTimeout: "1 hour" })
      yield* connection.write(Buffer.from("HTTP/1.1 500 X\r\n\r\nhello"))
      const { reason } = yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      assert.strictEqual(reason._tag === "Declined" && reason.body, "hello")
      yield* connection.watch.until("the end", () => connection.over)
    })
  )

  it.live("has a body that does not end before the time is over: its status is known all the same", () =>
    Effect.gen(function* () {
      const answer = "HTTP/1.1 503 X\r\nContent-Length: 10\r\n\r\nhello"
      const { body, status } = yield* declined(answer, { handshakeTimeout: 200 })
      assert.deepStrictEqual([status, body], [503, "hello"])
    })
  )

  it.live.each([200, 204, 304, 400, 403, 404, 426, 599])("with %i, whatever else it says", (status) =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled()
      // all that an acceptance has, but for its status
      yield* connection.write(Buffer.from(switching(request, { "Content-Length": "0" }).replace("101", String(status))))
      const error = yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      assert.strictEqual(error.reason._tag === "Declined" && error.reason.status, status)
      assert.strictEqual(error.message, `no connection to ${error.url}: the server answered ${status} instead of 101`)
      yield* connection.watch.until("the end", () => connection.over)
    })
  )

  it.live("and repeats a secret of ours in a redirect, has it in the headers and not in what is logged", () =>
    Effect.gen(function* () {
      const { message, reason } = yield* Effect.gen(function* () {
        const { connecting, connection } = yield* dialled({ path: "/p?token=s3cr3t" })
        yield* connection.write(
          Buffer.from(
            "HTTP/1.1 301 X\r\nLocation: https://ann:s3cr3t@h.example/p?token=s3cr3t\r\nContent-Length: 0\r\n\r\n"
          )
        )
        return yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      })
      assert.include(reason._tag === "Declined" && reason.headers["location"], "token=s3cr3t")
      assert.include(message, "h.example/p")
      assert.notInclude(message, "s3cr3t")
    })
  )
})

describe("a server that answers 101 to something else", { timeout: 30_000 }, () => {
  const offering: Asking = {
    subprotocols: ["a", "b"],
    compression: { contextTakeover: false, serverMaxWindowBits: 12 }
  }
  const deflate = "permessage-deflate; server_no_context_takeover"

  const cases: ReadonlyArray<readonly [string, Changes, RegExp, Asking?]> = [
    ["with no accept key", { "Sec-WebSocket-Accept": undefined }, /Sec-WebSocket-Accept does not answer/],
    [
      "with the accept key of another",
      { "Sec-WebSocket-Accept": "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" },
      /Sec-WebSocket-Accept does not answer/
    ],
    ["with an empty accept key", { "Sec-WebSocket-Accept": "" }, /Sec-WebSocket-Accept does not answer/],
    ["upgrading to something else", { Upgrade: "h2c" }, /Upgrade header must be "websocket"; "h2c" came$/],
    ["upgrading to more", { Upgrade: "websocket, h2c" }, /Upgrade header must be "websocket"/],
    ["with a subprotocol", { "Sec-WebSocket-Protocol": "a" }, /a subprotocol that was not offered; "a" came$/],
    ["with another subprotocol", { "Sec-WebSocket-Protocol": "c" }, /a subprotocol that was not offered/, offering],
    ["with one in another case", { "Sec-WebSocket-Protocol": "A" }, /a subprotocol that was not offered/, offering],
    ["with two subprotocols", { "Sec-WebSocket-Protocol": "a, b" }, /a subprotocol that was not offered/, offering],
    [
      "with two subprotocols, each in a header",
      { "Sec-WebSocket-Protocol": "a", "sec-websocket-protocol": "b" },
      /a subprotocol that was not offered; "a, b" came$/,
      offering
    ],
    [
      "with a subprotocol behind a thousand other headers",
      { "x-many": `x${"\r\na: b".repeat(1000)}`, "Sec-WebSocket-Protocol": "c" },
      /a subprotocol that was not offered/,
      offering
    ],
    ["with an empty subprotocol", { "Sec-WebSocket-Protocol": "" }, /a subprotocol that was not offered/, offering],
    ["with an extension", { "Sec-WebSocket-Extensions": deflate }, /extensions that were not offered; "permessage/],
    ["with another extension", { "Sec-WebSocket-Extensions": "x-zip" }, /extensions that were not offered/, offering],
    [
      "with an extension too many",
      { "Sec-WebSocket-Extensions": `${deflate}; server_max_window_bits=12, ${deflate}; server_max_window_bits=12` },
      /extensions that were not offered/,
      offering
    ],
    [
      "with an unknown parameter",
      { "Sec-WebSocket-Extensions": `${deflate}; server_max_window_bits=12; x=1` },
      /extensions that were not offered/,
      offering
    ],
    [
      "with a window that is larger than was demanded",
      { "Sec-WebSocket-Extensions": `${deflate}; server_max_window_bits=13` },
      /extensions that were not offered/,
      offering
    ],
    [
      "with a window that is none",
      { "Sec-WebSocket-Extensions": `${deflate}; server_max_window_bits=7` },
      /extensions that were not offered/,
      offering
    ],
    [
      "with a window for us that has no size",
      { "Sec-WebSocket-Extensions": `${deflate}; server_max_window_bits=12; client_max_window_bits` },
      /extensions that were not offered/,
      offering
    ],
    [
      "with context takeover, which it was asked to do without",
      { "Sec-WebSocket-Extensions": "permessage-deflate; server_max_window_bits=12" },
      /extensions that were not offered/,
      offering
    ],
    [
      "with a parameter twice",
      { "Sec-WebSocket-Extensions": `${deflate}; server_max_window_bits=12; server_no_context_takeover` },
      /extensions that were not offered/,
      offering
    ],
    [
      "with extensions that cannot be read",
      { "Sec-WebSocket-Extensions": ";" },
      /extensions that were not offered/,
      offering
    ]
  ]

  it.live.each(cases)("%s", ([, changes, message, asking]) =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled({ asking })
      yield* connection.write(Buffer.from(switching(request, changes)))
      const { reason } = yield* Effect.flip(Effect.asVoid(Fiber.join(connecting)))
      assert.strictEqual(reason._tag, "InvalidAnswer", reason.message)
      assert.match(reason.message, message)
      // it is told at once, and not by a Close frame: there is no WebSocket
      yield* connection.watch.until("the end", () => connection.over)
      assert.strictEqual(connection.received, connection.bytes.indexOf("\r\n\r\n") + 4)
    })
  )

  it.live.each([
    ["in another case", { Upgrade: "WebSocket", Connection: "upgrade" }],
    ["beside other connection options", { Connection: "keep-alive, Upgrade" }],
    ["with a subprotocol of those", { "Sec-WebSocket-Protocol": "b" }],
    ["with no subprotocol", {}],
    ["with an empty list of extensions", { "Sec-WebSocket-Extensions": " , " }],
    ["with the extension", { "Sec-WebSocket-Extensions": `${deflate}; server_max_window_bits=12` }],
    ["with a smaller window", { "Sec-WebSocket-Extensions": `${deflate};server_max_window_bits="9" ` }],
    ["with headers of its own", { "Set-Cookie": "a=b", Server: "x", "Content-Length": "0" }]
  ] as ReadonlyArray<readonly [string, Changes]>)("and what is in order is taken: %s", ([, changes]) =>
    Effect.gen(function* () {
      const { connecting, connection, request } = yield* dialled({ asking: offering })
      yield* connection.write(Buffer.from(switching(request, changes)))
      const webSocket = yield* Fiber.join(connecting)
      assert.strictEqual(webSocket.role, "client")
      assert.strictEqual(webSocket.subprotocol, changes["Sec-WebSocket-Protocol"])
      assert.strictEqual(webSocket.isCompressed, changes["Sec-WebSocket-Extensions"]?.includes("deflate") === true)
      yield* Effect.addFinalizer(() => connection.release)
    })
  )
})

describe("another attempt", () => {
  const target = new Target({ host: "h", port: 1 })
  const dial = (kind: DialError["kind"]) => new DialError({ target, kind })
  const silent = (kind: NoAnswer["kind"]) => new NoAnswer({ kind, instead: "did something else" })
  const declines = (status: number) => new ClientError.Declined({ status, headers: {}, body: "" })
  const transient = (reason: ClientError.WebSocketClientErrorReason) =>
    new ClientError.WebSocketClientError({ url: "ws://h:1/", reason }).isTransient

  it("may go otherwise where the server was not reached, said nothing, or said that it cannot now", () => {
    for (const kind of ["Refused", "Unreachable", "NameNotFound", "TimedOut", "Exhausted"] as const) {
      assert.isTrue(transient(dial(kind)), kind)
    }
    for (const kind of ["Lost", "TimedOut"] as const) assert.isTrue(transient(silent(kind)), kind)
    // as a server does that is being restarted
    for (const kind of ["TlsFailed", "FirewallFailed"] as const) {
      for (const code of ["ECONNRESET", "EPIPE", "ECONNREFUSED", "ENOTFOUND"]) {
        assert.isTrue(transient(new DialError({ target, kind, cause: Object.assign(new Error(), { code }) })))
      }
    }
    for (const status of [408, 429, 500, 502, 503, 504]) assert.isTrue(transient(declines(status)), String(status))
  })

  it("will not where it was asked wrongly, or refused, or the server is another", () => {
    for (const kind of ["NotAllowed", "TlsFailed", "FirewallFailed"] as const)
      assert.isFalse(transient(dial(kind)), kind)
    for (const kind of ["Unreadable", "TlsFailed"] as const) assert.isFalse(transient(silent(kind)), kind)
    for (const cause of [undefined, "x", null, Object.assign(new Error(), { code: "CERT_HAS_EXPIRED" })]) {
      assert.isFalse(transient(new DialError({ target, kind: "TlsFailed", cause })))
    }
    for (const status of [200, 301, 302, 400, 401, 403, 404, 410, 426, 501, 505]) {
      assert.isFalse(transient(declines(status)), String(status))
    }
    assert.isFalse(transient(new ClientError.InvalidAnswer({ message: "x" })))
    assert.isFalse(transient(new ClientError.InvalidRequest({ message: "x" })))
  })
})
