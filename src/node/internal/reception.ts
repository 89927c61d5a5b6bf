/**
 * Where a connection is until its first request has come. An opening handshake of the usual shape that is whole in the first read is
 * taken here, and spared the parser, the request and the listeners of `node:http`, which are a fifth of what a handshake costs. With
 * everything else, and all that was read of it, the connection goes on to `node:http`. The time for the first head is kept here in
 * both cases.
 */
import type * as Net from "node:net"
import type { Duplex } from "node:stream"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import * as RequestHead from "../../protocol/internal/requestHead.ts"
import { type Attendant, attend, leave } from "./attended.ts"
import { ignoreError } from "./upgrade.ts"

export interface Options extends RequestHead.Options {
  /** How long the first head may take, in milliseconds. */
  readonly timeout: number
  readonly maxHeaderSize: number
  readonly onUpgrade: (request: OpeningHandshake.Request, socket: Net.Socket, rest: Uint8Array) => void
  /** Takes the connection as `node:http` does when it accepts it. */
  readonly toHttp: (socket: Net.Socket) => void
  /** Takes one whose time is over, and has it forgotten. */
  readonly onLate: (socket: Net.Socket) => void
}

export class Reception {
  private readonly options: Options
  /** Since when they wait, in the order of their coming. */
  private readonly waiting = new Map<Net.Socket, number>()

  constructor(options: Options) {
    this.options = options
  }

  receive(socket: Net.Socket): void {
    // while it was decided about, it ended without a word
    if (socket.readableEnded) return void socket.on("error", ignoreError).end()
    this.waiting.set(socket, performance.now())
    attend(socket, new Guest(this, socket))
  }

  /** What a guest says first. */
  hear(socket: Net.Socket, chunk: Buffer): void {
    const { maxHeaderSize, onUpgrade, toHttp } = this.options
    const end = chunk.indexOf("\r\n\r\n") + 4
    const fields =
      end < 4 || end > maxHeaderSize
        ? undefined
        : RequestHead.parse((from, to) => chunk.toString("latin1", from, to), end, this.options)
    if (fields !== undefined) {
      this.forget(socket)
      return onUpgrade(new OpeningHandshake.Request(fields), socket, chunk.subarray(end))
    }
    leave(socket)
    socket.once("close", () => this.forget(socket))
    toHttp(socket)
    // it flows, and so this is given out at once, before more can come
    socket.unshift(chunk)
  }

  /** The first head has come, or the connection is gone. */
  forget(socket: Duplex): void {
    // only sockets wait here
    this.waiting.delete(socket as Net.Socket)
  }

  /** Finds those whose time is over; to be called now and then. */
  sweep(): void {
    const now = performance.now()
    for (const [socket, came] of this.waiting) {
      if (now - came < this.options.timeout) return
      this.options.onLate(socket)
    }
  }

  /** Ends all that wait here. */
  cut(): void {
    for (const socket of this.waiting.keys()) socket.destroy()
  }
}

class Guest implements Attendant {
  private readonly reception: Reception
  private readonly socket: Net.Socket
  private wasHeard = false

  constructor(reception: Reception, socket: Net.Socket) {
    this.reception = reception
    this.socket = socket
  }

  onData(chunk: Buffer): void {
    if (!this.wasHeard) {
      this.wasHeard = true
      return this.reception.hear(this.socket, chunk)
    }
    // it is for who takes the connection when the request is answered
    this.socket.pause()
    this.socket.unshift(chunk)
  }

  onEnd(): void {
    if (!this.wasHeard) this.socket.end()
  }

  onError(): void {}

  onClose(): void {
    this.reception.forget(this.socket)
  }
}
