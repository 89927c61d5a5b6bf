/**
 * Where a request says that it goes: its `Host` header (RFC 9112 section 3.2), and its target, if that is an absolute URI (section
 * 3.2.2).
 */
import { shown } from "./shown.ts"

/**
 * `uri-host [ ":" port ]` (RFC 9110 section 7.2, RFC 3986 section 3.2.2), but for two cases: what is in brackets has no more than the
 * characters of an address, which is looked at where it is used, and no name is empty, since that of an http URI is not (RFC 9110
 * section 4.2.1).
 */
const hostAndPort = /^(?:(?:[\w\-.~!$&'()*+,;=]|%[\dA-Fa-f]{2})+|\[[\dA-Fa-f:.]+\])(?::\d*)?$/

/** What is wrong with a `Host` header. */
export const faultOf = (host: string | undefined): string | undefined => {
  if (host === undefined || host === "") return "The Host header is missing."
  return hostAndPort.test(host)
    ? undefined
    : `The Host header must be a host, and a port if it has one; ${shown(host)}.`
}

const absolute = /^https?:\/\/([^/?#]*)([/?][^#]*)?$/i

/**
 * The parts of a target that is an absolute URI: the host with its port, and the path and the query as they are otherwise sent. A URI
 * with a user is none that is to be followed (RFC 9110 section 4.2.4), nor is one of another scheme: an opening handshake has `http` or
 * `https` too (RFC 6455 section 4.2.1, item 1).
 */
export const fromAbsolute = (target: string): { readonly host: string; readonly target: string } | undefined => {
  const [, host = "", rest = "/"] = absolute.exec(target) ?? []
  if (!hostAndPort.test(host)) return undefined
  return { host, target: rest.startsWith("?") ? `/${rest}` : rest }
}
