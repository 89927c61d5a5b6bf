/**
 * The memory of the proxy at length: the same as `test/proxy/bounded.test.ts` with one frame of 4 GiB, and with receivers that
 * are slow for a minute. `npm run test:soak` runs it; SOAK_MIB and SOAK_SLOW_SECONDS make it shorter or longer.
 */
import { describe, it } from "@effect/vitest"
import * as Effect from "effect/Effect"
import * as Bounded from "../proxy/bounded.ts"
import * as CommandLine from "../proxy/commandLine.ts"

const MiB = 1024 * 1024

const mebibytes = Number(process.env.SOAK_MIB ?? 4096)
const slowSeconds = Number(process.env.SOAK_SLOW_SECONDS ?? 60)
/** How long all that is not slow by intent may take. */
const patience = 120_000 + mebibytes * 100

const show = (what: string, { growth, idle, millis, samples }: Bounded.Report) =>
  console.log(
    `${what}: ${(millis / 1000).toFixed(1)} s; ${Math.round(growth / MiB)} MiB above the ${Math.round(idle / MiB)} MiB ` +
      `of idle at most, in ${samples} samples`
  )

describe.skipIf(CommandLine.noMemory !== undefined)(
  `bounded memory at length${CommandLine.noMemory === undefined ? "" : ` (skipped: ${CommandLine.noMemory})`}`,
  () => {
    it.live.each(["up", "down"] as const)(
      `${mebibytes} MiB %s`,
      (direction) =>
        Effect.map(
          Bounded.transfer({
            direction,
            bytes: mebibytes * MiB,
            slowMillis: 0,
            allowance: 64 * MiB,
            bound: patience
          }),
          (report) => show(direction, report)
        ),
      patience
    )

    it.live.each(["up", "down"] as const)(
      `1024 MiB %s, the receiver slow for ${slowSeconds} seconds`,
      (direction) =>
        Effect.map(
          Bounded.transfer({
            direction,
            bytes: Math.min(1024, mebibytes) * MiB,
            slowMillis: slowSeconds * 1000,
            allowance: 64 * MiB,
            bound: slowSeconds * 1000 + patience
          }),
          (report) => show(`${direction}, slowly`, report)
        ),
      slowSeconds * 1000 + patience
    )
  }
)
