/**
 * Whether files have changed since they were looked at: their state as one text, to be compared.
 */
import * as Effect from "effect/Effect"
import type { BigIntStats } from "node:fs"
import { stat } from "node:fs/promises"

/** What `stat` says of a state of a file. */
export const stampOf = ({ ctimeNs, dev, ino, mtimeNs, size }: BigIntStats): string =>
  [dev, ino, size, mtimeNs, ctimeNs].join()

/** What tells one content of a file from the next: also a rename in its place, or of a link on the way. */
export const look = (paths: ReadonlyArray<string>): Effect.Effect<string> =>
  Effect.promise(async () => {
    const seen = await Promise.all(
      paths.map((path) => stat(path, { bigint: true }).then(stampOf, (cause: unknown) => String(cause)))
    )
    return seen.join("\n")
  })
