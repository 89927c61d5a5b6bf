/** What a connection may bring before it is a WebSocket, other than an opening handshake that is whole in one read. */
import { assert, describe, it } from "@effect/vitest"
import { Deferred, Effect } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import { counting } from "../connection/metrics.ts"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { shown, text } from "../connection/connected.ts"
import { deciding, drain, echo, serving } from "./serving.ts"
import { ask, connect, type Wire, upgradeRequest } from "./wire.ts"

/** All that the server says until it ends the connection. */
const allOf = (wire: Wire) =>
  Effect.promise(async () => {
    const chunks: Array<Buffer> = []
    for await (const chunk of wire.socket) chunks.push(chunk)
    return Buffer.concat(chunks).toString("latin1")
  })

const countOf = (whole: string, part: string): number => whole.split(part).length - 1

describe("a handshake with a body", () => {
  const lengths = { "Content-Length": "5" }
  const chunked = { "Transfer-Encoding": "chunked" }
  const cases: ReadonlyArray<readonly [title: string, headers: Record<string, string>, now: string, later: string]> = [
    ["that comes with it", lengths, "hello", ""],
    ["that comes later", lengths, "", "hello"],
    ["that comes in part", lengths, "he", ""],
    ["in chunks", chunked, "", "5\r\nhello\r\n0\r\n\r\n"],
    ["that looks like a frame", { "Content-Length": "6" }, "\u0081\u0080\u0000\u0000\u0000\u0000", ""]
  ]
  for (const [title, headers, now, later] of cases) {
    it.live(`${title} is told 400, once, and ended`, () =>
      Effect.gen(function* () {
        const { port } = yield* serving(echo)
        const refused = yield* counting(
          Telemetry.refusals,
          "400",
          Effect.gen(function* () {
            const wire = yield* connect(port)
            wire.write(Buffer.from(upgradeRequest(headers) + now, "latin1"))
            yield* Effect.sleep("30 millis")
            if (later !== "") wire.write(later)
            const answer = yield* allOf(wire)
            assert.isTrue(answer.startsWith("HTTP/1.1 400 "), answer)
            assert.include(answer, "A handshake has no body")
            assert.strictEqual(countOf(answer, "HTTP/1.1"), 1)
          })
        )
        assert.strictEqual(refused, 1)
      })
    )
  }

  it.live("of no bytes is none", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      assert.strictEqual((yield* ask(port, upgradeRequest({ "Content-Length": "0" }))).status, 101)
    })
  )
})

describe("the time of the first head", () => {
  it.live("is over once: a part of a head is told 408 and ended, and nothing more is said", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { handshakeTimeout: "150 millis" })
      const refused = yield* counting(
        Telemetry.refusals,
        "408",
        Effect.gen(function* () {
          const wire = yield* connect(port)
          wire.write("GET / HTTP/1.1\r\n")
          const answer = yield* allOf(wire)
          assert.isTrue(answer.startsWith("HTTP/1.1 408 "), answer)
          assert.strictEqual(countOf(answer, "HTTP/1.1"), 1)
          // the time of every check there could be
          yield* Effect.sleep("400 millis")
        })
      )
      assert.strictEqual(refused, 1)
    })
  )

  it.live("does not hold for a connection whose head has come, in however many pieces and whatever it was", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { handshakeTimeout: "400 millis" })
      const late = yield* counting(
        Telemetry.refusals,
        "408",
        Effect.gen(function* () {
          const inPieces = yield* connect(port)
          const request = upgradeRequest()
          inPieces.write(request.slice(0, 40))
          yield* Effect.sleep("20 millis")
          inPieces.write(request.slice(40))
          assert.strictEqual((yield* inPieces.response).status, 101)
          const expecting = yield* connect(port)
          expecting.write("POST / HTTP/1.1\r\nHost: a\r\nExpect: miracles\r\nContent-Length: 0\r\n\r\n")
          const bodied = yield* connect(port)
          bodied.write(upgradeRequest({ "Content-Length": "5" }))
          assert.deepStrictEqual([(yield* expecting.response).status, (yield* bodied.response).status], [417, 400])
          yield* Effect.sleep("1 second")
          assert.deepStrictEqual([yield* allOf(expecting), yield* allOf(bodied)], ["", ""])
          inPieces.send(text("hi"))
          assert.deepStrictEqual(shown(yield* inPieces.next), [Opcode.text, "hi"])
        })
      )
      assert.strictEqual(late, 0)
    })
  )
})

describe("a first request that nobody has decided about yet", () => {
  it.live("is read on behind, and nothing of that is lost", () =>
    Effect.gen(function* () {
      const asked = yield* Deferred.make<void>()
      const decision = yield* Deferred.make<void>()
      const { port } = yield* deciding(({ accept }) =>
        Deferred.succeed(asked, undefined).pipe(
          Effect.andThen(Deferred.await(decision)),
          Effect.andThen(accept),
          Effect.flatMap(echo)
        )
      )
      const wire = yield* connect(port)
      wire.write(upgradeRequest())
      yield* Deferred.await(asked)
      for (const word of ["one", "two"]) {
        wire.send(text(word))
        yield* Effect.sleep("20 millis")
      }
      yield* Deferred.succeed(decision, undefined)
      assert.strictEqual((yield* wire.response).status, 101)
      wire.send(text("three"))
      for (const word of ["one", "two", "three"]) {
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, word])
      }
    })
  )
})

describe("a connection that the client ends", () => {
  it.live("without a word is ended too, at once and without an answer", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { handshakeTimeout: "1 minute" })
      const wire = yield* connect(port)
      wire.end()
      assert.strictEqual(yield* allOf(wire), "")
    }).pipe(Effect.timeout("3 seconds"))
  )

  it.live("with its first request has its answer", () =>
    Effect.gen(function* () {
      const { port } = yield* serving((webSocket) => Effect.andThen(webSocket.send("hi"), drain(webSocket)))
      const wire = yield* connect(port)
      wire.socket.end(upgradeRequest())
      assert.strictEqual((yield* wire.response).status, 101)
      assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "hi"])
    })
  )

  it.live("within its first head is ended, without waiting for its time", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { handshakeTimeout: "1 minute" })
      const wire = yield* connect(port)
      wire.socket.end(upgradeRequest().slice(0, 30))
      assert.include(["", "HTTP/1.1 400 Bad Request"], (yield* allOf(wire)).split("\r\n")[0])
    }).pipe(Effect.timeout("3 seconds"))
  )
})
