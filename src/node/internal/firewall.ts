/**
 * Dialling through a firewall: connect to it, ask it for the target, and give the socket as if it had been dialled directly.
 * No byte that comes behind the firewall's answer is lost: what was read of it too early is put back into the stream.
 */
import * as Effect from "effect/Effect"
import * as Dns from "node:dns"
import * as Net from "node:net"
import { domainToASCII } from "node:url"
import { DialError } from "../../proxy/Dialer.ts"
import type * as Firewall from "../../proxy/Firewall.ts"
import type { Target } from "../../proxy/Target.ts"
import type { Destination, Negotiation, Refused } from "./negotiation.ts"
import * as Tunnel from "./tunnel.ts"

type Present = Exclude<Firewall.Firewall, Firewall.None>
type Negotiate = (negotiation: Negotiation<Present>) => void

/** Why one attempt failed, and whether another address may do. */
interface Failure {
  readonly error: DialError
  readonly another: boolean
}

/** The most addresses of a name that are tried in turn. */
const maxAddresses = 8

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

const ignore = () => {}

/** One connection to the firewall, asked for one destination; an interruption destroys it. */
const attempt = (
  target: Target,
  firewall: Present,
  destination: Destination,
  patience: number,
  negotiate: Negotiate
): Effect.Effect<Net.Socket, Failure> =>
  Effect.callback<Net.Socket, Failure>((resume) => {
    const socket = Net.connect({ host: firewall.host, port: firewall.port, allowHalfOpen: true, noDelay: true })
    // whoever reads adds a listener of its own, but not before this fiber runs on
    socket.on("error", ignore)
    let connected = false
    let granted = false
    const refused = ({ another = false, cause, said, timedOut = false }: Refused) => {
      // the request for a tunnel hears of errors as long as the connection lasts
      if (granted) return
      socket.destroy()
      const kind = timedOut ? "TimedOut" : (ownFaults[(cause as NodeJS.ErrnoException)?.code ?? ""] ?? "FirewallFailed")
      const detail = `The ${firewall} ${said}.`
      resume(
        Effect.fail({
          error: new DialError({ target, kind, ...(kind === "FirewallFailed" ? { detail } : {}), cause }),
          another
        })
      )
    }
    const onError = (cause: NodeJS.ErrnoException) => {
      const said = connected ? broken : (reasons[cause.code ?? ""] ?? "cannot be reached")
      refused({ said: cause.code === undefined ? said : `${said} (${cause.code})`, cause })
    }
    const grant = () => {
      granted = true
      socket.off("error", onError).off("end", onEnd)
      resume(Effect.succeed(socket))
    }
    const onEnd = () => refused({ said: "closed the connection before it answered" })
    socket.once("error", onError).once("end", onEnd)
    socket.once("connect", () => {
      connected = true
      negotiate({ firewall, destination, socket, patience, granted: grant, refused })
    })
    return Effect.sync(() => void socket.destroy())
  })

const lookup = (target: Target, family: 0 | 4): Effect.Effect<ReadonlyArray<string>, DialError> =>
  Effect.callback((resume) => {
    Dns.lookup(target.host, { all: true, family }, (cause, addresses) => {
      resume(
        cause === null
          ? Effect.succeed(addresses.slice(0, maxAddresses).map(({ address }) => address))
          : Effect.fail(new DialError({ target, kind: "NameNotFound", cause }))
      )
    })
  })

/** A name as protocols carry it: ASCII. */
const sendable = (target: Target, name: string): Effect.Effect<ReadonlyArray<string>, DialError> => {
  const ascii = /^[\x21-\x7e]+$/.test(name) ? name : domainToASCII(name)
  return ascii === "" || ascii.length > 255
    ? Effect.fail(new DialError({ target, kind: "NameNotFound" }))
    : Effect.succeed([ascii])
}

/** What the firewall is asked for, by the table in `proxy/Firewall.ts`: one after the other until one is granted. */
const destinations = (target: Target, firewall: Present): Effect.Effect<ReadonlyArray<string>, DialError> => {
  const starred = target.host.startsWith("*")
  const host = starred ? target.host.slice(1) : target.host
  const family = Net.isIP(host)
  if (family === 6) {
    if (firewall._tag === "Socks4" || firewall._tag === "Socks4a") {
      const detail = `The ${firewall} cannot be asked for an IPv6 address: its protocol has none.`
      return Effect.fail(new DialError({ target, kind: "FirewallFailed", detail }))
    }
    // a zone means nothing to another machine
    return Effect.succeed([host.replace(/%.*/, "")])
  }
  if (family === 4) return Effect.succeed([host])
  if (starred || firewall._tag === "Tunnel" || firewall._tag === "Socks4a") return sendable(target, host)
  return lookup(target, firewall._tag === "Socks4" ? 4 : 0)
}

/** The package for SOCKS is loaded by the first that needs it. */
const protocolOf = (firewall: Present): Effect.Effect<Negotiate> =>
  firewall._tag === "Tunnel"
    ? Effect.succeed(Tunnel.negotiate as Negotiate)
    : Effect.promise(() => import("./socks.ts").then((socks) => socks.negotiate as Negotiate))

/** Connects to the target through the firewall, and gives the raw socket; an interruption destroys it. */
export const connect = Effect.fnUntraced(function* (
  target: Target,
  firewall: Present,
  patience: number
): Effect.fn.Return<Net.Socket, DialError> {
  const negotiate = yield* protocolOf(firewall)
  const hosts = yield* destinations(target, firewall)
  const from = (index: number): Effect.Effect<Net.Socket, Failure> =>
    Effect.catch(
      attempt(target, firewall, { host: hosts[index]!, port: target.port }, patience, negotiate),
      (failure) => (failure.another && index + 1 < hosts.length ? from(index + 1) : Effect.fail(failure))
    )
  return yield* Effect.mapError(from(0), ({ error }) => error)
})
