/** A folder of the test's own, gone with its scope. */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { mkdtempSync, realpathSync, rmSync } from "node:fs"
import { tmpdir } from "node:os"
import { join } from "node:path"

/** Gives a function from names in it to paths. */
export const folder: Effect.Effect<(...names: ReadonlyArray<string>) => string, never, Scope.Scope> = Effect.map(
  Effect.acquireRelease(
    Effect.sync(() => realpathSync(mkdtempSync(join(tmpdir(), "tokens-")))),
    (path) => Effect.sync(() => rmSync(path, { recursive: true, force: true }))
  ),
  (path) =>
    (...names) =>
      join(path, ...names)
)
