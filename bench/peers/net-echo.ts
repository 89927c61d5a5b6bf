/**
 * A plain `node:net` echo server, with backpressure and no protocol at all: the floor of what a Node server can cost.
 * Prints `ready tcp://HOST:PORT`. Usage: `node bench/peers/net-echo.ts HOST:PORT`.
 */
import * as net from "node:net"
import { announce, endpoint } from "./endpoint.ts"

const server = net.createServer({ noDelay: true }, (socket) => {
  socket.on("data", (chunk) => {
    if (socket.write(chunk)) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
  socket.on("error", () => {})
})
server.listen(endpoint(process.argv[2]), () => announce("tcp", server.address()))
