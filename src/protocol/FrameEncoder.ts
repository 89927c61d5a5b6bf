/**
 * The frame encoder (RFC 6455 section 5.2): headers in their shortest form, whole frames, and batches of messages in as
 * few buffers as one write wants: small frames side by side in one buffer, large payloads never copied when unmasked.
 *
 * Small output lives in slabs that are handed out piece by piece and never reused, so what is returned stays valid for as
 * long as anyone holds it.
 *
 * @since 0.1.0
 */
import * as Masking from "./Masking.ts"
import type * as Opcode from "./Opcode.ts"

/**
 * Payloads up to this many bytes are copied behind their header; larger ones are written as they are.
 *
 * @category constants
 * @since 0.1.0
 */
export const copyThreshold = 4096

const slabSize = 65536
let slab = new Uint8Array(slabSize)
let slabUsed = 0

/** Makes the slab have room for `size` bytes from `slabUsed` on. */
const reserve = (size: number): void => {
  if (slabUsed + size <= slab.length) return
  slab = new Uint8Array(Math.max(slabSize, size))
  slabUsed = 0
}

const utf8 = new TextEncoder()

/**
 * The size in bytes of the header of a frame.
 *
 * @category encoding
 * @since 0.1.0
 */
export const headerSize = (length: number, masked: boolean): number =>
  (length < 126 ? 2 : length < 65536 ? 4 : 10) + (masked ? 4 : 0)

/**
 * Writes a frame header at `at` and returns where it ends. `b0` is the first byte: FIN, reserved bits and opcode.
 *
 * @category encoding
 * @since 0.1.0
 */
export const writeHeader = (
  target: Uint8Array,
  at: number,
  b0: number,
  length: number,
  maskingKey?: Uint8Array | undefined
): number => {
  const mask = maskingKey === undefined ? 0 : 0x80
  target[at++] = b0
  if (length < 126) {
    target[at++] = mask | length
  } else if (length < 65536) {
    target[at++] = mask | 126
    target[at++] = length >>> 8
    target[at++] = length
  } else {
    target[at++] = mask | 127
    const high = Math.floor(length / 0x100000000)
    const low = length >>> 0
    target[at++] = high >>> 24
    target[at++] = high >>> 16
    target[at++] = high >>> 8
    target[at++] = high
    target[at++] = low >>> 24
    target[at++] = low >>> 16
    target[at++] = low >>> 8
    target[at++] = low
  }
  if (maskingKey !== undefined) {
    target.set(maskingKey, at)
    at += 4
  }
  return at
}

/**
 * The first byte of a frame: FIN, RSV1 and the opcode.
 *
 * @category encoding
 * @since 0.1.0
 */
export const firstByte = (fin: boolean, rsv1: boolean, opcode: Opcode.Opcode): number =>
  (fin ? 0x80 : 0) | (rsv1 ? 0x40 : 0) | opcode

/**
 * A whole frame in one buffer. With a masking key the payload is masked, in the copy.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encode = (b0: number, payload: Uint8Array, maskingKey?: Uint8Array | undefined): Uint8Array => {
  const size = headerSize(payload.length, maskingKey !== undefined) + payload.length
  reserve(size)
  const start = slabUsed
  const body = writeHeader(slab, start, b0, payload.length, maskingKey)
  slab.set(payload, body)
  if (maskingKey !== undefined) Masking.apply(slab, body, start + size, Masking.key(maskingKey), 0)
  slabUsed = start + size
  return slab.subarray(start, slabUsed)
}

/**
 * Puts the header of a frame before its payload, where the payload's buffer has room for it, and gives both as one; `undefined` if
 * there is none. Nobody else may hold the buffer. Not for a client, whose frames are masked.
 *
 * @category encoding
 * @since 0.1.0
 */
export const inFront = (b0: number, payload: Uint8Array): Uint8Array | undefined => {
  const { buffer, byteOffset, length } = payload
  const size = headerSize(length, false)
  if (byteOffset < size) return undefined
  const frame = new Uint8Array(buffer, byteOffset - size, size + length)
  writeHeader(frame, 0, b0, length)
  return frame
}

/**
 * Gathers frames for one write. `makeKey` gives a fresh masking key for each frame of a client (section 5.3); a server has
 * none. Take the buffers with `take`; a batch is then empty and can be used again.
 *
 * Several may be filled at a time. What is filled without another between lies side by side.
 *
 * @category encoding
 * @since 0.1.0
 */
export class Batch {
  private buffers: Array<Uint8Array> = []
  /** The slab that has what is not in `buffers` yet, and where in it that is. */
  private part: Uint8Array | undefined = undefined
  private from = 0
  private to = 0
  private readonly makeKey: (() => Uint8Array) | undefined

  constructor(makeKey?: (() => Uint8Array) | undefined) {
    this.makeKey = makeKey
  }

  /** Forgets what was added. What cannot be written, such as a detached buffer, must not leave half a batch to the next. */
  private fail(defect: unknown): never {
    this.part = undefined
    this.buffers = []
    throw defect
  }

  /**
   * Adds a frame. An unmasked payload over the threshold is not copied: it belongs to the batch until it is written. Nor is a masked
   * one, if nobody else has it (`isOwned`): it is masked where it is.
   */
  frame(b0: number, payload: Uint8Array, isOwned = false): void {
    try {
      this.frameUnsafe(b0, payload, isOwned)
    } catch (defect) {
      this.fail(defect)
    }
  }

  private frameUnsafe(b0: number, payload: Uint8Array, isOwned: boolean): void {
    const key = this.makeKey?.()
    const length = payload.length
    if (length <= copyThreshold || (key !== undefined && !isOwned)) {
      this.room(headerSize(length, key !== undefined) + length)
      const body = writeHeader(slab, slabUsed, b0, length, key)
      slab.set(payload, body)
      if (key !== undefined) Masking.apply(slab, body, body + length, Masking.key(key), 0)
      this.used(body + length)
    } else {
      this.room(headerSize(length, key !== undefined))
      this.used(writeHeader(slab, slabUsed, b0, length, key))
      this.cut()
      if (key !== undefined) Masking.apply(payload, 0, length, Masking.key(key), 0)
      this.buffers.push(payload)
    }
  }

  /** Adds a frame whose payload is a string in UTF-8, encoded where it will be written from. */
  string(b0: number, text: string): void {
    try {
      this.stringUnsafe(b0, text)
    } catch (defect) {
      this.fail(defect)
    }
  }

  private stringUnsafe(b0: number, text: string): void {
    // a UTF-16 code unit is at most three bytes of UTF-8
    const most = text.length * 3
    if (most > slabSize >> 1) return this.frameUnsafe(b0, utf8.encode(text), true)
    const key = this.makeKey?.()
    this.room(14 + most)
    const masked = key !== undefined
    // leave room for the header that an ASCII text needs, and move the rare text that needs a longer one
    const guess = headerSize(text.length, masked)
    const target = slab.subarray(slabUsed + guess)
    const { written } = utf8.encodeInto(text, target)
    const header = headerSize(written, masked)
    if (header !== guess) slab.copyWithin(slabUsed + header, slabUsed + guess, slabUsed + guess + written)
    const body = writeHeader(slab, slabUsed, b0, written, key)
    if (key !== undefined) Masking.apply(slab, body, body + written, Masking.key(key), 0)
    this.used(body + written)
  }

  /** The buffers to write, in order. */
  take(): Array<Uint8Array> {
    this.cut()
    const buffers = this.buffers
    this.buffers = []
    return buffers
  }

  private room(size: number): void {
    reserve(size)
    // what comes now goes behind what this batch has, unless another has been there meanwhile
    if (this.part === slab && this.to === slabUsed) return
    this.cut()
    this.part = slab
    this.from = this.to = slabUsed
  }

  private used(end: number): void {
    this.to = slabUsed = end
  }

  private cut(): void {
    if (this.part === undefined) return
    this.buffers.push(this.part.subarray(this.from, this.to))
    this.part = undefined
  }
}
