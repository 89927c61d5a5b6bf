/**
 * Tags, lengths and contents of DER (X.690 section 10) without a tree of them: a revocation list has an entry for each of a
 * hundred thousand certificates, of which one is looked for. And the other way round, for what is to be asked.
 *
 * What ends before its length says, or is not DER, throws `Malformed`.
 */
import { malformed } from "./malformed.ts"

/** Where a value is. */
export interface Tlv {
  readonly tag: number
  readonly start: number
  /** Where its content starts. */
  readonly content: number
  readonly end: number
}

export const tags = {
  integer: 0x02,
  octetString: 0x04,
  null: 0x05,
  oid: 0x06,
  utcTime: 0x17,
  generalizedTime: 0x18,
  sequence: 0x30
} as const

/** The value that starts at `start`, and ends at `limit` or before. */
export const at = (bytes: Uint8Array, start: number, limit: number): Tlv => {
  const tag = bytes[start]
  const first = bytes[start + 1]
  if (tag === undefined || first === undefined || start + 2 > limit) throw malformed("it ends in the midst of a value")
  if ((tag & 0x1f) === 0x1f) throw malformed("it has a tag of several bytes")
  let content = start + 2
  let length = first
  if (first >= 0x80) {
    const size = first & 0x7f
    if (size === 0 || size > 4 || content + size > limit) throw malformed("it has a length that is not DER's")
    length = Buffer.from(bytes.buffer, bytes.byteOffset + content, size).readUIntBE(0, size)
    content += size
  }
  const end = content + length
  if (end > limit) throw malformed("a value goes beyond what it is in")
  return { tag, start, content, end }
}

/** The values in a constructed value. */
export function* children(bytes: Uint8Array, { content, end }: Pick<Tlv, "content" | "end">): Generator<Tlv> {
  for (let start = content; start < end;) {
    const child = at(bytes, start, end)
    yield child
    start = child.end
  }
}

export const contentOf = (bytes: Uint8Array, { content, end }: Tlv): Uint8Array => bytes.subarray(content, end)

/** With tag and length. */
export const derOf = (bytes: Uint8Array, { end, start }: Tlv): Uint8Array => bytes.subarray(start, end)

/** The time of a UTCTime or GeneralizedTime. */
export const time = (bytes: Uint8Array, tlv: Tlv | undefined, what: string): number => {
  const text = tlv === undefined ? "" : Buffer.from(contentOf(bytes, tlv)).toString("latin1")
  const match = /^(\d{2}|\d{4})(\d{2})(\d{2})(\d{2})(\d{2})(\d{2})(?:\.\d+)?Z$/.exec(text)
  if (match === null || !isTime(tlv)) throw malformed(`${what} is missing, or not a time`)
  const [, year = "", month, day, hour, minute, second] = match
  // RFC 5280 section 4.1.2.5.1: two digits are from 1950 to 2049
  const century = year.length === 4 ? "" : Number(year) >= 50 ? "19" : "20"
  const millis = Date.parse(`${century}${year}-${month}-${day}T${hour}:${minute}:${second}Z`)
  if (Number.isNaN(millis)) throw malformed(`${what} is no time that there is`)
  return millis
}

export const isTime = (tlv: Tlv | undefined): tlv is Tlv =>
  tlv !== undefined && (tlv.tag === tags.utcTime || tlv.tag === tags.generalizedTime)

/** Writes a value of parts. */
export const encode = (tag: number, ...parts: ReadonlyArray<Uint8Array>): Uint8Array => {
  const length = parts.reduce((sum, part) => sum + part.length, 0)
  if (length < 0x80) return Buffer.concat([Buffer.of(tag, length), ...parts])
  const size = length < 0x100 ? 1 : length < 0x10000 ? 2 : 3
  const header = Buffer.alloc(2 + size)
  header[0] = tag
  header[1] = 0x80 | size
  header.writeUIntBE(length, 2, size)
  return Buffer.concat([header, ...parts])
}
