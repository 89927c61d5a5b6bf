/**
 * What the system knows of a socket and its stream does not tell: how far its writing is, and whether there still is a peer. Only the
 * handle has that, which is not in the types.
 */
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import { carrierOf } from "./http2Stream.ts"

const rawHandleOf = (stream: Net.Socket): unknown => Reflect.get(stream, "_handle")

interface Handle {
  /** The bytes of all writes that have begun. */
  readonly bytesWritten: number
  /** How many of them the system has not taken yet. */
  readonly writeQueueSize: number
}

/**
 * The system's end of a socket. The stream counts all of a write as unsent until its last byte is taken, which may be minutes later
 * if it is large; the handle tells how far it is. With TLS it is that of the socket beneath.
 */
const handleOf = (stream: Net.Socket): Handle | undefined => {
  const handle = rawHandleOf(stream)
  if (!isHandle(handle)) return undefined
  const beneath: unknown = Reflect.get(handle, "_parent")
  return isHandle(beneath) ? beneath : handle
}

const isHandle = (handle: unknown): handle is Handle =>
  typeof handle === "object" && handle !== null && "bytesWritten" in handle && "writeQueueSize" in handle

/**
 * How many bytes the system has taken; 0 if the stream is not a socket, since that is not known. For a stream of HTTP/2 it is what
 * was taken of all that share its connection: how far one of them is, only the client knows.
 */
export const takenOf = (of: Duplex): number => {
  const stream = carrierOf(of) ?? of
  if (!(stream instanceof Net.Socket)) return 0
  const handle = handleOf(stream)
  return handle === undefined
    ? stream.bytesWritten - stream.writableLength
    : handle.bytesWritten - handle.writeQueueSize
}

/**
 * Whether there is room for more. If the system took a large chunk at once there is room, though the stream does not know until the next
 * turn. Until then up to four times the high-water mark may be queued.
 */
export const hasRoom = (stream: Duplex): boolean => {
  const { writableHighWaterMark: most, writableLength: length } = stream
  if (length < most) return true
  return length < 4 * most && stream instanceof Net.Socket && handleOf(stream)?.writeQueueSize === 0
}

/** The handle of a TCP connection. */
interface Connected {
  /** Asks for the peer's address, and gives 0 or an error's number. */
  readonly getpeername: (into: object) => number
}

const isConnected = (handle: unknown): handle is Connected =>
  typeof handle === "object" && handle !== null && "getpeername" in handle

/** Whether this is a TCP connection that has lost its peer. With TLS nothing is known of that. */
export const lacksPeer = (stream: Net.Socket): boolean => {
  const handle = rawHandleOf(stream)
  return isConnected(handle) && handle.getpeername({}) !== 0
}
