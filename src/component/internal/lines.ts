/**
 * Lines of what comes (line mode). A line ends with LF or CR LF, which are not part of it; what is longer than the limit is
 * given as it is. Lines run on from one message to the next. No more than a line's limit is held.
 */

/** A line. */
export interface Line {
  readonly bytes: Uint8Array
  /** Whether it ended with an end of line, as against the limit. */
  readonly eol: boolean
  /** Whether the message ends with it. */
  readonly eom: boolean
}

/** How many of the last bytes begin a code point that is not whole (RFC 3629 section 3). */
const partial = (bytes: Uint8Array, length: number): number => {
  for (let back = 1; back <= Math.min(3, length); back++) {
    const byte = bytes[length - back]!
    if ((byte & 0xc0) === 0x80) continue
    const size = byte >= 0xf0 ? 4 : byte >= 0xe0 ? 3 : byte >= 0xc0 ? 2 : 1
    return size > back ? back : 0
  }
  return 0
}

const lf = 0x0a
const cr = 0x0d
const crAlone = new Uint8Array([cr])

export class Lines {
  private held = new Uint8Array(0)
  private length = 0
  /** A CR came last, which is held apart: it is data only if no LF comes behind it. */
  private endsWithCr = false

  /** Takes a piece, of text if `isText`; `eom` says whether the message ends with it. */
  push(piece: Uint8Array, limit: number, isText: boolean, eom: boolean): ReadonlyArray<Line> {
    const lines: Array<Line> = []
    let at = 0
    // the limit was larger before
    if (this.length >= limit) lines.push(this.full(isText, false))
    while (at < piece.length) {
      const end = piece.indexOf(lf, at)
      const until = end === -1 ? piece.length : end
      if (until > at) {
        if (this.endsWithCr) this.add(crAlone, limit, isText, false, lines)
        this.endsWithCr = piece[until - 1] === cr
        const data = piece.subarray(at, this.endsWithCr ? until - 1 : until)
        this.add(data, limit, isText, eom && at + data.length === piece.length, lines)
      }
      if (end === -1) break
      at = end + 1
      this.endsWithCr = false
      lines.push({ bytes: this.take(), eol: true, eom: eom && at === piece.length })
    }
    return lines
  }

  /** Adds what has no end of line; `eom` says whether the message ends with it. */
  private add(data: Uint8Array, limit: number, isText: boolean, eom: boolean, lines: Array<Line>): void {
    for (let at = 0; at < data.length;) {
      const take = Math.min(data.length - at, limit - this.length)
      this.hold(data.subarray(at, at + take), limit)
      at += take
      if (this.length >= limit) lines.push(this.full(isText, eom && at === data.length))
    }
  }

  /** The limit is reached. The beginning of a code point that is not whole stays. */
  private full(isText: boolean, eom: boolean): Line {
    const keep = isText && !eom ? partial(this.held, this.length) : 0
    if (keep === this.length) return { bytes: this.take(), eol: false, eom }
    const rest = this.held.slice(this.length - keep, this.length)
    this.length -= keep
    const bytes = this.take()
    this.hold(rest, rest.length)
    return { bytes, eol: false, eom }
  }

  /** What is held of a line that has not ended. */
  flush(): Line | undefined {
    if (this.endsWithCr) this.hold(crAlone, this.length + 1)
    this.endsWithCr = false
    return this.length === 0 ? undefined : { bytes: this.take(), eol: false, eom: false }
  }

  private hold(bytes: Uint8Array, limit: number): void {
    const needed = this.length + bytes.length
    if (needed > this.held.length) {
      const grown = new Uint8Array(Math.max(needed, Math.min(limit, Math.max(256, this.held.length * 2))))
      grown.set(this.held.subarray(0, this.length))
      this.held = grown
    }
    this.held.set(bytes, this.length)
    this.length = needed
  }

  private take(): Uint8Array {
    const bytes = this.held.slice(0, this.length)
    this.length = 0
    return bytes
  }
}
