/**
 * The opening handshake as a server does it that judges nothing: the head of a request, and the answer that accepts it.
 */
import type * as net from "node:net"
import { acceptOf } from "./http.ts"

export interface Opening {
  /** The request target. */
  readonly target: string
  readonly key: string
  /** What is offered in all the lines of Sec-WebSocket-Extensions; `undefined` if there is none. */
  readonly offer: string | undefined
  /** What came behind the head. */
  readonly rest: Buffer
}

const valuesOf = (head: string, name: string): Array<string> =>
  Array.from(head.matchAll(new RegExp(`^${name}:[ \\t]*(.*?)[ \\t]*\\r$`, "gim")), (match) => match[1] ?? "")

/** Reads the head of a request, and leaves the socket paused behind it. */
export const openingOf = (socket: net.Socket): Promise<Opening> =>
  new Promise((resolve, reject) => {
    let data: Buffer = Buffer.alloc(0)
    const onClose = (): void => reject(new Error(`the connection ended after ${data.length} octets of a request`))
    const onData = (chunk: Buffer): void => {
      data = Buffer.concat([data, chunk])
      const end = data.indexOf("\r\n\r\n")
      if (end < 0) return
      socket.off("data", onData).off("end", onClose).off("close", onClose).pause()
      const head = data.subarray(0, end + 2).toString("latin1")
      const offers = valuesOf(head, "Sec-WebSocket-Extensions")
      resolve({
        target: head.split(" ")[1] ?? "",
        key: valuesOf(head, "Sec-WebSocket-Key")[0] ?? "",
        offer: offers.length === 0 ? undefined : offers.join(", "),
        rest: data.subarray(end + 4)
      })
    }
    socket.on("data", onData).once("end", onClose).once("close", onClose)
  })

/** The head of a 101. */
export const accepting = ({ key }: Opening, extensions?: string): Buffer =>
  Buffer.from(
    "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n" +
      `Sec-WebSocket-Accept: ${acceptOf(key)}\r\n` +
      (extensions === undefined ? "\r\n" : `Sec-WebSocket-Extensions: ${extensions}\r\n\r\n`),
    "latin1"
  )
