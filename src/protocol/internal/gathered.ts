/**
 * Bytes that come in pieces, side by side in one buffer, which doubles as it fills: what is fed a byte at a time costs no more than
 * what comes at once. How many there may be is for whoever gathers them to say.
 */
export class Gathered {
  length = 0
  private buffer: Uint8Array<ArrayBuffer>

  /** `size` is what there is room for at first. */
  constructor(size: number) {
    this.buffer = new Uint8Array(size)
  }

  /** All of them, as a view that the next piece may leave behind. */
  get bytes(): Uint8Array<ArrayBuffer> {
    return this.buffer.subarray(0, this.length)
  }

  push(piece: Uint8Array): void {
    const needed = this.length + piece.length
    if (needed > this.buffer.length) {
      const grown = new Uint8Array(Math.max(needed, this.buffer.length * 2))
      grown.set(this.bytes)
      this.buffer = grown
    }
    this.buffer.set(piece, this.length)
    this.length = needed
  }
}
