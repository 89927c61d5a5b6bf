/** Where requests say that they go, in whatever form: what becomes of that, and what is refused. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import * as Telemetry from "../../src/connection/Telemetry.ts"
import { counting } from "../connection/metrics.ts"
import { pages } from "./pages.ts"
import { deciding, echo, serving } from "./serving.ts"
import { ask, upgradeRequest } from "./wire.ts"

const bad = ["a b", "a/b", "a@b", "[zz", "a:b:c", ""]
const absolute = "http://there.example:8080/asked?a=1"

describe("a target in absolute form", () => {
  it.live("is the path and the query to a WebSocket, and its host is the request's, whatever the header says", () =>
    Effect.gen(function* () {
      const seen: Array<unknown> = []
      const { port } = yield* deciding(
        (open) => {
          const { headers, path, query, target } = open.request
          seen.push([target, path, query.get("a"), headers["host"]])
          return Effect.flatMap(open.accept, echo)
        },
        { origin: "same-origin" }
      )
      for (const [origin, status] of [
        [undefined, 101],
        ["http://there.example:8080", 101],
        ["http://here.example", 403]
      ] as const) {
        const request = upgradeRequest({ Host: "here.example", Origin: origin }, absolute)
        assert.strictEqual((yield* ask(port, request)).status, status)
      }
      const expected = ["/asked?a=1", "/asked", "1", "there.example:8080"]
      assert.deepStrictEqual(seen, [expected, expected])
    })
  )

  it.live("is the same to an HTTP application", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      for (const head of [`${absolute} HTTP/1.1\r\nHost: here.example`, `${absolute} HTTP/1.0\r\nX: y`]) {
        const { body } = yield* ask(port, `GET ${head}\r\nConnection: close\r\n\r\n`)
        assert.strictEqual(body, "there.example:8080 /asked?a=1")
      }
    })
  )

  it.live("of another scheme, with a user or with a broken host is 400, for both; so is what is no target", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      for (const target of ["ws://a/asked", "ftp://a/asked", "http://ann@a/asked", "http://a:b/asked", "*"]) {
        assert.strictEqual((yield* ask(port, upgradeRequest({}, target))).status, 400, target)
        const plain = yield* ask(port, `GET ${target} HTTP/1.1\r\nHost: a\r\n\r\n`)
        assert.strictEqual(plain.status, 400, target)
      }
      // RFC 9112 section 3.2.4
      assert.strictEqual((yield* ask(port, "OPTIONS * HTTP/1.1\r\nHost: a\r\n\r\n")).status, 404)
    })
  )
})

describe("a Host header", () => {
  it.live("that is none is 400 for an opening handshake, whichever way it is read", () =>
    Effect.gen(function* () {
      const { port } = yield* serving(echo)
      // what has a header more than usual is read by node:http
      for (const more of [{}, { "Proxy-Connection": "x" }]) {
        const asked = (host: string | undefined) => ask(port, upgradeRequest({ Host: host, ...more }))
        for (const host of [...bad, undefined]) {
          const refused = yield* asked(host)
          assert.deepStrictEqual([refused.status, refused.body.slice(0, 15)], [400, "The Host header"], host)
        }
        for (const host of ["a", "a:80", "[::1]:80"]) {
          assert.strictEqual((yield* asked(host)).status, 101, host)
        }
      }
    })
  )

  it.live("that is none, or is missing in HTTP/1.1, is 400 for an HTTP application too, and counted", () =>
    Effect.gen(function* () {
      const { port } = yield* pages()
      const lines = [...bad.map((host) => `Host: ${host}\r\n`), ""]
      const refused = yield* counting(
        Telemetry.refusals,
        "400",
        Effect.forEach(lines, (line) =>
          Effect.map(ask(port, `GET /small HTTP/1.1\r\n${line}\r\n`), ({ status }) =>
            assert.strictEqual(status, 400, line)
          )
        )
      )
      assert.strictEqual(refused, lines.length)
      assert.strictEqual((yield* ask(port, "GET /small HTTP/1.0\r\n\r\n")).body, "ok\n")
      assert.strictEqual((yield* ask(port, "GET /small HTTP/1.0\r\nHost: a b\r\n\r\n")).status, 400)
    })
  )
})
