/**
 * Addresses as the command line takes them: `[host:]port` to listen on, `host:port` to connect to.
 */
import * as Effect from "effect/Effect"
import * as Data from "effect/Data"
import * as Target from "../proxy/Target.ts"

/** What the user typed cannot be done. The message is one line: what was expected, what came. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export interface Listen {
  readonly host: string
  readonly port: number
}

const listen = /^(?:(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:/\s[\]]+)):)?(\d{1,5})$/

export const parseListen = (text: string): Effect.Effect<Listen, UsageError> => {
  const match = listen.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535) {
    const message = `cannot listen on ${JSON.stringify(text)}: expected [host:]port with a port from 0 to 65535, such as 8080, 0.0.0.0:8080 or [::1]:8080`
    return Effect.fail(new UsageError({ message }))
  }
  return Effect.succeed({ host: match[1] ?? match[2] ?? "127.0.0.1", port })
}

export const parseTarget = (text: string): Effect.Effect<Target.Target, UsageError> =>
  Effect.fromResult(Target.parse(text)).pipe(
    Effect.mapError((message) => new UsageError({ message: `cannot use the target: ${message}` }))
  )

/** The default of LISTEN. */
export const defaultListen = "127.0.0.1:8080"
