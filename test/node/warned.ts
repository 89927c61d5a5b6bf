/** What Node warns of meanwhile, such as of a time that is too long for a timer. */
import * as Effect from "effect/Effect"

export const warned = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => {
      const names: Array<string> = []
      const note = (warning: Error) => void names.push(warning.name)
      process.on("warning", note)
      return { names, note }
    }),
    ({ note }) => Effect.sync(() => void process.off("warning", note))
  ),
  // a warning comes a turn behind its reason
  ({ names }) => Effect.as(Effect.sleep(1), names)
)
