/**
 * The page about the client names each option of a request, each reason of a failure, and bounds that hold.
 */
import { assert, describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { readFileSync } from "node:fs"
import { run } from "../cli/command.ts"

const read = (path: string) => readFileSync(new URL(`../../${path}`, import.meta.url), "utf8")
const page = read("docs/client.md")

/** The words that rows of tables begin with. */
const rows = [...page.matchAll(/^\| `([A-Za-z]+)` +\|/gm)].map(([, word]) => word!)

/** The flags that a text names. */
const flags = (text: string) =>
  [...new Set([...text.matchAll(/--([a-z][a-z\d-]+)/g)].map(([, flag]) => flag!))].toSorted()

describe("docs/client.md", () => {
  it("names each option of a request, and each reason", () => {
    const asking = /interface Asking \{([^]*?)\n\}/.exec(read("src/client/WebSocketClient.ts"))?.[1] ?? ""
    const options = [...asking.matchAll(/readonly (\w+)\?:/g)].map(([, name]) => name!)
    assert.isAbove(options.length, 2)
    const union = /type WebSocketClientErrorReason = (.*)/.exec(read("src/client/WebSocketClientError.ts"))?.[1] ?? ""
    const reasons = union.split(" | ")
    assert.isAbove(reasons.length, 4)
    assert.deepStrictEqual(rows.toSorted(), [...options, ...reasons].toSorted())
  })

  it.live("names each flag of the tunnel, and none that is not there", () =>
    Effect.gen(function* () {
      const { stdout } = yield* run("tunnel", "--help")
      const own = stdout.slice(stdout.indexOf("\nFLAGS"), stdout.indexOf("\nGLOBAL FLAGS"))
      assert.isAbove(flags(own).length, 20)
      assert.deepStrictEqual(flags(page), flags(own))
    })
  )

  it("says the bounds that there are", () => {
    const request = read("src/node/internal/openingRequest.ts")
    assert.include(read("src/node/internal/leanAnswer.ts"), "maxHead = 16 * 1024")
    assert.include(request, "maxInterim = 16")
    assert.include(request, "maxBody = 4096")
    assert.include(request, "bodyPatience = 1000")
    assert.include(
      page,
      "a head of 16 KiB, 16 interim answers before it, and 4 KiB of its body, for which it has a second"
    )
  })
})
