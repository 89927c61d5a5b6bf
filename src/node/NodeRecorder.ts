/**
 * Records the traffic between clients and targets, each session in a file of its own, in the format that noVNC plays back. It is
 * a {@link Dialer} around another: each chunk to or from a target is written to the file before it is passed on, so that nothing
 * is held in memory. That costs a write for each chunk: use it to look into a session, not all the time.
 *
 * All that is typed and shown is in these files, passwords too. They are readable by their user alone and never written over.
 * When a file or the disk is full, the recording ends and the session goes on.
 *
 * @since 0.1.0
 */
import * as Clock from "effect/Clock"
import * as Data from "effect/Data"
import * as Effect from "effect/Effect"
import * as Layer from "effect/Layer"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { accessSync, closeSync, constants, openSync, writeFileSync } from "node:fs"
import { dirname, resolve } from "node:path"
import { number } from "../protocol/internal/option.ts"
import { DialError, Dialer } from "../proxy/Dialer.ts"
import { entry, head, tail } from "../proxy/internal/recording.ts"
import { tapped } from "../proxy/internal/tapped.ts"
import { codeOf } from "./internal/codeOf.ts"
import type { AnyTarget } from "../proxy/Target.ts"

/**
 * Only `file` has no default.
 *
 * @category models
 * @since 0.1.0
 */
export interface Options {
  /** Sessions are written to `file.1`, `file.2` and so on, in the numbers that are free. */
  readonly file: string
  /** The most bytes of one file. Default: 64 MiB. */
  readonly maxFileSize?: number | undefined
  /** The most sessions that are recorded; later ones are not. Default: 1,000. */
  readonly maxSessions?: number | undefined
}

/**
 * The folder of the files is not there, or may not be written.
 *
 * @category errors
 * @since 0.1.0
 */
export class RecorderError extends Data.TaggedError("RecorderError")<{
  readonly file: string
  /** Why, such as `ENOENT`. */
  readonly code: string
}> {
  override get message(): string {
    return `cannot record to ${this.file}.1 and so on: its folder cannot be written (${this.code})`
  }
}

const nothing = new Uint8Array(0)

/** One session's file, which begins with its first chunk. */
class Recording {
  private readonly open: () => number
  private readonly maxSize: number
  /** Told once why there is no more of it. */
  private readonly onEnd: (reason: string) => void
  private fd: number | undefined = undefined
  private size = head.length
  private isOver = false

  constructor(open: () => number, maxSize: number, onEnd: (reason: string) => void) {
    this.open = open
    this.maxSize = maxSize
    this.onEnd = onEnd
  }

  add(from: "client" | "target", millis: number, bytes: Uint8Array): void {
    if (this.isOver) return
    const room = this.maxSize - this.size - tail.length
    const line = entry(from, millis, bytes)
    if (line.length <= room) return this.write(line)
    // a chunk may be all that there is: what is surely not too long of it is the end
    const some = bytes.subarray(0, Math.max(0, Math.floor((room - entry(from, millis, nothing).length) / 4)))
    if (some.length > 0) this.write(entry(from, millis, some))
    this.onEnd("it is full")
    this.end()
  }

  private write(line: Uint8Array): void {
    this.size += line.length
    this.attempt(() => {
      if (this.fd === undefined) {
        this.fd = this.open()
        writeFileSync(this.fd, head)
      }
      writeFileSync(this.fd, line)
    })
  }

  end(): void {
    this.isOver = true
    const { fd } = this
    if (fd !== undefined) this.attempt(() => writeFileSync(fd, tail))
    this.close()
  }

  private attempt(write: () => void): void {
    try {
      write()
    } catch (cause) {
      this.isOver = true
      this.close()
      this.onEnd(codeOf(cause))
    }
  }

  private close(): void {
    const { fd } = this
    this.fd = undefined
    if (fd === undefined) return
    try {
      closeSync(fd)
    } catch (cause) {
      // what was written last did not get there
      if (this.isOver) return
      this.isOver = true
      this.onEnd(codeOf(cause))
    }
  }
}

/**
 * Records the sessions of the dialler beneath. Fails if the folder of the files cannot be written; later failures are logged.
 *
 * @category constructors
 * @since 0.1.0
 */
export const make = Effect.fnUntraced(function* (
  options: Options
): Effect.fn.Return<Dialer["Service"], RecorderError, Dialer> {
  const dialer = yield* Dialer
  const clock = yield* Clock.Clock
  const file = resolve(options.file)
  const maxFileSize = number("maxFileSize", options.maxFileSize, 64 * 1024 * 1024)
  const maxSessions = number("maxSessions", options.maxSessions, 1000)
  yield* Effect.try({
    try: () => accessSync(dirname(file), constants.W_OK | constants.X_OK),
    catch: (cause) => new RecorderError({ file: options.file, code: codeOf(cause) })
  })
  const runFork = Effect.runForkWith(yield* Effect.context<never>())
  const warn = (message: string) => void runFork(Effect.logWarning(message))
  warn(`Sessions are recorded to ${options.file}.1 and so on, with all that is typed in them`)
  let next = 1
  let sessions = 0

  /** A new file, under the next number that is free. */
  const open = (): number => {
    for (;;) {
      try {
        return openSync(`${file}.${next++}`, "wx", 0o600)
      } catch (cause) {
        if (codeOf(cause) !== "EEXIST") throw cause
      }
    }
  }

  const record = Effect.fnUntraced(function* (
    target: AnyTarget,
    socket: Socket.Socket
  ): Effect.fn.Return<Socket.Socket, DialError, Scope.Scope> {
    if (sessions >= maxSessions) return socket
    if (++sessions === maxSessions) warn(`No session is recorded after this one, the ${sessions}th`)
    const recording = new Recording(open, maxFileSize, (why) =>
      warn(`The recording of a session ended before it: ${why}`)
    )
    yield* Effect.addFinalizer(() => Effect.sync(() => recording.end()))
    const begin = clock.currentTimeMillisUnsafe()
    const add = (from: "client" | "target") => (bytes: Uint8Array) =>
      recording.add(from, clock.currentTimeMillisUnsafe() - begin, bytes)
    return yield* Effect.mapError(
      tapped(socket, { read: add("target"), wrote: add("client") }),
      (cause) => new DialError({ target, kind: "Failed", cause })
    )
  })

  return {
    dial: (target, client) => Effect.flatMap(dialer.dial(target, client), (socket) => record(target, socket))
  }
})

/**
 * The dialler beneath, with its sessions recorded.
 *
 * @category layers
 * @since 0.1.0
 */
export const layer = (options: Options): Layer.Layer<Dialer, RecorderError, Dialer> =>
  Layer.effect(Dialer)(make(options))
