/**
 * Which pages may connect (RFC 6455 section 10.2). A browser sends the origin of the page; a client that sends none is not a
 * browser, and is not refused by this. Pure: headers and a policy in, a decision out.
 *
 * @since 0.1.0
 */

/**
 * - `"same-origin"`: the origin's host and port are those of the request; the scheme cannot be seen from here.
 * - a list: one of these origins, such as `https://app.example`; `https://*.app.example` takes any subdomain.
 * - `"any"`: no check. Any page that a user opens can then connect in the user's name.
 *
 * @category models
 * @since 0.1.0
 */
export type Policy = "same-origin" | "any" | ReadonlyArray<string>

/** Host and port as a URL of this scheme means them, or `undefined` if they are none. */
const authority = (scheme: string, host: string): string | undefined =>
  URL.canParse(`${scheme}//${host}`) ? new URL(`${scheme}//${host}`).host : undefined

/**
 * Whether the page that a request comes from, if it comes from one, may connect. The names of the headers are in lower case.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isAllowed = (headers: Readonly<Record<string, string>>, policy: Policy): boolean => {
  const origin = headers["origin"]
  if (origin === undefined || policy === "any") return true
  if (policy !== "same-origin") return policy.some((allowed) => originMatches(origin, allowed))
  if (!URL.canParse(origin)) return false
  const page = new URL(origin)
  return page.host !== "" && page.host === authority(page.protocol, headers["host"] ?? "")
}

/** One origin as a browser writes it (RFC 6454 section 6.2), or an entry of a list; a trailing slash is forgiven there. */
const originPattern = /^([a-z][a-z0-9+.-]*):\/\/(\*\.)?([a-z0-9._~-]+|\[[0-9a-f:.]+\])(?::(\d{1,5}))?$/

const defaultPorts: Record<string, string> = { http: "80", https: "443", ws: "80", wss: "443" }

const parseOrigin = (text: string) => {
  const match = originPattern.exec(text.toLowerCase())
  if (match === null) return undefined
  const [, scheme = "", star, host = "", port = defaultPorts[scheme]] = match
  return { scheme, star: star !== undefined, host, port }
}

/** What browsers write for what has no host. The schemes of pages and sockets have one. */
const hostless = /^(?!(?:https?|wss?):)[a-z][a-z0-9+.-]*:\/\/$/i

/**
 * Whether a list may name this: a scheme with a host, as in `https://app.example`, with `file://` and `null`, which browsers write
 * for what has no host. What is neither, such as a name alone or a page with its path, no browser ever says.
 *
 * @category predicates
 * @since 0.1.0
 */
export const isOrigin = (text: string): boolean =>
  text === "null" || hostless.test(text) || parseOrigin(text.replace(/\/$/, "")) !== undefined

const originMatches = (origin: string, allowed: string): boolean => {
  const came = parseOrigin(origin)
  const entry = parseOrigin(allowed.replace(/\/$/, ""))
  // an origin that is none, such as "null", can only be named to the letter
  if (came === undefined || entry === undefined) return origin === allowed
  if (came.star || came.scheme !== entry.scheme || came.port !== entry.port) return false
  return entry.star
    ? came.host.endsWith(`.${entry.host}`) && came.host.length > entry.host.length + 1
    : came.host === entry.host
}
