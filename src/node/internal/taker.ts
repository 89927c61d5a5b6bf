/**
 * Who takes the chunks of a stream in the turns that bring them: the fiber that waits in `Transport.flow`, and is woken when there
 * is something else to do.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"

export type Chunks = NonEmptyReadonlyArray<Uint8Array>

export class Taker<A, E, R> {
  private readonly take: (chunks: Chunks) => Effect.Effect<A, E, R> | undefined
  private readonly onEnd: (error: Socket.SocketError) => Effect.Effect<A, E, R>
  private readonly resume: (effect: Effect.Effect<A, E, R>) => void

  constructor(
    take: (chunks: Chunks) => Effect.Effect<A, E, R> | undefined,
    onEnd: (error: Socket.SocketError) => Effect.Effect<A, E, R>,
    resume: (effect: Effect.Effect<A, E, R>) => void
  ) {
    this.take = take
    this.onEnd = onEnd
    this.resume = resume
  }

  /** Gives it a batch; what it gives back is to be run when it has been forgotten. */
  give(chunks: Chunks): (() => void) | undefined {
    const next = this.next(chunks)
    return next === undefined ? undefined : () => this.resume(next)
  }

  /** If it throws, that is a defect of whoever flows. */
  private next(chunks: Chunks): Effect.Effect<A, E, R> | undefined {
    try {
      return this.take(chunks)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  end(error: Socket.SocketError): void {
    this.resume(this.onEnd(error))
  }
}
