/** How a token is shown, and which may be part of something else. */

/** A token in a log line: enough of a long one to find it again, and of a short one its length alone. */
export const shown = (token: string): string => {
  const length = `${token.length} characters`
  return token.length < 16 ? `of ${length}` : `${JSON.stringify(`${token.slice(0, 4)}…`)} of ${length}`
}

/**
 * Whether a token may be the name of a file, or a segment of a URL: it leads nowhere else, neither up nor down, and is hidden
 * from nobody. 255 bytes are the most that file systems take for a name.
 */
export const isName = (token: string): boolean =>
  token !== "" &&
  token.length <= 255 &&
  token.isWellFormed() &&
  !token.startsWith(".") &&
  ![...token].some((char) => char === "/" || char === "\\" || char < " " || char === "\x7f")
