/**
 * Targets that are in the token itself: a JSON Web Token with the target in its claims `host` and `port`, signed by an issuer who
 * may decide where clients go. Nothing is looked up but keys. `Jwt` says which tokens are valid, and `JwtKeys` has the keys. An
 * invalid token counts as an unknown one, and the log has the reason.
 *
 * **Example** (Tokens of an issuer)
 *
 * ```ts
 * const keys = yield* JwtKeys.fromUrl("https://id.example/.well-known/jwks.json")
 * const source = JwtTokenSource.make(yield* Jwt.make({ keys, issuer: "https://id.example/", audience: "vnc" }))
 * const route = TokenSource.routeOf(source)
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Lines from "../server/internal/lines.ts"
import * as Jwt from "../server/Jwt.ts"
import * as TokenTable from "./internal/tokenTable.ts"
import * as Target from "./Target.ts"
import { TokenSource, TokenSourceError } from "./TokenSource.ts"

/**
 * `port` is a number or digits; without it `host` is `host:port`.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (jwt: Jwt.Jwt): TokenSource["Service"] => {
  const tell = Lines.make()
  const refused = (reason: string) =>
    Effect.as(
      tell((untold) => Effect.logInfo(`A token is not taken: ${reason}${untold}`)),
      Option.none()
    )
  return {
    lookup: (token) =>
      Effect.matchEffect(jwt.verify(token), {
        onFailure: ({ kind, reason }) =>
          kind === "unavailable"
            ? Effect.fail(new TokenSourceError({ message: `Tokens: ${reason}` }))
            : refused(reason),
        onSuccess: ({ host, port }) =>
          Result.match(TokenTable.readJson({ host, port }, Target.parse), {
            onFailure: (message) => refused(`its claims host and port: ${message}`),
            onSuccess: Effect.succeedSome
          })
      })
  }
}

/**
 * {@link make} as a layer, with a verification of these options.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Jwt.Options): Layer.Layer<TokenSource> =>
  Layer.effect(TokenSource)(Effect.map(Jwt.make(options), make))
