/**
 * The flags that choose the target: several targets and how they take turns, targets by path, targets by token, with the
 * names that websockify gives its plugins, and targets that clients name.
 */
import * as Effect from "effect/Effect"
import * as FetchHttpClient from "effect/http/FetchHttpClient"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as NodeJwtKeys from "../node/NodeJwtKeys.ts"
import * as NodeRedisTokenSource from "../node/NodeRedisTokenSource.ts"
import * as NodeTokenSource from "../node/NodeTokenSource.ts"
import * as ClientRoute from "../proxy/ClientRoute.ts"
import * as HttpTokenSource from "../proxy/HttpTokenSource.ts"
import * as JwtTokenSource from "../proxy/JwtTokenSource.ts"
import * as Router from "../proxy/Router.ts"
import * as TokenSource from "../proxy/TokenSource.ts"
import * as Jwt from "../server/Jwt.ts"
import * as JwtKeys from "../server/JwtKeys.ts"
import * as Address from "./Address.ts"
import * as Target from "./target.ts"
import { given, optional, repeated, usage, variable } from "./typed.ts"

/** The flags of a command that has targets. */
export const routing = {
  route: repeated(
    "route",
    "PATH=TARGET",
    "The target of requests for a path, or for all below it: /db=host:port, /db/*=host:port; repeatable"
  ),
  balance: optional(
    "balance",
    "HOW",
    "Of several targets (host:port,host:port) the first that answers: failover (default), or round-robin"
  ),
  tokenPlugin: optional(
    "token-plugin",
    "NAME",
    "Targets by token (?token=...): file, directory, unix-directory, http, jwt, redis or websockify's name"
  ),
  tokenSource: optional(
    "token-source",
    "SOURCE",
    "Where it has them: a file or directory, the address of a service (%s is the token), a key or JWK set, redis://..."
  ),
  tokenSourceEnv: optional("token-source-env", "NAME", "The environment variable that has it: for one with a password"),
  tokenIssuer: repeated("token-issuer", "ISSUER", "Who must have issued a token of the plugin jwt; repeatable"),
  tokenAudience: repeated("token-audience", "AUDIENCE", "Whom a token of the plugin jwt must be for; repeatable"),
  targetConfig: optional("target-config", "FILE", "The same as --token-plugin file --token-source FILE"),
  hostToken: given("host-token", "The token is the name in the Host header, or its first label"),
  targetFromClient: given(
    "target-from-client",
    "The target is what the client says (?address=host:port), of those that --allow-target names"
  )
}

/** What was typed for them. */
export interface Flags {
  readonly route: ReadonlyArray<string>
  readonly balance: Option.Option<string>
  readonly tokenPlugin: Option.Option<string>
  readonly tokenSource: Option.Option<string>
  readonly tokenSourceEnv: Option.Option<string>
  readonly tokenIssuer: ReadonlyArray<string>
  readonly tokenAudience: ReadonlyArray<string>
  readonly targetConfig: Option.Option<string>
  readonly hostToken: boolean
  readonly targetFromClient: boolean
  readonly allowTarget: ReadonlyArray<string>
  readonly denyTarget: ReadonlyArray<string>
}

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
): Effect.fn.Return<readonly [flag: string, source: string], Address.UsageError> {
  if (Option.isSome(targetConfig)) return ["--target-config", targetConfig.value]
  if (Option.isSome(tokenSource)) return ["--token-source", tokenSource.value]
  if (Option.isNone(tokenSourceEnv)) return yield* usage(`--token-plugin ${plugin} needs --token-source`)
  return ["--token-source-env", yield* variable("token-source-env", tokenSourceEnv.value)]
})

const isByToken = ({ targetConfig, tokenPlugin }: Flags) => Option.isSome(tokenPlugin) || Option.isSome(targetConfig)

/** What is for tokens alone, by the flag that was typed. */
const strayOf = ({ hostToken, tokenAudience, tokenIssuer, tokenSource, tokenSourceEnv }: Flags): string | undefined =>
  Option.isSome(tokenSource)
    ? "--token-source"
    : Option.isSome(tokenSourceEnv)
      ? "--token-source-env"
      : tokenIssuer.length > 0
        ? "--token-issuer"
        : tokenAudience.length > 0
          ? "--token-audience"
          : hostToken
            ? "--host-token"
            : undefined

/** The source of tokens that was asked for. */
const tokenSource = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<Source | undefined, Address.UsageError, Scope.Scope> {
  const { targetConfig, tokenPlugin, tokenSource, tokenSourceEnv } = flags
  if (!isByToken(flags)) {
    const stray = strayOf(flags)
    return stray === undefined ? undefined : yield* usage(`${stray} needs --token-plugin`)
  }
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
  return yield* Effect.mapError(make(source, flags), ({ message }) => usage(`${flag}: ${message}`))
})

const balances = { failover: Router.failover, "round-robin": Router.roundRobin } as const
const isBalance = (text: string): text is keyof typeof balances => Object.hasOwn(balances, text)

/** Targets with commas between them, and how they take turns. */
const parseTargets = Effect.fnUntraced(function* (
  text: string,
  flags: Flags
): Effect.fn.Return<Router.Route, Address.UsageError> {
  const [first, ...others] = yield* Effect.forEach(text.split(","), (one) => Address.parseTarget(one.trim()))
  const how = Option.getOrElse(flags.balance, () => "failover")
  // a text splits into one piece at least
  if (others.length === 0) return Router.to(first!)
  if (!isBalance(how)) return yield* usage(`--balance expects failover or round-robin; got ${JSON.stringify(how)}`)
  return balances[how]([first!, ...others])
})

const parseRoute = Effect.fnUntraced(function* (
  text: string,
  flags: Flags
): Effect.fn.Return<Router.Route, Address.UsageError> {
  const at = text.indexOf("=")
  const path = text.slice(0, Math.max(at, 0))
  const isPath = (path: string): path is `/${string}` => /^\/[^?#\s]*$/.test(path)
  if (!isPath(path)) {
    return yield* usage(`--route expects PATH=TARGET, such as /db=localhost:5432; got ${JSON.stringify(text)}`)
  }
  return Router.path(path, yield* parseTargets(text.slice(at + 1), flags))
})

/** Where to listen, and the target if one was typed: a single address is a target, unless flags say where to. */
export const addresses = (
  typed: ReadonlyArray<string>,
  flags: Flags
): Effect.Effect<readonly [listen: string, target: string | undefined], Address.UsageError> => {
  const [first, second] = typed
  if (first !== undefined && second !== undefined) return Effect.succeed([first, second])
  if (flags.route.length > 0 || isByToken(flags) || flags.targetFromClient) {
    return Effect.succeed([first ?? Address.defaultListen, undefined])
  }
  return first === undefined
    ? Effect.fail(
        usage(
          "expected TARGET, such as localhost:5900, or a flag that finds it: --route, --token-plugin, --target-from-client"
        )
      )
    : Effect.succeed([Address.defaultListen, first])
}

/** The target that clients name, where that was asked for. */
const fromClient = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<ReadonlyArray<Router.Route>, Address.UsageError> {
  if (!flags.targetFromClient) return []
  const policies = flags.allowTarget.length === 0 ? undefined : yield* Target.policies(flags)
  return policies === undefined
    ? yield* usage("--target-from-client needs --allow-target, such as --allow-target db.internal:5432")
    : [ClientRoute.make({ policy: policies.chosen })]
})

/** What the proxy asks for each request: the paths first, then the tokens, the client, or the target for all the rest. */
export const parse = Effect.fnUntraced(function* (
  target: string | undefined,
  flags: Flags
): Effect.fn.Return<Router.Route, Address.UsageError, Scope.Scope> {
  // who has no token would come to the next in line
  const open = target !== undefined ? `TARGET ${target}` : flags.targetFromClient ? "--target-from-client" : undefined
  if (isByToken(flags) && open !== undefined) {
    return yield* usage(`${open} would be open to whoever has no token: leave it out, or --token-plugin`)
  }
  const several = [...flags.route, target ?? ""].some((text) => text.includes(","))
  if (Option.isSome(flags.balance) && !several) {
    return yield* usage("--balance is for several targets, such as db1:5432,db2:5432")
  }
  const paths = yield* Effect.forEach(flags.route, (text) => parseRoute(text, flags))
  const chosen = yield* fromClient(flags)
  const rest = target === undefined ? [] : [yield* parseTargets(target, flags)]
  const source = yield* tokenSource(flags)
  const place = flags.hostToken ? ([TokenSource.inHostName, TokenSource.inHostLabel] as const) : TokenSource.inQuery()
  const tokens = source === undefined ? [] : [TokenSource.routeOf(source, { place })]
  return Router.firstOf(...paths, ...tokens, ...chosen, ...rest)
})
