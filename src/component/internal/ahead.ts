/**
 * What a connection receives, batch by batch, with a way to read on while a listener, or a pause, holds the reading up: who waits
 * for a pong would otherwise wait for that listener too, and a listener that waits for it for something behind its own event. Batches
 * that are read ahead are kept, in order, until the reading goes on; reading ahead stops at a Close frame or a violation, and at a
 * megabyte.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Fiber from "effect/Fiber"
import type { Connection } from "../../connection/internal/connection.ts"
import type { Wait } from "../../connection/internal/items.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import type { Events, Gathering, MessageEvent } from "../../protocol/MessageEvent.ts"
import type { Fork } from "./waiting.ts"

type Batch = NonEmptyReadonlyArray<MessageEvent>

/** The most that is kept, in bytes of payload. */
const limit = 1024 * 1024

export class Ahead {
  private readonly connection: Connection
  private readonly way: Events
  private readonly fork: Fork
  private kept: Array<Batch> = []
  private size = 0
  private reading: Fiber.Fiber<unknown, unknown> | undefined
  /** How many wait for something that is to be read. */
  private readers = 0
  /** The reading waits for listeners: those of the beginning, and those of the batch that is given out. */
  private isHeld = true

  constructor(connection: Connection, gathering: Gathering, fork: Fork) {
    this.connection = connection
    this.way = connection.inbound.events(gathering)
    this.fork = fork
  }

  /** Gives every batch to `give` until the end, in order, and waits after each for the effect that it returns, if any. */
  flow(give: (batch: Batch) => Wait): Effect.Effect<void, WebSocketError> {
    const flowing = this.connection.inbound.flowEvents(this.way, {
      receive: (batch) => {
        const wait = give(batch)
        return wait === undefined && this.isCaughtUp ? undefined : this.goOn(wait, give)
      },
      received: Effect.fromResult
    })
    // a listener of the beginning may have had something read ahead
    return Effect.andThen(this.goOn(undefined, give), flowing)
  }

  private get isCaughtUp(): boolean {
    return this.kept.length === 0 && this.reading === undefined
  }

  /** Waits, and gives out the batches that were read ahead. If somebody still reads ahead, the next batch, or the end, comes from there. */
  private goOn(wait: Wait, give: (batch: Batch) => Wait): Effect.Effect<void> {
    return Effect.suspend(() => {
      if (wait !== undefined) {
        this.isHeld = true
        this.readAhead()
        return Effect.andThen(wait, this.goOn(undefined, give))
      }
      this.isHeld = false
      const batch = this.kept.shift()
      if (batch !== undefined) {
        this.size -= sizeOf(batch)
        return this.goOn(give(batch), give)
      }
      return this.reading === undefined
        ? Effect.void
        : Effect.andThen(Fiber.await(this.reading), this.goOn(undefined, give))
    })
  }

  /** Reads on as long as the effect runs and the reading is held up. */
  during<A, E>(effect: Effect.Effect<A, E>): Effect.Effect<A, E> {
    return Effect.suspend(() => {
      this.readers++
      this.readAhead()
      return Effect.onExit(effect, () => Effect.sync(() => void this.readers--))
    })
  }

  private readAhead(): void {
    if (!this.isHeld || this.readers === 0 || this.reading !== undefined) return
    const fiber = this.fork(this.readOn)
    this.reading = fiber
    fiber.addObserver(() => {
      if (this.reading === fiber) this.reading = undefined
    })
  }

  /** A read that is under way is finished: interrupting it could lose bytes. */
  private get readOn(): Effect.Effect<void, unknown> {
    return Effect.suspend(() =>
      !this.isHeld || this.readers === 0 || this.size >= limit
        ? Effect.void
        : Effect.flatMap(this.connection.inbound.pullHeld(this.way), (batch) => {
            this.kept.push(batch)
            this.size += sizeOf(batch)
            return this.readOn
          })
    )
  }
}

const sizeOf = (batch: Batch): number => batch.reduce((size, { payload }) => size + payload.length, 0)
