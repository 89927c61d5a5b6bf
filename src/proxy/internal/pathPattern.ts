/**
 * Patterns for the path of a request: segments that are given, `:name` for any one segment, and `*` at the end for the rest,
 * which may be nothing. A request's segments are compared after their percent encoding is taken away (RFC 3986 section
 * 2.1), one by one, so that an encoded slash does not make two of one. Dot segments mean nothing here: they are compared as they are.
 */
import { wrong } from "../../protocol/internal/option.ts"

/** What a pattern finds, by the names in it; the rest is `*`. */
export type Params<Pattern extends string> = Pattern extends `${infer Head}/${infer Tail}`
  ? Params<Head> & Params<Tail>
  : Pattern extends `:${infer Name}`
    ? { readonly [K in Name]: string }
    : Pattern extends "*"
      ? { readonly "*": string }
      : unknown

/** Without its encoding; `undefined` if that is none. */
const decoded = (segment: string): string | undefined => {
  if (!segment.includes("%")) return segment
  try {
    return decodeURIComponent(segment)
  } catch {
    return undefined
  }
}

/** What is wrong with a pattern, if anything is: it would fit no request, or not those that it says. */
export const fault = (pattern: string): string | undefined => {
  const [root, ...segments] = pattern.split("/")
  const names = segments.filter((segment) => segment.length > 1 && segment.startsWith(":"))
  if (root !== "") return "a path, which begins with /"
  if (segments.slice(0, -1).includes("*")) return "a path with * at its end alone"
  return new Set(names).size < names.length ? "a path whose names differ" : undefined
}

/** Gives a function that finds the params in a path, or `undefined` where the pattern does not fit. */
export const compile = <const Pattern extends `/${string}`>(
  pattern: Pattern
): ((path: string) => Params<Pattern> | undefined) => {
  const expected = fault(pattern)
  if (expected !== undefined) throw wrong("Router.path", expected, pattern)
  const segments = pattern.split("/")
  const takesRest = segments.at(-1) === "*"
  if (takesRest) segments.pop()
  return (path) => {
    const given = path.split("/")
    if (takesRest ? given.length < segments.length : given.length !== segments.length) return undefined
    const params: Record<string, string> = Object.create(null)
    for (const [i, segment] of segments.entries()) {
      const text = decoded(given[i]!)
      if (text === undefined) return undefined
      if (segment.length > 1 && segment.startsWith(":")) {
        // a name stands for a segment that is there
        if (text === "") return undefined
        params[segment.slice(1)] = text
      } else if (text !== segment) return undefined
    }
    if (takesRest) {
      const rest = given.slice(segments.length).map(decoded)
      if (rest.includes(undefined)) return undefined
      params["*"] = rest.join("/")
    }
    // it has each name of the pattern
    return params as Params<Pattern>
  }
}
