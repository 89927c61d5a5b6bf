/**
 * The `Zlib` service over `node:zlib`. Small messages are done at once, which is several times cheaper than a trip through
 * the thread pool (measured on 1 KB of JSON: 21 µs against 78 for a stream's write and flush); large ones go there, so that
 * they do not hold up other connections.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Buffer } from "node:buffer"
import * as NodeZlib from "node:zlib"
import { Zlib } from "../connection/Deflate.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"

/** Inputs above this many bytes go to the thread pool. */
const threadPoolThreshold = 64 * 1024

/** A message of more DEFLATE streams than this is an attack: each costs a call, and none is needed. */
const maxStreams = 16

const { Z_SYNC_FLUSH } = NodeZlib.constants

/** The largest LZ77 window. */
const windowSize = 32768

const tooBig = (maxSize: number) =>
  new ProtocolError({ kind: "MessageTooBig", message: `a message inflates to more than ${maxSize} bytes` })
const invalid = () =>
  new ProtocolError({ kind: "InvalidCompressedData", message: "a compressed message does not inflate" })

const inflateError = (cause: unknown, maxSize: number): ProtocolError =>
  cause instanceof Error && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE" ? tooBig(maxSize) : invalid()

/** What `inflateRaw` with `info` gives: the bytes, and how much of the input the stream took. */
interface Inflated {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

// with `info` the result is no Buffer, which the types of node:zlib do not say
const inflateSync = (bytes: Uint8Array, options: NodeZlib.ZlibOptions): Inflated =>
  NodeZlib.inflateRawSync(bytes, { ...options, info: true }) as unknown as Inflated

const inflateAsync = (bytes: Uint8Array, options: NodeZlib.ZlibOptions, maxSize: number) =>
  Effect.callback<Inflated, ProtocolError>((resume) => {
    NodeZlib.inflateRaw(bytes, { ...options, info: true }, (error, result) => {
      resume(error === null ? Effect.succeed(result as unknown as Inflated) : Effect.fail(inflateError(error, maxSize)))
    })
  })

/**
 * @category constructors
 * @since 0.1.0
 */
export const make: Zlib["Service"] = {
  deflate: (bytes, { dictionary, level, windowBits }) => {
    const options: NodeZlib.ZlibOptions = {
      windowBits,
      level,
      finishFlush: Z_SYNC_FLUSH,
      ...(dictionary === undefined ? {} : { dictionary })
    }
    return bytes.length <= threadPoolThreshold
      ? Effect.sync(() => NodeZlib.deflateRawSync(bytes, options))
      : Effect.callback((resume) => {
          NodeZlib.deflateRaw(bytes, options, (error, result) => {
            resume(error === null ? Effect.succeed(result) : Effect.die(error))
          })
        })
  },
  inflate: Effect.fnUntraced(function* (bytes, { dictionary, maxSize }) {
    let rest = bytes
    let history = dictionary
    let size = 0
    const parts: Array<Buffer> = []
    // a final block ends zlib's stream but not the message (RFC 7692 section 7.2.3.4): go on behind it
    while (parts.length < maxStreams) {
      const options: NodeZlib.ZlibOptions = {
        finishFlush: Z_SYNC_FLUSH,
        // zlib wants room for one byte
        maxOutputLength: Math.max(1, maxSize - size),
        ...(history === undefined ? {} : { dictionary: history })
      }
      const input = rest
      const part: Inflated =
        input.length <= threadPoolThreshold
          ? yield* Effect.try({
              try: () => inflateSync(input, options),
              catch: (cause) => inflateError(cause, maxSize)
            })
          : yield* inflateAsync(input, options, maxSize)
      size += part.buffer.length
      if (size > maxSize) return yield* tooBig(maxSize)
      parts.push(part.buffer)
      rest = rest.subarray(part.engine.bytesWritten)
      if (rest.length === 0) return parts.length === 1 ? part.buffer : Buffer.concat(parts)
      history = Buffer.concat([history ?? Buffer.alloc(0), part.buffer]).subarray(-windowSize)
    }
    return yield* invalid()
  })
}

/**
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Zlib> = Layer.succeed(Zlib)(make)
