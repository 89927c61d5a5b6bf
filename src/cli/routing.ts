/**
 * The flags that choose the target: several targets and how they take turns, targets by path, and targets by token, with the
 * names that websockify gives its plugins.
 */
import * as Arr from "effect/Array"
import * as Flag from "effect/cli/Flag"
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as NodeTokenSource from "../node/NodeTokenSource.ts"
import * as Router from "../proxy/Router.ts"
import * as TokenSource from "../proxy/TokenSource.ts"
import * as Address from "./Address.ts"

const { UsageError } = Address

const optional = (name: string, metavar: string, description: string) =>
  Flag.String(name).pipe(Flag.withMetavar(metavar), Flag.withDescription(description), Flag.optional)

const flag = (name: string, description: string) =>
  Flag.Boolean(name).pipe(Flag.withDescription(description), Flag.withDefault(false))

/** The flags of a command that has targets. */
export const routing = {
  route: Flag.String("route").pipe(
    Flag.withMetavar("PATH=TARGET"),
    Flag.withDescription(
      "The target of requests for a path, or for all below it: /db=host:port, /db/*=host:port; repeatable"
    ),
    Flag.atLeast(0)
  ),
  balance: optional(
    "balance",
    "HOW",
    "Of several targets (host:port,host:port) the first that answers: failover (default), or round-robin"
  ),
  tokenPlugin: optional(
    "token-plugin",
    "NAME",
    "Targets by token (?token=...): file, directory, unix-directory or websockify's name"
  ),
  tokenSource: optional("token-source", "SOURCE", "Where the token plugin finds its tokens: a file or a directory"),
  targetConfig: optional("target-config", "FILE", "The same as --token-plugin file --token-source FILE"),
  hostToken: flag("host-token", "The token is the name in the Host header, or its first label")
}

/** What was typed for them. */
export interface Flags {
  readonly route: ReadonlyArray<string>
  readonly balance: Option.Option<string>
  readonly tokenPlugin: Option.Option<string>
  readonly tokenSource: Option.Option<string>
  readonly targetConfig: Option.Option<string>
  readonly hostToken: boolean
}

const usage = (message: string) => new UsageError({ message })

type Source = TokenSource.TokenSource["Service"]
type MakeSource = (source: string) => Effect.Effect<Source, TokenSource.TokenSourceError>

const file: MakeSource = (path) => NodeTokenSource.file({ path })
const directory: MakeSource = (path) => NodeTokenSource.directory({ path })
const unixDirectory: MakeSource = (path) => NodeTokenSource.unixDirectory({ path })

/** By our own names and by websockify's. */
const plugins: ReadonlyMap<string, MakeSource> = new Map([
  ["file", file],
  ["directory", directory],
  ["unix-directory", unixDirectory],
  ["TokenFile", file],
  ["ReadOnlyTokenFile", (path) => NodeTokenSource.file({ path, interval: "Infinity" })],
  ["TokenFileName", directory],
  ["UnixDomainSocketDirectory", unixDirectory]
])

/** The source of tokens that was asked for. */
const tokenSource = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<Source | undefined, Address.UsageError> {
  const { hostToken, targetConfig, tokenPlugin, tokenSource } = flags
  if (Option.isSome(targetConfig) && (Option.isSome(tokenPlugin) || Option.isSome(tokenSource))) {
    return yield* usage("--target-config says the same as --token-plugin and --token-source: give one of them")
  }
  if (Option.isNone(targetConfig) && Option.isNone(tokenPlugin)) {
    if (Option.isSome(tokenSource)) return yield* usage("--token-source needs --token-plugin")
    if (hostToken) return yield* usage("--host-token needs --token-plugin")
    return undefined
  }
  const name = Option.getOrElse(tokenPlugin, () => "file")
  const make = plugins.get(name)
  if (make === undefined) {
    return yield* usage(`--token-plugin expects one of ${[...plugins.keys()].join(", ")}; got ${JSON.stringify(name)}`)
  }
  const source = Option.orElse(targetConfig, () => tokenSource)
  if (Option.isNone(source)) return yield* usage(`--token-plugin ${name} needs --token-source`)
  const given = Option.isSome(targetConfig) ? "--target-config" : "--token-source"
  return yield* Effect.mapError(make(source.value), ({ message }) => usage(`${given}: ${message}`))
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
  { route, targetConfig, tokenPlugin }: Flags
): Effect.Effect<readonly [listen: string, target: string | undefined], Address.UsageError> => {
  const isRouted = route.length > 0 || Option.isSome(tokenPlugin) || Option.isSome(targetConfig)
  const [first, second] = typed
  if (first !== undefined && second !== undefined) return Effect.succeed([first, second])
  if (isRouted) return Effect.succeed([first ?? Address.defaultListen, undefined])
  return first === undefined
    ? Effect.fail(usage("expected TARGET, such as localhost:5900, or a flag that finds it: --route, --token-plugin"))
    : Effect.succeed([Address.defaultListen, first])
}

/** What the proxy asks for each request: the paths first, then the tokens, or the target for all the rest. */
export const parse = Effect.fnUntraced(function* (
  target: string | undefined,
  flags: Flags
): Effect.fn.Return<Router.Route, Address.UsageError> {
  const byToken = Option.isSome(flags.tokenPlugin) || Option.isSome(flags.targetConfig)
  if (byToken && target !== undefined) {
    return yield* usage(`TARGET ${target} would be open to whoever has no token: leave it out, or --token-plugin`)
  }
  const source = yield* tokenSource(flags)
  const several = [...flags.route, target ?? ""].some((text) => text.includes(","))
  if (Option.isSome(flags.balance) && !several) {
    return yield* usage("--balance is for several targets, such as db1:5432,db2:5432")
  }
  const paths = yield* Effect.forEach(flags.route, (text) => parseRoute(text, flags))
  const places = flags.hostToken ? [TokenSource.inHostName, TokenSource.inHostLabel] : [TokenSource.inQuery()]
  const tokens = source === undefined ? [] : places.map((place) => TokenSource.routeOf(source, { place }))
  const rest = target === undefined ? [] : [yield* parseTargets(target, flags)]
  const routes = [...paths, ...tokens, ...rest]
  return Arr.isArrayNonEmpty(routes) && routes.length === 1 ? routes[0] : Router.firstOf(...routes)
})
