/**
 * The page about several processes names every flag about them and every metric that there is, and its commands listen.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { globSync, readFileSync } from "node:fs"
import { start } from "../cli/command.ts"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")
const page = read("docs/workers.md")

describe("docs/workers.md", { timeout: 120_000 }, () => {
  it("names the flags, and only flags that there are", () => {
    const sources = globSync("src/cli/**/*.ts", { cwd: new URL("../../", import.meta.url) }).map(read)
    const named = new Set([...page.matchAll(/--([a-z][a-z-]+)/g)].map(([, flag]) => flag!))
    for (const flag of ["workers", "metrics"]) assert.isTrue(named.has(flag))
    for (const flag of named)
      assert.isTrue(
        sources.some((text) => text.includes(`"${flag}"`)),
        flag
      )
  })

  it("names each metric with its kind", () => {
    const sources = globSync("src/**/*.ts", { cwd: new URL("../../", import.meta.url) }).map(read)
    const metrics = sources.flatMap((text) => [...text.matchAll(/Metric\.(counter|gauge|frequency)\("([a-z_]+)"/g)])
    const rows = [...page.matchAll(/^\| `([a-z_]+)` +\| (\w+)/gm)].map(([, name, kind]) => `${name} ${kind}`)
    assert.isAbove(metrics.length, 10)
    assert.deepStrictEqual(
      rows.toSorted(),
      metrics.map(([, kind, name]) => `${name} ${kind === "gauge" ? "gauge" : "counter"}`).toSorted()
    )
  })

  it.live("has commands that listen", () =>
    Effect.gen(function* () {
      const commands = [...page.matchAll(/^effect-websocket (.+)$/gm)].map(([, line]) => line!.split(" "))
      assert.isAbove(commands.length, 2)
      for (const words of commands) {
        // on ports that are free, wherever they are
        const args = words.map((word) => (/^(?:[\d.]+:)?\d{4}$/.test(word) ? "0" : word))
        const running = yield* start(args)
        assert.match(yield* running.line(1), /^ready ws:/)
        yield* running.kill("SIGTERM")
        assert.strictEqual((yield* running.ended).code, 0)
      }
    })
  )
})
