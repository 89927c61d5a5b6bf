/** The flags that choose the target, as their user has them. */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { writeFileSync } from "node:fs"
import { folder } from "../node/folder.ts"
import * as RawClient from "../proxy/rawClient.ts"
import * as RawTarget from "../proxy/rawTarget.ts"
import { eventually } from "../proxy/watch.ts"
import { listening } from "./command.ts"
import { untold } from "./mistake.ts"

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

  it.live("has targets by the tokens of a file, and no token in its log", () =>
    Effect.gen(function* () {
      const at = yield* folder
      const a = yield* RawTarget.listen()
      writeFileSync(at("tokens"), `# desks\nann: ${a.target}\n`)
      const proxy = yield* listening("proxy", "0", "--token-plugin", "TokenFile", "--token-source", at("tokens"))
      assert.isTrue(yield* reaches(proxy.port, a, { path: "/?token=ann" }))
      assert.strictEqual(yield* reaches(proxy.port, a, { path: "/?token=a-secret-that-nobody-knows" }), 404)
      assert.strictEqual(yield* reaches(proxy.port, a, { path: "/" }), 404)
      yield* eventually("a line of the log", () => proxy.stderr().includes("No target for the token"))
      assert.notInclude(proxy.stderr(), "nobody-knows")
    })
  )

  it.live("--target-from-client: what the client says, of what is allowed", () =>
    Effect.gen(function* () {
      const [a, b, rest] = yield* Effect.all([RawTarget.listen(), RawTarget.listen(), RawTarget.listen()])
      const flags = ["--target-from-client", "--allow-target", `127.0.0.1:${a.port}`]
      const alone = yield* listening("proxy", "0", ...flags)
      const path = (target: RawTarget.RawTarget) => `/v1?address=${target.target}`
      assert.isTrue(yield* reaches(alone.port, a, { path: path(a) }))
      assert.strictEqual(yield* reaches(alone.port, b, { path: path(b) }), 403)
      assert.strictEqual(yield* reaches(alone.port, b, { path: "/v1?address=x" }), 400)
      assert.strictEqual(yield* reaches(alone.port, b, { path: "/" }), 404)
      yield* eventually("a line of the log", () => alone.stderr().includes("is not among what is allowed"))
      const more = yield* listening("proxy", "0", `${rest.target}`, ...flags, `--allow-target=${rest.target}`)
      assert.isTrue(yield* reaches(more.port, rest, { path: "/" }))
      assert.strictEqual(yield* reaches(more.port, b, { path: path(b) }), 403)
    })
  )
})

describe("a mistake about targets", () => {
  it.live(
    "is one line on stderr and a failure",
    () =>
      Effect.map(
        untold([
          [["proxy"], ["TARGET", "--route"]],
          [
            ["proxy", "0", "--target-config", import.meta.filename],
            ["--target-config", "line 1", "TOKEN: host:port"]
          ],
          [
            ["proxy", "0", "--token-plugin", "redis", "--token-source", "redis://127.0.0.1:1"],
            ["--token-source", "Redis", "ECONNREFUSED"]
          ]
        ]),
        (wrong) => assert.strictEqual(wrong, "")
      ),
    60_000
  )
})
