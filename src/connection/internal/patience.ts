/**
 * How long to wait for a peer while a connection closes: a peer that takes nothing for `closeTimeout` is given up; a slow one
 * that keeps taking data is given that time again, a limited number of times.
 */
import * as Effect from "effect/Effect"
import type { Limits } from "../Limits.ts"

/** The system takes more only when a good part of its own buffer is free, which is some megabytes later. */
const congestedPatience = 3

/** How many times a slow peer is given that time. */
const slowRounds = 20

/** The peer that is waited for, by the bytes on their way to it: see `Transport.Writer`. */
export interface Slow {
  readonly limits: Limits
  readonly unsent: number
  readonly taken: number
}

/** Runs an effect that may take as long as the peer likes, and `orElse` if the peer is given up. */
export const bounded = (peer: Slow, self: Effect.Effect<void>, orElse: Effect.Effect<void>): Effect.Effect<void> =>
  Effect.flatMap(
    Effect.raceFirst(
      Effect.as(Effect.interruptible(self), true),
      Effect.as(Effect.interruptible(stall(peer, slowRounds)), false)
    ),
    (isDone) => (isDone ? Effect.void : orElse)
  )

/** How long a peer that nobody waits for has to end its side when it has taken all that was sent, in milliseconds. */
const lingering = 2000

/** Waits for the end of such a peer. */
export const brief = (flushed: Effect.Effect<void, unknown>, end: Effect.Effect<void>): Effect.Effect<void> =>
  // `flushed` first: behind the end it can be asked for no more
  Effect.raceFirst(Effect.andThen(Effect.ignore(flushed), Effect.sleep(lingering)), end)

/** How long a peer may take nothing, in milliseconds. */
export const closePatience = ({ limits, unsent }: Slow): number =>
  limits.closeTimeout * (unsent > 0 ? congestedPatience : 1)

/**
 * Waits until the peer is given up. Bytes that were written in this turn may look unsent until the next, so `unsent` is read at
 * the end.
 */
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
