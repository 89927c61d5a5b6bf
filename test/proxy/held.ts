/**
 * What this process holds: its sockets, servers and timers.
 */
import { assert } from "@effect/vitest"
import * as Effect from "effect/Effect"
import { eventually, Watch } from "./watch.ts"

export type Resources = Readonly<Record<string, number>>

/** How many there are of each type, now. */
const held = (): Resources => {
  const now: Record<string, number> = {}
  for (const type of process.getActiveResourcesInfo().toSorted()) {
    if (type !== "Immediate") now[type] = (now[type] ?? 0) + 1
  }
  return now
}

/** How many sockets, servers and timers the process holds, once that has been the same for a while. */
export const resources: Effect.Effect<Resources> = Effect.suspend(() => {
  let last = ""
  let same = 0
  return eventually("the resources to settle", () => {
    const now = held()
    const shown = JSON.stringify(now)
    same = last === shown ? same + 1 : 0
    last = shown
    return same > 20 && now
  })
})

/** No more than before. */
export const assertNoMore = (now: Resources, before: Resources) => {
  for (const type of Object.keys(now)) {
    assert.isAtMost(now[type]!, before[type] ?? 0, `${type}: ${JSON.stringify({ before, now })}`)
  }
}

/** Waits until there is no more than before: a timer may have some time to go. */
export const untilNoMore = (before: Resources, millis = 10_000): Effect.Effect<void> =>
  Effect.suspend(() => {
    const watch = new Watch(() => JSON.stringify({ before, now: held() }))
    const interval = setInterval(() => watch.changed(), 20)
    // the timers of the look itself are in both
    const isNoMore = () => Object.entries(held()).every(([type, count]) => count <= (before[type] ?? 0))
    return Effect.ensuring(
      Effect.asVoid(watch.until<true>("the resources to be what they were", isNoMore, millis)),
      Effect.sync(() => clearInterval(interval))
    )
  })
