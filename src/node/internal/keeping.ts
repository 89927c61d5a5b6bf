/**
 * The connections of one handler: those that have a fiber, and those that wait without one. The end of the scope interrupts all of them,
 * and waits until the last is over.
 */
import * as Effect from "effect/Effect"
import type * as Fiber from "effect/Fiber"
import type * as Scope from "effect/Scope"
import type { Keeper, Ongoing } from "../../connection/internal/keeper.ts"
import { type Member, Roster } from "../../connection/internal/roster.ts"

type Handling = Fiber.Fiber<unknown, unknown>

interface Handler extends Member {
  readonly fiber: Handling
}

export class Keeping<R> implements Keeper<R> {
  private readonly fork: (handling: Effect.Effect<unknown, unknown, R>) => Handling
  private readonly handlers = new Roster<Handler>()
  private readonly ongoing = new Roster<Ongoing>()
  /** How many handlers have started but are not in the roster yet. Their first turn may already end others. */
  private beginning = 0
  private isClosed = false
  private onEmpty: (() => void) | undefined

  constructor(fork: (handling: Effect.Effect<unknown, unknown, R>) => Handling) {
    this.fork = fork
  }

  run(handling: Effect.Effect<unknown, unknown, R>): Handling {
    this.beginning++
    const fiber = this.fork(handling)
    this.beginning--
    if (fiber.pollUnsafe() !== undefined) {
      // it may have ended the scope, which waits for it
      this.look()
      return fiber
    }
    const handler: Handler = { fiber, place: -1 }
    this.handlers.add(handler)
    fiber.addObserver(() => {
      this.handlers.delete(handler)
      this.look()
    })
    if (this.isClosed) fiber.interruptUnsafe()
    return fiber
  }

  keep(ongoing: Ongoing): void {
    this.ongoing.add(ongoing)
    // in the next turn: it has not begun yet
    if (this.isClosed) queueMicrotask(() => void (this.ongoing.has(ongoing) && ongoing.interrupt()))
  }

  goOn(ongoing: Ongoing, next: Effect.Effect<unknown, unknown, R>): void {
    this.ongoing.delete(ongoing)
    this.run(next)
    this.look()
  }

  private look(): void {
    if (this.handlers.size === 0 && this.ongoing.size === 0 && this.beginning === 0) this.onEmpty?.()
  }

  /** Waits until all are over. */
  get empty(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const empty = () => resume(Effect.void)
      this.onEmpty = empty
      this.look()
    })
  }

  close(): Effect.Effect<void> {
    return Effect.suspend(() => {
      this.isClosed = true
      for (const { fiber } of this.handlers) fiber.interruptUnsafe()
      for (const ongoing of this.ongoing) ongoing.interrupt()
      return this.empty
    })
  }
}

export const make = <R>(): Effect.Effect<Keeping<R>, never, R | Scope.Scope> =>
  Effect.acquireRelease(
    Effect.contextWith((context) => Effect.succeed(new Keeping<R>(Effect.runForkWith(context)))),
    (keeping) => keeping.close()
  )
