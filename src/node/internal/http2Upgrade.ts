/**
 * One request to open a WebSocket over HTTP/2 (RFC 8441): an extended `CONNECT`, whose stream is the WebSocket's byte stream once it is
 * answered with 200.
 */
import * as Effect from "effect/Effect"
import type * as Http2 from "node:http2"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import * as HeaderLines from "./headerLines.ts"
import { resetStream } from "./http2Stream.ts"
import { Timer } from "./timers.ts"
import { answerOf, lingerMillis, NodeUpgrade } from "./upgrade.ts"

/** RFC 9113 section 7. */
const noError = 0x0

/** RFC 9113 section 8.2.2: these are about a connection of HTTP/1.1. */
const ofConnection = /^(?:connection|keep-alive|proxy-connection|transfer-encoding|upgrade|te|http2-settings)$/

/** The headers of an answer. A bad one is a defect, as over HTTP/1.1. */
export const fieldsOf = (headers: OpeningHandshake.ResponseHeaders): Http2.OutgoingHttpHeaders => {
  HeaderLines.make(headers)
  const fields: Record<string, string | Array<string>> = {}
  for (const name in headers) {
    const lower = name.toLowerCase()
    const value = headers[name]!
    if (ofConnection.test(lower)) continue
    // a name may be there in upper and in lower case, and each of them is sent
    fields[lower] = lower in fields ? [fields[lower]!, value].flat() : typeof value === "string" ? value : [...value]
  }
  return fields
}

/** What a request says, where the request over HTTP/1.1 would say it. */
export const requestOf = (
  headers: Http2.IncomingHttpHeaders,
  rawHeaders: ReadonlyArray<string> | undefined
): OpeningHandshake.Request => {
  const fields: Record<string, string> = {}
  for (const name in headers) {
    const value = headers[name]
    if (!name.startsWith(":") && value !== undefined)
      fields[name] = typeof value === "string" ? value : value.join(", ")
  }
  return new OpeningHandshake.Request({
    method: headers[":method"] ?? "",
    target: headers[":path"] ?? "",
    httpVersion: "2.0",
    protocol: headers[":protocol"],
    headers: fields,
    ...(rawHeaders === undefined ? {} : { rawHeaders })
  })
}

/**
 * Ends a stream on which all has been said, if the client has not done so after a while. It is told then that there is no need to go
 * on (RFC 9113 section 8.1), or reset if it has not taken all; told at once, some would throw away what they have not looked at yet.
 */
export const endSoon = (stream: Http2.ServerHttp2Stream): void => {
  const timer = new Timer(lingerMillis, () => {
    if (!stream.writableFinished) return void resetStream(stream)
    stream.close(noError)
    // nobody reads what is left of a request; while it is there, one that the client has reset with NO_ERROR stays
    stream.destroy()
  })
  stream.once("close", () => timer.stop())
}

export class Http2Upgrade extends NodeUpgrade {
  private readonly stream: Http2.ServerHttp2Stream

  constructor(request: OpeningHandshake.Request, stream: Http2.ServerHttp2Stream) {
    super(request, stream, new Uint8Array(0))
    this.stream = stream
  }

  /** After a reset it takes no answer, though it may be destroyed later (RFC 9113 section 5.1). */
  override get isGone(): boolean {
    return this.stream.closed || this.stream.destroyed
  }

  protected override refusing(why: OpeningHandshake.Refusal): Effect.Effect<void> {
    const { body, headers } = answerOf(why)
    const fields = { ...fieldsOf(headers), ":status": why.status }
    return Effect.callback<void>((resume) => {
      const { stream } = this
      if (this.isGone) return resume(Effect.void)
      stream.once("close", () => resume(Effect.void))
      stream.respond(fields)
      stream.end(body)
      stream.resume()
      endSoon(stream)
      return Effect.sync(() => void resetStream(stream))
    })
  }

  protected override sendAcceptance({ headers }: OpeningHandshake.Acceptance): void {
    this.stream.respond({ ...fieldsOf(headers), ":status": 200 })
  }
}
