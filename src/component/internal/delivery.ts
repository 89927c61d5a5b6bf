/**
 * A message whose sender waits for it. It begins when everything that was sent before it has gone out; before that it can be
 * taken back, and nothing of it is sent then. Once it has begun it must be completed, since frames cannot be taken back: if
 * nobody waits any longer it goes on by itself, from a copy of what is left of it. So what waits in the process is never more
 * than one message that somebody gave up.
 */
import * as Effect from "effect/Effect"
import type { Connection } from "../../connection/internal/connection.ts"
import { Copies } from "../../connection/internal/copies.ts"
import { whole } from "../../connection/internal/memory.ts"
import type { Outgoing } from "../../connection/internal/outbound.ts"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import { copyThreshold } from "../../protocol/FrameEncoder.ts"
import { fits } from "./segments.ts"

/** What is larger is compressed elsewhere (`NodeZlib`), and not in one step. */
const compressedAtOnce = 65536

const copies = new Copies()

/** A piece that its sender cannot write to any more. */
export const copied = (piece: Outgoing): Outgoing =>
  typeof piece.payload === "string" ? piece : { ...piece, payload: copies.of(piece.payload) }

export class Delivery {
  isBegun = false
  private readonly connection: Connection
  private pieces: ReadonlyArray<Outgoing>
  private next = 0
  /** Whether the bytes of the pieces are the sender's, who may write to them when its call is done. */
  private isLent: boolean

  constructor(connection: Connection, pieces: ReadonlyArray<Outgoing>, isLent: boolean) {
    this.connection = connection
    this.pieces = pieces
    this.isLent = isLent
  }

  /** `empty` waits until nothing is unsent. */
  run(empty: Effect.Effect<void, WebSocketError>): Effect.Effect<void, WebSocketError> {
    const { connection } = this
    const pieces = Effect.whileLoop({
      while: () => this.next < this.pieces.length,
      body: () => this.give(this.pieces[this.next++]!),
      step: () => {}
    })
    return Effect.andThen(connection.outbound.exclusively(Effect.andThen(empty, pieces)), connection.flushed)
  }

  /** Whether it can begin at once, and is written in one step then. */
  get isSimple(): boolean {
    const { isCompressed, outbound, unsent } = this.connection
    const { length, 0: piece } = this.pieces
    return length === 1 && outbound.isFree && unsent === 0 && (!isCompressed || fits(piece!.payload, compressedAtOnce))
  }

  /** The same as `run` for a simple delivery, which nobody needs to complete. */
  get step(): Effect.Effect<void, WebSocketError> {
    const { connection } = this
    const sent = this.give(this.pieces[0]!)
    // what is compressed has its turn, however short
    return Effect.andThen(connection.isCompressed ? connection.outbound.exclusively(sent) : sent, connection.flushed)
  }

  private give(piece: Outgoing): Effect.Effect<void, WebSocketError> {
    this.isBegun = true
    const { outbound } = this.connection
    const own = this.own(piece)
    return outbound.givePieces([own], own === piece ? undefined : whole([own.payload]))
  }

  /** What is written while somebody may give up to wait for it. Small pieces are copied as they are encoded. */
  private own(piece: Outgoing): Outgoing {
    return this.isLent && (this.connection.isCompressed || piece.payload.length > copyThreshold) ? copied(piece) : piece
  }

  /** Its sender no longer waits: if it has begun, the rest is copied. */
  leave(): void {
    if (!this.isLent) return
    this.isLent = false
    this.pieces = this.pieces.slice(this.next).map(copied)
    this.next = 0
  }
}
