/**
 * The incremental frame decoder (RFC 6455 sections 5.2 to 5.5): chunks of a byte stream in, frames out to a `Sink`, with
 * payloads passed on in pieces as they arrive, unmasked in place. It owns what framing alone decides: lengths, masks,
 * reserved bits and opcodes, the limits of control frames, and the order of fragments. It assembles nothing but control
 * frames, so a frame of any length passes through in the memory of one chunk.
 *
 * Nothing here is allocated for a data frame: the sink reads the current frame's fields from the decoder, and a piece of
 * payload is a range of the chunk. A fault is thrown as a `ProtocolError` from `push`, after the sink got all that came
 * before it; a decoder that has failed refuses further use, and one that was stopped by its sink ignores what comes.
 *
 * @since 0.1.0
 */
import * as Masking from "./Masking.ts"
import * as Opcode from "./Opcode.ts"
import { type Kind, ProtocolError } from "./ProtocolError.ts"

/**
 * Takes what a decoder finds, in order. Its methods run inside `push` and may throw a `ProtocolError` to fail it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Sink {
  /** The header of a data frame is read: see the decoder's fields. */
  frameStart(decoder: FrameDecoder): void
  /** `chunk[start, end)` is the next piece of the data frame's payload, unmasked. The range belongs to the sink. */
  framePayload(chunk: Uint8Array, start: number, end: number, decoder: FrameDecoder): void
  /** The data frame is complete; if `decoder.fin`, so is its message. */
  frameEnd(decoder: FrameDecoder): void
  /** A whole control frame. The payload is a copy that belongs to the sink. */
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array, decoder: FrameDecoder): void
}

/**
 * How a decoder reads.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /**
   * What masks to expect: a server requires them of its client, a client refuses them from its server (section 5.1), and
   * a tool that reads both takes either.
   */
  readonly masking: "required" | "forbidden" | "either"
  /** Whether RSV1 may be set on the first frame of a message, as permessage-deflate defines it. Default: `false`. */
  readonly allowRsv1?: boolean | undefined
  /** The largest payload of a frame in bytes; a larger one fails with 1009. Default: 2^53-1, that is, no limit. */
  readonly maxFrameSize?: number | undefined
}

const noBytes = new Uint8Array(0)

/** The largest header: two bytes, a 64-bit length and a masking key. */
const maxHeaderSize = 14

/**
 * See the head of this module.
 *
 * @category decoding
 * @since 0.1.0
 */
export class FrameDecoder {
  /** Whether the current frame is the last one of its message. */
  fin = false
  /** Whether the current frame has RSV1 set: the first frame of a compressed message. */
  rsv1 = false
  /** The opcode of the current frame. */
  opcode: Opcode.Opcode = Opcode.continuation
  /** The payload length in bytes that the current frame announced. */
  length = 0
  /** How many bytes of the current frame's payload have not come yet. */
  remaining = 0
  /** The key that masks the current frame's payload, if `masked`, as `Masking.key` gives it. */
  maskingKey = 0
  /** Whether the current frame is masked. */
  masked = false
  /** Grows with every piece of data: as long as it stays, none came. */
  progress = 0

  private readonly masking: Options["masking"]
  private readonly allowRsv1: boolean
  private readonly maxFrameSize: number
  /** A message is open: its last fragment has not begun yet. */
  private messageOpen = false
  private inPayload = false
  private stopped = false
  private failure: ProtocolError | undefined
  /** The part of a header that came at the end of a chunk. */
  private header = noBytes
  private headerLength = 0
  /** The payload of the current control frame so far. */
  private control = noBytes

  constructor(options: Options) {
    this.masking = options.masking
    this.allowRsv1 = options.allowRsv1 ?? false
    this.maxFrameSize = options.maxFrameSize ?? Number.MAX_SAFE_INTEGER
  }

  /** Whether the byte stream may end here: no frame and no message is open. */
  get idle(): boolean {
    return !this.inPayload && this.headerLength === 0 && !this.messageOpen
  }

  /** Whether a message has begun, as its sink knows, and is not whole. */
  get isInMessage(): boolean {
    return this.messageOpen || (this.inPayload && !Opcode.isControl(this.opcode))
  }

  /** Whether another one in its place would do the same: between messages there is nothing to remember, but that it was stopped or failed. */
  get isFresh(): boolean {
    return this.idle && !this.stopped && this.failure === undefined
  }

  /** Makes `push` ignore the rest of the current chunk and all later ones: nothing follows a Close frame. */
  stop(): void {
    this.stopped = true
  }

  /** Decodes the next chunk of the byte stream. Unmasking changes the chunk. */
  push(chunk: Uint8Array, sink: Sink): void {
    if (this.failure !== undefined) throw this.failure
    try {
      this.decode(chunk, sink)
    } catch (error) {
      if (error instanceof ProtocolError) this.failure = error
      throw error
    }
  }

  private decode(chunk: Uint8Array, sink: Sink): void {
    const end = chunk.length
    let at = 0
    while (!this.stopped) {
      if (!this.inPayload) {
        if (this.headerLength > 0) {
          // a header in pieces: byte by byte into its own buffer until it is whole
          if (at === end) return
          this.header[this.headerLength++] = chunk[at++]!
          if (this.readHeader(this.header, 0, this.headerLength) === 0) continue
          this.headerLength = 0
        } else {
          if (at === end) return
          const size = this.readHeader(chunk, at, end)
          if (size === 0) {
            if (this.header.length === 0) this.header = new Uint8Array(maxHeaderSize)
            this.header.set(chunk.subarray(at, end))
            this.headerLength = end - at
            return
          }
          at += size
        }
        this.remaining = this.length
        this.inPayload = true
        if (Opcode.isControl(this.opcode)) this.control = new Uint8Array(this.length)
        else {
          this.messageOpen = !this.fin
          this.progress++
          sink.frameStart(this)
        }
      }
      if (this.remaining > 0) {
        if (at === end) return
        const size = Math.min(this.remaining, end - at)
        const done = this.length - this.remaining
        if (this.masked) Masking.apply(chunk, at, at + size, this.maskingKey, done)
        this.remaining -= size
        if (Opcode.isControl(this.opcode)) this.control.set(chunk.subarray(at, at + size), done)
        else {
          this.progress++
          sink.framePayload(chunk, at, at + size, this)
        }
        at += size
        if (this.remaining > 0) return
      }
      this.inPayload = false
      if (Opcode.isControl(this.opcode)) sink.control(this.opcode, this.control, this)
      else sink.frameEnd(this)
    }
  }

  /**
   * Reads the header at `bytes[at, end)` and returns its size, or 0 if it is not whole yet. Each byte is checked as soon as
   * it is there, so a bad one fails at once however slowly the rest comes.
   */
  private readHeader(bytes: Uint8Array, at: number, end: number): number {
    const b0 = bytes[at]!
    const opcode = b0 & 0x0f
    if ((b0 & 0x70) !== 0) this.checkReservedBits(b0, opcode)
    if (!Opcode.isOpcode(opcode)) {
      return fail("ReservedOpcode", `opcode 0x${opcode.toString(16)} is reserved`)
    }
    const fin = (b0 & 0x80) !== 0
    if (Opcode.isControl(opcode)) {
      if (!fin) fail("FragmentedControlFrame", "a control frame came without FIN")
    } else if ((opcode === Opcode.continuation) !== this.messageOpen) {
      // a message is one frame, or a first one and continuations up to the one with FIN (section 5.4)
      if (this.messageOpen) fail("ExpectedContinuation", "a new message began before the last fragment of the open one")
      fail("UnexpectedContinuation", "a continuation frame came while no message is open")
    }
    const available = end - at
    if (available < 2) return 0
    const b1 = bytes[at + 1]!
    const masked = (b1 & 0x80) !== 0
    if (masked !== (this.masking === "required") && this.masking !== "either") {
      if (masked) fail("MaskedFrame", "a masked frame came from the server")
      fail("UnmaskedFrame", "a frame without a mask came from the client")
    }
    const short = b1 & 0x7f
    if (short > 125 && Opcode.isControl(opcode)) {
      fail("ControlFrameTooLong", "a control frame came with a payload of more than 125 bytes")
    }
    if (short === 127 && available > 2 && bytes[at + 2]! >= 0x80) {
      fail("InvalidLength", "the most significant bit of a 64-bit length is set")
    }
    const keyAt = short < 126 ? 2 : short === 126 ? 4 : 10
    const size = masked ? keyAt + 4 : keyAt
    if (available < keyAt) return 0
    let length = short
    if (short === 126) {
      length = (bytes[at + 2]! << 8) | bytes[at + 3]!
      if (length < 126) fail("NonMinimalLength", `the 16-bit form was used for a length of ${length}`)
    } else if (short === 127) {
      const high = bytes[at + 2]! * 0x1000000 + ((bytes[at + 3]! << 16) | (bytes[at + 4]! << 8) | bytes[at + 5]!)
      const low = bytes[at + 6]! * 0x1000000 + ((bytes[at + 7]! << 16) | (bytes[at + 8]! << 8) | bytes[at + 9]!)
      length = high * 0x100000000 + low
      if (length < 65536) fail("NonMinimalLength", `the 64-bit form was used for a length of ${length}`)
    }
    if (length > this.maxFrameSize) {
      fail("FrameTooBig", `a frame of ${length} bytes came; at most ${this.maxFrameSize} are taken`)
    }
    if (available < size) return 0
    if (masked) this.maskingKey = Masking.key(bytes, at + keyAt)
    this.fin = fin
    this.rsv1 = (b0 & 0x40) !== 0
    this.opcode = opcode
    this.masked = masked
    this.length = length
    return size
  }

  /** Reserved bits are zero but for RSV1 on the first frame of a message, if negotiated (section 5.2, RFC 7692 section 6). */
  private checkReservedBits(b0: number, opcode: number): void {
    if ((b0 & 0x30) === 0 && this.allowRsv1 && (opcode === Opcode.text || opcode === Opcode.binary)) return
    fail(
      "ReservedBits",
      `reserved bits ${((b0 >> 4) & 7).toString(2).padStart(3, "0")} are set, no extension uses them here`
    )
  }
}

const fail = (kind: Kind, message: string): never => {
  throw new ProtocolError({ kind, message })
}
