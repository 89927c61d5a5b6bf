/**
 * The `Zlib` service over `node:zlib`. Messages of up to 64 KiB are done at once; larger ones go to the thread pool, so that
 * they do not hold up other connections.
 *
 * **Details**
 *
 * A trip through the thread pool costs several times what a small message does, and so does making a stream for it. So one
 * stream for each window and level does all that stands by itself, and up to 256 in each direction keep the window of the
 * connections that were active last: at 15 bits 256 KiB for compressing and 44 for inflating, 75 MiB in all and no more,
 * however many connections there are. They are left to whoever comes next when a connection ends.
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import { Buffer } from "node:buffer"
import * as NodeZlib from "node:zlib"
import { type Window, Zlib } from "../connection/Deflate.ts"
import { ProtocolError } from "../protocol/ProtocolError.ts"
import * as Pool from "./internal/zlibPool.ts"

/** Inputs above this many bytes go to the thread pool. */
const threadPoolThreshold = 64 * 1024

/** A message of more DEFLATE streams than this is an attack: each costs a call, and none is needed. */
const maxStreams = 16

const { Z_SYNC_FLUSH } = NodeZlib.constants

/** The largest LZ77 window. */
const windowSize = 32768

const tooBig = (maxSize: number) =>
  new ProtocolError({ kind: "MessageTooBig", message: `a message inflates to more than ${maxSize} bytes` })

/** Without a window no context takeover was agreed on, and there are clients that do not heed it: Tornado's, and Mojolicious'. */
const invalid = (window: Window | undefined) =>
  new ProtocolError({
    kind: "InvalidCompressedData",
    message: `a compressed message does not inflate${window === undefined ? " by itself, as it must without context takeover" : ""}`
  })

interface InflateOptions {
  readonly maxSize: number
  readonly window: Window | undefined
}

const inflateError = (cause: unknown, { maxSize, window }: InflateOptions): ProtocolError =>
  cause instanceof Error && "code" in cause && cause.code === "ERR_BUFFER_TOO_LARGE" ? tooBig(maxSize) : invalid(window)

/** What `inflateRaw` with `info` gives: the bytes, and how much of the input the stream took. */
interface Inflated {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}

// with `info` the result is no Buffer, which the types of node:zlib do not say
const inflateSync = (bytes: Uint8Array, options: NodeZlib.ZlibOptions): Inflated =>
  NodeZlib.inflateRawSync(bytes, { ...options, info: true }) as unknown as Inflated

const inflateAsync = (bytes: Uint8Array, options: NodeZlib.ZlibOptions, asked: InflateOptions) =>
  Effect.callback<Inflated, ProtocolError>((resume) => {
    NodeZlib.inflateRaw(bytes, { ...options, info: true }, (error, result) => {
      resume(error === null ? Effect.succeed(result as unknown as Inflated) : Effect.fail(inflateError(error, asked)))
    })
  })

const deflateOptions = (options: {
  readonly windowBits: number
  readonly level: number
  readonly window: Window | undefined
}): NodeZlib.ZlibOptions => {
  const dictionary = options.window?.bytes
  return {
    windowBits: options.windowBits,
    level: options.level,
    finishFlush: Z_SYNC_FLUSH,
    ...(dictionary === undefined ? {} : { dictionary })
  }
}

/** Inflates in calls of their own: what is large, and what consists of several streams. */
const inflateParts = Effect.fnUntraced(function* (
  bytes: Uint8Array,
  asked: InflateOptions
): Effect.fn.Return<Uint8Array, ProtocolError> {
  const { maxSize, window } = asked
  let rest = bytes
  let history = window?.bytes
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
            catch: (cause) => inflateError(cause, asked)
          })
        : yield* inflateAsync(input, options, asked)
    size += part.buffer.length
    if (size > maxSize) return yield* tooBig(maxSize)
    parts.push(part.buffer)
    rest = rest.subarray(part.engine.bytesWritten)
    if (rest.length === 0) return parts.length === 1 ? part.buffer : Buffer.concat(parts)
    history = Buffer.concat([history ?? Buffer.alloc(0), part.buffer]).subarray(-windowSize)
  }
  return yield* invalid(window)
})

/**
 * The service. All of a process share its streams, so there is only this one.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make: Zlib["Service"] = {
  deflate: (bytes, options) =>
    bytes.length <= threadPoolThreshold
      ? Effect.sync(() => Pool.deflate(bytes, options) ?? NodeZlib.deflateRawSync(bytes, deflateOptions(options)))
      : Effect.callback((resume) => {
          NodeZlib.deflateRaw(bytes, deflateOptions(options), (error, result) => {
            resume(error === null ? Effect.succeed(result) : Effect.die(error))
          })
        }),
  inflate: (bytes, options) =>
    Effect.suspend(() => {
      const output = bytes.length <= threadPoolThreshold ? Pool.inflate(bytes, options) : undefined
      if (output === undefined || output === "rest") return inflateParts(bytes, options)
      if (output === "tooBig") return Effect.fail(tooBig(options.maxSize))
      return output === "invalid" ? Effect.fail(invalid(options.window)) : Effect.succeed(output)
    })
}
/**
 * {@link make} as a layer. Without it nothing is compressed.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer: Layer.Layer<Zlib> = Layer.succeed(Zlib)(make)
