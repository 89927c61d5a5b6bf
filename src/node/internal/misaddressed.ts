/**
 * Whether a request that `node:http` has read says properly where it goes, and that in one way: whoever looks at it after this finds the
 * path in its target and the host in its `Host` header.
 */
import type * as NodeHttp from "node:http"
import * as Host from "../../protocol/internal/host.ts"

/** Why a request is not to be answered but with 400. */
export const misaddressed = (request: NodeHttp.IncomingMessage): string | undefined => {
  const { headers, httpVersionMajor, httpVersionMinor, method, url = "" } = request
  // RFC 9112 section 3.2; before HTTP/1.1 there was no such header
  const isOld = httpVersionMajor < 1 || (httpVersionMajor === 1 && httpVersionMinor === 0)
  const fault = isOld && headers.host === undefined ? undefined : Host.faultOf(headers.host)
  if (fault !== undefined) return fault
  // sections 3.2.1, 3.2.3 and 3.2.4
  if (url.startsWith("/") || method === "CONNECT" || (url === "*" && method === "OPTIONS")) return undefined
  const parts = Host.fromAbsolute(url)
  if (parts === undefined)
    return "The request's target must be a path, or an http or https URI with a host and no user."
  // section 3.2.2: whatever the header says is ignored
  request.url = parts.target
  headers.host = parts.host
  return undefined
}
