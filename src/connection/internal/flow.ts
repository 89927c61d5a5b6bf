/**
 * A reader of a connection that takes each batch in the turn that brings it (`Transport.flow`), as long as nothing is to be waited
 * for and nobody else wants to read; otherwise it goes the way of a pull.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Socket from "effect/socket/Socket"
import * as Transport from "../Transport.ts"
import type { WebSocketError } from "../WebSocketError.ts"
import type { Item, ItemPull, Items, Wait } from "./items.ts"
import * as Now from "./now.ts"

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

/**
 * Whom a flow is for. An object, since there is one for each connection that waits, and what a fiber keeps of a `flatMap` behind the
 * flow is larger than that.
 */
export interface Receiver<A, E, R, F = E> {
  /** Takes a batch, and gives what is to be done before there is more, if anything. */
  receive(items: A): Effect.Effect<unknown, E, R> | undefined
  /** What is done at the end, which is a failure also if what was to be done before it fails. */
  received(result: Result.Result<void, WebSocketError | E>): Effect.Effect<void, F, R>
}

export class Flow<E, R, F> implements Transport.Taker<void, F, R> {
  readonly go: Effect.Effect<void, F, R>
  private readonly inbound: Batches
  private readonly receiver: Receiver<Items, E, R, F>

  constructor(inbound: Batches, receiver: Receiver<Items, E, R, F>) {
    this.inbound = inbound
    this.receiver = receiver
    this.go = Effect.flatten(
      Effect.suspend(() => {
        const first = inbound.beginRead()
        return first === undefined ? Transport.flow(inbound.source, this) : Effect.succeed(this.given(first))
      })
    )
  }

  take(chunks: NonEmptyReadonlyArray<Uint8Array | string>): Effect.Effect<void, F, R> | undefined {
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
    return this.behind(wait)
  }

  /** What throws is a defect of whoever flows: it ends its turn, as a failure does, so that the end of the connection can be read. */
  private gave(items: Items): Wait<E, R> {
    try {
      const then = this.receiver.receive(items)
      return then === undefined ? undefined : Now.begin(then)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  private behind(wait: Wait<E, R>): Effect.Effect<void, F, R> {
    if (wait === undefined) return this.go
    return Effect.matchEffect(wait, {
      onFailure: (error) => this.receiver.received(Result.fail(error)),
      onSuccess: () => this.go
    })
  }

  onEnd(error: Socket.SocketError): Effect.Effect<void, F, R> {
    return this.given(this.inbound.end(error))
  }

  /** The end is where it is met, and nothing waits for it from the beginning. */
  private given(pulled: ItemPull): Effect.Effect<void, F, R> {
    return Effect.matchEffect(pulled, {
      onFailure: (error) => this.receiver.received(Cause.isDone(error) ? ended : Result.fail(error)),
      onSuccess: (items) => this.behind(this.gave(items))
    })
  }
}

const ended: Result.Result<void> = Result.succeed(undefined)
