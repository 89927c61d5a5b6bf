/**
 * The memory of chunks as Node's streams give them: whether more of a chunk's buffer is to come, and how it is freed.
 */

/** A full record of TLS (RFC 8446 section 5.1). */
const recordSize = 16 * 1024

/**
 * Whether the stream fills a buffer of which this is a part, and may go on at once: as Node decrypts a long run of records. One
 * chunk of all of them costs a quarter of four.
 */
export const isCut = (chunk: Uint8Array): boolean =>
  chunk.length === recordSize && chunk.byteOffset + recordSize < chunk.buffer.byteLength

/** Puts a chunk behind what is kept, as one with it where both lie side by side. */
export const keep = (kept: Array<Uint8Array>, chunk: Uint8Array): void => {
  const last = kept.at(-1)!
  if (last.buffer === chunk.buffer && last.byteOffset + last.length === chunk.byteOffset) {
    kept[kept.length - 1] = new Uint8Array(last.buffer, last.byteOffset, last.length + chunk.length)
  } else kept.push(chunk)
}

/** Transfer to nothing detaches the buffer and gives its memory back at once. */
export const free = (chunk: Uint8Array): void => {
  // what a stream reads is never in shared memory
  ;(chunk.buffer as ArrayBuffer).transfer(0)
}

/** The same for several, if it can be: that of WebAssembly cannot, nor what is shared, nor what is there for the second time. */
export const freeAll = (chunks: ReadonlyArray<Uint8Array>): void => {
  for (const chunk of chunks) {
    try {
      free(chunk)
    } catch {
      // the collector sees to it
    }
  }
}
