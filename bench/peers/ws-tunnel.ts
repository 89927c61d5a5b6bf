/**
 * The careful hand-written pipe of `node:net` and a `ws` client: raw bytes one way as binary messages, their payload the other,
 * backpressure both ways, public API only. A side that ends is flushed to the other. Prints `ready tcp://HOST:PORT`.
 * Usage: `node bench/peers/ws-tunnel.ts HOST:PORT TARGET-HOST:PORT`.
 */
import * as net from "node:net"
import { WebSocket } from "ws"
import { announce, endpoint } from "./endpoint.ts"

const target = endpoint(process.argv[3])
const url = `ws://${target.host}:${target.port}/`

const server = net.createServer({ noDelay: true, allowHalfOpen: true, pauseOnConnect: true }, (downstream) => {
  const upstream = new WebSocket(url, { perMessageDeflate: false })
  upstream.on("upgrade", ({ socket }) => {
    downstream.on("data", (chunk) => {
      upstream.send(chunk)
      if (!socket.writableNeedDrain) return
      downstream.pause()
      socket.once("drain", () => downstream.resume())
    })
  })
  upstream.on("open", () => downstream.resume())
  upstream.on("message", (data) => {
    // A Buffer: that is the default of `binaryType`.
    if (downstream.write(data as Buffer)) return
    upstream.pause()
    downstream.once("drain", () => upstream.resume())
  })
  downstream.on("end", () => upstream.close(1000))
  downstream.on("error", () => upstream.terminate())
  upstream.on("close", () => downstream.destroySoon())
  upstream.on("error", () => downstream.destroy())
})
server.listen(endpoint(process.argv[2]), () => announce("tcp", server.address()))
