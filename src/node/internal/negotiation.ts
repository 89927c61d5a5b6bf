/**
 * The interface between a dial and the protocol of a firewall: one object for both, so that the dial owns the socket, the time
 * and the end, and the protocol only what is said.
 */
import type * as Net from "node:net"
import type { Firewall } from "../../proxy/Firewall.ts"

/** Where the firewall is to connect to: an IP address, or a name that it looks up. */
export interface Destination {
  readonly host: string
  readonly port: number
}

export interface Refused {
  /** What happened, as the rest of a sentence that begins with the firewall's name. */
  readonly said: string
  readonly cause?: unknown
  /** The firewall has refused this address in the words of its protocol: another may do. */
  readonly another?: boolean
  readonly timedOut?: boolean
}

export interface Negotiation<F extends Firewall = Firewall> {
  readonly firewall: F
  readonly destination: Destination
  /** Connected to the firewall, and not yet read from. */
  readonly socket: Net.Socket
  /** How long it may take, in milliseconds. The dial enforces it; this is for a protocol that has to know. */
  readonly patience: number
  /** From here on the socket is the target's: what is to be read of it comes from there. */
  granted(): void
  /** Only the first of what is said counts. */
  refused(refused: Refused): void
}
