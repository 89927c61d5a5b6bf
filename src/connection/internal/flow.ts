/**
 * A reader of a connection that takes each batch in the turn that brings it (`Transport.flow`), as long as nothing is to be waited
 * for and nobody else wants to read; otherwise it goes the way of a pull.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import * as Transport from "../Transport.ts"
import type { WebSocketError } from "../WebSocketError.ts"
import type { Item, ItemPull, Items, Wait } from "./items.ts"

/** What is flowed from. */
export interface Batches {
  readonly source: Transport.Source
  /** Begins to read, unless there is something else to do first: then that. */
  beginRead(): ItemPull | undefined
  endTurn(): void
  /** How many turns have ended. */
  readonly turns: number
  /** What chunks bring. What throws, such as an observer, is a defect of whoever reads, and has ended the turn. */
  decode(chunks: NonEmptyReadonlyArray<Uint8Array | string>): ReadonlyArray<Item>
  /** Whether that needs more than to be given out, and what ends the turn and gives it out then. */
  readonly mustDeliver: boolean
  deliver(items: ReadonlyArray<Item>): ItemPull
  /** Whether who reads may go on without a word. */
  readonly mayReadOn: boolean
  /** What was read is with who took it, and is not held here while nothing comes. */
  letGo(): void
  end(error: Socket.SocketError): ItemPull
}

export class Flow<E, R> implements Transport.Taker<void, WebSocketError | E, R> {
  readonly go: Effect.Effect<void, WebSocketError | E, R>
  private readonly inbound: Batches
  private readonly give: (items: Items) => Wait<E, R>

  constructor(inbound: Batches, give: (items: Items) => Wait<E, R>) {
    this.inbound = inbound
    this.give = give
    this.go = Effect.flatten(
      Effect.suspend(() => {
        const first = inbound.beginRead()
        return first === undefined ? Transport.flow(inbound.source, this) : Effect.succeed(this.given(first))
      })
    )
  }

  take(chunks: NonEmptyReadonlyArray<Uint8Array | string>) {
    const { inbound } = this
    const { turns } = inbound
    const items = inbound.decode(chunks)
    if (inbound.mustDeliver) return this.given(inbound.deliver(items))
    // what is not empty is
    const wait = items.length === 0 ? undefined : this.gave(items as unknown as Items)
    // who was interrupted by what it was given has ended its turn, and it may be another's by now
    if (inbound.turns !== turns) return undefined
    if (wait === undefined && inbound.mayReadOn) {
      inbound.letGo()
      return undefined
    }
    inbound.endTurn()
    return wait === undefined ? this.go : Effect.andThen(wait, this.go)
  }

  /** What throws is a defect of whoever flows: it ends its turn, as a failure does, so that the end of the connection can be read. */
  private gave(items: Items): Wait<E, R> {
    try {
      return this.give(items)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  onEnd(error: Socket.SocketError) {
    return this.given(this.inbound.end(error))
  }

  /** The end is where it is met, and nothing waits for it from the beginning. */
  private given(pulled: ItemPull): Effect.Effect<void, WebSocketError | E, R> {
    return Effect.matchEffect(pulled, {
      onFailure: (error) => (Cause.isDone(error) ? Effect.void : Effect.fail(error)),
      onSuccess: (items) => {
        const wait = this.give(items)
        return wait === undefined ? this.go : Effect.andThen(wait, this.go)
      }
    })
  }
}
