/**
 * The flags about the target: how it is dialled, in TLS or not, and which targets may be connected to at all.
 */
import * as Effect from "effect/Effect"
import type * as Host from "effect/net/Host"
import * as Option from "effect/Option"
import * as Result from "effect/Result"
import { literalOf } from "../node/internal/addresses.ts"
import type * as NodeDialer from "../node/NodeDialer.ts"
import { type AnyTarget, ClientTarget, readHost, UnixTarget } from "../proxy/Target.ts"
import * as TargetPolicy from "../proxy/TargetPolicy.ts"
import type * as TlsClient from "../tls/TlsClient.ts"
import type { UsageError } from "./Address.ts"
import { authorities, certificate, usable } from "./tlsClient.ts"
import { given, optional, repeated, usage } from "./typed.ts"
import * as Way from "./way.ts"

/** The flags of a command that has targets. */
export const target = {
  ...Way.to("target"),
  targetTls: given("target-tls", "Speak TLS to the target"),
  targetCa: optional("target-ca", "FILE", "Trust these authorities alone for the target's certificate (PEM)"),
  targetCert: optional("target-cert", "FILE", "Present this certificate to the target: PEM with its key, or PFX"),
  targetKey: optional("target-key", "FILE", "The private key of that certificate, if it is in a file of its own"),
  targetCertPassword: optional(
    "target-cert-password-env",
    "NAME",
    "The environment variable that has the password of that certificate or key"
  ),
  targetName: optional("target-name", "NAME", "The name in the target's certificate, and in SNI (the target's host)"),
  targetAlpn: repeated("target-alpn", "PROTOCOL", "Offer this application protocol (ALPN); repeat it for more"),
  targetInsecure: given(
    "target-insecure",
    "Accept any certificate of the target; each connection is logged as insecure"
  ),
  allowTarget: repeated(
    "allow-target",
    "RULE",
    "Connect to these targets alone: 10.0.0.0/8:5432, *.db.internal, [fd00::/8]:1-1023, unix:PATH; repeatable"
  ),
  denyTarget: repeated("deny-target", "RULE", "Never connect to these targets, whatever is allowed; repeatable")
}

/** What was typed for them. */
export interface Flags extends Way.Flags {
  readonly targetTls: boolean
  readonly targetCa: Option.Option<string>
  readonly targetCert: Option.Option<string>
  readonly targetKey: Option.Option<string>
  readonly targetCertPassword: Option.Option<string>
  readonly targetName: Option.Option<string>
  readonly targetAlpn: ReadonlyArray<string>
  readonly targetInsecure: boolean
  readonly allowTarget: ReadonlyArray<string>
  readonly denyTarget: ReadonlyArray<string>
}

const needsTls: ReadonlyArray<readonly [string, (flags: Flags) => boolean]> = [
  ["target-ca", ({ targetCa }) => Option.isSome(targetCa)],
  ["target-cert", ({ targetCert }) => Option.isSome(targetCert)],
  ["target-key", ({ targetKey }) => Option.isSome(targetKey)],
  ["target-cert-password-env", ({ targetCertPassword }) => Option.isSome(targetCertPassword)],
  ["target-name", ({ targetName }) => Option.isSome(targetName)],
  ["target-alpn", ({ targetAlpn }) => targetAlpn.length > 0],
  ["target-insecure", ({ targetInsecure }) => targetInsecure]
]

/** Which flag a mistake is of. */
const faultOf = {
  InvalidCa: "target-ca",
  InvalidServerName: "target-name",
  UnusableCertificate: "target-cert",
  InvalidSettings: "target-tls"
} as const

const tlsOptions = Effect.fnUntraced(function* (
  flags: Flags
): Effect.fn.Return<TlsClient.Options | undefined, UsageError> {
  const { targetAlpn, targetCa, targetInsecure, targetName, targetTls } = flags
  if (!targetTls) {
    const stray = needsTls.find(([, isGiven]) => isGiven(flags))
    return stray === undefined
      ? undefined
      : yield* usage(`--${stray[0]} is for TLS to the target, and needs --target-tls`)
  }
  if (targetInsecure && Option.isSome(targetCa)) {
    return yield* usage("--target-insecure accepts any certificate, which makes nothing of --target-ca: leave one out")
  }
  const ca = yield* authorities("target-ca", targetCa)
  return yield* usable(faultOf, {
    certificate: yield* certificate(
      ["target-cert", flags.targetCert],
      ["target-key", flags.targetKey],
      ["target-cert-password-env", flags.targetCertPassword]
    ),
    serverName: Option.getOrUndefined(targetName),
    insecure: targetInsecure,
    ...(ca !== undefined && { ca, onlyGivenCa: true }),
    ...(targetAlpn.length > 0 && { alpnProtocols: targetAlpn })
  })
})

/** What clients may choose, and what may be configured; nothing where no flag says so. */
export const policies = Effect.fnUntraced(function* ({
  allowTarget: allow,
  denyTarget: deny
}: Pick<Flags, "allowTarget" | "denyTarget">): Effect.fn.Return<Policies | undefined, UsageError> {
  if (allow.length === 0 && deny.length === 0) return undefined
  const rules = (flag: string, texts: ReadonlyArray<string>) =>
    Effect.forEach(texts, (text) =>
      Effect.mapError(Effect.fromResult(TargetPolicy.parseRule(text)), ({ message }) => usage(`--${flag}: ${message}`))
    )
  const allowed = yield* rules("allow-target", allow)
  const denied = yield* rules("deny-target", deny)
  return {
    chosen: new TargetPolicy.TargetPolicy(allowed, denied, "refused"),
    // what an operator wrote may be on this machine or in its networks
    configured: new TargetPolicy.TargetPolicy(allowed, denied, "allowed")
  }
})

interface Policies {
  readonly chosen: TargetPolicy.TargetPolicy
  readonly configured: TargetPolicy.TargetPolicy
}

/** Whether a rule is about no address, so that what a name leads to makes no difference to it. */
const isOfNames = (rule: TargetPolicy.Rule): boolean =>
  rule._tag === "Unix" || rule.hosts.entries.every(({ _tag }) => _tag === "Name" || _tag === "NamePattern")

/** Why a target can never be connected to, as far as that is known before its name is looked up. */
export const exclusionOf = (policy: TargetPolicy.TargetPolicy, target: AnyTarget): string | undefined => {
  if (target instanceof UnixTarget) return TargetPolicy.judgeUnix(policy, target.path)?.message
  const host = Result.getOrUndefined(readHost(target.host.replace(/^\*/, "")))
  if (host === undefined) return undefined
  const literal = literalOf(host)
  if (literal !== undefined) {
    return TargetPolicy.judge(policy, { address: literal.address, port: target.port })?.message
  }
  // what is no address is a name
  const denial = TargetPolicy.judgeName(policy, host as Host.DomainName, target.port)
  const isFinal = denial?.kind === "Denied" || (denial?.kind === "NotAllowed" && policy.allow.every(isOfNames))
  return isFinal ? denial.message : undefined
}

const policyOf = (flags: Flags): Effect.Effect<NodeDialer.Options["policy"], UsageError> =>
  Effect.map(
    policies(flags),
    (both) => both && ((target) => (target instanceof ClientTarget ? both.chosen : both.configured))
  )

/** The options of the dialler, given what was typed, and the target if one was. */
export const dialerOptions = Effect.fnUntraced(function* (
  flags: Flags,
  target: string | undefined
): Effect.fn.Return<NodeDialer.Options, UsageError> {
  if (flags.targetTls && target?.startsWith("unix:")) {
    return yield* usage("--target-tls is for targets of a network: a unix socket is of this machine, and plain")
  }
  return {
    ...(yield* Way.dialerOptions(flags)),
    tls: yield* tlsOptions(flags),
    policy: yield* policyOf(flags)
  }
})
