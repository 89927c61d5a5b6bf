import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import { createHash, randomBytes } from "node:crypto"
import * as OpeningHandshake from "../../src/protocol/OpeningHandshake.ts"
import { accepted, key, refused, request } from "./requests.ts"

/** What each fault of a request is refused with, in the order in which they are looked for. */
const faults: ReadonlyArray<{
  readonly name: string
  readonly headers?: Readonly<Record<string, string | undefined>>
  readonly fields?: { readonly method?: string; readonly httpVersion?: string }
  readonly status: number
  readonly reason: RegExp
}> = [
  {
    name: "a method other than GET",
    fields: { method: "POST" },
    status: 405,
    reason: /^A WebSocket opens with GET; "POST" came\.$/
  },
  { name: "HTTP/1.0", fields: { httpVersion: "1.0" }, status: 400, reason: /HTTP\/1\.1 or later; HTTP\/1\.0 came/ },
  { name: "no Host", headers: { host: undefined }, status: 400, reason: /Host header is missing/ },
  {
    name: "no Upgrade",
    headers: { upgrade: undefined },
    status: 426,
    reason: /Upgrade header must be "websocket"; none came/
  },
  { name: "no Connection", headers: { connection: undefined }, status: 400, reason: /must name "Upgrade"; none came/ },
  {
    name: "another version",
    headers: { "sec-websocket-version": "8" },
    status: 426,
    reason: /Version must be 13; "8" came/
  },
  { name: "a bad key", headers: { "sec-websocket-key": "x" }, status: 400, reason: /16 bytes in base64; "x" came/ },
  {
    name: "a foreign origin",
    headers: { origin: "https://evil.example" },
    status: 403,
    reason: /origin https:\/\/evil\.example may not/
  },
  {
    name: "bad subprotocols",
    headers: { "sec-websocket-protocol": "a, a" },
    status: 400,
    reason: /unique tokens; "a, a" came/
  },
  {
    name: "bad extensions",
    headers: { "sec-websocket-extensions": ";" },
    status: 400,
    reason: /list of extensions; ";" came/
  }
]

describe("4.2.1. Reading the Client's Opening Handshake", () => {
  it("the RFC's own request is accepted, with nothing that was not asked for", () => {
    const headers = {
      origin: "http://server.example.com",
      "sec-websocket-protocol": "chat, superchat",
      "sec-websocket-extensions": "permessage-deflate"
    }
    assert.deepStrictEqual(accepted(headers), { subprotocol: undefined, compression: undefined, headers: {} })
    assert.deepStrictEqual(accepted(), { subprotocol: undefined, compression: undefined, headers: {} })
  })

  for (const { fields, headers, name, reason, status } of faults) {
    it(`${name} is refused with ${status} and says what was expected and what came`, () => {
      const refusal = refused(headers, {}, fields)
      assert.strictEqual(refusal.status, status)
      assert.match(refusal.reason, reason)
      assert.strictEqual(refusal.message, `${status}: ${refusal.reason}`)
    })
  }

  it("of two faults the first in the RFC's order is told", () => {
    for (const [i, first] of faults.entries()) {
      for (const second of faults.slice(i + 1)) {
        const refusal = refused({ ...first.headers, ...second.headers }, {}, { ...first.fields, ...second.fields })
        assert.match(refusal.reason, first.reason, `${first.name} and ${second.name}`)
      }
    }
  })

  it("HTTP/1.1 and later versions are taken, earlier ones and none are not", () => {
    for (const httpVersion of ["1.1", "1.2", "2", "2.0", "3.0"]) accepted({}, {}, { httpVersion })
    for (const httpVersion of ["", "0.9", "1.0", "1", "01.1", "10", "x"]) {
      assert.strictEqual(refused({}, {}, { httpVersion }).status, 400, httpVersion)
    }
  })

  it("the method is GET to the letter, and a refusal names it", () => {
    for (const method of ["POST", "HEAD", "PUT", "CONNECT", "OPTIONS", "get", "GET ", ""]) {
      const { headers, status } = refused({}, {}, { method })
      assert.deepStrictEqual([status, headers], [405, { allow: "GET" }])
    }
  })

  it("an empty Host is none", () => {
    assert.match(refused({ host: "" }).reason, /Host/)
  })

  it("a Host that is none is shown", () => {
    assert.match(refused({ host: "a b" }).reason, /must be a host, and a port if it has one; "a b" came/)
  })

  it("Upgrade and Connection are lists of tokens in any case", () => {
    for (const upgrade of [
      "websocket",
      "WebSocket",
      "WEBSOCKET",
      "h2c, websocket",
      "websocket ,h2c",
      ",websocket,",
      "\twebsocket "
    ]) {
      assert.isUndefined(accepted({ upgrade }).subprotocol)
    }
    for (const upgrade of [
      "",
      ",",
      "websockets",
      "web socket",
      "websocket/13",
      "h2c",
      "websocket;q=1",
      '"websocket"'
    ]) {
      assert.strictEqual(refused({ upgrade }).status, 426, upgrade)
    }
    for (const connection of [
      "Upgrade",
      "upgrade",
      "UPGRADE",
      "keep-alive, Upgrade",
      "Upgrade,keep-alive",
      " ,upgrade"
    ]) {
      assert.isUndefined(accepted({ connection }).subprotocol)
    }
    for (const connection of ["", "keep-alive", "close", "upgraded", "upgrade keep-alive"]) {
      assert.strictEqual(refused({ connection }).status, 400, connection)
    }
  })

  it("a request that is no upgrade is told what this address speaks", () => {
    assert.deepStrictEqual(refused({ upgrade: undefined }).headers, { upgrade: "websocket", connection: "Upgrade" })
  })
})

describe("4.4. Supporting Multiple Versions of WebSocket Protocol", () => {
  for (const version of [
    undefined,
    "",
    "0",
    "7",
    "8",
    "12",
    "14",
    "013",
    "13.0",
    "13, 8",
    "13,13",
    "+13",
    "thirteen",
    "-1"
  ]) {
    it(`${version === undefined ? "no version" : `version ${JSON.stringify(version)}`} is refused with 426 and the version that is spoken`, () => {
      const { headers, status } = refused({ "sec-websocket-version": version })
      assert.strictEqual(status, 426)
      assert.strictEqual(headers["sec-websocket-version"], "13")
      // RFC 9110 section 15.5.22: a 426 must name the protocol in Upgrade, and 7.8 wants Connection to say so
      assert.deepStrictEqual([headers["upgrade"], headers["connection"]], ["websocket", "Upgrade"])
    })
  }
})

describe("4.1. Client Requirements: Sec-WebSocket-Key", () => {
  const isKey = Schema.is(OpeningHandshake.Key)
  it("the base64 form of any 16 bytes is a key", () => {
    for (let i = 0; i < 1000; i++) {
      const key = randomBytes(16).toString("base64")
      assert.isTrue(isKey(key))
      assert.deepStrictEqual(accepted({ "sec-websocket-key": key }).headers, {})
    }
  })

  it("what stands for fewer or more bytes, or is not base64, is none", () => {
    const others = [0, 1, 14, 15, 17, 18, 24, 32].map((size) => randomBytes(size).toString("base64"))
    for (const text of [
      ...others,
      "",
      key.slice(0, -1),
      key.slice(0, -2),
      `${key}=`,
      ` ${key}`,
      `${key} `,
      `${key}\n`,
      `${key}, ${key}`,
      // base64url
      "-_hlIHNhbXBsZSBub25jZQ==",
      "dGhlIHNhbXBsZSBub25j ZQ=",
      "dGhlIHNhbXBsZSBub25jé==",
      "======================Q=="
    ]) {
      assert.isFalse(isKey(text), text)
      assert.strictEqual(refused({ "sec-websocket-key": text }).status, 400, text)
    }
    assert.match(refused({ "sec-websocket-key": undefined }).reason, /none came/)
  })

  it("what follows the last byte may be anything, as in the RFC's example", () => {
    for (const text of ["AQIDBAUGBwgJCgsMDQ4PEC==", "0cb3Vd9HkbpVVumoS3Noka=="]) {
      assert.isTrue(isKey(text), text)
      assert.deepStrictEqual(accepted({ "sec-websocket-key": text }).headers, {})
    }
  })
})

describe("1.3. Opening Handshake: Sec-WebSocket-Accept", () => {
  it("is the digest of the accept input, as in the RFC's example", () => {
    const accept = createHash("sha1").update(OpeningHandshake.acceptInput(key)).digest("base64")
    assert.strictEqual(accept, "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=")
  })
})

describe("4.2.2. Sending the Server's Opening Handshake: subprotocol", () => {
  const chosen = (offered: string, subprotocols: OpeningHandshake.Policy["subprotocols"]) => {
    const { headers, subprotocol } = accepted({ "sec-websocket-protocol": offered }, { subprotocols })
    assert.deepStrictEqual(headers, subprotocol === undefined ? {} : { "sec-websocket-protocol": subprotocol })
    return subprotocol
  }

  it("is the first that the server prefers and the client offers", () => {
    assert.strictEqual(chosen("chat, superchat", ["superchat", "chat"]), "superchat")
    assert.strictEqual(chosen("chat, superchat", ["mqtt", "chat"]), "chat")
    assert.strictEqual(chosen("chat,\tsuperchat ,", ["superchat"]), "superchat")
  })

  it("is none without a match, which is to the letter", () => {
    assert.isUndefined(chosen("chat", ["superchat"]))
    assert.isUndefined(chosen("chat", ["Chat"]))
    assert.isUndefined(chosen("superchat", ["chat"]))
    assert.isUndefined(chosen("chat", []))
    assert.isUndefined(chosen("chat", undefined))
    assert.isUndefined(accepted({}, { subprotocols: ["chat"] }).subprotocol)
  })

  it("is the client's first where the server takes any", () => {
    assert.strictEqual(chosen("superchat, chat", "first"), "superchat")
    assert.isUndefined(chosen("", "first"))
    assert.isUndefined(accepted({}, { subprotocols: "first" }).subprotocol)
  })

  it("must be offered as unique tokens, whatever the server speaks", () => {
    for (const offered of ["a b", "a,a", "a, b, a", "a;b", "a/b", '"a"', "a=b", "é", "a\r\nb: c", "a, \0"]) {
      for (const subprotocols of [["a"], "first", undefined] as const) {
        assert.strictEqual(refused({ "sec-websocket-protocol": offered }, { subprotocols }).status, 400, offered)
      }
    }
  })
})

describe("RFC 9110 5.6.1. Lists", () => {
  it("the white space about an element is spaces and tabs alone", () => {
    for (const character of ["\u00a0", "\v", "\f", "\ufeff"]) {
      for (const element of [`a${character}`, `${character}a`, `b, ${character}a`]) {
        assert.strictEqual(refused({ "sec-websocket-protocol": element }).status, 400, JSON.stringify(element))
      }
      assert.strictEqual(refused({ upgrade: `websocket${character}` }).status, 426, JSON.stringify(character))
    }
  })
})

describe("4.2.2. Sending the Server's Opening Handshake: extensions", () => {
  const compression = { contextTakeover: true }
  it("compression is agreed on if it is offered and wanted", () => {
    const { compression: agreed, headers } = accepted(
      { "sec-websocket-extensions": "foo, permessage-deflate; server_max_window_bits=10" },
      { compression }
    )
    assert.strictEqual(agreed?.serverMaxWindowBits, 10)
    assert.deepStrictEqual(headers, { "sec-websocket-extensions": "permessage-deflate; server_max_window_bits=10" })
  })

  it("subprotocol and compression are answered together", () => {
    const headers = { "sec-websocket-protocol": "chat", "sec-websocket-extensions": "permessage-deflate" }
    assert.deepStrictEqual(accepted(headers, { compression, subprotocols: "first" }).headers, {
      "sec-websocket-protocol": "chat",
      "sec-websocket-extensions": "permessage-deflate"
    })
  })

  it("the connection opens without it where it is not offered, not wanted or cannot be met", () => {
    for (const [offers, policy] of [
      [undefined, { compression }],
      ["", { compression }],
      ["foo", { compression }],
      ["permessage-deflate; unknown", { compression }],
      ["permessage-deflate", { compression: false }],
      ["permessage-deflate", {}]
    ] as const) {
      const acceptance = accepted({ "sec-websocket-extensions": offers }, policy)
      assert.deepStrictEqual([acceptance.compression, acceptance.headers], [undefined, {}])
    }
  })

  it("a header that is malformed is refused, wanted or not", () => {
    for (const policy of [{}, { compression }, { compression: false }] as const) {
      assert.strictEqual(refused({ "sec-websocket-extensions": "permessage-deflate;" }, policy).status, 400)
    }
  })
})

describe("amend", () => {
  const value = request({ "sec-websocket-protocol": "a, b", "sec-websocket-extensions": "permessage-deflate" })
  const agreed = Result.getOrThrow(OpeningHandshake.negotiate(value, { subprotocols: ["a"], compression: true }))
  const { "sec-websocket-extensions": extensions } = agreed.headers

  it("adds headers, but none of the handshake's own", () => {
    const added = { "set-cookie": ["a=1", "b=2"], "x-upgrade": "1", "connection-id": "2", "x-sec-websocket-key": "3" }
    const own = {
      Upgrade: "h2c",
      connection: "close",
      "Content-Length": "1",
      "transfer-encoding": "chunked",
      "sec-websocket-accept": "x",
      "Sec-WebSocket-Protocol": "x",
      "sec-websocket-extensions": "x"
    }
    assert.deepStrictEqual(OpeningHandshake.amend(value, agreed, { headers: { ...added, ...own } }), {
      ...agreed,
      headers: { ...added, "sec-websocket-extensions": extensions!, "sec-websocket-protocol": "a" }
    })
    assert.deepStrictEqual(OpeningHandshake.amend(value, agreed, {}), agreed)
  })

  it("puts a subprotocol that was offered in place of the negotiated one, and none for any other", () => {
    for (const [asked, subprotocol] of [
      ["b", "b"],
      ["c", undefined],
      [undefined, undefined]
    ] as const) {
      assert.deepStrictEqual(OpeningHandshake.amend(value, agreed, { subprotocol: asked }), {
        ...agreed,
        subprotocol,
        headers: {
          "sec-websocket-extensions": extensions!,
          ...(subprotocol === undefined ? {} : { "sec-websocket-protocol": subprotocol })
        }
      })
    }
  })
})

describe("Request", () => {
  it("has the path and the query of its target, as they came", () => {
    for (const [target, path, query] of [
      ["/", "/", {}],
      ["/chat?a=1&b=%20", "/chat", { a: "1", b: " " }],
      ["/a%2fb?", "/a%2fb", {}],
      ["?a=b?c", "", { a: "b?c" }],
      ["/x?a=1?b=2", "/x", { a: "1?b=2" }]
    ] as const) {
      const value = request({}, { target })
      assert.deepStrictEqual([value.path, Object.fromEntries(value.query)], [path, query])
    }
  })

  it("has the subprotocols in the client's order", () => {
    assert.deepStrictEqual(request({ "sec-websocket-protocol": "b, a ,, c" }).subprotocols, ["b", "a", "c"])
    assert.deepStrictEqual(request().subprotocols, [])
  })

  it.effect("is read from its fields and written to them", () =>
    Effect.gen(function* () {
      const { RequestFromFields } = OpeningHandshake
      for (const rawHeaders of [undefined, ["Host", "a.example", "X", "1", "X", "2"]]) {
        const value = request({ origin: "https://a.example" }, { rawHeaders })
        const fields = yield* Schema.encodeEffect(RequestFromFields)(value)
        assert.deepStrictEqual(JSON.parse(JSON.stringify(fields)), JSON.parse(JSON.stringify(value)))
        const back = yield* Schema.decodeEffect(RequestFromFields)(fields)
        assert.instanceOf(back, OpeningHandshake.Request)
        assert.deepStrictEqual(back, value)
      }
    })
  )
})

describe("Refusal", () => {
  it("has a status that is an answer, and no headers unless given", () => {
    assert.deepStrictEqual(new OpeningHandshake.Refusal({ status: 503, reason: "later" }).headers, {})
    for (const status of [101, 199, 600, 400.5]) {
      assert.throws(() => new OpeningHandshake.Refusal({ status, reason: "" }))
    }
  })

  it("shows no more than the beginning of what came, and no line break of it", () => {
    const { reason } = refused({ "sec-websocket-key": `\r\n${"x".repeat(1000)}` })
    assert.isBelow(reason.length, 200)
    assert.notMatch(reason, /[\r\n]/)
    assert.isBelow(refused({ origin: `https://${"x".repeat(5000)}` }).reason.length, 300)
    assert.isTrue(Result.isFailure(OpeningHandshake.negotiate(request({ "sec-websocket-version": "1".repeat(5000) }))))
  })
})
