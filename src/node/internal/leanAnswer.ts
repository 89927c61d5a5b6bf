/**
 * A client's opening handshake over a socket with lean reads: the request is written, and an answer of the usual shape that is whole in
 * the first read is taken here, which spares it the request, the parser and the listeners of `node:http`, a seventh of what a handshake
 * costs. With any other answer, and all that was read of it, the socket goes on to `node:http`.
 */
import { Buffer } from "node:buffer"
import type * as Net from "node:net"
import type { Request } from "../../client/UpgradeDialer.ts"
import * as AcceptingHead from "../../protocol/internal/acceptingHead.ts"
import { attend, type Attendant } from "./attended.ts"
import * as HeaderLines from "./headerLines.ts"
import * as LeanReads from "./leanReads.ts"

/** The most that the head of an answer may be, in bytes. */
export const maxHead = 16 * 1024

/** Who is told what came, once. */
export interface Asker {
  /** The server accepts; the rest is what came behind its answer. The socket is to be taken at once. */
  readonly onAccepted: (headers: Readonly<Record<string, string>>, rest: Uint8Array) => void
  /** What came is something else, or not all of it. The socket is to be taken at once. */
  readonly onOther: (first: Uint8Array) => void
  /** Nothing came: the connection ended, in order or by an error. */
  readonly onEnd: (cause?: Error) => void
}

/** The whole request. Throws for what would break it, as `node:http` does. */
export const headOf = ({ headers, path }: Request): string => {
  if (/[^\x21-\xff]/.test(path)) throw new TypeError("the path of a request has characters that are not escaped")
  return `GET ${path} HTTP/1.1\r\n${HeaderLines.make(headers)}\r\n`
}

/** Asks, and waits for what comes first. */
export const begin = (socket: Net.Socket, head: string, asker: Asker): void => new LeanAnswer(socket, asker).ask(head)

class LeanAnswer implements LeanReads.Receiver, Attendant {
  private readonly socket: Net.Socket
  private readonly asker: Asker
  private isOver = false

  constructor(socket: Net.Socket, asker: Asker) {
    this.socket = socket
    this.asker = asker
  }

  ask(head: string): void {
    const { socket } = this
    const early = LeanReads.attach(socket, this)
    attend(socket, this, false)
    socket.write(head, HeaderLines.encoding)
    if (early !== undefined && early.length > 0) {
      // who says something before it is asked is heard as well; the socket does not read on by itself then
      socket.resume()
      this.onRead(Buffer.concat(early))
    } else if (socket.destroyed || socket.readableEnded) this.onEnd()
  }

  onRead(chunk: Uint8Array): void {
    if (this.isOver) return
    this.isOver = true
    const first = Buffer.from(chunk.buffer, chunk.byteOffset, chunk.length)
    const end = first.indexOf("\r\n\r\n") + 4
    const headers =
      end < 4 || end > maxHead ? undefined : AcceptingHead.parse((from, to) => first.toString("latin1", from, to), end)
    if (headers === undefined) return this.asker.onOther(first)
    this.asker.onAccepted(headers, first.subarray(end))
  }

  /** Data is told to `onRead`. */
  onData(): void {}

  onEnd(): void {
    this.onError()
  }

  onError(cause?: Error): void {
    if (this.isOver) return
    this.isOver = true
    this.asker.onEnd(cause)
  }

  onClose(): void {
    LeanReads.leave(this.socket)
    this.onError()
  }
}
