/**
 * Dialling through a firewall: connect to it, ask it for the target, and give the socket as if it had been dialled directly.
 * No byte that comes behind the firewall's answer is lost: what was read of it too early is put back into the stream.
 */
import * as Effect from "effect/Effect"
import type * as Host from "effect/net/Host"
import type * as Net from "node:net"
import { DialError } from "../../proxy/Dialer.ts"
import type * as Firewall from "../../proxy/Firewall.ts"
import { ClientTarget, type Target } from "../../proxy/Target.ts"
import * as TargetPolicy from "../../proxy/TargetPolicy.ts"
import { addressesOf, denied, literalOf, readHost, type Resolver, type Unresolved } from "./addresses.ts"
import * as Connecting from "./connecting.ts"
import type { Destination, Negotiation, Refused } from "./negotiation.ts"
import * as Tunnel from "./tunnel.ts"

type Present = Exclude<Firewall.Firewall, Firewall.None>
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
  /** In milliseconds: how long an attempt at an address goes before another begins, and how long an answer may take. */
  readonly attemptDelay: number
  readonly patience: number
}

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

const failed = (target: Target, firewall: Present, cause: NodeJS.ErrnoException, otherwise: string): Failure => {
  const said = reasons[cause.code ?? ""] ?? otherwise
  return failure(target, firewall, { said: cause.code === undefined ? said : `${said} (${cause.code})`, cause })
}

/** A connection to the firewall. */
const open = ({ attemptDelay, resolver, target }: Way, firewall: Present): Effect.Effect<Net.Socket, Failure> => {
  const wanted = { host: firewall.host, port: firewall.port, policy: TargetPolicy.everything }
  return addressesOf(wanted, resolver).pipe(
    Effect.mapError(({ cause, detail }) => {
      const code = (cause as NodeJS.ErrnoException | undefined)?.code
      const said = `has a name that was not found${code === undefined ? "" : ` (${code})`}`
      return failure(target, firewall, { said, cause: cause ?? detail })
    }),
    Effect.flatMap((addresses) =>
      Effect.mapError(Connecting.connect(Connecting.endpoints(addresses, firewall.port), attemptDelay), (missed) =>
        failed(target, firewall, Connecting.telling(missed).cause, "cannot be reached")
      )
    )
  )
}

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

/** What the firewall is asked for, by the table in `proxy/Firewall.ts`: one after the other until one is granted. */
const destinations = Effect.fnUntraced(function* (
  { policy, resolver, target }: Way,
  firewall: Present
): Effect.fn.Return<ReadonlyArray<string>, Unresolved> {
  const starred = target.host.startsWith("*")
  if (starred && target instanceof ClientTarget) {
    return yield* Effect.fail({
      kind: "NotAllowed",
      detail: "Who looks up a name is not the client's to say."
    } as const)
  }
  const bare = starred ? target.host.slice(1) : target.host
  const host = yield* readHost(bare)
  const literal = literalOf(host)
  const is4 = firewall._tag === "Socks4" || firewall._tag === "Socks4a"
  if (literal?.address._tag === "Ipv6Address" && is4) {
    const detail = `The ${firewall} cannot be asked for an IPv6 address: its protocol has none.`
    return yield* Effect.fail({ kind: "FirewallFailed", detail } as const)
  }
  if (literal === undefined && (starred || firewall._tag === "Tunnel" || firewall._tag === "Socks4a")) {
    // no address is a string without a zone, which is literal
    const name = host as Host.DomainName
    const denial = TargetPolicy.judgeName(policy, name, target.port)
    return denial === undefined ? [name] : yield* Effect.fail(denied(denial))
  }
  const wanted = { host: bare, port: target.port, policy }
  const addresses = yield* addressesOf(wanted, resolver, is4 ? "IPv4" : undefined)
  // a zone means nothing to another machine
  return addresses.map((address) => address.replace(/%.*/, ""))
})

/** The package for SOCKS is loaded by the first that needs it. */
const protocolOf = (firewall: Present): Effect.Effect<Negotiate> =>
  firewall._tag === "Tunnel"
    ? Effect.succeed(Tunnel.negotiate as Negotiate)
    : Effect.promise(() => import("./socks.ts").then((socks) => socks.negotiate as Negotiate))

/** Connects to the target through the firewall, and gives the raw socket; an interruption destroys it. */
export const connect = Effect.fnUntraced(function* (
  way: Way,
  firewall: Present
): Effect.fn.Return<Net.Socket, DialError> {
  const { target } = way
  const negotiate = yield* protocolOf(firewall)
  const hosts = yield* Effect.mapError(
    destinations(way, firewall),
    (unresolved) => new DialError({ target, ...unresolved })
  )
  const ask = (host: string): Effect.Effect<Net.Socket, Failure> =>
    Effect.uninterruptibleMask((restore) =>
      Effect.flatMap(restore(open(way, firewall)), (socket) =>
        restore(negotiated(way, firewall, { host, port: target.port }, socket, negotiate))
      )
    )
  const from = (index: number): Effect.Effect<Net.Socket, Failure> =>
    Effect.catch(ask(hosts[index]!), (failure) =>
      failure.another && index + 1 < hosts.length ? from(index + 1) : Effect.fail(failure)
    )
  return yield* Effect.mapError(from(0), ({ error }) => error)
})
