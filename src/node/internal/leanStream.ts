/**
 * A socket with lean reads, as a stream for `node:http` while it reads an answer there: it would not see them otherwise. The request
 * has been sent before, and what `node:http` writes is not sent again. The socket is given back from the byte behind the head of
 * the answer on, with nothing in between that could be lost.
 */
import { constVoid } from "effect/Function"
import { Buffer } from "node:buffer"
import type * as Net from "node:net"
import { Duplex } from "node:stream"
import { attend, type Attendant } from "./attended.ts"
import * as LeanReads from "./leanReads.ts"

export class LeanStream extends Duplex implements LeanReads.Receiver, Attendant {
  private readonly socket: Net.Socket
  private isOver = false

  /** `first` is what was read of the answer already. */
  constructor(socket: Net.Socket, first: Uint8Array) {
    super()
    this.socket = socket
    LeanReads.release(socket)
    LeanReads.attach(socket, this)
    attend(socket, this, false)
    // one that comes before node:http listens, or behind that
    this.on("error", constVoid)
    this.onRead(first)
  }

  /** What was read and not taken, of which `head` is the beginning. Who calls it has to take the socket at once. */
  giveBack(head: Buffer): Buffer {
    this.isOver = true
    LeanReads.release(this.socket)
    // nothing, in most cases
    const rest = this.read() as Buffer | null
    return rest === null ? head : Buffer.concat([head, rest])
  }

  onRead(chunk: Uint8Array): void {
    if (!this.isOver && !this.push(chunk) && !this.isOver) this.socket.pause()
  }

  /** Data is told to `onRead`. */
  onData(): void {}

  onEnd(): void {
    this.push(null)
  }

  onError(cause: Error): void {
    this.destroy(cause)
  }

  onClose(): void {
    LeanReads.leave(this.socket)
    this.destroy()
  }

  override _read(): void {
    if (this.socket.isPaused()) this.socket.resume()
  }

  override _write(_chunk: Buffer, _encoding: BufferEncoding, done: () => void): void {
    done()
  }

  override _final(done: () => void): void {
    this.socket.end(done)
  }

  override _destroy(error: Error | null, done: (error: Error | null) => void): void {
    if (!this.isOver) this.socket.destroy()
    done(error)
  }
}
