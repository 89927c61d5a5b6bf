/**
 * JSON Web Tokens (RFC 7519) as the claims that they prove, or why they prove nothing: signed (RFC 7515) with a key of
 * `JwtKeys`, by the issuer and for the audience that are expected, and within their time. It knows nothing of requests: an access
 * policy verifies with it, and so does whatever else has a token.
 *
 * **Example** (Letting in those who have a token of an issuer)
 *
 * ```ts
 * const keys = yield* JwtKeys.fromUrl("https://id.example/.well-known/jwks.json")
 * const tokens = yield* Jwt.make({ keys, issuer: "https://id.example/", audience: "vnc" })
 * const access = AccessPolicy.jwt({ verify: Jwt.facts(tokens), from: ["header", { subprotocol: "bearer." }] })
 * ```
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Redacted from "effect/Redacted"
import type * as Jose from "jose"
import { duration } from "../protocol/internal/option.ts"
import type { Facts } from "./AccessPolicy.ts"
import type { Key, Keys } from "./JwtKeys.ts"

/**
 * Which tokens are good. Only `keys` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  readonly keys: Keys
  /** Who must have issued a token (`iss`), or one of several. Default: anyone who has the key. */
  readonly issuer?: string | ReadonlyArray<string> | undefined
  /** Whom a token must be for (`aud`), or one of several. Default: anyone. */
  readonly audience?: string | ReadonlyArray<string> | undefined
  /** How far the issuer's clock may be from ours, for `exp` and `nbf`. Default: 30 seconds. */
  readonly leeway?: Duration.Input | undefined
  /** Whether a token must say when it ends (`exp`): one that does not is good as long as its key is. Default: `true`. */
  readonly requireExpiry?: boolean | undefined
}

/**
 * The claims of a token that was verified (RFC 7519 section 4).
 *
 * @category models
 * @since 0.1.0
 */
export type Claims = Readonly<Record<string, unknown>>

/**
 * Verifies tokens.
 *
 * @category models
 * @since 0.1.0
 */
export interface Jwt {
  readonly verify: (token: string | Redacted.Redacted<string>) => Effect.Effect<Claims, JwtError>
}

/**
 * Why a token proves nothing. The reason is for the log, and has nothing of the token in it.
 *
 * - `credentialsMalformed`: it is no signed token.
 * - `credentialsWrong`: no key of that name and algorithm has signed it, or it has no claim that is needed.
 * - `tokenExpired`, `tokenNotYetValid`: its time is over, or has not come.
 * - `tokenNotForUs`: another issuer or audience.
 * - `unavailable`: the keys cannot be had.
 *
 * @category errors
 * @since 0.1.0
 */
export class JwtError extends Data.TaggedError("JwtError")<{
  readonly kind:
    | "credentialsMalformed"
    | "credentialsWrong"
    | "tokenExpired"
    | "tokenNotYetValid"
    | "tokenNotForUs"
    | "unavailable"
  readonly reason: string
}> {
  override get message(): string {
    return `the token is not good: ${this.reason}`
  }
}

const fail = (kind: JwtError["kind"], reason: string) => new JwtError({ kind, reason })

/** The longest token, in characters: a head of a request has no room for more, but a token may come from elsewhere. */
const maxLength = 16 * 1024

const several = (value: string | ReadonlyArray<string>): string | Array<string> =>
  typeof value === "string" ? value : [...value]

/**
 * Verifies tokens by these keys. Time is that of effect's `Clock`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (options: Options): Effect.fn.Return<Jwt> {
  const clock = yield* Clock.Clock
  const jose: typeof Jose = yield* Effect.promise(() => import("jose"))
  const { errors } = jose
  const checks = {
    ...(options.issuer !== undefined && { issuer: several(options.issuer) }),
    ...(options.audience !== undefined && { audience: several(options.audience) }),
    clockTolerance: duration("leeway", options.leeway, "30 seconds") / 1000,
    requiredClaims: options.requireExpiry === false ? [] : ["exp"]
  }

  const reasonOf = (cause: unknown): JwtError => {
    if (cause instanceof errors.JWTExpired) return fail("tokenExpired", "its time is over")
    if (cause instanceof errors.JWTClaimValidationFailed) {
      const { claim, reason } = cause
      if (reason === "missing") return fail("credentialsWrong", `it has no claim ${JSON.stringify(claim)}`)
      if (claim === "nbf" || claim === "iat") return fail("tokenNotYetValid", "its time has not come")
      if (claim === "iss") return fail("tokenNotForUs", "another issuer has signed it")
      if (claim === "aud") return fail("tokenNotForUs", "it is for another audience")
      return fail("credentialsWrong", `its claim ${JSON.stringify(claim)} is not good`)
    }
    if (cause instanceof errors.JWSSignatureVerificationFailed) {
      return fail("credentialsWrong", "the signature is not that of a known key")
    }
    return fail("credentialsMalformed", "it is no signed JSON Web Token that can be read")
  }

  const verifyWith = (token: string, { algorithms, key }: Key): Effect.Effect<Claims, JwtError> =>
    Effect.tryPromise({
      try: async () => {
        const currentDate = new Date(clock.currentTimeMillisUnsafe())
        return (await jose.jwtVerify(token, key, { ...checks, algorithms: [...algorithms], currentDate })).payload
      },
      catch: reasonOf
    })

  /** The key that has signed it, among those that may have. */
  const tryEach = (token: string, [key, ...rest]: ReadonlyArray<Key>): Effect.Effect<Claims, JwtError> =>
    key === undefined
      ? Effect.fail(fail("credentialsWrong", "the signature is not that of a known key"))
      : rest.length === 0
        ? verifyWith(token, key)
        : Effect.catch(verifyWith(token, key), (error) =>
            error.kind === "credentialsWrong" ? tryEach(token, rest) : Effect.fail(error)
          )

  return {
    verify: Effect.fnUntraced(function* (given) {
      const token = typeof given === "string" ? given : Redacted.value(given)
      if (token.length > maxLength) return yield* fail("credentialsMalformed", "it is longer than a token may be")
      const { alg, kid } = yield* Effect.try({ try: () => jose.decodeProtectedHeader(token), catch: reasonOf })
      if (typeof alg !== "string" || (kid !== undefined && typeof kid !== "string")) {
        return yield* fail("credentialsMalformed", "its header names no algorithm")
      }
      const candidates = yield* Effect.mapError(options.keys.find(alg, kid), ({ message }) =>
        fail("unavailable", message)
      )
      if (candidates.length === 0)
        return yield* fail("credentialsWrong", "no key is for the algorithm and key that it names")
      return yield* tryEach(token, candidates)
    })
  }
})

/**
 * What a token says about its owner, for `AccessPolicy.jwt`.
 *
 * @category combining
 * @since 0.1.0
 */
export const facts =
  (jwt: Jwt) =>
  (token: Redacted.Redacted<string>): Effect.Effect<Facts, JwtError> =>
    Effect.map(jwt.verify(token), (claims) => ({
      subject: typeof claims["sub"] === "string" ? claims["sub"] : undefined,
      claims
    }))
