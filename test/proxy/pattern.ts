/**
 * Bytes that say where they belong: each byte of a stream is a function of the stream's seed and of its offset, with a prime
 * period that no buffer size divides. So a stream of any length is made on the fly and held nowhere, and whoever receives it
 * sees every lost, doubled, foreign or overwritten byte, and at which offset.
 */
import { createHash, type Hash } from "node:crypto"

const period = 1_048_573
/** The most bytes that one `slice` gives. */
export const maxSlice = 256 * 1024

const block = (() => {
  const bytes = Buffer.alloc(period + maxSlice)
  let state = 0x9e3779b9
  for (let i = 0; i < period; i++) {
    state ^= state << 13
    state ^= state >>> 17
    state ^= state << 5
    bytes[i] = state
  }
  bytes.copy(bytes, period, 0, maxSlice)
  return bytes
})()

/** Bytes `[offset, offset + length)` of the stream with this seed. A view: do not write to it. */
export const slice = (seed: number, offset: number, length: number): Buffer => {
  const from = (offset + seed * 7919) % period
  return block.subarray(from, from + Math.min(length, maxSlice))
}

/** The stream as pieces of at most `size` bytes. */
export function* pieces(seed: number, total: number, size: number = 64 * 1024): Generator<Buffer> {
  for (let at = 0; at < total;) {
    const piece = slice(seed, at, Math.min(size, total - at))
    yield piece
    at += piece.length
  }
}

/** A stream without an end of its own: its pieces until it is stopped, and how much they were. */
export class Source implements Iterable<Buffer> {
  sent = 0
  #stopped = false
  readonly #seed: number
  readonly #size: number

  constructor(seed: number, size = 64 * 1024) {
    this.#seed = seed
    this.#size = size
  }
  stop(): void {
    this.#stopped = true
  }
  *[Symbol.iterator](): Generator<Buffer> {
    while (!this.#stopped) {
      const piece = slice(this.#seed, this.sent, this.#size)
      this.sent += piece.length
      yield piece
    }
  }
}

/** The whole stream in one buffer: for small ones. */
export const bytes = (seed: number, total: number): Buffer => Buffer.concat([...pieces(seed, total)])

/** Takes a stream as it arrives and compares each byte with what belongs there. */
export class Checker {
  received = 0
  /** What was wrong first, if anything. */
  fault: string | undefined
  readonly #seed: number

  constructor(seed: number) {
    this.#seed = seed
  }

  push(chunk: Uint8Array): void {
    let at = 0
    while (at < chunk.length && this.fault === undefined) {
      const expected = slice(this.#seed, this.received, chunk.length - at)
      const got = chunk.subarray(at, at + expected.length)
      if (expected.compare(got) !== 0) {
        const wrong = expected.findIndex((byte, i) => byte !== got[i])
        this.fault = `byte ${this.received + wrong} is ${got[wrong]}, expected ${expected[wrong]}`
      }
      at += expected.length
      this.received += expected.length
    }
  }
}

const digest = (hash: Hash) => hash.digest("hex")

/** The hash of a stream that a sender made by this module, for receivers that keep a hash and nothing else. */
export const hashOf = (seed: number, total: number): string => {
  const hash = createHash("sha256")
  for (const piece of pieces(seed, total, maxSlice)) hash.update(piece)
  return digest(hash)
}

/** Keeps the hash and the length of what it takes. */
export class Hasher {
  received = 0
  readonly #hash = createHash("sha256")
  push(chunk: Uint8Array): void {
    this.received += chunk.length
    this.#hash.update(chunk)
  }
  get hash(): string {
    return digest(this.#hash.copy())
  }
}
