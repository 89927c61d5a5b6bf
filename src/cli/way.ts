/**
 * The flags about how something is dialled: how long that may take, how often it is tried, and what is on the way.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import type * as NodeDialer from "../node/NodeDialer.ts"
import * as Firewall from "../proxy/Firewall.ts"
import type { UsageError } from "./Address.ts"
import { parseTime } from "./flags.ts"
import { authorities, usable } from "./tlsClient.ts"
import { optional, repeated, usage, variable } from "./typed.ts"

/** The flags of a command that dials. */
export const to = (peer: "target" | "server") => ({
  dialTimeout: optional("dial-timeout", "DURATION", `How long connecting to the ${peer} may take (10 seconds)`),
  dialRetries: optional("dial-retries", "N", `How often a ${peer} that refuses is tried again meanwhile, up to 10 (0)`),
  firewall: repeated(
    "firewall",
    "URL",
    `Reach ${peer}s through it: http://, https://, socks5://, socks4://, socks4a://, socks5+tls://; repeat it for a chain`
  ),
  firewallEnv: optional(
    "firewall-env",
    "NAME",
    "The environment variable that has the URLs of --firewall, with blanks between: for those with a password"
  ),
  firewallCa: optional("firewall-ca", "FILE", "Trust these authorities, too, for firewalls over TLS (PEM)")
})

/** What was typed for them. */
export interface Flags {
  readonly dialTimeout: Option.Option<string>
  readonly dialRetries: Option.Option<string>
  readonly firewall: ReadonlyArray<string>
  readonly firewallEnv: Option.Option<string>
  readonly firewallCa: Option.Option<string>
}

/** The chain, in the order in which it was typed. */
const firewalls = Effect.fnUntraced(function* ({
  firewall,
  firewallEnv
}: Flags): Effect.fn.Return<ReadonlyArray<Firewall.Present>, UsageError> {
  if (Option.isSome(firewallEnv) && firewall.length > 0) {
    return yield* usage("--firewall-env has what --firewall would say: give one of them")
  }
  const [name, urls] = Option.isNone(firewallEnv)
    ? (["--firewall", firewall] as const)
    : ([
        firewallEnv.value,
        (yield* variable("firewall-env", firewallEnv.value)).split(/\s+/).filter((url) => url !== "")
      ] as const)
  return yield* Effect.forEach(urls, (url) =>
    Effect.mapError(Effect.fromResult(Firewall.fromUrl(url)), (message) => usage(`${name}: ${message}`))
  )
})

/** The options of the dialler, given what was typed. */
export const dialerOptions = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<NodeDialer.Options, UsageError> {
  const { dialRetries, dialTimeout, firewallCa } = flags
  const retries = Option.getOrElse(dialRetries, () => "0")
  if (!/^(?:\d|10)$/.test(retries)) {
    return yield* usage(`--dial-retries expects a number from 0 to 10; got ${JSON.stringify(retries)}`)
  }
  const chain = yield* firewalls(flags)
  const ca = yield* authorities("firewall-ca", firewallCa)
  if (ca !== undefined && !chain.some(({ tls }) => tls === true)) {
    return yield* usage(
      "--firewall-ca is for a firewall over TLS, such as https:// or socks5+tls://, and there is none"
    )
  }
  return {
    ...(Option.isSome(dialTimeout) && { dialTimeout: yield* parseTime("dial-timeout", dialTimeout.value) }),
    retries: Number(retries),
    firewall: chain,
    firewallTls: ca === undefined ? undefined : yield* usable("firewall-ca", { ca })
  }
})
