/**
 * HTTP/2 on connections of the listener (RFC 9113), for WebSockets that share one (RFC 8441). A client says that it speaks it with the
 * first bytes, whether that was agreed on in TLS or is known to it. Requests to open a WebSocket go to `onUpgrade`, and others to the
 * HTTP application or are told what is spoken here.
 *
 * Frames, header compression and flow control are Node's, which also ends connections whose frames are wrong, come in floods, or reset
 * streams faster than they are worth. What is bounded here: the streams of a connection, what each of them may send ahead, and
 * how long a connection may be without any.
 */
import type * as Effect from "effect/Effect"
import { constVoid } from "effect/Function"
import * as Metric from "effect/Metric"
import * as Http2 from "node:http2"
import type * as Net from "node:net"
import type { TLSSocket } from "node:tls"
import { type Member, Roster } from "../../connection/internal/roster.ts"
import * as Telemetry from "../../connection/Telemetry.ts"
import * as Host from "../../protocol/internal/host.ts"
import { duration, integer } from "../../protocol/internal/option.ts"
import type * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type * as NodeHttp2 from "../NodeHttp2.ts"
import { carry, resetStream } from "./http2Stream.ts"
import { endSoon, fieldsOf, Http2Upgrade, requestOf } from "./http2Upgrade.ts"
import { layOver, peerOf } from "./peer.ts"
import { bodied, largeHead, unexpected } from "./refusals.ts"
import { Timer } from "./timers.ts"
import { answerOf, hasBody, isDoubled, lingerMillis, refusal } from "./upgrade.ts"

/** What the listener brings. */
export interface House {
  readonly maxHeaderSize: number
  readonly maxHeaders: number
  readonly keepRawHeaders: boolean
  /** How long a head may take, in milliseconds. */
  readonly timeout: number
  readonly background: (self: Effect.Effect<void>) => void
  /** Told of the first request of a connection. */
  readonly onFirst: (socket: Net.Socket) => void
  /** Takes requests to open a WebSocket. */
  readonly onUpgrade: (upgrade: Http2Upgrade) => void
  /** Turns one away. */
  readonly onRefused: (upgrade: Http2Upgrade, why: OpeningHandshake.Refusal) => void
  /** Takes other requests; `refuse` turns one away, by default since there are no pages. */
  readonly onRequest: (
    request: Http2.Http2ServerRequest,
    response: Http2.Http2ServerResponse,
    refuse: (why?: OpeningHandshake.Refusal) => void
  ) => void
}

/** The same with what was asked for. */
interface Options extends House {
  readonly maxStreams: number
  /** How long a connection may be without a request, in milliseconds. */
  readonly idleTimeout: number
}

/** What a stream may send before it is read, in bytes; the connection has the same for all. HTTP/2 begins with 64 KiB, which is little far away. */
const windowSize = 256 * 1024

/** In MB. With Node's 10, one large message that its client takes slowly would keep all others out. */
const sessionMemory = 4096

/** How long the body of a request may take, as over HTTP/1.1. */
const bodyMillis = 300_000

/** What a client begins with (RFC 9113 section 3.4). */
const preface = Buffer.from("PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")

const noTunnel = refusal(501, 'CONNECT opens WebSockets here: :protocol must be "websocket" (RFC 8441); none came.')

/** Said to requests for pages, where there are none. */
const noPages = refusal(
  405,
  'This address speaks WebSocket, which opens over HTTP/2 with CONNECT and the :protocol "websocket" (RFC 8441).',
  { allow: "CONNECT" }
)

/**
 * Whether a request has a target as it would have over HTTP/1.1, which policies go by (RFC 9113 section 8.3.1). Of other schemes Node
 * takes anything; a tunnel has none (section 8.5).
 */
const isAddressed = ({
  ":method": method,
  ":path": path,
  ":protocol": protocol,
  ":scheme": scheme = ""
}: Http2.IncomingHttpHeaders): boolean => {
  if (method === "CONNECT" && protocol === undefined) return true
  const isPath = path?.startsWith("/") === true || (path === "*" && method === "OPTIONS")
  return isPath && /^https?$/i.test(scheme)
}

/** A connection. */
interface Session extends Member {
  readonly http2: Http2.ServerHttp2Session
  readonly socket: Net.Socket
  streams: number
  /** Since when it has none, or is to be gone. */
  since: number
  isEnding: boolean
}

export class Http2Sessions {
  private readonly options: Options
  private readonly server: Http2.Http2Server
  private readonly sessions = new Roster<Session>()
  private readonly bySocket = new WeakMap<object, Session>()
  /** Whose session is made just now. */
  private arriving: Net.Socket | undefined = undefined

  constructor(options: Options) {
    this.options = options
    this.server = Http2.createServer({
      settings: {
        enableConnectProtocol: true,
        maxConcurrentStreams: options.maxStreams,
        initialWindowSize: windowSize,
        maxHeaderListSize: options.maxHeaderSize
      },
      // what waits to be sent is bounded for each stream as it is over HTTP/1.1; beyond this many MB, a connection takes no streams
      maxSessionMemory: sessionMemory,
      // those a few beyond the limit are told so, and others are reset
      maxHeaderListPairs: Math.min(options.maxHeaders + 16, 0x7fffffff)
    })
    this.server.on("session", (http2) => {
      if (this.arriving !== undefined) this.add(http2, this.arriving)
    })
    // the connection ends by itself
    this.server.on("sessionError", constVoid)
  }

  /** Whether a connection speaks HTTP/2, by its first bytes; `undefined` if that is not known yet. */
  isSpokenOn(socket: Net.Socket | TLSSocket, first: Uint8Array): boolean | undefined {
    const length = Math.min(first.length, preface.length)
    if (!preface.subarray(0, length).equals(first.subarray(0, length))) return false
    // RFC 9113 section 3.2: with TLS it has to be agreed on; section 3.3: without TLS a client may know
    if ("encrypted" in socket && socket.alpnProtocol !== "h2") return false
    return length === preface.length ? true : undefined
  }

  /** Takes a connection, from its first byte on; what was read of it is to be put back in this turn. */
  serve(socket: Net.Socket): void {
    // a client that has ended its side cannot take anything either: it could make no room for it (RFC 9113 section 6.9)
    socket.allowHalfOpen = false
    // it is connected, which of TLS nobody says but `tls.Server`
    if ("secureConnecting" in socket) socket.secureConnecting = false
    this.arriving = socket
    // as its documentation has it for sockets that somebody else accepts; the session is told meanwhile
    this.server.emit("connection", socket)
    this.arriving = undefined
    // what was put back is read in the next tick; if it flowed before, it would be lost
    socket.pause()
    process.nextTick(() => socket.resume())
  }

  private add(http2: Http2.ServerHttp2Session, socket: Net.Socket): void {
    const session: Session = { http2, socket, streams: 0, since: performance.now(), isEnding: false, place: -1 }
    this.sessions.add(session)
    this.bySocket.set(socket, session)
    socket.on("error", constVoid).once("close", () => void this.sessions.delete(session))
    http2.setLocalWindowSize(windowSize)
    http2.on("stream", (stream, headers, _flags, rawHeaders) => this.receive(session, stream, headers, rawHeaders))
  }

  private receive(
    session: Session,
    stream: Http2.ServerHttp2Stream,
    headers: Http2.IncomingHttpHeaders,
    rawHeaders: ReadonlyArray<string>
  ): void {
    const { keepRawHeaders, onFirst, onRefused, onUpgrade } = this.options
    const { socket } = session
    // the client has reset it already, which comes before this event if both came at once: its end may never be told
    if (stream.closed) return void stream.on("error", constVoid).destroy()
    session.streams++
    stream.on("error", constVoid).once("close", () => {
      session.streams--
      session.since = performance.now()
    })
    // of a connection that is gone already, which had none before, nobody knows an address
    layOver(stream, peerOf(socket)!)
    carry(stream, socket)
    onFirst(socket)
    const why = this.fault(headers, rawHeaders)
    headers.host ??= headers[":authority"]
    if (headers[":method"] !== "CONNECT") return this.request(stream, headers, rawHeaders, why)
    const upgrade = new Http2Upgrade(requestOf(headers, keepRawHeaders ? rawHeaders : undefined), stream)
    const fault = why ?? (headers[":protocol"] === undefined ? noTunnel : hasBody({ headers }) ? bodied : undefined)
    return fault === undefined ? onUpgrade(upgrade) : onRefused(upgrade, fault)
  }

  /** What is wrong with a request before anybody looks at what it asks for. */
  private fault(
    headers: Http2.IncomingHttpHeaders,
    rawHeaders: ReadonlyArray<string>
  ): OpeningHandshake.Refusal | undefined {
    const { background, maxHeaders, maxHeaderSize } = this.options
    // of a client that has not taken our settings yet Node takes far more
    if (rawHeaders.reduce((size, text) => size + text.length, 0) > maxHeaderSize) {
      background(Telemetry.limitHit("maxHeaderSize"))
      return largeHead
    }
    const lines = rawHeaders.filter((name, index) => index % 2 === 0 && !name.startsWith(":"))
    if (lines.length > maxHeaders) {
      background(Telemetry.limitHit("maxHeaders"))
      return refusal(431, `The request has more than ${maxHeaders} header lines.`)
    }
    if (!isAddressed(headers)) return refusal(400, "The request's :path must be a path, and its :scheme http or https.")
    if (isDoubled("host", rawHeaders)) return refusal(400, "The Host header came more than once.")
    const { host } = headers
    const authority = headers[":authority"]
    // RFC 9113 section 8.3.1
    if (host !== undefined && authority !== undefined && host !== authority) {
      return refusal(400, "The Host header and :authority name different hosts.")
    }
    const misaddressed = Host.faultOf(authority ?? host)
    return misaddressed === undefined ? undefined : refusal(400, misaddressed)
  }

  /** A request that opens no WebSocket. */
  private request(
    stream: Http2.ServerHttp2Stream,
    headers: Http2.IncomingHttpHeaders,
    rawHeaders: ReadonlyArray<string>,
    why: OpeningHandshake.Refusal | undefined
  ): void {
    const { background, onRequest, timeout } = this.options
    const request = new Http2.Http2ServerRequest(stream, headers, {}, rawHeaders)
    const response = new Http2.Http2ServerResponse(stream)
    stream.once("finish", () => endSoon(stream))
    // who answers may have set a time for it
    stream.on("timeout", () => resetStream(stream))
    if (!stream.endAfterHeaders) {
      const timer = new Timer(Math.max(timeout, bodyMillis), () => resetStream(stream))
      const stop = () => timer.stop()
      stream.once("end", stop).once("close", stop)
    }
    const refuse = (why = noPages): void => {
      background(Metric.update(Telemetry.refusals, String(why.status)))
      const { body, headers } = answerOf(why)
      request.resume()
      response.writeHead(why.status, fieldsOf(headers))
      if (request.method === "HEAD") response.end()
      else response.end(body)
    }
    if (why !== undefined) return refuse(why)
    // RFC 9110 section 10.1.1
    if (headers.expect !== undefined) {
      if (!/^100-continue$/i.test(headers.expect)) return refuse(unexpected)
      response.writeContinue()
    }
    onRequest(request, response, refuse)
  }

  /** Ends a connection if it is one of these, and says whether it is. */
  end(socket: Net.Socket): boolean {
    const session = this.bySocket.get(socket)
    if (session === undefined) return false
    this.leave(session)
    return true
  }

  private leave(session: Session): void {
    session.isEnding = true
    session.since = performance.now()
    // RFC 9113 section 6.8: it takes no more streams, and ends behind the last one
    if (!session.http2.closed) session.http2.close()
  }

  /** Finds those without a request for too long; to be called now and then. */
  sweep(): void {
    const now = performance.now()
    for (const session of this.sessions) {
      const { isEnding, since, socket, streams } = session
      if (streams > 0 || now - since < (isEnding ? lingerMillis : this.options.idleTimeout)) continue
      // a client may never end its side
      if (isEnding) socket.destroy()
      else this.leave(session)
    }
  }

  /** Has no more requests come; those that are here go on. */
  stop(): void {
    for (const session of this.sessions) this.leave(session)
  }

  /** Ends all at once. */
  cut(): void {
    for (const { http2, socket } of this.sessions) {
      http2.destroy()
      socket.destroy()
    }
  }
}

/** Throws for an option that cannot be one. */
export const make = (options: NodeHttp2.Options, house: House): Http2Sessions =>
  new Http2Sessions({
    ...house,
    maxStreams: integer("http2.maxStreams", options.maxStreams, 100, [1, 0x7fffffff]),
    idleTimeout: duration("http2.idleTimeout", options.idleTimeout, "60 seconds")
  })
