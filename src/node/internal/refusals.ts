/**
 * How a listener over `node:http` turns away what is no opening handshake that it can take: over the socket, where there is no
 * response to write to, and by a response where there is one. Each is counted, and so is each limit that was met.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import type * as NodeHttp from "node:http"
import type { Duplex } from "node:stream"
import * as Telemetry from "../../connection/Telemetry.ts"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import { misaddressed } from "./misaddressed.ts"
import { isDoubled, refusal, refuse, toRequest, unavailable } from "./upgrade.ts"

export const otherUpgrade = refusal(426, "This address speaks WebSocket and no other upgrade.")
/** What would come as a body is neither a request's (RFC 6455 section 4.1) nor frames. */
export const bodied = refusal(400, "A handshake has no body, and so no Transfer-Encoding, and no Content-Length but 0.")
/** RFC 9110 section 10.1.1. */
export const unexpected = refusal(417, "This server meets no expectation but 100-continue.")

/** The reasons of `clientError` that are limits, and their answers. Everything else is not HTTP: 400. */
const clientErrors: Record<string, readonly [limit: string, OpeningHandshake.Refusal]> = {
  HPE_HEADER_OVERFLOW: ["maxHeaderSize", refusal(431, "The head of the request is too large.")],
  ERR_HTTP_REQUEST_TIMEOUT: ["handshakeTimeout", refusal(408, "The request did not come in time.")]
}
const notHttp = refusal(400, "What came is not HTTP.")

/** As `node:http` has it. */
export const lateHead: NodeJS.ErrnoException = Object.assign(new Error("the head did not come in time"), {
  code: "ERR_HTTP_REQUEST_TIMEOUT"
})

const counted = (why: OpeningHandshake.Refusal) => Metric.update(Telemetry.refusals, String(why.status))

export class Refusals {
  private readonly maxHeaders: number
  private readonly background: (self: Effect.Effect<void>) => void

  constructor(maxHeaders: number, background: (self: Effect.Effect<void>) => void) {
    this.maxHeaders = maxHeaders
    this.background = background
  }

  /** What is wrong with a head before anybody looks at what it asks for. From here on it says in one way where it goes. */
  fault(request: NodeHttp.IncomingMessage): OpeningHandshake.Refusal | undefined {
    const { maxHeaders } = this
    if (request.rawHeaders.length / 2 > maxHeaders) {
      this.background(Telemetry.limitHit("maxHeaders"))
      return refusal(431, `The request has more than ${maxHeaders} header lines.`)
    }
    // RFC 9112 section 3.2
    if (isDoubled("host", request.rawHeaders)) return refusal(400, "The Host header came more than once.")
    const why = misaddressed(request)
    return why === undefined ? undefined : refusal(400, why)
  }

  turnAway(socket: Duplex, why: OpeningHandshake.Refusal): void {
    this.background(Effect.andThen(counted(why), refuse(socket, why)))
  }

  /** Answers what `node:http` could not read, or not in time. */
  clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    // its time was over before `node:http` had it, and it was told
    if (error.code === lateHead.code && socket.writableEnded) return
    if (socket.destroyed || !socket.writable || error.code === "ECONNRESET") {
      socket.destroy()
      return
    }
    const [limit, why] = clientErrors[error.code ?? ""] ?? [undefined, notHttp]
    if (limit !== undefined) this.background(Telemetry.limitHit(limit))
    this.turnAway(socket, why)
  }

  /** Answers a request whose head is well and that is no opening handshake, or one that nobody takes. */
  answerPlain(request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse): void {
    const why = Result.match(OpeningHandshake.negotiate(toRequest(request)), {
      onFailure: (why) => why,
      onSuccess: () => unavailable
    })
    this.answer(request, response, why)
  }

  answer(request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse, why: OpeningHandshake.Refusal): void {
    this.background(counted(why))
    request.resume()
    const body = `${why.reason}\n`
    response.writeHead(why.status, {
      ...why.headers,
      connection: "close",
      "content-type": "text/plain; charset=utf-8",
      "content-length": Buffer.byteLength(body)
    })
    response.end(request.method === "HEAD" ? undefined : body)
  }
}
