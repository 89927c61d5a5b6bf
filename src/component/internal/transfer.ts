/**
 * A file or a stream on its way to a client, as the fragments of one message. It is read as fast as the client takes it, and
 * so may be larger than memory. If it is interrupted the message ends there, and the connection goes on.
 */
import * as NodeStream from "@effect/platform-node/NodeStream"
import * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { Readable } from "node:stream"
import { connectionClosed, type WebSocketError } from "../../connection/WebSocketError.ts"
import type { Message } from "../../protocol/Message.ts"
import { ComponentError, fromUnknown, invalid } from "../ComponentError.ts"
import { Cutter, sizeOf } from "./segments.ts"
import type { Sending } from "./sending.ts"

/** What can be sent as a stream: a Node stream, a web stream, or anything that yields bytes or text. */
export type Source = Readable | ReadableStream<Uint8Array | string> | AsyncIterable<Uint8Array | string>

/** The most of a file that is read at a time, in bytes. */
const maxRead = 131072

type Chunks = Stream.Stream<unknown, ComponentError>

const toError = (cause: unknown): ComponentError => fromUnknown(cause, 4202)

/** What is wrong with a file, in the system's words. */
const fileError =
  (path: string) =>
  (cause: unknown): ComponentError => {
    const error = toError(cause)
    if (error === cause) return error
    const why = cause instanceof Error ? cause.message : String(cause)
    // not every caller has types
    const name = String(path)
    const detail = why.includes(name) ? `FileName: ${why}.` : `FileName: ${name}: ${why}.`
    return new ComponentError(error.code, { detail, cause })
  }

export class Transfer {
  /** How many bytes are on their way. */
  bytes = 0
  /** How many there are, if that is known, or 0. */
  length = 0
  private readonly chunks: Chunks
  private readonly source: Source | undefined
  private readonly closes: boolean
  private isBegun = false

  private constructor(chunks: (transfer: Transfer) => Chunks, source: Source | undefined, closes: boolean) {
    this.chunks = chunks(this)
    this.source = source
    this.closes = closes
    // it may fail before its turn comes; who reads it then is told
    if (source instanceof Readable) source.on("error", constVoid)
  }

  /** A file, of which at most `size` bytes are read at a time. It must be there when its turn comes. */
  static file(path: string, size: number): Transfer {
    return new Transfer(
      (transfer) =>
        Stream.unwrap(
          Effect.tryPromise({
            try: async () => {
              const info = await stat(path)
              if (!info.isFile()) throw new ComponentError(4202, { detail: `FileName: expected a file, got ${path}.` })
              transfer.length = info.size
              const read = () => createReadStream(path, { highWaterMark: Math.min(size, maxRead) })
              return ofReadable(read, true, fileError(path))
            },
            catch: fileError(path)
          })
        ),
      undefined,
      true
    )
  }

  /** A stream, which is left as it is if `closes` does not say to close it. */
  static stream(source: Source, closes: boolean): Transfer {
    if (!isSource(source)) throw invalid("Stream", "a Node stream, a web stream or an async iterable", source)
    return new Transfer(() => chunksOf(source, closes), source, closes)
  }

  /** Sends it when its turn comes; `begins` is called then. */
  async run(output: Sending, signal: AbortSignal | undefined, begins: () => void): Promise<void> {
    const { connection, dataFormat, maxFrameSize } = output
    const cutter = new Cutter(dataFormat, maxFrameSize)
    // what is given up before its turn must leave nothing behind that is sent later
    const turn = Effect.map(output.empty, () => {
      this.isBegun = true
      begins()
      return this.chunks
    })
    const pieces: Stream.Stream<Message, ComponentError | WebSocketError> = Stream.unwrap(turn).pipe(
      Stream.mapEffect((chunk) => Effect.try({ try: () => cutter.push(chunk), catch: toError })),
      Stream.concat(Stream.fromEffect(Effect.try({ try: () => cutter.end(), catch: toError }))),
      Stream.flattenIterable,
      Stream.tap((piece) => Effect.sync(() => void (this.bytes += sizeOf(piece))))
    )
    // all are strings if the message is text, and none is if it is not
    const fragments = pieces as Stream.Stream<string, ComponentError | WebSocketError>
    const ended = Effect.flatMap(connection.closed, (info) => Effect.fail(connectionClosed(info)))
    try {
      await output.wait(
        Effect.andThen(
          // what yields nothing would not notice that the connection ends
          Effect.raceFirst(connection.sendFragments(fragments, { mayEndEarly: true }), ended),
          connection.flushed
        ),
        signal
      )
    } finally {
      this.leave()
    }
  }

  private leave(): void {
    const { source } = this
    // who begins to read it closes it too
    if (source !== undefined && this.closes && !this.isBegun) void close(source)
    if (source instanceof Readable) source.off("error", constVoid)
  }
}

const isSource = (source: unknown): boolean =>
  typeof source === "object" && source !== null && Symbol.asyncIterator in source

const chunksOf = (source: Source, closes: boolean): Chunks => {
  if (source instanceof Readable) return ofReadable(() => source, closes)
  if (source instanceof ReadableStream) {
    return Stream.fromReadableStream<unknown, ComponentError>({
      evaluate: () => source,
      onError: toError,
      releaseLockOnEnd: !closes
    })
  }
  // an iterator may use its buffer again when it is asked for more, which is before that is written
  return Stream.map(
    Stream.fromAsyncIterable<unknown, ComponentError>(closes ? source : kept(source), toError),
    (chunk) => (chunk instanceof Uint8Array ? new Uint8Array(chunk) : chunk)
  )
}

/** One read at a time: a stream that fills itself as fast as it is read would be held whole. */
const ofReadable = (evaluate: () => Readable, closeOnDone: boolean, onError = toError): Chunks =>
  NodeStream.fromReadable<unknown, ComponentError>({ evaluate, onError, chunkSize: 1, closeOnDone })

/** Iterators without `return` are not told that they are left. */
const kept = (source: AsyncIterable<unknown>): AsyncIterable<unknown> => ({
  [Symbol.asyncIterator]: () => {
    const iterator = source[Symbol.asyncIterator]()
    return { next: () => iterator.next() }
  }
})

const close = async (source: Source): Promise<void> => {
  try {
    if (source instanceof Readable) source.destroy()
    else if (source instanceof ReadableStream) await source.cancel()
    else await source[Symbol.asyncIterator]().return?.()
  } catch {
    // why nothing was read of it is what is reported
  }
}
