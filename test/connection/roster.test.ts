/** Those who come and go by the thousand: who is there, and that who has gone is garbage at once. */
import { assert, describe, it } from "@effect/vitest"
import { GCProfiler } from "node:v8"
import { type Member, Roster } from "../../src/connection/internal/roster.ts"
import { collectGarbage } from "../component/server.ts"

interface Named extends Member {
  readonly name: string
}
const named = (name: string): Named => ({ name, place: -1 })
const names = (roster: Roster<Named>): ReadonlyArray<string> => Array.from(roster, ({ name }) => name)

describe("a roster", () => {
  const of = (...all: ReadonlyArray<string>) => {
    const roster = new Roster<Named>()
    const members = all.map(named)
    for (const member of members) roster.add(member)
    return { roster, members }
  }

  it("has whom it was given, until it is told", () => {
    const { members, roster } = of("a", "b", "c")
    assert.deepStrictEqual(names(roster), ["a", "b", "c"])
    assert.isTrue(roster.delete(members[0]!))
    assert.isFalse(roster.has(members[0]!))
    assert.isTrue(roster.has(members[2]!))
    assert.deepStrictEqual(names(roster).toSorted(), ["b", "c"])
    assert.strictEqual(roster.size, 2)
    assert.isTrue(roster.delete(members[2]!))
    assert.isTrue(roster.delete(members[1]!))
    assert.strictEqual(roster.size, 0)
  })

  it("is told once, and by a member of its own", () => {
    const { members, roster } = of("a", "b")
    const other = of("c", "d")
    assert.isTrue(roster.delete(members[1]!))
    assert.isFalse(roster.delete(members[1]!))
    assert.isFalse(roster.delete(named("e")))
    assert.isFalse(roster.delete(other.members[0]!))
    assert.deepStrictEqual(names(roster), ["a"])
    assert.strictEqual(other.roster.size, 2)
    roster.add(members[1]!)
    assert.isTrue(roster.has(members[1]!))
  })

  it("is gone through as it was, but for who has left", () => {
    const { members, roster } = of("a", "b", "c", "d")
    const seen: Array<string> = []
    for (const { name } of roster) {
      seen.push(name)
      if (name !== "a") continue
      roster.delete(members[0]!)
      roster.delete(members[2]!)
      roster.add(named("e"))
    }
    assert.deepStrictEqual(seen, ["a", "b", "d"])
    assert.deepStrictEqual(names(roster).toSorted(), ["b", "d", "e"])
  })

  it("keeps nothing of who has gone until a full collection", () => {
    const inside = 32
    const visits = 50_000
    const roster = new Roster<Named & { readonly weight: ReadonlyArray<number> }>()
    const queue: Array<Named & { readonly weight: ReadonlyArray<number> }> = []
    const come = (at: number) => {
      const member = { ...named(String(at)), weight: Array.from({ length: 100 }, () => at + 0.5) }
      roster.add(member)
      queue.push(member)
    }
    for (let i = 0; i < inside; i++) come(i)
    // who is inside is old from now on, and so is what holds them
    collectGarbage()
    const profiler = new GCProfiler()
    profiler.start()
    for (let i = 0; i < visits; i++) {
      come(i)
      roster.delete(queue.shift()!)
    }
    const { statistics } = profiler.stop()!
    const old = (heap: (typeof statistics)[number]["afterGC"]) =>
      heap.heapSpaceStatistics.find(({ spaceName }) => spaceName === "old_space")!.spaceUsedSize
    const scavenges = statistics.filter(({ gcType }) => gcType === "Scavenge")
    assert.isAbove(scavenges.length, 0)
    const promoted = scavenges.reduce((sum, { afterGC, beforeGC }) => sum + old(afterGC) - old(beforeGC), 0)
    // of a kilobyte for each of them; those of a `Set` would all be in it
    assert.isBelow(promoted / visits, 100)
  })
})
