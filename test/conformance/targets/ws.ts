/**
 * The `ws` package as an echo server: the reference that the suite itself is tried on.
 */
import { once } from "node:events"
import { WebSocketServer } from "ws"
import type { Difference, Target } from "../suite.ts"

export const startWs = async (): Promise<Target> => {
  const server = new WebSocketServer({
    host: "127.0.0.1",
    port: 0,
    maxPayload: 64 * 1024 * 1024,
    perMessageDeflate: { threshold: 0 },
    skipUTF8Validation: false
  })
  server.on("connection", (socket) => {
    socket.on("error", () => {})
    socket.on("message", (data, isBinary) => socket.send(data, { binary: isBinary }))
  })
  await once(server, "listening")
  const address = server.address()
  if (address === null || typeof address === "string") throw new Error("unreachable: it listens on a port")
  return {
    host: "127.0.0.1",
    port: address.port,
    stop: () =>
      new Promise((resolve, reject) => {
        for (const client of server.clients) client.terminate()
        server.close((error) => (error === undefined ? resolve() : reject(error)))
      })
  }
}

export const wsDifferences: ReadonlyArray<Difference> = []
