/**
 * How long a peer is waited for while a connection closes: one that takes nothing for `closeTimeout` is given up, one that is
 * slow but goes on is given its time, so often and no more.
 */
import * as Effect from "effect/Effect"
import type { Limits } from "../Limits.ts"

/** The system takes more only when a good part of its own buffer is free, which is some megabytes later. */
const congestedPatience = 3

/** So often a slow peer is given its time anew, and then no more. */
const slowRounds = 20

/** Who is waited for, by what is on the way to it: see `Transport.Writer`. */
export interface Slow {
  readonly limits: Limits
  readonly unsent: number
  readonly taken: number
}

/** Does what may take as long as the peer likes, and the other if the peer is given up. */
export const bounded = (peer: Slow, self: Effect.Effect<void>, orElse: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.raceFirst(
      Effect.as(Effect.interruptible(self), true),
      Effect.as(Effect.interruptible(stall(peer, slowRounds)), false)
    ),
    (isDone) => (isDone ? Effect.void : orElse)
  )

/** How long a peer may take nothing, in milliseconds. */
export const closePatience = ({ limits, unsent }: Slow): number =>
  limits.closeTimeout * (unsent > 0 ? congestedPatience : 1)

/** Waits until the peer is given up. What was written in this turn may look unsent until the next, so that is asked at the end. */
const stall = (peer: Slow, rounds: number, quiet = 1): Effect.Effect<void> =>
  Effect.suspend(() => {
    const { taken } = peer
    const look = Effect.suspend(() => {
      if (peer.taken !== taken) return rounds === 1 ? Effect.void : stall(peer, rounds - 1)
      return peer.unsent > 0 && quiet < congestedPatience ? stall(peer, rounds, quiet + 1) : Effect.void
    })
    // behind what came while the process did something else
    return Effect.delay(Effect.andThen(Effect.yieldNow, look), peer.limits.closeTimeout)
  })
