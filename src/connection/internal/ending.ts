/**
 * How a connection ends: what is said of it, and what is done at the end, once.
 */
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as CloseCode from "../../protocol/CloseCode.ts"
import type { Reader } from "../Transport.ts"
import type { ItemPull } from "./items.ts"

/** Kinds of violation that are limits of ours, for the metric. */
export const limitKinds: ReadonlySet<string> = new Set([
  "FrameTooBig",
  "MessageTooBig",
  "TooManyFragments",
  "TooManyControlFrames"
])

/** Reads for nobody, to the end of the byte stream. */
export const pullToEnd = ({ pull }: Reader): Effect.Effect<void> =>
  Effect.ignore(Effect.forever(pull, { disableYield: true }))

/** What the peer is told of how the use of a connection ended. */
export const statusOf = (exit: Exit.Exit<unknown, unknown>): CloseCode.CloseStatus => ({
  code: Exit.isSuccess(exit)
    ? CloseCode.normal
    : Cause.hasInterruptsOnly(exit.cause)
      ? CloseCode.goingAway
      : CloseCode.internalError,
  reason: ""
})

/** Does something the first time, and only ends from then on: it is what every further pull gives. */
export const once = (first: Effect.Effect<void>, end: ItemPull): ItemPull => {
  let isDone = false
  return Effect.suspend(() => {
    if (isDone) return end
    isDone = true
    // that it is known how the connection ended may interrupt who reads, in the midst of this
    return Effect.andThen(Effect.uninterruptible(first), end)
  })
}
