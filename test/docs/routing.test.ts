/**
 * The page about routes names every flag about them, and its commands listen.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { routing } from "../../src/cli/routing.ts"
import { start } from "../cli/command.ts"

const page = readFileSync(new URL("../../docs/routing.md", import.meta.url), "utf8")

describe("docs/routing.md", { timeout: 60_000 }, () => {
  it("names each flag", () => {
    const named = new Set([...page.matchAll(/--[a-z][a-z-]+/g)].map(([flag]) => flag))
    for (const name of Object.keys(routing)) {
      const flag = `--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`
      assert.isTrue(named.delete(flag), flag)
    }
    assert.deepStrictEqual([...named].toSorted(), ["--allow-target", "--dial-timeout"])
  })

  it.live("gives commands that listen", () =>
    Effect.gen(function* () {
      const commands = [...page.matchAll(/```sh\nnpm start -- (.*)\n```/g)].map(([, command]) => command!.split(" "))
      assert.strictEqual(commands.length, 2)
      for (const words of commands) {
        const command = yield* start(words.map((word) => (/^\d+$/.test(word) ? "0" : word.replaceAll("'", ""))))
        assert.match(yield* command.line(1), /^ready ws:/)
      }
    })
  )
})
