/**
 * A connection as effect's `Socket` of messages, by the contract of that: every end is a `SocketCloseError` with the close
 * code, a write that fails is a `SocketWriteError`, and closing the scope of the reader fails a pull that waits.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import * as Cause from "effect/Cause"
import * as Deferred from "effect/Deferred"
import * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import * as Scope from "effect/Scope"
import * as Socket from "effect/socket/Socket"
import * as CloseCode from "../../protocol/CloseCode.ts"
import type { CloseInfo } from "../../protocol/ConnectionState.ts"
import type { Message } from "../../protocol/Message.ts"
import type { WebSocketError } from "../WebSocketError.ts"

const closeError = (code: number, closeReason?: string) =>
  new Socket.SocketError({ reason: new Socket.SocketCloseError({ code, closeReason }) })

const writeError = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })

/** What of a connection it takes. */
interface Messages {
  readonly pullMessages: Pull.Pull<NonEmptyReadonlyArray<Message>, WebSocketError>
  readonly closed: Effect.Effect<CloseInfo>
  send(message: Message): Effect.Effect<void, WebSocketError>
  sendAll(messages: NonEmptyReadonlyArray<Message>): Effect.Effect<void, WebSocketError>
  close(code: number, reason?: string): Effect.Effect<void, WebSocketError>
}

export const toSocket = (webSocket: Messages): Socket.Socket => {
  const next: Socket.Reader["pull"] = Effect.suspend(() => webSocket.pullMessages).pipe(
    Effect.catch((error) =>
      Cause.isDone(error)
        ? Effect.flatMap(webSocket.closed, (info) => Effect.fail(closeError(info.code, info.reason)))
        : Effect.fail(closeError(error.closeCode, error.message))
    )
  )
  const writer: Socket.Writer = {
    write: (chunk) =>
      Socket.isCloseEvent(chunk)
        ? Effect.mapError(webSocket.close(chunk.code, chunk.reason), writeError)
        : Effect.mapError(webSocket.send(chunk), writeError),
    writeAll: (chunks) => Effect.mapError(webSocket.sendAll(chunks), writeError)
  }
  const reader = Effect.gen(function* () {
    const released = Deferred.makeUnsafe<never, Socket.SocketError>()
    const scope = yield* Effect.scope
    yield* Scope.addFinalizer(scope, Deferred.fail(released, closeError(CloseCode.abnormal)))
    return {
      pull: Effect.raceFirst(next, Deferred.await(released)),
      upgrade: Socket.SocketUpgradeError.unsupported
    }
  })
  return Socket.make({ reader, writer: Effect.succeed(writer) })
}
