/**
 * The end of a connection that tells the peer at once that it is no more (RST). TLS has no reset of its own: a missing
 * close_notify tells only peers that look for it, but a reset of the connection beneath tells every peer. A stream of HTTP/2 has one, and
 * the connection that it shares with others goes on.
 */
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import type * as Tls from "node:tls"
import { resetStream } from "./http2Stream.ts"

/** Where a stream of TLS has the connection beneath it. */
const beneath = Symbol("effect-websocket/beneath")

interface Layered extends Duplex {
  [beneath]?: Net.Socket
}

/** Says which connection a stream of TLS is over. */
export const layOn = (stream: Tls.TLSSocket & Layered, socket: Net.Socket & Layered): void => {
  // of TLS in TLS it is the connection beneath them all
  stream[beneath] = socket[beneath] ?? socket
}

/**
 * Resets the connection that a stream is, or is over. In an event of TLS that would crash Node, 26 as 22, so it comes in a later
 * turn of the loop; until then nothing else may end the stream.
 */
export const reset = (stream: Layered): void => {
  if (resetStream(stream)) return
  const { [beneath]: socket } = stream
  if (socket === undefined) return resetNow(stream)
  setImmediate(() => {
    if (!stream.destroyed) resetNow(socket)
    stream.destroy()
  })
}

/** Our end is on its way to the system, behind all that was written. */
const isEnding = (stream: Duplex): boolean =>
  stream instanceof Net.Socket &&
  !stream.destroyed &&
  stream.writableEnded &&
  !stream.writableFinished &&
  stream.writableLength === 0

const resetNow = (stream: Duplex): void => {
  // libuv does not reset it then, and Node, 26 as 22, would never close it
  if (isEnding(stream)) return void stream.once("finish", () => resetNow(stream))
  try {
    if (stream instanceof Net.Socket) stream.resetAndDestroy()
  } catch {
    // a unix socket has no reset, and it throws
  }
  stream.destroy()
}
