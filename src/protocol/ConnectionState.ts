/**
 * The life of a connection as a pure step function (RFC 6455 sections 5.5.1 and 7.1): which of the two Close frames have
 * passed, what that obliges this endpoint to, and how the connection ended. Who drives it does the I/O.
 *
 * @since 0.1.0
 */
import * as CloseCode from "./CloseCode.ts"

/**
 * - `Open`: data flows both ways.
 * - `CloseSent`: our Close frame is out, theirs is not in. They may still send; we may not.
 * - `Closed`: both Close frames have passed, or the connection was lost.
 *
 * @category models
 * @since 0.1.0
 */
export type State =
  | { readonly _tag: "Open" }
  | { readonly _tag: "CloseSent"; readonly status: CloseCode.CloseStatus }
  | { readonly _tag: "Closed"; readonly info: CloseInfo }

/**
 * How a connection ended (section 7.1.5 and 7.1.6). `code` is the one of the Close frame that came, 1005 if that had none,
 * and 1006 if none came; of a connection that this side failed or left without waiting it is the code that was sent.
 * `wasClean` says that both Close frames passed.
 *
 * @category models
 * @since 0.1.0
 */
export interface CloseInfo {
  readonly code: number
  readonly reason: string
  readonly wasClean: boolean
}

/**
 * What happens to a connection.
 *
 * @category models
 * @since 0.1.0
 */
export type Event =
  /** This endpoint closes, or fails the connection. */
  | { readonly _tag: "Close"; readonly status: CloseCode.CloseStatus }
  /** A Close frame came. */
  | { readonly _tag: "CloseReceived"; readonly status: CloseCode.CloseStatus }
  /** The byte stream ended or failed. */
  | { readonly _tag: "TransportEnd" }

/**
 * The next state, and the Close frame to send now if one is due.
 *
 * @category models
 * @since 0.1.0
 */
export interface Step {
  readonly state: State
  readonly send: CloseCode.CloseStatus | undefined
}

/**
 * The state after the opening handshake.
 *
 * @category constructors
 * @since 0.1.0
 */
export const open: State = { _tag: "Open" }

const infoOf = (status: CloseCode.CloseStatus): CloseInfo => ({
  code: status.code ?? CloseCode.noStatus,
  reason: status.reason,
  wasClean: true
})

/**
 * Takes one step.
 *
 * @category transitions
 * @since 0.1.0
 */
export const step = (state: State, event: Event): Step => {
  switch (state._tag) {
    case "Open":
      switch (event._tag) {
        case "Close":
          return { state: { _tag: "CloseSent", status: event.status }, send: event.status }
        case "CloseReceived":
          // section 5.5.1: answer it, echoing the code that came
          return {
            state: { _tag: "Closed", info: infoOf(event.status) },
            send: { code: event.status.code, reason: "" }
          }
        case "TransportEnd":
          return lost
      }
    // falls through: every case above returns
    case "CloseSent":
      switch (event._tag) {
        case "Close":
          return { state, send: undefined }
        case "CloseReceived":
          return { state: { _tag: "Closed", info: infoOf(event.status) }, send: undefined }
        case "TransportEnd":
          return lost
      }
    // falls through: every case above returns
    case "Closed":
      return { state, send: undefined }
  }
}

const lost: Step = {
  state: { _tag: "Closed", info: { code: CloseCode.abnormal, reason: "", wasClean: false } },
  send: undefined
}
