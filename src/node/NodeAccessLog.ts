/**
 * The `AccessLog` in a file: a line of JSON for each entry (`AccessLogEntry.FromJson`), which any number of processes may share.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Schema from "effect/Schema"
import type * as Scope from "effect/Scope"
import { AccessLog } from "../server/AccessLog.ts"
import { FromJson } from "../server/AccessLogEntry.ts"
import * as Lines from "./internal/lines.ts"

/**
 * Where the log is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The path. The file is readable and writable by its user alone, and opened for each write, so that it can be rotated at any
   * time. `1` is the standard output, for a container or a service of systemd.
   */
  readonly file: string | 1
}

/**
 * The file cannot be written.
 *
 * @category errors
 * @since 0.1.0
 */
export class AccessLogError extends Data.TaggedError("AccessLogError")<{
  readonly file: string
  /** Why, such as `ENOENT`. */
  readonly code: string
}> {
  override get message(): string {
    return `cannot write the access log ${this.file}: ${this.code}`
  }
}

const encode = Schema.encodeSync(FromJson)

/**
 * Entries are written after at most 200 ms, and the last ones when the scope ends. While the file cannot be written, entries are
 * lost, and the log says when that begins and how many there were when it is over, or when the scope ends.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* ({
  file
}: Options): Effect.fn.Return<AccessLog["Service"], AccessLogError, Scope.Scope> {
  const add = yield* Effect.mapError(
    Lines.make("access log", file),
    ({ code }) => new AccessLogError({ file: String(file), code })
  )
  return { write: (entry) => Effect.sync(() => add(encode(entry))) }
})

/**
 * {@link make} as a layer, which a server finds by itself.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<AccessLog, AccessLogError> =>
  Layer.effect(AccessLog)(make(options))
