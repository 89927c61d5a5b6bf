/**
 * What an application may say in its answer to a request, and what it decides before one: headers, subprotocols, other statuses,
 * who may connect at all, and when no more may.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { Refusal } from "../../src/server/OpenRequest.ts"
import { connect, upgraded, upgradeRequest } from "./wire.ts"
import { collectingLogs, deciding, echo, eventually, noneOpen, serving } from "./serving.ts"

const opened = Effect.fnUntraced(function* (port: number, headers: Record<string, string> = {}) {
  const wire = yield* connect(port)
  wire.write(upgradeRequest(headers))
  return { wire, response: yield* wire.response }
})

describe("acceptWith", () => {
  it.live("adds headers, and keeps those of the handshake to itself", () =>
    Effect.gen(function* () {
      const { port } = yield* deciding((open) =>
        Effect.flatMap(
          open.acceptWith({
            headers: { "x-one": "1", "set-cookie": ["a=1", "b=2"], "Sec-WebSocket-Accept": "mine", connection: "close" }
          }),
          echo
        )
      )
      const { response } = yield* opened(port)
      assert.strictEqual(response.status, 101)
      assert.strictEqual(response.headers["x-one"], "1")
      assert.strictEqual(response.headers["set-cookie"], "b=2")
      assert.notStrictEqual(response.headers["sec-websocket-accept"], "mine")
      assert.strictEqual(response.headers["connection"], "Upgrade")
    })
  )

  it.live("chooses a subprotocol of those that are offered, or none", () =>
    Effect.gen(function* () {
      for (const [wanted, expected] of [
        ["b", "b"],
        ["c", undefined],
        [undefined, undefined]
      ] as const) {
        const { port } = yield* deciding(
          (open) =>
            Effect.flatMap(open.acceptWith({ subprotocol: wanted }), (webSocket) => {
              assert.strictEqual(webSocket.subprotocol, expected)
              return echo(webSocket)
            }),
          { subprotocols: ["a"] }
        )
        const { response } = yield* opened(port, { "Sec-WebSocket-Protocol": "a, b" })
        assert.strictEqual(response.headers["sec-websocket-protocol"], expected)
      }
    })
  )

  it.live("a header that cannot be one is a defect of ours, and no byte of it goes out", () =>
    Effect.gen(function* () {
      const { port } = yield* deciding((open) =>
        Effect.flatMap(open.acceptWith({ headers: { "x-one": "1\r\nx-two: 2" } }), echo)
      )
      const { response } = yield* opened(port)
      assert.strictEqual(response.status, 500)
      assert.isUndefined(response.headers["x-two"])
    })
  )

  it.live("a refusal may be a redirect", () =>
    Effect.gen(function* () {
      const { port } = yield* deciding(() =>
        Effect.fail(new Refusal({ status: 302, reason: "Elsewhere.", headers: { location: "/other" } }))
      )
      const { response } = yield* opened(port)
      assert.deepStrictEqual([response.status, response.headers["location"]], [302, "/other"])
    })
  )

  it.live("a refusal that cannot be sent is a defect of ours: 500, a line in the log, and nothing is left", () =>
    collectingLogs((logs) =>
      Effect.gen(function* () {
        const bad: ReadonlyArray<Record<string, string | ReadonlyArray<string>>> = [
          { location: "日" },
          { "x-one": "1\r\nx-two: 2" },
          { "set-cookie": ["a=1", "b=2\r\nx-two: 2"] },
          { "x one": "1" }
        ]
        const { port, server } = yield* deciding((open) =>
          Effect.fail(
            new Refusal({ status: 302, reason: "Elsewhere.", headers: bad[Number(open.request.path.slice(1))]! })
          )
        )
        for (const index of bad.keys()) {
          const wire = yield* connect(port)
          wire.write(upgradeRequest({}, `/${index}`))
          const response = yield* wire.response
          assert.strictEqual(response.status, 500)
          assert.isUndefined(response.headers["x-two"])
          assert.strictEqual(logs.filter(({ level }) => level === "Error").length, index + 1)
          // a connection that is not ended keeps the server, which has nobody left to tell it
          assert.strictEqual(yield* wire.ended, "FIN")
          wire.end()
        }
        assert.match(logs[0]!.text, /ERR_INVALID_CHAR/)
        yield* eventually("no connection is left", noneOpen(server))
      })
    )
  )

  it.live("a refusal with a type of its own has it once, and its reason goes out as it is", () =>
    Effect.gen(function* () {
      const reason = JSON.stringify({ error: "日" })
      for (const name of ["content-type", "Content-Type"]) {
        const { port } = yield* deciding(() =>
          Effect.fail(
            new Refusal({
              status: 402,
              reason,
              headers: { [name]: "application/json", "Content-Length": "1", "transfer-encoding": "chunked" }
            })
          )
        )
        const { response } = yield* opened(port)
        assert.deepStrictEqual([response.status, response.body], [402, reason])
        assert.strictEqual(response.headers["content-type"], "application/json")
        assert.strictEqual(response.headers["connection"], "close")
        assert.isUndefined(response.headers["transfer-encoding"])
      }
    })
  )

  it.live("a header goes out a byte a character, with a refusal as with 101, and the body as UTF-8", () =>
    Effect.gen(function* () {
      const headers = { "x-name": "Zoë" }
      const accepting = yield* deciding((open) => Effect.flatMap(open.acceptWith({ headers }), echo))
      assert.strictEqual((yield* opened(accepting.port)).response.headers["x-name"], "Zoë")
      const refusing = yield* deciding(() => Effect.fail(new Refusal({ status: 402, reason: "Zoë 日", headers })))
      const { response } = yield* opened(refusing.port)
      assert.deepStrictEqual([response.headers["x-name"], response.body], ["Zoë", "Zoë 日\n"])
    })
  )

  it.live("the request has its headers as they came, if they are kept, and the ends of its connection", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const { port } = yield* deciding(
        (open) => {
          const { localPort, remoteAddress, remotePort } = open.peer!
          seen.push(open.request.rawHeaders?.includes("X-Mixed"), localPort, remoteAddress, typeof remotePort)
          return Effect.flatMap(open.accept, echo)
        },
        { keepRawHeaders: true }
      )
      yield* opened(port, { "X-Mixed": "1" })
      assert.deepStrictEqual(seen, [true, port, "127.0.0.1", "number"])
    })
  )
})

describe("admit", () => {
  it.live("decides before anything is read, and cuts off who may not", () =>
    Effect.gen(function* () {
      let mayConnect = false
      const { port } = yield* serving(echo, {
        admit: () =>
          Effect.delay(
            Effect.sync(() => mayConnect),
            10
          )
      })
      const refused = yield* connect(port)
      assert.oneOf(yield* refused.ended, ["FIN", "reset"])
      mayConnect = true
      const wire = yield* upgraded(port)
      wire.send({ opcode: 1, payload: new TextEncoder().encode("x") })
      assert.strictEqual((yield* wire.next).payload.length, 1)
    })
  )

  it.live("a decision that fails, that throws, or takes longer than the handshake may, is no", () =>
    Effect.gen(function* () {
      const throws = (): Effect.Effect<boolean> => {
        throw new Error("broken")
      }
      for (const admit of [() => Effect.die("broken"), throws, () => Effect.never]) {
        const { port } = yield* serving(echo, { admit, handshakeTimeout: "100 millis" })
        const wire = yield* connect(port)
        assert.oneOf(yield* wire.ended, ["FIN", "reset"])
      }
    })
  )

  it.live("may be known at once", () =>
    Effect.gen(function* () {
      const asked: Array<number | undefined> = []
      const { port } = yield* serving(echo, {
        admit: ({ remotePort }) => Effect.succeed(asked.push(remotePort) > 1)
      })
      assert.oneOf(yield* (yield* connect(port)).ended, ["FIN", "reset"])
      const wire = yield* upgraded(port)
      wire.send({ opcode: 1, payload: new TextEncoder().encode("x") })
      assert.strictEqual((yield* wire.next).payload.length, 1)
      assert.strictEqual(new Set(asked).size, 2)
    })
  )

  it.live("what came while it was decided is not lost", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo, { admit: () => Effect.as(Effect.sleep(50), true) })
      const wire = yield* connect(port)
      wire.write(upgradeRequest())
      assert.strictEqual((yield* wire.response).status, 101)
    })
  )
})

describe("stop", () => {
  it.live("takes no more connections; open ones go on", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo)
      const wire = yield* upgraded(port)
      yield* server.stop
      const late = yield* Effect.exit(connect(port))
      assert.strictEqual(late._tag, "Failure")
      wire.send({ opcode: 1, payload: new TextEncoder().encode("still here") })
      assert.strictEqual((yield* wire.next).payload.length, 10)
      assert.strictEqual(yield* server.connections, 1)
    })
  )

  it.live("cuts off a handshake that has not been asked about yet", () =>
    Effect.gen(function* () {
      const { port, server } = yield* serving(echo)
      const wire = yield* connect(port)
      wire.write("GET / HTTP/1.1\r\n")
      yield* Effect.sleep(50)
      yield* server.stop
      assert.oneOf(yield* wire.ended, ["FIN", "reset"])
      yield* eventually("no connection is left", noneOpen(server))
    })
  )
})
