/**
 * How a listener over `node:http` refuses requests that are no opening handshake, or not one that it can take: over the socket if
 * there is no response object, otherwise by the response. Each refusal is counted, and so is each limit that was hit.
 */
import * as Effect from "effect/Effect"
import * as Metric from "effect/Metric"
import * as Result from "effect/Result"
import type * as NodeHttp from "node:http"
import type { Duplex } from "node:stream"
import * as Telemetry from "../../connection/Telemetry.ts"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type { Answering } from "./answering.ts"
import { misaddressed } from "./misaddressed.ts"
import { endWith, hasBody, isDoubled, type NodeUpgrade, refusal, refuse, toRequest, unavailable } from "./upgrade.ts"

export const otherUpgrade = refusal(426, "This address speaks WebSocket and no other upgrade.")
/** A handshake has no body (RFC 6455 section 4.1), and the bytes of one would not be frames. */
export const bodied = refusal(400, "A handshake has no body, and so no Transfer-Encoding, and no Content-Length but 0.")
/** RFC 9110 section 10.1.1. */
export const unexpected = refusal(417, "This server meets no expectation but 100-continue.")

export const largeHead = refusal(431, "The head of the request is too large.")

/** The reasons of `clientError` that are limits, and their answers. Everything else is not HTTP: 400. */
const clientErrors: Record<string, readonly [limit: string, OpeningHandshake.Refusal]> = {
  HPE_HEADER_OVERFLOW: ["maxHeaderSize", largeHead],
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
  private readonly answering: Answering
  private readonly background: (self: Effect.Effect<void>) => void

  constructor(maxHeaders: number, answering: Answering, background: (self: Effect.Effect<void>) => void) {
    this.maxHeaders = maxHeaders
    this.answering = answering
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

  /** Turns away a request to open a WebSocket. */
  turnBack(upgrade: NodeUpgrade, why: OpeningHandshake.Refusal): void {
    this.background(Effect.andThen(counted(why), upgrade.refuse(why)))
  }

  turnAway(socket: Duplex, why: OpeningHandshake.Refusal): void {
    this.background(Effect.andThen(counted(why), refuse(socket, why)))
  }

  /**
   * Answers what `node:http` could not read, or not in time. No answer of another request is interrupted for it, and behind the last one
   * the connection ends without a word (RFC 9112 section 9.6): a client that takes one answer at a time would take it for the next.
   */
  clientError(error: NodeJS.ErrnoException, socket: Duplex): void {
    if (socket.destroyed || error.code === "ECONNRESET") return void socket.destroy()
    // it is about to end, or waits for that: whatever still comes, or does not come in time, was told, or is not looked at
    if (socket.writableEnded || this.answering.isFollowed(socket)) return
    const [limit, why] = clientErrors[error.code ?? ""] ?? [undefined, notHttp]
    if (limit !== undefined) this.background(Telemetry.limitHit(limit))
    const last = this.answering.last(socket)
    if (last === undefined) return this.turnAway(socket, why)
    // what is broken is the body of the last request, unless that has all been read
    const broken = last.req.complete || last.writableEnded ? undefined : last
    this.answering.follow(
      socket,
      () => {
        if (broken === undefined || broken.writableEnded)
          this.background(Effect.andThen(counted(why), endWith(socket, "")))
        else if (broken.headersSent) socket.destroy()
        else this.turnAway(socket, why)
      },
      broken
    )
  }

  /** Why a request is refused that is no opening handshake, or that nobody takes. */
  whyPlain(request: NodeHttp.IncomingMessage): OpeningHandshake.Refusal {
    return Result.match(OpeningHandshake.negotiate(toRequest(request)), {
      onFailure: (why) => why,
      onSuccess: () => (hasBody(request) ? bodied : unavailable)
    })
  }

  /** Answers such a request. */
  answerPlain(request: NodeHttp.IncomingMessage, response: NodeHttp.ServerResponse): void {
    this.answer(request, response, this.whyPlain(request))
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
