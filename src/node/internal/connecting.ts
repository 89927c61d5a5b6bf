/**
 * One connection to the first of several endpoints that takes it: Happy Eyeballs, RFC 8305 section 5. The next is tried when one
 * has failed or is silent for a while, beside it; the first that is open ends all others. Nothing is looked up here.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import type { DialError } from "../../proxy/Dialer.ts"
import * as LeanReads from "./leanReads.ts"
import { maxTimer } from "./timers.ts"

/** An endpoint that could not be connected to. */
export interface Missed {
  readonly endpoint: Net.NetConnectOpts
  readonly cause: NodeJS.ErrnoException
}

/** What a failure means to whoever wants the target. */
const kinds: Readonly<Record<string, DialError["kind"]>> = {
  ECONNREFUSED: "Refused",
  ECONNRESET: "Refused",
  EHOSTUNREACH: "Unreachable",
  EHOSTDOWN: "Unreachable",
  ENETUNREACH: "Unreachable",
  ENETDOWN: "Unreachable",
  EADDRNOTAVAIL: "Unreachable",
  EAFNOSUPPORT: "Unreachable",
  ETIMEDOUT: "TimedOut",
  EMFILE: "Exhausted",
  ENFILE: "Exhausted",
  ENOBUFS: "Exhausted",
  // a unix socket that is not there
  ENOENT: "Refused",
  EACCES: "NotAllowed",
  EPERM: "NotAllowed"
}

/** From what says most of a target to what says least: a family that this machine does not have is unreachable at once. */
const ranks: ReadonlyArray<DialError["kind"]> = [
  "Exhausted",
  "Refused",
  "TimedOut",
  "NotAllowed",
  "Failed",
  "Unreachable"
]

export const kindOf = (cause: NodeJS.ErrnoException): DialError["kind"] => kinds[cause.code ?? ""] ?? "Failed"

/** The failure that says most about the target, of several. */
export const telling = (missed: NonEmptyReadonlyArray<Missed>): Missed => {
  const rank = ({ cause }: Missed) => ranks.indexOf(kindOf(cause))
  return missed.reduce((best, one) => (rank(one) < rank(best) ? one : best))
}

const ignore = () => {}

/** The endpoints of addresses. */
export const endpoints = (addresses: NonEmptyReadonlyArray<string>, port: number) =>
  // map keeps the length
  addresses.map((host) => ({ host, port, noDelay: true })) as unknown as NonEmptyReadonlyArray<Net.NetConnectOpts>

/**
 * Connects, and gives the raw socket, which nobody listens to; an interruption destroys all that there is. One that `isLean` is for
 * `NodeSocket` alone to read.
 */
export const connect = (
  endpoints: NonEmptyReadonlyArray<Net.NetConnectOpts>,
  attemptDelay: number,
  isLean = false
): Effect.Effect<Net.Socket, NonEmptyReadonlyArray<Missed>> =>
  Effect.callback<Net.Socket, NonEmptyReadonlyArray<Missed>>((resume) => {
    const waiting = [...endpoints]
    const open = new Set<Net.Socket>()
    const missed: Array<Missed> = []
    let timer: NodeJS.Timeout | undefined
    const stop = () => {
      clearTimeout(timer)
      waiting.length = 0
      for (const socket of open) socket.destroy()
      open.clear()
    }
    const next = () => {
      clearTimeout(timer)
      const endpoint = waiting.shift()
      if (endpoint === undefined) return
      if (waiting.length > 0) timer = setTimeout(next, Math.min(attemptDelay, maxTimer))
      // the target's FIN must not end our side: what the client has sent is still to be delivered
      const socket = Net.connect({ ...endpoint, allowHalfOpen: true, ...(isLean && { onread: LeanReads.onread }) })
      if (isLean) LeanReads.begin(socket)
      open.add(socket)
      const onError = (cause: NodeJS.ErrnoException) => {
        // who is destroyed has no errors of its own any more
        socket.destroy()
        if (!open.delete(socket)) return
        missed.push({ endpoint, cause })
        if (waiting.length > 0) next()
        // one missed was just put in
        else if (open.size === 0) resume(Effect.fail(missed as unknown as NonEmptyReadonlyArray<Missed>))
      }
      socket.once("error", onError)
      socket.once("connect", () => {
        open.delete(socket)
        stop()
        socket.off("error", onError)
        resume(Effect.succeed(socket))
      })
    }
    next()
    return Effect.sync(stop)
  })

/** Keeps an error that comes while nobody listens from being nobody's, which would end the process. */
export const quiet = <S extends Net.Socket>(socket: S): S =>
  socket.listeners("error").includes(ignore) ? socket : socket.on("error", ignore)
