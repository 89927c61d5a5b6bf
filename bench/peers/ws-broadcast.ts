/**
 * The `ws` package as a server that sends each message to all of its clients, as its documentation shows it, compression
 * off. Prints `ready ws://HOST:PORT`. Usage: `node bench/peers/ws-broadcast.ts HOST:PORT`.
 */
import { WebSocketServer } from "ws"
import { announce, endpoint } from "./endpoint.ts"

const server = new WebSocketServer({ ...endpoint(process.argv[2]), perMessageDeflate: false })
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => {
    for (const client of server.clients) client.send(data, { binary })
  })
  socket.on("error", () => {})
})
server.on("listening", () => announce("ws", server.address()))
