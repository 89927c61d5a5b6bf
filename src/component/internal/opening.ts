/**
 * The decision about an opening handshake: the event that asks for it, and what its listeners left there as an answer.
 */
import * as Result from "effect/Result"
import { type ComponentError, invalid } from "../ComponentError.ts"
import type { ForwardOpenRequestEvent, WebSocketOpenRequestEvent } from "../Events.ts"
import { Refusal, type ResponseHeaders } from "../../protocol/OpeningHandshake.ts"
import type { Answer } from "../../server/OpenRequest.ts"
import { headerText } from "./link.ts"
import { showsAs } from "./shown.ts"
import type { Request } from "../../protocol/OpeningHandshake.ts"

export class OpenRequested implements WebSocketOpenRequestEvent {
  readonly connectionId: string
  statusCode = 101
  responseHeaders = ""
  private readonly request: Request
  private chosen: string | undefined

  constructor(connectionId: string, request: Request) {
    this.connectionId = connectionId
    this.request = request
  }

  get requestURI(): string {
    return this.request.target
  }
  get hostHeader(): string {
    return this.request.headers["host"] ?? ""
  }
  get originHeader(): string {
    return this.request.headers["origin"] ?? ""
  }
  get extensions(): string {
    return this.request.headers["sec-websocket-extensions"] ?? ""
  }
  get requestHeaders(): string {
    return headerText(this.request)
  }
  get subProtocols(): string {
    return this.chosen ?? this.request.subprotocols.join(", ")
  }
  set subProtocols(value: string) {
    this.chosen = value
  }

  /** What becomes of the request. */
  get answer(): Result.Result<Answer, Decline> {
    const { chosen, responseHeaders, statusCode } = this
    // not every listener has types
    if (chosen !== undefined && typeof chosen !== "string") {
      return Result.fail(failed(invalid("SubProtocols", "text", chosen)))
    }
    if (typeof responseHeaders !== "string") {
      return Result.fail(failed(invalid("ResponseHeaders", "lines of NAME: VALUE", responseHeaders)))
    }
    const headers = parseHeaders(responseHeaders)
    if (Result.isFailure(headers)) return Result.fail(failed(headers.failure))
    if (statusCode !== 101) {
      return Number.isInteger(statusCode) && statusCode >= 200 && statusCode <= 599
        ? Result.fail({ refusal: refusalOf(statusCode, headers.success), error: undefined })
        : Result.fail(failed(invalid("StatusCode", "101, or an HTTP status from 200 to 599", statusCode)))
    }
    return Result.succeed({ subprotocol: chosen?.trim(), headers: headers.success })
  }

  /** A subprotocol was chosen that the client does not offer; it is left out (RFC 6455 section 4.2.2). */
  get strayProtocol(): string | undefined {
    const chosen = typeof this.chosen === "string" ? this.chosen.trim() : ""
    return chosen === "" || this.request.subprotocols.includes(chosen) ? undefined : chosen
  }
}

export class ForwardRequested extends OpenRequested implements ForwardOpenRequestEvent {
  forwardHost: string
  forwardPort: number

  constructor(connectionId: string, request: Request, forwardHost: string, forwardPort: number) {
    super(connectionId, request)
    this.forwardHost = forwardHost
    this.forwardPort = forwardPort
  }
}

const openFields = [
  "connectionId",
  "requestURI",
  "hostHeader",
  "originHeader",
  "subProtocols",
  "extensions",
  "requestHeaders",
  "statusCode",
  "responseHeaders"
]
showsAs(OpenRequested, openFields)
showsAs(ForwardRequested, [...openFields, "forwardHost", "forwardPort"])

/** A request is refused; with an error if that is the listener's fault. */
export interface Decline {
  readonly refusal: Refusal
  readonly error: ComponentError | undefined
}

/** Headers about the body and the end of the answer, which a listener cannot set. */
const framing = /^(connection|content-length|content-type|transfer-encoding)$/i

const refusalOf = (status: number, headers: ResponseHeaders) =>
  new Refusal({
    status,
    reason: "The server does not open a WebSocket for this request.",
    headers: Object.fromEntries(Object.entries(headers).filter(([name]) => !framing.test(name)))
  })

const failed = (error: ComponentError): Decline => ({ refusal: internalError, error })

/** The answer to a client when a listener failed, or made an invalid decision. */
export const internalError = new Refusal({ status: 500, reason: "The server failed to handle the request." })

/** RFC 9110 section 5.1 and 5.5: a token, and a value of ASCII without control characters, as new ones are to be. */
const headerLine = /^([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*([\t\x20-\x7e]*)$/

const parseHeaders = (text: string): Result.Result<ResponseHeaders, ComponentError> => {
  // it has no names of its own, as objects do
  const headers = new Map<string, string | ReadonlyArray<string>>()
  for (const line of text.split(/\r?\n/)) {
    if (line.trim() === "") continue
    const [, name, value] = headerLine.exec(line) ?? []
    if (name === undefined || value === undefined) {
      return Result.fail(invalid("ResponseHeaders", "lines of NAME: VALUE", line))
    }
    const before = headers.get(name)
    headers.set(name, before === undefined ? value.trim() : [before, value.trim()].flat())
  }
  return Result.succeed(Object.fromEntries(headers))
}
