/**
 * The TCP target behind a proxy, in its own process and as cheap as `node:net` allows: `echo` answers what it reads,
 * `sink` counts and drops, `source` writes chunks as fast as they are taken while it is switched on. The first bytes of
 * a sink's streams are compared with the pattern, so an unmasking error fails the row. Run by `agent.start`.
 */
import * as net from "node:net"
import { serve, within } from "./agent.ts"
import { matches, pattern } from "./frames.ts"

export interface BackendOptions {
  readonly mode: "echo" | "sink" | "source"
  readonly size: number
}

/** How long what is in flight may take to arrive. */
const arrivalSeconds = 10

let received = 0
let sent = 0
let sourcing = false
let failure: string | undefined
let waiting:
  | { readonly total: number; readonly resolve: () => void; readonly reject: (error: Error) => void }
  | undefined
const pumps = new Set<() => void>()

const check = (): void => {
  if (waiting === undefined || (failure === undefined && received < waiting.total)) return
  const { total, resolve, reject } = waiting
  waiting = undefined
  if (failure !== undefined) reject(new Error(failure))
  else if (received > total) reject(new Error(`the target got ${received} bytes of ${total} sent`))
  else resolve()
}

const echo = (socket: net.Socket): void => {
  socket.on("data", (chunk: Buffer) => {
    if (socket.write(chunk)) return
    socket.pause()
    socket.once("drain", () => socket.resume())
  })
}

const sink = (socket: net.Socket, expected: Buffer): void => {
  let position = 0
  socket.on("data", (chunk: Buffer) => {
    if (position < expected.length) {
      const end = Math.min(chunk.length, expected.length - position)
      if (!matches(chunk, 0, end, expected, position)) failure ??= "the target got other bytes than the client sent"
      position += end
    }
    received += chunk.length
    // The only owner of a read buffer may give its memory back at once: without this, the sink's cost is collections.
    if (chunk.length === chunk.buffer.byteLength && chunk.buffer instanceof ArrayBuffer) chunk.buffer.transfer(0)
    check()
  })
}

const source = (socket: net.Socket, chunk: Buffer): void => {
  let blocked = false
  const pump = (): void => {
    while (sourcing && !blocked) {
      sent += chunk.length
      blocked = !socket.write(chunk)
    }
  }
  socket.on("drain", () => {
    blocked = false
    pump()
  })
  socket.resume()
  pumps.add(pump)
  socket.on("close", () => pumps.delete(pump))
  pump()
}

const commands = {
  listen: ({ mode, size }: BackendOptions): Promise<{ readonly port: number }> =>
    new Promise((resolve, reject) => {
      const bytes = pattern(size)
      const server = net.createServer({ noDelay: true }, (socket) => {
        socket.on("error", () => {})
        if (mode === "echo") echo(socket)
        else if (mode === "sink") sink(socket, bytes)
        else source(socket, bytes)
      })
      server.on("error", reject)
      server.listen(0, "127.0.0.1", () => resolve({ port: (server.address() as net.AddressInfo).port }))
    }),
  /** Switches the source; gives the bytes sent so far over all connections. */
  source: async (on: boolean): Promise<number> => {
    sourcing = on
    for (const pump of pumps) pump()
    return sent
  },
  /** Waits until exactly so many bytes have come since the start. */
  received: (total: number): Promise<void> =>
    within(
      arrivalSeconds,
      () => `${total - received} bytes of ${total} did not reach the target`,
      new Promise((resolve, reject) => {
        waiting = { total, resolve, reject }
        check()
      })
    )
}
export type BackendCommands = typeof commands
serve(commands)
