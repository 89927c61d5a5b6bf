/** Lines of the log about clients, at most so many a second, so that no client can flood the log. */
import * as Clock from "effect/Clock"
import * as Effect from "effect/Effect"

/** The most lines a second. */
export const maxLines = 20

/** Tells a line, with how many were left out since the last one, or leaves it out. */
export type Tell = (line: (untold: string) => Effect.Effect<void>) => Effect.Effect<void>

export const make = (): Tell => {
  let second = -1
  let lines = 0
  let silent = 0
  return (line) =>
    Effect.flatMap(Clock.currentTimeMillis, (now) => {
      const current = Math.floor(now / 1000)
      if (current !== second) {
        second = current
        lines = 0
      }
      if (++lines > maxLines) {
        silent++
        return Effect.void
      }
      const untold = silent === 0 ? "" : ` (and ${silent} more since the last line)`
      silent = 0
      return line(untold)
    })
}
