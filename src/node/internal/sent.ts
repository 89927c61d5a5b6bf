/**
 * The end of a released stream: unsent bytes are given some time, which begins anew while the peer takes some of them. After that
 * the stream is destroyed.
 */
import * as Effect from "effect/Effect"
import type { Duplex } from "node:stream"
import { Timer } from "./timers.ts"

/** How the sending of the stream is. */
interface Sender {
  /** How many bytes the system has taken. */
  readonly taken: number
  readonly isReset: boolean
  reset(): void
}

/** How many times that time begins anew for a slow peer. */
const slowRounds = 20

/**
 * Waits until all is sent and the stream is gone. Resets it if the peer takes nothing for so many milliseconds, or not everything
 * in `slowRounds` times that.
 */
export const sent = (stream: Duplex, sender: Sender, patience: number): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    let { taken } = sender
    let rounds = slowRounds
    const check = () => {
      // what does not even close when it is reset holds nobody up
      if (sender.isReset) return resume(Effect.void)
      if (sender.taken === taken || --rounds === 0) sender.reset()
      ;({ taken } = sender)
      timer = new Timer(patience, check)
    }
    let timer = new Timer(patience, check)
    stream.once("close", () => {
      timer.stop()
      resume(Effect.void)
    })
    // an end in order would come before the reset
    if (sender.isReset) return
    if (!stream.writableEnded) stream.end()
    if (stream.writableFinished || stream.destroyed) stream.destroy()
    else stream.once("finish", () => stream.destroy())
  })
