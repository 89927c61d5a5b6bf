/**
 * A Close frame, a violation or the end that a read came upon. It is acted upon at the next pull, after everything before it was
 * delivered.
 */
import type * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type { CloseStatus } from "../../protocol/CloseCode.ts"
import type { ProtocolError } from "../../protocol/ProtocolError.ts"
import type { ItemPull } from "./items.ts"

/** Acts upon what was read. */
export interface Owner {
  /** Pings came, in this order. Must not wait: the peer may be waiting for us to read. */
  answerPings(payloads: ReadonlyArray<Uint8Array>): Effect.Effect<void>
  pongReceived(payload: Uint8Array): void
  /** The peer broke the protocol. Returns the result of every further pull. */
  violated(error: ProtocolError): ItemPull
  closeReceived(status: CloseStatus): ItemPull
  transportEnded(error: Socket.SocketError): ItemPull
}

/** Nothing more is read, and every further pull gives this. */
export interface End {
  readonly _tag: "End"
  readonly pull: ItemPull
}

export type Decision =
  | { readonly _tag: "Violation"; readonly error: ProtocolError }
  | { readonly _tag: "Close"; readonly status: CloseStatus }
  | End

/** Is done once: of an end there is nothing left to do. */
export const actUpon = (decision: Decision, owner: Owner): End => {
  switch (decision._tag) {
    case "Violation":
      return { _tag: "End", pull: owner.violated(decision.error) }
    case "Close":
      return { _tag: "End", pull: owner.closeReceived(decision.status) }
    case "End":
      return decision
  }
}
