/**
 * The header fields of a head in the shape that most have: printable ASCII, each header once. What is less usual is not refused, but left
 * to a full parser.
 */

/** What most heads have in these, once for all of them. */
const usual = new Map([
  ["connection", "Upgrade"],
  ["upgrade", "websocket"],
  ["sec-websocket-version", "13"]
])

/** RFC 9110 section 7.6.1. */
const namesUpgrade = /(^|,) *upgrade *(,|$)/i

/** What is shorter is copied when it is sliced; of what is longer, engines make a view of the whole. */
const longestCopied = 12

/** The text between two bytes, with one character for each, and a string of its own. */
export type Read = (start: number, end: number) => string

export interface Options {
  readonly maxHeaders: number
  readonly keepRawHeaders: boolean
}

export interface Fields {
  readonly headers: Readonly<Record<string, string>>
  readonly rawHeaders: ReadonlyArray<string> | undefined
}

/**
 * Reads the fields from a place in a head that is known to be one; `undefined` if one of them is not of this shape, or its name,
 * in lower case, is among those that are `unusual` here.
 */
export const parse = (
  text: string,
  read: Read,
  start: number,
  { keepRawHeaders, maxHeaders }: Options,
  unusual: ReadonlySet<string>
): Fields | undefined => {
  const headers: Record<string, string> = {}
  const rawHeaders: Array<string> | undefined = keepRawHeaders ? [] : undefined
  let count = 0
  for (let at = start; at < text.length - 2;) {
    const colon = text.indexOf(":", at)
    const lineEnd = text.indexOf("\r\n", colon)
    const rawName = text.slice(at, colon)
    const name = rawName.toLowerCase()
    // twice, or a name that every object has
    if (++count > maxHeaders || headers[name] !== undefined || unusual.has(name)) return undefined
    const value = valueOf(text, read, colon + 1, lineEnd)
    // parsers have differed on whether a token may have a tab beside it
    if (name === "connection" && text.slice(colon, lineEnd).includes("\t")) return undefined
    const common = usual.get(name)
    headers[name] = value === common ? common : value
    rawHeaders?.push(rawName, value)
    at = lineEnd + 2
  }
  return { headers, rawHeaders }
}

/** Whether they speak of an upgrade to WebSocket (RFC 6455 sections 4.1 and 4.2.1). */
export const isUpgrade = ({ headers: { connection, upgrade } }: Fields): boolean =>
  upgrade?.toLowerCase() === "websocket" &&
  connection !== undefined &&
  (connection === "Upgrade" || namesUpgrade.test(connection))

const isSpace = (code: number): boolean => code === 0x20 || code === 0x09

/** A header's value without the white space around it (RFC 9112 section 5.1). */
const valueOf = (text: string, read: Read, start: number, end: number): string => {
  let from = start
  let to = end
  while (from < to && isSpace(text.charCodeAt(from))) from++
  while (to > from && isSpace(text.charCodeAt(to - 1))) to--
  return kept(text, read, from, to)
}

/** A part of the text that lives on. */
export const kept = (text: string, read: Read, start: number, end: number): string =>
  end - start > longestCopied ? read(start, end) : text.slice(start, end)
