/**
 * What a transport may promise beyond effect's `Socket`: who owns the memory of a chunk.
 *
 * Each read of a busy socket is a buffer of 64 KiB outside the heap. Left to the garbage collector they pile up and force
 * full collections, so where one stage knows that it alone holds a chunk, it has the writer free it as soon as it is written.
 * That knowledge is by provenance, never by the look of a buffer: the reader must have promised `exclusive`, and the chunk
 * must have reached no one else. Any other `Socket` works without these promises.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"

/**
 * A reader that may promise that every chunk it yields is the whole of its `ArrayBuffer` and that nobody else holds it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader extends Socket.Reader {
  /** Says of a chunk that this reader has just yielded whether the promise holds for it. */
  readonly isExclusive?: ((chunk: Uint8Array) => boolean) | undefined
}

/**
 * A writer that may take ownership of what it writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writer extends Socket.Writer {
  /** Writes like `writeAll`, and frees the memory of `owned`, one of the chunks, once that is written. */
  readonly writeOwned?:
    | ((
        chunks: NonEmptyReadonlyArray<Uint8Array>,
        owned: Uint8Array
      ) => Effect.Effect<void, Socket.SocketError>)
    | undefined
}
