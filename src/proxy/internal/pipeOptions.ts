/** The options of a pipe between a WebSocket and a target, and its observer. */
import type * as Effect from "effect/Effect"
import type * as Socket from "effect/socket/Socket"
import type { WebSocketError } from "../../connection/WebSocketError.ts"
import type { CloseInfo } from "../../protocol/ConnectionState.ts"
import type { Piece, Watching } from "../../protocol/MessageEvent.ts"
import type { Cut } from "./cutting.ts"

/**
 * How bytes of the target become messages.
 *
 * @category models
 * @since 0.1.0
 */
export interface PipeOptions {
  /**
   * `"binary"`, or `"text"` for a target that speaks UTF-8: its bytes are then split between code points, and what is not
   * UTF-8 becomes U+FFFD. From the client both kinds are taken. Default: `"binary"`.
   */
  readonly messages?: "binary" | "text" | undefined
  /**
   * Cuts a chunk of the target's bytes, or does not, which leaves it one binary message.
   *
   * @internal
   */
  readonly segment?: Cut | undefined
  /** Sees what the client sends before the target gets it. Default: none. */
  readonly observer?: Observer | undefined
  /**
   * Whether a connection that is closed so, by the client or by us, has brought all that it had to. If not, the target gets what came, as
   * far as it takes it, and is then reset, so that it does not take that for the whole; `onFailure` is told. An interruption is no
   * such end either. Default: every Close frame is the end of what is said.
   */
  readonly isWhole?: ((info: CloseInfo) => boolean) | undefined
  /** Told why the connection failed, if it did: a `WebSocketError` is the client's, a `SocketError` the target's. */
  readonly onFailure?: ((error: WebSocketError | Socket.SocketError) => void) | undefined
}

/**
 * Sees what the client of a pipe sends. The pipe waits for it, and so does the client.
 *
 * @category models
 * @since 0.1.0
 */
export interface Observer extends Watching {
  /** Called with each piece of a message that is watched. Other messages are passed on directly. */
  readonly onPiece: (piece: Piece) => Effect.Effect<void>
}
