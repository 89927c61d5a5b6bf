/**
 * The page about targets names every flag about them, its rules are rules, its kinds of failures are those that there are, and
 * its commands listen.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import { readFileSync } from "node:fs"
import { unreachable } from "../../src/component/internal/proxyLink.ts"
import { DialError } from "../../src/proxy/Dialer.ts"
import { Target } from "../../src/proxy/Target.ts"
import * as TargetPolicy from "../../src/proxy/TargetPolicy.ts"
import { start } from "../cli/command.ts"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")
const page = read("docs/targets.md")

/** The cells of the rows of the table under a heading row that begins so. */
const table = (heading: string): ReadonlyArray<ReadonlyArray<string>> => {
  const lines = page.split("\n")
  const first = lines.findIndex((line) => new RegExp(`^\\| ${heading} +\\|`).test(line))
  const rows = lines.slice(first + 2)
  return rows
    .slice(
      0,
      rows.findIndex((line) => !line.startsWith("|"))
    )
    .map((row) =>
      row
        .split("|")
        .slice(1, -1)
        .map((cell) => cell.trim())
    )
}

describe("docs/targets.md", { timeout: 120_000 }, () => {
  it("names each flag", () => {
    const flags = [
      ...(read("src/cli/way.ts") + read("src/cli/target.ts")).matchAll(/(?:optional|repeated|given)\(\s*"([a-z-]+)"/g)
    ]
    const named = new Set([...page.matchAll(/--[a-z][a-z-]+/g)].map(([flag]) => flag))
    assert.isAbove(flags.length, 10)
    assert.deepStrictEqual([...named].toSorted(), flags.map(([, flag]) => `--${flag}`).toSorted())
  })

  it("has rules that are read", () => {
    const rules = table("rule").flatMap(([cell]) => [...cell!.matchAll(/`([^`]+)`/g)].map(([, rule]) => rule!))
    assert.isAbove(rules.length, 6)
    for (const rule of rules) assert.isTrue(Result.isSuccess(TargetPolicy.parseRule(rule)), rule)
  })

  it("has the kinds of failures with their statuses and codes", () => {
    const kinds = table("kind")
    assert.strictEqual(kinds.length, 9)
    for (const [name, , status, codes] of kinds) {
      // a kind that there is not has no status
      const kind = name!.replaceAll("`", "") as DialError["kind"]
      const error = new DialError({ target: new Target({ host: "db.example", port: 1 }), kind })
      assert.strictEqual(String(error.refusal.status), status)
      assert.strictEqual(String(unreachable(error).code), codes!.split(",")[0])
    }
  })

  it.live("gives commands that listen", () =>
    Effect.gen(function* () {
      const commands = [...page.matchAll(/```sh\neffect-websocket (.*)\n```/g)].map(([, command]) => command!)
      assert.isAbove(commands.length, 0)
      for (const text of commands) {
        const words = text.split(" ").map((word) => (word === "6080" ? "0" : word.replaceAll("'", "")))
        const command = yield* start(words)
        assert.match(yield* command.line(1), /^ready ws:/)
      }
    }).pipe(Effect.scoped)
  )
})
