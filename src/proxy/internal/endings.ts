/**
 * How long to wait for a target whose client is gone: it is given up if it takes no data for the close timeout, or has taken all
 * and does not end within that time. One fiber checks all such targets, as long as there are any.
 */
import type * as Context from "effect/Context"
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import { type Member, Roster } from "../../connection/internal/roster.ts"
import type { Limits } from "../../connection/Limits.ts"

/** A pipe at its end. */
export interface Ending extends Member {
  /** As long as this changes, the target is alive. */
  readonly progress: number
  /** What it was at the last look; `undefined` before the first. */
  seen: number | undefined
  /** How often it may still be found as it was. */
  looksLeft: number
  /** Nothing has changed for too long. */
  giveUp(): Effect.Effect<void>
}

/** How many checks there are in one close timeout. A target is given at most one interval between checks more. */
const looks = 4

/** An application's own transport may throw: that is no progress, and must not end the watch over the others. */
const progressOf = (ending: Ending): number => {
  try {
    return ending.progress
  } catch {
    return Number.NEGATIVE_INFINITY
  }
}

export class Endings {
  private readonly roster = new Roster<Ending>()
  /** The limits and the context that all pipes here share. */
  readonly limits: Limits
  readonly context: Context.Context<never>
  private fiber: Fiber.Fiber<void> | undefined = undefined

  constructor(limits: Limits, context: Context.Context<never>) {
    this.limits = limits
    this.context = context
  }

  add(ending: Ending): void {
    ending.seen = undefined
    this.roster.add(ending)
    this.fiber ??= Effect.runForkWith(this.context)(this.looking)
  }

  /** It has ended, or somebody else waits for it. */
  delete(ending: Ending): void {
    if (!this.roster.delete(ending) || this.roster.size > 0) return
    this.fiber?.interruptUnsafe()
    this.fiber = undefined
  }

  /** The first look is in the next turn: most often the target has all by then. */
  private get looking(): Effect.Effect<void> {
    return Effect.flatMap(Effect.yieldNow, () => this.rounds)
  }

  /** Ends when the roster is empty. A target that is given up leaves the roster here, so nobody needs to call `delete`. */
  private get rounds(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.look()
      if (this.roster.size > 0) return Effect.delay(this.rounds, this.limits.closeTimeout / looks)
      this.fiber = undefined
      return Effect.void
    })
  }

  private look(): void {
    for (const ending of this.roster) {
      const progress = progressOf(ending)
      if (progress !== ending.seen) {
        ending.seen = progress
        ending.looksLeft = looks
      } else if (--ending.looksLeft === 0) {
        this.roster.delete(ending)
        // begins in this turn, but not in this fiber, which ends when the roster is empty
        Effect.runForkWith(this.context)(ending.giveUp())
      }
    }
  }
}

/** The endings of all pipes of a context: those of the same limits share one, as all connections of a server or a client do. */
export const sharing = (context: Context.Context<never>): ((limits: Limits) => Endings) => {
  let endings: Endings | undefined
  return (limits) => (endings?.limits === limits ? endings : (endings = new Endings(limits, context)))
}
