/**
 * One request to upgrade whose head was read: what it asks for, and its answer written by hand, since an upgrade has no
 * response object.
 */
import * as Effect from "effect/Effect"
import * as Socket from "effect/socket/Socket"
import * as NodeCrypto from "node:crypto"
import * as NodeHttp from "node:http"
import type { Duplex } from "node:stream"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type { Peer, Upgrade } from "../../server/UpgradeListener.ts"
import * as NodeSocket from "../NodeSocket.ts"
import { dismiss } from "./attended.ts"
import * as HeaderLines from "./headerLines.ts"
import { peerOf, remoteAddressOf } from "./peer.ts"
import { Timer } from "./timers.ts"

export const refusal = (status: number, reason: string, headers: OpeningHandshake.ResponseHeaders = {}) =>
  new OpeningHandshake.Refusal({ status, reason, headers })
export const unavailable = refusal(503, "The server takes no connections now.")
/** Said to HTTP where TLS is spoken. */
export const notPlain = refusal(400, "This port speaks TLS: connect with wss or https.")

/** A refusal may linger this long for the client to read it and end the connection. */
export const lingerMillis = 2000

/** How an answer is delimited is ours to say. */
const framing = /^(?:content-length|transfer-encoding)$/i

/** A refusal as HTTP has it. A reason that has a type of its own is sent as it is, and others as a line of text. */
export const answerOf = ({ headers, reason, status }: OpeningHandshake.Refusal) => {
  // RFC 9110 sections 15.3.5, 15.3.6 and 15.4.5: these have no body, and the second one has to say so
  const hasBody = status !== 204 && status !== 205 && status !== 304
  const given = new Set(Object.keys(headers).map((name) => name.toLowerCase()))
  const body = Buffer.from(!hasBody ? "" : given.has("content-type") ? reason : `${reason}\n`)
  const own = Object.fromEntries(Object.entries(headers).filter(([name]) => !framing.test(name)))
  return {
    body,
    headers: {
      ...own,
      ...(given.has("content-type") || !hasBody ? {} : { "content-type": "text/plain; charset=utf-8" }),
      ...(hasBody || status === 205 ? { "content-length": String(body.length) } : {})
    }
  }
}

/** The whole of an answer over HTTP/1.1. */
export const response = (refusal: OpeningHandshake.Refusal): Uint8Array => {
  const { body, headers } = answerOf(refusal)
  const { status } = refusal
  const saysHow = Object.keys(headers).some((name) => name.toLowerCase() === "connection")
  const lines = HeaderLines.make({ ...(saysHow ? {} : { connection: "close" }), ...headers })
  const head = `HTTP/1.1 ${status} ${NodeHttp.STATUS_CODES[status] ?? "Refused"}\r\n${lines}\r\n`
  return Buffer.concat([Buffer.from(head, HeaderLines.encoding), body])
}

/** Sends a refusal, and destroys the connection when the client has ended it, or after a while. */
export const refuse = (socket: Duplex, why: OpeningHandshake.Refusal): Effect.Effect<void> =>
  Effect.suspend(() => endWith(socket, response(why)))

/** Sends a last word in the same way. */
export const endWith = (socket: Duplex, word: string | Uint8Array): Effect.Effect<void> =>
  Effect.callback<void>((resume) => {
    if (socket.destroyed) return resume(Effect.void)
    const done = () => {
      timer.stop()
      socket.destroy()
      resume(Effect.void)
    }
    const timer = new Timer(lingerMillis, done)
    dismiss(socket)
    socket.on("error", done).on("end", done).on("close", done)
    socket.end(word)
    socket.resume()
    return Effect.sync(done)
  })

/** The client as proxies name it, who may have no address. */
export interface Named {
  readonly address: string | undefined
}

/** One request to upgrade, until it is answered. */
export class NodeUpgrade implements Upgrade {
  readonly request: OpeningHandshake.Request
  readonly socket: Duplex
  private head: Uint8Array | undefined
  /** Whom proxies name as the client, if they are asked. */
  forwardedFor: Named | undefined = undefined

  /** Ends the handler, if the client goes away before it is answered; then `null`. */
  private interrupt: (() => void) | null | undefined

  constructor(request: OpeningHandshake.Request, socket: Duplex, head: Uint8Array) {
    this.request = request
    this.socket = socket
    this.head = head.length === 0 ? undefined : head
  }

  whenGone(interrupt: () => void): void {
    // a handler may have answered in its first turn
    if (this.interrupt === null) return
    if (this.socket.destroyed) return interrupt()
    this.interrupt = interrupt
    this.socket.once("close", interrupt)
  }

  private answered(): void {
    if (this.interrupt) this.socket.off("close", this.interrupt)
    this.interrupt = null
  }

  get remoteAddress(): string | undefined {
    return this.forwardedFor === undefined ? remoteAddressOf(this.socket) : this.forwardedFor.address
  }

  get peer(): Peer | undefined {
    return peerOf(this.socket)
  }

  get isGone(): boolean {
    return this.socket.destroyed
  }

  refuse(why: OpeningHandshake.Refusal): Effect.Effect<void> {
    return Effect.suspend(() => {
      // it may be no answer that can be sent, and then there is none yet
      const refusing = this.refusing(why)
      this.answered()
      return refusing
    })
  }

  accept(acceptance: OpeningHandshake.Acceptance): Effect.Effect<Socket.Socket, Socket.SocketError> {
    return Effect.suspend(() => {
      const { head, socket } = this
      if (this.isGone) return Effect.fail(socketClosed)
      this.sendAcceptance(acceptance)
      this.answered()
      this.head = undefined
      return Effect.succeed(NodeSocket.fromDuplex(socket, head))
    })
  }

  /** Makes the refusal, and then sends it. */
  protected refusing(why: OpeningHandshake.Refusal): Effect.Effect<void> {
    return endWith(this.socket, response(why))
  }

  protected sendAcceptance(acceptance: OpeningHandshake.Acceptance): void {
    // there is a key: the request would have been refused otherwise
    const { "sec-websocket-key": key = "" } = this.request.headers
    const accept = NodeCrypto.hash("sha1", OpeningHandshake.acceptInput(key), "base64")
    this.socket.write(
      `HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: ${accept}\r\n${HeaderLines.make(acceptance.headers)}\r\n`,
      HeaderLines.encoding
    )
  }
}

const socketClosed = new Socket.SocketError({ reason: new Socket.SocketCloseError({ code: 1006 }) })

/** Whether a header came more than once; Node keeps only the first of some. */
export const isDoubled = (name: string, rawHeaders: ReadonlyArray<string>): boolean => {
  let seen = 0
  for (let i = 0; i < rawHeaders.length; i += 2) {
    if (rawHeaders[i]!.length === name.length && rawHeaders[i]!.toLowerCase() === name) seen++
  }
  return seen > 1
}

export const toRequest = (request: NodeHttp.IncomingMessage, keepRawHeaders = false): OpeningHandshake.Request => {
  const headers: Record<string, string> = {}
  for (const name in request.headers) {
    const value = request.headers[name]
    if (value !== undefined) headers[name] = typeof value === "string" ? value : value.join(", ")
  }
  return new OpeningHandshake.Request({
    method: request.method ?? "",
    target: request.url ?? "",
    httpVersion: request.httpVersion,
    headers,
    ...(keepRawHeaders ? { rawHeaders: request.rawHeaders } : {})
  })
}

export const isWebSocketUpgrade = ({ headers: { upgrade = "" } }: NodeHttp.IncomingMessage): boolean =>
  upgrade === "websocket" || /(^|,)\s*websocket\s*(,|$)/i.test(upgrade)

export const hasBody = ({ headers }: { readonly headers: NodeHttp.IncomingHttpHeaders }): boolean =>
  headers["transfer-encoding"] !== undefined || (headers["content-length"] ?? "0") !== "0"
