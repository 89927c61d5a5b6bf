/**
 * A reader of a connection that takes each batch in the turn that brings it (`Transport.flow`), as long as there is nothing to
 * wait for and nobody else wants to read. Otherwise it pulls. It is run by a fiber, or waits without one (`parked.ts`).
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
  /** The reader beneath the source, which may be able to do more. */
  readonly reader: Transport.Reader
  endTurn(): void
  /** How many turns have ended. */
  readonly turns: number
  /** The items in these chunks. If something throws, such as an observer, that is a defect of the reader, and its turn has ended. */
  decode(chunks: NonEmptyReadonlyArray<Uint8Array | string>): ReadonlyArray<Item>
  /** Whether what was decoded needs more than to be given out. If so, `deliver` ends the turn and gives it out. */
  readonly mustDeliver: boolean
  deliver(items: ReadonlyArray<Item>): ItemPull
  /** The answer to pings, if any came: all there is to do if there is nothing to give out. */
  answer(): Effect.Effect<void> | undefined
  /** Whether the reader may read on without ending its turn. */
  readonly mayReadOn: boolean
  /** The receiver has taken what was read, so nothing of it is held here while nothing comes. */
  letGo(): void
  end(error: Socket.SocketError): ItemPull
}

/**
 * Receives what a flow reads. An object, not closures: there is one for each waiting connection, and a `flatMap` continuation would be
 * larger.
 */
export interface Receiver<A, E, R, F = E> {
  /** Takes a batch. Returns an effect if something has to be done before the next one. */
  receive(items: A): Effect.Effect<unknown, E, R> | undefined
  /** Runs at the end. The result is also a failure if an effect of `receive` fails. */
  received(result: Result.Result<void, WebSocketError | E>): Effect.Effect<void, F, R>
}

export class Flow<E, R, F> implements Transport.FreeTaker<void, F, R>, Parked {
  private readonly inbound: Batches
  private readonly way: Way
  private readonly receiver: Receiver<Items, E, R, F>
  /** The owner of the wait, if it began without a fiber. */
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

  /** The next effect of a fiber whose wait is over. */
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
    // if the receiver interrupted this reader, its turn is over and may be another reader's by now
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

  /** A receiver that throws has a defect. It ends the reader's turn, as a failure does, so that the end of the connection can be read. */
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

  /** The end is handled where it is reached; no continuation is kept for it before. */
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

/** The wait of an effect that is nothing but a flow, if that can be done without a fiber. */
export const parkedOf = (effect: Effect.Effect<unknown, unknown, unknown>): Parked | undefined => {
  // an effect is no other object than those of its own module
  const flowing: Flowing = effect as Flowing
  return flowing[parkable]?.()
}

const ended: Result.Result<void> = Result.succeed(undefined)
