/**
 * What is logged, and where: `--log-file` is a file that gets it as well. Each write opens it anew, so that it can be rotated at
 * any time.
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import * as Lines from "../node/internal/lines.ts"
import * as AccessLog from "../server/AccessLog.ts"
import type { UsageError } from "./Address.ts"
import { optional, usage } from "./typed.ts"

/** The flags of a command that logs. */
export const server = {
  logFile: optional("log-file", "FILE", "Append what is logged to this file, too"),
  accessLog: optional(
    "access-log",
    "FILE",
    "Append a line of JSON for each request, and for each end of a connection; - is stdout"
  )
}

/** What was typed for them. */
export interface LogFlags {
  readonly logFile: Option.Option<string>
  readonly accessLog: Option.Option<string>
}

/** The log file beside what is there already, if it was asked for. */
export const layer = ({ logFile }: LogFlags): Layer.Layer<never, UsageError> =>
  Option.match(logFile, {
    onNone: () => Layer.empty,
    onSome: (path) => {
      const logger = Effect.gen(function* () {
        const add = yield* Effect.mapError(Lines.make("log file", path), ({ code }) =>
          usage(`--log-file expects a file that can be written; ${path}: ${code}`)
        )
        return Logger.map(Logger.formatSimple, add)
      })
      return Logger.layer([logger], { mergeWithExisting: true })
    }
  })

/** What happens to requests and connections: to the file of `--access-log`, and to who listens to `--log-level debug`. */
export const layerAccess = ({ accessLog }: LogFlags): Layer.Layer<never, UsageError> =>
  Layer.unwrap(
    Effect.gen(function* () {
      const logs: Array<AccessLog.AccessLog["Service"]> = []
      if (!LogLevel.isGreaterThan(yield* References.MinimumLogLevel, "Debug"))
        logs.push({ write: (entry) => Effect.logDebug(AccessLog.format(entry)) })

      if (Option.isSome(accessLog)) {
        const NodeAccessLog = yield* Effect.promise(() => import("../node/NodeAccessLog.ts"))
        logs.push(
          yield* Effect.mapError(
            NodeAccessLog.make({ file: accessLog.value === "-" ? 1 : accessLog.value }),
            ({ code, file }) => usage(`--access-log expects a file that can be written; ${file}: ${code}`)
          )
        )
      }
      if (logs.length === 0) return Layer.empty
      return Layer.succeed(AccessLog.AccessLog)({
        write: (entry) => Effect.forEach(logs, (log) => log.write(entry), { discard: true })
      })
    })
  )
