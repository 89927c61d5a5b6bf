/**
 * How a stream of Node's ends or fails, as effect's `Socket` says it. An error takes a stack trace, which costs more than the rest of
 * closing: those that say nothing of a cause are shared.
 */
import * as Socket from "effect/socket/Socket"

export const ended = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1000 }) })
export const gone = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1006 }) })
export const readError = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketReadError({ cause }) })
export const writeError = (cause: unknown) => new Socket.SocketError({ reason: new Socket.SocketWriteError({ cause }) })
