/** What a mistake at the command line comes to: one line on stderr, and a failure. */
import { Effect } from "effect"
import { run } from "./command.ts"

/** What the user typed, and what the one line that tells the mistake must mention. */
export type Mistake = readonly [args: ReadonlyArray<string>, words: ReadonlyArray<string>]

/** Runs them all, and gives what was not told as it should be: nothing, if all is well. */
export const untold = (mistakes: ReadonlyArray<Mistake>): Effect.Effect<string> =>
  Effect.gen(function* () {
    const wrong: Array<string> = []
    yield* Effect.forEach(
      mistakes,
      ([args, words]) =>
        Effect.map(run(...args), ({ code, stderr, stdout }) => {
          const lines = stderr.split("\n")
          const fine =
            code === 1 &&
            stdout === "" &&
            lines.length === 2 &&
            lines[1] === "" &&
            lines[0]!.startsWith("effect-websocket: ") &&
            lines[0]!.length < 300 &&
            words.every((word) => stderr.includes(word))
          if (!fine) wrong.push(`${args.join(" ")}\n  -> ${code}, stdout ${JSON.stringify(stdout)}\n${stderr}`)
        }),
      { concurrency: 4, discard: true }
    )
    return wrong.join("\n")
  })
