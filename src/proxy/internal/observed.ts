/**
 * What a client sends on its way to a target, piece by piece, when somebody sees it first. The pieces of one pull are kept until
 * the target's writer has them, so that an interruption loses none.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type * as Transport from "../../connection/Transport.ts"
import type { Gathering, Piece, Watching } from "../../protocol/MessageEvent.ts"
import type { Observer } from "./pipeOptions.ts"

const nothing: ReadonlyArray<never> = []

export class Observed implements Watching {
  private readonly observer: Observer
  private readonly writer: Transport.Writer
  /** What was pulled, and how much of it the target's writer has. */
  private pulled: ReadonlyArray<Uint8Array | Piece> = nothing
  private passed = 0
  private isAlone = false

  constructor(observer: Observer, writer: Transport.Writer) {
    this.observer = observer
    this.writer = writer
  }

  get gathering(): Gathering {
    return this.observer.gathering
  }

  readonly isWatching = (): boolean => !this.isAlone && this.observer.isWatching()

  /** Leaves the observer out from now on. */
  leaveOut(): void {
    this.isAlone = true
  }

  pass(items: NonEmptyReadonlyArray<Uint8Array | Piece>): Effect.Effect<void, Socket.SocketError> {
    this.pulled = items
    this.passed = 0
    return this.rest
  }

  /** What an interruption left of a batch. */
  get rest(): Effect.Effect<void, Socket.SocketError> {
    const all = Effect.whileLoop({
      while: () => this.passed < this.pulled.length,
      body: () => {
        const item = this.pulled[this.passed]!
        if (item instanceof Uint8Array) return this.give(item)
        return this.isAlone
          ? this.give(item.payload)
          : Effect.flatMap(this.observer.onPiece(item), () => this.give(item.payload))
      },
      step: () => {}
    })
    // pieces are views of what was read, and keep all of it
    return Effect.andThen(
      all,
      Effect.sync(() => void (this.pulled = nothing))
    )
  }

  private give(bytes: Uint8Array): Effect.Effect<void, Socket.SocketError> {
    this.passed++
    return bytes.length === 0 ? Effect.void : this.writer.writeAll([bytes])
  }
}
