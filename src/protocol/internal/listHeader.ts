/**
 * Headers whose values are comma-separated lists (RFC 9110 section 5.6.1).
 */

const isSpace = (character: string | undefined): boolean => character === " " || character === "\t"

/** Without the optional white space of RFC 9110 section 5.6.3, which is less than what `String.trim` takes away. */
const trim = (text: string): string => {
  let start = 0
  let end = text.length
  while (start < end && isSpace(text[start])) start++
  while (end > start && isSpace(text[end - 1])) end--
  return text.slice(start, end)
}

/** The elements, trimmed, without empty ones. */
export const list = (header: string | undefined): ReadonlyArray<string> =>
  header === undefined ? [] : header.split(",").flatMap((element) => trim(element) || [])

/** Whether a token, in lower case, is in the list. */
export const hasToken = (header: string | undefined, token: string): boolean =>
  header?.toLowerCase() === token || list(header).some((element) => element.toLowerCase() === token)
