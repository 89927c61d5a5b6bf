/**
 * permessage-deflate as most implementations have it (RFC 7692 section 7.2): one long-lived zlib stream for each direction,
 * of exactly the window that was agreed on, reset after each message where context takeover was not. So a distance that
 * reaches behind the agreed window fails to inflate here, as it would at a peer that holds no more.
 */
import { Effect } from "effect"
import * as Zlib from "node:zlib"

const flush = Buffer.from([0, 0, 0xff, 0xff])

type Stream = Zlib.DeflateRaw | Zlib.InflateRaw

const run = (stream: Stream, input: Uint8Array): Effect.Effect<Buffer, Error> =>
  Effect.callback((resume) => {
    const parts: Array<Buffer> = []
    const onData = (part: Buffer) => parts.push(part)
    const finish = (result: Effect.Effect<Buffer, Error>) => {
      stream.off("data", onData).off("error", onError)
      resume(result)
    }
    const onError = (error: Error) => finish(Effect.fail(error))
    stream.on("data", onData).on("error", onError)
    stream.write(input)
    stream.flush(() => finish(Effect.succeed(Buffer.concat(parts))))
  })

export interface Classic {
  readonly compress: (message: Uint8Array) => Effect.Effect<Buffer, Error>
  readonly decompress: (compressed: Uint8Array) => Effect.Effect<Buffer, Error>
}

/** `ours` is the direction that this end compresses, `theirs` the one that it inflates. Closed with the scope. */
export const make = (options: {
  readonly ours: { readonly bits: number; readonly fresh: boolean }
  readonly theirs: { readonly bits: number; readonly fresh: boolean }
}) =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => ({
        deflate: Zlib.createDeflateRaw({ windowBits: options.ours.bits, flush: Zlib.constants.Z_SYNC_FLUSH }),
        inflate: Zlib.createInflateRaw({ windowBits: options.theirs.bits })
      })),
      ({ deflate, inflate }) =>
        Effect.sync(() => {
          deflate.close()
          inflate.close()
        })
    ),
    ({ deflate, inflate }): Classic => ({
      compress: (message) =>
        Effect.map(run(deflate, message), (compressed) => {
          if (options.ours.fresh) deflate.reset()
          return compressed.subarray(0, compressed.length - flush.length)
        }),
      decompress: (compressed) =>
        Effect.map(run(inflate, Buffer.concat([compressed, flush])), (message) => {
          if (options.theirs.fresh) inflate.reset()
          return message
        })
    })
  )
