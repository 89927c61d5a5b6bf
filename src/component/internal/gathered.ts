/**
 * How a connection's messages are given out, by the settings: in pieces of InBufferSize as it was when the connection opened,
 * like the buffer of its socket, and whole if BufferMessage is set when they come.
 */
import type { Gathering } from "../../protocol/MessageEvent.ts"
import type { Store } from "../Settings.ts"

/** The largest piece of a frame that DataIn gives, if InBufferSize says nothing, in bytes. */
const defaultPiece = 131072

export class Gathered implements Gathering {
  readonly pieceSize: number
  private readonly store: Store

  constructor(store: Store) {
    this.store = store
    this.pieceSize = store.get("InBufferSize") || defaultPiece
  }

  get wholeMessages(): boolean {
    return this.store.get("BufferMessage")
  }
}
