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
  { concurrent: true },
  () => {
    const size = { bytes: 256 * MiB, allowance: 64 * MiB, bound: 30_000 }

    it.live.each([
      ["up", "as fast as it goes", 0],
      ["down", "as fast as it goes", 0],
      ["up", "the target slow for 5 seconds", 5000],
      ["down", "the client slow for 5 seconds", 5000]
    ] as const)(
      "256 MiB %s, %s",
      ([direction, , slowMillis]) =>
        Effect.map(Bounded.transfer({ ...size, direction, slowMillis }), (report) =>
          assert.isAbove(report.samples, slowMillis === 0 ? 5 : 100)
        ),
      40_000
    )
  }
)
