/**
 * Targets that an HTTP service knows by their tokens. It is asked with a GET, the token escaped into the address, and answers
 * 200 with `{ "host": ..., "port": ... }`, `"host:port"`, a list of those or plain `host:port`; or 404, 410 or 204 for a
 * token that it does not know. Everything else, a redirect too, is a failure of the service.
 *
 * Targets are remembered for a while, so a revoked token may work for that long; unknown tokens are asked for again each time. To
 * authenticate to the service, give the `HttpClient` credentials: see `HttpClient.mapRequest`.
 *
 * @since 0.1.0
 */
import * as Cache from "effect/Cache"
import * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as HttpClient from "effect/http/HttpClient"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Semaphore from "effect/Semaphore"
import { duration, integer, number } from "../protocol/internal/option.ts"
import * as BoundedGet from "../server/internal/boundedGet.ts"
import * as TokenTable from "./internal/tokenTable.ts"
import type { Destination } from "./Router.ts"
import * as Target from "./Target.ts"
import { TokenSource, TokenSourceError } from "./TokenSource.ts"

/**
 * Which service is asked, and how much is remembered of its answers. Only `url` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * The address of the service, `http:` or `https:`. The token takes the place of each `%s` in its path or query; without one it
   * is added to the query, as `token`.
   */
  readonly url: string
  /** How long an answer may take, and the wait before it is asked for. Default: 5 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** The most bytes of an answer. Default: 16 KiB. */
  readonly maxSize?: number | undefined
  /** How long a target is remembered. Default: 10 seconds; 0 asks each time. */
  readonly cacheFor?: Duration.Input | undefined
  /** The most targets that are remembered. Default: 1000. */
  readonly cacheCapacity?: number | undefined
  /** The most questions at a time; others wait. Default: 32. */
  readonly concurrency?: number | undefined
}

const unknown = new Set([204, 404, 410])

const expected = "expected the address of a service, such as https://api.internal/targets/%s"

/** Gives the address for a token, or says why there can be none. */
const addressing = (template: string): Result.Result<(token: string) => URL, string> => {
  const fill = (text: string) => template.replaceAll("%s", () => text)
  if (!URL.canParse(fill("a")) || !URL.canParse(fill("b"))) return Result.fail(expected)
  const [one, other] = [new URL(fill("a")), new URL(fill("b"))]
  // what `%s` stands for must not be a part of who is asked, nor of what is not sent: every token would have the same target
  if (one.origin !== other.origin || one.hash !== other.hash) return Result.fail(expected)
  const { password, protocol, username } = one
  if (protocol !== "http:" && protocol !== "https:") return Result.fail("expected an address with http: or https:")
  if (username !== "" || password !== "") return Result.fail("expected an address without user and password")
  return Result.succeed((token) => {
    const url = new URL(fill(encodeURIComponent(token)))
    if (!template.includes("%s")) url.searchParams.set("token", token)
    return url
  })
}

/** Dots alone would lead up the path, escaped or not (WHATWG URL, double-dot segments); what is not Unicode cannot be escaped. */
const canBeAsked = (token: string) => !/^\.*$/.test(token) && token.isWellFormed()

/**
 * A source that asks a service over HTTP. Fails if `url` cannot be asked. See the head of this module.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<TokenSource["Service"], TokenSourceError, HttpClient.HttpClient> {
  const cacheCapacity = integer("cacheCapacity", options.cacheCapacity, 1000)
  const concurrency = integer("concurrency", options.concurrency, 32, [1, Infinity])
  const maxSize = number("maxSize", options.maxSize, 16 * 1024)
  const timeout = duration("timeout", options.timeout, "5 seconds", "above 0")
  const cacheFor = duration("cacheFor", options.cacheFor, "10 seconds")
  const client = yield* HttpClient.HttpClient
  const address = addressing(options.url)
  if (Result.isFailure(address)) return yield* new TokenSourceError({ message: address.failure })
  const semaphore = yield* Semaphore.make(concurrency)
  const failed = (message: string) => new TokenSourceError({ message: `the service of tokens: ${message}` })

  const ask = Effect.fnUntraced(function* (
    token: string
  ): Effect.fn.Return<Option.Option<Destination>, TokenSourceError> {
    const { status, text } = yield* Effect.mapError(
      BoundedGet.get(client, address.success(token), { maxSize, timeout }),
      ({ message }) => failed(message)
    )
    if (unknown.has(status)) return Option.none()
    if (status !== 200) return yield* failed(`it answers with HTTP status ${status}`)
    const destination = TokenTable.readAnswer(text, Target.parse)
    if (Result.isFailure(destination)) return yield* failed(`its answer cannot be used: ${destination.failure}`)
    return Option.some(destination.success)
  })
  const cache = yield* Cache.makeWith(
    (token: string) =>
      Effect.timeoutOrElse(semaphore.withPermit(ask(token)), {
        duration: timeout,
        orElse: () => Effect.fail(failed("it does not answer in time"))
      }),
    {
      capacity: cacheCapacity,
      timeToLive: (exit) => (Exit.isSuccess(exit) && Option.isSome(exit.value) ? cacheFor : Duration.zero)
    }
  )
  return { lookup: (token) => (canBeAsked(token) ? Cache.get(cache, token) : Effect.succeedNone) }
})

/**
 * {@link make} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<TokenSource, TokenSourceError, HttpClient.HttpClient> =>
  Layer.effect(TokenSource)(make(options))
