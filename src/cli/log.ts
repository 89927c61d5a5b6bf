/**
 * What is logged, and where: `--log-file` is a file that gets it as well. Each write opens it anew, so that it can be rotated at
 * any time.
 */
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Logger from "effect/Logger"
import * as LogLevel from "effect/LogLevel"
import * as Option from "effect/Option"
import * as References from "effect/References"
import { appendFileSync, closeSync } from "node:fs"
import { codeOf } from "../node/internal/codeOf.ts"
import type { OpenRequest } from "../server/OpenRequest.ts"
import { WebSocketServer } from "../server/WebSocketServer.ts"
import type { UsageError } from "./Address.ts"
import { openToAppend, optional, usage } from "./typed.ts"

/** The flags of a command that logs. */
export const server = {
  logFile: optional("log-file", "FILE", "Append what is logged to this file, too")
}

/** What was typed for them. */
export interface LogFlags {
  readonly logFile: Option.Option<string>
}

const append = (path: string, lines: string): Effect.Effect<void, UsageError> =>
  Effect.try({
    try: () => {
      const file = openToAppend(path)
      try {
        appendFileSync(file, lines)
      } finally {
        closeSync(file)
      }
    },
    catch: (cause) => usage(`--log-file expects a file that can be written; ${path}: ${codeOf(cause)}`)
  })

/** Lines go to the file together, this often. To write at once and wait bounds what is held. */
const window = "200 millis"

/** The log file beside what is there already, if it was asked for. */
export const layer = ({ logFile }: LogFlags): Layer.Layer<never, UsageError> =>
  Option.match(logFile, {
    onNone: () => Layer.empty,
    onSome: (path) => {
      let isTold = false
      // a full disk is no reason to end, nor to say so with each line
      const lost = ({ message }: UsageError) =>
        Effect.sync(() => {
          if (!isTold) process.stderr.write(`effect-websocket: ${message}\n`)
          isTold = true
        })
      const logger = Logger.batched(Logger.formatSimple, {
        window,
        flush: (lines) => Effect.catch(append(path, `${lines.join("\n")}\n`), lost)
      })
      return Layer.unwrap(Effect.as(append(path, ""), Logger.layer([logger], { mergeWithExisting: true })))
    }
  })

/** The path of a request without its query, where secrets are. */
const pathOf = (open: OpenRequest): string => open.request.target.split("?", 1)[0]!

/** A server that tells each request and its end, where somebody listens to that (`--log-level debug`). */
export const layerConnections: Layer.Layer<WebSocketServer, never, WebSocketServer> = Layer.effect(WebSocketServer)(
  Effect.gen(function* () {
    const server = yield* WebSocketServer
    if (LogLevel.isGreaterThan(yield* References.MinimumLogLevel, "Debug")) return server
    return {
      ...server,
      runRequests: (handler) =>
        server.runRequests((open) => {
          const client = `${open.remoteAddress ?? "a unix socket"} for ${pathOf(open)}`
          return Effect.logDebug(`Request of ${client}`).pipe(
            Effect.andThen(Effect.timed(Effect.exit(handler(open)))),
            Effect.flatMap(([duration, exit]) =>
              Effect.andThen(Effect.logDebug(`Request of ${client} ended after ${Duration.format(duration)}`), exit)
            )
          )
        })
    }
  })
)
