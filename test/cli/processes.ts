/** Processes as the system has them (Linux): who was started by whom, and who is there. */
import { Effect } from "effect"
import { readdirSync, readFileSync } from "node:fs"

/** Whether the system tells it as Linux does. */
export const canLook = process.platform === "linux"

const read = (path: string): string => {
  try {
    return readFileSync(path, "latin1")
  } catch {
    return ""
  }
}

/** The living children of a process, in the order of their ids. */
export const childrenOf = (pid: number): ReadonlyArray<number> => {
  try {
    return readdirSync(`/proc/${pid}/task`)
      .flatMap((thread) => read(`/proc/${pid}/task/${thread}/children`).split(" "))
      .filter((child) => child.trim() !== "")
      .map(Number)
      .filter(isThere)
      .toSorted((a, b) => a - b)
  } catch {
    return []
  }
}

/** A zombie is gone, too: only its parent has not looked yet. */
export const isThere = (pid: number): boolean => /^State:\s+[^ZX]/m.test(read(`/proc/${pid}/status`))

/** Waits until something holds, for as long as a busy machine takes. */
export const until = (what: string, holds: () => boolean): Effect.Effect<void> =>
  Effect.gen(function* () {
    while (!holds()) yield* Effect.sleep("10 millis")
  }).pipe(Effect.timeoutOrElse({ duration: "30 seconds", orElse: () => Effect.die(new Error(`never: ${what}`)) }))
