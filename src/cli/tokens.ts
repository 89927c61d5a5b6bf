/**
 * Targets by token, as the flags of `routing.ts` say: where the tokens are, by our own names and by those that websockify gives its
 * plugins.
 */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as NodeJwtKeys from "../node/NodeJwtKeys.ts"
import * as NodeRedisTokenSource from "../node/NodeRedisTokenSource.ts"
import * as NodeTokenSource from "../node/NodeTokenSource.ts"
import * as HttpTokenSource from "../proxy/HttpTokenSource.ts"
import * as JwtTokenSource from "../proxy/JwtTokenSource.ts"
import type { Route } from "../proxy/Router.ts"
import * as TokenSource from "../proxy/TokenSource.ts"
import * as Jwt from "../server/Jwt.ts"
import * as JwtKeys from "../server/JwtKeys.ts"
import type { UsageError } from "./Address.ts"
import type { Flags } from "./routing.ts"
import { usage, variable } from "./typed.ts"

type Source = TokenSource.TokenSource["Service"]
type MakeSource = (source: string, flags: Flags) => Effect.Effect<Source, { readonly message: string }, Scope.Scope>

const file: MakeSource = (path) => NodeTokenSource.file({ path })
const directory: MakeSource = (path) => NodeTokenSource.directory({ path })
const unixDirectory: MakeSource = (path) => NodeTokenSource.unixDirectory({ path })

const http: MakeSource = (url) => Effect.provide(HttpTokenSource.make({ url }), FetchHttpClient.layer)

/** Under websockify's name a token need not have an end, as there. */
const jwt = (requireExpiry: boolean): MakeSource =>
  Effect.fnUntraced(function* (source, { tokenAudience, tokenIssuer }) {
    const keys = yield* /^https?:/.test(source) ? JwtKeys.fromUrl(source) : NodeJwtKeys.make({ file: source })
    const some = (list: ReadonlyArray<string>) => (list.length === 0 ? undefined : list)
    return JwtTokenSource.make(
      yield* Jwt.make({ keys, issuer: some(tokenIssuer), audience: some(tokenAudience), requireExpiry })
    )
  })

/** As an address, or as websockify has it: HOST, PORT, DATABASE, PASSWORD and NAMESPACE with colons between them. */
const redis: MakeSource = (source) => {
  if (/^rediss?:/.test(source)) return NodeRedisTokenSource.make({ url: source })
  const [host = "", port = "", database = "", password = "", namespace = ""] = source.split(":")
  const login = password === "" ? "" : `:${encodeURIComponent(password)}@`
  return NodeRedisTokenSource.make({
    url: `redis://${login}${host}:${port === "" ? 6379 : port}/${database === "" ? 0 : database}`,
    prefix: namespace === "" ? "" : `${namespace}:`
  })
}

/** By our own names and by websockify's. */
const plugins: ReadonlyMap<string, MakeSource> = new Map([
  ["file", file],
  ["directory", directory],
  ["unix-directory", unixDirectory],
  ["http", http],
  ["jwt", jwt(true)],
  ["redis", redis],
  ["TokenFile", file],
  ["ReadOnlyTokenFile", (path) => NodeTokenSource.file({ path, interval: "Infinity" })],
  ["TokenFileName", directory],
  ["UnixDomainSocketDirectory", unixDirectory],
  ["BaseTokenAPI", http],
  ["JSONTokenApi", http],
  ["JWTTokenApi", jwt(false)],
  ["TokenRedis", redis]
])

/** What was typed as the source, and the flag that it was typed for. */
const typedSource = Effect.fnUntraced(function* (
  plugin: string,
  { targetConfig, tokenSource, tokenSourceEnv }: Flags
): Effect.fn.Return<readonly [flag: string, source: string], UsageError> {
  if (Option.isSome(targetConfig)) return ["--target-config", targetConfig.value]
  if (Option.isSome(tokenSource)) return ["--token-source", tokenSource.value]
  if (Option.isNone(tokenSourceEnv)) return yield* usage(`--token-plugin ${plugin} needs --token-source`)
  return ["--token-source-env", yield* variable("token-source-env", tokenSourceEnv.value)]
})

/** The targets that the source has which was asked for. */
export const route = Effect.fnUntraced(function* (flags: Flags): Effect.fn.Return<Route, UsageError, Scope.Scope> {
  const { targetConfig, tokenPlugin, tokenSource, tokenSourceEnv } = flags
  if (Option.isSome(targetConfig) && Option.isSome(Option.orElse(tokenPlugin, () => tokenSource))) {
    return yield* usage("--target-config says the same as --token-plugin and --token-source: give one of them")
  }
  if (Option.isSome(tokenSourceEnv) && Option.isSome(Option.orElse(targetConfig, () => tokenSource))) {
    return yield* usage("--token-source-env has what --token-source would say: give one of them")
  }
  const name = Option.getOrElse(tokenPlugin, () => "file")
  const make = plugins.get(name)
  if (make === undefined) {
    return yield* usage(`--token-plugin expects one of ${[...plugins.keys()].join(", ")}; got ${JSON.stringify(name)}`)
  }
  if (!/^jwt/i.test(name) && flags.tokenIssuer.length + flags.tokenAudience.length > 0) {
    return yield* usage("--token-issuer and --token-audience are for the plugin jwt")
  }
  const [flag, source] = yield* typedSource(name, flags)
  const tokens = yield* Effect.mapError(make(source, flags), ({ message }) => usage(`${flag}: ${message}`))
  const place = flags.hostToken ? ([TokenSource.inHostName, TokenSource.inHostLabel] as const) : TokenSource.inQuery()
  return TokenSource.routeOf(tokens, { place })
})
