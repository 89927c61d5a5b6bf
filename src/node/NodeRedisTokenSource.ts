/**
 * Targets that Redis has by their tokens: the value of a key, which is the token behind a prefix, is `host:port`, several with
 * commas between them, or JSON: `{ "host": ..., "port": ... }`, `{ "host": "host:port" }` or a list.
 *
 * The client for Redis is loaded when a source is made. It connects at once, and again when the connection is lost; until
 * then look-ups fail.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import * as Layer from "effect/Layer"
import * as Redis from "effect/persistence/Redis"
import * as Redacted from "effect/Redacted"
import * as References from "effect/References"
import * as Result from "effect/Result"
import * as Scope from "effect/Scope"
import { duration, integer } from "../protocol/internal/option.ts"
import * as TokenTable from "../proxy/internal/tokenTable.ts"
import * as Target from "../proxy/Target.ts"
import { TokenSource, TokenSourceError } from "../proxy/TokenSource.ts"
import { maxTimer } from "./internal/timers.ts"

/**
 * Which Redis to ask, and how long it may take. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** `redis://[user:password@]host[:port][/db]`, or `rediss:` with TLS. Default: `redis://localhost:6379`. */
  readonly url?: string | Redacted.Redacted | undefined
  /** What is in front of the token in a key. Default: nothing. */
  readonly prefix?: string | undefined
  /** How long connecting, and an answer, may take. Default: 5 seconds. */
  readonly timeout?: Duration.Input | undefined
  /** The most questions that may wait for their answers, at least 10. Default: 1000. */
  readonly maxPending?: number | undefined
}

/** The most bytes of a value; of what is longer no more than a byte beyond is asked for, and it is not read. */
const maxValue = 4096

const failed = (message: string, cause?: unknown) => new TokenSourceError({ message: `Redis: ${message}`, cause })

/** What the system or Redis calls it (`ECONNREFUSED`, `WRONGPASS`); nothing else of a message, which may quote. */
const nameOf = (cause: unknown): string | undefined => {
  if (!(cause instanceof Error)) return undefined
  if ("code" in cause && typeof cause.code === "string") return cause.code
  return /^[A-Z]{3,}\b/.exec(cause.message)?.[0] ?? ("originalError" in cause ? nameOf(cause.originalError) : undefined)
}

const because = (what: string, cause: unknown) => {
  const name = nameOf(cause)
  return failed(name === undefined ? what : `${what} (${name})`, cause)
}

/** The wait before the nth attempt to connect again, in milliseconds: up to 2 seconds and a bit, not all at once. */
const wait = (attempt: number) => Math.min(50 * 2 ** attempt, 2000) + Math.random() * 200

/** The listeners of what was destroyed have run after this. */
const settled = Effect.callback<void>((resume) => {
  const immediate = setImmediate(() => resume(Effect.void))
  return Effect.sync(() => clearImmediate(immediate))
})

/**
 * Connects, and disconnects with the scope.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options = {}
): Effect.fn.Return<TokenSource["Service"], TokenSourceError, Scope.Scope> {
  const { prefix = "" } = options
  // what its client asks as it connects is counted with them
  const maxPending = integer("maxPending", options.maxPending, 1000, [10, Infinity])
  const timeout = duration("timeout", options.timeout, "5 seconds", "above 0")
  const text = Redacted.isRedacted(options.url)
    ? Redacted.value(options.url)
    : (options.url ?? "redis://localhost:6379")
  if (!/^rediss?:\/\/[^/]/.test(text) || !URL.canParse(text)) {
    return yield* failed("expected an address such as redis://localhost:6379/0")
  }
  const NodeRedis = yield* Effect.promise(() => import("@effect/platform-node/NodeRedis"))
  const ending = new AbortController()
  const scope = yield* Scope.make()
  // its client says goodbye in order, and waits for answers that may never come: the connection is cut before
  yield* Effect.addFinalizer((exit) =>
    Effect.gen(function* () {
      ending.abort()
      yield* settled
      const closing = yield* Effect.forkDetach(Scope.close(scope, exit), { startImmediately: true })
      yield* Effect.timeoutOption(Effect.interruptible(Fiber.await(closing)), timeout)
    })
  )
  let isConnected = false
  const client = NodeRedis.layer({
    url: text,
    // nothing waits for a connection that is not there
    disableOfflineQueue: true,
    commandsQueueMaxLength: maxPending,
    socket: {
      connectTimeout: Math.min(timeout, maxTimer),
      signal: ending.signal,
      reconnectStrategy: (attempt, cause) => (isConnected && !ending.signal.aborted ? wait(attempt) : cause)
    }
  })
  // connecting cannot be interrupted, so that it has a fiber that can be left, and is cut
  const connecting = yield* Layer.buildWithScope(client, scope).pipe(
    // its client logs each attempt with a stack; a look-up that fails tells enough
    Effect.provideService(References.MinimumLogLevel, "None"),
    Effect.forkDetach({ startImmediately: true })
  )
  const cut = Effect.sync(() => ending.abort())
  const context = yield* Fiber.join(connecting).pipe(
    Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.andThen(cut, Fiber.join(connecting)) }),
    Effect.catchTag("RedisError", ({ cause }) =>
      Effect.fail(
        ending.signal.aborted ? failed("it does not answer in time") : because("it cannot be connected to", cause)
      )
    ),
    Effect.onInterrupt(() => cut)
  )
  isConnected = true
  const redis = Context.get(context, Redis.Redis)

  const value = (token: string) =>
    redis.send<unknown>("GETRANGE", `${prefix}${token}`, "0", String(maxValue)).pipe(
      Effect.catchTag("RedisError", ({ cause }) => Effect.fail(because("it does not answer", cause))),
      Effect.timeoutOrElse({ duration: timeout, orElse: () => Effect.fail(failed("it does not answer in time")) })
    )
  return {
    lookup: (token) =>
      Effect.flatMap(value(token), (value) => {
        // no key is an empty range
        if (value === "") return Effect.succeedNone
        const text = String(value)
        const unusable = (message: string) => Effect.fail(failed(`a value cannot be used: ${message}`))
        // what is left of one that is cut may be another target
        if (Buffer.byteLength(text) > maxValue) return unusable(`expected at most ${maxValue} bytes`)
        return Result.match(TokenTable.readAnswer(text, Target.parse), {
          onFailure: unusable,
          onSuccess: Effect.succeedSome
        })
      })
  }
})

/**
 * {@link make} as a layer. It fails if Redis cannot be connected to.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<TokenSource, TokenSourceError> =>
  Layer.effect(TokenSource)(make(options))
