/**
 * A byte stream with a tap: the tap sees all that is read and written, in order, before it is passed on. The bytes are not the
 * tap's own: it must not use them after it returns.
 */
import * as Effect from "effect/Effect"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as Transport from "../../connection/Transport.ts"

interface Tap {
  readonly read: (bytes: Uint8Array) => void
  readonly wrote: (bytes: Uint8Array) => void
}

const encoder = new TextEncoder()
const bytesOf = (chunk: Uint8Array | string): Uint8Array => (typeof chunk === "string" ? encoder.encode(chunk) : chunk)

/** Nothing of it is promised to be anybody's own, so that chunks are copied where they would be freed. */
class TappedReader implements Transport.Reader {
  readonly pull: Socket.Reader["pull"]
  private readonly reader: Transport.Reader

  constructor(reader: Transport.Reader, tap: Tap) {
    this.reader = reader
    this.pull = Effect.map(reader.pull, (chunks) => {
      for (const chunk of chunks) tap.read(bytesOf(chunk))
      return chunks
    })
  }

  get upgrade(): Socket.Reader["upgrade"] {
    return this.reader.upgrade
  }
  get waiting(): Transport.Waiting | undefined {
    return this.reader.waiting
  }
  set waiting(waiting: Transport.Waiting | undefined) {
    this.reader.waiting = waiting
  }
  get hasUnread(): boolean {
    return this.reader.hasUnread ?? false
  }
  get isGone(): boolean {
    return this.reader.isGone ?? false
  }
}

class TappedWriter implements Transport.Writer {
  private readonly writer: Transport.Writer
  private readonly tap: Tap

  constructor(writer: Transport.Writer, tap: Tap) {
    this.writer = writer
    this.tap = tap
  }

  readonly write: Socket.Writer["write"] = (chunk) =>
    Effect.suspend(() => {
      if (!Socket.isCloseEvent(chunk)) this.tap.wrote(bytesOf(chunk))
      return this.writer.write(chunk)
    })
  readonly writeAll: Socket.Writer["writeAll"] = (chunks) =>
    Effect.suspend(() => {
      for (const chunk of chunks) this.tap.wrote(bytesOf(chunk))
      return this.writer.writeAll(chunks)
    })
  get unsent(): number {
    return this.writer.unsent ?? 0
  }
  get taken(): number {
    return this.writer.taken ?? 0
  }
  get flushed(): Effect.Effect<void, Socket.SocketError> {
    return this.writer.flushed ?? Effect.void
  }
}

/** The socket with the tap in it; it is open, and gone with the scope. */
export const tapped = Effect.fnUntraced(function* (
  socket: Socket.Socket,
  tap: Tap
): Effect.fn.Return<Transport.OpenSocket, Socket.SocketError, Scope.Scope> {
  const { ends, reader, writer } = yield* Transport.fromSocket(socket)
  yield* Effect.addFinalizer(() => ends.destroy(lingerMillis))
  const transport: Transport.Transport = {
    reader: new TappedReader(reader, tap),
    writer: new TappedWriter(writer, tap),
    ends
  }
  return {
    [Socket.TypeId]: Socket.TypeId,
    [Transport.OpenTypeId]: transport,
    reader: Effect.flatMap(Effect.scope, (scope) =>
      Effect.as(Scope.addFinalizer(scope, ends.destroy(lingerMillis)), transport.reader)
    ),
    writer: Effect.flatMap(Effect.scope, (scope) => Effect.as(Scope.addFinalizer(scope, ends.end), transport.writer))
  }
})

/** How long a released stream may take to send what is buffered in it, in milliseconds. */
const lingerMillis = 10_000
