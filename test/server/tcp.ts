import { Effect } from "effect"
import { once } from "node:events"
import * as Net from "node:net"

/** Two TCP sockets of this machine that are each other's peer, destroyed with the scope. */
export const tcp = Effect.acquireRelease(
  Effect.promise(async () => {
    const server = Net.createServer({ allowHalfOpen: true, pauseOnConnect: true })
    server.listen(0, "127.0.0.1")
    await once(server, "listening")
    const address = server.address() as Net.AddressInfo
    const near = Net.connect({ port: address.port, host: "127.0.0.1", allowHalfOpen: true })
    const [[far]] = (await Promise.all([once(server, "connection"), once(near, "connect")])) as [[Net.Socket], unknown]
    near.on("error", () => {})
    far.on("error", () => {})
    server.close()
    return { near, far }
  }),
  ({ far, near }) =>
    Effect.sync(() => {
      near.destroy()
      far.destroy()
    })
)
