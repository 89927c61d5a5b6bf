/** How the chunks of a stream get to their taker (`Transport.Taker`). */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type * as Transport from "../../connection/Transport.ts"

export type Chunks = NonEmptyReadonlyArray<Uint8Array>

/** What runs the effect that a taker returned: the fiber that waits, or the taker itself. */
export type Resume =
  | ((next: Effect.Effect<Effect.Effect<unknown, unknown, unknown>>) => void)
  | Transport.FreeTaker<unknown, unknown, unknown>

/** Takes one batch. */
export const puller: Transport.Taker<Chunks, Socket.SocketError, never> = {
  // chunks of a stream of Node's are bytes
  take: (chunks) => Effect.succeed(chunks as Chunks),
  onEnd: Effect.fail
}

/** What a taker gives for chunks; if it throws, that is a defect of whoever flows. */
export const takenBy = (
  taker: Transport.Taker<unknown, unknown, unknown>,
  chunks: Array<Uint8Array>
): Effect.Effect<unknown, unknown, unknown> | undefined => {
  try {
    // they are kept whole or not at all
    return taker.take(chunks as unknown as Chunks)
  } catch (defect) {
    return Effect.die(defect)
  }
}
