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
import { append } from "./internal/appending.ts"
import { codeOf } from "./internal/codeOf.ts"

/**
 * Where the log is written.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The path. The file is readable and writable by its user alone, and opened for each write, so that it can be rotated at any
   * time.
   */
  readonly file: string
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

/** Lines go to the file together, this often, */
const gathered = 200
/** and at once when so many wait. */
const maxWaiting = 1000

const encode = Schema.encodeSync(FromJson)

/**
 * Entries are written after at most 200 ms, and the last ones when the scope ends. While the file cannot be written, entries are
 * lost, and the log says when that begins and how many there were when it is over.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* ({
  file
}: Options): Effect.fn.Return<AccessLog["Service"], AccessLogError, Scope.Scope> {
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  yield* Effect.try({
    try: () => append(file, ""),
    catch: (cause) => new AccessLogError({ file, code: codeOf(cause) })
  })
  let lines: Array<string> = []
  let lost = 0
  let timer: NodeJS.Timeout | undefined = undefined

  const flush = (): void => {
    clearTimeout(timer)
    timer = undefined
    if (lines.length === 0) return
    const written = lines
    lines = []
    try {
      append(file, written.join(""))
    } catch (cause) {
      if (lost === 0) runFork(Effect.logError(new AccessLogError({ file, code: codeOf(cause) }).message))
      lost += written.length
      return
    }
    if (lost > 0) runFork(Effect.logWarning(`The access log ${file} is written again; ${lost} entries are lost`))
    lost = 0
  }

  yield* Effect.addFinalizer(() => Effect.sync(flush))
  return {
    write: (entry) =>
      Effect.sync(() => {
        lines.push(`${encode(entry)}\n`)
        if (lines.length >= maxWaiting) flush()
        else timer ??= setTimeout(flush, gathered)
      })
  }
})

/**
 * {@link make} as a layer, which a server finds by itself.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<AccessLog, AccessLogError> =>
  Layer.effect(AccessLog)(make(options))
