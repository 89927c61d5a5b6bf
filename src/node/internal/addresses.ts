/**
 * From a host to the addresses that are dialled: looked up once, judged one by one, and used as they are, so that a name that
 * leads elsewhere a moment later leads nowhere. In the order of RFC 8305 section 4: families in turn, the resolver's first
 * choice first.
 */
import * as Arr from "effect/Array"
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Dns from "effect/net/Dns"
import type * as Host from "effect/net/Host"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import type { DialError } from "../../proxy/Dialer.ts"
import * as Target from "../../proxy/Target.ts"
import * as TargetPolicy from "../../proxy/TargetPolicy.ts"
import { kindOf } from "./connecting.ts"

/** What looks up names. */
export type Resolver = Pick<Dns.Dns["Service"], "lookup">

/** The most addresses of a name that are tried. */
export const maxAddresses = 8

/** Why there is no address to dial. */
export type Unresolved = Pick<DialError, "kind" | "detail" | "cause">

export interface Wanted {
  readonly host: string
  readonly port: number
  readonly policy: TargetPolicy.TargetPolicy
}

const unreadable = (reason: string): Unresolved => ({
  kind: "NameNotFound",
  detail: `The target's host is neither a name nor an address: ${reason}.`
})

/** A host that is an address: its text names which network of this machine it is in, if that matters. */
export interface Literal {
  readonly address: NetAddress.IpAddress
  readonly text: string
}

/** A host that was read: an address, or else a name. */
interface Read {
  readonly host: Host.Host
  readonly literal: Literal | undefined
}

/** What was read last: most dial one host, again and again. */
let last: { readonly text: string; readonly read: Result.Result<Read, Unresolved> } | undefined

/** Reads the host of a target. */
export const readHost = (text: string): Result.Result<Read, Unresolved> => {
  if (last?.text !== text) {
    const read = Result.mapBoth(Target.readHost(text), {
      onFailure: unreadable,
      onSuccess: (host): Read => ({ host, literal: literalOf(host) })
    })
    last = { text, read }
  }
  return last.read
}

/** What a policy says to somebody who wants to know why. */
export const denied = ({ message }: TargetPolicy.Denial, others = 0): Unresolved => {
  const more = others === 0 ? "" : ` Neither are its ${others} other addresses.`
  return { kind: "NotAllowed", detail: `The target is not allowed: ${message}${more}` }
}

/** First one of the first family, then one of the other, and so on. */
const interleaved = (addresses: ReadonlyArray<NetAddress.IpAddress>): ReadonlyArray<NetAddress.IpAddress> => {
  const first = addresses[0]?._tag
  const same = addresses.filter((address) => address._tag === first)
  const others = addresses.filter((address) => address._tag !== first)
  return same
    .flatMap((address, index) => [address, ...others.slice(index, index + 1)])
    .concat(others.slice(same.length))
}

const lookedUp = Effect.fnUntraced(function* (
  { policy, port }: Wanted,
  name: Host.DomainName,
  resolver: Resolver,
  family: NetAddress.IpFamily | undefined
): Effect.fn.Return<NonEmptyReadonlyArray<string>, Unresolved> {
  const found = yield* Effect.mapError(resolver.lookup(name, { family }), ({ cause }): Unresolved => ({
    kind: kindOf(cause) === "Exhausted" ? "Exhausted" : "NameNotFound",
    cause
  }))
  const denials: Array<TargetPolicy.Denial> = []
  const allowed = found.filter((address) => {
    const denial = TargetPolicy.judge(policy, { name, address, port })
    if (denial !== undefined) denials.push(denial)
    return denial === undefined
  })
  const addresses = interleaved(allowed).slice(0, maxAddresses).map(NetAddress.formatIp)
  if (!Arr.isReadonlyArrayNonEmpty(addresses)) return yield* Effect.fail(denied(denials[0]!, denials.length - 1))
  for (const { message } of denials) yield* Effect.logDebug(`An address of a target is left out: ${message}`)
  return addresses
})

/** The addresses to dial, as text that is nothing but an address; an `Exit` where nothing has to be looked up for that. */
export const addressesOf = (
  wanted: Wanted,
  resolver: Resolver,
  family?: NetAddress.IpFamily
): Effect.Effect<NonEmptyReadonlyArray<string>, Unresolved> => {
  const read = readHost(wanted.host)
  if (Result.isFailure(read)) return Effect.fail(read.failure)
  const { host, literal } = read.success
  // what is no address is a name
  if (literal === undefined) return lookedUp(wanted, host as Host.DomainName, resolver, family)
  const denial = TargetPolicy.judge(wanted.policy, { address: literal.address, port: wanted.port })
  return denial === undefined ? Effect.succeed([literal.text]) : Effect.fail(denied(denial))
}

/** A host that is an address, with its zone in the text only. */
export const literalOf = (host: Host.Host): Literal | undefined => {
  if (typeof host !== "string") return { address: host, text: NetAddress.formatIp(host) }
  return NetAddress.isScopedIpv6Literal(host)
    ? { address: NetAddress.ipFromStringUnsafe(host.replace(/%.*/, "")), text: host }
    : undefined
}
