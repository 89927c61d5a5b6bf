/**
 * The two forms of a request that opens a WebSocket: `GET` with `Upgrade` over HTTP/1.1 (RFC 6455 section 4.2.1), and an extended
 * `CONNECT` over HTTP/2 (RFC 8441 section 5). What is negotiated by its other headers is the same for both.
 */
import * as Host from "./host.ts"
import { hasToken } from "./listHeader.ts"
import { shown } from "./shown.ts"

interface Asked {
  readonly method: string
  readonly httpVersion: string
  /** The `:protocol` of an extended `CONNECT`. */
  readonly protocol?: string | undefined
  readonly headers: Readonly<Record<string, string>>
}

/** What is to be answered instead: a status, the reason, and headers. */
export type Fault = readonly [status: number, reason: string, headers?: Record<string, string>]

// 16 bytes are 22 digits and two of padding. The four low bits of the last digit stand for nothing and should be zero, but are not
// in the example of section 4.1, nor from clients that draw the digits themselves (IXWebSocket)
export const keyPattern = /^[A-Za-z0-9+/]{22}==$/

const upgrade = { upgrade: "websocket", connection: "Upgrade" }

/** Why this is no request to open a WebSocket. */
export const faultOf = (asked: Asked): Fault | undefined =>
  asked.protocol === undefined ? faultOfUpgrade(asked) : faultOfConnect(asked.protocol, asked)

const faultOfUpgrade = ({ headers, httpVersion, method }: Asked): Fault | undefined => {
  // section 4.2.1, in its order
  if (method !== "GET") return [405, `A WebSocket opens with GET; ${shown(method)}.`, { allow: "GET" }]
  if (!/^(1\.[1-9]|[2-9])/.test(httpVersion)) {
    return [400, `A WebSocket opens over HTTP/1.1 or later; HTTP/${httpVersion} came.`]
  }
  const misaddressed = Host.faultOf(headers["host"])
  if (misaddressed !== undefined) return [400, misaddressed]
  if (!hasToken(headers["upgrade"], "websocket")) {
    const came = shown(headers["upgrade"])
    return [426, `This address speaks WebSocket: the Upgrade header must be "websocket"; ${came}.`, upgrade]
  }
  if (!hasToken(headers["connection"], "upgrade")) {
    return [400, `The Connection header must name "Upgrade"; ${shown(headers["connection"])}.`]
  }
  // section 4.4
  if (headers["sec-websocket-version"] !== "13") {
    return [426, wrongVersion(headers), { "sec-websocket-version": "13", ...upgrade }]
  }
  const key = headers["sec-websocket-key"]
  if (key !== undefined && keyPattern.test(key)) return undefined
  return [400, `Sec-WebSocket-Key must be 16 bytes in base64; ${shown(key)}.`]
}

/** There is neither a key nor an upgrade, and no status asks for one: RFC 8441 section 5. */
const faultOfConnect = (protocol: string, { headers, method }: Asked): Fault | undefined => {
  // section 4: it is `CONNECT` that has a `:protocol`
  if (method !== "CONNECT") return [400, `A request with :protocol is a CONNECT; ${shown(method)}.`]
  // RFC 9220 section 3, of HTTP/3; RFC 8441 names no status
  if (protocol !== "websocket")
    return [501, `This address speaks WebSocket: :protocol must be "websocket"; ${shown(protocol)}.`]
  const misaddressed = Host.faultOf(headers["host"])
  if (misaddressed !== undefined) return [400, misaddressed]
  if (headers["sec-websocket-version"] === "13") return undefined
  return [400, wrongVersion(headers), { "sec-websocket-version": "13" }]
}

const wrongVersion = (headers: Asked["headers"]): string =>
  `Sec-WebSocket-Version must be 13; ${shown(headers["sec-websocket-version"])}.`
