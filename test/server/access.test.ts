/**
 * An access policy in a server: who comes in is known to the handler, who does not learns a status, and tokens among the
 * subprotocols are never agreed on.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Redacted, Result } from "effect"
import * as OpeningHandshake from "../../src/protocol/OpeningHandshake.ts"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"
import * as Credentials from "../../src/server/Credentials.ts"
import type { Identity } from "../../src/server/Identity.ts"
import { settled } from "../connection/connected.ts"
import { memoryServer, request } from "./memory-listener.ts"
import { deciding } from "./serving.ts"
import { ask, upgradeRequest } from "./wire.ts"

const encoded = (text: string) => Buffer.from(text).toString("base64")

const basic = AccessPolicy.basic({
  verify: (_, password) =>
    Redacted.value(password) === "right"
      ? Effect.succeed({})
      : Effect.fail({ kind: "credentialsWrong", reason: "wrong password" } as const)
})
const bearer = AccessPolicy.bearer({
  from: ["header", { subprotocol: "bearer." }],
  verify: (token) =>
    Redacted.value(token) === "good"
      ? Effect.succeed({ subject: "ann" })
      : Effect.fail({ kind: "credentialsWrong", reason: "the token is not known" } as const)
})

describe("a server with an access policy", () => {
  it.effect("gives the handler who the client is, and asks no handler about who is not let in", () =>
    Effect.gen(function* () {
      const seen: Array<Identity> = []
      const { open, server } = yield* memoryServer({ access: basic })
      yield* Effect.forkChild(
        server.runRequests(({ accept, identity }) =>
          Effect.andThen(
            Effect.sync(() => seen.push(identity)),
            accept
          )
        )
      )
      yield* settled
      const known = yield* open({ headers: { authorization: `Basic ${encoded("ann:right")}` } })
      yield* known.answer
      assert.deepStrictEqual(
        seen.map(({ subject }) => subject),
        ["ann"]
      )
      // what a client writes of itself is nothing
      for (const headers of [{}, { "x-remote-user": "ann", "x-forwarded-user": "ann" }]) {
        const refused = yield* Effect.flip((yield* open({ headers })).answer)
        assert.strictEqual(refused.status, 401)
      }
      assert.strictEqual(seen.length, 1)
      // who was refused is not counted any more
      assert.strictEqual(yield* server.connections, 1)
    })
  )

  it.effect("knows nothing of a client without one", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer()
      yield* Effect.forkChild(
        server.runRequests(({ identity }) =>
          Effect.fail(new OpeningHandshake.Refusal({ status: 400, reason: JSON.stringify(identity) }))
        )
      )
      yield* settled
      const { answer } = yield* open({ headers: { authorization: `Basic ${encoded("ann:right")}` } })
      assert.strictEqual((yield* Effect.flip(answer)).reason, '{"proofs":[]}')
    })
  )

  it.effect("checks the page first, and answers the same body whatever the reason", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer({
        access: basic,
        origin: ["https://app.example"],
        maxConnections: 1
      })
      yield* Effect.forkChild(server.runRequests(({ accept }) => Effect.andThen(accept, Effect.never)))
      yield* settled
      const right = { authorization: `Basic ${encoded("ann:right")}` }
      const wrong = { authorization: `Basic ${encoded("ann:wrong")}` }
      const page = { origin: "https://evil.example" }
      const statuses: Array<number> = []
      const bodies = new Set<string>()
      for (const headers of [{ ...right, ...page }, {}, wrong, { ...right, origin: "https://app.example" }, right]) {
        const { answer } = yield* open({ headers })
        const result = yield* Effect.result(answer)
        statuses.push(Result.isSuccess(result) ? 101 : result.failure.status)
        if (Result.isFailure(result)) bodies.add(result.failure.reason)
      }
      assert.deepStrictEqual(statuses, [403, 401, 401, 101, 503])
      assert.strictEqual(bodies.size, 1)
    })
  )

  it.effect.each([
    ["a token's", bearer],
    ["one of several", AccessPolicy.anyOf(basic, bearer)]
  ] as const)(
    "never agrees on the subprotocol that is a token, and sends it back only if there is no other: %s",
    ([, access]) =>
      Effect.gen(function* () {
        const { open, server } = yield* memoryServer({ access, subprotocols: "first" })
        const agreed: Array<string | undefined> = []
        yield* Effect.forkChild(
          server.run((webSocket) =>
            Effect.andThen(
              Effect.sync(() => agreed.push(webSocket.subprotocol)),
              Effect.never
            )
          )
        )
        yield* settled
        for (const [offer, sent] of [
          ["bearer.good, binary, base64", "binary"],
          ["binary, bearer.good", "binary"],
          // a browser gives up a connection whose answer has none of what it offered
          ["bearer.good", "bearer.good"]
        ] as const) {
          const { answer } = yield* open({ headers: { "sec-websocket-protocol": offer } })
          assert.strictEqual((yield* answer).headers["sec-websocket-protocol"], sent)
        }
        yield* settled
        assert.deepStrictEqual(agreed, ["binary", "binary", undefined])
        const header = yield* open({
          headers: { authorization: "Bearer good", "sec-websocket-protocol": "binary" }
        })
        assert.strictEqual((yield* header.answer).subprotocol, "binary")
        const wrong = yield* open({ headers: { "sec-websocket-protocol": "binary, bearer.bad" } })
        assert.strictEqual((yield* Effect.flip(wrong.answer)).status, 401)
      })
  )

  it.effect("shows a handler no subprotocol that is a token, and agrees on none that it names", () =>
    Effect.gen(function* () {
      const { open, server } = yield* memoryServer({ access: bearer })
      const seen: Array<unknown> = []
      yield* Effect.forkChild(
        server.runRequests((open) =>
          Effect.suspend(() => {
            const { headers, subprotocols } = open.request
            seen.push([subprotocols, headers["sec-websocket-protocol"]])
            const subprotocol = open.request.target === "/first" ? subprotocols[0] : "bearer.good"
            return open.acceptWith({ subprotocol })
          })
        )
      )
      yield* settled
      const offering = (target: string, offer: string) => open({ target, headers: { "sec-websocket-protocol": offer } })
      const first = yield* offering("/first", "bearer.good, binary")
      assert.strictEqual((yield* first.answer).subprotocol, "binary")
      const named = yield* offering("/named", "bearer.good, binary")
      assert.strictEqual((yield* named.answer).subprotocol, undefined)
      const alone = yield* offering("/first", "bearer.good")
      // sent back, since a browser wants one of those that it offered
      const { headers, subprotocol } = yield* alone.answer
      assert.deepStrictEqual([subprotocol, headers["sec-websocket-protocol"]], [undefined, "bearer.good"])
      assert.deepStrictEqual(seen, [
        [["binary"], "binary"],
        [["binary"], "binary"],
        [[], undefined]
      ])
    })
  )

  it.live("sends a challenge for each scheme on the wire", () =>
    Effect.gen(function* () {
      const { port } = yield* deciding(({ accept }) => accept, { access: AccessPolicy.anyOf(basic, bearer) })
      const refused = yield* ask(port, upgradeRequest())
      assert.strictEqual(refused.status, 401)
      assert.strictEqual(refused.body, "The request was refused.\n")
      assert.match(refused.headers["www-authenticate"] ?? "", /^(Basic|Bearer) realm=/)
      const admitted = yield* ask(port, upgradeRequest({ Authorization: `Basic ${encoded("ann:right")}` }))
      assert.strictEqual(admitted.status, 101)
    })
  )
})

describe("credentials", () => {
  it("that are anything at all are read or refused, and never thrown about", () => {
    const pieces = [
      "Basic ",
      "Bearer ",
      "bearer.",
      ":",
      "=",
      "==",
      "AAAA",
      "\u00ff",
      ",",
      " ",
      "\t",
      "%",
      "é",
      "a",
      "/",
      "+"
    ]
    let state = 42
    const random = (below: number) => (state = (state * 1_103_515_245 + 12_345) % 2 ** 31) % below
    const sources = ["header", { query: "t" }, { subprotocol: "bearer." }] as const
    for (let i = 0; i < 20_000; i++) {
      const text = Array.from({ length: random(8) }, () => pieces[random(pieces.length)]!).join("")
      const came = request({ authorization: text, "sec-websocket-protocol": text }, `/?t=${text}&t`)
      for (const fault of [Credentials.basic(came), Credentials.bearer(came, sources)].map((read) =>
        "failure" in read ? read.failure : undefined
      )) {
        if (fault !== undefined) assert.include(["missing", "malformed"], fault)
      }
      const { echo, request: rest } = Credentials.withoutTokens(came, ["bearer."])
      assert.isTrue(echo === undefined || rest.subprotocols.length === 0)
    }
  })

  it("are not among the headers as they came either", () => {
    const headers = { "sec-websocket-protocol": "bearer.good, binary", "x-other": "1" }
    const rawHeaders = ["Sec-WebSocket-Protocol", "bearer.good", "X-Other", "1", "sec-websocket-protocol", "binary"]
    const came = new OpeningHandshake.Request({ method: "GET", target: "/", httpVersion: "1.1", headers, rawHeaders })
    const { request: rest } = Credentials.withoutTokens(came, ["bearer."])
    assert.deepStrictEqual(rest.rawHeaders, ["X-Other", "1", "Sec-WebSocket-Protocol", "binary"])
    assert.deepStrictEqual(Credentials.withoutTokens(came, ["b"]).request.rawHeaders, ["X-Other", "1"])
  })

  it("are not shown by what holds them", () => {
    const read = Credentials.basic(request({ authorization: `Basic ${encoded("ann:the-secret")}` }))
    assert.notInclude(JSON.stringify(read) + String(read), "the-secret")
    const token = Credentials.bearer(request({ authorization: "Bearer the-secret" }), ["header"])
    assert.notInclude(JSON.stringify(token) + String(token), "the-secret")
  })
})
