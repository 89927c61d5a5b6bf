/**
 * The careful hand-written pipe of `ws` and `node:net`: binary messages one way, raw bytes the other, backpressure both
 * ways, public API only. A side that ends is flushed to the other. Over `node:https` with
 * `--cert=FILE`. Prints `ready ws://HOST:PORT` or `ready wss://HOST:PORT`.
 * Usage: `node bench/peers/ws-proxy.ts HOST:PORT TARGET-HOST:PORT`.
 */
import { createServer as createHttpServer } from "node:http"
import { createServer as createHttpsServer } from "node:https"
import * as net from "node:net"
import { WebSocketServer } from "ws"
import { announce, endpoint, identity } from "./endpoint.ts"

const target = endpoint(process.argv[3])

const secret = identity()
const http = secret === undefined ? createHttpServer() : createHttpsServer(secret)
const server = new WebSocketServer({ server: http, perMessageDeflate: false })
server.on("connection", (downstream, request) => {
  downstream.pause()
  const upstream = net.connect({ ...target, noDelay: true }, () => downstream.resume())
  downstream.on("message", (data) => {
    // A Buffer: that is the default of `binaryType`.
    if (upstream.write(data as Buffer)) return
    downstream.pause()
    upstream.once("drain", () => downstream.resume())
  })
  upstream.on("data", (chunk) => {
    downstream.send(chunk)
    if (!request.socket.writableNeedDrain) return
    upstream.pause()
    request.socket.once("drain", () => upstream.resume())
  })
  upstream.on("end", () => downstream.close(1000))
  upstream.on("error", () => downstream.close(1011))
  downstream.on("close", () => upstream.destroySoon())
  downstream.on("error", () => upstream.destroy())
})
http.listen(endpoint(process.argv[2]), () => announce(secret === undefined ? "ws" : "wss", http.address()))
