/**
 * Connections from their first byte: what identifies one in the events of its TLS handshake is what identifies it later, and all
 * of its events take turns.
 */
import { Turns } from "./turns.ts"

export interface Arrival {
  readonly connectionId: string
  readonly turns: Turns
}

export class Arrivals {
  private readonly known = new WeakMap<object, Arrival>()
  private count = 0

  /** The arrival of a connection, given by whatever stands for it; a new one if it is `undefined`. */
  of(peer: object | undefined): Arrival {
    const known = peer === undefined ? undefined : this.known.get(peer)
    if (known !== undefined) return known
    const arrival = { connectionId: String(++this.count), turns: new Turns() }
    if (peer !== undefined) this.known.set(peer, arrival)
    return arrival
  }
}

/** The connection that an event is of; empty if it is of none. */
export const idOf = (event: unknown): string =>
  typeof event === "object" && event !== null && "connectionId" in event ? String(event.connectionId) : ""

/** A connection in its TLS handshake, by its id: its failed listener still has the turn of it. */
export const unlinked = (connectionId: string): Arrival | undefined =>
  connectionId === "" ? undefined : { connectionId, turns: new Turns() }
