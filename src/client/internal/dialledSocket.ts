/**
 * A client as effect's `Socket`, with its contract: acquiring the reader connects, and acquiring it again connects anew. A writer
 * waits as long as there is no connection, also if the last one has just ended.
 */
import * as Effect from "effect/Effect"
import * as Latch from "effect/Latch"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import type { WebSocket } from "../../connection/WebSocket.ts"
import { WebSocketError } from "../../connection/WebSocketError.ts"
import type { WebSocketClientError } from "../WebSocketClientError.ts"

const openError = (cause: WebSocketClientError) => {
  const { reason } = cause
  const isLate = "kind" in reason && reason.kind === "TimedOut"
  return new Socket.SocketError({
    reason: new Socket.SocketOpenError({ kind: isLate ? "Timeout" : "Unknown", cause })
  })
}

/** Whether a write failed since there is no connection any more: nothing of it was sent. */
const isOver = ({ reason }: Socket.SocketError): boolean =>
  reason._tag === "SocketWriteError" &&
  reason.cause instanceof WebSocketError &&
  reason.cause.reason._tag === "ConnectionClosed"

export const dialledSocket = (connect: Effect.Effect<WebSocket, WebSocketClientError, Scope.Scope>): Socket.Socket => {
  const isOpen = Latch.makeUnsafe(false)
  let current: Socket.Writer | undefined
  const letGo = () => {
    current = undefined
    isOpen.closeUnsafe()
  }
  const reader: Socket.Socket["reader"] = Effect.gen(function* () {
    const scope = yield* Effect.scope
    const { socket } = yield* Effect.mapError(connect, openError)
    const writer = yield* socket.writer
    yield* Scope.addFinalizer(
      scope,
      Effect.sync(() => {
        if (current === writer) letGo()
      })
    )
    const reader = yield* socket.reader
    current = writer
    isOpen.openUnsafe()
    return reader
  })
  const withWriter = (
    use: (writer: Socket.Writer) => Effect.Effect<void, Socket.SocketError>
  ): Effect.Effect<void, Socket.SocketError> =>
    Effect.suspend(() => {
      const writer = current
      if (writer === undefined) return isOpen.whenOpen(withWriter(use))
      return Effect.catchIf(use(writer), isOver, () => {
        // who reads has not learned of it yet, or has not let go
        if (current === writer) letGo()
        return withWriter(use)
      })
    })
  return Socket.make({
    reader,
    writer: Effect.succeed({
      write: (chunk) => withWriter((writer) => writer.write(chunk)),
      writeAll: (chunks) => withWriter((writer) => writer.writeAll(chunks))
    })
  })
}
