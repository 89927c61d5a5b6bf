/**
 * Why a connection could not be opened. One outer error, and a reason that says what happened:
 *
 * - `InvalidRequest`: the URL or an option cannot be used; nobody was connected to.
 * - `DialError`: the server could not be connected to, or TLS with it failed (`Dialer.DialError`).
 * - `NoAnswer`: it was connected to and gave no answer that can be read, or none in time (`UpgradeDialer.NoAnswer`).
 * - `Declined`: it answered with another status than 101: a redirect, a refusal, a page.
 * - `InvalidAnswer`: it answered 101, and not to what was asked (RFC 6455 section 4.1).
 *
 * @since 0.1.0
 */
import * as Data from "effect/Data"
import type { DialError } from "../proxy/Dialer.ts"
import { shownOther } from "./internal/address.ts"
import type { NoAnswer } from "./UpgradeDialer.ts"

/**
 * The URL or an option cannot be used.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidRequest extends Data.TaggedError("InvalidRequest")<{
  readonly message: string
}> {}

/**
 * The server answered with another status than 101.
 *
 * @category errors
 * @since 0.1.0
 */
export class Declined extends Data.TaggedError("Declined")<{
  readonly status: number
  /** Names in lower case, such as `location` or `retry-after`. */
  readonly headers: Readonly<Record<string, string>>
  /** The beginning of the body as text, at most 4 KiB. */
  readonly body: string
}> {
  override get message(): string {
    const { location } = this.headers
    return `the server answered ${this.status} instead of 101${location === undefined ? "" : `, and names ${shownOther(location)}`}`
  }
}

/**
 * The server answered 101, and not to what was asked.
 *
 * @category errors
 * @since 0.1.0
 */
export class InvalidAnswer extends Data.TaggedError("InvalidAnswer")<{
  readonly message: string
}> {}

/**
 * Why a connection could not be opened. Each has a `_tag` for `Effect.catchReason`.
 *
 * @category errors
 * @since 0.1.0
 */
export type WebSocketClientErrorReason = InvalidRequest | DialError | NoAnswer | Declined | InvalidAnswer

const passing: ReadonlySet<DialError["kind"]> = new Set([
  "Refused",
  "Unreachable",
  "NameNotFound",
  "TimedOut",
  "Exhausted"
])
/** What may fail by the network, or by what was asked for. */
const mixed: ReadonlySet<DialError["kind"]> = new Set(["TlsFailed", "FirewallFailed"])

/** Codes of the system, as against those of TLS: the peer went away, as one does that is being restarted, or is not there yet. */
const isOfNetwork = (cause: unknown): boolean =>
  typeof cause === "object" &&
  cause !== null &&
  "code" in cause &&
  typeof cause.code === "string" &&
  /^(?:ECONN|EPIPE|EHOST|ENET|ENOTFOUND|EAI_AGAIN|ETIMEDOUT)/.test(cause.code)

const busy: ReadonlySet<number> = new Set([408, 429, 500, 502, 503, 504])

/**
 * See the head of this module. Recover from one reason with `Effect.catchReason("WebSocketClientError", "Declined", …)`.
 *
 * @category errors
 * @since 0.1.0
 */
export class WebSocketClientError extends Data.TaggedError("WebSocketClientError")<{
  /** The URL, without credentials and query, which do not belong in a log. */
  readonly url: string
  readonly reason: WebSocketClientErrorReason
}> {
  /**
   * Whether another attempt may succeed: the server could not be reached or did not answer, or it answered that it cannot now
   * (408, 429, 500, 502, 503, 504). An invalid request, a refusal and a certificate that is not accepted will fail again.
   */
  get isTransient(): boolean {
    const { reason } = this
    switch (reason._tag) {
      case "DialError":
        return passing.has(reason.kind) || (mixed.has(reason.kind) && isOfNetwork(reason.cause))
      case "Declined":
        return busy.has(reason.status)
      case "NoAnswer":
        return reason.kind === "Lost" || reason.kind === "TimedOut"
      case "InvalidAnswer":
      case "InvalidRequest":
        return false
    }
  }
  override get message(): string {
    return `no connection to ${this.url}: ${this.reason.message}`
  }
}
