/**
 * A frame as a plain value (RFC 6455 section 5.2), and the schema between it and its bytes. The schema stands over the
 * same encoder and incremental decoder as a connection uses; a connection builds no such value for the frames it passes on.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { FrameDecoder, type Options, type Sink } from "./FrameDecoder.ts"
import * as FrameEncoder from "./FrameEncoder.ts"
import * as Masking from "./Masking.ts"
import * as Opcode from "./Opcode.ts"
import { ProtocolError } from "./ProtocolError.ts"

/**
 * A frame. `payload` is unmasked; `maskingKey` is there if the frame is masked on the wire.
 *
 * @category models
 * @since 0.1.0
 */
export interface Frame {
  readonly fin: boolean
  readonly rsv1: boolean
  readonly opcode: Opcode.Opcode
  readonly maskingKey?: Uint8Array
  readonly payload: Uint8Array
}

/**
 * Schema of {@link Frame}.
 *
 * @category schemas
 * @since 0.1.0
 */
export const Frame = Schema.Struct({
  fin: Schema.Boolean,
  rsv1: Schema.Boolean,
  opcode: Opcode.Opcode,
  maskingKey: Schema.optionalKey(
    Schema.Uint8Array.pipe(
      Schema.check(Schema.makeFilter((key: Uint8Array) => key.length === 4 || "a masking key of 4 bytes"))
    )
  ),
  payload: Schema.Uint8Array
})

/**
 * A frame from its parts, with `fin` set and the rest absent unless given.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = (frame: Partial<Frame> & Pick<Frame, "opcode">): Frame => ({
  fin: true,
  rsv1: false,
  payload: new Uint8Array(0),
  ...frame
})

/**
 * The bytes of a frame.
 *
 * @category encoding
 * @since 0.1.0
 */
export const toBytes = (frame: Frame): Uint8Array =>
  FrameEncoder.encode(
    FrameEncoder.firstByte(frame.fin, frame.rsv1, frame.opcode),
    frame.payload,
    frame.maskingKey
  ).slice()

/**
 * Decodes a byte stream, pushed chunk by chunk, to frames. Unlike a connection it holds a frame until all of it has come, so
 * give it a `maxFrameSize`: its default here is 1 MiB.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decoder = (options: Options): { readonly push: (chunk: Uint8Array) => ReadonlyArray<Frame> } => {
  const { allowRsv1 = true, masking, maxFrameSize = 1024 * 1024 } = options
  const frames = new FrameDecoder({ masking, allowRsv1, maxFrameSize })
  let out: Array<Frame> = []
  let payload = new Uint8Array(0)
  const key = () => (frames.masked ? { maskingKey: Masking.toBytes(frames.maskingKey) } : {})
  const sink: Sink = {
    frameStart: (frame) => {
      payload = new Uint8Array(frame.length)
    },
    framePayload: (chunk, start, end, frame) => {
      payload.set(chunk.subarray(start, end), frame.length - frame.remaining - (end - start))
    },
    frameEnd: (frame) => {
      out.push({ fin: frame.fin, rsv1: frame.rsv1, opcode: frame.opcode, ...key(), payload })
    },
    control: (opcode, payload) => {
      out.push({ fin: true, rsv1: false, opcode, ...key(), payload })
    }
  }
  return {
    push: (chunk) => {
      out = []
      // the decoder unmasks in place, and a pure function leaves its argument alone
      frames.push(chunk.slice(), sink)
      return out
    }
  }
}

/**
 * Reads one frame, which the bytes must hold exactly. A continuation is taken as it is: what it continues is not known.
 *
 * @category decoding
 * @since 0.1.0
 */
export const fromBytes = (bytes: Uint8Array): Result.Result<Frame, ProtocolError> => {
  const frames = decoder({ masking: "either", maxFrameSize: bytes.length })
  try {
    // a continuation needs a message to continue
    if ((bytes[0]! & 0x0f) === Opcode.continuation) frames.push(new Uint8Array([Opcode.binary, 0]))
    const frame = frames.push(bytes)[0]
    if (frame === undefined) return notWhole(bytes)
    const length = frame.payload.length
    const size = FrameEncoder.headerSize(length, frame.maskingKey !== undefined) + length
    return size === bytes.length ? Result.succeed(frame) : invalid(`${bytes.length - size} bytes follow the frame`)
  } catch (error) {
    if (!(error instanceof ProtocolError)) throw error
    // no frame is too big here but one that goes on behind the bytes
    return error.kind === "FrameTooBig" ? notWhole(bytes) : Result.fail(error)
  }
}

const invalid = (message: string) => Result.fail(new ProtocolError({ kind: "InvalidLength", message }))
const notWhole = ({ length }: Uint8Array) => invalid(`the frame is not whole in ${length} bytes`)

/**
 * Schema between a frame and its bytes. What could not be read is not written either, such as a Ping without FIN or of more than
 * 125 bytes (section 5.5).
 *
 * @category schemas
 * @since 0.1.0
 */
export const FromBytes = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Frame,
    SchemaTransformation.transformEffect<typeof Frame.Encoded, Uint8Array>({
      decode: (bytes, options) =>
        Result.match(fromBytes(bytes), {
          onFailure: (error) => Effect.fail(new SchemaIssue.InvalidValue({ message: error.message }, bytes, options)),
          onSuccess: (frame) => Effect.succeed(frame)
        }),
      encode: (frame, options) => {
        const bytes = toBytes(frame)
        return Result.match(fromBytes(bytes), {
          onFailure: (error) => Effect.fail(new SchemaIssue.InvalidValue({ message: error.message }, frame, options)),
          onSuccess: () => Effect.succeed(bytes)
        })
      }
    })
  )
)
