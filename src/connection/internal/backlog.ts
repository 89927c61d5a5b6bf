/**
 * Messages that were read and are not delivered yet: those that are still compressed, and those that came with pings, which are
 * answered first. Messages are inflated a portion at a time and by one fiber at a time, in their order, since the window of each
 * is made of those before it. An interruption leaves them here, those that are inflated and those that are not.
 */
import * as Effect from "effect/Effect"
import * as Exit from "effect/Exit"
import * as Result from "effect/Result"
import { CompressedMessage } from "../../protocol/Message.ts"
import type { ProtocolError } from "../../protocol/ProtocolError.ts"
import type { Item } from "./items.ts"

/** Compressed messages of one read are inflated in portions of about this many bytes, so that memory stays bounded. */
const portionSize = 256 * 1024

/** A message that was inflated, and how many bytes it became. */
export interface Opened {
  readonly item: Item
  readonly size: number
}

/** The messages that may be delivered now, and the fault of the message after them, if it has one. */
interface Portion {
  readonly ready: ReadonlyArray<Item>
  readonly error: ProtocolError | undefined
}

export interface Options {
  readonly open: (message: CompressedMessage) => Effect.Effect<Opened, ProtocolError>
  /** Somebody else may go on. */
  readonly onFree: () => void
}

export class Backlog {
  private readonly options: Options
  private items: Array<Item> = []
  /** Somebody inflates what is next. */
  isBusy = false

  constructor(options: Options) {
    this.options = options
  }

  get isEmpty(): boolean {
    return this.items.length === 0
  }

  add(items: ReadonlyArray<Item>): void {
    this.items = this.isEmpty ? items.slice() : [...this.items, ...items]
  }

  clear(): void {
    this.items = []
  }

  /** Takes the next portion; `undefined` if another fiber is inflating it. */
  get portion(): Effect.Effect<Portion | undefined> {
    return Effect.suspend(() => {
      let isMine = false
      return Effect.onExit(
        Effect.suspend((): Effect.Effect<Portion | undefined> => {
          if (this.isBusy) return Effect.undefined
          this.isBusy = isMine = true
          return take(this.items, this.options.open)
        }),
        (exit) => {
          if (!isMine) return Effect.void
          const portion = Exit.isSuccess(exit) ? exit.value : undefined
          if (portion !== undefined)
            this.items = portion.error === undefined ? this.items.slice(portion.ready.length) : []
          this.isBusy = false
          this.options.onFree()
          return Effect.void
        }
      )
    })
  }
}

const take = Effect.fnUntraced(function* (items: Array<Item>, open: Options["open"]): Effect.fn.Return<Portion> {
  let size = 0
  let count = 0
  for (; count < items.length && size < portionSize; count++) {
    const item = items[count]!
    if (!(item instanceof CompressedMessage)) continue
    const opened = yield* Effect.result(open(item))
    if (Result.isFailure(opened)) return { ready: items.slice(0, count), error: opened.failure }
    items[count] = opened.success.item
    size += opened.success.size
  }
  return { ready: items.slice(0, count), error: undefined }
})
