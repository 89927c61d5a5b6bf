/**
 * What a connection of the server receives, as events: fragments, messages or lines, and pings, one after the other; nothing
 * while it is paused.
 */
import type { Connection, Settling } from "../../connection/internal/connection.ts"
import { isControlFrame, type MessageEvent, type Piece } from "../../protocol/MessageEvent.ts"
import * as Opcode from "../../protocol/Opcode.ts"
import { ComponentError, invalid } from "../ComponentError.ts"
import { DataIn, Ping } from "./dataIn.ts"
import { boolean } from "./kinds.ts"
import { type Line, Lines } from "./lines.ts"
import type { WSServerEvents } from "../Events.ts"
import type { Link } from "./link.ts"

export class Receiving implements Settling {
  maxLineLength: number
  private readonly link: Link<WSServerEvents>
  private lines: Lines | undefined
  /** What line mode held when it was left in the midst of lines: it comes behind them. */
  private left: Lines | undefined
  private isGivingLines = false
  private resume: (() => void) | undefined
  private paused: Promise<void> | undefined
  private isSettled = false

  constructor(link: Link<WSServerEvents>) {
    this.link = link
    this.maxLineLength = link.host.store.get("MaxLineLength")
  }

  // ---- lines ---------------------------------------------------------------------------------------------------------

  get lineMode(): boolean {
    return this.lines !== undefined
  }

  setLineMode(lineMode: boolean): void {
    // not every caller has types
    if (typeof lineMode !== "boolean") throw invalid("LineMode", boolean.accepts, lineMode)
    if (lineMode) {
      this.lines ??= this.left ?? new Lines()
      this.left = undefined
    } else {
      this.left ??= this.lines
      this.lines = undefined
      void this.giveLeft()
    }
  }

  setMaxLineLength(length: number): void {
    if (this.lines !== undefined) throw new ComponentError(112)
    this.maxLineLength = length
  }

  /** Gives what is held of a line that will not end. */
  flush(): unknown {
    const line = (this.lines ?? this.left)?.flush()
    this.left = undefined
    return line === undefined ? undefined : this.emit(0, line.bytes, undefined, false, false)
  }

  /** The same when line mode was left, once it is its turn. */
  private giveLeft(): unknown {
    return this.left === undefined || this.isGivingLines || this.isPaused ? undefined : this.flush()
  }

  // ---- pause ---------------------------------------------------------------------------------------------------------

  get isPaused(): boolean {
    return this.paused !== undefined
  }

  pause(): void {
    // what ended is given out to its end
    if (this.isSettled) return
    this.paused ??= new Promise((resolve) => {
      this.resume = resolve
    })
  }

  process(): void {
    this.paused = undefined
    void this.giveLeft()
    this.resume?.()
  }

  // ---- events --------------------------------------------------------------------------------------------------------

  /** Gives out a batch; by a promise if it takes its time. */
  deliver(events: ReadonlyArray<MessageEvent>, from: number): undefined | Promise<void> {
    for (let i = from; i < events.length; i++) {
      if (this.isMute) return undefined
      const { obstacle } = this
      if (obstacle !== undefined) return obstacle.then(() => this.deliver(events, i))
      const event = events[i]!
      const given = isControlFrame(event)
        ? this.link.emit("Ping", () => new Ping(this.link.connectionId, event.payload, event.opcode === Opcode.pong))
        : this.piece(event)
      if (given instanceof Promise) return given.then(() => this.deliver(events, i + 1))
    }
    return undefined
  }

  private piece(piece: Piece): unknown {
    const { host } = this.link
    if (host.logs(3)) {
      const kind = piece.isText ? "text" : "binary data"
      host.log(
        this.link,
        3,
        `Received ${piece.payload.length} bytes of ${kind}${piece.last ? ", the end of a message" : ""}`
      )
    }
    const { lines } = this
    if (lines === undefined) {
      return this.emit(piece.first ? (piece.isText ? 1 : 2) : 0, piece.payload, piece.text, piece.last, false)
    }
    const found = lines.push(piece.payload, this.maxLineLength, piece.isText, piece.last)
    this.isGivingLines = true
    const given = this.giveLines(found, 0)
    return given === undefined ? this.gaveLines() : given.then(() => this.gaveLines())
  }

  private gaveLines(): unknown {
    this.isGivingLines = false
    return this.giveLeft()
  }

  private giveLines(lines: ReadonlyArray<Line>, from: number): undefined | Promise<void> {
    for (let i = from; i < lines.length; i++) {
      if (this.isMute) return undefined
      const { obstacle } = this
      if (obstacle !== undefined) return obstacle.then(() => this.giveLines(lines, i))
      const { bytes, eol, eom } = lines[i]!
      const given = this.emit(0, bytes, undefined, eom, eol)
      if (given instanceof Promise) return given.then(() => this.giveLines(lines, i + 1))
    }
    return undefined
  }

  private emit(format: number, payload: Uint8Array, text: string | undefined, eom: boolean, eol: boolean): unknown {
    if (this.isMute) return undefined
    const { connectionId, host, turns } = this.link
    const { emitter } = host
    if (!emitter.has("DataIn")) return true
    const event = new DataIn(connectionId, format, payload, text, eom, eol)
    if (!turns.enter()) return turns.take(() => emitter.emit("DataIn", event))
    // it does not throw: listeners that do are reported
    const given = emitter.emit("DataIn", event)
    if (given instanceof Promise) return given.finally(() => turns.leave())
    turns.leave()
    return given
  }

  /** What is waited for before anything is given out: a pause, and events that may pause or disconnect. */
  private get obstacle(): Promise<unknown> | undefined {
    if (this.paused !== undefined) return this.paused
    const { turns } = this.link
    return turns.busy ? Promise.resolve(turns.take(() => undefined)) : undefined
  }

  /** Nothing is given out behind Disconnect and Disconnected. */
  private get isMute(): boolean {
    return this.link.isClosing || this.link.isDisconnected
  }

  /** A connection that ends holds nothing up. */
  attach(connection: Connection): void {
    connection.onSettled(this)
  }

  settled(): void {
    this.isSettled = true
    this.process()
  }
}
