/**
 * The page about admission names every flag about it and no other, every kind of reason, and policies that there are.
 */
import { assert, describe, it } from "@effect/vitest"
import { readFileSync } from "node:fs"
import * as AccessPolicy from "../../src/server/AccessPolicy.ts"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")
const page = read("docs/admission.md")
const matches = (text: string, pattern: RegExp): ReadonlyArray<string> =>
  [...new Set([...text.matchAll(pattern)].map(([, one]) => one!))].toSorted()

describe("docs/admission.md", () => {
  it("names each flag, and none that is not there", () => {
    const flags = matches(read("src/cli/admission.ts"), /(?:optional|repeated|given)\(\s*"([a-z-]+)"/g)
    const others = [
      "cert",
      "client-ca",
      "max-connections",
      "max-connections-per-address",
      "max-handshake-rate",
      "origin",
      "web"
    ]
    assert.isAbove(flags.length, 12)
    assert.deepStrictEqual(matches(page, /--([a-z][a-z-]+)/g), [...flags, ...others].toSorted())
  })

  it("names each kind of reason", () => {
    const union = /export type Kind =\n((?: +\| "\w+"\n)+)/.exec(read("src/server/Denial.ts"))?.[1] ?? ""
    const kinds = matches(union, /"(\w+)"/g)
    assert.isAbove(kinds.length, 12)
    const list = page.slice(page.indexOf("`websocket_denials_total`"))
    assert.deepStrictEqual(
      kinds.filter((kind) => !list.includes(`\`${kind}\``)),
      []
    )
  })

  it("has policies that there are", () => {
    for (const name of matches(page, /AccessPolicy\.(\w+)/g)) assert.property(AccessPolicy, name)
  })
})
