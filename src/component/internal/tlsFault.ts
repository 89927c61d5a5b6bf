/**
 * TLS that failed when a connection was open: to send, or to receive.
 */
import { SocketError } from "effect/socket/Socket"
import { WebSocketError } from "../../connection/WebSocketError.ts"

/** The code of such a failure; `undefined` for any other. */
export const tlsCode = (error: unknown): 283 | 284 | undefined => {
  const cause = error instanceof WebSocketError && error.reason._tag === "ConnectionLost" ? error.reason.cause : error
  if (!(cause instanceof SocketError)) return undefined
  const { reason } = cause
  const under = "cause" in reason ? reason.cause : undefined
  const isTls = under instanceof Error && "code" in under && /^ERR_(SSL|TLS)_|^EPROTO$/.test(String(under.code))
  return isTls ? (reason._tag === "SocketWriteError" ? 283 : 284) : undefined
}
