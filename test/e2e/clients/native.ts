import { Buffer } from "node:buffer"

const [mode, url] = process.argv.slice(2) as [string, string]
const bytes = (length: number) => Uint8Array.from({ length }, (_, i) => i)
const left = ["hello", "κόσμε😀".repeat(1000), bytes(3), bytes(4194304), "", bytes(0), "again ".repeat(50_000)]

const socket = new WebSocket(url, ["chat", "other"])
socket.binaryType = "arraybuffer"

const say = (): void => {
  if (left[0] === undefined) socket.close(3000, "enough")
  else socket.send(left[0])
}

socket.addEventListener("open", () => {
  if (mode === "read") return socket.send(Buffer.from("hello"))
  console.log(socket.protocol)
  if (!socket.extensions.startsWith("permessage-deflate")) throw new Error(`extensions: ${socket.extensions}`)
  say()
})
socket.addEventListener("message", ({ data }: MessageEvent<string | ArrayBuffer>) => {
  if (mode === "read") return console.log(Buffer.from(data as ArrayBuffer).toString())
  const message = left.shift()!
  const same = typeof message === "string" ? data === message : Buffer.from(data as ArrayBuffer).equals(message)
  if (!same) throw new Error(`not what was sent: ${typeof data} for ${message.length}`)
  say()
})
socket.addEventListener("close", ({ code, reason }) => console.log(`${code} ${reason}`.trim()))
