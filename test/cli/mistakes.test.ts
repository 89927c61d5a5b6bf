import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { execFileSync } from "node:child_process"
import { once } from "node:events"
import * as Net from "node:net"
import { fileURLToPath } from "node:url"
import { folder } from "../node/folder.ts"
import { run } from "./command.ts"
import { type Mistake, untold } from "./mistake.ts"

const taken = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = Net.createServer().listen(0, "127.0.0.1")
    await once(server, "listening")
    return { server, port: (server.address() as Net.AddressInfo).port }
  }),
  ({ server }) => Effect.sync(() => void server.close())
)

const mistakes: ReadonlyArray<Mistake> = [
  [
    ["echo", "nonsense"],
    ["nonsense", "port"]
  ],
  [
    ["echo", "127.0.0.1:"],
    ["127.0.0.1:", "port"]
  ],
  [
    ["echo", "::1:8080"],
    ["::1:8080", "[::1]"]
  ],
  [
    ["echo", "65536"],
    ["65536", "65535"]
  ],
  [
    ["echo", "0", "--orgin", "any"],
    ["--orgin", "; did you mean --origin?"]
  ],
  [
    ["echo", "0", "--orgin", "any", "--ky", "x"],
    ["; did you mean --origin?; ", "; did you mean --key? (try"]
  ],
  [
    ["echo", "0", "1"],
    ["argument", '"1"']
  ],
  [
    ["echo", "no-such-host.invalid:0"],
    ["no-such-host.invalid", "not known"]
  ],
  [
    ["echo", "192.0.2.1:0"],
    ["192.0.2.1", "no such address"]
  ],
  [["proxy"], ["TARGET"]],
  [
    ["echo", "0", "--cert", "/no/such/file.pem"],
    ["/no/such/file.pem", "ENOENT"]
  ],
  [
    ["echo", "0", "--cert", fileURLToPath(import.meta.url)],
    ["mistakes.test.ts", "certificate"]
  ],
  [
    ["echo", "0", "--key", "server.key"],
    ["--key", "--cert"]
  ],
  [
    ["echo", "0", "--also-plain"],
    ["--also-plain", "--cert"]
  ],
  [
    ["echo", "0", "--cert", "x.pem", "--cert-password-env", "NO_SUCH_VARIABLE"],
    ["NO_SUCH_VARIABLE", "not set"]
  ],
  [
    ["proxy", "0", "nonsense"],
    ["nonsense", "host:port"]
  ],
  [
    ["proxy", "0", "localhost:0"],
    ["localhost:0", "65535"]
  ],
  [
    ["proxy", "0", "http://localhost:80"],
    ["http://localhost:80", "host:port"]
  ],
  [
    ["proxy", "0", "a:1", "b:2"],
    ["argument", "b:2"]
  ],
  [["echo", "0", "--frobnicate"], ["--frobnicate"]],
  [["echo", "0", "--idle-timeout"], ["--idle-timeout"]],
  [["frobnicate"], ["frobnicate"]],
  [
    ["prox", "6080", "localhost:5900"],
    ['"prox"', "proxy"]
  ],
  // what is no word is an address
  [
    [":6080", "localhost:5900"],
    ['":6080"', "[host:]port"]
  ],
  [
    ["proxy", "0", "a:1", "--web", ""],
    ["--web", "DIR", "empty"]
  ],
  [
    ["0.0.0.0:0", "a:1", "--record="],
    ["--record", "FILE", "empty"]
  ],
  [
    ["echo", "0", "--deny-client", ""],
    ["--deny-client", "LIST", "empty"]
  ],
  [
    ["tunnel", "0", "ws://a", "--user-env", "constructor"],
    ["--user-env", "constructor", "not set"]
  ],
  [
    ["echo", "0", "--idle-timeout", "soon"],
    ["--idle-timeout", "soon", "30s"]
  ],
  [["echo", "0", "--close-timeout", "-5s"], ["--close-timeout"]],
  [
    ["echo", "0", "--drain-timeout=-5 seconds"],
    ["--drain-timeout", "not negative", "-5 seconds"]
  ],
  [
    ["echo", "0", "--close-timeout=-Infinity"],
    ["--close-timeout", "not negative", "-Infinity"]
  ],
  [
    ["echo", "0", "--idle-timeout", "0"],
    ["--idle-timeout", "more than no time", "infinity"]
  ],
  [
    ["echo", "0", "--ping-interval", "0ms"],
    ["--ping-interval", "more than no time"]
  ],
  [
    ["proxy", "0", "a:1", "--max-lifetime", "0"],
    ["--max-lifetime", "more than no time"]
  ],
  [
    ["proxy", "0", "--token-source", "tokens"],
    ["--token-source", "--token-plugin"]
  ],
  [
    ["proxy", "0", "a:1", "--compress-limit", "10MiB"],
    ["--compress-limit", "--compress"]
  ],
  [
    ["tunnel", "0", "ws://a", "--context-takeover"],
    ["--context-takeover", "--compress"]
  ],
  [
    ["tunnel", "0", "ws://a", "--compress", "--compress-limit", "2GiB"],
    ["--compress-limit", "1 GiB", "2GiB"]
  ],
  [
    ["proxy", "0", "a:1", "--record", fileURLToPath(new URL(".", import.meta.url))],
    ["--record", "folder"]
  ],
  [
    ["echo", "0", "--origin", "any", "--origin", "https://app.example"],
    ["--origin any", "others"]
  ],
  [
    ["echo", "0", "--auth-realm", "x"],
    ["--auth-realm", "--htpasswd"]
  ],
  [
    ["proxy", "0", "a:1", "--dial-timeout", "never"],
    ["--dial-timeout", "never"]
  ],
  [
    ["proxy", "0", "a:1", "--web", "/no/such/folder"],
    ["--web", "/no/such/folder"]
  ],
  [
    ["echo", "0", "--max-connections", "0"],
    ["--max-connections", "0"]
  ],
  [
    ["echo", "0", "--max-connections", "many"],
    ["--max-connections", "many"]
  ],
  [
    ["echo", "0", "--max-handshake-rate", "1.5"],
    ["--max-handshake-rate", "1.5"]
  ],
  [
    ["echo", "0", "--auth-plugin", "ExpectOrigin", "--auth-source", "https://app.example app.example"],
    ["--auth-source", "ExpectOrigin", '"app.example"', "https://"]
  ],
  [
    ["echo", "0", "--origin", "app.example"],
    ["--origin", "app.example", "https://"]
  ],
  [
    ["echo", "0", "--origin", "https://"],
    ["--origin", '"https://"']
  ],
  [
    ["echo", "0", "--origin", "https://a.example", "--origin", "https://b.example/path"],
    ["--origin", "b.example/path"]
  ],
  [
    ["echo", "0", "--proxy-protocol-from", "10.0.0.1/8"],
    ["--proxy-protocol-from", "10.0.0.1/8"]
  ],
  [
    ["proxy", "0", "a:1", "--proxy-protocol-from", "lb.example"],
    ["--proxy-protocol-from", "lb.example", "no names"]
  ],
  [
    ["echo", "0", "--forwarded-from", ","],
    ["--forwarded-from", "none"]
  ],
  [
    ["echo", "0", "--forwarded-header", "forwarded"],
    ["--forwarded-header", "--forwarded-from"]
  ],
  [
    ["echo", "0", "--forwarded-from", "::1", "--forwarded-header", "x-real-ip"],
    ["--forwarded-header", "x-real-ip"]
  ],
  [
    ["proxy", "0", "a:1", "--send-proxy", "2"],
    ["--send-proxy", "v1", "v2"]
  ]
]

describe("a mistake of the user", () => {
  it.live(
    "is one line on stderr and a failure, without a stack trace and without a word on stdout",
    () =>
      Effect.gen(function* () {
        const { port } = yield* taken
        const all = [
          ...mistakes,
          [
            ["echo", `${port}`],
            [`127.0.0.1:${port}`, "in use", "another"]
          ] as const
        ]
        assert.strictEqual(yield* untold(all), "")
      }),
    240_000
  )
})

describe("a pipe that nobody writes to, or reads", () => {
  it.live(
    "is a mistake at once, and nothing to wait for",
    () =>
      Effect.gen(function* () {
        const at = yield* folder
        const pipe = at("pipe")
        execFileSync("mkfifo", [pipe])
        const echo = ["htpasswd", "bearer-file", "jwt-key", "jwt-secret", "cert"].map((flag): Mistake => [
          ["echo", "0", `--${flag}`, pipe],
          [`--${flag}`, pipe, "no regular file"]
        ])
        const proxy = ["target-config", "log-file"].map((flag): Mistake => [
          ["proxy", "0", `--${flag}`, pipe, ...(flag === "log-file" ? ["a:1"] : [])],
          [`--${flag}`, pipe]
        ])
        assert.strictEqual(yield* untold([...echo, ...proxy]), "")
      }),
    60_000
  )
})

describe("help", () => {
  it.live(
    "is on stdout, for the whole and for each command, and --version is the package's",
    () =>
      Effect.gen(function* () {
        const [all, proxy, tunnel, echo, version] = yield* Effect.all(
          [run("--help"), run("proxy", "--help"), run("tunnel", "--help"), run("echo", "--help"), run("--version")],
          { concurrency: 4 }
        )
        for (const { code, stderr } of [all, proxy, tunnel, echo, version])
          assert.deepStrictEqual([code, stderr], [0, ""])
        assert.include(all.stdout, "proxy")
        assert.include(all.stdout, "tunnel")
        assert.include(all.stdout, "echo")
        for (const flag of ["--header", "--server-ca", "--firewall", "URL", "Ping the server"]) {
          assert.include(tunnel.stdout, flag)
        }
        for (const flag of ["--compress", "--text", "--dial-timeout", "--origin", "TARGET", "LISTEN"]) {
          assert.include(proxy.stdout, flag)
        }
        for (const flag of ["--max-connections", "--idle-timeout", "--drain-timeout", "[::1]:port"]) {
          assert.include(echo.stdout, flag)
        }
        const manifest = yield* Effect.promise(() => import("../../package.json", { with: { type: "json" } }))
        assert.include(version.stdout, manifest.default.version)
        assert.strictEqual(version.stdout.trim().split("\n").length, 1)
      }),
    20_000
  )
})
