import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as OpeningHandshake from "../../src/protocol/OpeningHandshake.ts"
import { integer } from "./frames.ts"
import { key, request } from "./requests.ts"

const { confirm, negotiate, requestHeaders } = OpeningHandshake
const accept = "s3pPLMBiTxaQ9kYGzzhZRbK+xOo="
const good = { upgrade: "websocket", connection: "Upgrade", "sec-websocket-accept": accept }
type Asked = Omit<Parameters<typeof confirm>[1], "accept">

const confirmed = (headers: Readonly<Record<string, string | undefined>> = {}, asked: Asked = {}, status = 101) => {
  const all = Object.entries({ ...good, ...headers }).filter(
    (entry): entry is [string, string] => entry[1] !== undefined
  )
  return confirm({ status, headers: Object.fromEntries(all) }, { accept, ...asked })
}
const failure = (...args: Parameters<typeof confirmed>): string => Result.getOrThrow(Result.flip(confirmed(...args)))

describe("4.1. Client Requirements: the request", () => {
  const base = { connection: "Upgrade", upgrade: "websocket", "sec-websocket-version": "13", "sec-websocket-key": key }

  it("asks for no more than is wanted", () => {
    for (const options of [
      {},
      { subprotocols: [] },
      { compression: false },
      { subprotocols: undefined, compression: undefined }
    ] as const) {
      assert.deepStrictEqual(requestHeaders({ key, ...options }), base)
    }
  })

  it("offers subprotocols in their order, and compression", () => {
    assert.deepStrictEqual(requestHeaders({ key, subprotocols: ["b", "a"], compression: { contextTakeover: true } }), {
      ...base,
      "sec-websocket-protocol": "b, a",
      "sec-websocket-extensions": "permessage-deflate; client_max_window_bits"
    })
  })
})

describe("4.1. Client Requirements: the server's answer", () => {
  const nothing = Result.succeed({ subprotocol: undefined, compression: undefined })

  it("is taken as it is in the RFC's example", () => {
    assert.deepStrictEqual(confirmed(), nothing)
    assert.deepStrictEqual(
      confirmed({ "sec-websocket-protocol": "chat" }, { subprotocols: ["chat", "superchat"] }),
      Result.succeed({ subprotocol: "chat", compression: undefined })
    )
  })

  it("1. has status 101", () => {
    for (const status of [100, 200, 204, 301, 400, 401, 426, 503]) {
      assert.strictEqual(failure({}, {}, status), `the server answered ${status} instead of 101`)
    }
  })

  it("2. has the Upgrade header websocket, in any case", () => {
    for (const upgrade of ["websocket", "WebSocket", "WEBSOCKET"])
      assert.deepStrictEqual(confirmed({ upgrade }), nothing)
    for (const upgrade of [undefined, "", "h2c", "websocket, h2c", "websockets"])
      assert.match(failure({ upgrade }), /Upgrade header/)
  })

  it("3. has the token Upgrade in its Connection header, in any case", () => {
    for (const connection of ["upgrade", "UPGRADE", "keep-alive, Upgrade"])
      assert.deepStrictEqual(confirmed({ connection }), nothing)
    for (const connection of [undefined, "", "close", "upgraded"])
      assert.match(failure({ connection }), /Connection header/)
  })

  it("4. has the accept key of the key that was sent, to the letter", () => {
    for (const value of [undefined, "", key, accept.toLowerCase(), accept.slice(0, -1), `${accept}, ${accept}`]) {
      assert.match(failure({ "sec-websocket-accept": value }), /Sec-WebSocket-Accept/)
    }
  })

  it("5. names no extension that was not offered", () => {
    const compression = { contextTakeover: true }
    for (const [extensions, asked] of [
      ["permessage-deflate", {}],
      ["permessage-deflate", { compression: false }],
      ["foo", {}],
      ["foo", { compression }],
      ["permessage-deflate, foo", { compression }],
      ["foo, permessage-deflate", { compression }],
      ["permessage-deflate, permessage-deflate", { compression }],
      ["permessage-deflate; unknown", { compression }],
      ["permessage-deflate;", { compression }],
      ["permessage-deflate", { compression: { contextTakeover: false } }]
    ] as const) {
      assert.match(
        failure({ "sec-websocket-extensions": extensions }, asked),
        /extensions that were not offered/,
        extensions
      )
    }
    const { compression: agreed } = Result.getOrThrow(
      confirmed({ "sec-websocket-extensions": "permessage-deflate; server_max_window_bits=10" }, { compression })
    )
    assert.strictEqual(agreed?.serverMaxWindowBits, 10)
    assert.deepStrictEqual(confirmed({}, { compression }), nothing)
    for (const none of ["", " ", ",", " , ,"]) {
      assert.deepStrictEqual(confirmed({ "sec-websocket-extensions": none }, { compression }), nothing)
    }
  })

  it("5. says whether it is an extension or its parameters that were not offered", () => {
    const taken = { "sec-websocket-extensions": "permessage-deflate; client_max_window_bits" }
    assert.notMatch(failure(taken), /parameters/)
    assert.match(failure(taken, { compression: true }), /with these parameters/)
  })

  it("6. names no subprotocol that was not offered", () => {
    for (const [subprotocol, subprotocols] of [
      ["chat", undefined],
      ["chat", []],
      ["chat", ["superchat"]],
      ["Chat", ["chat"]],
      ["chat, superchat", ["chat", "superchat"]],
      ["", ["chat"]]
    ] as const) {
      assert.match(
        failure({ "sec-websocket-protocol": subprotocol }, { subprotocols }),
        /subprotocol that was not offered/
      )
    }
    assert.deepStrictEqual(confirmed({}, { subprotocols: ["chat"] }), nothing)
  })

  it("is told from another by the first thing that is wrong with it", () => {
    const wrong = {
      upgrade: "x",
      connection: "x",
      "sec-websocket-accept": "x",
      "sec-websocket-protocol": "x",
      "sec-websocket-extensions": "x"
    }
    assert.match(failure(wrong, {}, 200), /200/)
    assert.match(failure(wrong), /Upgrade header/)
    assert.match(failure({ ...wrong, upgrade: "websocket" }), /Connection header/)
    assert.match(failure({ ...wrong, ...good, "sec-websocket-accept": "x" }), /Accept/)
    assert.match(failure({ ...wrong, ...good }), /subprotocol/)
  })
})

describe("4. Opening Handshake: both sides", () => {
  const protocols = Arbitrary.map(
    Arbitrary.array(Arbitrary.schema(Schema.Literals(["a", "b", "c", "d"])), { maxLength: 4 }),
    (names) => [...new Set(names)]
  )
  const compression = Arbitrary.map(
    Arbitrary.all([Arbitrary.schema(Schema.Boolean), Arbitrary.schema(Schema.Boolean), integer(9, 15)]),
    ([on, contextTakeover, bits]) =>
      on ? { contextTakeover, serverMaxWindowBits: bits, clientMaxWindowBits: bits } : (false as const)
  )

  it.prop(
    "what a server agrees to with a client, the client takes, and both hold the same",
    [protocols, compression, protocols, compression],
    ([subprotocols, compression, spoken, wanted]) => {
      const sent = requestHeaders({ key, subprotocols, compression })
      const acceptance = Result.getOrThrow(negotiate(request(sent), { subprotocols: spoken, compression: wanted }))
      const asked = { accept, subprotocols, compression }
      const taken = Result.getOrThrow(confirm({ status: 101, headers: { ...good, ...acceptance.headers } }, asked))
      assert.deepStrictEqual(taken, { subprotocol: acceptance.subprotocol, compression: acceptance.compression })
      assert.strictEqual(
        taken.subprotocol,
        spoken.find((name) => subprotocols.includes(name))
      )
      assert.strictEqual(taken.compression !== undefined, compression !== false && wanted !== false)
    },
    { arbitrary: { runs: 500 } }
  )
})
