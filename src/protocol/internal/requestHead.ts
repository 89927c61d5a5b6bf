/**
 * The head of an opening handshake in the shape that clients give it: HTTP/1.1 `GET` with `Upgrade: websocket`, in printable ASCII, each
 * header once, no body. This is less than RFC 9112 allows. A head of any other shape, or a broken one, is not refused here but
 * left to the full parser; a head of this shape gives the same result as the full parser.
 */
import type { RequestFields } from "../OpeningHandshake.ts"

export interface Options {
  readonly maxHeaders: number
  readonly keepRawHeaders: boolean
}

/** RFC 9112 sections 3 and 5, with the characters of RFC 3986 that a path and a query may have. */
const wholeHead = /^GET \/[\w\-.~!$&'()*+,;=:@/?%]* HTTP\/1\.1\r\n(?:[!#$%&'*+.^_`|~\w-]+:[\t -~]*\r\n)+\r\n$/

const targetAt = "GET ".length
const versionLength = " HTTP/1.1".length

/** With these the request has a body or wants something first, or Node reads them as another header. */
const unusual = new Set(["content-length", "transfer-encoding", "expect", "trailer", "proxy-connection"])

/** RFC 9110 section 7.6.1. */
const namesUpgrade = /(^|,) *upgrade *(,|$)/i

/** What most requests have in these, once for all of them. */
const usual = new Map([
  ["connection", "Upgrade"],
  ["upgrade", "websocket"],
  ["sec-websocket-version", "13"]
])

/** What is shorter is copied when it is sliced; of what is longer, engines make a view of the whole. */
const longestCopied = 12

/** The text between two bytes, with one character for each, and a string of its own. */
export type Read = (start: number, end: number) => string

/**
 * Reads a whole head of so many bytes; `undefined` if it is of another shape. A request lives as long as its connection, and does
 * not keep the text of the whole head.
 */
export const parse = (
  read: Read,
  length: number,
  { keepRawHeaders, maxHeaders }: Options
): typeof RequestFields.Type | undefined => {
  const text = read(0, length)
  if (!wholeHead.test(text)) return undefined
  const firstEnd = text.indexOf("\r\n")
  const headers: Record<string, string> = {}
  const rawHeaders: Array<string> | undefined = keepRawHeaders ? [] : undefined
  let count = 0
  for (let at = firstEnd + 2; at < text.length - 2;) {
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
  const { connection, host, upgrade } = headers
  if (host === undefined || upgrade?.toLowerCase() !== "websocket") return undefined
  if (connection === undefined || (connection !== "Upgrade" && !namesUpgrade.test(connection))) return undefined
  return {
    method: "GET",
    target: kept(text, read, targetAt, firstEnd - versionLength),
    httpVersion: "1.1",
    headers,
    ...(rawHeaders === undefined ? {} : { rawHeaders })
  }
}

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
const kept = (text: string, read: Read, start: number, end: number): string =>
  end - start > longestCopied ? read(start, end) : text.slice(start, end)
