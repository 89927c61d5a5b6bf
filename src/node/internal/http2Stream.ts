/**
 * What is different about a stream of HTTP/2 that carries a WebSocket (RFC 8441): it has a connection that others share, and a reset of
 * its own. What is not different is in `NodeSocket`, which takes it for any other stream.
 */
import type * as Net from "node:net"
import type { Duplex } from "node:stream"

/** RFC 9113 section 7: it is what a reset of TCP is to a stream (RFC 8441 section 5). */
const cancel = 0x8

/** The part of `node:http2` that is used here, which is not loaded for connections that have nothing to do with it. */
interface Resettable extends Duplex {
  close(code: number): void
}

const carrier = Symbol("effect-websocket/carrier")

interface Carried extends Duplex {
  [carrier]?: Net.Socket
}

/** Says which connection carries a stream. */
export const carry = (stream: Resettable, by: Net.Socket): void => {
  const carried: Carried = stream
  carried[carrier] = by
}

/** The connection that carries a stream, if it is one of HTTP/2. */
export const carrierOf = (stream: Carried): Net.Socket | undefined => stream[carrier]

const isResettable = (stream: Carried): stream is Carried & Resettable => stream[carrier] !== undefined

/** Resets a stream of HTTP/2, and says whether it is one. */
export const resetStream = (stream: Duplex): boolean => {
  if (!isResettable(stream)) return false
  if (!stream.destroyed) stream.close(cancel)
  stream.destroy()
  return true
}
