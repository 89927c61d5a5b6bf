/** The flags that choose the target, as their user has them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { folder } from "../node/folder.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually } from "../proxy/watch.ts"
import { listening } from "./command.ts"
import { type Mistake, untold } from "./mistake.ts"

/** Whether a request gets through to a target, and if not with which status. */
const reaches = Effect.fnUntraced(function* (port: number, target: RawTarget.RawTarget, options: RawClient.Options) {
  const before = target.connections.length
  const client = yield* RawClient.request(port, options)
  yield* eventually("an answer", () => client.status !== undefined)
  if (client.status !== 101) return client.status
  return yield* target.watch.until<true>("a connection", () => target.connections.length > before)
})

describe.concurrent("proxy", { timeout: 60_000 }, () => {
  it.live("has a target for each path, and one for the rest", () =>
    Effect.gen(function* () {
      const [a, b, rest] = yield* Effect.all([RawTarget.listen(), RawTarget.listen(), RawTarget.listen()])
      const { port } = yield* listening(
        "proxy",
        "0",
        `${rest.target}`,
        `--route=/a=${a.target}`,
        `--route=/b/*=${b.target}`
      )
      assert.isTrue(yield* reaches(port, a, { path: "/a" }))
      assert.isTrue(yield* reaches(port, b, { path: "/b/x?y" }))
      assert.isTrue(yield* reaches(port, rest, { path: "/a/x" }))
    })
  )

  it.live("has nothing for other paths where there is no target for the rest", () =>
    Effect.gen(function* () {
      const a = yield* RawTarget.listen()
      const { port } = yield* listening("proxy", "0", "--route", `/a=${a.target}`)
      assert.isTrue(yield* reaches(port, a, { path: "/a" }))
      assert.strictEqual(yield* reaches(port, a, { path: "/" }), 404)
    })
  )

  it.live("takes several targets by turns, or the first that answers", () =>
    Effect.gen(function* () {
      const [a, b] = yield* Effect.all([RawTarget.listen(), RawTarget.listen()])
      const dead = yield* RawTarget.nobody
      const turns = yield* listening("proxy", "0", `${a.target},${b.target}`, "--balance", "round-robin")
      for (const target of [a, b, a]) assert.isTrue(yield* reaches(turns.port, target, {}))
      const first = yield* listening("proxy", "0", `${dead},${b.target}`)
      for (let i = 0; i < 2; i++) assert.isTrue(yield* reaches(first.port, b, {}))
    })
  )

  it.live.each([
    "--token-plugin file --token-source",
    "--token-plugin TokenFile --token-source",
    "--token-plugin ReadOnlyTokenFile --token-source",
    "--target-config"
  ])("%s: targets by the tokens of a file", (flags) =>
    Effect.gen(function* () {
      const at = yield* folder
      const a = yield* RawTarget.listen()
      writeFileSync(at("tokens"), `# desks\nann: ${a.target}\n`)
      const proxy = yield* listening("proxy", "0", ...flags.split(" "), at("tokens"))
      assert.isTrue(yield* reaches(proxy.port, a, { path: "/?token=ann" }))
      assert.strictEqual(yield* reaches(proxy.port, a, { path: "/?token=a-secret-that-nobody-knows" }), 404)
      assert.strictEqual(yield* reaches(proxy.port, a, { path: "/" }), 404)
      yield* eventually("a line of the log", () => proxy.stderr().includes("No target for the token"))
      assert.notInclude(proxy.stderr(), "nobody-knows")
    })
  )

  it.live("--token-plugin directory: targets by files", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const a = yield* RawTarget.listen()
      writeFileSync(at("ann"), `${a.target}\n`)
      for (const name of ["directory", "TokenFileName"]) {
        const { port } = yield* listening("proxy", "0", "--token-plugin", name, "--token-source", at())
        assert.isTrue(yield* reaches(port, a, { path: "/?token=ann" }))
        assert.strictEqual(yield* reaches(port, a, { path: "/?token=..%2Fann" }), 404)
      }
    })
  )

  it.live("--token-plugin unix-directory: targets by sockets, none of which is there", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const a = yield* RawTarget.listen()
      for (const name of ["unix-directory", "UnixDomainSocketDirectory"]) {
        const { port } = yield* listening("proxy", "0", "--token-plugin", name, "--token-source", at())
        assert.strictEqual(yield* reaches(port, a, { path: "/?token=ann" }), 404)
      }
    })
  )

  it.live("--host-token: the name in the Host header, or its first label; and paths come first", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const [a, b] = yield* Effect.all([RawTarget.listen(), RawTarget.listen()])
      writeFileSync(at("tokens.json"), JSON.stringify({ "127.0.0.1": `${a.target}` }))
      const { port } = yield* listening(
        "proxy",
        "0",
        `--target-config=${at("tokens.json")}`,
        "--host-token",
        `--route=/b=${b.target}`
      )
      assert.isTrue(yield* reaches(port, a, {}))
      assert.isTrue(yield* reaches(port, b, { path: "/b" }))
    })
  )
})

const mistakes: ReadonlyArray<Mistake> = [
  [["proxy"], ["TARGET", "--route"]],
  [
    ["proxy", "0", "a:1", "--route", "db=a:1"],
    ["--route", "PATH=TARGET", "db=a:1"]
  ],
  [
    ["proxy", "0", "--route", "/db"],
    ["--route", "PATH=TARGET"]
  ],
  [
    ["proxy", "0", "--route", "/db=nonsense"],
    ["nonsense", "host:port"]
  ],
  [
    ["proxy", "0", "a:1,b"],
    ["host:port", '"b"']
  ],
  [
    ["proxy", "0", "a:1,b:2", "--balance", "random"],
    ["--balance", "round-robin", "random"]
  ],
  [
    ["proxy", "0", "a:1", "--balance", "failover"],
    ["--balance", "several"]
  ],
  [
    ["proxy", "0", "--token-plugin", "magic", "--token-source", "x"],
    ["--token-plugin", "TokenFile", "magic"]
  ],
  [
    ["proxy", "0", "--token-plugin", "file"],
    ["--token-plugin file", "--token-source"]
  ],
  [
    ["proxy", "0", "a:1", "--token-source", "x"],
    ["--token-source", "--token-plugin"]
  ],
  [
    ["proxy", "0", "a:1", "--host-token"],
    ["--host-token", "--token-plugin"]
  ],
  [
    ["proxy", "0", "--token-plugin", "file", "--token-source", "x", "--target-config", "x"],
    ["--target-config", "--token-plugin"]
  ],
  [
    ["proxy", "0", "--token-plugin", "file", "--token-source", "/no/such/file"],
    ["--token-source", "/no/such/file"]
  ],
  [
    ["proxy", "0", "--target-config", import.meta.filename],
    ["--target-config", "line 1", "TOKEN: host:port"]
  ],
  [
    ["proxy", "0", "--token-plugin", "directory", "--token-source", import.meta.filename],
    ["--token-source", "no directory"]
  ],
  [
    ["proxy", "0", "a:1", "--target-config", "/dev/null"],
    ["TARGET", "a:1", "--token-plugin"]
  ]
]

describe("a mistake about targets", () => {
  it.live(
    "is one line on stderr and a failure",
    () => Effect.map(untold(mistakes), (wrong) => assert.strictEqual(wrong, "")),
    120_000
  )
})
