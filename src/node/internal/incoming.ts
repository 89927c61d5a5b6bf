/**
 * A request that effect's HTTP server has been given by the listener: over HTTP/1.1 an `IncomingMessage`, over HTTP/2 what
 * `node:http2` has in its place, which effect gives the same type.
 */
import * as NodeHttp from "node:http"
import type { Http2ServerRequest } from "node:http2"
import type { Duplex } from "node:stream"
import type * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import { carrierOf } from "./http2Stream.ts"
import { requestOf } from "./http2Upgrade.ts"
import { toRequest } from "./upgrade.ts"

export interface Incoming {
  /** What the request came on: one for each request over HTTP/2. */
  readonly stream: Duplex
  readonly peerAddress: string | undefined
  readonly request: () => OpeningHandshake.Request
}

const isHttp2 = (message: object): message is Http2ServerRequest =>
  "stream" in message && "httpVersionMajor" in message && message.httpVersionMajor === 2

/** `undefined` if it is not from the listener. */
export const incomingOf = (message: object): Incoming | undefined => {
  if (message instanceof NodeHttp.IncomingMessage) {
    const { socket } = message
    return { stream: socket, peerAddress: socket.remoteAddress, request: () => toRequest(message) }
  }
  if (!isHttp2(message)) return undefined
  const { headers, stream } = message
  return { stream, peerAddress: carrierOf(stream)?.remoteAddress, request: () => requestOf(headers, undefined) }
}
