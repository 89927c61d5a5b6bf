/**
 * Many connections that do little, in a process of its own: each is opened, has one message echoed, and is held until the
 * process ends. All of them read into one buffer, so that what they take is the system's memory and a few objects. Run by `agent.start`.
 */
import * as Net from "node:net"
import { serve, within } from "./agent.ts"
import { maskedFrame, pattern } from "./frames.ts"

export interface HoldOptions {
  readonly host: string
  readonly port: number
  /** Addresses to connect from, so many connections from each: an address has as many as there are ports. */
  readonly from: ReadonlyArray<string>
  readonly count: number
}

const openingsAtOnce = 32
/** How long one may take, on a machine that is all taken. */
const openSeconds = 30

const message = pattern(20)
const frame = maskedFrame(2, message)
/** What comes back: a frame of the server's, with a header of two bytes and no mask. */
const echo = Buffer.concat([Buffer.from([0x82, message.length]), message])
const request = Buffer.from(
  [
    "GET / HTTP/1.1",
    "Host: localhost",
    "Connection: Upgrade",
    "Upgrade: websocket",
    "Sec-WebSocket-Version: 13",
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==",
    "\r\n"
  ].join("\r\n")
)
const shared = Buffer.alloc(64 * 1024)
const held = new Set<Net.Socket>()
let lost = 0

/** Opens one, and waits for its echo. */
const open = (host: string, port: number, localAddress: string): Promise<void> =>
  within(
    openSeconds,
    () => "a connection was not opened, and its message echoed",
    new Promise((resolve, reject) => {
      let text = ""
      let isUpgraded = false
      const onData = (length: number, buffer: Uint8Array): boolean => {
        text += Buffer.from(buffer.buffer, buffer.byteOffset, length).toString("latin1")
        const end = text.indexOf("\r\n\r\n")
        if (!isUpgraded && end !== -1) {
          if (!text.startsWith("HTTP/1.1 101 ")) reject(new Error(`refused: ${text.split("\r\n", 1)[0]}`))
          isUpgraded = true
          text = text.slice(end + 4)
          socket.write(frame)
        }
        if (!isUpgraded || text.length < echo.length) return true
        if (text === echo.toString("latin1")) resolve()
        else reject(new Error("what came back is not what was sent"))
        text = ""
        return true
      }
      const socket = Net.connect({
        host,
        port,
        localAddress,
        noDelay: true,
        onread: { buffer: shared, callback: onData }
      })
      held.add(socket)
      socket.once("connect", () => socket.write(request))
      socket.once("error", reject)
      socket.once("close", () => {
        held.delete(socket)
        lost++
        reject(new Error("a connection was closed"))
      })
    })
  )

const commands = {
  /** Opens them all, a few at a time. */
  open: async ({ count, from, host, port }: HoldOptions): Promise<void> => {
    let next = 0
    const each = async () => {
      while (next < count) await open(host, port, from[next++ % from.length]!)
    }
    await Promise.all(Array.from({ length: Math.min(openingsAtOnce, count) }, each))
  },
  /** How many are lost of those that were opened. */
  lost: async (): Promise<number> => lost
}
export type HoldCommands = typeof commands
serve(commands)
