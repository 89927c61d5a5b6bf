/**
 * Where the opening handshakes of a client go: something that connects to a server, sends the request, and gives the answer that
 * came. The client knows nothing else of HTTP, so it is the same over TCP, TLS, a unix socket and a test's own server.
 *
 * @since 0.1.0
 */
import * as Context from "effect/Context"
import * as Data from "effect/Data"
import type * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import type * as Socket from "effect/socket/Socket"
import type { ResponseHeaders } from "../protocol/OpeningHandshake.ts"
import type { DialError } from "../proxy/Dialer.ts"
import type { AnyTarget } from "../proxy/Target.ts"

/**
 * A request to upgrade, and where it goes.
 *
 * @category models
 * @since 0.1.0
 */
export interface Request {
  readonly target: AnyTarget
  /** Whether TLS is spoken. */
  readonly isSecure: boolean
  /** The request target: path and query. */
  readonly path: string
  /** All headers, including `host`. A header with several values has a list of them. */
  readonly headers: ResponseHeaders
}

/**
 * The server switches to WebSocket, or says that it does.
 *
 * @category models
 * @since 0.1.0
 */
export interface Switched {
  readonly status: 101
  /** Names in lower case; a header that came more than once has its values joined by commas. */
  readonly headers: Readonly<Record<string, string>>
  /** The byte stream behind the answer, from its very first byte. */
  readonly socket: Socket.Socket
}

/**
 * Any other answer.
 *
 * @category models
 * @since 0.1.0
 */
export interface Declined {
  readonly status: number
  readonly headers: Readonly<Record<string, string>>
  /** The beginning of the body as text, at most 4 KiB. */
  readonly body: string
  readonly socket?: undefined
}

/**
 * What the server answered: it switched to WebSocket, or it declined.
 *
 * @category models
 * @since 0.1.0
 */
export type Answer = Switched | Declined

/**
 * The server was connected to, and gave no answer:
 *
 * - `Lost`: the connection ended.
 * - `Unreadable`: what came is no answer in HTTP/1.1, or too large for one.
 * - `TimedOut`: nothing came in time, or not all of it.
 * - `TlsFailed`: the server ended TLS after the handshake, as it does if it requires a certificate of ours or refuses the one
 *   that it got.
 *
 * @category errors
 * @since 0.1.0
 */
export class NoAnswer extends Data.TaggedError("NoAnswer")<{
  readonly kind: "Lost" | "Unreadable" | "TimedOut" | "TlsFailed"
  /** What the server did instead of answering: the rest of a sentence that begins with "it". */
  readonly instead: string
  readonly cause?: unknown
}> {
  override get message(): string {
    return `the server did not answer: it ${this.instead}`
  }
}

/**
 * Asks a server for a connection: dials it, sends the opening handshake and waits for the answer.
 *
 * @category services
 * @since 0.1.0
 */
export class UpgradeDialer extends Context.Service<
  UpgradeDialer,
  {
    /** Connects, asks, and waits for the answer. The connection belongs to the scope. */
    readonly dial: (request: Request) => Effect.Effect<Answer, DialError | NoAnswer, Scope.Scope>
  }
>()("effect-websocket/client/UpgradeDialer") {}
