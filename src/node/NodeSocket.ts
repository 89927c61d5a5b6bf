/**
 * effect's `Socket` over a Node stream, written for a server with many connections: no listener closure per connection, one
 * chunk of read-ahead, and the memory of a chunk freed by its last owner (`connection/Transport.ts`).
 *
 * - Reading: a chunk that comes while nobody pulls is kept, and the stream paused; so at most that chunk and the stream's
 *   own buffer (64 KiB) wait in memory.
 * - Writing: `write` and `writeAll` wait while more than the stream's high-water mark is unsent.
 * - Releasing the writer ends our side (FIN) once all is sent. Releasing the reader destroys the stream once all is sent, or
 *   after 10 seconds, and waits until it is gone.
 *   Writing a `CloseEvent` with another code than 1000 resets the connection (RST) at once, so that the peer learns of it.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type { Duplex } from "node:stream"
import * as Net from "node:net"
import type * as Transport from "../connection/Transport.ts"

type Chunks = NonEmptyReadonlyArray<Uint8Array>
type Waiter<A> = (effect: Effect.Effect<A, Socket.SocketError>) => void

/** Chunks below this size are not worth freeing by hand: the call costs a microsecond. */
const ownedThreshold = 16 * 1024

/** How long a released stream may take to send what is buffered in it, in milliseconds. */
const lingerMillis = 10_000

const closeError = (code: number) => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })
const readError = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketReadError({ cause }) })
const writeError = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })

/** Where the shared listeners find the state of the stream that they are called on. */
const stateOf = Symbol("effect-websocket/NodeSocket")
interface Attached extends Duplex {
  [stateOf]?: NodeSocket
}

function onData(this: Attached, chunk: Uint8Array): void {
  this[stateOf]?.onData(chunk)
}
function onEnd(this: Attached): void {
  this[stateOf]?.onEnd(closeError(1000))
}
function onError(this: Attached, cause: Error): void {
  this[stateOf]?.onFailure(cause)
}
function onClose(this: Attached): void {
  this[stateOf]?.onClose()
}
function onDrain(this: Attached): void {
  this[stateOf]?.onDrain()
}

const free = (chunk: Uint8Array): void => {
  // transfer to nothing detaches the buffer and gives its memory back at once
  ;(chunk.buffer as ArrayBuffer).transfer(0)
}

class NodeSocket implements Socket.Socket, Transport.Reader, Transport.Writer {
  declare readonly [Socket.TypeId]: typeof Socket.TypeId
  static {
    Object.defineProperty(this.prototype, Socket.TypeId, { value: Socket.TypeId })
  }
  private readonly stream: Duplex
  private waiter: Waiter<Chunks> | undefined
  private kept: Array<Uint8Array> | undefined
  private ended: Socket.SocketError | undefined
  private failed: Socket.SocketError | undefined
  private drains: Array<Waiter<void>> | undefined
  /** The chunk that was given out last, if it came from the stream itself and so is ours alone. */
  private fresh: Uint8Array | undefined
  /** Whether chunks of this stream are buffers of their own, which only streams over the system's sockets promise. */
  private readonly ownsChunks: boolean
  private paused = false

  constructor(stream: Duplex, head: Uint8Array | undefined) {
    this.stream = stream
    this.ownsChunks = stream instanceof Net.Socket
    if (head !== undefined && head.length > 0) this.kept = [head]
    ;(stream as Attached)[stateOf] = this
    stream.on("data", onData).on("end", onEnd).on("error", onError).on("close", onClose).on("drain", onDrain)
    if (stream.readableEnded) this.onEnd(closeError(1000))
    if (stream.destroyed) this.onClose()
    if (stream.isPaused()) stream.resume()
  }

  get reader(): Socket.Socket["reader"] {
    return Effect.as(
      Effect.contextWith<Scope.Scope, void, never, Scope.Scope>(() =>
        Effect.flatMap(Effect.scope, (scope) => Scope.addFinalizer(scope, this.release))
      ),
      this as Socket.Reader
    )
  }

  get writer(): Socket.Socket["writer"] {
    return Effect.acquireRelease(Effect.succeed(this as Socket.Writer), () =>
      Effect.sync(() => {
        if (!this.stream.writableEnded) this.stream.end()
      })
    )
  }

  // ---- reading -------------------------------------------------------------------------------------------------------

  readonly pull: Effect.Effect<Chunks, Socket.SocketError> = Effect.callback<Chunks, Socket.SocketError>((resume) => {
    if (this.kept !== undefined) {
      const chunks = this.kept as unknown as Chunks
      this.kept = undefined
      this.fresh = undefined
      return resume(Effect.succeed(chunks))
    }
    const end = this.failed ?? this.ended
    if (end !== undefined) return resume(Effect.fail(end))
    this.waiter = resume
    this.unpause()
    return Effect.sync(() => {
      if (this.waiter === resume) this.waiter = undefined
    })
  })

  readonly upgrade: Socket.Reader["upgrade"] = Socket.SocketUpgradeError.unsupported

  isExclusive(chunk: Uint8Array): boolean {
    return chunk === this.fresh
  }

  onData(chunk: Uint8Array): void {
    const { waiter } = this
    if (waiter !== undefined) {
      this.waiter = undefined
      this.fresh = this.isWhole(chunk) ? chunk : undefined
      waiter(Effect.succeed([chunk]))
      return
    }
    if (this.kept === undefined) this.kept = [chunk]
    else this.kept.push(chunk)
    if (!this.paused) {
      this.paused = true
      this.stream.pause()
    }
  }

  private isWhole(chunk: Uint8Array): boolean {
    return (
      this.ownsChunks &&
      chunk.length >= ownedThreshold &&
      chunk.byteOffset === 0 &&
      chunk.buffer.byteLength === chunk.byteLength
    )
  }

  private unpause(): void {
    if (!this.paused) return
    this.paused = false
    this.stream.resume()
  }

  onEnd(error: Socket.SocketError): void {
    this.ended ??= error
    this.wake(error)
  }

  onFailure(cause: unknown): void {
    this.failed ??= readError(cause)
    this.kept = undefined
    this.wake(this.failed)
    this.failDrains(cause)
  }

  onClose(): void {
    this.onEnd(closeError(this.ended === undefined ? 1006 : 1000))
    this.failDrains(new Error("the socket is closed"))
  }

  private wake(error: Socket.SocketError): void {
    const { waiter } = this
    this.waiter = undefined
    waiter?.(Effect.fail(error))
  }

  /** Gives the stream its time to send what is buffered, and then it is gone. */
  private get release(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const { stream } = this
      this.onEnd(closeError(1006))
      stream.off("data", onData).off("end", onEnd).off("drain", onDrain)
      if (stream.destroyed) return resume(Effect.void)
      const timer = setTimeout(() => reset(stream), lingerMillis)
      stream.once("close", () => {
        clearTimeout(timer)
        resume(Effect.void)
      })
      if (!stream.writableEnded) stream.end()
      if (stream.writableFinished) stream.destroy()
      else stream.once("finish", () => stream.destroy())
    })
  }

  // ---- writing -------------------------------------------------------------------------------------------------------

  onDrain(): void {
    const drains = this.drains
    this.drains = undefined
    for (const resume of drains ?? []) resume(Effect.void)
  }

  private failDrains(cause: unknown): void {
    const drains = this.drains
    this.drains = undefined
    for (const resume of drains ?? []) resume(Effect.fail(writeError(cause)))
  }

  private readonly drained: Effect.Effect<void, Socket.SocketError> = Effect.callback<void, Socket.SocketError>(
    (resume) => {
      if (this.stream.destroyed) return resume(Effect.fail(writeError(new Error("the socket is closed"))))
      if (!this.stream.writableNeedDrain) return resume(Effect.void)
      ;(this.drains ??= []).push(resume)
      return Effect.sync(() => void (this.drains = this.drains?.filter((other) => other !== resume)))
    }
  )

  /** Whether the stream takes more, or why it takes none; `write` after the end would throw at somebody else. */
  private get refusal(): Socket.SocketError | undefined {
    return this.stream.writable ? undefined : writeError(new Error("the socket takes no more data"))
  }

  write(chunk: Uint8Array | string | Socket.CloseEvent): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      if (Socket.isCloseEvent(chunk)) {
        if (chunk.code === 1000) this.stream.end()
        else reset(this.stream)
        return Effect.void
      }
      const { refusal, stream } = this
      if (refusal !== undefined) return Effect.fail(refusal)
      return stream.write(chunk) ? Effect.void : this.drained
    })
  }

  writeAll(chunks: NonEmptyReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> {
    return chunks.length === 1 ? this.write(chunks[0]) : Effect.suspend(() => this.writeMany(chunks, undefined))
  }

  writeOwned(chunks: Chunks, owned: Uint8Array): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => this.writeMany(chunks, owned))
  }

  private writeMany(
    chunks: NonEmptyReadonlyArray<Uint8Array | string>,
    owned: Uint8Array | undefined
  ): Effect.Effect<void, Socket.SocketError> {
    const { refusal, stream } = this
    if (refusal !== undefined) return Effect.fail(refusal)
    let flowing = true
    if (chunks.length > 1) stream.cork()
    for (const chunk of chunks) {
      flowing = chunk === owned ? stream.write(chunk, () => free(owned)) : stream.write(chunk)
    }
    if (chunks.length > 1) stream.uncork()
    return flowing ? Effect.void : this.drained
  }
}

/** Tells the peer at once that the connection is no more; TLS and pipes can only be cut. */
const reset = (stream: Duplex): void => {
  if (stream instanceof Net.Socket && !("encrypted" in stream)) stream.resetAndDestroy()
  else stream.destroy()
}

/**
 * A `Socket` over an open stream. `head` is what was read of it already, and is read first. The reader may be acquired once.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromDuplex = (stream: Duplex, head?: Uint8Array): Socket.Socket => new NodeSocket(stream, head)
