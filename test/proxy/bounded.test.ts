/**
 * The memory of the proxy does not depend on the length of a frame, nor on how slowly anybody reads.
 */
import { assert, describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Bounded from "./bounded.ts"
import * as CommandLine from "./commandLine.ts"

const MiB = 1024 * 1024

describe.skipIf(CommandLine.noMemory !== undefined)(
  `bounded memory${CommandLine.noMemory === undefined ? "" : ` (skipped: ${CommandLine.noMemory})`}`,
  () => {
    const size = { bytes: 256 * MiB, allowance: 64 * MiB, bound: 30_000 }

    it.live.each(["up", "down"] as const)(
      "256 MiB %s, as fast as it goes",
      (direction) =>
        Effect.map(Bounded.transfer({ ...size, direction, slowMillis: 0 }), (report) =>
          assert.isAbove(report.samples, 5)
        ),
      40_000
    )

    it.live(
      "256 MiB each way, the receiver slow for 5 seconds",
      () =>
        Effect.map(
          Effect.forEach(
            ["up", "down"] as const,
            (direction) => Bounded.transfer({ ...size, direction, slowMillis: 5000 }),
            { concurrency: "unbounded" }
          ),
          (reports) => {
            for (const report of reports) assert.isAbove(report.samples, 100)
          }
        ),
      40_000
    )
  }
)
