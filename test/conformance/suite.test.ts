/**
 * Every case can fail: servers that open any connection and then misbehave do not get through.
 */
import * as assert from "node:assert/strict"
import { describe, it } from "vitest"
import type { Case } from "./case.ts"
import { catalogue } from "./catalogue.ts"
import { runCase } from "./suite.ts"
import { type Manner, startCareless } from "./targets/careless.ts"

/** Short, for here it is right that cases fail. */
const PATIENCE = 50

const cases = catalogue.flatMap((group) => group.cases)

/** The ids of the cases that pass on this server. */
const passing = async (manner: Manner, chosen: ReadonlyArray<Case>): Promise<Array<string>> => {
  const target = await startCareless(manner)
  const waiting = [...chosen]
  const passed: Array<string> = []
  const worker = async (): Promise<void> => {
    for (let one = waiting.pop(); one !== undefined; one = waiting.pop()) {
      const { id, run } = one
      await runCase(run, target, PATIENCE).then(
        () => passed.push(id),
        () => {}
      )
    }
  }
  try {
    await Promise.all(Array.from({ length: 16 }, worker))
  } finally {
    await target.stop()
  }
  return passed
}

/** The families whose every case ends in a refusal or a failed connection. */
const REFUSING = "0.2 0.3 0.4 0.5 2.2 3 4 5.1 5.4 6.2 6.5 7.3 7.5 8.1 8.3 8.4 12.8 12.9 13.21 13.24"
  .split(" ")
  .map((id) => `${id}.`)

describe("the conformance suite", () => {
  it("passes no case on a server that never answers", { timeout: 60_000 }, async () => {
    assert.deepEqual(await passing("mute", cases), [])
  })

  it(
    "passes no case on a server that hangs up, but the one which only asks for that",
    { timeout: 60_000 },
    async () => {
      const hangsUp = cases
        .filter((one) => one.title.startsWith("the client's FIN within a frame"))
        .map((one) => one.id)
      const others = cases.filter((one) => !hangsUp.includes(one.id))
      assert.deepEqual(await passing("blunt", others), [])
      // one that is to pass is given its time
      const target = await startCareless("blunt")
      try {
        for (const one of cases) if (hangsUp.includes(one.id)) await runCase(one.run, target)
      } finally {
        await target.stop()
      }
    }
  )

  it("passes no case that asks for a refusal on a server that checks nothing", { timeout: 60_000 }, async () => {
    const refusing = cases.filter((one) => REFUSING.some((family) => one.id.startsWith(family)))
    assert.ok(refusing.length > 700)
    assert.deepEqual(await passing("credulous", refusing), [])
  })
})
