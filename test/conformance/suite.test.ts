import { expect, it } from "vitest"
import { catalogue } from "./catalogue.ts"
import { runCase } from "./suite.ts"
import { type Manner, startCareless } from "./targets/careless.ts"

const PATIENCE = 50

/** The ids of the cases that pass on this server. */
const passing = async (manner: Manner, groups: typeof catalogue): Promise<Array<string>> => {
  const target = await startCareless(manner)
  const waiting = groups.flatMap((group) => group.cases)
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
  await Promise.all(Array.from({ length: 16 }, worker))
  await target.stop()
  return passed
}

it("x", async () => {
  for (const m of ["mute", "blunt", "credulous"] as const) {
    const t = Date.now()
    const p = await passing(m, m === "credulous" ? catalogue : catalogue)
    console.log(m, Date.now() - t, p.length, p.join(" "))
  }
}, 100_000)
