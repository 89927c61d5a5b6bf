/**
 * Close codes and the payload of a Close frame (RFC 6455 sections 5.5.1 and 7.4).
 *
 * @since 0.1.0
 */
import * as Effect from "effect/Effect"
import * as Result from "effect/Result"
import * as Schema from "effect/Schema"
import * as SchemaIssue from "effect/SchemaIssue"
import * as SchemaTransformation from "effect/SchemaTransformation"
import { ProtocolError } from "./ProtocolError.ts"

/**
 * The purpose for which the connection was established is fulfilled.
 *
 * @category constants
 * @since 0.1.0
 */
export const normal = 1000

/**
 * The endpoint goes away: a server shuts down, a browser leaves the page.
 *
 * @category constants
 * @since 0.1.0
 */
export const goingAway = 1001

/**
 * A fault against the protocol.
 *
 * @category constants
 * @since 0.1.0
 */
export const protocolError = 1002

/**
 * A type of data that the endpoint does not take.
 *
 * @category constants
 * @since 0.1.0
 */
export const unsupportedData = 1003

/**
 * Never on the wire: the Close frame that came held no code.
 *
 * @category constants
 * @since 0.1.0
 */
export const noStatus = 1005

/**
 * Never on the wire: the connection ended without a Close frame.
 *
 * @category constants
 * @since 0.1.0
 */
export const abnormal = 1006

/**
 * Data that is not what its type promises: text that is not UTF-8.
 *
 * @category constants
 * @since 0.1.0
 */
export const invalidPayload = 1007

/**
 * A policy of the endpoint forbids it.
 *
 * @category constants
 * @since 0.1.0
 */
export const policyViolation = 1008

/**
 * A message too big to process.
 *
 * @category constants
 * @since 0.1.0
 */
export const messageTooBig = 1009

/**
 * The server met a condition that keeps it from fulfilling the request.
 *
 * @category constants
 * @since 0.1.0
 */
export const internalError = 1011

/**
 * The server restarts (IANA registry).
 *
 * @category constants
 * @since 0.1.0
 */
export const serviceRestart = 1012

/**
 * The server is overloaded (IANA registry).
 *
 * @category constants
 * @since 0.1.0
 */
export const tryAgainLater = 1013

/**
 * A gateway had no valid answer from its upstream (IANA registry).
 *
 * @category constants
 * @since 0.1.0
 */
export const badGateway = 1014

/**
 * Whether a code may appear in a Close frame: 1000-1014 but for the reserved 1004, 1005 and 1006, and 3000-4999 for
 * libraries and applications (section 7.4.2, and the IANA registry for 1012-1014).
 *
 * @category guards
 * @since 0.1.0
 */
export const isValid = (code: number): boolean =>
  Number.isInteger(code) &&
  ((code >= 1000 && code <= 1014 && code !== 1004 && code !== 1005 && code !== 1006) || (code >= 3000 && code <= 4999))

/**
 * Schema of the codes that may appear in a Close frame.
 *
 * @category schemas
 * @since 0.1.0
 */
export const CloseCode = Schema.Int.pipe(
  Schema.check(
    Schema.makeFilter(
      (code: number) =>
        isValid(code) || "a close code that may be sent: 1000-1003, 1007-1014 or 3000-4999 (RFC 6455 7.4)"
    )
  )
)

/**
 * What a Close frame says. `code` is `undefined` when its payload is empty; then `reason` is empty too.
 *
 * @category models
 * @since 0.1.0
 */
export interface CloseStatus {
  readonly code: number | undefined
  readonly reason: string
}

const utf8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
const encoder = new TextEncoder()

/**
 * The largest reason in bytes: a control frame's 125 less the two of the code.
 *
 * @category constants
 * @since 0.1.0
 */
export const maxReasonBytes = 123

/**
 * Reads the payload of a Close frame. It is empty, or a code that may appear on the wire and a reason in UTF-8.
 *
 * @category decoding
 * @since 0.1.0
 */
export const decodeStatus = (payload: Uint8Array): Result.Result<CloseStatus, ProtocolError> => {
  if (payload.length === 0) return Result.succeed({ code: undefined, reason: "" })
  if (payload.length === 1) {
    return Result.fail(
      new ProtocolError({
        kind: "InvalidClosePayload",
        message: "a close payload is empty or starts with a two-byte code; one byte came"
      })
    )
  }
  const code = (payload[0]! << 8) | payload[1]!
  if (!isValid(code)) {
    return Result.fail(
      new ProtocolError({ kind: "InvalidCloseCode", message: `close code ${code} may not appear on the wire` })
    )
  }
  if (payload.length === 2) return Result.succeed({ code, reason: "" })
  try {
    return Result.succeed({ code, reason: utf8.decode(payload.subarray(2)) })
  } catch {
    return Result.fail(new ProtocolError({ kind: "InvalidUtf8", message: "the close reason is not UTF-8" }))
  }
}

/**
 * Writes the payload of a Close frame. A reason of more than 123 bytes is cut at a code point, since a close must never
 * fail for its explanation.
 *
 * @category encoding
 * @since 0.1.0
 */
export const encodeStatus = (status: CloseStatus): Uint8Array => {
  if (status.code === undefined) return new Uint8Array(0)
  if (status.reason === "") return Uint8Array.of(status.code >> 8, status.code & 0xff)
  const body = new Uint8Array(2 + maxReasonBytes)
  body[0] = status.code >> 8
  body[1] = status.code & 0xff
  // encodeInto stops before a code point that does not fit
  const { written } = encoder.encodeInto(status.reason, body.subarray(2))
  return body.subarray(0, 2 + written)
}

/**
 * Schema between the payload of a Close frame and what it says, over the same two functions as the connection uses.
 *
 * @category schemas
 * @since 0.1.0
 */
export const ClosePayload = Schema.Uint8Array.pipe(
  Schema.decodeTo(
    Schema.Struct({ code: Schema.UndefinedOr(CloseCode), reason: Schema.String }),
    SchemaTransformation.transformEffect({
      decode: (bytes, options) =>
        Result.match(decodeStatus(bytes), {
          onFailure: (error) => Effect.fail(new SchemaIssue.InvalidValue({ message: error.message }, bytes, options)),
          onSuccess: (status) => Effect.succeed(status)
        }),
      encode: (status) => Effect.succeed(encodeStatus(status))
    })
  )
)
