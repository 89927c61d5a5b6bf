/**
 * How a case's frames reach the server: what it answers must not depend on it.
 */
import type { Peer } from "../client.ts"

export const DELIVERIES = ["in one write", "frame by frame", "octet by octet"] as const

export type Delivery = (typeof DELIVERIES)[number]

export const octets = (stream: Uint8Array): Array<Buffer> => Array.from(stream, (octet) => Buffer.of(octet))

export const deliver = async (peer: Peer, delivery: Delivery, frames: ReadonlyArray<Uint8Array>): Promise<void> => {
  switch (delivery) {
    case "in one write":
      return peer.send(...frames)
    case "frame by frame":
      return await peer.sendApart(frames)
    case "octet by octet":
      return await peer.sendApart(octets(Buffer.concat(frames)))
  }
}
