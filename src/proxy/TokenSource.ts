/**
 * Targets by token: a client sends a token that it was given in its request, and a source knows the target that the token stands
 * for. The client learns nothing about targets, and a client without a token gets nowhere.
 *
 * {@link route} asks the source in the context; {@link routeOf} asks the source that it is given. Sources over files, HTTP, JWT
 * and Redis are in modules of their own; {@link fromMap} is one in memory, and one of your own is an object with `lookup`.
 *
 * Tokens are secrets. No log line has one in full, and an unknown token gets the same answer as none at all.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import { Refusal, type Request } from "../protocol/OpeningHandshake.ts"
import { number } from "../protocol/internal/option.ts"
import * as Lines from "../server/internal/lines.ts"
import { hostName } from "./internal/hostName.ts"
import { shown } from "./internal/tokens.ts"
import { type Destination, notFound, type Route } from "./Router.ts"

/**
 * The source could not say whether it knows the token. The message is a sentence for the log, without secrets.
 *
 * @category errors
 * @since 0.1.0
 */
export class TokenSourceError extends Data.TaggedError("TokenSourceError")<{
  readonly message: string
  readonly cause?: unknown
}> {}

/**
 * Knows the targets of tokens.
 *
 * @category services
 * @since 0.1.0
 */
export class TokenSource extends Context.Service<
  TokenSource,
  {
    /** The destination that the token stands for, or none if the source does not know it. */
    readonly lookup: (token: string) => Effect.Effect<Option.Option<Destination>, TokenSourceError>
  }
>()("effect-websocket/proxy/TokenSource") {}

/**
 * A source as the service.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (source: TokenSource["Service"]): Layer.Layer<TokenSource> => Layer.succeed(TokenSource)(source)

/**
 * A source in memory. It is for programs and tests: a `Map` finds a key by its hash, so how long it takes tells nothing of how
 * much of a token was right.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromMap = (destinations: ReadonlyMap<string, Destination>): TokenSource["Service"] => ({
  lookup: (token) => Effect.sync(() => Option.fromUndefinedOr(destinations.get(token)))
})

/**
 * Tokens that were looked up, by what came of it: `found`, `unknown` or `failed`.
 *
 * @category metrics
 * @since 0.1.0
 */
export const lookups = Metric.frequency("websocket_proxy_token_lookups_total", {
  description: "Tokens that were looked up, by what came of it"
})

/**
 * Where in a request the token stands; `undefined` where there is none.
 *
 * @category models
 * @since 0.1.0
 */
export type Place = (request: Request) => string | undefined

/**
 * A parameter of the query: `?token=…`. A request that says it twice has none.
 *
 * @category places
 * @since 0.1.0
 */
export const inQuery =
  (name: string = "token"): Place =>
  (request) => {
    const [value, ...others] = request.query.getAll(name)
    return others.length === 0 ? value : undefined
  }

/**
 * The segment of the path behind a prefix: `inPath("/desk")` finds it in `/desk/TOKEN`.
 *
 * @category places
 * @since 0.1.0
 */
export const inPath =
  (prefix: string = ""): Place =>
  ({ path }) => {
    if (!path.startsWith(`${prefix}/`)) return undefined
    const segment = path.slice(prefix.length + 1)
    try {
      return segment.includes("/") ? undefined : decodeURIComponent(segment)
    } catch {
      return undefined
    }
  }

/**
 * The first label of the name in the Host header, in lower case: `TOKEN.desk.example`. An IP address has none.
 *
 * @category places
 * @since 0.1.0
 */
export const inHostLabel: Place = (request) => {
  const name = hostName(request)
  return name === undefined || /^[\d.]+$|:/.test(name) ? undefined : name.split(".")[0]
}

/**
 * The whole name in the Host header, in lower case and without its port.
 *
 * @category places
 * @since 0.1.0
 */
export const inHostName: Place = hostName

/**
 * Where a request has its token. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** With several places, the first one with a known token counts. Default: {@link inQuery}, which is `?token=…`. */
  readonly place?: Place | NonEmptyReadonlyArray<Place> | undefined
  /** The most characters that a token may have; no source is asked for a longer one. Default: 4096. */
  readonly maxLength?: number | undefined
}

const unavailable = new Refusal({ status: 503, reason: "The service cannot be looked up now." })
const missing = Effect.fail(notFound)

/**
 * A route by the tokens that this source knows: 404 without a token, or with one that is not known, and 503 where the source
 * fails. Either is logged, up to 20 lines a second, but for the request without any.
 *
 * @category constructors
 * @since 0.1.0
 */
export const routeOf = (source: TokenSource["Service"], options: Options = {}): Route =>
  routeWith(source.lookup, options)

type Lookup<R> = (token: string) => Effect.Effect<Option.Option<Destination>, TokenSourceError, R>

/** The first of the tokens that is known. */
const firstKnown = <R>(lookup: Lookup<R>, [token, ...others]: ReadonlyArray<string>): ReturnType<Lookup<R>> =>
  token === undefined
    ? Effect.succeedNone
    : Effect.flatMap(lookup(token), (found) =>
        Option.isSome(found) ? Effect.succeed(found) : firstKnown(lookup, others)
      )

const routeWith = <R>(lookup: Lookup<R>, options: Options): Route<never, R> => {
  const { place = inQuery() } = options
  const maxLength = number("maxLength", options.maxLength, 4096)
  const places = typeof place === "function" ? [place] : place
  const tell = Lines.make()
  return ({ remoteAddress, request }) => {
    const [token, ...others] = new Set(places.map((place) => place(request) ?? "").filter((token) => token !== ""))
    if (token === undefined) return missing
    const unknown = Effect.andThen(
      tell((untold) =>
        Effect.logInfo(`No target for the token ${shown(token)} of ${remoteAddress ?? "a client"}${untold}`)
      ),
      missing
    )
    const known = firstKnown(
      lookup,
      [token, ...others].filter((token) => token.length <= maxLength)
    )
    return Effect.matchEffect(known, {
      onFailure: ({ message }) =>
        Metric.update(lookups, "failed").pipe(
          Effect.andThen(tell((untold) => Effect.logWarning(`${message}${untold}`))),
          Effect.andThen(Effect.fail(unavailable))
        ),
      onSuccess: Option.match({
        onNone: () => Effect.andThen(Metric.update(lookups, "unknown"), unknown),
        onSome: (destination) => Effect.as(Metric.update(lookups, "found"), destination)
      })
    })
  }
}

/**
 * The same with the {@link TokenSource} of the program.
 *
 * @category constructors
 * @since 0.1.0
 */
export const route = (options: Options = {}): Route<never, TokenSource> => {
  // its lines of the log are bounded together
  const lookup = (token: string) => TokenSource.use((source) => source.lookup(token))
  return routeWith(lookup, options)
}
