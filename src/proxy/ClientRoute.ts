/**
 * Targets that clients choose: `?address=host:port`, as serverless drivers for PostgreSQL ask their `wsproxy`. Without a list of
 * allowed targets that would be an open proxy, so a list is required.
 *
 * The list is applied twice. This route judges the text: an address has to be allowed, and a name has to be allowed by a rule
 * with that name, or by `*`; rules with networks are about addresses that clients give. The route gives a `ClientTarget`, and the
 * dialler judges the address that its name resolves to: give `NodeDialer` the same policy. A dialler without it still connects
 * clients to nothing that is reserved.
 *
 * **Example** (Two databases)
 *
 * ```ts
 * import { Result } from "effect"
 * import { ClientRoute, Target, TargetPolicy } from "effect-websocket"
 * import { NodeDialer } from "effect-websocket/node"
 *
 * const policy = Result.getOrThrow(TargetPolicy.make({ allow: ["db1.internal:5432", "db2.internal:5432"] }))
 *
 * export const route = ClientRoute.make({ policy })
 * export const Dialer = NodeDialer.layer({
 *   policy: (target) => (target instanceof Target.ClientTarget ? policy : TargetPolicy.everything)
 * })
 * ```
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as NetAddress from "effect/net/NetAddress"
import * as Result from "effect/Result"
import { Refusal } from "../protocol/OpeningHandshake.ts"
import * as Lines from "../server/internal/lines.ts"
import { notFound, type Route } from "./Router.ts"
import { ClientTarget, parseClient, readHost } from "./Target.ts"
import * as TargetPolicy from "./TargetPolicy.ts"

/**
 * What clients may choose, and where they say it. Only `policy` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Which targets clients may choose. A policy without rules in `allow` lets them choose none. */
  readonly policy: TargetPolicy.TargetPolicy
  /** The parameter of the query. Default: `address`. */
  readonly parameter?: string | undefined
}

/** The longest that a target can be: a name of 253 characters with a dot, a colon and a port, and some room. */
const maxLength = 300

interface Read {
  readonly target: ClientTarget
  readonly judge: (policy: TargetPolicy.TargetPolicy) => TargetPolicy.Denial | undefined
}

const read = (text: string): Result.Result<Read, string> =>
  Result.flatMap(parseClient(text), ({ host: given, port }) =>
    Result.flatMap(readHost(given), (host): Result.Result<Read, string> => {
      if (typeof host !== "string") {
        const target = new ClientTarget({ host: NetAddress.formatIp(host), port })
        return Result.succeed({ target, judge: (policy) => TargetPolicy.judge(policy, { address: host, port }) })
      }
      // which networks this machine is in is not the client's to know
      if (NetAddress.isScopedIpv6Literal(host)) return Result.fail("an address with a zone")
      const target = new ClientTarget({ host, port })
      return Result.succeed({ target, judge: (policy) => TargetPolicy.judgeName(policy, host, port) })
    })
  )

const unreadable = new Refusal({ status: 400, reason: "The address of the target must be host:port, once." })
const denied = new Refusal({ status: 403, reason: "The target is not allowed." })
const missing = Effect.fail(notFound)

/**
 * A route to the target that a request names. It answers 404 if there is none, 400 if it cannot be read, and 403 if it is not
 * allowed, which is logged (up to 20 lines a second).
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = ({ parameter = "address", policy }: Options): Route => {
  const tell = Lines.make()
  const refuse = (client: string | undefined, why: string) =>
    Effect.andThen(
      tell((untold) => Effect.logWarning(`A target is not allowed to ${client ?? "a client"}: ${why}${untold}`)),
      Effect.fail(denied)
    )
  return ({ remoteAddress, request }) => {
    const [text, ...others] = request.query.getAll(parameter)
    if (text === undefined) return missing
    if (others.length > 0 || text.length > maxLength) return Effect.fail(unreadable)
    const found = read(text)
    if (Result.isFailure(found)) return Effect.fail(unreadable)
    if (policy.allow.length === 0) return refuse(remoteAddress, "no rule allows any.")
    const denial = found.success.judge(policy)
    return denial === undefined ? Effect.succeed(found.success.target) : refuse(remoteAddress, denial.message)
  }
}
