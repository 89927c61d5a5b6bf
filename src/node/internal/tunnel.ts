/**
 * Asking an HTTP proxy for a tunnel: CONNECT, RFC 9110 section 9.3.6. The answer is read by `node:http`.
 */
import * as Redacted from "effect/Redacted"
import * as Http from "node:http"
import { authority } from "../../protocol/internal/authority.ts"
import type * as Firewall from "../../proxy/Firewall.ts"
import { credentials } from "../../proxy/internal/basic.ts"
import type { Negotiation } from "./negotiation.ts"
import { printable } from "./printable.ts"

/** The most that the head of the answer may be. */
const maxHead = 16 * 1024

/** The most answers that may come before the last one. */
const maxInterim = 16

/** RFC 9110 section 15.2; what 101 switches to, nobody has asked for. */
const isInterim = (status: number): boolean => status >= 100 && status <= 199 && status !== 101

/** The most that is repeated of what a firewall gives as its reason. */
const maxReason = 200

const credentialsOf = ({ password, user }: Firewall.Tunnel): Record<string, string> => {
  if (user === undefined && password === undefined) return {}
  const pair = `${user ?? ""}:${password === undefined ? "" : Redacted.value(password)}`
  return { "proxy-authorization": credentials(pair) }
}

const refusal = (response: Http.IncomingMessage, { password, user }: Firewall.Tunnel): string => {
  const status = `${response.statusCode} ${printable(response.statusMessage ?? "", " ").slice(0, maxReason)}`.trim()
  if (response.statusCode !== 407) return `refused the connection: ${status}`
  return user === undefined && password === undefined
    ? `asks for a user and a password: ${status}`
    : `refused the user or the password: ${status}`
}

const noHttp = "does not answer in HTTP/1.1"

const unreadable = ({ code }: NodeJS.ErrnoException): string =>
  code === "HPE_HEADER_OVERFLOW"
    ? `answered with a head of more than ${maxHead} bytes`
    : code?.startsWith("HPE_")
      ? noHttp
      : "broke the connection when it was asked for a tunnel"

export const negotiate = (negotiation: Negotiation<Firewall.Tunnel>): void => {
  const { host, port } = negotiation.destination
  const path = authority(host, port)
  answered(negotiation, 0, {
    path,
    headers: { host: path, ...credentialsOf(negotiation.firewall) }
  }).end()
}

/** A request whose next answer is read; so many have come before it. */
const answered = (
  negotiation: Negotiation<Firewall.Tunnel>,
  interim: number,
  options: Http.RequestOptions
): Http.ClientRequest => {
  const { firewall, socket } = negotiation
  const request = Http.request({
    ...options,
    method: "CONNECT",
    // no agent, and no `Connection: close` of an agent's absence
    createConnection: () => socket,
    setDefaultHeaders: false,
    maxHeaderSize: maxHead
  })
  // it stays: whoever dials destroys the socket, which is an error here too
  request.on("error", (cause) => negotiation.refused({ said: unreadable(cause), cause }))
  request.once("connect", (response, _socket, head) => {
    if (response.httpVersionMajor !== 1) return negotiation.refused({ said: noHttp })
    const status = response.statusCode ?? 0
    if (isInterim(status)) {
      if (interim === maxInterim)
        return negotiation.refused({ said: `answered more than ${maxInterim} times with 1xx` })
      // to `node:http` any answer to CONNECT is the last: to a request that is never sent it reads another
      if (head.length > 0) socket.unshift(head)
      answered(negotiation, interim + 1, {})
      return
    }
    if (status < 200 || status > 299) return negotiation.refused({ said: refusal(response, firewall) })
    if (head.length > 0) socket.unshift(head)
    negotiation.granted()
  })
  return request
}
