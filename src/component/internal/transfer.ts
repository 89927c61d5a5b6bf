/**
 * A file or a stream on its way to a client, as the fragments of one message. It is read as fast as the client takes it, and
 * so may be larger than memory. If it is interrupted the message ends there, and the connection goes on.
 */
import * as Effect from "effect/Effect"
import * as Stream from "effect/Stream"
import { createReadStream } from "node:fs"
import { stat } from "node:fs/promises"
import { Readable } from "node:stream"
import { ComponentError, fromUnknown } from "../ComponentError.ts"
import { DataFormats } from "../Enums.ts"
import { sizeOf } from "./segments.ts"
import type { Sending } from "./sending.ts"

/** What can be sent as a stream: a Node stream, a web stream, or anything that yields bytes or text. */
export type Source = Readable | ReadableStream<Uint8Array | string> | AsyncIterable<Uint8Array | string>

/** The most of a file that is read at a time, in bytes. */
const maxRead = 131072

const utf8 = new TextEncoder()

export class Transfer {
  /** How many bytes are on their way. */
  bytes = 0
  /** How many there are, if that is known, or 0. */
  readonly length: number
  private readonly source: Source
  private readonly closes: boolean

  constructor(source: Source, length: number, closes: boolean) {
    this.source = source
    this.length = length
    this.closes = closes
  }

  /** A file, which must be there and be one. */
  static async file(path: string, size: number): Promise<Transfer> {
    try {
      const info = await stat(path)
      if (!info.isFile()) throw new ComponentError(4202, { detail: `FileName: expected a file, got ${path}.` })
      return new Transfer(createReadStream(path, { highWaterMark: Math.min(size, maxRead) }), info.size, true)
    } catch (cause) {
      throw fromUnknown(cause, 4202)
    }
  }

  async run(output: Sending, signal: AbortSignal | undefined): Promise<void> {
    const { connection, dataFormat, maxFrameSize } = output
    const toError = (cause: unknown) => fromUnknown(cause, 4202)
    // a message of text is text throughout
    const pieces: Stream.Stream<Uint8Array, ComponentError> | Stream.Stream<string, ComponentError> =
      dataFormat === DataFormats.dfText
        ? Stream.fromAsyncIterable(this.texts(), toError)
        : Stream.fromAsyncIterable(this.parts(maxFrameSize), toError)
    try {
      await output.wait(
        Effect.andThen(connection.sendFragments(pieces, { mayEndEarly: true }), connection.flushed),
        signal
      )
    } finally {
      if (this.closes) await this.close()
    }
  }

  private async *parts(size: number): AsyncGenerator<Uint8Array> {
    for await (const chunk of this.chunks()) {
      const bytes = typeof chunk === "string" ? utf8.encode(chunk) : chunk
      for (let at = 0; at < bytes.length; at += size) {
        const part = bytes.subarray(at, at + size)
        this.bytes += part.length
        yield part
      }
    }
  }

  private async *texts(): AsyncGenerator<string> {
    const decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
    const decode = (bytes?: Uint8Array): string => {
      try {
        return bytes === undefined ? decoder.decode() : decoder.decode(bytes, { stream: true })
      } catch (cause) {
        throw new ComponentError(10022, { detail: "Data: expected UTF-8, since DataFormat is dfText.", cause })
      }
    }
    for await (const chunk of this.chunks()) {
      const text = typeof chunk === "string" ? chunk : decode(chunk)
      this.bytes += sizeOf(text)
      yield text
    }
    const rest = decode()
    if (rest !== "") yield rest
  }

  /** What the source yields; leaving it early does not close it. */
  private async *chunks(): AsyncGenerator<Uint8Array | string> {
    const iterator = iteratorOf(this.source)
    // one after the other is the point
    // oxlint-disable-next-line eslint/no-await-in-loop
    for (let next = await iterator.next(); next.done !== true; next = await iterator.next()) yield checked(next.value)
  }

  private async close(): Promise<void> {
    const { source } = this
    try {
      if (source instanceof Readable) source.destroy()
      else if (source instanceof ReadableStream) await source.cancel()
      else await source[Symbol.asyncIterator]().return?.()
    } catch {
      // it was sent, or has failed already: that is what is reported
    }
  }
}

const iteratorOf = (source: Source): AsyncIterator<unknown> => {
  if (source instanceof Readable) return source.iterator({ destroyOnReturn: false })
  return source instanceof ReadableStream ? source.values({ preventCancel: true }) : source[Symbol.asyncIterator]()
}

const checked = (chunk: unknown): Uint8Array | string => {
  if (typeof chunk === "string" || chunk instanceof Uint8Array) return chunk
  throw new ComponentError(10022, { detail: `Stream: expected bytes or text, got ${typeof chunk}.` })
}
