/**
 * Two effect `Socket`s in memory, each the other's peer, held to the contract of `effect/socket/Socket` and as strict about
 * it as a kernel: what is written by one `write` or `writeAll` comes as one read; a write waits while more than
 * `highWaterMark` bytes are unread; a released writer ends its direction alone; a `CloseEvent` other than 1000 resets both;
 * a released reader fails its suspended pull and ends everything. Two pulls at a time on one end are a defect: a transport
 * is read by one fiber.
 */
import { Effect, type Scope } from "effect"
import type { NonEmptyReadonlyArray } from "effect/Array"
import { Socket } from "effect/socket"

const closeError = (code: number) => new Socket.SocketError({ reason: new Socket.SocketCloseError({ code }) })
const resetError = new Socket.SocketError({ reason: new Socket.SocketReadError({ cause: new Error("ECONNRESET") }) })
const writeError = new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause: new Error("EPIPE") }) })

const utf8 = new TextEncoder()

type Resume<A> = (effect: Effect.Effect<A, Socket.SocketError>) => void
type Batch = NonEmptyReadonlyArray<Uint8Array>

/** One direction. */
class Pipe {
  size = 0
  private reads: Array<Uint8Array> = []
  private end: Socket.SocketError | undefined
  private waiter: Resume<Batch> | undefined
  private readonly drains = new Set<Resume<void>>()
  private readonly highWaterMark: number

  constructor(highWaterMark: number) {
    this.highWaterMark = highWaterMark
  }

  get isOpen(): boolean {
    return this.end === undefined
  }

  readonly pull: Effect.Effect<Batch, Socket.SocketError> = Effect.callback((resume) => {
    if (this.waiter !== undefined) return resume(Effect.die(new Error("two fibers pull one transport at once")))
    const read = this.reads.shift()
    if (read !== undefined) {
      this.size -= read.length
      this.drain()
      return resume(Effect.succeed([read]))
    }
    if (this.end !== undefined) return resume(Effect.fail(this.end))
    this.waiter = resume
    return Effect.sync(() => void (this.waiter = undefined))
  })

  write(bytes: Uint8Array): Effect.Effect<void, Socket.SocketError> {
    if (this.end !== undefined) return Effect.fail(writeError)
    const { waiter } = this
    if (waiter !== undefined) {
      this.waiter = undefined
      waiter(Effect.succeed([bytes]))
      return Effect.void
    }
    this.reads.push(bytes)
    this.size += bytes.length
    if (this.size <= this.highWaterMark) return Effect.void
    return Effect.callback((resume) => {
      this.drains.add(resume)
      return Effect.sync(() => void this.drains.delete(resume))
    })
  }

  /** Ends the direction: in order, or at once and with all that is unread. */
  finish(error: Socket.SocketError, atOnce: boolean): void {
    this.end ??= error
    if (atOnce) {
      this.reads = []
      this.size = 0
    }
    const { waiter } = this
    this.waiter = undefined
    waiter?.(Effect.fail(this.end))
    if (atOnce) this.drain()
  }

  private drain(): void {
    if (this.size > this.highWaterMark) return
    for (const resume of this.drains) resume(this.end === undefined ? Effect.void : Effect.fail(writeError))
    this.drains.clear()
  }
}

export interface End {
  readonly socket: Socket.Socket
  /** What this end has written, one element for each `write` or `writeAll`. */
  readonly writes: ReadonlyArray<Uint8Array>
  /** Bytes that this end has written and the other has not read. */
  readonly unread: () => number
  /** Whether this end can still write. */
  readonly isOpen: () => boolean
  /** Acquired readers and writers of this end that are not released yet. */
  readonly held: () => number
  /** Breaks the connection for both, as a cut cable with a reset does. */
  readonly reset: Effect.Effect<void>
}

const makeEnd = (incoming: Pipe, outgoing: Pipe): End => {
  const writes: Array<Uint8Array> = []
  let held = 0
  const acquire = <A>(value: A, release: () => void): Effect.Effect<A, never, Scope.Scope> =>
    Effect.acquireRelease(
      Effect.sync(() => {
        held++
        return value
      }),
      () =>
        Effect.sync(() => {
          held--
          release()
        })
    )
  const reset = () => {
    incoming.finish(closeError(1006), true)
    outgoing.finish(resetError, true)
  }
  const writeAll: Socket.Writer["writeAll"] = (chunks) =>
    Effect.suspend(() => {
      const parts = chunks.map((chunk) => (typeof chunk === "string" ? utf8.encode(chunk) : chunk))
      const bytes = new Uint8Array(parts.reduce((size, part) => size + part.length, 0))
      let at = 0
      for (const part of parts) {
        bytes.set(part, at)
        at += part.length
      }
      // the reader unmasks in place, so the log has bytes of its own
      if (outgoing.isOpen) writes.push(bytes.slice())
      return outgoing.write(bytes)
    })
  const write: Socket.Writer["write"] = (chunk) =>
    Socket.isCloseEvent(chunk)
      ? Effect.sync(() => (chunk.code === 1000 ? outgoing.finish(closeError(1000), false) : reset()))
      : writeAll([chunk])
  return {
    socket: Socket.make({
      reader: acquire({ pull: incoming.pull, upgrade: Socket.SocketUpgradeError.unsupported }, () => {
        incoming.finish(closeError(1006), true)
        outgoing.finish(closeError(1000), false)
      }),
      writer: acquire({ write, writeAll }, () => outgoing.finish(closeError(1000), false))
    }),
    writes,
    unread: () => outgoing.size,
    isOpen: () => outgoing.isOpen,
    held: () => held,
    reset: Effect.sync(reset)
  }
}

export interface Pair {
  readonly client: End
  readonly server: End
}

/** `highWaterMark` is for each direction, 64 KiB unless told. */
export const makePair = (highWaterMark = 64 * 1024): Pair => {
  const up = new Pipe(highWaterMark)
  const down = new Pipe(highWaterMark)
  return { client: makeEnd(down, up), server: makeEnd(up, down) }
}
