/**
 * Whether files have changed since they were looked at: their state as one text, to be compared.
 */
import * as Effect from "effect/Effect"
import { stat } from "node:fs/promises"

/** What tells one content of a file from the next: also a rename in its place, or of a link on the way. */
export const look = (paths: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const seen = await Promise.all(
      paths.map((path) =>
        stat(path, { bigint: true }).then(
          ({ ctimeNs, dev, ino, mtimeNs, size }) => [dev, ino, size, mtimeNs, ctimeNs].join(),
          (cause: unknown) => String(cause)
        )
      )
    )
    return seen.join("\n")
  })
