/**
 * How long a target is waited for whose client is gone: it does not hold up the end of the pipe when it takes nothing for the close
 * timeout, or has all and does not end for as long. One fiber looks at all of them, as long as there are any.
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

/** How often in the close timeout is looked, so that a target has at most so much longer. */
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
  /** Those of all whose end it sees to, and what they run with. */
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

  /** Ends when nobody is left to look after, also if nobody says so: who is given up is looked after no more. */
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
        // in this turn, and not in this fiber, which ends with those that it looks after
        Effect.runForkWith(this.context)(ending.giveUp())
      }
    }
  }
}
