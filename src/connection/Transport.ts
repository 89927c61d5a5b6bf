/**
 * What a connection needs of a byte stream, and what a transport may tell beyond effect's `Socket`: who owns the memory of a
 * chunk, how far its sending is, and ends that need no scope of their own.
 *
 * Each read of a busy socket is a buffer of 64 KiB outside the heap. Left to the garbage collector they pile up and force full
 * collections, so where one stage knows that it alone holds a chunk, it has the writer free it as soon as it is written. It knows
 * that from where the chunk came, never from how the buffer looks: the reader must have promised it, and the chunk must have been
 * given to nobody else. Any other `Socket` works without these promises.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"

/**
 * A reader that may promise of a chunk that it is the whole of its `ArrayBuffer` and that nobody else holds it.
 *
 * @category models
 * @since 0.1.0
 */
export interface Reader extends Socket.Reader {
  /** Set by whoever pulls. It is told when a waiting pull is interrupted, which is cheaper than wrapping each pull. */
  waiting?: Waiting | undefined
  /** Whether something has come that nobody has pulled yet. */
  readonly hasUnread?: boolean
  /** Whether the stream has ended, which a reader that does not pull would not notice. */
  readonly isGone?: boolean
  /** Says of a chunk that this reader has just yielded whether the promise holds for it. */
  isExclusive?(chunk: Uint8Array): boolean
  /** Frees the memory of a chunk for which the promise holds and that nobody uses any more. */
  free?(chunk: Uint8Array): void
  /** See {@link flow}. */
  flow?<A, E, R>(taker: Taker<A, E, R>): Effect.Effect<Effect.Effect<A, E, R>>
  /**
   * The same without a waiting fiber: the taker's `goOn` gets the next effect once there is one, possibly during this call. A
   * reader has only one such wait: a new one replaces it.
   */
  flowNow?<A, E, R>(taker: FreeTaker<A, E, R>): void
  /** Ends the wait of `flowNow`: what comes now is kept. */
  forget?(): void
}

/**
 * What waits for a pull.
 *
 * @category models
 * @since 0.1.0
 */
export interface Waiting {
  /** The wait was interrupted: what comes now is kept. */
  forgotten(): void
}

/**
 * Takes what comes, batch by batch. An object, since there is one for each connection that waits.
 *
 * @category models
 * @since 0.1.0
 */
export interface Taker<A, E, R> {
  /** Takes a batch. Returns an effect if something has to be done before the next one. */
  take(chunks: NonEmptyReadonlyArray<Uint8Array | string>): Effect.Effect<A, E, R> | undefined
  onEnd(error: Socket.SocketError): Effect.Effect<A, E, R>
}

/**
 * One without a fiber.
 *
 * @category models
 * @since 0.1.0
 */
export interface FreeTaker<A, E, R> extends Taker<A, E, R> {
  /** Has this effect run. */
  goOn(next: Effect.Effect<A, E, R>): void
}

/**
 * Where chunks come from.
 *
 * @category models
 * @since 0.1.0
 */
export type Source = Pick<Reader, "pull" | "flow">

/**
 * A writer that may take ownership of what it writes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Writer extends Socket.Writer {
  /** How many bytes were written that the system has not taken yet. */
  readonly unsent?: number
  /** How many bytes the system has taken. While there are some unsent, its growth says that the peer takes them. */
  readonly taken?: number
  /** Waits until the system has taken all that was written. */
  readonly flushed?: Effect.Effect<void, Socket.SocketError>
  /**
   * Writes like `writeAll`, but at once. Returns an effect if the caller has to wait before it writes more. `owned` are the
   * chunks, or the bytes they were made of, that nobody else holds: their buffers are freed once all is written.
   */
  writeNow?(
    chunks: NonEmptyReadonlyArray<Uint8Array>,
    owned?: ReadonlyArray<Uint8Array>
  ): Effect.Effect<void, Socket.SocketError> | undefined
  /**
   * Takes a chunk at once, whether there is room or not. Returns `false` if nothing can be written any more. The chunk is not
   * changed, and may be given to many writers.
   */
  offer?(chunk: Uint8Array): boolean
}

/**
 * Gives the taker each batch of chunks in the turn that brings it, for as long as there is nothing to wait for. Once the taker
 * returns an effect, succeeds with that: the caller runs it next. The same as pulling again and again, but waking a fiber for a
 * batch costs as much as decoding and encoding it, so the fiber is woken only to wait.
 *
 * The caller runs the next effect after the flow has returned. Run inside it, each wait would stay on the stack.
 *
 * @category combinators
 * @since 0.1.0
 */
export const flow = <A, E, R>(reader: Source, taker: Taker<A, E, R>): Effect.Effect<Effect.Effect<A, E, R>> => {
  if (reader.flow !== undefined) return reader.flow(taker)
  const again: Effect.Effect<Effect.Effect<A, E, R>> = Effect.matchEffect(reader.pull, {
    onSuccess: (chunks) => {
      const next = taker.take(chunks)
      return next === undefined ? again : Effect.succeed(next)
    },
    onFailure: (error) => Effect.succeed(taker.onEnd(error))
  })
  return again
}

/**
 * Writes at once if the writer can. Returns an effect if there is something to wait for. See {@link Writer.writeNow}.
 *
 * @category combinators
 * @since 0.1.0
 */
export const write = (
  writer: Writer,
  chunks: NonEmptyReadonlyArray<Uint8Array>,
  owned?: ReadonlyArray<Uint8Array>
): Effect.Effect<void, Socket.SocketError> | undefined =>
  writer.writeNow === undefined ? writer.writeAll(chunks) : writer.writeNow(chunks, owned)

/**
 * An open byte stream.
 *
 * @category models
 * @since 0.1.0
 */
export interface Transport {
  readonly reader: Reader
  readonly writer: Writer
  readonly ends: Ends
}

/**
 * How a byte stream is ended.
 *
 * @category models
 * @since 0.1.0
 */
export interface Ends {
  /** Ends our side once all is sent. */
  readonly end: Effect.Effect<void>
  /** Ends both sides and releases what the stream holds, once all is sent; after `lingerMillis` the rest is lost. */
  destroy(lingerMillis: number): Effect.Effect<void>
  /**
   * Ends our side, waits for the peer to end its own, at most `lingerMillis`, discards what comes, and then does as `destroy`.
   * The same as `end`, pulling to the end and `destroy`, but cheaper.
   */
  leave?(lingerMillis: number): Effect.Effect<void>
  /** Ends both sides now: what the system has taken is still delivered, and a pull that waits fails. */
  readonly cut: Effect.Effect<void>
}

/**
 * Marks a `Socket` that is a {@link Transport} by itself: open, and without a scope for each of its ends.
 *
 * @category type IDs
 * @since 0.1.0
 */
export const OpenTypeId = "~effect-websocket/connection/Transport/Open"

/**
 * A `Socket` that is open already and can be had without scopes.
 *
 * @category models
 * @since 0.1.0
 */
export interface OpenSocket extends Socket.Socket {
  readonly [OpenTypeId]: Transport
}

const isOpen = (socket: Socket.Socket): socket is OpenSocket => OpenTypeId in socket

/**
 * The transport of a `Socket` that is open already, if it is.
 *
 * @category guards
 * @since 0.1.0
 */
export const openOf = (socket: Socket.Socket): Transport | undefined =>
  isOpen(socket) ? socket[OpenTypeId] : undefined

/**
 * Opens a `Socket`. The caller must see to it that `ends.destroy` is run.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromSocket = (socket: Socket.Socket): Effect.Effect<Transport, Socket.SocketError> =>
  isOpen(socket) ? Effect.succeed(socket[OpenTypeId]) : acquire(socket)

const acquire = Effect.fnUntraced(function* (socket: Socket.Socket): Effect.fn.Return<Transport, Socket.SocketError> {
  const readScope = Scope.makeUnsafe()
  const writeScope = Scope.makeUnsafe()
  const end = Scope.close(writeScope, Exit.void)
  const release = Effect.andThen(end, Scope.close(readScope, Exit.void))
  // acquiring the reader may dial, and be interrupted while it does
  const [reader, writer] = yield* Effect.onError(
    Effect.all([Scope.provide(socket.reader, readScope), Scope.provide(socket.writer, writeScope)]),
    () => release
  )
  const transport: Transport = {
    reader,
    writer,
    ends: { end, destroy: () => release, cut: Effect.suspend(() => reset(transport)) }
  }
  return transport
})

/**
 * Ends both sides in the way that tells the peer that something is wrong: a reset, where the stream has one. What was written may be
 * lost, and a pull that waits fails.
 *
 * @category combinators
 * @since 0.1.0
 */
export const reset = ({ ends, writer }: Pick<Transport, "ends" | "writer">): Effect.Effect<void> =>
  // a stream that takes no such code is released
  Effect.catch(writer.write(new Socket.CloseEvent(1006)), () => ends.destroy(0))
