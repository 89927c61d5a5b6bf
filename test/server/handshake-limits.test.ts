import { assert, describe, it } from "@effect/vitest"
import { Effect, Layer } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import * as NodeWebSocketServer from "../../src/node/NodeWebSocketServer.ts"
import { counting, countingLimit } from "../connection/metrics.ts"
import { ask, connect, upgraded, upgradeRequest } from "./wire.ts"
import { collectingLogs, deciding, drain, serving } from "./serving.ts"

/** Says how often a limit bit and what came of it, by the answer of the last request. */
const bitten = <A, R>(limit: string, status: number, self: Effect.Effect<A, never, R>) =>
  Effect.gen(function* () {
    let bites = 0
    const refusals = yield* counting(
      Telemetry.refusals,
      String(status),
      Effect.gen(function* () {
        bites = yield* countingLimit(limit, self)
      })
    )
    return { bites, refusals }
  })

/** Has this process do nothing for so many milliseconds. */
const idle = (millis: number) => {
  Atomics.wait(new Int32Array(new SharedArrayBuffer(4)), 0, 0, millis)
}

describe("handshakeTimeout", () => {
  it.live("answers 408 to a client that sends nothing, and counts it", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { handshakeTimeout: "200 millis" })
      const counts = yield* bitten(
        "handshakeTimeout",
        408,
        Effect.gen(function* () {
          const wire = yield* connect(port)
          const response = yield* wire.response
          assert.strictEqual(response.status, 408)
          assert.include(response.body, "in time")
          wire.end()
          yield* wire.ended
        })
      )
      assert.deepStrictEqual(counts, { bites: 1, refusals: 1 })
    })
  )

  it.live("counts no time in which this process did nothing: a head that came meanwhile is read first", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { handshakeTimeout: "200 millis" })
      const wire = yield* connect(port)
      // it is accepted
      yield* Effect.sleep("20 millis")
      yield* Effect.callback<void>((resume) => {
        setTimeout(() => {
          wire.write(upgradeRequest())
          idle(300)
          resume(Effect.void)
        }, 1)
        // by then the sweep is due, too, right behind it
        idle(100)
      })
      assert.strictEqual((yield* wire.response).status, 101)
    })
  )

  it.live("answers 408 to a client that sends its head byte by byte, however steadily", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { handshakeTimeout: "300 millis" })
      const counts = yield* bitten(
        "handshakeTimeout",
        408,
        Effect.gen(function* () {
          const wire = yield* connect(port)
          const request = upgradeRequest({ "X-Slow": "a".repeat(1000) })
          const writing = setInterval(() => wire.write(request[at++] ?? ""), 10)
          let at = 0
          yield* Effect.addFinalizer(() => Effect.sync(() => clearInterval(writing)))
          assert.strictEqual((yield* wire.response).status, 408)
        })
      )
      assert.deepStrictEqual(counts, { bites: 1, refusals: 1 })
    })
  )

  it.live("does not touch a connection that is open, nor a request that came in time and waits for its decision", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { handshakeTimeout: "100 millis" })
      const wire = yield* upgraded(port)
      yield* Effect.sleep("400 millis")
      wire.send({ opcode: 9 })
      assert.strictEqual((yield* wire.next).opcode, 10)
      const slow = yield* deciding((open) => Effect.andThen(Effect.delay(open.accept, "400 millis"), Effect.never), {
        handshakeTimeout: "100 millis"
      })
      yield* upgraded(slow.port)
    })
  )

  for (const handshakeTimeout of ["150 millis", "333 millis", 1000.5, "6 minutes", "1 hour", "Infinity"] as const) {
    it.live(`may be ${handshakeTimeout}: the server starts and serves`, () =>
      Effect.gen(function* () {
        const { port } = yield* serving(drain, { handshakeTimeout })
        yield* upgraded(port)
      })
    )
  }
})

describe("maxHeaderSize", () => {
  const withSize = (size: number) => {
    const rest = upgradeRequest({ "X-Fill": "" }).length
    return upgradeRequest({ "X-Fill": "a".repeat(size - rest) })
  }

  it.live("answers 431 to a larger head and counts it; 16 KiB unless told", () =>
    Effect.gen(function* () {
      for (const [maxHeaderSize, size] of [
        [undefined, 16 * 1024],
        [2000, 2000]
      ] as const) {
        const { port } = yield* serving(drain, maxHeaderSize === undefined ? {} : { maxHeaderSize })
        // what the parser counts leaves out a few bytes of a head
        assert.strictEqual((yield* ask(port, withSize(size - 200))).status, 101)
        const counts = yield* bitten(
          "maxHeaderSize",
          431,
          Effect.gen(function* () {
            assert.strictEqual((yield* ask(port, withSize(size + 200))).status, 431)
          })
        )
        assert.deepStrictEqual(counts, { bites: 1, refusals: 1 })
      }
    })
  )

  it.live("answers as soon as the head is too large, not when it ends", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { maxHeaderSize: 2000 })
      const wire = yield* connect(port)
      wire.write(`GET / HTTP/1.1\r\nX-Endless: ${"a".repeat(4000)}`)
      assert.strictEqual((yield* wire.response).status, 431)
    })
  )
})

describe("maxHeaders", () => {
  const withHeaders = (count: number) =>
    upgradeRequest(Object.fromEntries(Array.from({ length: count - 5 }, (_, i) => [`X-${i}`, "1"])))

  it.live("answers 431 to more header lines and counts it; 100 unless told", () =>
    Effect.gen(function* () {
      for (const maxHeaders of [undefined, 10]) {
        const { port } = yield* serving(drain, maxHeaders === undefined ? {} : { maxHeaders })
        const most = maxHeaders ?? 100
        assert.strictEqual((yield* ask(port, withHeaders(most))).status, 101)
        const counts = yield* bitten(
          "maxHeaders",
          431,
          Effect.gen(function* () {
            const refused = yield* ask(port, withHeaders(most + 1))
            assert.strictEqual(refused.status, 431)
            assert.include(refused.body, String(most))
          })
        )
        assert.deepStrictEqual(counts, { bites: 1, refusals: 1 })
        assert.strictEqual((yield* ask(port, withHeaders(most * 20))).status, 431)
      }
    })
  )

  it.live("holds for requests that are no upgrade", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain, { maxHeaders: 3 })
      const counts = yield* bitten(
        "maxHeaders",
        431,
        Effect.gen(function* () {
          const refused = yield* ask(port, `GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\nC: 3\r\n\r\n`)
          assert.strictEqual(refused.status, 431)
        })
      )
      assert.deepStrictEqual(counts, { bites: 1, refusals: 1 })
      assert.strictEqual((yield* ask(port, `GET / HTTP/1.1\r\nHost: a\r\nA: 1\r\nB: 2\r\n\r\n`)).status, 426)
    })
  )
})

describe("what is no HTTP", () => {
  const garbage: Record<string, string | Uint8Array> = {
    "a TLS ClientHello": new Uint8Array([0x16, 0x03, 0x01, 0x00, 0xa5, 0x01, 0x00, 0x00, 0xa1, 0x03, 0x03]),
    "HTTP/2's preface": "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
    "a header line without a colon": "GET / HTTP/1.1\r\nHost localhost\r\n\r\n",
    "a bare line feed in a value": "GET / HTTP/1.1\r\nHost: a\r\nX: 1\n2\r\n\r\n",
    "two Content-Length headers": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
    zeros: new Uint8Array(100)
  }
  for (const [what, bytes] of Object.entries(garbage)) {
    it.live(`${what} is answered with 400, and the server goes on`, () =>
      collectingLogs((logs) =>
        Effect.gen(function* () {
          const { port } = yield* serving(drain)
          const wire = yield* connect(port)
          wire.write(bytes)
          assert.strictEqual((yield* wire.response).status, 400)
          yield* upgraded(port)
          assert.deepStrictEqual(logs, [])
        })
      )
    )
  }

  it.live("a client that resets in the middle of its head disturbs nobody", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain)
      for (let i = 0; i < 20; i++) {
        const wire = yield* connect(port)
        wire.write("GET / HTTP/1.1\r\nHos")
        wire.reset()
      }
      yield* upgraded(port)
    })
  )

  it.live("a Host header that came twice is answered with 400, a missing one too", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain)
      const twice = upgradeRequest().replace("Host: localhost\r\n", "Host: localhost\r\nHost: evil.example\r\n")
      assert.strictEqual((yield* ask(port, twice)).status, 400)
      assert.strictEqual((yield* ask(port, upgradeRequest({ Host: undefined }))).status, 400)
    })
  )
})

describe("an address that cannot be listened on", () => {
  const listenError = (options: NodeWebSocketServer.Options) =>
    Effect.flip(Layer.build(NodeWebSocketServer.layer(options)))

  it.live("is a typed ListenError with its code and a message that says what to do", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(drain)
      const inUse = yield* listenError({ port })
      assert.strictEqual(inUse.code, "EADDRINUSE")
      assert.include(inUse.message, `127.0.0.1:${port}`)
      const elsewhere = yield* listenError({ port: 0, host: "192.0.2.1" })
      assert.strictEqual(elsewhere.code, "EADDRNOTAVAIL")
      const unknown = yield* listenError({ port: 0, host: "no-such-host.invalid" })
      assert.include(["ENOTFOUND", "EAI_AGAIN"], unknown.code)
    })
  )

  for (const port of [-1, 65536, 1.5, Number.NaN]) {
    it.live(`port ${port} is a typed ListenError and no defect`, () =>
      Effect.gen(function* () {
        const error = yield* listenError({ port })
        assert.strictEqual(error._tag, "ListenError")
      })
    )
  }
})
