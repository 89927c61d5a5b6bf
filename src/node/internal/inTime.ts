/**
 * A time limit for effects that run for each connection: one fiber and a timer, while `Effect.timeoutOrElse` races two fibers,
 * which is a good part of what a connection to a target costs.
 */
import type * as Context from "effect/Context"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Fiber from "effect/Fiber"
import { Timer } from "./timers.ts"

/** Interrupts the effect after so many milliseconds, and fails with `late` when it has ended; what is done by then is done. */
export const inTime = <A, E>(self: Effect.Effect<A, E>, millis: number, late: () => E): Effect.Effect<A, E> =>
  Effect.contextWith((context: Context.Context<never>) =>
    Effect.callback<A, E>((resume) => {
      const fiber = Effect.runForkWith(context)(self)
      let isLate = false
      const interrupt = () => {
        isLate = true
        fiber.interruptUnsafe()
      }
      const timer = new Timer(millis, interrupt)
      fiber.addObserver((exit) => {
        timer.stop()
        const isOver = isLate && Exit.isFailure(exit) && Cause.hasInterruptsOnly(exit.cause)
        resume(isOver ? Effect.suspend(() => Effect.fail(late())) : exit)
      })
      return Fiber.interrupt(fiber)
    })
  )
