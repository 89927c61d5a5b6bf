/** Time that only goes on, whatever is done to the clock on the wall: what limits are measured by. */
import type * as Clock from "effect/Clock"

/** Milliseconds since some moment. */
export const millis = (clock: Clock.Clock): number => Number(clock.monotonicTimeNanosUnsafe() / 1_000_000n)
