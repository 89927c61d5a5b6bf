/**
 * A byte stream of frames with nothing changed but the masking (RFC 6455 section 5.3): what comes masked leaves without its key, what
 * comes unmasked leaves with one. It holds back nothing that it could pass on, and judges nothing: wrong lengths, reserved bits and
 * frames that never end leave as they came.
 */
import { CLOSE } from "./frame.ts"

/** The key of what came unmasked: that of the samples of RFC 6455 section 5.7. */
const KEY = [0x37, 0xfa, 0x21, 0x3d] as const

/** How many octets behind the second one say how long the payload is. */
const lengthOctets = (length: number): number => (length === 126 ? 2 : length === 127 ? 8 : 0)

export class Remask {
  /** What has come of the header, and the size that it will have as far as that is known. */
  #header: Array<number> = []
  #headerSize = 2
  /** Where its masking key begins, or would begin. */
  #keyAt = 2
  #key: ReadonlyArray<number> = KEY
  #phase = 0
  /** How much of the payload is still to come. What no double holds exactly never comes to its end. */
  #left = 0
  #hasClosed = false

  /** Whether a Close frame has passed, all that leaves of it: the key of one without a payload may never come any more. */
  get hasClosed(): boolean {
    return this.#hasClosed
  }

  push(chunk: Uint8Array): Buffer {
    // at most two octets become six, or the last one of a header five
    const out = Buffer.allocUnsafe(3 * chunk.length + KEY.length)
    let size = 0
    for (let at = 0; at < chunk.length;) {
      if (this.#header.length < this.#headerSize) {
        for (const octet of this.#headerOctet(chunk[at++] ?? 0)) out[size++] = octet
      } else {
        const end = Math.min(chunk.length, at + this.#left)
        this.#left -= end - at
        while (at < end) out[size++] = (chunk[at++] ?? 0) ^ (this.#key[this.#phase++ & 3] ?? 0)
      }
      if (this.#header.length === this.#headerSize && this.#left === 0) this.#endFrame()
    }
    return out.subarray(0, size)
  }

  /** What an octet of the header becomes. */
  #headerOctet(octet: number): ReadonlyArray<number> {
    const header = this.#header
    const position = header.push(octet) - 1
    if (position === 1) {
      this.#keyAt = 2 + lengthOctets(octet & 0x7f)
      this.#headerSize = this.#keyAt + (this.#isMasked ? KEY.length : 0)
      if ((octet & 0x7f) === 0) this.#look()
    }
    if (header.length === this.#headerSize && position > 0) this.#beginPayload()
    if (position >= this.#keyAt) return []
    const passed = position === 1 ? octet ^ 0x80 : octet
    return position === this.#keyAt - 1 && position > 0 && !this.#isMasked ? [passed, ...KEY] : [passed]
  }

  get #isMasked(): boolean {
    return (this.#header[1] ?? 0) >= 0x80
  }

  #beginPayload(): void {
    const header = this.#header
    const short = (header[1] ?? 0) & 0x7f
    const long = header.slice(2, this.#keyAt)
    this.#left = long.length === 0 ? short : long.reduce((length, octet) => length * 256 + octet, 0)
    this.#key = this.#isMasked ? header.slice(this.#keyAt) : KEY
    this.#phase = 0
  }

  #look(): void {
    if (((this.#header[0] ?? 0) & 0x0f) === CLOSE) this.#hasClosed = true
  }

  #endFrame(): void {
    this.#look()
    this.#header = []
    this.#headerSize = this.#keyAt = 2
  }
}
