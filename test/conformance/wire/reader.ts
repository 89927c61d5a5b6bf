/**
 * The server's half of the connection, read strictly: every frame that RFC 6455 forbids a server to send is an error.
 */
import { BINARY, CLOSE, CONTINUATION, PING, PONG, TEXT } from "./frame.ts"

export interface ServerFrame {
  readonly fin: boolean
  readonly rsv: number
  readonly opcode: number
  readonly payload: Buffer
}

const OPCODES: ReadonlyArray<number> = [CONTINUATION, TEXT, BINARY, CLOSE, PING, PONG]

const violation = (what: string): Error => new Error(`the server broke the protocol: it sent ${what}`)

export class ServerFrameReader {
  #chunks: Array<Buffer> = []
  #buffered = 0
  #closed = false

  /** Whether octets of an unfinished frame are waiting. */
  get pending(): number {
    return this.#buffered
  }

  push(chunk: Buffer): Array<ServerFrame> {
    if (this.#closed && chunk.length > 0) throw violation(`${chunk.length} octets after its Close frame`)
    this.#chunks.push(chunk)
    this.#buffered += chunk.length
    const frames: Array<ServerFrame> = []
    for (let frame = this.#next(); frame !== undefined; frame = this.#next()) {
      frames.push(frame)
      if (frame.opcode !== CLOSE) continue
      this.#closed = true
      if (this.#buffered > 0) throw violation(`${this.#buffered} octets after its Close frame`)
    }
    return frames
  }

  #next(): ServerFrame | undefined {
    if (this.#buffered < 2) return undefined
    const head = this.#peek(Math.min(this.#buffered, 10))
    const b0 = head[0] ?? 0
    const b1 = head[1] ?? 0
    const opcode = b0 & 0x0f
    const fin = (b0 & 0x80) !== 0
    if (!OPCODES.includes(opcode)) throw violation(`the reserved opcode ${opcode}`)
    if ((b1 & 0x80) !== 0) throw violation("a masked frame")
    let length = b1 & 0x7f
    let start = 2
    if (opcode >= CLOSE && !fin) throw violation("a fragmented control frame")
    if (opcode >= CLOSE && length > 125) throw violation("a control frame of more than 125 octets")
    if (length === 126) {
      if (head.length < 4) return undefined
      start = 4
      length = head.readUInt16BE(2)
      if (length < 126) throw violation(`a length of ${length} in 16 bits`)
    } else if (length === 127) {
      if (head.length < 10) return undefined
      start = 10
      const long = head.readBigUInt64BE(2)
      if (long < 65536n) throw violation(`a length of ${long} in 64 bits`)
      if (long > 0x7fffffffn) throw violation(`a frame of ${long} octets, which nobody asked for`)
      length = Number(long)
    }
    if (this.#buffered < start + length) return undefined
    this.#take(start)
    return { fin, rsv: (b0 >> 4) & 7, opcode, payload: this.#take(length) }
  }

  #peek(size: number): Buffer {
    const first = this.#chunks[0]
    if (first !== undefined && first.length >= size) return first
    const all = Buffer.concat(this.#chunks)
    this.#chunks = [all]
    return all
  }

  #take(size: number): Buffer {
    this.#buffered -= size
    const taken: Array<Buffer> = []
    let missing = size
    let used = 0
    while (missing > 0) {
      const chunk = this.#chunks[used]
      if (chunk === undefined) throw new Error("unreachable: fewer octets are buffered than were counted")
      if (chunk.length <= missing) {
        taken.push(chunk)
        missing -= chunk.length
        used++
      } else {
        taken.push(chunk.subarray(0, missing))
        this.#chunks[used] = chunk.subarray(missing)
        missing = 0
      }
    }
    if (used > 0) this.#chunks.splice(0, used)
    const [only] = taken
    return taken.length === 1 && only !== undefined ? only : Buffer.concat(taken)
  }
}
