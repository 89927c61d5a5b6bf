/**
 * Patterns for the path of a request: segments that are given, `:name` for any one segment, and `*` at the end for the rest,
 * which may be nothing. A request's segments are compared after their percent encoding is taken away (RFC 3986 section
 * 2.1), one by one, so that an encoded slash does not make two of one. Dot segments mean nothing here: they are compared as they are.
 */

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

/** Gives a function that finds the params in a path, or `undefined` where the pattern does not fit. */
export const compile = <const Pattern extends `/${string}`>(
  pattern: Pattern
): ((path: string) => Params<Pattern> | undefined) => {
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
