/** What comes behind a request whose answer is under way (RFC 9112 section 9.3.2). */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, shown, text } from "../connection/connected.ts"
import { counting, countingLimit } from "../connection/metrics.ts"
import { allOf, get, hears, largeIn, pages, statusesIn } from "./pages.ts"
import { collectingLogs } from "./serving.ts"
import { ask, connect, upgradeRequest, type Wire } from "./wire.ts"

const garbage = "GARBAGE\r\n\r\n"

/** The upgrade is answered, and what was sent with it and after it comes back. */
const echoes = Effect.fnUntraced(function* (wire: Wire, ...words: ReadonlyArray<string>) {
  assert.strictEqual((yield* wire.response).status, 101)
  for (const word of words) assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, word])
})

describe("an answer behind another", () => {
  it.live("ends with the client's connection, and whoever makes it is interrupted", () =>
    Effect.gen(function* () {
      const { fate, port } = yield* pages()
      const wire = yield* connect(port)
      wire.write(get("/held") + get("/held"))
      assert.deepStrictEqual([yield* fate, yield* fate], ["begun", "begun"])
      wire.socket.resetAndDestroy()
      assert.deepStrictEqual([yield* fate, yield* fate], ["gone", "gone"])
    })
  )
})

describe("an upgrade behind an answer", () => {
  it.live("that is larger than what the system takes at once: the whole of it comes first", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      for (const count of [1, 3]) {
        const wire = yield* connect(port)
        wire.write(get("/large").repeat(count) + upgradeRequest())
        wire.send(close(1000))
        const said = yield* allOf(wire)
        assert.deepStrictEqual(statusesIn(said), [...Array.from({ length: count }, () => "200"), "101"])
        assert.strictEqual(largeIn(said), count)
      }
    })
  )

  it.live(
    "that has begun: the rest of it comes first, then the other answers, and then the client is heard again",
    () =>
      Effect.gen(function* () {
        const { fate, port, release } = yield* pages()
        const wire = yield* connect(port)
        wire.write(get("/halves"))
        assert.strictEqual(yield* fate, "begun")
        // so many answers wait that no more is read for the moment
        wire.write(get("/large") + get("/small") + upgradeRequest())
        yield* ask(port, get("/small"))
        yield* release
        const said = yield* hears(wire, "HTTP/1.1 101 ")
        assert.deepStrictEqual(statusesIn(said), ["200", "200", "200", "101"])
        assert.deepStrictEqual([said.includes("\r\n\r\nfirst half"), largeIn(said)], [true, 1])
        wire.send(text("hi"))
        yield* hears(wire, "hi")
      })
  )

  it.live("that came in the first read with more than may wait: what comes behind is read when it has gone out", () =>
    Effect.gen(function* () {
      const { fate, port, release } = yield* pages()
      const wire = yield* connect(port)
      wire.write(get("/halves") + get("/large") + get("/small"))
      assert.strictEqual(yield* fate, "begun")
      wire.write(get("/small") + upgradeRequest())
      wire.send(close(1000))
      // by then that has come as well
      yield* ask(port, get("/small"))
      yield* release
      const said = yield* allOf(wire)
      assert.deepStrictEqual(statusesIn(said), ["200", "200", "200", "200", "101"])
      assert.strictEqual(largeIn(said), 1)
    })
  )

  it.live("that is late keeps what the client sends meanwhile", () =>
    Effect.gen(function* () {
      const { fate, port, release } = yield* pages()
      const wire = yield* connect(port)
      wire.write(get("/held") + upgradeRequest())
      wire.send(text("one"))
      assert.strictEqual(yield* fate, "begun")
      wire.send(text("two"))
      yield* release
      assert.strictEqual((yield* wire.response).body, "at last\n")
      wire.send(text("three"), close(1000))
      yield* echoes(wire, "one", "two", "three")
      assert.strictEqual((yield* wire.next).opcode, Opcode.close)
    })
  )

  it.live("has no more to do with the time of a handshake once it is accepted", () =>
    Effect.gen(function* () {
      const { fate, port, release } = yield* pages({ handshakeTimeout: "1 second" })
      const wire = yield* connect(port)
      wire.write(get("/held") + upgradeRequest())
      assert.strictEqual(yield* fate, "begun")
      yield* release
      assert.strictEqual((yield* wire.response).body, "at last\n")
      yield* echoes(wire)
      yield* Effect.sleep("1500 millis")
      wire.send(text("still here"))
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "still here"])
    })
  )

  it.live("that ends the connection has no answer", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      const wire = yield* connect(port)
      wire.write(get("/small", "Connection: close\r\n") + upgradeRequest())
      assert.deepStrictEqual(statusesIn(yield* allOf(wire)), ["200"])
    })
  )

  it.live("and with a body is told 400 in its turn", () =>
    Effect.gen(function* () {
      const { fate, port, release } = yield* pages()
      const wire = yield* connect(port)
      wire.write(get("/held") + upgradeRequest({ "Content-Length": "5" }) + "hello")
      assert.strictEqual(yield* fate, "begun")
      yield* release
      assert.strictEqual((yield* wire.response).body, "at last\n")
      const refused = yield* wire.response
      assert.strictEqual(refused.status, 400)
      assert.include(refused.body, "A handshake has no body")
    })
  )

  for (const [how, leave] of [
    ["resets", (wire: Wire) => wire.reset()],
    ["ends", (wire: Wire) => wire.end()]
  ] as const) {
    it.live(
      `the client ${how} the connection: whoever makes the answers is interrupted, and nobody is asked more`,
      () =>
        collectingLogs((logs) =>
          Effect.gen(function* () {
            const { fate, port } = yield* pages({ handshakeTimeout: "Infinity" })
            const wire = yield* connect(port)
            wire.write(get("/held").repeat(2) + upgradeRequest())
            assert.deepStrictEqual([yield* fate, yield* fate], ["begun", "begun"])
            leave(wire)
            assert.deepStrictEqual([yield* fate, yield* fate], ["gone", "gone"])
            yield* wire.ended
            assert.deepStrictEqual(logs, [])
          })
        )
    )
  }

  it.live("nothing moves within the time of a handshake: the connection ends, and that is counted", () =>
    Effect.gen(function* () {
      const { fate, port } = yield* pages({ handshakeTimeout: "200 millis" })
      const bites = yield* countingLimit(
        "handshakeTimeout",
        Effect.gen(function* () {
          const wire = yield* connect(port)
          wire.write(get("/held") + upgradeRequest())
          assert.strictEqual(yield* fate, "begun")
          assert.strictEqual(yield* fate, "gone")
          yield* wire.ended
        })
      )
      assert.strictEqual(bites, 1)
    })
  )

  it.live("the server stops: the connection ends, as one without an upgrade does", () =>
    Effect.gen(function* () {
      const { fate, port, stop } = yield* pages({ handshakeTimeout: "Infinity" })
      const wire = yield* connect(port)
      wire.write(get("/held") + upgradeRequest())
      assert.strictEqual(yield* fate, "begun")
      yield* stop
      assert.strictEqual(yield* fate, "gone")
      yield* wire.ended
    })
  )
})

describe("what is no request behind an answer", () => {
  it.live("does not come into it: the whole of it comes, and then the end", () =>
    Effect.gen(function* () {
      const { fate, port, release } = yield* pages()
      const refused = yield* counting(
        Telemetry.refusals,
        "400",
        Effect.gen(function* () {
          const wire = yield* connect(port)
          wire.write(get("/halves"))
          assert.strictEqual(yield* fate, "begun")
          wire.write(garbage)
          // has the server read that first
          yield* ask(port, get("/small"))
          wire.write(garbage)
          yield* ask(port, get("/small"))
          yield* release
          assert.strictEqual((yield* wire.response).body, "first half")
          assert.strictEqual(yield* allOf(wire), "")
        })
      )
      assert.strictEqual(refused, 1)
    })
  )

  it.live("does not take its place", () =>
    Effect.gen(function* () {
      for (const behind of [garbage, "GET / HTTP/1.1\r\nHost localhost\r\n\r\n", `GET /${"a".repeat(20_000)}`]) {
        const { fate, port, release } = yield* pages()
        const wire = yield* connect(port)
        wire.write(get("/held") + behind)
        assert.strictEqual(yield* fate, "begun")
        yield* release
        assert.strictEqual((yield* wire.response).body, "at last\n")
        assert.strictEqual(yield* allOf(wire), "")
      }
    })
  )

  it.live("behind a request to end the connection is ignored", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      const wire = yield* connect(port)
      wire.write(get("/small", "Connection: close\r\n") + get("/small"))
      assert.deepStrictEqual(statusesIn(yield* allOf(wire)), ["200"])
    })
  )

  it.live("in a request's own body is told 400, behind the answers in front of it", () =>
    Effect.gen(function* () {
      const broken = "POST /echo HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\n"
      const { fate, port, release } = yield* pages()
      const alone = yield* connect(port)
      alone.write(broken)
      assert.deepStrictEqual(statusesIn(yield* allOf(alone)), ["400"])
      const behind = yield* connect(port)
      behind.write(get("/held") + broken)
      assert.strictEqual(yield* fate, "begun")
      yield* release
      assert.deepStrictEqual(statusesIn(yield* allOf(behind)), ["200", "400"])
    })
  )
})

describe("an upgrade to something else", () => {
  const h2c = "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n"

  it.live("is answered as the request that it also is, and nothing behind it is promised an answer", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      const wire = yield* connect(port)
      wire.write(get("/small", h2c) + get("/small"))
      const response = yield* wire.response
      assert.deepStrictEqual([response.status, response.headers["connection"], response.body], [200, "close", "ok\n"])
      assert.strictEqual(yield* allOf(wire), "")
    })
  )
})

describe("CONNECT", () => {
  const asked = "CONNECT localhost:22 HTTP/1.1\r\nHost: localhost:22\r\n\r\n"

  it.live("is no method here, and told so in its turn: 405, counted", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      const refused = yield* counting(
        Telemetry.refusals,
        "405",
        Effect.gen(function* () {
          for (const [before, statuses] of [
            ["", ["405"]],
            [get("/small"), ["200", "405"]]
          ] as const) {
            const wire = yield* connect(port)
            wire.write(`${before}${asked}SSH-2.0-x\r\n`)
            const said = yield* allOf(wire)
            assert.deepStrictEqual(statusesIn(said), statuses)
            assert.match(said, /\r\nallow: GET\r\n/)
          }
        })
      )
      assert.strictEqual(refused, 2)
    })
  )
})
