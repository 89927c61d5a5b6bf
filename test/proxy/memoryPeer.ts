/**
 * The far end of an in-memory socket (`test/connection/pair.ts`) in the hands of a test: it reads into a log, unless it is
 * told not to, and does nothing else of its own accord.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type { End } from "../connection/pair.ts"
import * as Frames from "./frames.ts"
import { Watch } from "./watch.ts"

export class MemoryPeer {
  readonly end: End
  readonly watch: Watch
  readonly writer: Socket.Writer
  /** `end` or `reset`, and for a WebSocket client `close CODE`, in order. */
  readonly log: Array<string> = []
  bytes = Buffer.alloc(0)
  protected constructor(end: End, writer: Socket.Writer) {
    this.end = end
    this.writer = writer
    this.watch = new Watch(() => `[${this.log.join(", ")}], ${this.bytes.length} bytes`)
  }

  static make(end: End, reads = true): Effect.Effect<MemoryPeer, never, Scope.Scope> {
    return Effect.flatMap(end.socket.writer, (writer) => start(new MemoryPeer(end, writer), reads))
  }

  take(chunk: Buffer): void {
    this.bytes = Buffer.concat([this.bytes, chunk])
  }

  add(event: string): void {
    this.log.push(event)
    this.watch.changed()
  }

  until(event: string): Effect.Effect<true> {
    return this.watch.until<true>(event, () => this.log.includes(event))
  }
  untilBytes(size: number): Effect.Effect<true> {
    return this.watch.until<true>(`${size} bytes`, () => this.bytes.length >= size)
  }

  /** Writes, and waits while there is no room. */
  write(bytes: Uint8Array | string): Effect.Effect<void> {
    // the other end unmasks in place
    return Effect.orDie(this.writer.write(Uint8Array.from(Buffer.from(bytes))))
  }
  /** Ends this side in order. */
  get finish(): Effect.Effect<void> {
    return Effect.orDie(this.writer.write(new Socket.CloseEvent(1000)))
  }
}

/** The same for a WebSocket client: what it reads are frames. */
export class MemoryClient extends MemoryPeer {
  readonly #reader = new Frames.FrameReader({
    start: () => {},
    payload: (piece) => super.take(Buffer.from(piece)),
    end: () => {},
    control: (opcode, payload) =>
      this.add(
        opcode === Frames.close ? `close ${payload.length === 0 ? 1005 : payload.readUInt16BE(0)}` : `control ${opcode}`
      )
  })

  static override make(end: End, reads = true): Effect.Effect<MemoryClient, never, Scope.Scope> {
    return Effect.flatMap(end.socket.writer, (writer) => start(new MemoryClient(end, writer), reads))
  }

  override take(chunk: Buffer): void {
    this.#reader.push(chunk)
  }

  send(opcode: number, payload: Uint8Array | string, options?: Frames.FrameOptions): Effect.Effect<void> {
    return this.write(Frames.frame(opcode, payload, options))
  }
  sendClose(code?: number): Effect.Effect<void> {
    return this.send(Frames.close, Frames.closePayload(code))
  }
}

const start = <A extends MemoryPeer>(peer: A, reads: boolean): Effect.Effect<A, never, Scope.Scope> =>
  Effect.as(reads ? Effect.forkScoped(readAll(peer), { startImmediately: true }) : Effect.void, peer)

/** Reads to the end. The reader is held on to then, since releasing it would end the other direction too. */
export const readAll = (peer: MemoryPeer): Effect.Effect<void, never, Scope.Scope> =>
  Effect.flatMap(peer.end.socket.reader, ({ pull }) =>
    Effect.forever(
      Effect.map(pull, (chunks) => {
        for (const chunk of chunks) peer.take(Buffer.from(chunk))
        peer.watch.changed()
      })
    )
  ).pipe(
    Effect.catch(({ reason }) =>
      Effect.sync(() => peer.add(reason._tag === "SocketCloseError" && reason.code === 1000 ? "end" : "reset"))
    )
  )
