import { describe, it } from "@effect/vitest"
import { Effect } from "effect"
import { once } from "node:events"
import * as Net from "node:net"
import * as tls from "node:tls"
import { eventually } from "../proxy/watch.ts"
import { pages } from "../server/pages.ts"
import { withTls } from "./listening.ts"

/** Its own sockets are among them. */
const sockets = (): number => process.getActiveResourcesInfo().filter((name) => name === "TCPSocketWrap").length

/** More than one read of the server. */
const body = "a".repeat(80_000)

/** Asks for its body back, and ends TLS and resets the connection at once. */
const hurried = async (port: number): Promise<void> => {
  const raw = Net.connect(port, "127.0.0.1")
  const socket = tls.connect({ socket: raw, servername: "localhost", rejectUnauthorized: false })
  for (const one of [raw, socket]) one.on("error", () => {})
  await once(socket, "secureConnect")
  socket.write(`POST /echo HTTP/1.1\r\nHost: localhost\r\nContent-Length: ${body.length}\r\n\r\n${body}`)
  await new Promise((resolve) => setImmediate(resolve))
  raw.resetAndDestroy()
  socket.destroy()
  if (!raw.closed) await once(raw, "close")
}

describe("pages over TLS", () => {
  // Node, 26 as 22, never tells that the write failed, and waits for it
  it.live("hold no connection that is reset behind the end of its TLS", () =>
    Effect.gen(function* () {
      const { port } = yield* pages({ tls: yield* withTls(), handshakeTimeout: "1 second" })
      const before = sockets()
      for (let i = 0; i < 60; i++) yield* Effect.promise(() => hurried(port))
      const left = () => (sockets() <= before ? true : undefined)
      yield* eventually("the end of all connections", left, 20_000)
    })
  )
})
