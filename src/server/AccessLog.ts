/**
 * The access log: an entry for each request to open a connection, when it is answered, and one for the end of each connection. A server
 * that finds an {@link AccessLog} in its context writes to it; `NodeAccessLog` keeps one in a file, {@link layerLogger} hands them to the logger.
 *
 * What the listener answers by itself is not in it: TLS handshakes that fail, heads that cannot be read, clients that its own lists and
 * limits turn away, requests with a body, and those that come while it drains (503). Nor are requests for pages.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as LogLevel from "effect/LogLevel"
import type * as AccessLogEntry from "./AccessLogEntry.ts"

/**
 * What happened to a request or to its connection: see `AccessLogEntry`.
 *
 * @category models
 * @since 0.1.0
 */
export type Entry = AccessLogEntry.Entry

/**
 * Where entries go. The answer to a request and the end of a connection wait for `write`, so it must not take long.
 *
 * @category services
 * @since 0.1.0
 */
export class AccessLog extends Context.Service<
  AccessLog,
  {
    readonly write: (entry: Entry) => Effect.Effect<void>
  }
>()("effect-websocket/server/AccessLog") {}

/** Control characters, of terminals and of C1, and what ends a line: a log that writes them as they are could be made to say anything. */
const controls = /[\p{Cc}\u2028\u2029]/gu

const shown = (text: string): string =>
  text.replace(controls, (char) => `\\u${char.charCodeAt(0).toString(16).padStart(4, "0")}`)

/**
 * A sentence for people, in one line. What the client wrote is quoted.
 *
 * @category formatting
 * @since 0.1.0
 */
export const format = (entry: Entry): string => {
  const { annotations, elapsed, path } = entry
  const client = entry.client ?? "a client without an address"
  const target = annotations["target"] === undefined ? "" : ` to ${annotations["target"]}`
  const place = shown(`${JSON.stringify(path)} for ${client}${target}`)
  switch (entry.event) {
    case "refused":
      return `Refused ${place}: ${entry.status}`
    case "gone":
      return `Not opened ${place}: the client went away`
    case "opened":
      return `Opened ${place}`
    case "closed":
      return `Closed ${place} after ${elapsed} ms: ${entry.code}, ${entry.received} bytes received, ${entry.sent} sent`
  }
}

/**
 * An access log that hands each entry to the logger, as a sentence at this level whose annotations are the entry's parts.
 *
 * @category constructors
 * @since 0.1.0
 */
export const toLogger = (level: LogLevel.Severity = "Info"): AccessLog["Service"] => {
  const log = Effect.logWithLevel(level)
  return {
    write: (entry) => {
      const { annotations, at: _, ...parts } = entry
      const known = Object.entries({ ...annotations, ...parts }).flatMap(([key, value]) =>
        value === undefined ? [] : [[key, typeof value === "string" ? shown(value) : value] as const]
      )
      return Effect.annotateLogs(log(format(entry)), Object.fromEntries(known))
    }
  }
}

/**
 * {@link toLogger} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layerLogger = (level?: LogLevel.Severity): Layer.Layer<AccessLog> =>
  Layer.succeed(AccessLog)(toLogger(level))
