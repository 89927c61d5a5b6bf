/** What the sinks make of frames: pushed through a decoder, chunk by chunk. */
import type * as Frame from "../../src/protocol/Frame.ts"
import { FrameDecoder, type Sink } from "../../src/protocol/FrameDecoder.ts"
import * as Message from "../../src/protocol/Message.ts"
import type * as Opcode from "../../src/protocol/Opcode.ts"
import { toHex } from "./bytes.ts"
import { wire } from "./frames.ts"

export const noLimits: Message.Limits = {
  maxMessageSize: Number.MAX_SAFE_INTEGER,
  maxFragments: Number.MAX_SAFE_INTEGER
}

/** Control frames, as text. */
export class Controls implements Message.Controls {
  readonly seen: Array<string> = []
  control(opcode: Opcode.ControlOpcode, payload: Uint8Array) {
    this.seen.push(`${opcode} ${toHex(payload)}`)
  }
}

/** A decoder of compressed frames too, and with or without masks. */
export const into = (sink: Sink): ((...frames: ReadonlyArray<Frame.Frame | Uint8Array>) => void) => {
  const decoder = new FrameDecoder({ masking: "either", allowRsv1: true })
  return (...frames) => {
    for (const frame of frames) decoder.push(frame instanceof Uint8Array ? frame : wire([frame]), sink)
    if (sink instanceof Message.Payloads) sink.flush()
  }
}

/** What is in `out`, as text: strings in quotes, bytes in hexadecimal. */
export const shown = (item: Message.Message | Message.Fragment | Message.CompressedMessage): string =>
  typeof item === "string"
    ? JSON.stringify(item)
    : item instanceof Uint8Array
      ? toHex(item)
      : item instanceof Message.CompressedMessage
        ? `compressed ${item.isText ? "text" : "binary"} ${toHex(item.bytes)}`
        : `${item.first ? "first " : ""}${item.last ? "last " : ""}${item.isText ? "text" : "binary"} ${toHex(item.payload)}`

/** Bytes that are not UTF-8, as the pieces that they come in; the last piece has the first byte that cannot be. */
export const notUtf8: ReadonlyArray<readonly [name: string, pieces: ReadonlyArray<string>]> = [
  ["a continuation byte alone", ["80"]],
  ["a byte that is never used", ["ff"]],
  ["an overlong form of two bytes", ["c0"]],
  ["an overlong form of three bytes", ["e0", "9f"]],
  ["an overlong form of four bytes", ["f0", "8f"]],
  ["a surrogate", ["ed", "a0"]],
  ["a code point above U+10FFFF", ["f4", "90"]],
  ["a first byte above F4", ["f5"]],
  ["a character cut short by ASCII", ["e282", "41"]],
  ["a character of four bytes cut short by another", ["f09d84", "c3"]],
  ["a bad byte after good text", ["cebae1bdb9", "cf83cebcceb5", "eda080"]]
]
