/**
 * Which buffers are worth freeing by hand once they are written, by a stage that alone holds them: memory outside of the heap
 * otherwise waits for a full collection, and causes it.
 */

/** Below this size it is not worth it: the call costs a microsecond. */
const threshold = 16 * 1024

/** Whether bytes are all of their buffer, so that nobody else's go with them. */
export const isWhole = (bytes: Uint8Array): boolean =>
  bytes.length >= threshold && bytes.byteOffset === 0 && bytes.buffer.byteLength === bytes.length

/** Those of messages that were given away. */
export const whole = (messages: ReadonlyArray<Uint8Array | string>): ReadonlyArray<Uint8Array> | undefined => {
  let found: Array<Uint8Array> | undefined
  for (const message of messages) {
    if (typeof message !== "string" && isWhole(message)) (found ??= []).push(message)
  }
  return found
}
