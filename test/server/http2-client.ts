/**
 * A client of HTTP/2 that opens WebSockets with extended CONNECT (RFC 8441), by Node's own HTTP/2 and frames made here. Everything ends
 * with the scope.
 */
import { Effect, type Scope } from "effect"
import { once } from "node:events"
import * as Http2 from "node:http2"
import { Wire } from "./wire.ts"

export type Headers = Readonly<Record<string, string | Array<string> | undefined>>

/** A connection to a port of this machine, whose server has said what it speaks. */
export const session = (
  authority: string | number,
  options: Http2.ClientSessionOptions | Http2.SecureClientSessionOptions = {}
): Effect.Effect<Http2.ClientHttp2Session, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.promise(async () => {
      const url = typeof authority === "number" ? `http://127.0.0.1:${authority}` : authority
      const session = Http2.connect(url, options)
      session.on("error", () => {})
      await once(session, "remoteSettings")
      return session
    }),
    (session) => Effect.sync(() => session.destroy())
  )

/** A request; what it gets for an answer may be awaited. */
export const request = (
  session: Http2.ClientHttp2Session,
  headers: Headers = {},
  options: Http2.ClientSessionRequestOptions = {}
): Http2.ClientHttp2Stream => {
  const given = Object.entries(headers).filter(([, value]) => value !== undefined)
  const stream = session.request(Object.fromEntries(given), options)
  stream.on("error", () => {})
  return stream
}

/** The headers of a request that opens a WebSocket; `undefined` leaves one out. */
export const opening = (headers: Headers = {}): Headers => ({
  ":method": "CONNECT",
  ":protocol": "websocket",
  ":scheme": "http",
  ":path": "/",
  "sec-websocket-version": "13",
  ...headers
})

export interface Answer {
  readonly status: number
  readonly headers: Http2.IncomingHttpHeaders
  readonly body: string
}

/** The whole answer. */
export const answer = (stream: Http2.ClientHttp2Stream): Effect.Effect<Answer> =>
  Effect.promise(async () => {
    const [headers] = (await once(stream, "response")) as [Http2.IncomingHttpHeaders & Http2.IncomingHttpStatusHeader]
    let body = ""
    for await (const chunk of stream) body += String(chunk)
    if (!stream.writableEnded) stream.end()
    return { status: headers[":status"] ?? 0, headers, body }
  })

/** How a stream ended: the code of its reset, or 0. */
export const closed = (stream: Http2.ClientHttp2Stream): Effect.Effect<number> =>
  Effect.promise(async () => {
    stream.resume()
    // not `once` of node:events, which an error ends
    if (!stream.closed || !stream.destroyed) await new Promise<void>((resolve) => void stream.once("close", resolve))
    return stream.rstCode ?? 0
  })

/** Opens a WebSocket; the answer is to be 200. */
export const opened = Effect.fnUntraced(function* (session: Http2.ClientHttp2Session, headers: Headers = {}) {
  const stream = request(session, opening(headers))
  const wire = new Wire(stream)
  const [response] = yield* Effect.promise(
    () => once(stream, "response") as Promise<[Http2.IncomingHttpHeaders & Http2.IncomingHttpStatusHeader]>
  )
  if (response[":status"] !== 200) return yield* Effect.die(new Error(`${response[":status"]} came`))
  return Object.assign(wire, { stream, headers: response })
})
