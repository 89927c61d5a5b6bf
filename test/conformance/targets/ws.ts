/**
 * The `ws` package as an echo server: the reference that the suite itself is tried on.
 */
import { once } from "node:events"
import { WebSocketServer } from "ws"
import type { Difference, Target } from "../suite.ts"

export const startWs = async (): Promise<Target> => {
  const options = {
    host: "127.0.0.1",
    port: 0,
    maxPayload: 64 * 1024 * 1024,
    // The catalogue has messages of 65536 fragments; the default allows 16384.
    maxFragments: 0,
    perMessageDeflate: { threshold: 0 },
    skipUTF8Validation: false
  }
  const server = new WebSocketServer(options)
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

export const wsDifferences: ReadonlyArray<Difference> = [
  { ids: ["0.3.*"], reason: "a wrong version gets 400, and 8 as well as what reads as 13 is accepted" },
  { ids: ["0.5.1", "0.5.2", "0.5.12"], reason: "Host and the HTTP version of an upgrade are not looked at" },
  {
    ids: ["0.5.13", "0.5.14", "0.5.15", "0.5.16"],
    reason: "node:http refuses what it cannot parse without a body and a Content-Length"
  },
  { ids: ["6.5.*"], reason: "text is validated when it is complete, not as it comes" },
  {
    ids: ["8.3.1", "8.3.2", "8.3.3", "8.3.4", "8.3.5", "8.3.6", "8.3.7", "8.3.8"],
    reason: "a length that is not in its shortest form is accepted in data frames"
  },
  {
    ids: ["8.3.17", "8.3.18", "8.3.19", "8.3.20", "8.3.21", "8.3.22", "8.3.23", "8.3.24", "8.3.25", "8.3.26"],
    reason: "a length that is not in its shortest form is accepted in data frames"
  },
  { ids: ["8.4.1", "8.4.2", "8.4.3"], reason: "a length of 64 bits is too big (1009), not illegal (1002)" },
  {
    ids: ["13.11.*", "13.20.24", "13.20.25", "13.20.26", "13.20.27"],
    reason: "an offer that cannot be accepted is refused with 400, and the offers behind it with it"
  },
  {
    ids: ["13.21.*"],
    reason: "an offer that cannot be accepted is refused with 400, or its number is read too loosely"
  }
]
