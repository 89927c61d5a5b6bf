/**
 * One end of a TCP connection as a test sees it: it does nothing of its own accord, neither FIN nor reading on when paused,
 * and logs in order what comes: `end` (the peer's FIN), `reset` (its RST) and `closed`. Subclasses add what they read.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { connect, type NetConnectOpts, type Socket } from "node:net"
import { failsAsReset } from "../../src/node/internal/endOfStream.ts"
import { eventually, pass, Watch } from "./watch.ts"

export class Tcp {
  readonly socket: Socket
  /** What happened, in order. */
  readonly log: Array<string> = []
  readonly watch: Watch
  /** Bytes that came. */
  received = 0

  constructor(socket: Socket) {
    this.socket = socket
    this.watch = new Watch(() => `[${this.log.join(", ")}], ${this.received} bytes`)
    socket
      .on("data", (chunk: Buffer) => {
        this.received += chunk.length
        this.take(chunk)
        this.watch.changed()
      })
      .on("end", () => failsAsReset(socket) || this.add("end"))
      .on("error", (error: NodeJS.ErrnoException) => this.add(this.failure(error)))
      .on("close", () => this.add("closed"))
  }

  /** Subclasses read here. */
  protected take(_chunk: Buffer): void {}

  protected add(event: string): void {
    this.log.push(event)
    this.watch.changed()
  }

  /** A RST reads as ECONNRESET, or as EPIPE to a writer that had not read it yet. */
  private failure(error: NodeJS.ErrnoException): string {
    return error.code === "ECONNRESET" || error.code === "EPIPE" ? "reset" : `error ${error.code}`
  }

  has(event: string): boolean {
    return this.log.includes(event)
  }

  /** Whether nothing more can come. */
  get over(): boolean {
    return this.has("end") || this.has("reset") || this.has("closed")
  }

  /** Waits for an event of the log. */
  until(event: string, millis?: number): Effect.Effect<true> {
    return this.watch.until<true>(event, () => this.has(event), millis)
  }

  untilReceived(bytes: number, millis?: number): Effect.Effect<true> {
    return this.watch.until<true>(`${bytes} bytes`, () => this.received >= bytes, millis)
  }

  pause(): void {
    this.socket.pause()
  }
  resume(): void {
    this.socket.resume()
  }

  /** Puts bytes into the connection and waits until the system took them; false if the connection ended before. */
  write(bytes: Uint8Array): Effect.Effect<boolean> {
    return Effect.callback<boolean>((resume) => {
      if (this.socket.destroyed) return resume(Effect.succeed(false))
      this.socket.write(bytes, (error) => resume(Effect.succeed(error === undefined || error === null)))
    })
  }

  /** Writes all of these in order, each when there is room for it; stops at the end of the connection. */
  writeAll(chunks: Iterable<Uint8Array>): Effect.Effect<boolean> {
    return Effect.callback<boolean>((resume) => {
      const iterator = chunks[Symbol.iterator]()
      const { socket } = this
      const off = () => socket.off("drain", go).off("close", stop)
      const stop = () => {
        off()
        resume(Effect.succeed(false))
      }
      const go = () => {
        for (;;) {
          if (socket.destroyed) return stop()
          const next = iterator.next()
          if (next.done === true) {
            off()
            return resume(Effect.succeed(true))
          }
          if (!socket.write(next.value)) return
        }
      }
      socket.on("drain", go).on("close", stop)
      go()
      return Effect.sync(off)
    })
  }

  /** Sends FIN behind what was written, and waits until all of it is the system's. */
  end(): Effect.Effect<void> {
    return Effect.callback<void>((resume) => {
      if (this.socket.destroyed) return resume(Effect.void)
      this.socket.end(() => resume(Effect.void))
      this.socket.once("close", () => resume(Effect.void))
    })
  }

  /** Sends RST. */
  reset(): Effect.Effect<void> {
    return Effect.sync(() => void this.socket.resetAndDestroy())
  }

  /** What a process does that ends: no more reading, FIN behind what was written. */
  destroySoon(): Effect.Effect<void> {
    return Effect.sync(() => this.socket.destroySoon())
  }

  /** Releases it, waiting until it is gone. */
  readonly release: Effect.Effect<void> = Effect.callback<void>((resume) => {
    if (this.socket.closed) return resume(Effect.void)
    this.socket.once("close", () => resume(Effect.void))
    this.socket.destroy()
  })
}

/** A program that speaks TCP and whose side stays open when the other ends; it is gone when the scope ends. */
export const program = (to: NetConnectOpts): Effect.Effect<Tcp, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.sync(() => connect({ ...to, allowHalfOpen: true })),
      (socket) => Effect.sync(() => socket.destroy())
    ),
    (socket) => new Tcp(socket)
  )

/** Waits until a writer makes no more progress: every buffer between it and who does not read is full. */
export const heldBack = (writer: Tcp): Effect.Effect<void> =>
  Effect.gen(function* () {
    const { socket } = writer
    yield* eventually("the writer to be held back", () => socket.writableNeedDrain)
    let before = -1
    while (socket.bytesWritten - socket.writableLength !== before || !socket.writableNeedDrain) {
      before = socket.bytesWritten - socket.writableLength
      yield* pass(100)
    }
  })
