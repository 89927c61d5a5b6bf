/**
 * Addresses as the command line takes them: `[host:]port` or `unix:PATH` to listen on, `host:port` or `unix:PATH` to connect to.
 * `unix:@NAME` is a name in Linux' abstract namespace.
 */
import * as Effect from "effect/Effect"
import * as Data from "effect/Data"
import * as Target from "../proxy/Target.ts"

/** What the user typed cannot be done. The message is one line: what was expected, what came. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export type Listen = { readonly host: string; readonly port: number } | { readonly unix: { readonly path: string } }

const listen = /^(?:(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:/\s[\]]+)):)?(\d{1,5})$/

const parseUnix = (text: string): Effect.Effect<string, UsageError> => {
  const path = text.slice("unix:".length)
  return path === "" || path === "@" || path.includes("\0")
    ? Effect.fail(
        new UsageError({
          message: `expected the path of a unix socket behind unix:, such as unix:/run/app.sock; got ${JSON.stringify(text)}`
        })
      )
    : Effect.succeed(path.replace(/^@/, "\0"))
}

export const parseListen = (text: string): Effect.Effect<Listen, UsageError> => {
  if (text.startsWith("unix:")) return Effect.map(parseUnix(text), (path) => ({ unix: { path } }))
  const match = listen.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535) {
    const message = `cannot listen on ${JSON.stringify(text)}: expected [host:]port with a port from 0 to 65535, such as 8080, 0.0.0.0:8080 or [::1]:8080, or unix:PATH`
    return Effect.fail(new UsageError({ message }))
  }
  return Effect.succeed({ host: match[1] ?? match[2] ?? "127.0.0.1", port })
}

export const parseTarget = (text: string): Effect.Effect<Target.AnyTarget, UsageError> =>
  text.startsWith("unix:")
    ? Effect.map(parseUnix(text), (path) => new Target.UnixTarget({ path }))
    : Effect.fromResult(Target.parse(text)).pipe(
        Effect.mapError((message) => new UsageError({ message: `cannot use the target: ${message}` }))
      )

/** The default of LISTEN. */
export const defaultListen = "127.0.0.1:8080"
