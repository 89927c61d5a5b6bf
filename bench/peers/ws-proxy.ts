/**
 * The careful hand-written pipe of `ws` and `node:net`: binary messages one way, raw bytes the other, backpressure both
 * ways, public API only. A side that ends is flushed to the other. Prints `ready ws://HOST:PORT`.
 * Usage: `node bench/peers/ws-proxy.ts HOST:PORT TARGET-HOST:PORT`.
 */
import * as net from "node:net"
import { WebSocketServer } from "ws"
import { announce, endpoint } from "./endpoint.ts"

const target = endpoint(process.argv[3])

const server = new WebSocketServer({ ...endpoint(process.argv[2]), perMessageDeflate: false })
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
server.on("listening", () => announce("ws", server.address()))
