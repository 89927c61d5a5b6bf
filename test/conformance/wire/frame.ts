/**
 * Client frames with control of every bit (RFC 6455 section 5.2), legal ones and illegal ones.
 */
export const CONTINUATION = 0x0
export const TEXT = 0x1
export const BINARY = 0x2
export const CLOSE = 0x8
export const PING = 0x9
export const PONG = 0xa

export interface FrameSpec {
  readonly opcode: number
  readonly payload?: Uint8Array | string
  /** Default `true`. */
  readonly fin?: boolean
  /** The three reserved bits as a number: RSV1 is 4, RSV2 is 2, RSV3 is 1. Default 0. */
  readonly rsv?: number
  /** The masking key, or `false` for a frame that is not masked. Default: a fresh key. */
  readonly mask?: readonly [number, number, number, number] | false
  /** How the length is written: in 7 bits, in 16 or in 64. Default: the shortest that fits. */
  readonly lengthBits?: 7 | 16 | 64
  /** The length that the header announces. Default: the payload's. */
  readonly announced?: bigint
}

let keyState = 0x9e3779b9

/** A different key for each frame, the same sequence in every run. */
const nextKey = (): number => {
  keyState ^= keyState << 13
  keyState ^= keyState >>> 17
  keyState ^= keyState << 5
  return keyState >>> 0
}

const shortest = (length: bigint): 7 | 16 | 64 => (length < 126n ? 7 : length < 65536n ? 16 : 64)

export const bytes = (payload: Uint8Array | string | undefined): Buffer =>
  payload === undefined
    ? Buffer.alloc(0)
    : typeof payload === "string"
      ? Buffer.from(payload, "utf8")
      : Buffer.from(payload.buffer, payload.byteOffset, payload.byteLength)

export const encodeFrame = (spec: FrameSpec): Buffer => {
  const payload = bytes(spec.payload)
  const announced = spec.announced ?? BigInt(payload.length)
  const lengthBits = spec.lengthBits ?? shortest(announced)
  const masked = spec.mask !== false
  const start = (lengthBits === 7 ? 2 : lengthBits === 16 ? 4 : 10) + (masked ? 4 : 0)
  const out = Buffer.allocUnsafe(start + payload.length)
  const maskBit = masked ? 0x80 : 0
  out[0] = (spec.fin === false ? 0 : 0x80) | ((spec.rsv ?? 0) << 4) | spec.opcode
  if (lengthBits === 7) {
    out[1] = maskBit | Number(announced)
  } else if (lengthBits === 16) {
    out[1] = maskBit | 126
    out.writeUInt16BE(Number(announced), 2)
  } else {
    out[1] = maskBit | 127
    out.writeBigUInt64BE(announced, 2)
  }
  if (!masked) {
    payload.copy(out, start)
    return out
  }
  if (spec.mask) out.set(spec.mask, start - 4)
  else out.writeUInt32BE(nextKey(), start - 4)
  const k0 = out[start - 4] ?? 0
  const k1 = out[start - 3] ?? 0
  const k2 = out[start - 2] ?? 0
  const k3 = out[start - 1] ?? 0
  const length = payload.length
  for (let i = 0; i < length; i++) {
    const key = (i & 2) === 0 ? ((i & 1) === 0 ? k0 : k1) : (i & 1) === 0 ? k2 : k3
    out[start + i] = (payload[i] ?? 0) ^ key
  }
  return out
}

export const text = (payload: Uint8Array | string, rest?: Partial<FrameSpec>): Buffer =>
  encodeFrame({ opcode: TEXT, payload, ...rest })

export const binary = (payload: Uint8Array | string, rest?: Partial<FrameSpec>): Buffer =>
  encodeFrame({ opcode: BINARY, payload, ...rest })

export const continuation = (payload: Uint8Array | string, rest?: Partial<FrameSpec>): Buffer =>
  encodeFrame({ opcode: CONTINUATION, payload, ...rest })

export const ping = (payload: Uint8Array | string = "", rest?: Partial<FrameSpec>): Buffer =>
  encodeFrame({ opcode: PING, payload, ...rest })

export const pong = (payload: Uint8Array | string = "", rest?: Partial<FrameSpec>): Buffer =>
  encodeFrame({ opcode: PONG, payload, ...rest })

export const closePayload = (code: number, reason: Uint8Array | string = ""): Buffer => {
  const head = Buffer.alloc(2)
  head.writeUInt16BE(code)
  return Buffer.concat([head, bytes(reason)])
}

export const close = (code: number, reason: Uint8Array | string = "", rest?: Partial<FrameSpec>): Buffer =>
  encodeFrame({ opcode: CLOSE, payload: closePayload(code, reason), ...rest })

/** The frames of one message, from the payloads of its fragments. */
export const fragments = (
  opcode: number,
  payloads: ReadonlyArray<Uint8Array | string>,
  first?: Partial<FrameSpec>
): Array<Buffer> =>
  payloads.map((payload, i) =>
    encodeFrame({
      opcode: i === 0 ? opcode : CONTINUATION,
      payload,
      fin: i === payloads.length - 1,
      ...(i === 0 ? first : undefined)
    })
  )

/** A payload cut in pieces of `size` octets (the last one may be shorter); an empty payload is one empty piece. */
export const pieces = (payload: Uint8Array | string, size: number): Array<Buffer> => {
  const all = bytes(payload)
  const out: Array<Buffer> = []
  for (let at = 0; at < all.length; at += size) out.push(all.subarray(at, at + size))
  return out.length === 0 ? [all] : out
}
