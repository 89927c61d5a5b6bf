import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as NodeHttp from "node:http"
import { duplexPair } from "node:stream"
import type { RequestFields } from "../../src/protocol/OpeningHandshake.ts"
import type { Options } from "../../src/protocol/internal/headFields.ts"
import { parse as parseHead } from "../../src/protocol/internal/requestHead.ts"
import { isDoubled, toRequest } from "../../src/node/internal/upgrade.ts"
import { integer } from "./frames.ts"

const options = { maxHeaders: 100, keepRawHeaders: true }
const usual = {
  Host: "localhost",
  Connection: "Upgrade",
  Upgrade: "websocket",
  "Sec-WebSocket-Version": "13",
  "Sec-WebSocket-Key": "dGhlIHNhbXBsZSBub25jZQ=="
}

const parse = (text: string, options: Options) => parseHead((from, to) => text.slice(from, to), text.length, options)

const head = (lines: ReadonlyArray<string>, first = "GET / HTTP/1.1") => [first, ...lines, "", ""].join("\r\n")
const linesOf = (headers: Readonly<Record<string, string | undefined>>) =>
  Object.entries(headers).flatMap(([name, value]) => (value === undefined ? [] : [`${name}: ${value}`]))
const withHeaders = (headers: Readonly<Record<string, string | undefined>>, first?: string) =>
  head(linesOf({ ...usual, ...headers }), first)

interface Seen {
  readonly fields: typeof RequestFields.Type
  readonly rest: string
}

/** What `node:http` makes of bytes, if they are a request to upgrade. */
const seenByNode = (bytes: string): Promise<Seen | undefined> =>
  new Promise((resolve) => {
    const [client, side] = duplexPair()
    const server = NodeHttp.createServer({ requireHostHeader: false })
    server.on("upgrade", (request, socket, rest) => {
      const { headers, httpVersion, method, rawHeaders, target } = toRequest(request, true)
      resolve(
        isDoubled("host", request.rawHeaders)
          ? undefined
          : {
              fields: { method, target, httpVersion, headers, rawHeaders: rawHeaders! },
              rest: rest.toString("latin1")
            }
      )
      socket.destroy()
    })
    const other = () => {
      resolve(undefined)
      client.destroy()
    }
    server.on("request", other).on("clientError", other)
    server.emit("connection", side)
    side.on("error", () => {})
    client.on("error", () => {})
    client.end(Buffer.from(bytes, "latin1"))
    // half a head is neither
    client.on("data", () => {}).on("close", other)
    side.on("close", other)
  })

const seenHere = (bytes: string): Seen | undefined => {
  const end = bytes.indexOf("\r\n\r\n") + 4
  const fields = parse(bytes.slice(0, end), options)
  return fields === undefined ? undefined : { fields, rest: bytes.slice(end) }
}

describe("a head of the usual shape", () => {
  const browser = {
    Pragma: "no-cache",
    "User-Agent": "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36",
    Origin: "http://localhost:8080",
    Cookie: 'a=1; b="two"',
    "Sec-WebSocket-Extensions": "permessage-deflate; client_max_window_bits"
  }
  const cases: Record<string, string> = {
    "as short as it can be": withHeaders({}),
    "of a browser": withHeaders(browser),
    "with a path and a query": withHeaders({}, "GET /a/b%20c;d?x=1&y=[2]&z='~!$' HTTP/1.1".replace(/[[\]]/g, "")),
    "in other letters": withHeaders({ Upgrade: "WebSocket", Connection: "keep-alive, UPGRADE", "X-a": "B" }),
    "with white space around": head(["Host:a", "Upgrade:\t websocket \t", "connection:   Upgrade ", "X:", "Y: \t "]),
    "with frames behind": `${withHeaders({})}\u0081\u0085\u0000`
  }
  for (const [what, bytes] of Object.entries(cases)) {
    it(`${what} is read as node:http reads it`, async () => {
      const here = seenHere(bytes)
      assert.isDefined(here)
      assert.deepStrictEqual(here, await seenByNode(bytes))
    })
  }

  it("keeps its headers as they came only if asked", () => {
    assert.isUndefined(parse(withHeaders({}), { ...options, keepRawHeaders: false })?.rawHeaders)
  })

  it("may have as many headers as are allowed", () => {
    const count = Object.keys(usual).length
    assert.isDefined(parse(withHeaders({}), { ...options, maxHeaders: count }))
    assert.isUndefined(parse(withHeaders({}), { ...options, maxHeaders: count - 1 }))
  })
})

describe("a head of any other shape is left to node:http", () => {
  const cases: Record<string, string> = {
    "a part of one": withHeaders({}).slice(0, -1),
    nothing: "",
    "another method": withHeaders({}, "POST / HTTP/1.1"),
    "another version": withHeaders({}, "GET / HTTP/1.0"),
    "an absolute target": withHeaders({}, "GET http://localhost/ HTTP/1.1"),
    "a target with a space": withHeaders({}, "GET /a b HTTP/1.1"),
    "a target that is not ASCII": withHeaders({}, "GET /ä HTTP/1.1"),
    "a target with a fragment": withHeaders({}, "GET /#a HTTP/1.1"),
    "no header": head([]),
    "no Host": withHeaders({ Host: undefined }),
    "two Hosts": head([...linesOf(usual), "host: b"]),
    "a header that came twice": head([...linesOf(usual), "X: 1", "x: 2"]),
    "an empty header that came twice": head([...linesOf(usual), "X:", "x:"]),
    "the name of what every object has": withHeaders({ constructor: "a" }),
    __proto__: head([...linesOf(usual), "__proto__: a"]),
    "no upgrade": withHeaders({ Upgrade: undefined }),
    "another upgrade": withHeaders({ Upgrade: "h2c" }),
    "one upgrade of several": withHeaders({ Upgrade: "websocket, h2c" }),
    "a Connection that does not name it": withHeaders({ Connection: "keep-alive, upgrades" }),
    "a Connection with a tab": withHeaders({ Connection: "Upgrade\t" }),
    "a tab in Connection": withHeaders({ Connection: "keep-alive,\tUpgrade" }),
    "something behind": `${withHeaders({})}a`,
    "a length": withHeaders({ "Content-Length": "0" }),
    chunks: withHeaders({ "Transfer-Encoding": "chunked" }),
    "an expectation": withHeaders({ Expect: "100-continue" }),
    "a folded line": head([...linesOf(usual), "X: a", " b"]),
    "a name with a space behind": head([...linesOf(usual), "X : a"]),
    "no name": head([...linesOf(usual), ": a"]),
    "no colon": head([...linesOf(usual), "X"]),
    "a control character": withHeaders({ X: "a\u0000b" }),
    "what is not ASCII": withHeaders({ X: "\u00e4" }),
    "a bare LF": head(linesOf(usual)).replace("\r\nUpgrade", "\nUpgrade"),
    "a bare CR": withHeaders({ X: "a\rb" }),
    "an empty line before": `\r\n${withHeaders({})}`
  }
  for (const [what, bytes] of Object.entries(cases)) {
    it(what, () => assert.isUndefined(parse(bytes, options)))
  }
})

const piece = (...pieces: ReadonlyArray<string>) => Arbitrary.schema(Schema.Literals(pieces))
const name = piece(
  "X-One",
  "x-two",
  "Cookie",
  "!#$%&'*+",
  "Host",
  "upgrade",
  "Content-Length",
  "expect",
  "__proto__",
  ""
)
const value = Arbitrary.map(
  Arbitrary.array(
    piece("a", "b", "c", " ", "\t", ",", '"', ":", "websocket", "\u00e4", "\u0001", "\r", "\n", "\u007f"),
    {
      maxLength: 4
    }
  ),
  (pieces) => pieces.join("")
)
const connection = piece(
  "Upgrade",
  "upgrade ",
  "keep-alive, Upgrade",
  "upgrade , x",
  "upgrade x",
  "x upgrade",
  "upgraded",
  "close"
)
const space = piece("", "", " ", "\t ")
const line = Arbitrary.map(
  Arbitrary.all([name, piece(":", ":", ":", " :", ""), space, value, space, piece("\r\n", "\r\n", "\r\n", "\n", "\r")]),
  (parts) => parts.join("")
)
const method = piece("GET", "GET", "GET", "get", "PUT", " GET")
const target = Arbitrary.map(
  Arbitrary.array(piece("/", "a", "?", "%41", "*", "#", "\u00e4", " ", '"', "|", "\\"), { maxLength: 3 }),
  (pieces) => `/${pieces.join("")}`
)

describe("whatever comes", () => {
  let accepted = 0
  it.effect.prop(
    "what is read here, node:http reads as the same",
    [Arbitrary.array(line, { maxLength: 3 }), method, target, piece("1.1", "1.1", "1.0"), integer(0, 4), connection],
    ([lines, method, target, version, place, connection]) => {
      const known = linesOf({ ...usual, Connection: connection }).map((known) => `${known}\r\n`)
      const all = [...known.slice(0, place), ...lines, ...known.slice(place)].join("")
      const bytes = `${method} ${target} HTTP/${version}\r\n${all}\r\nrest`
      const here = seenHere(bytes)
      if (here === undefined) return Effect.void
      accepted++
      return Effect.map(
        Effect.promise(() => seenByNode(bytes)),
        (there) => assert.deepStrictEqual(here, there, JSON.stringify(bytes))
      )
    },
    { arbitrary: { runs: 5000 } }
  )
  it("and some of it is", () => assert.isAbove(accepted, 50))
})
