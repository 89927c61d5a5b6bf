/**
 * One connection to the first of several endpoints that takes it: Happy Eyeballs, RFC 8305 section 5. The next is tried when one
 * has failed or is silent for a while, beside it; the first that is open ends all others. Nothing is looked up here.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Net from "node:net"
import type { DialError } from "../../proxy/Dialer.ts"
import { codeOf } from "./codeOf.ts"
import * as LeanReads from "./leanReads.ts"
import { Timer } from "./timers.ts"

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

export const kindOf = (cause: unknown): DialError["kind"] => kinds[codeOf(cause)] ?? "Failed"

/** The failure that says most about the target, of several. */
export const telling = (missed: NonEmptyReadonlyArray<Missed>): Missed => {
  const rank = ({ cause }: Missed) => ranks.indexOf(kindOf(cause))
  return missed.reduce((best, one) => (rank(one) < rank(best) ? one : best))
}

/** A function of its own, by which {@link quiet} knows what it has added. */
const ignore = () => {}

/** The endpoints of addresses. */
export const endpoints = (addresses: NonEmptyReadonlyArray<string>, port: number) =>
  // map keeps the length
  addresses.map((host) => ({ host, port, noDelay: true })) as unknown as NonEmptyReadonlyArray<Net.NetConnectOpts>

/** How endpoints are tried. */
export interface Attempts<E> {
  /** How long each is waited for before the next is tried beside it, in milliseconds. */
  readonly delay: number
  /** Whether `NodeSocket` alone will read the connection, from its first byte, or behind an answer to `openingRequest.ts`. */
  readonly isLean: boolean
  /** The failure if none of the endpoints takes the connection. */
  readonly missed: (all: NonEmptyReadonlyArray<Missed>) => E
  /** How long all attempts may take, in milliseconds, and the failure after that; `undefined` if the caller bounds the time. */
  readonly limit?: { readonly millis: number; readonly late: () => E } | undefined
}

type Outcome<E> = Effect.Effect<Net.Socket, E>

/** The endpoints that are tried, beside and after each other. */
class Race<E> {
  private readonly endpoints: NonEmptyReadonlyArray<Net.NetConnectOpts>
  private readonly attempts: Attempts<E>
  private readonly resume: (outcome: Outcome<E>) => void
  private readonly open: Array<Net.Socket> = []
  private readonly missed: Array<Missed> = []
  private begun = 0
  private timer: Timer | undefined = undefined
  private limit: Timer | undefined = undefined

  constructor(
    endpoints: NonEmptyReadonlyArray<Net.NetConnectOpts>,
    attempts: Attempts<E>,
    resume: (outcome: Outcome<E>) => void
  ) {
    this.endpoints = endpoints
    this.attempts = attempts
    this.resume = resume
  }

  begin(): void {
    const { limit } = this.attempts
    if (limit !== undefined) this.limit = new Timer(limit.millis, () => this.end(Effect.fail(limit.late())))
    this.next()
  }

  private get isLast(): boolean {
    return this.begun === this.endpoints.length
  }

  private next(): void {
    this.timer?.stop()
    const endpoint = this.endpoints[this.begun++]!
    const { delay, isLean } = this.attempts
    if (!this.isLast) this.timer = new Timer(delay, () => this.next())
    // the target's FIN must not end our side: what the client has sent is still to be delivered
    const socket = Net.connect({ ...endpoint, allowHalfOpen: true, ...(isLean && { onread: LeanReads.onread }) })
    if (isLean) LeanReads.begin(socket)
    this.open.push(socket)
    const onError = (cause: NodeJS.ErrnoException) => this.failed(socket, { endpoint, cause })
    socket.once("error", onError)
    socket.once("connect", () => {
      socket.off("error", onError)
      this.without(socket)
      this.end(Effect.succeed(socket))
    })
  }

  private failed(socket: Net.Socket, missed: Missed): void {
    // who is destroyed has no errors of its own any more
    socket.destroy()
    // but one may have been on its way
    if (!this.without(socket)) return
    this.missed.push(missed)
    if (!this.isLast) return this.next()
    if (this.open.length > 0) return
    // one was just put in
    const all = this.missed as unknown as NonEmptyReadonlyArray<Missed>
    this.end(Effect.fail(this.attempts.missed(all)))
  }

  /** Takes one out of those that are open, and says whether it was there. */
  private without(socket: Net.Socket): boolean {
    const place = this.open.indexOf(socket)
    if (place >= 0) this.open.splice(place, 1)
    return place >= 0
  }

  private end(outcome: Outcome<E>): void {
    this.stop()
    this.resume(outcome)
  }

  /** Destroys what is not connected yet, and begins no more. */
  stop(): void {
    this.timer?.stop()
    this.limit?.stop()
    for (const socket of this.open.splice(0)) socket.destroy()
  }
}

/** Connects, and gives the raw socket, which has no listeners; an interruption destroys all sockets. */
export const connect = <E>(
  endpoints: NonEmptyReadonlyArray<Net.NetConnectOpts>,
  attempts: Attempts<E>
): Effect.Effect<Net.Socket, E> =>
  Effect.callback<Net.Socket, E>((resume) => {
    const race = new Race(endpoints, attempts, resume)
    race.begin()
    return Effect.sync(() => race.stop())
  })

/** Adds a listener for errors, since an error without one would end the process. */
export const quiet = <S extends Net.Socket>(socket: S): S =>
  socket.listeners("error").includes(ignore) ? socket : socket.on("error", ignore)
