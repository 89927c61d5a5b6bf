import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import * as Net from "node:net"
import * as Opcode from "../../src/protocol/Opcode.ts"
import { close, shown, text } from "../connection/connected.ts"
import { ask, connect, upgraded, upgradeRequest } from "../server/wire.ts"
import { start } from "./command.ts"

/** Makes sure that 8080 is taken, by us or whoever has it already. */
const take8080 = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = Net.createServer().listen(8080, "127.0.0.1")
    await Promise.race([once(server, "listening"), once(server, "error")]).catch(() => undefined)
    return server
  }),
  (server) => Effect.promise(() => new Promise((resolve) => server.close(() => resolve(undefined))))
)

const request = (method: string, path: string) =>
  `${method} ${path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n`

describe("without a command", () => {
  it.live(
    "it shows itself on the next free port: two lines, a page, and the proxy to its own service behind it",
    () =>
      Effect.gen(function* () {
        yield* take8080
        const running = yield* start([])
        const first = yield* running.line(1)
        const second = yield* running.line(2)
        const match = /http:\/\/127\.0\.0\.1:(\d+) .*ws:\/\/127\.0\.0\.1:(\d+)$/.exec(first)
        const port = Number(match?.[1])
        assert.strictEqual(match?.[2], match?.[1])
        assert.isTrue(port > 8080 && port < 8180, first)
        assert.match(second, /^next: npm start -- proxy /)

        const page = yield* ask(port, request("GET", "/"))
        assert.strictEqual(page.status, 200)
        assert.match(page.headers["content-type"]!, /^text\/html/)
        assert.include(page.body, "<title>effect-websocket</title>")
        assert.strictEqual((yield* ask(port, request("GET", "/?query"))).status, 200)
        assert.strictEqual((yield* ask(port, request("GET", "/other"))).status, 404)
        assert.strictEqual((yield* ask(port, request("POST", "/"))).status, 405)
        // a request target that is no path of a URL
        assert.isAtLeast((yield* ask(port, request("GET", "//"))).status, 400)

        const wire = yield* upgraded(port, { Host: `127.0.0.1:${port}`, Origin: `http://127.0.0.1:${port}` })
        const hello = shown(yield* wire.next)
        assert.strictEqual(hello[0], Opcode.text)
        assert.include(String(hello[1]), "Hello")
        wire.send(text("first li"), text("ne\nsecond 🎈 line\nnot y"))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "first line\nsecond 🎈 line\n"])
        wire.send(text("et\n"))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.text, "not yet\n"])
        wire.send(close(1000))
        assert.deepStrictEqual(shown(yield* wire.next), [Opcode.close, 1000, ""])
        wire.end()

        const stranger = yield* ask(port, upgradeRequest({ Host: `127.0.0.1:${port}`, Origin: "https://evil.example" }))
        assert.strictEqual(stranger.status, 403)

        // visitors that just vanish are nothing to print about
        for (let i = 0; i < 3; i++) {
          const gone = yield* upgraded(port)
          yield* gone.next
          gone.send(text("unfinished"))
          gone.reset()
        }
        const idle = yield* connect(port)
        yield* Effect.sleep("100 millis")
        const open = yield* upgraded(port)
        yield* open.next
        yield* running.kill("SIGTERM")
        assert.deepStrictEqual(shown(yield* open.next), [Opcode.close, 1001, ""])
        open.send(close(1001))
        open.end()
        idle.end()
        const ended = yield* running.ended
        assert.strictEqual(ended.code, 0)
        assert.match(
          ended.stderr,
          /^[^\n]* Refused 127\.0\.0\.1: pages of "https:\/\/evil\.example" may not connect[^\n]*\n$/
        )
        assert.strictEqual(ended.stdout.split("\n").length, 3)
      }),
    20_000
  )
})
