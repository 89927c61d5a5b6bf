/**
 * The flags about which load balancers and proxies are believed about clients, and what targets are told of clients.
 */
import * as Effect from "effect/Effect"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import type * as NodeProxyProtocol from "../node/NodeProxyProtocol.ts"
import type * as NodeUpgradeListener from "../node/NodeUpgradeListener.ts"
import * as AccessList from "../server/AccessList.ts"
import type { UsageError } from "./Address.ts"
import { optional, usage } from "./typed.ts"

const addresses = "ADDRESS[,…]"

/** The flags of every command that listens. */
export const server = {
  proxyProtocolFrom: optional(
    "proxy-protocol-from",
    addresses,
    "Load balancers that say who the client is in the PROXY protocol: addresses or networks (10.0.0.0/8)"
  ),
  forwardedFrom: optional(
    "forwarded-from",
    addresses,
    "Reverse proxies that say it in a header of the request: addresses or networks"
  ),
  forwardedHeader: optional("forwarded-header", "NAME", "Which header: x-forwarded-for (default) or forwarded")
}

/** The flags of a command that has targets. */
export const target = {
  sendProxy: optional(
    "send-proxy",
    "VERSION",
    "Tell the target who the client is in the PROXY protocol: v1, or v2 with what is known of its TLS"
  )
}

/** What was typed for them. */
export type ServerFlags = { readonly [K in keyof typeof server]: Option.Option<string> }
export type TargetFlags = { readonly [K in keyof typeof target]: Option.Option<string> }

const listOf = (flag: string, typed: string): Effect.Effect<AccessList.AccessList, UsageError> => {
  const list = AccessList.parse(typed)
  if (Result.isFailure(list)) return Effect.fail(usage(`--${flag}: ${list.failure.message}`))
  if (list.success.entries.length === 0) return Effect.fail(usage(`--${flag} expects addresses or networks, got none`))
  return AccessList.needsNames(list.success)
    ? Effect.fail(usage(`--${flag} expects addresses or networks, and no names: ${JSON.stringify(typed)}`))
    : Effect.succeed(list.success)
}

const isHeader = (name: string): name is "forwarded" | "x-forwarded-for" =>
  name === "forwarded" || name === "x-forwarded-for"

/** Whom a listener believes, as it was typed. */
export const serverOptions = Effect.fnUntraced(function* ({
  forwardedFrom,
  forwardedHeader,
  proxyProtocolFrom
}: ServerFlags): Effect.fn.Return<Pick<NodeUpgradeListener.Options, "proxyProtocol" | "forwarded">, UsageError> {
  const header = Option.getOrElse(forwardedHeader, () => "x-forwarded-for").toLowerCase()
  if (!isHeader(header)) {
    return yield* usage(`--forwarded-header expects x-forwarded-for or forwarded, got ${JSON.stringify(header)}`)
  }
  if (Option.isSome(forwardedHeader) && Option.isNone(forwardedFrom)) {
    return yield* usage("--forwarded-header needs --forwarded-from: whose header it is that is believed")
  }
  return {
    ...(Option.isSome(proxyProtocolFrom) && {
      proxyProtocol: { trusted: yield* listOf("proxy-protocol-from", proxyProtocolFrom.value) }
    }),
    ...(Option.isSome(forwardedFrom) && {
      forwarded: { trusted: yield* listOf("forwarded-from", forwardedFrom.value), header }
    })
  }
})

/** What targets are told, as it was typed. */
export const dialerOptions = ({
  sendProxy
}: TargetFlags): Effect.Effect<{ readonly proxyProtocol?: NodeProxyProtocol.Sending }, UsageError> => {
  if (Option.isNone(sendProxy)) return Effect.succeed({})
  if (sendProxy.value === "v1") return Effect.succeed({ proxyProtocol: { version: 1 } })
  if (sendProxy.value === "v2") {
    return Effect.succeed({ proxyProtocol: { version: 2, tlvs: ["authority", "alpn", "ssl"] } })
  }
  return Effect.fail(usage(`--send-proxy expects v1 or v2, got ${JSON.stringify(sendProxy.value)}`))
}
