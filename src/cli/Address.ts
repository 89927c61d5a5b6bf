/**
 * Addresses as the command line takes them: `[host:]port`, `unix:PATH` or `fd:N` to listen on, `host:port` or `unix:PATH` to connect
 * to. `unix:@NAME` is a name in Linux' abstract namespace, and `fd:N` a socket that listens already.
 */
import * as Effect from "effect/Effect"
import * as Data from "effect/Data"
import { lookup } from "node:dns/promises"
import * as Target from "../proxy/Target.ts"

/** What the user typed cannot be done. The message is one line: what was expected, what came. */
export class UsageError extends Data.TaggedError("UsageError")<{ readonly message: string }> {}

export type Listen =
  | { readonly host: string; readonly port: number }
  | { readonly unix: { readonly path: string } }
  | { readonly descriptor: number }

const listen = /^(?:(?:\[([0-9A-Fa-f:.]+(?:%[\w.-]+)?)\]|([^:/\s[\]]+)):)?(\d{1,5})$/

/** The addresses of a name, IPv6 before IPv4. A name that is not known is told by who listens. */
const ipv6First = (host: string): Effect.Effect<string> =>
  Effect.catch(
    Effect.tryPromise(() => lookup(host, { order: "ipv6first" })),
    () => Effect.succeed({ address: host })
  ).pipe(Effect.map(({ address }) => address))

/** With `preferIpv6`, a name is listened on by its IPv6 address, and a port alone on `::1`. */
export const parseListen = (text: string, preferIpv6 = false): Effect.Effect<Listen, UsageError> => {
  if (text.startsWith("unix:")) {
    return Effect.fromResult(Target.parseAny(text)).pipe(
      Effect.mapError((message) => new UsageError({ message: `cannot listen there: ${message}` })),
      // what begins so is no other kind of target
      Effect.map((target) => ({ unix: target as Target.UnixTarget }))
    )
  }
  const descriptor = /^fd:(\d{1,4})$/.exec(text)?.[1]
  if (descriptor !== undefined) return Effect.succeed({ descriptor: Number(descriptor) })
  const match = listen.exec(text)
  const port = Number(match?.[3])
  if (match === null || port > 65535) {
    const message = `cannot listen on ${JSON.stringify(text)}: expected [host:]port with a port from 0 to 65535, such as 8080, 0.0.0.0:8080 or [::1]:8080, unix:PATH or fd:N`
    return Effect.fail(new UsageError({ message }))
  }
  const host = match[1] ?? match[2] ?? (preferIpv6 ? "::1" : "127.0.0.1")
  return preferIpv6 ? Effect.map(ipv6First(host), (host) => ({ host, port })) : Effect.succeed({ host, port })
}

export const parseTarget = (text: string): Effect.Effect<Target.AnyTarget, UsageError> =>
  Effect.fromResult(Target.parseAny(text)).pipe(
    Effect.mapError((message) => new UsageError({ message: `cannot use the target: ${message}` }))
  )

/** The default of LISTEN. */
export const defaultListen = "127.0.0.1:8080"
