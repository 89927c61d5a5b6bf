/**
 * Dialling through firewalls: connect to the first, ask each for the next and the last for the target, and give the socket as if it
 * had been dialled directly. No byte that comes behind a firewall's answer is lost: what was read of it too early is put back
 * into the stream.
 */
import * as Effect from "effect/Effect"
import type * as Host from "effect/net/Host"
import type * as Net from "node:net"
import { DialError } from "../../proxy/Dialer.ts"
import type { Present } from "../../proxy/Firewall.ts"
import { ClientTarget, type Target } from "../../proxy/Target.ts"
import * as TargetPolicy from "../../proxy/TargetPolicy.ts"
import { addressesOf, denied, readHost, type Resolver, type Unresolved, type Wanted } from "./addresses.ts"
import type { TlsClient } from "../../tls/TlsClient.ts"
import * as Connecting from "./connecting.ts"
import type { Destination, Negotiation, Refused } from "./negotiation.ts"
import * as Tls from "./tls.ts"
import * as Tunnel from "./tunnel.ts"

type Negotiate = (negotiation: Negotiation<Present>) => void

/** Why one attempt failed, and whether another address may do. */
interface Failure {
  readonly error: DialError
  readonly another: boolean
}

/** What all hops of a dial have in common. */
export interface Way {
  readonly target: Target
  readonly policy: TargetPolicy.TargetPolicy
  readonly resolver: Resolver
  /** The client of TLS for a firewall that speaks it, and what is to be said meanwhile if the time is over. */
  readonly clientOf: (firewall: Present) => Effect.Effect<TlsClient, DialError>
  readonly progress: Tls.Progress
  /** In milliseconds: how long an attempt at an address goes before another begins, and how long an answer may take. */
  readonly attemptDelay: number
  readonly patience: number
}

/** The most firewalls, one behind the other. */
const maxFirewalls = 8

/** What is this machine's fault, whatever stands in between. */
const ownFaults: Record<string, DialError["kind"]> = {
  ETIMEDOUT: "TimedOut",
  EMFILE: "Exhausted",
  ENFILE: "Exhausted",
  ENOBUFS: "Exhausted"
}

const broken = "broke the connection before it answered"

const reasons: Record<string, string> = {
  // as early as this it is the end of a connection that there was
  ECONNRESET: broken,
  ECONNREFUSED: "refused our connection",
  ENOTFOUND: "has a name that was not found",
  EAI_AGAIN: "has a name that was not found"
}

const failure = (
  target: Target,
  firewall: Present,
  { another = false, cause, said, timedOut = false }: Refused
): Failure => {
  const kind = timedOut ? "TimedOut" : (ownFaults[(cause as NodeJS.ErrnoException)?.code ?? ""] ?? "FirewallFailed")
  const detail = kind === "FirewallFailed" ? { detail: `The ${firewall} ${said}.` } : {}
  return { error: new DialError({ target, kind, ...detail, cause }), another }
}

const nameless = (target: Target, firewall: Present, { cause, detail }: Unresolved): Failure => {
  const code = (cause as NodeJS.ErrnoException | undefined)?.code
  const said = `has a name that was not found${code === undefined ? "" : ` (${code})`}`
  return failure(target, firewall, { said, cause: cause ?? detail })
}

const failed = (target: Target, firewall: Present, cause: NodeJS.ErrnoException, otherwise: string): Failure => {
  const said = reasons[cause.code ?? ""] ?? otherwise
  return failure(target, firewall, { said: cause.code === undefined ? said : `${said} (${cause.code})`, cause })
}

/** A connection to a firewall that nothing stands before. */
const dialled = ({ attemptDelay, resolver, target }: Way, firewall: Present): Effect.Effect<Net.Socket, Failure> =>
  addressesOf({ host: firewall.host, port: firewall.port, policy: TargetPolicy.everything }, resolver).pipe(
    Effect.mapError((unresolved) => nameless(target, firewall, unresolved)),
    Effect.flatMap((addresses) =>
      Connecting.connect(Connecting.endpoints(addresses, firewall.port), {
        delay: attemptDelay,
        isLean: false,
        missed: (all) => failed(target, firewall, Connecting.telling(all).cause, "cannot be reached")
      })
    )
  )

/** Asks the firewall at the other end for one destination; the socket is destroyed if it refuses, or on interruption. */
const negotiated = (
  { patience, target }: Way,
  firewall: Present,
  destination: Destination,
  socket: Net.Socket,
  negotiate: Negotiate
): Effect.Effect<Net.Socket, Failure> =>
  Effect.callback<Net.Socket, Failure>((resume) => {
    let granted = false
    const fail = (failure: Failure) => {
      // the request for a tunnel hears of errors as long as the connection lasts
      if (granted) return
      socket.destroy()
      resume(Effect.fail(failure))
    }
    const refused = (refused: Refused) => fail(failure(target, firewall, refused))
    const onError = (cause: NodeJS.ErrnoException) => fail(failed(target, firewall, cause, broken))
    const onEnd = () => refused({ said: "closed the connection before it answered" })
    const grant = () => {
      granted = true
      socket.off("error", onError).off("end", onEnd)
      resume(Effect.succeed(socket))
    }
    // whoever reads adds a listener of its own, but not before this fiber runs on
    Connecting.quiet(socket).once("error", onError).once("end", onEnd)
    negotiate({ firewall, destination, socket, patience, granted: grant, refused })
    return Effect.sync(() => void socket.destroy())
  })

/** What a firewall is to connect to: the target, or the next firewall. */
interface Asked extends Wanted {
  readonly isClients: boolean
  readonly unresolved: (why: Unresolved) => Failure
}

/** What the firewall is asked for, by the table in `proxy/Firewall.ts`: one after the other until one is granted. */
const destinations = Effect.fnUntraced(function* (
  { host, isClients, policy, port }: Asked,
  firewall: Present,
  resolver: Resolver
): Effect.fn.Return<ReadonlyArray<string>, Unresolved> {
  const starred = host.startsWith("*")
  if (starred && isClients) {
    return yield* Effect.fail({
      kind: "NotAllowed",
      detail: "Who looks up a name is not the client's to say."
    } as const)
  }
  const bare = starred ? host.slice(1) : host
  const { host: read, literal } = yield* Effect.fromResult(readHost(bare))
  const is4 = firewall._tag === "Socks4" || firewall._tag === "Socks4a"
  if (literal?.address._tag === "Ipv6Address" && is4) {
    const detail = `The ${firewall} cannot be asked for an IPv6 address: its protocol has none.`
    return yield* Effect.fail({ kind: "FirewallFailed", detail } as const)
  }
  if (literal === undefined && (starred || firewall._tag === "Tunnel" || firewall._tag === "Socks4a")) {
    // a host that is no address is a name
    const name = read as Host.DomainName
    const denial = TargetPolicy.judgeName(policy, name, port)
    return denial === undefined ? [name] : yield* Effect.fail(denied(denial))
  }
  const addresses = yield* addressesOf({ host: bare, port, policy }, resolver, is4 ? "IPv4" : undefined)
  // a zone means nothing to another machine
  return addresses.map((address) => address.replace(/%.*/, ""))
})

/** The package for SOCKS is loaded by the first that needs it. */
const protocolOf = (firewall: Present): Effect.Effect<Negotiate> =>
  firewall._tag === "Tunnel"
    ? Effect.succeed(Tunnel.negotiate as Negotiate)
    : Effect.promise(() => import("./socks.ts").then((socks) => socks.negotiate as Negotiate))

/** TLS with a firewall, over a connection to it. */
const secured = (way: Way, firewall: Present, client: TlsClient, connection: Net.Socket) => {
  const { progress, target } = way
  const peer: Tls.Peer = {
    name: "firewall",
    host: firewall.host.replace(/^\*/, ""),
    shown: String(firewall),
    error: (detail, cause) => {
      const said = `TLS with the ${firewall} failed: ${detail.charAt(0).toLowerCase()}${detail.slice(1)}`
      return new DialError({ target, kind: "FirewallFailed", detail: said, cause })
    }
  }
  return Tls.secure(peer, connection, client, progress).pipe(
    Effect.mapError((error): Failure => ({ error, another: false })),
    Effect.tap(() => Effect.sync(() => void (progress.late = undefined)))
  )
}

/** What comes of a socket, which is destroyed if nothing does. */
const onward = <A extends Net.Socket>(
  socket: Effect.Effect<Net.Socket, Failure>,
  next: (socket: Net.Socket) => Effect.Effect<A, Failure>
): Effect.Effect<A, Failure> =>
  Effect.uninterruptibleMask((restore) =>
    Effect.flatMap(restore(socket), (socket) =>
      Effect.onError(restore(next(socket)), () => Effect.sync(() => void socket.destroy()))
    )
  )

/** A hop, ready to be asked. */
interface Hop {
  readonly firewall: Present
  readonly negotiate: Negotiate
  /** Where it speaks TLS. */
  readonly client: TlsClient | undefined
}

/** A connection to the last of the hops. */
const open = (way: Way, hops: ReadonlyArray<Hop>): Effect.Effect<Net.Socket, Failure> => {
  const { client, firewall } = hops.at(-1)!
  const before = hops.slice(0, -1)
  const connection =
    before.length === 0
      ? dialled(way, firewall)
      : Effect.mapError(
          granted(way, before, {
            host: firewall.host,
            port: firewall.port,
            policy: TargetPolicy.everything,
            isClients: false,
            unresolved: (why) => nameless(way.target, firewall, why)
          }),
          (failure) => onTheWay(firewall, failure)
        )
  return client === undefined ? connection : onward(connection, (socket) => secured(way, firewall, client, socket))
}

/** A failure that is not the target's, and not about it. */
const onTheWay = (firewall: Present, { another, error }: Failure): Failure => {
  const { cause, detail, kind, target } = error
  const said = detail === undefined ? {} : { detail: `On the way to the ${firewall}: ${detail}` }
  return { error: new DialError({ target, kind, cause, ...said }), another }
}

/** A connection to what the last of the hops is asked for. */
const granted = (way: Way, hops: ReadonlyArray<Hop>, asked: Asked): Effect.Effect<Net.Socket, Failure> => {
  const { firewall, negotiate } = hops.at(-1)!
  return Effect.flatMap(
    Effect.mapError(destinations(asked, firewall, way.resolver), asked.unresolved),
    (hosts): Effect.Effect<Net.Socket, Failure> => {
      const ask = (host: string) =>
        onward(open(way, hops), (socket) => negotiated(way, firewall, { host, port: asked.port }, socket, negotiate))
      const from = (index: number): Effect.Effect<Net.Socket, Failure> =>
        Effect.catch(ask(hosts[index]!), (failure) =>
          failure.another && index + 1 < hosts.length ? from(index + 1) : Effect.fail({ ...failure, another: false })
        )
      return from(0)
    }
  )
}

/** Connects to the target through the firewalls, one behind the other, and gives the raw socket; an interruption destroys it. */
export const connect = Effect.fnUntraced(function* (
  way: Way,
  firewalls: ReadonlyArray<Present>
): Effect.fn.Return<Net.Socket, DialError> {
  const { policy, target } = way
  if (firewalls.length > maxFirewalls) {
    const detail = `There are ${firewalls.length} firewalls on the way, and no more than ${maxFirewalls} can be.`
    return yield* new DialError({ target, kind: "FirewallFailed", detail })
  }
  const hops = yield* Effect.forEach(firewalls, (firewall) =>
    Effect.map(
      // what cannot be used is said before anybody is connected to
      Effect.all([protocolOf(firewall), firewall.tls === true ? way.clientOf(firewall) : Effect.succeed(undefined)]),
      ([negotiate, client]): Hop => ({ firewall, negotiate, client })
    )
  )
  return yield* Effect.mapError(
    granted(way, hops, {
      host: target.host,
      port: target.port,
      policy,
      isClients: target instanceof ClientTarget,
      unresolved: (why) => ({ error: new DialError({ target, ...why }), another: false })
    }),
    ({ error }) => error
  )
})
