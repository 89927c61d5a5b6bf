/**
 * How far a socket's writing is, as the system sees it.
 */
import * as Net from "node:net"
import type { Duplex } from "node:stream"

interface Handle {
  /** What was begun to be written. */
  readonly bytesWritten: number
  /** What the system has not taken of it. */
  readonly writeQueueSize: number
}

/**
 * The system's end of a socket. To the stream all of a write is unsent until the last of it is taken, which may be minutes
 * later if it is large; only this one tells how far it is, and it is not in the types. Of TLS it is that of the socket beneath.
 */
const handleOf = (stream: Net.Socket): Handle | undefined => {
  const handle: unknown = Reflect.get(stream, "_handle")
  if (!isHandle(handle)) return undefined
  const beneath: unknown = Reflect.get(handle, "_parent")
  return isHandle(beneath) ? beneath : handle
}

const isHandle = (handle: unknown): handle is Handle =>
  typeof handle === "object" && handle !== null && "bytesWritten" in handle && "writeQueueSize" in handle

/** How many bytes the system has taken; of what is no socket it does not say. */
export const takenOf = (stream: Duplex): number => {
  if (!(stream instanceof Net.Socket)) return 0
  const handle = handleOf(stream)
  return handle === undefined
    ? stream.bytesWritten - stream.writableLength
    : handle.bytesWritten - handle.writeQueueSize
}

/**
 * Whether there is room for more. A large chunk that the system took at once leaves room, though a stream says it does not; TLS itself
 * learns of that in the next turn, and takes three times as much again until then.
 */
export const hasRoom = (stream: Duplex): boolean => {
  const { writableHighWaterMark: most, writableLength: length } = stream
  if (length < most) return true
  return length < 4 * most && stream instanceof Net.Socket && handleOf(stream)?.writeQueueSize === 0
}
