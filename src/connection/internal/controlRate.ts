/** How many control frames a peer has sent in a second: each costs it little, and an answer costs us a write. */
import type * as Clock from "effect/Clock"
import { ProtocolError } from "../../protocol/ProtocolError.ts"
import { millis } from "./monotonic.ts"

export class ControlRate {
  private readonly clock: Clock.Clock
  private readonly max: number
  private count = 0
  private since: number

  constructor(clock: Clock.Clock, max: number) {
    this.clock = clock
    this.max = max
    this.since = millis(clock)
  }

  /** Throws if there are too many. */
  add(): void {
    const now = millis(this.clock)
    if (now - this.since >= 1000) {
      this.since = now
      this.count = 0
    }
    if (++this.count > this.max) {
      throw new ProtocolError({
        kind: "TooManyControlFrames",
        message: `more than ${this.max} control frames came in a second`
      })
    }
  }
}
