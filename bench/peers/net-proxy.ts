/**
 * A plain `node:net` pipe, TCP to TCP: what a Node proxy costs when it has no protocol to speak.
 * With `--cert=FILE` it
 * is `node:tls` that listens. Prints `ready tcp://HOST:PORT` or `ready tls://HOST:PORT`. Usage: `node bench/peers/net-proxy.ts HOST:PORT TARGET-HOST:PORT`.
 */
import * as net from "node:net"
import * as tls from "node:tls"
import { announce, endpoint, identity } from "./endpoint.ts"

const target = endpoint(process.argv[3])
const serve = (downstream: net.Socket): void => {
  const upstream = net.connect({ ...target, noDelay: true })
  downstream.pipe(upstream)
  upstream.pipe(downstream)
  downstream.on("error", () => upstream.destroy())
  upstream.on("error", () => downstream.destroy())
}

const secret = identity()
const server =
  secret === undefined
    ? net.createServer({ noDelay: true }, serve)
    : tls.createServer({ ...secret, noDelay: true }, serve).on("tlsClientError", () => {})
server.listen(endpoint(process.argv[2]), () => announce(secret === undefined ? "tcp" : "tls", server.address()))
