/**
 * A plain `node:net` pipe, TCP to TCP: what a Node proxy costs when it has no protocol to speak.
 * Prints `ready tcp://HOST:PORT`. Usage: `node bench/peers/net-proxy.ts HOST:PORT TARGET-HOST:PORT`.
 */
import * as net from "node:net"
import { announce, endpoint } from "./endpoint.ts"

const target = endpoint(process.argv[3])
const server = net.createServer({ noDelay: true }, (downstream) => {
  const upstream = net.connect({ ...target, noDelay: true })
  downstream.pipe(upstream)
  upstream.pipe(downstream)
  downstream.on("error", () => upstream.destroy())
  upstream.on("error", () => downstream.destroy())
})
server.listen(endpoint(process.argv[2]), () => announce("tcp", server.address()))
