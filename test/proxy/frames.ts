/**
 * WebSocket frames for tests, written from RFC 6455 section 5.2 and sharing nothing with `src/protocol`, so that a fault there
 * cannot hide here: a client's frames out, a server's frames in, the payloads in pieces as they come.
 */
import { randomBytes } from "node:crypto"

export const continuation = 0
export const text = 1
export const binary = 2
export const close = 8
export const ping = 9
export const pong = 10

export interface FrameOptions {
  readonly fin?: boolean | undefined
  readonly rsv?: number | undefined
  /** Default: a random one. `null` sends the frame unmasked. */
  readonly mask?: Buffer | null | undefined
}

/** The header of a client's frame whose payload has this length; lengths may be above 2^32. */
export const header = (opcode: number, length: number, options: FrameOptions = {}): Buffer => {
  const { fin = true, mask = Buffer.alloc(4), rsv = 0 } = options
  const b0 = (fin ? 0x80 : 0) | (rsv << 4) | opcode
  const masked = mask === null ? 0 : 0x80
  const key = mask ?? Buffer.alloc(0)
  if (length < 126) return Buffer.concat([Buffer.from([b0, masked | length]), key])
  if (length < 65536) return Buffer.concat([Buffer.from([b0, masked | 126, length >> 8, length & 255]), key])
  const head = Buffer.alloc(10)
  head[0] = b0
  head[1] = masked | 127
  head.writeBigUInt64BE(BigInt(length), 2)
  return Buffer.concat([head, key])
}

/** A copy of the payload under the mask, as from offset `phase` of the frame. */
export const masked = (payload: Uint8Array, mask: Buffer, phase = 0): Buffer => {
  const out = Buffer.from(new ArrayBuffer(payload.length))
  out.set(payload)
  const turned = Buffer.from([0, 1, 2, 3].map((i) => mask[(phase + i) & 3]!))
  const words = new Int32Array(out.buffer, 0, out.length >> 2)
  const word = turned.readInt32LE(0)
  for (let i = 0; i < words.length; i++) words[i] = words[i]! ^ word
  for (let i = words.length << 2; i < out.length; i++) out[i] = out[i]! ^ turned[i & 3]!
  return out
}

/** A whole frame of a client. */
export const frame = (opcode: number, payload: Uint8Array | string, options: FrameOptions = {}): Buffer => {
  const content = typeof payload === "string" ? Buffer.from(payload) : payload
  const mask = options.mask === undefined ? randomBytes(4) : options.mask
  return Buffer.concat([
    header(opcode, content.length, { ...options, mask }),
    mask === null ? content : masked(content, mask)
  ])
}

export const closePayload = (code?: number | undefined, reason = ""): Buffer => {
  if (code === undefined) return Buffer.alloc(0)
  return Buffer.concat([Buffer.from([code >> 8, code & 255]), Buffer.from(reason)])
}

/** What a reader tells of a server's frames. */
export interface Handler {
  /** A data frame begins. */
  start(opcode: number, fin: boolean, length: number, rsv: number): void
  payload(piece: Buffer): void
  /** A data frame ends. */
  end(fin: boolean): void
  control(opcode: number, payload: Buffer): void
}

/** Reads a server's frames, and throws at what a server may not send. */
export class FrameReader {
  #held = Buffer.alloc(0)
  #inFrame = false
  #remaining = 0
  #opcode = 0
  #fin = true
  readonly #handler: Handler

  constructor(handler: Handler) {
    this.#handler = handler
  }

  push(chunk: Buffer): void {
    let rest = this.#held.length === 0 ? chunk : Buffer.concat([this.#held, chunk])
    this.#held = Buffer.alloc(0)
    for (;;) {
      if (!this.#inFrame) {
        const size = this.#begin(rest)
        if (size === 0) break
        rest = rest.subarray(size)
      }
      if (this.#opcode >= 8) {
        if (rest.length < this.#remaining) break
        this.#handler.control(this.#opcode, Buffer.from(rest.subarray(0, this.#remaining)))
        rest = rest.subarray(this.#remaining)
      } else {
        const piece = rest.subarray(0, this.#remaining)
        this.#remaining -= piece.length
        rest = rest.subarray(piece.length)
        if (piece.length > 0) this.#handler.payload(piece)
        if (this.#remaining > 0) return
        this.#handler.end(this.#fin)
      }
      this.#inFrame = false
    }
    this.#held = Buffer.from(rest)
  }

  /** The size of the header at the start of `bytes`, which is then the current frame's; 0 if it is not whole. */
  #begin(bytes: Buffer): number {
    if (bytes.length < 2) return 0
    if ((bytes[1]! & 0x80) !== 0) throw new Error("the server sent a masked frame")
    const short = bytes[1]! & 127
    const size = short < 126 ? 2 : short === 126 ? 4 : 10
    if (bytes.length < size) return 0
    this.#remaining = short < 126 ? short : short === 126 ? bytes.readUInt16BE(2) : Number(bytes.readBigUInt64BE(2))
    this.#opcode = bytes[0]! & 15
    this.#fin = (bytes[0]! & 0x80) !== 0
    this.#inFrame = true
    if (this.#opcode < 8) this.#handler.start(this.#opcode, this.#fin, this.#remaining, (bytes[0]! >> 4) & 7)
    return size
  }
}
