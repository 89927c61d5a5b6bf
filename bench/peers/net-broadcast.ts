/**
 * A plain `node:net` server that sends what it reads to all of its clients, with no protocol at all and no backpressure.
 * Prints `ready tcp://HOST:PORT`. Usage: `node bench/peers/net-broadcast.ts HOST:PORT`.
 */
import * as net from "node:net"
import { announce, endpoint } from "./endpoint.ts"

const clients = new Set<net.Socket>()
const server = net.createServer({ noDelay: true }, (socket) => {
  clients.add(socket)
  socket.on("data", (chunk) => {
    for (const client of clients) client.write(chunk)
  })
  socket.on("error", () => {})
  socket.on("close", () => clients.delete(socket))
})
server.listen(endpoint(process.argv[2]), () => announce("tcp", server.address()))
