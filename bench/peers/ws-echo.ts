/**
 * The `ws` package as an echo server: one `send` for each message, as its documentation shows it, compression off.
 * Prints `ready ws://HOST:PORT`. Usage: `node bench/peers/ws-echo.ts HOST:PORT`.
 */
import { WebSocketServer } from "ws"
import { announce, endpoint } from "./endpoint.ts"

const server = new WebSocketServer({ ...endpoint(process.argv[2]), perMessageDeflate: false })
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }))
  socket.on("error", () => {})
})
server.on("listening", () => announce("ws", server.address()))
