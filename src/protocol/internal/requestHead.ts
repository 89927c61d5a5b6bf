/**
 * The head of an opening handshake in the shape that clients give it: HTTP/1.1 `GET` with `Upgrade: websocket`, in printable ASCII, each
 * header once, no body. This is less than RFC 9112 allows. A head of any other shape, or a broken one, is not refused here but
 * left to the full parser; a head of this shape gives the same result as the full parser.
 */
import type { RequestFields } from "../OpeningHandshake.ts"
import * as HeadFields from "./headFields.ts"

/** RFC 9112 sections 3 and 5, with the characters of RFC 3986 that a path and a query may have. */
const wholeHead = /^GET \/[\w\-.~!$&'()*+,;=:@/?%]* HTTP\/1\.1\r\n(?:[!#$%&'*+.^_`|~\w-]+:[\t -~]*\r\n)+\r\n$/

const targetAt = "GET ".length
const versionLength = " HTTP/1.1".length

/** With these the request has a body or wants something first, or Node reads them as another header. */
const unusual = new Set(["content-length", "transfer-encoding", "expect", "trailer", "proxy-connection"])

/**
 * Reads a whole head of so many bytes; `undefined` if it is of another shape. A request lives as long as its connection, and does
 * not keep the text of the whole head.
 */
export const parse = (
  read: HeadFields.Read,
  length: number,
  options: HeadFields.Options
): typeof RequestFields.Type | undefined => {
  const text = read(0, length)
  if (!wholeHead.test(text)) return undefined
  const firstEnd = text.indexOf("\r\n")
  const fields = HeadFields.parse(text, read, firstEnd + 2, options, unusual)
  if (fields === undefined || fields.headers["host"] === undefined || !HeadFields.isUpgrade(fields)) return undefined
  const { headers, rawHeaders } = fields
  return {
    method: "GET",
    target: HeadFields.kept(text, read, targetAt, firstEnd - versionLength),
    httpVersion: "1.1",
    headers,
    ...(rawHeaders === undefined ? {} : { rawHeaders })
  }
}
