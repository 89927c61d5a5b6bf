/**
 * The least of RFC 6455 a load generator needs: precomputed masked frames, a reader of server frames that looks at
 * headers only and skips payloads by their length (§5.2), and the byte pattern that both ends of a measurement know.
 */

/** Bytes in which a shift, a lost piece or a wrong mask shows: position p of every stream holds `pattern[p % size]`. */
export const pattern = (size: number): Buffer => {
  const bytes = Buffer.alloc(size)
  for (let i = 0; i < size; i++) bytes[i] = (i * 131 + (i >> 8) * 29 + (i >> 16) * 7 + 1) & 255
  return bytes
}

/** Whether `buffer[start, end)` continues the repeated pattern from stream position `position`. */
export const matches = (buffer: Buffer, start: number, end: number, expected: Buffer, position: number): boolean => {
  let at = position % expected.length
  while (start < end) {
    const step = Math.min(end - start, expected.length - at)
    if (buffer.compare(expected, at, at + step, start, start + step) !== 0) return false
    start += step
    at = 0
  }
  return true
}

/** Of the first byte of a frame: the message is compressed (RFC 7692 §6). */
export const rsv1 = 0x40

const maskingKey = [0x12, 0x34, 0x56, 0x78] as const

/** One masked frame with FIN set, as a client sends it; reserved bits are part of `opcode`. */
export const maskedFrame = (opcode: number, payload: Buffer): Buffer => {
  const size = payload.length
  const extended = size < 126 ? 0 : size < 65536 ? 2 : 8
  const frame = Buffer.alloc(2 + extended + 4 + size)
  frame[0] = 0x80 | opcode
  frame[1] = 0x80 | (extended === 0 ? size : extended === 2 ? 126 : 127)
  if (extended === 2) frame.writeUInt16BE(size, 2)
  if (extended === 8) frame.writeBigUInt64BE(BigInt(size), 2)
  const start = 2 + extended
  frame.set(maskingKey, start)
  for (let i = 0; i < size; i++) frame[start + 4 + i] = payload[i]! ^ maskingKey[i & 3]!
  return frame
}

export interface FrameSink {
  /** A piece of a data frame's payload. */
  readonly payload: (buffer: Buffer, start: number, end: number) => void
  /** The last byte of a data frame with FIN has come. */
  readonly message: () => void
  /** A control frame's header has come; its payload is skipped. */
  readonly control: (opcode: number) => void
  /** What came is no frame that a server may send here. */
  readonly violation: (reason: string) => void
}

/** Reads server frames incrementally. Holds no payload. */
export class FrameReader {
  readonly sink: FrameSink
  /** The reserved bits that the first frame of a message must have: RSV1 where messages are compressed (RFC 7692 §6). */
  private readonly reserved: number
  private header = Buffer.alloc(10)
  private have = 0
  private left = 0
  private counts = false
  private final = false

  constructor(sink: FrameSink, compressed: boolean) {
    this.sink = sink
    this.reserved = compressed ? rsv1 : 0
  }

  feed(buffer: Buffer, start: number, end: number): void {
    while (start < end) {
      if (this.left > 0) {
        const step = Math.min(this.left, end - start)
        if (this.counts) this.sink.payload(buffer, start, start + step)
        this.left -= step
        start += step
        if (this.left === 0 && this.counts && this.final) this.sink.message()
        continue
      }
      this.header[this.have++] = buffer[start++]!
      if (this.have < 2) continue
      const short = this.header[1]!
      if (this.have < (short === 126 ? 4 : short === 127 ? 10 : 2)) continue
      this.have = 0
      this.left = short < 126 ? short : short === 126 ? this.header.readUInt16BE(2) : this.header.readUIntBE(4, 6)
      this.begin(this.header[0]!, short)
    }
  }

  private begin(first: number, short: number): void {
    const opcode = first & 15
    if ((first & 0x70) !== (opcode === 1 || opcode === 2 ? this.reserved : 0)) {
      return this.sink.violation(`reserved bits that were not agreed on, or none: 0x${first.toString(16)}`)
    }
    if (short > 127) return this.sink.violation("a server frame is masked")
    if (opcode > 10 || (opcode > 2 && opcode < 8)) return this.sink.violation(`unknown opcode ${opcode}`)
    this.counts = opcode < 3
    this.final = first >= 0x80
    if (!this.counts) this.sink.control(opcode)
    else if (this.left === 0 && this.final) this.sink.message()
  }
}
