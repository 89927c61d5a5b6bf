/**
 * How far a socket's writing is, as the system sees it.
 */
import type * as Net from "node:net"

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
export const handleOf = (stream: Net.Socket): Handle | undefined => {
  const handle: unknown = Reflect.get(stream, "_handle")
  if (!isHandle(handle)) return undefined
  const beneath: unknown = Reflect.get(handle, "_parent")
  return isHandle(beneath) ? beneath : handle
}

const isHandle = (handle: unknown): handle is Handle =>
  typeof handle === "object" &&
  handle !== null &&
  typeof Reflect.get(handle, "bytesWritten") === "number" &&
  typeof Reflect.get(handle, "writeQueueSize") === "number"
