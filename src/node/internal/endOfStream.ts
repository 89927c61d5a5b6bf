/**
 * Whether the end of a stream is one. libuv before 1.52, which Node 22 has, tells an end in place of a reset that came together with the
 * last bytes, and a target that failed would be one that has said all. The system knows better: a connection whose own side is open has
 * no peer any more only after a reset. (One that came right behind an end in order, in the same read, is told as a reset, too: with Node
 * 22 that is not to be seen.) With TLS that would not say enough: a peer that has ended TLS in order may reset the connection
 * beneath at once, and which came is not to be seen.
 */
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import { lacksPeer } from "./handle.ts"

const [major = 0, minor = 0] = process.versions.uv.split(".").map(Number)
/** Whether this libuv tells the two apart itself. */
export const isToldApart = major > 1 || minor >= 52

/** Whether a stream that says it has ended was reset. Then it fails as it should have, and says that itself. */
export const failsAsReset = (stream: Duplex): boolean => {
  if (isToldApart || stream.writableEnded || !(stream instanceof Net.Socket) || "encrypted" in stream) return false
  if (!lacksPeer(stream)) return false
  stream.destroy(Object.assign(new Error("read ECONNRESET"), { code: "ECONNRESET", syscall: "read" }))
  return true
}
