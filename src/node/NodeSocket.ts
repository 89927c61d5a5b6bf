/**
 * effect's `Socket` over a Node stream, written for a server with many connections: no listener closure per connection, one
 * chunk of read-ahead, and the memory of a chunk freed by its last owner (`connection/Transport.ts`).
 *
 * - Reading: a chunk that comes while nobody pulls is kept, and the stream paused; so at most that chunk and the stream's
 *   own buffer (64 KiB) wait in memory.
 * - Writing: `write` and `writeAll` wait while more than the stream's high-water mark (64 KiB, if nobody says otherwise) is unsent; what
 *   the system took at once, of which the stream learns a turn later, may be four times that.
 * - Releasing the writer ends our side (FIN) once all is sent. Releasing the reader destroys the stream once all is sent, or when
 *   the peer has taken nothing of it for 10 seconds, or not all of it in 200, and waits until it is gone.
 * - Writing a `CloseEvent` with another code than 1000 resets the connection (RST), so that the peer learns of it; what has no
 *   reset, such as a unix socket, is destroyed.
 *
 * @since 0.1.0
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Net from "node:net"
import type { Duplex } from "node:stream"
import { isWhole } from "../connection/internal/memory.ts"
import * as Now from "../connection/internal/now.ts"
import * as Transport from "../connection/Transport.ts"
import { type Attendant, attend, awaitDrain, deafen, shorten } from "./internal/attended.ts"
import { free, freeAll, isCut, keep } from "./internal/chunks.ts"
import { failsAsReset } from "./internal/endOfStream.ts"
import { atEndOfTurn } from "./internal/gathering.ts"
import { hasRoom, takenOf } from "./internal/handle.ts"
import * as LeanReads from "./internal/leanReads.ts"
import { reset } from "./internal/reset.ts"
import { sent } from "./internal/sent.ts"
import { ended, gone, readError, writeError } from "./internal/socketErrors.ts"
import { type Chunks, puller, type Resume, takenBy } from "./internal/taking.ts"
import { maxTimer, Timer } from "./internal/timers.ts"

type Waiter<A> = (effect: Effect.Effect<A, Socket.SocketError>) => void

/** How long the peer of a released stream may take nothing of what is buffered in it, in milliseconds. */
const lingerMillis = 10_000

// What is so of a socket, in bits, since each property takes 8 bytes of each of them.

/**
 * Sockets of the system, and TLS over anything, promise that chunks are buffers of their own, and that nobody has what was written. Other
 * streams may pass on what they are given.
 */
const isSystem = 1
const isLean = 2
/** The first of what is kept came with the stream, and may be somebody else's. */
const keepsHead = 4
/** What is kept for the waiter is given to it at the end of this turn. */
const gathering = 8
const paused = 16
/** What was offered waits for the end of this turn, and what is written behind it as well. */
const gathers = 32
/** Of TLS, the reset comes a turn later. */
const isReset = 64
/** It has said so; TLS may before it looks closed, if the connection beneath was destroyed. */
const isClosed = 128

/** The socket, its reader, its writer and its transport are one object: there are many of them. */
class NodeSocket
  implements Transport.OpenSocket, Transport.Reader, Transport.Writer, Transport.Ends, LeanReads.Receiver, Attendant
{
  declare readonly [Socket.TypeId]: typeof Socket.TypeId
  static {
    Object.defineProperty(this.prototype, Socket.TypeId, { value: Socket.TypeId })
  }
  private readonly stream: Duplex
  private flags: number
  waiting: Transport.Waiting | undefined = undefined
  private taker: Transport.Taker<unknown, unknown, unknown> | undefined = undefined
  private resume: Resume | undefined = undefined
  private kept: Array<Uint8Array> | undefined = undefined
  private over: Socket.SocketError | undefined = undefined
  /** The chunk that was given out last, if it came from the stream itself and so is ours alone. */
  private fresh: Uint8Array | undefined = undefined
  /** Set while all that is awaited is the end. */
  private lingering: (() => void) | undefined = undefined
  declare private drains: Array<Waiter<void>> | undefined // no memory where nobody ever waits

  constructor(stream: Duplex, head: Uint8Array | undefined) {
    this.stream = stream
    const early = LeanReads.attach(stream, this)
    this.flags = (stream instanceof Net.Socket ? isSystem : 0) | (early === undefined ? 0 : isLean)
    if (early !== undefined && early.length > 0) {
      this.kept = early
      this.flags |= paused
    } else if (head !== undefined && head.length > 0) {
      this.kept = [head]
      this.flags |= keepsHead
    }
    attend(stream, this, early === undefined)
    if (early === undefined) shorten(stream)
    if (stream.readableEnded && !failsAsReset(stream)) this.finish(ended)
    if (stream.destroyed) this.vanish()
    if (stream.isPaused()) stream.resume()
  }

  get reader(): Socket.Socket["reader"] {
    return Effect.flatMap(Effect.scope, (scope) =>
      Effect.as(Scope.addFinalizer(scope, this.destroy(lingerMillis)), this)
    )
  }

  get writer(): Socket.Socket["writer"] {
    return Effect.flatMap(Effect.scope, (scope) => Effect.as(Scope.addFinalizer(scope, this.end), this))
  }

  get [Transport.OpenTypeId](): Transport.Transport {
    return { reader: this, writer: this, ends: this }
  }

  // ---- reading -------------------------------------------------------------------------------------------------------

  get pull(): Effect.Effect<Chunks, Socket.SocketError> {
    return Effect.flatten(this.flow(puller))
  }

  flow<A, E, R>(taker: Transport.Taker<A, E, R>): Effect.Effect<Effect.Effect<A, E, R>> {
    return Effect.callback<Effect.Effect<A, E, R>>((resume) => {
      this.await(taker, resume as Resume)
      // an interrupted wait loses nothing: what comes then is kept
      return this.resume === resume ? Effect.sync(() => this.forget()) : undefined
    })
  }

  flowNow<A, E, R>(taker: Transport.FreeTaker<A, E, R>): void {
    this.await(taker, taker as Resume)
  }

  /** It is resumed with what its own taker gives. */
  private await(taker: Transport.Taker<unknown, unknown, unknown>, resume: Resume): void {
    this.fresh = undefined
    this.taker = taker
    this.resume = resume
    if (this.kept !== undefined) this.giveKept()
    if (this.resume !== resume) return
    if (this.over !== undefined) return this.tellEnd(this.over)
    this.unpause()
  }

  private is(flag: number): boolean {
    return (this.flags & flag) !== 0
  }

  forget(): void {
    this.taker = this.resume = undefined
    if (this.kept !== undefined) this.pause()
    this.waiting?.forgotten()
  }

  /** Somebody else may wait by now: what a taker does can let the next reader have its turn, or interrupt its own. */
  private goOn(next: Effect.Effect<unknown, unknown, unknown>, resume: Resume | undefined): void {
    if (this.resume === resume) this.taker = this.resume = undefined
    if (typeof resume === "function") resume(Effect.succeed(next))
    else resume?.goOn(next)
  }

  get upgrade(): Socket.Reader["upgrade"] {
    return Socket.SocketUpgradeError.unsupported
  }

  isExclusive(chunk: Uint8Array): boolean {
    return chunk === this.fresh
  }

  free(chunk: Uint8Array): void {
    this.fresh = undefined
    free(chunk)
  }

  onData(chunk: Uint8Array): void {
    if (this.lingering !== undefined) return
    const { kept } = this
    if (kept === undefined) this.kept = [chunk]
    else keep(kept, chunk)
    if (this.taker === undefined) this.pause()
    else if (isCut(chunk)) this.giveSoon()
    else this.giveKept()
  }

  onRead(chunk: Uint8Array): void {
    if (this.lingering !== undefined) return
    if (this.kept === undefined) this.kept = [chunk]
    else this.kept.push(chunk)
    if (this.taker === undefined) this.pause()
    else this.giveKept()
  }

  private pause(): void {
    if (this.is(paused)) return
    this.flags |= paused
    this.stream.pause()
  }

  private unpause(): void {
    if (!this.is(paused)) return
    this.flags &= ~paused
    this.stream.resume()
  }

  private giveKept(): void {
    const { kept, resume, taker } = this
    if (kept === undefined || taker === undefined) return
    this.kept = undefined
    this.fresh = kept.length === 1 && !this.is(keepsHead) && this.isOwn(kept[0]!) ? kept[0] : undefined
    this.flags &= ~keepsHead
    const next = takenBy(taker, kept)
    if (next !== undefined) this.goOn(next, resume)
    // whoever waits for a long time holds no chunk
    else this.fresh = undefined
  }

  private isOwn(chunk: Uint8Array): boolean {
    return this.is(isLean) ? LeanReads.isAlone(chunk) : this.is(isSystem) && isWhole(chunk)
  }

  private giveSoon(): void {
    if (this.is(gathering)) return
    this.flags |= gathering
    setImmediate(() => {
      this.flags &= ~gathering
      this.giveKept()
    })
  }

  private tellEnd(error: Socket.SocketError): void {
    const { resume, taker } = this
    if (taker !== undefined) this.goOn(taker.onEnd(error), resume)
  }

  private finish(error: Socket.SocketError): void {
    this.over ??= error
    this.giveKept()
    this.tellEnd(this.over)
    this.lingering?.()
  }

  onEnd(): void {
    // a reset that a write has met already reads as an end: the error of the write is on its way
    if (this.stream.writableLength === 0) this.finish(ended)
    else setImmediate(() => setImmediate(() => void (this.is(isClosed) || this.finish(ended))))
  }

  onError(cause: unknown): void {
    this.giveKept()
    this.kept = undefined
    if (this.over === undefined || this.over === ended) this.over = readError(cause)
    this.finish(this.over)
    this.failDrains(cause)
  }

  onClose(): void {
    this.flags |= isClosed
    this.vanish()
    LeanReads.leave(this.stream)
  }

  private vanish(): void {
    this.finish(gone)
    if (this.drains !== undefined) this.failDrains(new Error("the socket is closed"))
  }

  leave(lingerMillis: number): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      const { stream } = this
      const gone = this.destroy(lingerMillis)
      if (this.isReset) return resume(gone)
      if (!stream.writableEnded) stream.end()
      if (this.over !== undefined || stream.destroyed) return resume(gone)
      const done = () => {
        timer.stop()
        this.lingering = undefined
        resume(gone)
      }
      const timer = new Timer(lingerMillis, done)
      this.lingering = done
      this.kept = undefined
      this.unpause()
      return Effect.andThen(Effect.sync(done), gone)
    })
  }

  get hasUnread(): boolean {
    return this.kept !== undefined || this.stream.readableLength > 0
  }

  get isGone(): boolean {
    return this.isReset || this.stream.destroyed
  }

  get cut(): Effect.Effect<void> {
    return Effect.sync(() => void this.stream.destroy())
  }

  /** Gives the stream its time to send what is buffered, anew as long as that goes on, and then it is gone. */
  destroy(lingerMillis: number): Effect.Effect<void> {
    return Now.make(() => {
      const { stream } = this
      this.finish(gone)
      deafen(stream)
      LeanReads.detach(stream)
      if ((stream.closed && stream.destroyed) || this.is(isClosed)) return undefined // of HTTP/2 it may be one alone
      if (this.isReset || !stream.writableFinished) return sent(stream, this, Math.min(lingerMillis, maxTimer))
      stream.destroy()
      return undefined
    })
  }

  get isReset(): boolean {
    return this.is(isReset)
  }

  reset(): void {
    this.flags |= isReset
    reset(this.stream)
  }

  // ---- writing -------------------------------------------------------------------------------------------------------

  get end(): Effect.Effect<void> {
    return Now.make(() => {
      if (!this.stream.writableEnded) this.stream.end()
      return undefined
    })
  }

  get unsent(): number {
    return this.stream.writableLength
  }

  get taken(): number {
    return takenOf(this.stream)
  }

  get flushed(): Effect.Effect<void, Socket.SocketError> {
    return Effect.callback<void, Socket.SocketError>((resume) => {
      const { stream } = this
      if (stream.writableLength === 0) return resume(Effect.void)
      if (this.refusal !== undefined) return resume(this.refusal)
      // its turn comes when all before it is written
      stream.write(new Uint8Array(0), (cause) =>
        resume(cause === null || cause === undefined ? Effect.void : Effect.fail(writeError(cause)))
      )
    })
  }

  onDrain(): void {
    const { drains } = this
    if (drains === undefined) return
    this.drains = undefined
    for (const resume of drains) resume(Effect.void)
  }

  private failDrains(cause: unknown): void {
    const { drains } = this
    if (drains === undefined) return
    this.drains = undefined
    const error = Effect.fail(writeError(cause))
    for (const resume of drains) resume(error)
  }

  private get drained(): Effect.Effect<void, Socket.SocketError> {
    return Effect.callback<void, Socket.SocketError>((resume) => {
      if (this.stream.destroyed) return resume(Effect.fail(writeError(new Error("the socket is closed"))))
      if (!this.stream.writableNeedDrain) return resume(Effect.void)
      if (this.drains === undefined) {
        this.drains = []
        awaitDrain(this.stream)
      }
      this.drains.push(resume)
      return Effect.sync(() => void (this.drains = this.drains?.filter((other) => other !== resume)))
    })
  }

  /** Why the stream takes nothing more, if so: writing after the end would throw at somebody else. */
  private get refusal(): Effect.Effect<never, Socket.SocketError> | undefined {
    return this.stream.writable && !this.isReset
      ? undefined
      : Effect.fail(writeError(new Error("the socket takes no more data")))
  }

  write(chunk: Uint8Array | string | Socket.CloseEvent): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => {
      if (Socket.isCloseEvent(chunk)) {
        if (chunk.code === 1000) this.stream.end()
        else this.reset()
        return Effect.void
      }
      return this.writeNow([chunk]) ?? Effect.void
    })
  }

  writeAll(chunks: NonEmptyReadonlyArray<Uint8Array | string>): Effect.Effect<void, Socket.SocketError> {
    return Effect.suspend(() => this.writeNow(chunks) ?? Effect.void)
  }

  offer(chunk: Uint8Array): boolean {
    const { stream } = this
    if (!stream.writable || this.isReset) return false
    if (!this.is(gathers)) {
      this.flags |= gathers
      stream.cork()
      atEndOfTurn(this)
    }
    // beyond the high-water mark there is nothing to be won by waiting
    if (!stream.write(chunk)) this.writeGathered()
    return true
  }

  writeGathered(): void {
    if (!this.is(gathers)) return
    this.flags &= ~gathers
    this.stream.uncork()
  }

  writeNow(
    chunks: NonEmptyReadonlyArray<Uint8Array | string>,
    owned?: ReadonlyArray<Uint8Array>
  ): Effect.Effect<void, Socket.SocketError> | undefined {
    const { refusal, stream } = this
    if (refusal !== undefined) return refusal
    const last = chunks.length - 1
    if (last > 0) stream.cork()
    for (let i = 0; i < last; i++) stream.write(chunks[i])
    // it is written when all before it are
    if (owned === undefined || !this.is(isSystem)) stream.write(chunks[last])
    else stream.write(chunks[last], () => freeAll(owned))
    if (last > 0) stream.uncork()
    return this.room
  }

  /** The wait until there is room for more. */
  private get room(): Effect.Effect<void, Socket.SocketError> | undefined {
    return hasRoom(this.stream) ? undefined : this.drained
  }
}

/**
 * A `Socket` over an open stream. `head` is what was read of it already, and is read first. The reader may be acquired once. The
 * memory of what is read is freed with the last use: who listens to `data` beside it must not keep the chunks.
 *
 * @category constructors
 * @since 0.1.0
 */
export const fromDuplex = (stream: Duplex, head?: Uint8Array): Socket.Socket => new NodeSocket(stream, head)
