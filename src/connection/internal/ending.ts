/** How a connection ends: the status that is sent, and what is done once at the end. */
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

/** Reads to the end of the byte stream and discards everything. */
export const pullToEnd = ({ pull }: Reader): Effect.Effect<void> =>
  Effect.ignore(Effect.forever(pull, { disableYield: true }))

/** The close status for how the use of a connection ended. */
export const statusOf = (exit: Exit.Exit<unknown, unknown>): CloseCode.CloseStatus => ({
  code: Exit.isSuccess(exit)
    ? CloseCode.normal
    : Cause.hasInterruptsOnly(exit.cause)
      ? CloseCode.goingAway
      : CloseCode.internalError,
  reason: ""
})

/** Runs `first` once, and gives `end` each time: the result of every pull from then on. */
export const once = (first: Effect.Effect<void>, end: ItemPull): ItemPull => {
  let isDone = false
  return Effect.suspend(() => {
    if (isDone) return end
    isDone = true
    // that it is known how the connection ended may interrupt who reads, in the midst of this
    return Effect.andThen(Effect.uninterruptible(first), end)
  })
}
