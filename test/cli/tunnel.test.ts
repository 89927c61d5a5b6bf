/**
 * `effect-websocket tunnel` as its user has it: programs that speak TCP on one side, the command line's own proxy or another server
 * on the other.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mkdtempSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"
import { socks5Before, play } from "../proxy/firewall.ts"
import * as Proxy from "../proxy/proxy.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { program } from "../proxy/tcp.ts"
import { eventually } from "../proxy/watch.ts"
import { type Running, start } from "./command.ts"
import { type Mistake, untold } from "./mistake.ts"

const tunnelling = Effect.fnUntraced(function* (
  args: ReadonlyArray<string>,
  env: Readonly<Record<string, string>> = {}
): Effect.fn.Return<Running & { readonly port: number }, never, Scope.Scope> {
  const command = yield* start(["tunnel", "0", ...args], "read", env)
  const line = yield* command.line(1)
  const [, port] = /^ready tcp:\/\/127\.0\.0\.1:(\d+)$/.exec(line) ?? assert.fail(line)
  return { ...command, port: Number(port) }
})

const head = (connection: RawTarget.TargetConnection) =>
  connection.watch.until("a head", () => (connection.text.endsWith("\r\n\r\n") ? connection.text : undefined))

describe("tunnel", { timeout: 60_000 }, () => {
  it.live("leads to the proxy's target and back, and cuts off with SIGTERM what has not ended, in order", () =>
    Effect.gen(function* () {
      const target = yield* RawTarget.listen()
      const proxy = yield* Proxy.serve({ target: target.target })
      const command = yield* tunnelling([`ws://127.0.0.1:${proxy.port}`])
      const tcp = yield* program({ host: "127.0.0.1", port: command.port })
      const connection = yield* target.accept
      tcp.socket.write("to the target")
      yield* connection.watch.until<true>("what was said", () => connection.text === "to the target")
      connection.socket.write("and back")
      yield* tcp.untilReceived(8)
      yield* command.kill("SIGTERM")
      yield* Effect.all([tcp.until("reset"), connection.until("end")])
      connection.socket.end()
      const { code, stderr } = yield* command.ended
      assert.deepStrictEqual([code, stderr], [0, ""])
    }).pipe(Effect.scoped)
  )

  it.live("asks for what its flags say, with the secret from the environment", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { port, stderr } = yield* tunnelling(
        [
          `ws://127.0.0.1:${listener.port}/path?token=1`,
          ..."--authorization-env AUTH --compress --subprotocol mqtt --subprotocol binary".split(" "),
          ...["Origin: https://app.example", "X-Way: one", "x-way: two", "constructor: x"].map(
            (line) => `--header=${line}`
          )
        ],
        { AUTH: " Bearer s3cret\n" }
      )
      const tcp = yield* program({ host: "127.0.0.1", port })
      const connection = yield* listener.accept
      const lines = (yield* head(connection)).toLowerCase().split("\r\n")
      assert.strictEqual(lines[0], "get /path?token=1 http/1.1")
      for (const line of [
        `host: 127.0.0.1:${listener.port}`,
        "authorization: bearer s3cret",
        "origin: https://app.example",
        "x-way: one",
        "x-way: two",
        "constructor: x",
        "sec-websocket-protocol: mqtt, binary"
      ]) {
        assert.include(lines, line)
      }
      assert.include(
        lines.find((line) => line.startsWith("sec-websocket-extensions: permessage-deflate")),
        "server_no_context_takeover"
      )
      connection.socket.end("HTTP/1.1 301 Moved\r\nLocation: wss://ann:s3cret@b/p?token=1\r\n\r\n")
      yield* tcp.until("reset")
      yield* eventually("the log", () => stderr().includes('answered 301 instead of 101, and names "wss://b/p"'))
      assert.notInclude(stderr(), "s3cret")
      assert.notInclude(stderr(), "token=1")
    }).pipe(Effect.scoped)
  )

  it.live("offers compression with the context of earlier messages, if --context-takeover says so", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const url = `ws://127.0.0.1:${listener.port}`
      const { port } = yield* tunnelling([url, "--compress", "--context-takeover"])
      yield* program({ host: "127.0.0.1", port })
      assert.match(
        yield* head(yield* listener.accept),
        /\r\nSec-WebSocket-Extensions: permessage-deflate; client_max_window_bits\r\n/i
      )
    }).pipe(Effect.scoped)
  )

  it.live("has a user and a password from the environment", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { port } = yield* tunnelling([`ws://127.0.0.1:${listener.port}`, "--user-env", "USER_OF"], {
        USER_OF: "ann:s3cret\n"
      })
      yield* program({ host: "127.0.0.1", port })
      assert.include(yield* head(yield* listener.accept), "authorization: Basic YW5uOnMzY3JldA==\r\n")
    }).pipe(Effect.scoped)
  )

  it.live("has them from the URL, too, and warns that others can read them there", () =>
    Effect.gen(function* () {
      const listener = yield* RawTarget.listen()
      const { port, stderr } = yield* tunnelling([`ws://ann:s3cret@127.0.0.1:${listener.port}`])
      yield* program({ host: "127.0.0.1", port })
      assert.include(yield* head(yield* listener.accept), "authorization: Basic YW5uOnMzY3JldA==\r\n")
      assert.match(stderr(), /WARN .*password in the URL .*--user-env/)
      assert.notInclude(stderr(), "s3cret")
    }).pipe(Effect.scoped)
  )

  it.live("listens on a unix socket, and goes through a firewall", () =>
    Effect.gen(function* () {
      const folder = mkdtempSync(join(tmpdir(), "tunnel-"))
      yield* Effect.addFinalizer(() => Effect.sync(() => rmSync(folder, { recursive: true })))
      const firewall = yield* RawTarget.listen()
      const path = join(folder, "s")
      const command = yield* start([
        "tunnel",
        `unix:${path}`,
        "ws://192.0.2.7:8080",
        "--firewall",
        `socks5://127.0.0.1:${firewall.port}`
      ])
      assert.strictEqual(yield* command.line(1), `ready unix:${path}`)
      yield* program({ path })
      const connection = yield* firewall.accept
      yield* play(connection, socks5Before.steps(8080).slice(0, 1))
    }).pipe(Effect.scoped)
  )
})

describe("a mistake about a tunnel", { timeout: 120_000 }, () => {
  const at = ["tunnel", "0"]
  const mistakes: ReadonlyArray<Mistake> = [
    [["tunnel"], ["where to listen and where to connect to"]],
    [at, ["where to listen and where to connect to"]],
    [
      ["tunnel", "x", "ws://a"],
      ["cannot listen on", '"x"']
    ],
    [
      ["tunnel", "0", "redis.example"],
      ["cannot use the URL", "wss://host"]
    ],
    [
      ["tunnel", "0", "https+x://a"],
      ["cannot use the URL", "another scheme"]
    ],
    [["tunnel", "0", "ws://a/#b"], ["without a fragment"]],
    [["tunnel", "0", "ws://a", "b"], ['Unexpected positional argument: "b"']],
    [
      [...at, "ws://a", "--server-ca", "x"],
      ["--server-ca", "wss://"]
    ],
    [
      [...at, "wss://a", "--server-ca", import.meta.filename],
      ["--server-ca", "PEM"]
    ],
    [
      [...at, "wss://a", "--server-insecure", "--server-ca", "x"],
      ["--server-insecure", "--server-ca"]
    ],
    [
      [...at, "wss://a", "--client-key", "x"],
      ["--client-key", "--client-cert"]
    ],
    [
      [...at, "ws://a", "--header", "secret"],
      ["--header", "Name: value"]
    ],
    [
      [...at, "ws://a", "--header", "Upgrade: x"],
      ["--header:", "upgrade", "handshake"]
    ],
    [
      [...at, "ws://a", "--subprotocol", "a,b"],
      ["--subprotocol:", "a,b"]
    ],
    [
      [...at, "ws://a", "--header", "Trailer: x"],
      ["--header", "trailer", "handshake"]
    ],
    [
      [...at, "ws://a", "--header", "Host: a", "--header", "host: b"],
      ["--header", "one value of host"]
    ],
    [
      [...at, "ws://a:b@c", "--user-env", "PATH"],
      ["--user-env", "before its @"]
    ],
    [[...at, "ws://a%3Ab:c@d"], ["a user has no colon"]],
    [[...at, "ws://a/#"], ["without a fragment"]],
    [
      [...at, "ws://a", "--authorization-env", "NOT_SET"],
      ["--authorization-env", "NOT_SET"]
    ],
    [
      [...at, "ws://a", "--idle-timeout", "0"],
      ["--idle-timeout", "more than no time"]
    ],
    [
      [...at, "ws://a", "--max-connections", "0"],
      ["--max-connections", "from 1 on"]
    ],
    [
      [...at, "ws://a", "--unix-listen-mode", "0660"],
      ["--unix-listen-mode", "unix:PATH"]
    ],
    [[...at, "ws://a", "--origin", "https://a"], ["--origin"]]
  ]
  it.live("is told in a line", () => Effect.map(untold(mistakes), (wrong) => assert.strictEqual(wrong, "")))
})
