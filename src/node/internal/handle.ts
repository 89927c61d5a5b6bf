/**
 * How far a socket's writing is, as the system sees it.
 */
import * as Net from "node:net"
import type { Duplex } from "node:stream"

interface Handle {
  /** The bytes of all writes that have begun. */
  readonly bytesWritten: number
  /** How many of them the system has not taken yet. */
  readonly writeQueueSize: number
}

/**
 * The system's end of a socket. The stream counts all of a write as unsent until its last byte is taken, which may be minutes later
 * if it is large; only the handle, which is not in the types, tells how far it is. With TLS it is that of the socket beneath.
 */
const handleOf = (stream: Net.Socket): Handle | undefined => {
  const handle: unknown = Reflect.get(stream, "_handle")
  if (!isHandle(handle)) return undefined
  const beneath: unknown = Reflect.get(handle, "_parent")
  return isHandle(beneath) ? beneath : handle
}

const isHandle = (handle: unknown): handle is Handle =>
  typeof handle === "object" && handle !== null && "bytesWritten" in handle && "writeQueueSize" in handle

/** How many bytes the system has taken; 0 if the stream is not a socket, since that is not known. */
export const takenOf = (stream: Duplex): number => {
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
