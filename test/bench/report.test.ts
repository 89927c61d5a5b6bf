/**
 * The table of the benchmark: ratios that are better above 1, and goals that the median has to reach.
 */
import { assert, describe, it } from "@effect/vitest"
import { existsSync } from "node:fs"
import { commandOf } from "../../bench/commands.ts"
import { goals, markdown } from "../../bench/report.ts"
import type { Measurement } from "../../bench/rig.ts"
import { peerTitle, rows } from "../../bench/rows.ts"
import type { Row } from "../../bench/rows.ts"
import { merge } from "../../bench/table.ts"

const measured = (first: number, second: number): Measurement => ({
  first,
  second,
  peakBytes: 1e6,
  seconds: 1,
  cpu: { server: 1, load: 1, target: 0 }
})

const row: Row = {
  name: "row",
  title: "a row",
  kind: "echo",
  role: "echo",
  size: 100,
  connections: 50,
  depth: 1,
  peers: ["ws", "net"],
  goals: { ws: 2, net: 0.5 }
}
/** Ours costs 2, 1 and 4 µs where `ws` costs 4 and `net` 1; ours carries 20 k/s, `ws` 10 and `net` 40. */
const runs = [2e-6, 1e-6, 4e-6].map((first) => ({
  ours: measured(first, 20_000),
  ws: measured(4e-6, 10_000),
  net: measured(1e-6, 40_000)
}))

describe("the table", () => {
  const [, , ws = "", net = ""] = markdown([{ row, runs, failure: undefined }]).split("\n")

  it("has ratios that are above 1 where ours is better, with their range, and says what they are of", () => {
    assert.include(ws, "| CPU 2.00 (1.00–4.00) |")
    assert.include(ws, "| throughput 2.00 (2.00–2.00) |")
    assert.include(net, "| CPU 0.50 (0.25–1.00) |")
    assert.include(net, "| throughput 0.50 (0.50–0.50) |")
    assert.include(ws, "| 2.00, 4.00 µs/message |")
    assert.include(ws, "| 20.00, 10.00 k/s |")
  })

  it("says whether the median reaches the goal", () => {
    assert.include(ws, "| 2.00, met |")
    const missed = markdown([{ row: { ...row, goals: { ws: 2.01 } }, runs, failure: undefined }])
    assert.include(missed, "| 2.01, **missed** |")
    assert.strictEqual(goals([{ row, runs, failure: undefined }]), "2 of 2 goals met")
  })

  it("has the reason of a row that failed, which meets no goal", () => {
    const failed = [{ row, runs, failure: "ours: gone" }]
    assert.include(markdown(failed), "failed: ours: gone")
    assert.strictEqual(goals(failed), "0 of 2 goals met")
  })
})

describe("the rows", () => {
  it("have names of their own", () => {
    assert.strictEqual(new Set(rows.map(({ name }) => name)).size, rows.length)
  })

  it("have goals against their peers only", () => {
    for (const { goals = {}, name, peers } of rows) assert.includeMembers([...peers], Object.keys(goals), name)
  })

  it("have servers that are there", () => {
    for (const row of rows.filter(({ tls }) => tls !== true)) {
      for (const server of ["ours", ...row.peers] as const) {
        const [, program = ""] = commandOf(server, row, "127.0.0.1:9")
        // the command line is there when it is built, and a bare Node runs no file
        if (program === "dist/cli/main.js" || server === "node") continue
        assert.isTrue(existsSync(program), `${row.name}, ${server}: ${program}`)
      }
    }
  })

  it("say with what they are compared where that is our own server", () => {
    const titles = rows.filter(({ few }) => few !== undefined).map((row) => peerTitle(row, "few"))
    const over1 = "ours, over 1"
    assert.deepStrictEqual(titles, [over1, over1, over1, "ours, beside 2,000", "ours, not compressed"])
  })
})

describe("the README's table", () => {
  const [one, other] = rows as readonly [Row, Row, ...ReadonlyArray<Row>]
  const result = (row: Row) => ({ row: { ...row, peers: ["ws"] as const }, runs, failure: undefined })
  const titles = (block: string) =>
    block
      .split("\n")
      .filter((line) => line.startsWith("| ") && line.includes("2026"))
      .map((line) => `${line.split(" | ")[0]} ${line.split(" | ").at(-1)}`)

  it("keeps the rows that were not measured, in the order of the rows, and says of each when and how it was", () => {
    const first = merge("", [result(other)], "2026-01-01, 7 × 2 s", "a machine")
    const second = merge(first, [result(one)], "2026-01-02, 3 × 1 s", "a machine")
    assert.deepStrictEqual(titles(second), [
      `| ${one.title} 2026-01-02, 3 × 1 s |`,
      `| ${other.title} 2026-01-01, 7 × 2 s |`
    ])
    const third = merge(second, [result(other)], "2026-01-03, 9 × 2 s", "a machine")
    assert.deepStrictEqual(titles(third), [
      `| ${one.title} 2026-01-02, 3 × 1 s |`,
      `| ${other.title} 2026-01-03, 9 × 2 s |`
    ])
    assert.include(third, "a machine; 1 of 2 goals met.")
  })

  it("keeps nothing of another machine, nor of rows that are no more", () => {
    const first = merge("", [result(one), result({ ...other, title: "gone" })], "2026-01-01, 7 × 2 s", "a machine")
    assert.deepStrictEqual(titles(merge(first, [], "", "a machine")), [`| ${one.title} 2026-01-01, 7 × 2 s |`])
    assert.deepStrictEqual(titles(merge(first, [], "", "another")), [])
  })
})
