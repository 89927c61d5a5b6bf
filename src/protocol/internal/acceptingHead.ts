/**
 * The head of an answer that accepts an opening handshake, in the shape that servers give it: HTTP/1.1 101 with `Upgrade: websocket`, in
 * printable ASCII, each header once, nothing about a body. An answer of any other shape is not refused here but left to the full
 * parser; one of this shape gives the same result as the full parser.
 */
import * as HeadFields from "./headFields.ts"

/** RFC 9112 sections 4 and 5. */
const wholeHead = /^HTTP\/1\.1 101 [\t -~]*\r\n(?:[!#$%&'*+.^_`|~\w-]+:[\t -~]*\r\n)+\r\n$/

/** With these something is to come that does not, or Node reads them as another header. */
const unusual = new Set(["content-length", "transfer-encoding", "trailer", "proxy-connection"])

const all: HeadFields.Options = { keepRawHeaders: false, maxHeaders: Infinity }

/** The headers of a whole head of so many bytes, names in lower case; `undefined` if it is of another shape. */
export const parse = (read: HeadFields.Read, length: number): Readonly<Record<string, string>> | undefined => {
  const text = read(0, length)
  if (!wholeHead.test(text)) return undefined
  const start = text.indexOf("\r\n") + 2
  const fields = HeadFields.parse(text, read, start, all, unusual)
  return fields !== undefined && HeadFields.isUpgrade(fields) ? fields.headers : undefined
}
