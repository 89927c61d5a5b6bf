/**
 * Preloaded into a server under `profile.ts` (`node --import`): the first SIGUSR2 starts the CPU profiler, the second
 * stops it and writes the `.cpuprofile` to the path in `BENCH_PROFILE`, so that start and warm-up are not in it.
 */
import { renameSync, writeFileSync } from "node:fs"
import { Session } from "node:inspector/promises"

const path = process.env["BENCH_PROFILE"]
const sampleMicroseconds = 200
const session = new Session()
let started = false

const toggle = async (): Promise<void> => {
  if (path === undefined) return
  if (!started) {
    started = true
    session.connect()
    await session.post("Profiler.enable")
    await session.post("Profiler.setSamplingInterval", { interval: sampleMicroseconds })
    await session.post("Profiler.start")
    return writeFileSync(`${path}.started`, "")
  }
  const { profile } = await session.post("Profiler.stop")
  writeFileSync(`${path}.part`, JSON.stringify(profile))
  renameSync(`${path}.part`, path)
}

process.on("SIGUSR2", () => {
  toggle().catch((error: unknown) => console.error("the profiler failed:", error))
})
