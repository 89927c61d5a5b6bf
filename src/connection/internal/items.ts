/**
 * What the receiving half of a connection gives out.
 */
import type { NonEmptyReadonlyArray } from "effect/Array"
import type * as Effect from "effect/Effect"
import type * as Pull from "effect/Pull"
import type * as Message from "../../protocol/Message.ts"
import type * as MessageEvent from "../../protocol/MessageEvent.ts"
import type { WebSocketError } from "../WebSocketError.ts"

export type Item = Message.Message | Message.Fragment | MessageEvent.MessageEvent | Message.CompressedMessage
export type Items = NonEmptyReadonlyArray<Item>
/** What is to be waited for before there is more, if anything. */
export type Wait<E = never, R = never> = Effect.Effect<unknown, E, R> | undefined
export type ItemPull = Pull.Pull<Items, WebSocketError>
/** What makes them of frames. */
export type ItemSink =
  | Message.Messages
  | Message.Fragments
  | Message.Payloads
  | MessageEvent.Events
  | MessageEvent.Watched
/** How a connection is read: by a sink, or one of a class that holds nothing between messages. */
export type Way =
  | typeof Message.Messages
  | typeof Message.Fragments
  | typeof Message.Payloads
  | MessageEvent.Events
  | MessageEvent.Watched
