/**
 * Opaque bearer tokens from a file, read again when it changes: see `BearerTokens` for its lines.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as BearerTokens from "../server/BearerTokens.ts"
import type { FileError } from "./NodeFileError.ts"
import { watchedFile } from "./internal/watchedFile.ts"

/**
 * Which file has the tokens. Only `file` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly file: string
  /** How often the file is looked at, above 0; `Duration.infinity` leaves it to `reload`. Default: 5 seconds. */
  readonly interval?: Duration.Input | undefined
}

/**
 * The tokens of a file, as they are now.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeBearerTokens extends BearerTokens.BearerTokens {
  /** Reads the file now; one that cannot be used changes nothing. */
  readonly reload: Effect.Effect<void, FileError>
}

/**
 * At first the whole file has to be good. A later version that is not is logged, and the previous tokens stay.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<NodeBearerTokens, FileError, Scope.Scope> {
  const { current, reload } = yield* watchedFile({
    file: options.file,
    interval: options.interval,
    what: "The tokens",
    load: (text) =>
      Effect.fromResult(BearerTokens.parse(text)).pipe(
        Effect.tap(({ length }) =>
          length === 0 ? Effect.logWarning(`There is no token in ${options.file}: none lets in anybody`) : Effect.void
        ),
        Effect.flatMap(BearerTokens.make)
      )
  })
  return { verify: (token) => Effect.suspend(() => current().verify(token)), reload }
})
