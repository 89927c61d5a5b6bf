/**
 * Where a connection is until its first request has come. An opening handshake of the usual shape that is whole in the first read is
 * taken here, and spared the parser, the request and the listeners of `node:http`, which are a fifth of what a handshake costs. With
 * everything else, and all that was read of it, the connection goes on to `node:http`, or to HTTP/2 if it begins as that does. The
 * time for the first head is kept here in all cases.
 */
import { constVoid } from "effect/Function"
import type * as Net from "node:net"
import type { Duplex } from "node:stream"
import { type Member, Roster } from "../../connection/internal/roster.ts"
import * as OpeningHandshake from "../../protocol/OpeningHandshake.ts"
import type * as HeadFields from "../../protocol/internal/headFields.ts"
import * as RequestHead from "../../protocol/internal/requestHead.ts"
import { type Attendant, attend, leave } from "./attended.ts"
import type { Http2Sessions } from "./http2.ts"
import { maxTimer } from "./timers.ts"

export interface Options extends HeadFields.Options {
  /** How long the first head may take, in milliseconds. */
  readonly timeout: number
  readonly maxHeaderSize: number
  readonly onUpgrade: (request: OpeningHandshake.Request, socket: Net.Socket, rest: Uint8Array) => void
  /** Takes connections that speak HTTP/2, if it is spoken. */
  readonly http2: Pick<Http2Sessions, "isSpokenOn" | "serve"> | undefined
  /** Takes the connection as `node:http` does when it accepts it. */
  readonly toHttp: (socket: Net.Socket) => void
  /** Takes one whose time is over. */
  readonly onLate: (socket: Net.Socket) => void
}

export class Reception {
  private readonly options: Options
  private readonly waiting = new Roster<Guest>()
  /** Those of them that `node:http` has, or HTTP/2. */
  private readonly handed = new WeakMap<Duplex, Guest>()

  constructor(options: Options) {
    this.options = options
  }

  /** How many wait for their first request to come. */
  get size(): number {
    return this.waiting.size
  }

  receive(socket: Net.Socket): void {
    // while it was decided about, it ended without a word
    if (socket.readableEnded) return void socket.on("error", constVoid).end()
    const guest = new Guest(this, socket)
    this.waiting.add(guest)
    attend(socket, guest)
  }

  /** What a guest says first. Returns `false` if that is too little to know what it speaks. */
  hear(guest: Guest, chunk: Buffer): boolean {
    const { http2 } = this.options
    if (http2 === undefined) {
      this.read(guest, chunk)
      return true
    }
    const isHttp2 = http2.isSpokenOn(guest.socket, chunk)
    if (isHttp2 === true) this.handOver(guest, chunk, (socket) => http2.serve(socket))
    else if (isHttp2 === false) this.read(guest, chunk)
    return isHttp2 !== undefined
  }

  private read(guest: Guest, chunk: Buffer): void {
    const { maxHeaderSize, onUpgrade } = this.options
    const { socket } = guest
    const end = chunk.indexOf("\r\n\r\n") + 4
    const fields =
      end < 4 || end > maxHeaderSize
        ? undefined
        : RequestHead.parse((from, to) => chunk.toString("latin1", from, to), end, this.options)
    if (fields !== undefined) {
      this.waiting.delete(guest)
      return onUpgrade(new OpeningHandshake.Request(fields), socket, chunk.subarray(end))
    }
    this.handOver(guest, chunk, (socket) => this.toHttp(socket))
  }

  private toHttp(socket: Net.Socket): void {
    const { timeout, toHttp } = this.options
    // the client takes what is left of its answers; if TLS was reset behind its end, Node never tells, and waits for that
    socket.once("end", () => void socket.setTimeout(timeout === Infinity ? 0 : Math.min(timeout, maxTimer)))
    toHttp(socket)
    // `node:http` reads past the stream, which must have begun to read: it would later, though `node:http` may have stopped by then
    socket.read(0)
    // TLS gives all records of a read at once, also to a `node:http` that has stopped; a listener to data has it read the stream instead
    if ("encrypted" in socket) socket.on("data", constVoid).off("data", constVoid)
  }

  private handOver(guest: Guest, chunk: Buffer, take: (socket: Net.Socket) => void): void {
    const { socket } = guest
    leave(socket)
    socket.once("close", () => this.gone(guest))
    this.handed.set(socket, guest)
    take(socket)
    // to `node:http` it flows, and so this is given out at once, before more can come
    socket.unshift(chunk)
  }

  /** The connection is gone. */
  gone(guest: Guest): void {
    this.waiting.delete(guest)
  }

  /** `node:http` has the first head, or has given it up. */
  forget(socket: Duplex): void {
    const guest = this.handed.get(socket)
    if (guest === undefined) return
    this.handed.delete(socket)
    this.waiting.delete(guest)
  }

  /** Finds those whose time is over; to be called now and then. */
  sweep(): void {
    const now = performance.now()
    for (const guest of this.waiting) {
      if (now - guest.came < this.options.timeout) continue
      this.waiting.delete(guest)
      this.options.onLate(guest.socket)
    }
  }

  /** Ends all that wait here. */
  cut(): void {
    for (const { socket } of this.waiting) socket.destroy()
  }
}

class Guest implements Attendant, Member {
  readonly socket: Net.Socket
  readonly came = performance.now()
  place = -1
  private readonly reception: Reception
  private wasHeard = false
  declare private early: Buffer | undefined // few need it

  constructor(reception: Reception, socket: Net.Socket) {
    this.reception = reception
    this.socket = socket
  }

  onData(chunk: Buffer): void {
    if (!this.wasHeard) {
      const first = this.early === undefined ? chunk : Buffer.concat([this.early, chunk])
      this.early = undefined
      this.wasHeard = true
      if (this.reception.hear(this, first)) return
      this.wasHeard = false
      this.early = first
      return
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
    this.reception.gone(this)
  }
}
