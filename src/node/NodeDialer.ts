/**
 * The {@link Dialer} over `node:net`: a name is looked up once, its addresses are judged by a policy, and those that pass are
 * connected to, IPv6 and IPv4 in turn (RFC 8305), with a deadline for the whole. With firewalls, the first is dialled; each is
 * asked to connect to the next, and the last to the target. With TLS the handshake is part of dialling, and a target that cannot
 * prove its identity is refused.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Duration from "effect/Duration"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Layer from "effect/Layer"
import type * as Dns from "effect/net/Dns"
import * as Result from "effect/Result"
import * as Schedule from "effect/Schedule"
import * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type * as Net from "node:net"
import * as Now from "../connection/internal/now.ts"
import { duration, integer } from "../protocol/internal/option.ts"
import { type Client, DialError, Dialer } from "../proxy/Dialer.ts"
import { type Firewall, isPresent, none, type Present } from "../proxy/Firewall.ts"
import { type AnyTarget, ClientTarget, type Target, UnixTarget } from "../proxy/Target.ts"
import * as TargetPolicy from "../proxy/TargetPolicy.ts"
import type * as TlsClient from "../tls/TlsClient.ts"
import { addressesOf, denied, type Resolver, type Unresolved } from "./internal/addresses.ts"
import { announce } from "./internal/announce.ts"
import * as Connecting from "./internal/connecting.ts"
import { inTime } from "./internal/inTime.ts"
import { systemDns } from "./internal/systemDns.ts"
import type * as Tls from "./internal/tls.ts"
import { isTooLong } from "./internal/unixPath.ts"
import type * as NodeProxyProtocol from "./NodeProxyProtocol.ts"
import * as NodeSocket from "./NodeSocket.ts"

/**
 * What is on the way to a target: a firewall, or several, the first being the nearest.
 *
 * @category models
 * @since 0.1.0
 */
export type Firewalls = Firewall | ReadonlyArray<Firewall>

/**
 * How targets are connected to. Everything has a default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** How long connecting may take, the look-up of the name and a firewall's answer included. Default: 10 seconds. */
  readonly dialTimeout?: Duration.Input | undefined
  /**
   * What may be connected to: see `TargetPolicy`. A target's name is looked up once, the policy judges each of its addresses, and
   * only those that it allows are connected to. If a firewall looks up the name, the policy judges the name alone. A function is
   * asked at each dial. Default: configured targets may be anything, and targets that clients choose may be anything that is not
   * reserved.
   */
  readonly policy?: TargetPolicy.TargetPolicy | ((target: AnyTarget) => TargetPolicy.TargetPolicy) | undefined
  /** What looks up the names of targets and firewalls. Default: the system's resolver, with its hosts file. */
  readonly dns?: Pick<Dns.Dns["Service"], "lookup"> | undefined
  /**
   * How long an attempt at one address may take before the next address is tried in parallel (RFC 8305 section 5); at most 8
   * addresses are tried. At least 10 milliseconds. Default: 250 milliseconds.
   */
  readonly attemptDelay?: Duration.Input | undefined
  /**
   * How often a target is tried again within `dialTimeout` if it refuses, cannot be reached, or does not answer in the system's
   * own time. Its name is looked up again. Only for targets that are dialled directly. At most 10. Default: 0.
   */
  readonly retries?: number | undefined
  /** The wait before the first retry; each is twice as long as the one before, give or take a fifth, up to 5 seconds. Default: 100 milliseconds. */
  readonly retryDelay?: Duration.Input | undefined
  /**
   * The firewalls that targets are dialled through, at most 8. With several, the first is dialled, and each is asked to connect
   * to the next. A function is asked at each dial. Default: none.
   */
  readonly firewall?: Firewalls | ((target: Target) => Firewalls) | undefined
  /**
   * How TLS is spoken with firewalls that have `tls`. A function is asked at each dial, and should give the same object for the
   * same firewall. Default: the system's authorities are trusted, and the certificate must be for the firewall's host.
   */
  readonly firewallTls?: TlsClient.Options | ((firewall: Present) => TlsClient.Options) | undefined
  /**
   * TLS to the targets. A function is asked at each dial, and may return `undefined` for no TLS. It should return the same object
   * for the same target, since each object is prepared once. Default: none.
   */
  readonly tls?: TlsClient.Options | ((target: Target) => TlsClient.Options | undefined) | undefined
  /**
   * Tells targets which client they are dialled for: a header of the PROXY protocol, before anything else. A function is asked at
   * each dial, and may return `undefined` for no header. Default: no header.
   */
  readonly proxyProtocol?:
    | NodeProxyProtocol.Sending
    | ((target: AnyTarget) => NodeProxyProtocol.Sending | undefined)
    | undefined
}

/** What another try may mend. */
const passing: ReadonlySet<DialError["kind"]> = new Set(["Refused", "Unreachable", "TimedOut"])

/** The most retries, and the longest wait between them. */
const maxRetries = 10
const maxRetryDelay = "5 seconds"

const missed = (target: AnyTarget, all: NonEmptyReadonlyArray<Connecting.Missed>): DialError => {
  const { cause } = Connecting.telling(all)
  const kind = Connecting.kindOf(cause)
  if (all.every((one) => Connecting.kindOf(one.cause) === kind)) return new DialError({ target, kind, cause })
  const each = all.map(({ cause, endpoint }) => `${"host" in endpoint ? endpoint.host : target} (${cause.code})`)
  return new DialError({
    target,
    kind,
    cause,
    detail: `None of its addresses can be connected to: ${each.join(", ")}.`
  })
}

/** As Node 26 fails to connect to such a path. */
const tooLong = (target: UnixTarget): DialError => {
  const cause = Object.assign(new Error(`connect EINVAL ${target.path}`), { code: "EINVAL", syscall: "connect" })
  return new DialError({ target, kind: Connecting.kindOf(cause), cause })
}

/** What plain dialling does without, loaded by the first dial that needs it. */
const firewalling = Effect.promise(() => import("./internal/firewall.ts"))
const tlsClients = Effect.promise(() => import("../tls/TlsClient.ts"))
const tlsHandshakes = Effect.promise(() => import("./internal/tls.ts"))

/** Gives the client of options, which is made once for each of these objects. */
const makeClients = () => {
  const clients = new WeakMap<TlsClient.Options, ReturnType<typeof TlsClient.make>>()
  return (target: Target, options: TlsClient.Options): Effect.Effect<TlsClient.TlsClient, DialError> =>
    Effect.flatMap(tlsClients, (TlsClient) => {
      let client = clients.get(options)
      if (client === undefined) clients.set(options, (client = TlsClient.make(options)))
      if (Result.isSuccess(client)) return Effect.succeed(client.success)
      const cause = client.failure
      const detail = `The options of TLS cannot be used: ${cause.message}.`
      return Effect.fail(new DialError({ target, kind: "TlsFailed", detail, cause }))
    })
}

/** One object, since it is prepared but once. */
const byDefault: TlsClient.Options = {}

const isOne = (firewalls: Firewalls): firewalls is Firewall => !Array.isArray(firewalls)

/** Until a reader is acquired nobody else would destroy it. */
const abandon = (socket: Net.Socket): Effect.Effect<void> => {
  if (!socket.writableEnded) socket.destroy()
  return Effect.void
}

/** In a function of its own, since what a finalizer closes over lives as long as the connection. */
const own = (socket: Net.Socket, scope: Scope.Scope): Effect.Effect<void> =>
  Scope.addFinalizerExit(scope, () => abandon(socket))

const scoped = (dialled: Effect.Effect<Net.Socket, DialError>): Effect.Effect<Socket.Socket, DialError, Scope.Scope> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(dialled), (socket) =>
      Effect.flatMap(Effect.scope, (scope) => Effect.as(own(socket, scope), NodeSocket.fromDuplex(socket)))
    )
  )

const byOrigin = (target: AnyTarget): TargetPolicy.TargetPolicy =>
  target instanceof ClientTarget ? TargetPolicy.unreserved : TargetPolicy.everything

/** Tries again what may pass, within the dial timeout, which ends it all; `undefined` if nothing is to be tried again. */
const retry = (options: Options) => {
  const times = Math.min(integer("retries", options.retries, 0), maxRetries)
  const delay = duration("retryDelay", options.retryDelay, "100 millis")
  const schedule = Schedule.jittered(Schedule.min([Schedule.exponential(delay), Schedule.spaced(maxRetryDelay)]))
  if (times < 1) return undefined
  return <A>(dial: Effect.Effect<A, DialError>): Effect.Effect<A, DialError> =>
    Effect.retry(dial, { schedule, times, while: ({ kind }) => passing.has(kind) })
}

/** Dials a raw socket, which nobody reads, and which is the caller's to destroy. */
type Dial = (target: AnyTarget, client?: Client) => Effect.Effect<Net.Socket, DialError>

/** What a dial goes by; the functions among the options are asked once. */
interface Plan {
  readonly target: AnyTarget
  readonly client: Client | undefined
  readonly policy: TargetPolicy.TargetPolicy
  readonly sending: NodeProxyProtocol.Sending | undefined
  readonly firewalls: ReadonlyArray<Present>
  readonly tls: TlsClient.Options | undefined
  readonly progress: Tls.Progress
}

type Endpoints = NonEmptyReadonlyArray<Net.NetConnectOpts>

/** Where the target is; an `Exit` where nothing has to be looked up for that. */
const endpointsOf = ({ policy, target }: Plan, resolver: Resolver): Effect.Effect<Endpoints, DialError> => {
  const onFailure = (unresolved: Unresolved) => new DialError({ target, ...unresolved })
  if (target instanceof UnixTarget) {
    const denial = TargetPolicy.judgeUnix(policy, target.path)
    if (denial !== undefined) return Effect.fail(onFailure(denied(denial)))
    return isTooLong(target.path) ? Effect.fail(tooLong(target)) : Effect.succeed([{ path: target.path }])
  }
  const { host, port } = target
  const onSuccess = (all: NonEmptyReadonlyArray<string>) => Connecting.endpoints(all, port)
  const addresses = addressesOf({ host, port, policy }, resolver)
  const known = Now.exitOf(addresses)
  return known === undefined
    ? Effect.mapBoth(addresses, { onFailure, onSuccess })
    : Exit.mapBoth(known, { onFailure, onSuccess })
}

/**
 * What is not read by `NodeSocket` alone from its first byte may not be lean, but for an answer to `internal/openingRequest.ts`: see
 * `internal/leanReads.ts`.
 *
 * @internal
 */
export const sockets = (options: Options, mayBeLean: boolean): Dial => {
  const patience = duration("dialTimeout", options.dialTimeout, "10 seconds", "above 0")
  const { dns: resolver = systemDns, firewall = none, firewallTls = byDefault } = options
  const { policy = byOrigin, proxyProtocol, tls } = options
  const attemptDelay = Math.max(10, duration("attemptDelay", options.attemptDelay, "250 millis"))
  const firewallOf = typeof firewall === "function" ? firewall : () => firewall
  const firewallTlsOf = typeof firewallTls === "function" ? firewallTls : () => firewallTls
  const policyOf = typeof policy === "function" ? policy : () => policy
  const tlsOf = typeof tls === "function" ? tls : () => tls
  const sendingOf = typeof proxyProtocol === "function" ? proxyProtocol : () => proxyProtocol
  const clientOf = makeClients()
  const again = retry(options)

  const planOf = (target: AnyTarget, client: Client | undefined): Plan => {
    // it is on this machine: nothing is in between, and it has nothing to prove
    const isLocal = target instanceof UnixTarget
    const chosen = isLocal ? none : firewallOf(target)
    return {
      target,
      client,
      policy: policyOf(target),
      sending: sendingOf(target),
      firewalls: (isOne(chosen) ? [chosen] : chosen).filter(isPresent),
      tls: isLocal ? undefined : tlsOf(target),
      progress: { late: undefined }
    }
  }

  /** `late` is failed with when the time for all of it is over, if nobody else sees to that. */
  const connect = ({ target }: Plan, endpoints: Endpoints, isLean: boolean, late?: () => DialError) =>
    Connecting.connect(endpoints, {
      delay: attemptDelay,
      isLean,
      missed: (all) => missed(target, all),
      limit: late && { millis: patience, late }
    })

  const directly = (plan: Plan, isLean: boolean): Effect.Effect<Net.Socket, DialError> =>
    Effect.flatMap(endpointsOf(plan, resolver), (endpoints) => connect(plan, endpoints, isLean))

  const through = (target: Target, { firewalls, policy, progress }: Plan) => {
    const clientFor = (firewall: Present) =>
      Effect.mapError(clientOf(target, firewallTlsOf(firewall)), ({ cause, detail }) => {
        const said = `The ${firewall} cannot be asked. ${detail}`
        return new DialError({ target, kind: "FirewallFailed", detail: said, cause })
      })
    const way = { target, policy, resolver, clientOf: clientFor, progress, attemptDelay, patience }
    return Effect.flatMap(firewalling, ({ connect }) => connect(way, firewalls))
  }

  /** What is lean is read by nobody else before it is given out. */
  const reach = (plan: Plan, isLean: boolean): Effect.Effect<Net.Socket, DialError> => {
    const { firewalls, target } = plan
    if (firewalls.length > 0 && !(target instanceof UnixTarget)) return through(target, plan)
    const dial = directly(plan, isLean)
    return again === undefined ? dial : again(dial)
  }

  /** Connects, and says for whom. */
  const begin = (plan: Plan, isLean: boolean): Effect.Effect<Net.Socket, DialError> => {
    const { client, sending, target } = plan
    if (sending === undefined) return reach(plan, isLean)
    return Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(reach(plan, isLean)), (connection) =>
        Effect.as(
          Effect.onError(restore(announce(connection, target, client, sending)), () =>
            Effect.sync(() => void connection.destroy())
          ),
          connection
        )
      )
    )
  }

  const open = (plan: Plan): Effect.Effect<Net.Socket, DialError> => {
    const { progress, target, tls } = plan
    if (tls === undefined || target instanceof UnixTarget) return begin(plan, mayBeLean)
    return Effect.uninterruptibleMask((restore) =>
      Effect.gen(function* () {
        // what cannot be used is said before anybody is connected to
        const tlsClient = yield* clientOf(target, tls)
        const { secure, toTarget } = yield* tlsHandshakes
        const connection = yield* restore(begin(plan, false))
        return yield* Effect.onError(restore(secure(toTarget(target), connection, tlsClient, progress)), () =>
          Effect.sync(() => void connection.destroy())
        )
      })
    )
  }

  /** Whether there is nothing to do but to connect, once. */
  const isBare = ({ firewalls, sending, tls }: Plan): boolean =>
    firewalls.length === 0 && sending === undefined && tls === undefined && again === undefined

  return (target, client) =>
    Effect.suspend(() => {
      const plan = planOf(target, client)
      const late = () => new DialError({ target, kind: "TimedOut", detail: plan.progress.late })
      // most targets are addresses, and then the connection keeps the time by itself: a fiber less
      const endpoints = isBare(plan) ? Now.exitOf(endpointsOf(plan, resolver)) : undefined
      if (endpoints === undefined) return inTime(open(plan), patience, late)
      return Exit.isSuccess(endpoints)
        ? connect(plan, endpoints.value, mayBeLean, late)
        : Effect.failCause(endpoints.cause)
    })
}

/**
 * A dialler. Throws for an invalid option, such as a negative duration.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (options: Options = {}): Dialer["Service"] => {
  const dial = sockets(options, true)
  return { dial: (target, client) => scoped(dial(target, client)) }
}

/**
 * {@link make} as a layer.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options = {}): Layer.Layer<Dialer> => Layer.sync(Dialer)(() => make(options))
