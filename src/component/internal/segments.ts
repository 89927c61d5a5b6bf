/**
 * What is sent, cut into pieces: by MaxFrameSize, and by MessageLength where that makes one message of several sends.
 */
import { isFirstHalf, type Outgoing } from "../../connection/internal/outbound.ts"
import type { Message } from "../../protocol/Message.ts"
import { ComponentError, invalid } from "../ComponentError.ts"
import { DataFormats } from "../Enums.ts"

const utf8 = new TextEncoder()
const lenient = new TextDecoder("utf-8", { ignoreBOM: true })

/** A string of so many characters takes no more than three bytes for each. */
export const fits = (payload: Message, size: number): boolean =>
  typeof payload === "string" ? payload.length * 3 <= size : payload.length <= size

/** The size of a message in bytes. */
export const sizeOf = (payload: Message): number =>
  typeof payload === "string" ? Buffer.byteLength(payload) : payload.length

/** Where a piece of at most `size` bytes ends; in text, between two code points, if there is one that fits. */
const cut = (bytes: Uint8Array, from: number, size: number, isText: boolean): number => {
  const end = Math.min(bytes.length, from + size)
  if (!isText || end === bytes.length) return end
  let at = end
  while (at > from && isContinuation(bytes[at]!)) at--
  if (at > from) return at
  // a code point longer than the limit cannot be cut
  at = end
  while (at < bytes.length && isContinuation(bytes[at]!)) at++
  return at
}

const isContinuation = (byte: number): boolean => (byte & 0xc0) === 0x80

/** The slices of a message of at most `size` bytes. */
const slices = (payload: Message, isText: boolean, size: number): ReadonlyArray<Message> => {
  if (fits(payload, size)) return [payload]
  const bytes = typeof payload === "string" ? utf8.encode(payload) : payload
  const parts: Array<Uint8Array> = []
  let at = 0
  do {
    const end = cut(bytes, at, size, isText)
    parts.push(bytes.subarray(at, end))
    at = end
  } while (at < bytes.length)
  return parts
}

/** The fragments of one message. */
export const fragments = (payload: Message, isText: boolean, size: number): ReadonlyArray<Outgoing> => {
  const parts = slices(payload, isText, size)
  return parts.map((payload, i) => ({ isText, payload, first: i === 0, last: i === parts.length - 1 }))
}

/** Cuts what is sent without waiting, and remembers how much of a message of MessageLength is still to come. */
export class Segments {
  /** How many bytes of the message are still to be sent; 0 if each send is a message. */
  remaining = 0
  private isOpen = false

  /** Sets MessageLength. */
  begin(length: number): void {
    if (this.isOpen) {
      throw new ComponentError(10022, {
        detail: `MessageLength: ${this.remaining} bytes of the message before are still to be sent.`
      })
    }
    this.remaining = length
  }

  /** Whether a message has begun and is not complete. */
  get isWithin(): boolean {
    return this.isOpen
  }

  /** The pieces; call `sent` for each that is sent, in their order. */
  of(payload: Message, isText: boolean, size: number): ReadonlyArray<Outgoing> {
    if (this.remaining === 0) {
      return fits(payload, size)
        ? [{ isText, payload, first: true, last: true }]
        : slices(payload, isText, size).map((payload) => ({ isText, payload, first: true, last: true }))
    }
    const total = sizeOf(payload)
    if (total > this.remaining) {
      throw new ComponentError(10022, {
        detail: `MessageLength: ${this.remaining} bytes of the message are left, ${total} were to be sent.`
      })
    }
    let left = this.remaining
    let first = !this.isOpen
    return slices(payload, isText, size).map((payload) => {
      left -= sizeOf(payload)
      const piece = { isText, payload, first, last: left === 0 }
      first = false
      return piece
    })
  }

  sent(piece: Outgoing): void {
    if (this.remaining === 0) return
    this.remaining -= sizeOf(piece.payload)
    this.isOpen = !piece.last
  }
}

/** Cuts what a file or a stream yields: text between code points, wherever the chunks of it may end. */
export class Cutter {
  /** Not known before the first chunk, where that decides. */
  private isText: boolean | undefined
  private readonly size: number
  private readonly decoder = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true })
  /** The first half of a code point, if the text ends with it. */
  private half = ""
  private isEmpty = true

  constructor(format: DataFormats, size: number) {
    this.isText = format === DataFormats.dfAutomatic ? undefined : format === DataFormats.dfText
    this.size = size
  }

  push(chunk: unknown): ReadonlyArray<Message> {
    if (typeof chunk !== "string" && !(chunk instanceof Uint8Array)) {
      throw invalid("Stream", "bytes or text", chunk)
    }
    this.isText ??= typeof chunk === "string"
    if (!this.isText) return sizeOf(chunk) === 0 ? [] : slices(bytesOf(chunk), false, this.size)
    return this.text(typeof chunk === "string" ? this.decode() + chunk : this.decode(chunk))
  }

  /** What is left at the end. A message of text is begun even if it is empty, or it would be binary. */
  end(): ReadonlyArray<Message> {
    if (this.isText !== true) return []
    const rest = this.decode() + this.half
    return rest === "" && !this.isEmpty ? [] : [rest]
  }

  private text(text: string): ReadonlyArray<Message> {
    const all = this.half + text
    const end = isFirstHalf(all.charCodeAt(all.length - 1)) ? all.length - 1 : all.length
    this.half = all.slice(end)
    if (end === 0) return []
    this.isEmpty = false
    const whole = all.slice(0, end)
    if (sizeOf(whole) <= this.size) return [whole]
    return slices(whole, true, this.size).map((part) => (typeof part === "string" ? part : lenient.decode(part)))
  }

  private decode(bytes?: Uint8Array): string {
    try {
      return bytes === undefined ? this.decoder.decode() : this.decoder.decode(bytes, { stream: true })
    } catch (cause) {
      throw new ComponentError(10022, { detail: "Data: expected UTF-8, since DataFormat is dfText.", cause })
    }
  }
}

const bytesOf = (chunk: Message): Uint8Array => (typeof chunk === "string" ? utf8.encode(chunk) : chunk)
