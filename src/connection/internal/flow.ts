/**
 * A reader of a connection that takes each batch in the turn that brings it (`Transport.flow`), as long as nothing is to be waited
 * for and nobody else wants to read; otherwise it goes the way of a pull. It is run by a fiber, or waits without one (`parked.ts`).
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import type * as Socket from "effect/socket/Socket"
import * as Transport from "../Transport.ts"
import type { WebSocketError } from "../WebSocketError.ts"
import type { Item, ItemPull, Items, Wait, Way } from "./items.ts"
import * as Now from "./now.ts"
import type { Host, Parked } from "./parked.ts"

/** What is flowed from. */
export interface Batches {
  readonly source: Transport.Source
  /** Begins to read, unless there is something else to do first: then that. */
  beginRead(way: Way): ItemPull | undefined
  /** Whether there is nothing else to do. */
  readonly mayBegin: boolean
  /** What the source is made of, which may be able to do more. */
  readonly reader: Transport.Reader
  endTurn(): void
  /** How many turns have ended. */
  readonly turns: number
  /** What chunks bring. What throws, such as an observer, is a defect of whoever reads, and has ended the turn. */
  decode(chunks: NonEmptyReadonlyArray<Uint8Array | string>): ReadonlyArray<Item>
  /** Whether that needs more than to be given out, and what ends the turn and gives it out then. */
  readonly mustDeliver: boolean
  deliver(items: ReadonlyArray<Item>): ItemPull
  /** What is all that it needs, if there is nothing to give out. */
  answer(): Effect.Effect<void> | undefined
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

export class Flow<E, R, F> implements Transport.FreeTaker<void, F, R>, Parked {
  private readonly inbound: Batches
  private readonly way: Way
  private readonly receiver: Receiver<Items, E, R, F>
  /** Whose wait it is, if it began without a fiber. */
  private host: Host | undefined = undefined

  constructor(inbound: Batches, way: Way, receiver: Receiver<Items, E, R, F>) {
    this.inbound = inbound
    this.way = way
    this.receiver = receiver
  }

  /** All of it, for a fiber. */
  get go(): Effect.Effect<void, F, R> {
    return Effect.flatten(
      Effect.suspend(() => {
        const first = this.inbound.beginRead(this.way)
        return first === undefined ? Transport.flow(this.inbound.source, this) : Effect.succeed(this.given(first))
      })
    )
  }

  /** What a fiber goes on with that has done what was to be done. */
  private get on(): Effect.Effect<void, F, R> {
    const { host } = this
    if (host === undefined) return this.go
    return Effect.suspend(() =>
      this.inbound.mayBegin ? (host.again() ?? this.go) : this.given(this.inbound.beginRead(this.way)!)
    )
  }

  begin(host: Host): void {
    this.host = host
    const { reader } = this.inbound
    const first = this.inbound.beginRead(this.way)
    if (first === undefined) reader.flowNow!(this)
    else host.resume(this.given(first))
  }

  goOn(next: Effect.Effect<void, F, R>): void {
    this.host?.resume(next)
  }

  interrupted(): Effect.Effect<never> {
    this.inbound.reader.forget?.()
    return Effect.interrupt
  }

  take(chunks: NonEmptyReadonlyArray<Uint8Array | string>): Effect.Effect<void, F, R> | undefined {
    const { inbound } = this
    const { turns } = inbound
    const items = inbound.decode(chunks)
    // a pull that has nothing to give out waits for more, and so needs a fiber
    if (inbound.mustDeliver && (items.length > 0 || this.host === undefined)) return this.given(inbound.deliver(items))
    // what is not empty is
    const wait = items.length === 0 ? inbound.answer() : this.gave(items as unknown as Items)
    // who was interrupted by what it was given has ended its turn, and it may be another's by now
    if (inbound.turns !== turns) return undefined
    if (wait === undefined && inbound.mayReadOn) {
      inbound.letGo()
      return undefined
    }
    inbound.endTurn()
    if (wait !== undefined || this.host === undefined) return this.behind(wait)
    const first = inbound.beginRead(this.way)
    return first === undefined ? undefined : this.given(first)
  }

  /** What throws is a defect of whoever flows: it ends its turn, as a failure does, so that the end of the connection can be read. */
  private gave(items: Items): Wait<E, R> {
    try {
      const then = this.receiver.receive(items)
      const wait = then === undefined ? undefined : Now.begin(then)
      return wait === undefined || wait !== then ? wait : (this.host?.within(wait) ?? wait)
    } catch (defect) {
      return Effect.die(defect)
    }
  }

  private behind(wait: Wait<E, R>): Effect.Effect<void, F, R> {
    if (wait === undefined) return this.on
    return Effect.matchEffect(wait, {
      onFailure: (error) => this.receiver.received(Result.fail(error)),
      onSuccess: () => this.on
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

/** Whether a flow can wait there without a fiber, and that wait be ended. */
const isParkable = ({ reader }: Batches): boolean =>
  reader.flowNow !== undefined && reader.forget !== undefined && "waiting" in reader

const parkable = Symbol("effect-websocket/Flow")

interface Flowing {
  [parkable]?: () => Parked
}

/** A flow as an effect. */
export const run = <E, R, F>(
  inbound: Batches,
  way: Way,
  receiver: Receiver<Items, E, R, F>
): Effect.Effect<void, F, R> => {
  const flow = () => new Flow(inbound, way, receiver)
  const effect: Effect.Effect<void, F, R> & Flowing = Effect.suspend(() => flow().go)
  if (isParkable(inbound)) effect[parkable] = flow
  return effect
}

/** What an effect would wait for that is nothing but a flow, if it can do so without a fiber. */
export const parkedOf = (effect: Effect.Effect<unknown, unknown, unknown>): Parked | undefined => {
  // an effect is no other object than those of its own module
  const flowing: Flowing = effect as Flowing
  return flowing[parkable]?.()
}

const ended: Result.Result<void> = Result.succeed(undefined)
