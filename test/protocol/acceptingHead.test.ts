import { assert, describe, it } from "@effect/vitest"
import * as Arbitrary from "effect/Arbitrary"
import * as Effect from "effect/Effect"
import * as Schema from "effect/Schema"
import * as NodeHttp from "node:http"
import { duplexPair } from "node:stream"
import { parse } from "../../src/protocol/internal/acceptingHead.ts"
import { integer } from "./frames.ts"

const usual = ["Upgrade: websocket", "Connection: Upgrade", "Sec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo="]
const head = (lines: ReadonlyArray<string>, first = "HTTP/1.1 101 Switching Protocols") =>
  [first, ...lines, "", ""].join("\r\n")

type Headers = Readonly<Record<string, unknown>>

const seenHere = (bytes: string): Headers | undefined => {
  const end = bytes.indexOf("\r\n\r\n") + 4
  return parse((from, to) => bytes.slice(from, to), end)
}

/** What `node:http` makes of bytes, if they accept an upgrade. */
const seenByNode = (bytes: string): Promise<Headers | undefined> =>
  new Promise((resolve) => {
    const [server, side] = duplexPair()
    const other = () => {
      resolve(undefined)
      side.destroy()
      server.destroy()
    }
    const request = NodeHttp.request({ createConnection: () => side, joinDuplicateHeaders: true })
    request.on("upgrade", ({ headers, httpVersion }) => {
      resolve(httpVersion === "1.1" ? headers : undefined)
      other()
    })
    request.on("response", other).on("error", other)
    server.on("error", () => {}).resume()
    request.end()
    server.end(Buffer.from(bytes, "latin1"))
  })

describe("an answer of the usual shape", () => {
  const cases: Record<string, string> = {
    "as short as it can be": head(usual),
    "with an empty reason": head(usual, "HTTP/1.1 101 "),
    "of a server that says more": head([
      ...usual,
      "Server: nginx/1.22",
      "Date: Mon, 23 Nov 2026 18:00:00 GMT",
      "Set-Cookie: a=1"
    ]),
    "in other letters": head(["UPGRADE: WebSocket", "connection: keep-alive, UPGRADE", "X-a:"]),
    "with frames behind": `${head(usual)}\u0081\u0005`
  }
  for (const [what, bytes] of Object.entries(cases)) {
    it(`${what} is read as node:http reads it`, async () => {
      const here = seenHere(bytes)
      assert.isDefined(here)
      const byNode = await seenByNode(bytes)
      // a list to Node, and joined by its reader
      assert.deepStrictEqual(
        { ...here },
        Object.fromEntries(Object.entries(byNode!).map(([name, value]) => [name, String(value)]))
      )
    })
  }
})

describe("an answer of any other shape is left to node:http", () => {
  const cases: Record<string, string> = {
    nothing: "",
    "a part of one": head(usual).slice(0, -1),
    "something before it": `a${head(usual)}`,
    "another status": head(usual, "HTTP/1.1 200 OK"),
    "another version": head(usual, "HTTP/1.0 101 Switching Protocols"),
    "no space behind the status": head(usual, "HTTP/1.1 101"),
    "no header": head([]),
    "no Upgrade": head(usual.slice(1)),
    "another Upgrade": head([...usual.slice(1), "Upgrade: h2c"]),
    "a Connection that does not name it": head(["Upgrade: websocket", "Connection: close"]),
    "a header that came twice": head([...usual, "X: 1", "x: 2"]),
    __proto__: head([...usual, "__proto__: a"]),
    "a length": head([...usual, "Content-Length: 0"]),
    chunks: head([...usual, "Transfer-Encoding: chunked"]),
    "a folded line": head([...usual, "X: a", " b"]),
    "a name with a space behind": head([...usual, "X : a"]),
    "a control character": head([...usual, "X: a\u0000b"]),
    "what is not ASCII": head([...usual, "X: \u00e4"]),
    "a bare LF": head(usual).replace("\r\nConnection", "\nConnection"),
    "an interim answer before it": `${head([], "HTTP/1.1 103 Wait")}${head(usual)}`
  }
  for (const [what, bytes] of Object.entries(cases)) {
    it(what, () => assert.isUndefined(seenHere(bytes)))
  }
})

const piece = (...pieces: ReadonlyArray<string>) => Arbitrary.schema(Schema.Literals(pieces))
const line = Arbitrary.map(
  Arbitrary.all([
    piece("X-One", "x-two", "Set-Cookie", "!#$%&'*+", "upgrade", "Content-Length", "Trailer", "__proto__", ""),
    piece(":", ":", ":", " :", ""),
    piece("", " ", "\t "),
    piece("a", "b, c", "websocket", "0", '"', "\u00e4", "\u0001", "\u007f", "a\rb"),
    piece("\r\n", "\r\n", "\r\n", "\r\n ", "\n")
  ]),
  (parts) => parts.join("")
)

describe("whatever comes", () => {
  let accepted = 0
  it.effect.prop(
    "what is read here, node:http reads as the same",
    [
      Arbitrary.array(line, { maxLength: 3 }),
      piece("101 Switching Protocols", "101 Switching Protocols", "101 ", "101", "1010 x", "200 OK"),
      piece("1.1", "1.1", "1.1", "1.0", "2.0"),
      integer(0, 3),
      piece("Upgrade", "keep-alive, Upgrade", "upgrade x", "close")
    ],
    ([lines, status, version, place, connection]) => {
      const known = usual.map((line) => `${line.replace(/^(Connection: ).*/, `$1${connection}`)}\r\n`)
      const all = [...known.slice(0, place), ...lines, ...known.slice(place)].join("")
      const bytes = `HTTP/${version} ${status}\r\n${all}\r\nrest`
      const here = seenHere(bytes)
      if (here === undefined) return Effect.void
      accepted++
      return Effect.map(
        Effect.promise(() => seenByNode(bytes)),
        (byNode) => {
          assert.isDefined(byNode, JSON.stringify(bytes))
          const texts = Object.entries(byNode!).map(([name, value]) => [name, String(value)])
          assert.deepStrictEqual({ ...here }, Object.fromEntries(texts), JSON.stringify(bytes))
        }
      )
    },
    { arbitrary: { runs: 1000 } }
  )

  it("is read here often enough to say something", () => {
    assert.isAbove(accepted, 30)
  })
})
