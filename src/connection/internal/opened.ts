/** Turns an inflated message into the items that its sink would have made of it. */
import * as Result from "effect/Result"
import * as Message from "../../protocol/Message.ts"
import * as MessageEvent from "../../protocol/MessageEvent.ts"
import { ProtocolError } from "../../protocol/ProtocolError.ts"
import type { Item, Way } from "./items.ts"

/** Fails if it is a text that is not UTF-8. */
export const opened = (
  { isEvent, isText }: Message.CompressedMessage,
  bytes: Uint8Array,
  way: Way
): Result.Result<Item, ProtocolError> =>
  Result.try({
    try: (): Item => {
      if (isEvent) return MessageEvent.whole(isText, bytes)
      const text = isText ? Message.decodeText(bytes) : undefined
      if (way === Message.Messages) return text ?? bytes
      return way === Message.Fragments ? { isText, first: true, last: true, payload: bytes } : bytes
    },
    catch: (error) => {
      if (error instanceof ProtocolError) return error
      throw error
    }
  })
