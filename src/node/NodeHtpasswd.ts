/**
 * Users and passwords from a file of `htpasswd -B`, read again when it changes, and checked in a thread of their own.
 *
 * @since 0.1.0
 */
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Htpasswd from "../server/Htpasswd.ts"
import * as Bcrypt from "./internal/bcrypt.ts"
import type { FileError } from "./NodeFileError.ts"
import { watchedFile } from "./internal/watchedFile.ts"

/**
 * Which file has the users, and how many checks there may be. Only `file` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options extends Omit<Htpasswd.Options, "compare" | "concurrency"> {
  readonly file: string
  /** How often the file is looked at, above 0; `Duration.infinity` leaves it to `reload`. Default: 5 seconds. */
  readonly interval?: Duration.Input | undefined
}

/**
 * The users of a file, as they are now.
 *
 * @category models
 * @since 0.1.0
 */
export interface NodeHtpasswd extends Htpasswd.Htpasswd {
  /** Reads the file now; one that cannot be used changes nothing. */
  readonly reload: Effect.Effect<void, FileError>
}

/**
 * At first the whole file has to be good. A later version that is not is logged, and the previous users stay. A change does not
 * affect open connections.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<NodeHtpasswd, FileError, Scope.Scope> {
  const { current, reload } = yield* watchedFile({
    file: options.file,
    interval: options.interval,
    what: "The users",
    load: (text) =>
      Effect.tap(Effect.fromResult(Htpasswd.parse(text, options)), ({ size }) =>
        size === 0 ? Effect.logWarning(`There is no user in ${options.file}: no password lets in anybody`) : Effect.void
      )
  })
  const { verify } = yield* Htpasswd.make(current, { ...options, compare: yield* Bcrypt.make })
  return { verify, reload }
})
