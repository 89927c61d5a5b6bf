/**
 * The life of a connection, from its request to its end, as events in their order: WebSocketOpenRequest, Connected, what the
 * component does with it, Error if that failed, Disconnected.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import type { WebSocket } from "../../connection/WebSocket.ts"
import { WebSocketError } from "../../connection/WebSocketError.ts"
import type { CloseInfo } from "../../protocol/ConnectionState.ts"
import type { Refusal } from "../../protocol/OpeningHandshake.ts"
import type { Answer, OpenRequest } from "../../server/OpenRequest.ts"
import type { Code } from "../ErrorCode.ts"
import type { CommonEvents, WebSocketOpenRequestEvent } from "../Events.ts"
import { disconnected, endOf, type Link } from "./link.ts"
import { internalError, type OpenRequested } from "./opening.ts"
import { tlsCode } from "./tlsFault.ts"

/** Asks the listeners of WebSocketOpenRequest, whose answer is not waited for any more when the connection is given up. */
export const decide = <Events extends CommonEvents>(
  link: Link<Events>,
  event: OpenRequested & Events["WebSocketOpenRequest"]
): Effect.Effect<Answer, Refusal> =>
  Effect.suspend(() => {
    const given = link.emit("WebSocketOpenRequest", () => event)
    const answer = (isWell: boolean) => (isWell ? answerOf(link, event) : Effect.fail(internalError))
    if (typeof given === "boolean") return answer(given)
    const decided = Effect.raceFirst(
      Effect.promise(() => given),
      link.abandonment
    )
    return Effect.flatMap(decided, answer)
  })

const answerOf = <Events extends CommonEvents>(
  link: Link<Events>,
  event: OpenRequested & WebSocketOpenRequestEvent
): Effect.Effect<Answer, Refusal> => {
  const { host } = link
  if (link.isClosing) return Effect.fail(disconnected)
  if (event.strayProtocol !== undefined) {
    host.log(link, 1, `The client does not offer the subprotocol ${event.strayProtocol}: none is chosen`, "Error")
  }
  const { answer } = event
  if (Result.isSuccess(answer)) return Effect.succeed(answer.success)
  const { error, refusal } = answer.failure
  if (error !== undefined) host.report(link, error, error.code)
  host.log(link, 1, `Refused with status ${refusal.status}`)
  return Effect.fail(refusal)
}

/** Answers 101. A client that went away meanwhile is no event. */
export const accept = <Events extends CommonEvents, E>(
  link: Link<Events>,
  open: OpenRequest,
  answer: Answer,
  live: (webSocket: WebSocket) => Effect.Effect<void, E>
): Effect.Effect<void, E | Refusal> =>
  // a listener may have taken its time, and the component been shut down meanwhile
  link.isClosing
    ? Effect.fail(disconnected)
    : Effect.matchEffect(open.acceptWith(answer), {
        onSuccess: live,
        onFailure: () => Effect.sync(() => link.host.log(link, 2, "The client went away before it was answered"))
      })

const goingAway: CloseInfo = { code: 1001, reason: "", wasClean: false }

/** From Connected to Disconnected. */
export const live = <Events extends CommonEvents>(
  link: Link<Events>,
  webSocket: WebSocket,
  body: Effect.Effect<void, unknown>
): Effect.Effect<void> => {
  const { connectionId, host } = link
  let isTold = false
  const tell = (info: CloseInfo): boolean | Promise<boolean> => {
    isTold = true
    link.isDisconnected = true
    const { description, statusCode } = endOf(info)
    // the client's own words are no lines of their own
    const words = description.replaceAll(/[\p{Cc}\u2028\u2029]+/gu, " ")
    host.log(link, 1, `Disconnected with status ${statusCode}${words === "" ? "" : `: ${words}`}`)
    return link.emit("Disconnected", () => ({ connectionId, statusCode, description }))
  }
  const connected = Effect.suspend(() => {
    host.log(link, 1, "Connected")
    return link.fire("Connected", () => ({ connectionId }))
  })
  const run = Effect.catch(Effect.andThen(connected, body), (error) => Effect.sync(() => reportEnd(link, error)))
  return Effect.flatMap(run, () =>
    Effect.flatMap(Effect.raceFirst(webSocket.closed, Effect.succeed(goingAway)), (info) => {
      const told = tell(info)
      return told instanceof Promise ? Effect.asVoid(Effect.promise(() => told)) : Effect.void
    })
  ).pipe(
    // at the end of the component its listeners are told and not waited for
    Effect.onExit((exit) => (Exit.isSuccess(exit) || isTold ? Effect.void : Effect.sync(() => void tell(goingAway))))
  )
}

/** Why a connection ended, if that was no closing handshake and no plain end of the byte stream. */
export const reportEnd = <Events extends CommonEvents>(link: Link<Events>, error: unknown): void => {
  if (!(error instanceof WebSocketError)) return void link.host.report(link, error, 10053)
  const { reason } = error
  // an end that is no error of the transport is told by Disconnected, with 1006
  if (reason._tag === "ConnectionLost" && isPlainEnd(reason.cause)) return
  const code: Code =
    reason._tag === "PeerTimeout" ? 10060 : error.closeCode === 1009 ? 10040 : (tlsCode(error) ?? 10053)
  link.host.report(link, error, code)
}

export const isPlainEnd = (cause: unknown): boolean =>
  typeof cause === "object" &&
  cause !== null &&
  "reason" in cause &&
  typeof cause.reason === "object" &&
  cause.reason !== null &&
  "_tag" in cause.reason &&
  cause.reason._tag === "SocketCloseError"
