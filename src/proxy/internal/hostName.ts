/** Host names as requests and patterns have them: without port, in lower case, without the dot that ends a full name. */
import type { Request } from "../../protocol/OpeningHandshake.ts"

const normal = (name: string): string => name.toLowerCase().replace(/\.$/, "")

/** The name in the Host header (RFC 9110 section 7.2), or `undefined` if there is none; an IPv6 address is without brackets. */
export const hostName = (request: Request): string | undefined => {
  const match = /^(?:\[([0-9A-Fa-f:.]+)\]|([^:[\]\s]+))(?::\d{0,5})?$/.exec(request.headers["host"] ?? "")
  return match === null ? undefined : normal(match[1] ?? match[2]!)
}

/** Whether a name is the one of the pattern, or below it: `*.example.com` is any name below `example.com`, not that itself. */
export const nameFits = (pattern: string): ((name: string | undefined) => boolean) => {
  const wanted = normal(pattern)
  if (!wanted.startsWith("*.")) return (name) => name !== undefined && normal(name) === wanted
  const suffix = wanted.slice(1)
  return (name) => name !== undefined && name.length > suffix.length && normal(name).endsWith(suffix)
}
