/**
 * The `ws` package as an echo server that compresses: every message, whatever its size, at zlib's own level and with the
 * largest window; each by itself, or with `--compression=takeover` in the context of those before. Prints
 * `ready ws://HOST:PORT`. Usage: `node bench/peers/ws-deflate-echo.ts HOST:PORT --compression=fresh|takeover`.
 */
import { WebSocketServer } from "ws"
import { announce, endpoint, hasContextTakeover } from "./endpoint.ts"

const contextTakeover = hasContextTakeover()
const server = new WebSocketServer({
  ...endpoint(process.argv[2]),
  perMessageDeflate: {
    threshold: 0,
    serverNoContextTakeover: !contextTakeover,
    clientNoContextTakeover: !contextTakeover
  }
})
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }))
  socket.on("error", () => {})
})
server.on("listening", () => announce("ws", server.address()))
