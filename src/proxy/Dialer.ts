/**
 * Opening the connection to a target. A dialler gives an open byte stream, or fails with a kind of failure, from which the
 * client's HTTP status, the log line and the label of a metric are made.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import { Refusal } from "../protocol/OpeningHandshake.ts"
import type { OpenRequest } from "../server/OpenRequest.ts"
import type { AnyTarget } from "./Target.ts"

const statuses = {
  /** Nobody listens there. */
  Refused: 502,
  /** No route to the address. */
  Unreachable: 502,
  /** The name has no address. */
  NameNotFound: 502,
  /** No answer in time. */
  TimedOut: 504,
  /** This proxy may not connect there. */
  NotAllowed: 403,
  /** This machine has no resources left to connect with. */
  Exhausted: 503,
  /** The firewall on the way refused, did not speak its protocol, or cannot be reached itself. */
  FirewallFailed: 502,
  /** The target took the connection, and the TLS handshake with it failed or its certificate was not accepted. */
  TlsFailed: 502,
  /** Anything else. */
  Failed: 502
} as const

const sentences: Record<keyof typeof statuses, string> = {
  Refused: "The target refused the connection.",
  Unreachable: "The target cannot be reached.",
  NameNotFound: "The target's name was not found.",
  TimedOut: "The target did not answer in time.",
  NotAllowed: "The target is not allowed.",
  Exhausted: "The proxy has no resources to reach the target now.",
  FirewallFailed: "The firewall on the way did not connect to the target.",
  TlsFailed: "No secure connection to the target could be made.",
  Failed: "The target could not be connected to."
}

/**
 * Why a target could not be connected to.
 *
 * @category errors
 * @since 0.1.0
 */
export class DialError extends Data.TaggedError("DialError")<{
  readonly target: AnyTarget
  readonly kind: keyof typeof statuses
  /** More than the kind says: a sentence, without secrets. */
  readonly detail?: string | undefined
  readonly cause?: unknown
}> {
  override get message(): string {
    return `cannot connect to ${this.target}: ${this.detail ?? sentences[this.kind]}`
  }
  /** The answer to the client. It names neither the target nor the firewall, which are not the client's to know. */
  get refusal(): Refusal {
    return new Refusal({ status: statuses[this.kind], reason: sentences[this.kind] })
  }
}

/**
 * The client that a target is dialled for: what a dialler may tell the target, or decide by.
 *
 * @category models
 * @since 0.1.0
 */
export type Client = Pick<OpenRequest, "remoteAddress" | "peer">

/**
 * Connects to targets. For Node there is `NodeDialer`.
 *
 * @category services
 * @since 0.1.0
 */
export class Dialer extends Context.Service<
  Dialer,
  {
    /** Connects. The connection is open when this succeeds, and belongs to the scope. */
    readonly dial: (target: AnyTarget, client?: Client) => Effect.Effect<Socket.Socket, DialError, Scope.Scope>
  }
>()("effect-websocket/proxy/Dialer") {}
