/**
 * The `ws` package as an echo server: one `send` for each message, as its documentation shows it, compression off.
 * Over `node:https` with
 * `--cert=FILE`. Prints `ready ws://HOST:PORT` or `ready wss://HOST:PORT`. Usage: `node bench/peers/ws-echo.ts HOST:PORT`.
 */
import { createServer as createHttpServer } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import { WebSocketServer } from "ws"
import { announce, endpoint, identity } from "./endpoint.ts"

const secret = identity()
const http = secret === undefined ? createHttpServer() : createHttpsServer(secret)
const server = new WebSocketServer({ server: http, perMessageDeflate: false })
server.on("connection", (socket) => {
  socket.on("message", (data, binary) => socket.send(data, { binary }))
  socket.on("error", () => {})
})
http.listen(endpoint(process.argv[2]), () => announce(secret === undefined ? "ws" : "wss", http.address()))
