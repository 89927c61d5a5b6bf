/**
 * Copies of small pieces of bytes, side by side in larger buffers: a buffer for each costs more than all else that is done for a
 * small message. What was given out is never written to again.
 */

const slabSize = 65536

/** Larger pieces are worth a buffer of their own. */
const threshold = 4096

export class Copies {
  private slab = new Uint8Array(0)
  private used = 0

  of(bytes: Uint8Array): Uint8Array {
    const { length } = bytes
    if (length > threshold) return new Uint8Array(bytes)
    // one that somebody has transferred away has no length any more
    if (this.used + length > this.slab.length) {
      this.slab = new Uint8Array(slabSize)
      this.used = 0
    }
    const { used } = this
    this.slab.set(bytes, used)
    this.used = used + length
    return this.slab.subarray(used, used + length)
  }
}
