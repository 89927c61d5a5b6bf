/**
 * The errors of a connection. One outer error, and a reason that says what happened:
 *
 * - `ProtocolViolation`: the peer broke the protocol or a limit; it was told by a Close frame with `closeCode`.
 * - `ConnectionLost`: the byte stream ended or failed without a closing handshake (1006).
 * - `PeerTimeout`: the peer answered neither pings nor a Close frame in time (1006).
 * - `ConnectionClosed`: a message was to be sent after the connection had begun to close.
 * - `InvalidUsage`: what was asked for cannot be done, such as to send a close code that may not appear on the wire, or to read in another
 *   way in the midst of a message.
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import * as CloseCode from "../protocol/CloseCode.ts"
import type { CloseInfo } from "../protocol/ConnectionState.ts"
import type * as ProtocolError from "../protocol/ProtocolError.ts"

/**
 * The peer broke the protocol or a limit.
 *
 * @category errors
 * @since 0.1.0
 */
export class ProtocolViolation extends Data.TaggedError("ProtocolViolation")<{
  readonly error: ProtocolError.ProtocolError
}> {
  get closeCode(): number {
    return this.error.closeCode
  }
  override get message(): string {
    return this.error.message
  }
}

/**
 * The byte stream ended or failed without a closing handshake.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionLost extends Data.TaggedError("ConnectionLost")<{
  readonly cause: unknown
}> {
  readonly closeCode: number = CloseCode.abnormal
  override get message(): string {
    return "the connection was lost: it ended without a Close frame"
  }
}

/**
 * The peer was silent for too long.
 *
 * @category errors
 * @since 0.1.0
 */
export class PeerTimeout extends Data.TaggedError("PeerTimeout")<{
  /** What was awaited. */
  readonly awaited: "pong" | "close"
}> {
  readonly closeCode: number = CloseCode.abnormal
  override get message(): string {
    return `the peer sent no ${this.awaited === "pong" ? "answer to a ping" : "Close frame"} in time`
  }
}

/**
 * The connection is closing or closed, and takes no more messages.
 *
 * @category errors
 * @since 0.1.0
 */
export class ConnectionClosed extends Data.TaggedError("ConnectionClosed")<{
  /** How it closed, if it has. */
  readonly info: CloseInfo | undefined
}> {
  get closeCode(): number {
    return this.info?.code ?? CloseCode.noStatus
  }
  override get message(): string {
    return "nothing can be sent: the connection is closing or closed"
  }
}

/**
 * What was asked for cannot be done. The connection is as it was.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidUsage extends Data.TaggedError("InvalidUsage")<{
  readonly message: string
}> {
  readonly closeCode: number = CloseCode.noStatus
}

/**
 * What went wrong with a connection. Each has a `_tag` for `Effect.catchReason`, and a `closeCode`.
 *
 * @category errors
 * @since 0.1.0
 */
export type WebSocketErrorReason = ProtocolViolation | ConnectionLost | PeerTimeout | ConnectionClosed | InvalidUsage

/**
 * See the head of this module. Recover from one reason with `Effect.catchReason("WebSocketError", "ConnectionLost", …)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class WebSocketError extends Data.TaggedError("WebSocketError")<{
  readonly reason: WebSocketErrorReason
}> {
  /**
   * The close code that describes the end: after a violation the code that was sent; if the connection was closed, the code that
   * came; 1005 if there was none or the connection is still open; 1006 if it was lost.
   */
  get closeCode(): number {
    return this.reason.closeCode
  }
  override get message(): string {
    return this.reason.message
  }
}

/** @internal */
export const violation = (error: ProtocolError.ProtocolError): WebSocketError =>
  new WebSocketError({ reason: new ProtocolViolation({ error }) })

/** @internal */
export const lost = (cause: unknown): WebSocketError => new WebSocketError({ reason: new ConnectionLost({ cause }) })

/** @internal */
export const peerTimeout = (awaited: "pong" | "close"): WebSocketError =>
  new WebSocketError({ reason: new PeerTimeout({ awaited }) })

/** @internal */
export const connectionClosed = (info: CloseInfo | undefined): WebSocketError =>
  new WebSocketError({ reason: new ConnectionClosed({ info }) })

/** @internal */
export const invalidUsage = (message: string): WebSocketError =>
  new WebSocketError({ reason: new InvalidUsage({ message }) })
