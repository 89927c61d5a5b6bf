/**
 * A plain `node:net` echo server, with backpressure and no protocol at all: the floor of what a Node server can cost.
 * With `--cert=FILE` it
 * is `node:tls` that listens. Prints `ready tcp://HOST:PORT` or `ready tls://HOST:PORT`. Usage: `node bench/peers/net-echo.ts HOST:PORT`.
 */
import * as net from "node:net"
import * as tls from "node:tls"
import { announce, endpoint, identity } from "./endpoint.ts"

const serve = (socket: net.Socket): void => {
  socket.on("data", (chunk) => {
    if (socket.write(chunk)) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
  socket.on("error", () => {})
}

const secret = identity()
const server =
  secret === undefined
    ? net.createServer({ noDelay: true }, serve)
    : tls.createServer({ ...secret, noDelay: true }, serve).on("tlsClientError", () => {})
server.listen(endpoint(process.argv[2]), () => announce(secret === undefined ? "tcp" : "tls", server.address()))
