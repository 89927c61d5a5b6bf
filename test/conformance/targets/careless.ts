/**
 * Servers that open every connection and then do what they should not, to see that the cases notice: a mute one never
 * answers, a blunt one only hangs up, a credulous one echoes whatever comes without checking any of it.
 */
import { once } from "node:events"
import * as net from "node:net"
import type { Target } from "../suite.ts"
import { BINARY, CLOSE, CONTINUATION, encodeFrame, PING, PONG } from "../wire/frame.ts"
import { acceptOf } from "../wire/http.ts"

export type Manner = "mute" | "blunt" | "credulous"

interface Heard {
  readonly fin: boolean
  readonly opcode: number
  readonly payload: Buffer
  /** Where the next frame begins. */
  readonly end: number
}

/** The frame at the start of `data`, legal or not. */
const hear = (data: Buffer): Heard | undefined => {
  if (data.length < 2) return undefined
  const length = (data[1] ?? 0) & 0x7f
  const masked = (data[1] ?? 0) >= 0x80
  const key = length === 126 ? 4 : length === 127 ? 10 : 2
  const start = masked ? key + 4 : key
  if (data.length < start) return undefined
  const size = length === 126 ? data.readUInt16BE(2) : length === 127 ? Number(data.readBigUInt64BE(2)) : length
  if (data.length < start + size) return undefined
  const payload = Buffer.from(data.subarray(start, start + size))
  if (masked) for (let i = 0; i < size; i++) payload[i] = (payload[i] ?? 0) ^ (data[key + (i % 4)] ?? 0)
  return { fin: (data[0] ?? 0) >= 0x80, opcode: (data[0] ?? 0) & 0x0f, payload, end: start + size }
}

const echo = (socket: net.Socket): ((chunk: Buffer) => void) => {
  let data: Buffer = Buffer.alloc(0)
  let opcode = BINARY
  let parts: Array<Buffer> = []
  const answer = (kind: number, payload: Buffer): void => {
    socket.write(encodeFrame({ opcode: kind, payload, mask: false }))
  }
  return (chunk) => {
    data = Buffer.concat([data, chunk])
    for (let frame = hear(data); frame !== undefined; frame = hear(data)) {
      data = data.subarray(frame.end)
      if (frame.opcode >= PONG || (frame.opcode > BINARY && frame.opcode < CLOSE)) continue
      if (frame.opcode === PING) answer(PONG, frame.payload.subarray(0, 125))
      else if (frame.opcode === CLOSE) {
        answer(CLOSE, frame.payload.subarray(0, 125))
        socket.end()
      } else {
        if (frame.opcode !== CONTINUATION) opcode = frame.opcode
        parts.push(frame.payload)
        if (!frame.fin) continue
        answer(opcode, Buffer.concat(parts))
        parts = []
      }
    }
  }
}

export const startCareless = async (manner: Manner): Promise<Target> => {
  const sockets = new Set<net.Socket>()
  const server = net.createServer({ allowHalfOpen: true }, (socket) => {
    sockets.add(socket)
    socket.on("error", () => {})
    socket.on("close", () => sockets.delete(socket))
    let head = ""
    const onHead = (chunk: Buffer): void => {
      head += chunk.toString("latin1")
      const end = head.indexOf("\r\n\r\n")
      if (end < 0) return
      const key = /sec-websocket-key:[ \t]*(.*?)[ \t]*\r\n/i.exec(head)?.[1] ?? ""
      const extension = head.includes("permessage-deflate") ? "Sec-WebSocket-Extensions: permessage-deflate\r\n" : ""
      socket.write(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
          `Sec-WebSocket-Accept: ${acceptOf(key)}\r\n${extension}\r\n`
      )
      socket.off("data", onHead)
      const listen = manner === "credulous" ? echo(socket) : () => {}
      socket.on("data", listen)
      listen(Buffer.from(head.slice(end + 4), "latin1"))
      if (manner === "blunt") socket.end()
    }
    socket.on("data", onHead)
  })
  server.listen(0, "127.0.0.1")
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("unreachable: it listens on a port")
  return {
    host: "127.0.0.1",
    port: address.port,
    stop: async () => {
      for (const socket of sockets) socket.destroy()
      server.close()
      await once(server, "close")
    }
  }
}
