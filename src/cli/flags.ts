/**
 * The flags that commands share, and what they mean to the server.
 */
import * as Argument from "effect/cli/Argument"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as NodeWebSocketServer from "../node/NodeWebSocketServer.ts"
import * as Origin from "../protocol/Origin.ts"
import type { Listen, UsageError } from "./Address.ts"
import { given, optional, repeated, usage } from "./typed.ts"

/** A count or a duration that limits something. */
const limits = {
  maxConnections: ["max-connections", "N", "The most connections at a time (10000)"],
  maxConnectionsPerAddress: ["max-connections-per-address", "N", "The same from one address (no limit)"],
  handshakeTimeout: ["handshake-timeout", "DURATION", "How long a request's head may take (10 seconds)"],
  pingInterval: ["ping-interval", "DURATION", "Ping a client after this much silence (30 seconds)"],
  pongTimeout: ["pong-timeout", "DURATION", "Give up a client still silent after a ping (20 seconds)"],
  idleTimeout: ["idle-timeout", "DURATION", "Close a connection without data for this long (infinity)"],
  maxLifetime: ["max-lifetime", "DURATION", "Close a connection of this age (infinity)"],
  closeTimeout: ["close-timeout", "DURATION", "How long each step of closing may take (10 seconds)"],
  drainTimeout: ["drain-timeout", "DURATION", "How long connections may go on after SIGTERM (0)"]
} as const

export type Limit = keyof typeof limits

/** The flag of a limit, with a description of its own for a command to whom it means something else. */
export const limitFlag = (limit: Limit, own?: string) => {
  const [name, metavar, description] = limits[limit]
  return optional(name, metavar, own ?? description)
}

/** What may be done at once. */
const instant: ReadonlySet<Limit> = new Set(["closeTimeout", "drainTimeout"])

/** The flags of every command that listens. */
export const server = {
  origin: repeated(
    "origin",
    "ORIGIN",
    "Pages that may connect, such as https://app.example; repeat it for more, or any for all"
  ),
  preferIpv6: given("prefer-ipv6", "Listen on the IPv6 address of LISTEN's name, and on ::1 where it has none"),
  unixListenMode: optional("unix-listen-mode", "MODE", "Who may connect where LISTEN is unix:PATH, in octal (0600)"),
  http2: given("http2", "Speak HTTP/2 as well, on which WebSockets share a connection"),
  maxConnections: limitFlag("maxConnections"),
  maxConnectionsPerAddress: limitFlag("maxConnectionsPerAddress"),
  maxHandshakeRate: optional(
    "max-handshake-rate",
    "RATE",
    "The most handshakes from one address: 5 or 5/s, 20/m, 100/h (no limit)"
  ),
  handshakeTimeout: limitFlag("handshakeTimeout"),
  pingInterval: limitFlag("pingInterval"),
  pongTimeout: limitFlag("pongTimeout"),
  idleTimeout: limitFlag("idleTimeout"),
  maxLifetime: limitFlag("maxLifetime"),
  closeTimeout: limitFlag("closeTimeout"),
  drainTimeout: limitFlag("drainTimeout")
}

/** What was typed for the flags of `server`. */
export type ServerFlags = { readonly [K in Limit]: Option.Option<string> } & {
  readonly origin: ReadonlyArray<string>
  readonly unixListenMode: Option.Option<string>
  readonly http2: boolean
  readonly maxHandshakeRate: Option.Option<string>
}

/** One or more addresses; which of them is which depends on how many there are. */
export const addresses = (name: string, description: string, most: number, least: number) =>
  Argument.String(name).pipe(Argument.withDescription(description), Argument.between(least, most))

/** `30`, `30s` and `30 seconds` are the same. */
export const parseDuration = (flag: string, text: string): Effect.Effect<Duration.Duration, UsageError> => {
  const match = /^(\d+(?:\.\d+)?)\s*(ms|s|m|h)?$/.exec(text)
  const unit = { ms: "millis", s: "seconds", m: "minutes", h: "hours" } as const
  const input =
    match === null
      ? text.replace(/^infinity$/i, "Infinity")
      : `${Number(match[1])} ${unit[(match[2] ?? "s") as keyof typeof unit]}`
  return Option.match(Duration.fromInput(input as Duration.Input), {
    onNone: () =>
      Effect.fail(usage(`--${flag} expects a duration, such as 30s or infinity; got ${JSON.stringify(text)}`)),
    onSome: (duration) =>
      Duration.toMillis(duration) >= 0
        ? Effect.succeed(duration)
        : Effect.fail(usage(`--${flag} expects a duration that is not negative; got ${JSON.stringify(text)}`))
  })
}

/** One that has to pass before something is given up or closed: without any, it would be so at once. */
export const parseTime = (flag: string, text: string): Effect.Effect<Duration.Duration, UsageError> =>
  Effect.filterOrFail(
    parseDuration(flag, text),
    (duration) => Duration.toMillis(duration) > 0,
    () => usage(`--${flag} expects more than no time, and infinity for no limit; got ${JSON.stringify(text)}`)
  )

/** What a DURATION is, for the help of a command that has some. */
export const durations = "A DURATION is in seconds, or has its unit: 500ms, 30s, 5m, 1h or infinity."

const parseCount = (flag: string, text: string): Effect.Effect<number, UsageError> =>
  /^[1-9]\d{0,8}$/.test(text)
    ? Effect.succeed(Number(text))
    : Effect.fail(usage(`--${flag} expects a number from 1 on; got ${JSON.stringify(text)}`))

/** What was typed for some of the limits. */
export const parseLimits = Effect.fnUntraced(function* <L extends Limit>(
  flags: { readonly [K in L]: Option.Option<string> },
  names: ReadonlyArray<L>
): Effect.fn.Return<Pick<NodeWebSocketServer.Options, L>, UsageError> {
  const given: { [K in Limit]?: Duration.Duration | number } = {}
  for (const limit of names) {
    const text = flags[limit]
    if (Option.isNone(text)) continue
    const [flag, metavar] = limits[limit]
    const parse = metavar === "N" ? parseCount : instant.has(limit) ? parseDuration : parseTime
    given[limit] = yield* parse(flag, text.value)
  }
  // each limit was parsed by its own kind just above
  return given as Pick<NodeWebSocketServer.Options, L>
})

/** The mode of a unix socket, where there is one. */
export const withMode = (
  listen: Listen,
  mode: Option.Option<string>
): Effect.Effect<Listen | { readonly unix: { readonly path: string; readonly mode: number } }, UsageError> => {
  if (Option.isNone(mode)) return Effect.succeed(listen)
  const wrong = (message: string) => Effect.fail(usage(`--unix-listen-mode ${message}`))
  if (!/^0?[0-7]{3}$/.test(mode.value)) {
    return wrong(`expects a mode in octal, such as 0660; got ${JSON.stringify(mode.value)}`)
  }
  return "unix" in listen
    ? Effect.succeed({ unix: { ...listen.unix, mode: Number.parseInt(mode.value, 8) } })
    : wrong("is for unix sockets, and needs unix:PATH to listen on")
}

const perSecond = { s: 1, m: 60, h: 3600 } as const

/** So many in a time: all at once if need be, and then as they fall due. */
const parseRate = Effect.fnUntraced(function* (flag: string, text: Option.Option<string>) {
  if (Option.isNone(text)) return {}
  const match = /^([1-9]\d{0,8})(?:\/([smh]))?$/.exec(text.value)
  if (match === null) {
    const message = `--${flag} expects a rate, such as 5/s or 20/m; got ${JSON.stringify(text.value)}`
    return yield* usage(message)
  }
  const burst = Number(match[1])
  return {
    maxHandshakeRatePerAddress: burst / perSecond[(match[2] ?? "s") as keyof typeof perSecond],
    maxHandshakeBurstPerAddress: burst
  }
})

/** The server's options, given what was typed. Without `--origin` the command's own default holds. */
export const serverOptions = Effect.fnUntraced(function* (
  listen: Listen,
  flags: ServerFlags,
  defaultOrigin: "same-origin" | "any"
): Effect.fn.Return<NodeWebSocketServer.Options, UsageError> {
  // the names of an object of its own
  const given = yield* parseLimits(flags, Object.keys(limits) as Array<Limit>)
  const { origin } = flags
  const wrong = origin.find((value) => value !== "any" && !Origin.isOrigin(value))
  if (wrong !== undefined) {
    const message = `--origin expects an origin, such as https://app.example, or any; got ${JSON.stringify(wrong)}`
    return yield* usage(message)
  }
  if (origin.includes("any") && origin.some((value) => value !== "any")) {
    return yield* usage("--origin any is for all pages, which makes nothing of the others: leave it out, or them")
  }
  return {
    ...(yield* withMode(listen, flags.unixListenMode)),
    ...given,
    ...(yield* parseRate("max-handshake-rate", flags.maxHandshakeRate)),
    http2: flags.http2,
    origin: origin.length === 0 ? defaultOrigin : origin.includes("any") ? "any" : origin
  }
})
