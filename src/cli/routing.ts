/**
 * The flags that choose the target: several targets and how they take turns, targets by path, targets by token, with the
 * names that websockify gives its plugins, and targets that clients name. What targets by token take is in `tokens.ts`, which is
 * loaded if there are any.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import * as Router from "../proxy/Router.ts"
import { fault } from "../proxy/internal/pathPattern.ts"
import * as Address from "./Address.ts"
import * as Target from "./target.ts"
import { given, optional, repeated, usage } from "./typed.ts"

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

/** Targets by token, if they were asked for. */
const byToken = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<ReadonlyArray<Router.Route>, Address.UsageError, Scope.Scope> {
  if (!isByToken(flags)) return []
  const Tokens = yield* Effect.promise(() => import("./tokens.ts"))
  return [yield* Tokens.route(flags)]
})

const balances = { failover: Router.failover, "round-robin": Router.roundRobin } as const
const isBalance = (text: string): text is keyof typeof balances => Object.hasOwn(balances, text)

/** Targets with commas between them, and how they take turns. What the rules of this very command exclude is a mistake. */
const parseTargets = Effect.fnUntraced(function* (
  text: string,
  flags: Flags
): Effect.fn.Return<Router.Route, Address.UsageError> {
  const [first, ...others] = yield* Effect.forEach(text.split(","), (one) => Address.parseTarget(one.trim()))
  const policy = (yield* Target.policies(flags))?.configured
  // a text splits into one piece at least
  for (const target of [first!, ...others]) {
    const why = policy === undefined ? undefined : Target.exclusionOf(policy, target)
    if (why !== undefined) {
      return yield* usage(
        `the target ${target} could never be connected to, by --allow-target and --deny-target: ${why}`
      )
    }
  }
  const how = Option.getOrElse(flags.balance, () => "failover")
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
  const expected = fault(path)
  if (expected !== undefined) return yield* usage(`--route expects ${expected}; got ${JSON.stringify(path)}`)
  return Router.path(path, yield* parseTargets(text.slice(at + 1), flags))
})

/** Where to listen, and the target if one was typed: a single address is a target, unless flags say where to. */
export const addresses = (
  typed: ReadonlyArray<string>,
  flags: Flags
): Effect.Effect<readonly [listen: string, target: string | undefined], Address.UsageError> => {
  const [first, second] = typed
  const stray = isByToken(flags) ? undefined : strayOf(flags)
  if (stray !== undefined) return Effect.fail(usage(`${stray} needs --token-plugin, such as --token-plugin file`))
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
  if (policies === undefined) {
    return yield* usage("--target-from-client needs --allow-target, such as --allow-target db.internal:5432")
  }
  const ClientRoute = yield* Effect.promise(() => import("../proxy/ClientRoute.ts"))
  return [ClientRoute.make({ policy: policies.chosen })]
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
  const typed = flags.route.map((text) => text.split("=", 1)[0]!)
  const twice = typed.find((path, i) => typed.indexOf(path) < i)
  if (twice !== undefined) {
    return yield* usage(
      `--route ${twice} is there twice, and the second would never be asked: give its targets together`
    )
  }
  const paths = yield* Effect.forEach(flags.route, (text) => parseRoute(text, flags))
  const chosen = yield* fromClient(flags)
  const rest = target === undefined ? [] : [yield* parseTargets(target, flags)]
  const tokens = yield* byToken(flags)
  return Router.firstOf(...paths, ...tokens, ...chosen, ...rest)
})
