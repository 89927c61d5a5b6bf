/**
 * `--access-log`, `--log-file`, and what `--log-level debug` tells of connections.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect, Schema } from "effect"
import { once } from "node:events"
import { mkdirSync, readFileSync, rmdirSync, rmSync } from "node:fs"
import { type AddressInfo, createServer } from "node:net"
import { type ClientOptions, WebSocket } from "ws"
import * as AccessLogEntry from "../../src/server/AccessLogEntry.ts"
import { folder } from "../node/folder.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { start } from "./command.ts"
import { untold } from "./mistake.ts"
import { until } from "./processes.ts"

const serving = Effect.fnUntraced(function* (...args: ReadonlyArray<string>) {
  const command = yield* start(["proxy", "0", ...args])
  const line = yield* command.line(1)
  const [, port] = /:(\d+)$/.exec(line) ?? assert.fail(line)
  const end = Effect.andThen(command.kill("SIGTERM"), command.ended)
  return { end, line: command.line, stderr: command.stderr, url: `ws://127.0.0.1:${port}` }
})

/** The port of a target that ends with its client. */
const target = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = createServer((socket) => socket.on("error", () => {}).resume()).listen(0, "127.0.0.1")
    await once(server, "listening")
    return server
  }),
  (server) => Effect.sync(() => server.close())
).pipe(
  // a server that listens on a port has such an address
  Effect.map((server) => (server.address() as AddressInfo).port)
)

/** Connects and closes, or is refused. */
const visit = (url: string, options: ClientOptions = {}) =>
  Effect.promise(async () => {
    const client = new WebSocket(url, options)
    // the close comes behind it
    client.on("error", () => {})
    client.on("open", () => client.close(3001, "enough"))
    await new Promise((resolve) => client.on("close", resolve))
  })

const entriesOf = (file: string): ReadonlyArray<AccessLogEntry.Entry> =>
  readFileSync(file, "utf8")
    .trimEnd()
    .split("\n")
    .map((line) => Schema.decodeSync(AccessLogEntry.FromJson)(line))

describe("--access-log", { timeout: 120_000 }, () => {
  // what the test gives it for that is a socket, as systemd does, which cannot be opened as /dev/stdout
  it.live.each([["1"], ["2"]])("- is stdout, behind the line that is ready, with %s process(es)", ([workers]) =>
    Effect.gen(function* () {
      const { end, line, url } = yield* serving(
        `127.0.0.1:${yield* target}`,
        "--access-log",
        "-",
        "--workers",
        workers!
      )
      yield* visit(`${url}/a`)
      const entries = [yield* line(2), yield* line(3)].map((text) => Schema.decodeSync(AccessLogEntry.FromJson)(text))
      assert.deepStrictEqual(
        entries.map(({ event, path }) => [event, path]),
        [
          ["opened", "/a"],
          ["closed", "/a"]
        ]
      )
      assert.strictEqual((yield* end).code, 0)
    })
  )

  it.live("has a line for each request and each end, with the target, and without what is in the query", () =>
    Effect.gen(function* () {
      const file = (yield* folder)("access.log")
      const port = yield* target
      const { port: nobody } = yield* RawTarget.nobody
      const routes = [`/up=127.0.0.1:${port}`, `/down=127.0.0.1:${nobody}`].flatMap((route) => ["--route", route])
      const { end, url } = yield* serving(...routes, "--access-log", file)
      yield* visit(`${url}/up?token=secret`, { headers: { "user-agent": "a test" } })
      yield* visit(`${url}/down`)
      yield* visit(`${url}/elsewhere`)
      yield* visit(`${url}/up`, { origin: "http://elsewhere.example" })
      const { code } = yield* end
      assert.strictEqual(code, 0)

      const entries = entriesOf(file)
      const byEvent = (event: string) => entries.filter((entry) => entry.event === event)
      const to = (target: string) => ({ annotations: { target } })
      const [opened] = byEvent("opened")
      const [closed] = byEvent("closed")
      const common = { id: opened!.id, client: "127.0.0.1", path: "/up", userAgent: "a test" }
      assert.deepInclude(opened, { ...common, ...to(`127.0.0.1:${port}`), isCompressed: false })
      assert.deepInclude(closed, {
        ...common,
        ...to(`127.0.0.1:${port}`),
        code: 3001,
        reason: "enough",
        wasClean: true,
        received: 14,
        sent: 4
      })
      const [down, elsewhere, foreign] = byEvent("refused")
      assert.deepInclude(down, {
        path: "/down",
        status: 502,
        annotations: {
          target: `127.0.0.1:${nobody}`,
          dialError: "Refused"
        }
      })
      assert.deepInclude(elsewhere, { path: "/elsewhere", status: 404, annotations: {} })
      assert.deepInclude(foreign, {
        path: "/up",
        status: 403,
        origin: "http://elsewhere.example",
        annotations: { denied: "origin" }
      })
      assert.strictEqual(entries.length, 5)
      assert.notInclude(readFileSync(file, "utf8"), "secret")
    }).pipe(Effect.scoped)
  )

  it.live("is one file for all workers", () =>
    Effect.gen(function* () {
      const file = (yield* folder)("access.log")
      const port = yield* target
      const { end, url } = yield* serving(`127.0.0.1:${port}`, "--workers", "2", "--access-log", file)
      yield* Effect.forEach([1, 2, 3, 4, 5, 6], () => visit(url), { concurrency: 6, discard: true })
      yield* end
      assert.deepStrictEqual(
        entriesOf(file)
          .map(({ event }) => event)
          .toSorted(),
        [...Array(6).fill("closed"), ...Array(6).fill("opened")]
      )
    }).pipe(Effect.scoped)
  )

  it.live("expects a file that can be written", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const wrong = (file: string, code: string) =>
        [
          ["proxy", "0", "a:1", "--access-log", file],
          ["--access-log expects a file that can be written", code]
        ] as const
      assert.strictEqual(yield* untold([wrong(at("none", "log"), "ENOENT"), wrong(at(), "EISDIR")]), "")
    })
  )
})

describe("--log-file", { timeout: 120_000 }, () => {
  it.live("that cannot be written for a while is told of, and again when it is over", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const port = yield* target
      const {
        end,
        stderr: told,
        url
      } = yield* serving(`127.0.0.1:${port}`, "--log-level", "debug", "--log-file", at("log"))
      rmSync(at("log"))
      mkdirSync(at("log"))
      yield* visit(url)
      yield* until("it is told", () => told().includes("cannot write"))
      rmdirSync(at("log"))
      yield* visit(url)
      const { stderr } = yield* end
      assert.match(stderr, /ERROR.*cannot write the log file .*EISDIR/)
      assert.match(stderr, /WARN.*The log file .* is written again; [12] lines are lost\n/)
      assert.match(readFileSync(at("log"), "utf8"), /^timestamp=\S+ level=DEBUG .*Opened.*\n.*Closed.*\n$/m)
    }).pipe(Effect.scoped)
  )
})

describe("--log-level debug", { timeout: 120_000 }, () => {
  it.live("tells each connection and its end", () =>
    Effect.gen(function* () {
      const port = yield* target
      const { end, url } = yield* serving(`127.0.0.1:${port}`, "--log-level", "debug")
      yield* visit(`${url}/a?secret`)
      const { stderr } = yield* end
      assert.match(stderr, new RegExp(`DEBUG.* Opened "/a" for 127\\.0\\.0\\.1 to 127\\.0\\.0\\.1:${port}\n`))
      assert.match(stderr, /DEBUG.* Closed "\/a" .* after \d+ ms: 3001, 14 bytes received, 4 sent\n/)
      assert.notInclude(stderr, "secret")
    }).pipe(Effect.scoped)
  )
})
