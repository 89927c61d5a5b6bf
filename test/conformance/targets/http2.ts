/**
 * An echo server behind HTTP/2: each connection of the suite is made a stream of one connection to it, by Node's own client of HTTP/2. What
 * goes there and back is not looked at; the ends of streams are ends of connections, and their resets are resets.
 */
import { once } from "node:events"
import * as http2 from "node:http2"
import * as net from "node:net"
import type { Target } from "../suite.ts"
import { accepting, openingOf } from "../wire/opening.ts"

const bridge = async (socket: net.Socket, session: http2.ClientHttp2Session): Promise<void> => {
  const opening = await openingOf(socket)
  const stream = session.request({
    ":method": "CONNECT",
    ":protocol": "websocket",
    ":scheme": "http",
    ":path": opening.target,
    "sec-websocket-version": "13",
    ...(opening.offer === undefined ? {} : { "sec-websocket-extensions": opening.offer })
  })
  let isOver = false
  stream.on("error", () => {}).on("end", () => (isOver = true))
  stream.on("close", () => {
    if (isOver) socket.end()
    else socket.resetAndDestroy()
  })
  socket.on("error", () => {}).on("close", () => stream.close(http2.constants.NGHTTP2_CANCEL))
  const [headers] = (await once(stream, "response")) as [http2.IncomingHttpHeaders & http2.IncomingHttpStatusHeader]
  const { ":status": status, "content-length": length } = headers
  if (status !== 200) {
    socket.write(`HTTP/1.1 ${status} Refused\r\nContent-Length: ${length}\r\nConnection: close\r\n\r\n`)
    stream.pipe(socket)
    stream.end()
    return
  }
  socket.write(accepting(opening, headers["sec-websocket-extensions"] as string | undefined))
  if (opening.rest.length > 0) stream.write(opening.rest)
  stream.pipe(socket)
  socket.pipe(stream)
}

/** The same server, which speaks HTTP/2, as the suite sees it. */
export const overHttp2 = async (start: () => Promise<Target>): Promise<Target> => {
  const target = await start()
  const session = http2.connect(`http://${target.host}:${target.port}`)
  session.on("error", () => {})
  await once(session, "remoteSettings")
  const front = net.createServer({ allowHalfOpen: true, pauseOnConnect: true }, (socket) => {
    socket.resume()
    bridge(socket, session).catch(() => socket.destroy())
  })
  front.listen(0, "127.0.0.1")
  await once(front, "listening")
  return {
    host: "127.0.0.1",
    // net.Server gives an AddressInfo for a port
    port: (front.address() as net.AddressInfo).port,
    stop: async () => {
      session.destroy()
      front.close()
      await target.stop()
    }
  }
}
