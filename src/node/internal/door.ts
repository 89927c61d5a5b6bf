/**
 * What is decided about a connection before a byte of it is read: whether its address may come in, how often it may try, how many
 * connections it has and how many there are in all, and then by its name, if a list has names. With plain HTTP, a client that is
 * kept out gets a status. With TLS its connection just ends: keeping it out is to save the handshake.
 */
import * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Layer from "effect/Layer"
import * as Metric from "effect/Metric"
import * as Option from "effect/Option"
import type * as Scope from "effect/Scope"
import type * as Net from "node:net"
import type { Refusal } from "../../protocol/OpeningHandshake.ts"
import * as Telemetry from "../../connection/Telemetry.ts"
import * as AccessList from "../../server/AccessList.ts"
import type { Admission } from "../../server/Admission.ts"
import { ClientNames } from "../../server/ClientNames.ts"
import { Denial } from "../../server/Denial.ts"
import * as Judge from "../../server/Judge.ts"
import { peerOf, type TcpPeer } from "./peer.ts"
import { refuse } from "./upgrade.ts"

export interface Options {
  readonly clients: AccessList.Policy | undefined
  readonly admission: Admission | undefined
  /** Reverse proxies that are trusted: their clients are named in the requests, and decided about then. */
  readonly forwarders: AccessList.AccessList | undefined
  /** Whether a client that is kept out can be told so. */
  readonly isPlain: boolean
}

export interface Door {
  /** Whether the connection may come in, as far as that is known at once; if not, it is ended here. */
  readonly opens: (socket: Net.Socket, peer: TcpPeer) => boolean
  /** The same by the names of its address, where they have to be looked up. */
  readonly opensByName: ((socket: Net.Socket, peer: TcpPeer) => Effect.Effect<boolean>) | undefined
  /** The answer to a client behind a trusted proxy, if it may not come in. */
  readonly judge: (address: string | undefined) => Effect.Effect<Refusal | undefined>
}

/** The most that are told at a time why they are kept out, for which each may take two seconds; more are cut off. */
const maxTold = 256

const reasons: Record<AccessList.Denial, string> = {
  blocked: "its address is on the list of those that are kept out",
  notAllowed: "its address is not on the list of those that are let in"
}

export const make = Effect.fnUntraced(function* (
  options: Options,
  background: (self: Effect.Effect<void>) => void
): Effect.fn.Return<Door | undefined, never, Scope.Scope> {
  const { admission, clients, forwarders, isPlain } = options
  if (admission === undefined && clients === undefined) return undefined
  const judge = yield* Judge.make()
  const needsNames = [clients?.allowed, clients?.blocked].some(
    (list) => list !== undefined && AccessList.needsNames(list)
  )
  const given = yield* Effect.serviceOption(ClientNames)
  const names = !needsNames
    ? undefined
    : Option.isSome(given)
      ? given.value
      : Context.get(
          yield* Layer.build((yield* Effect.promise(() => import("../NodeClientNames.ts"))).layer()),
          ClientNames
        )
  let told = 0

  const turnAway = (socket: Net.Socket, peer: TcpPeer, denial: Denial): Effect.Effect<void> => {
    const isLimit = denial.kind !== "address"
    const answer = Effect.flatMap(judge.refuse(denial, peer), (refusal) => {
      const counted = Metric.update(Telemetry.refusals, String(refusal.status))
      if (!isPlain || told >= maxTold)
        return Effect.andThen(
          counted,
          Effect.sync(() => void socket.destroy())
        )
      told++
      return Effect.andThen(
        counted,
        Effect.ensuring(
          refuse(socket, refusal),
          Effect.sync(() => told--)
        )
      )
    })
    return isLimit ? Effect.andThen(Telemetry.limitHit(denial.kind), answer) : answer
  }
  const keepOut = (socket: Net.Socket, peer: TcpPeer, denial: Denial): false => {
    socket.on("error", constVoid)
    background(turnAway(socket, peer, denial))
    return false
  }
  const byAddress = (why: AccessList.Denial) =>
    new Denial({ kind: "address", policy: "clients", reason: reasons[why], challenges: [] })

  const isForwarder = ({ remoteAddress }: TcpPeer): boolean =>
    forwarders !== undefined && AccessList.matches(forwarders, remoteAddress)
  const denialByName = (address: string | undefined): Effect.Effect<AccessList.Denial | undefined> => {
    if (clients === undefined) return Effect.undefined
    return names === undefined
      ? Effect.succeed(AccessList.decide(clients, address))
      : Effect.provideService(AccessList.decideEffect(clients, address), ClientNames, names)
  }

  // one for all connections
  function onClose(this: Net.Socket): void {
    admission?.goAway(peerOf(this)!)
  }

  return {
    opens: (socket, peer) => {
      // one that is gone, while a load balancer was heard, is not there to be counted
      if (socket.closed || isForwarder(peer)) return true
      const why = clients === undefined ? undefined : AccessList.decide(clients, peer.remoteAddress)
      // a name may still let in who is not allowed by its address
      if (why !== undefined && (why === "blocked" || names === undefined)) return keepOut(socket, peer, byAddress(why))
      const denial = admission?.knock(peer)
      if (denial !== undefined) return keepOut(socket, peer, denial)
      // it comes once, and `once` takes an object for each
      if (admission !== undefined) socket.on("close", onClose)
      return true
    },
    opensByName:
      names === undefined
        ? undefined
        : (socket, peer) =>
            isForwarder(peer)
              ? Effect.succeed(true)
              : Effect.map(
                  denialByName(peer.remoteAddress),
                  (why) => why === undefined || keepOut(socket, peer, byAddress(why))
                ),
    judge: (address) =>
      Effect.flatMap(denialByName(address), (why) =>
        why === undefined ? Effect.undefined : judge.refuse(byAddress(why), { remoteAddress: address })
      )
  }
})
