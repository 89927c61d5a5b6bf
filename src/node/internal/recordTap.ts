/**
 * A TLS connection's bytes on their way, with a look at the head of each record (RFC 8446 section 5.1). It costs a pass through
 * JavaScript, so it is there only for who wants to see the records.
 */
import type * as Net from "node:net"
import { Duplex } from "node:stream"

interface RecordHead {
  readonly direction: "received" | "sent"
  readonly type: number
  readonly version: number
  readonly length: number
}

const types: Readonly<Record<number, string>> = {
  20: "change_cipher_spec",
  21: "alert",
  22: "handshake",
  23: "application_data",
  24: "heartbeat"
}

export const formatRecord = ({ direction, length, type, version }: RecordHead): string =>
  `TLS record ${direction}: ${types[type] ?? "unknown"} (${type}), version ${version >> 8}.${version & 0xff}, ${length} bytes`

const headSize = 5

/** Finds the heads in one direction, wherever the chunks are cut. */
const finder = (direction: RecordHead["direction"], onRecord: (head: RecordHead) => void) => {
  const head = new Uint8Array(headSize)
  let held = 0
  let body = 0
  return (chunk: Uint8Array): void => {
    for (let at = 0; at < chunk.length;) {
      if (body > 0) {
        const skipped = Math.min(body, chunk.length - at)
        body -= skipped
        at += skipped
        continue
      }
      head[held++] = chunk[at++]!
      if (held < headSize) continue
      held = 0
      body = (head[3]! << 8) | head[4]!
      onRecord({ direction, type: head[0]!, version: (head[1]! << 8) | head[2]!, length: body })
    }
  }
}

export class RecordTap extends Duplex {
  private readonly socket: Net.Socket
  private readonly sent: (chunk: Uint8Array) => void

  constructor(socket: Net.Socket, onRecord: (head: RecordHead) => void) {
    super({ allowHalfOpen: true })
    this.socket = socket
    this.sent = finder("sent", onRecord)
    const received = finder("received", onRecord)
    socket
      .on("data", (chunk: Buffer) => {
        received(chunk)
        if (!this.push(chunk)) socket.pause()
      })
      .on("end", () => this.push(null))
      .on("error", (error) => this.destroy(error))
      .on("close", () => this.destroy())
    socket.pause()
  }

  override _read(): void {
    this.socket.resume()
  }
  override _write(chunk: Buffer, _encoding: BufferEncoding, callback: (error?: Error | null) => void): void {
    this.sent(chunk)
    this.socket.write(chunk, callback)
  }
  override _final(callback: (error?: Error | null) => void): void {
    this.socket.end(() => callback())
  }
  override _destroy(error: Error | null, callback: (error?: Error | null) => void): void {
    this.socket.destroy()
    callback(error)
  }
}
