/**
 * The load generator, in its own process: precomputed masked frames and many messages a write over the connections of
 * `connection.ts`, in WebSocket or, for peers that speak no WebSocket, the same bytes over TCP. `open` connections, then
 * `run` any number of times: a run ends with nothing in flight, having counted what came back, and fails when that is
 * not what was sent. Run by `agent.start`.
 */
import { serve, sleep, within } from "./agent.ts"
import { Connection, speaksWebSocket } from "./connection.ts"
import type { Load, LoadOptions } from "./connection.ts"
import { maskedFrame, pattern } from "./frames.ts"

export type { LoadOptions } from "./connection.ts"

const uploadBatchBytes = 1 << 20
const openingsAtOnce = 32
/** How long what is in flight may take to arrive. */
const arrivalSeconds = 10

const failed = Promise.withResolvers<never>()
failed.promise.catch(() => {})
const connections: Array<Connection> = []
let load: Load

/** Waits for the condition, looked at whenever there is progress. */
const until = (condition: () => boolean): Promise<void> =>
  new Promise((resolve) => {
    load.progress = () => {
      if (!condition()) return
      load.progress = () => {}
      resolve()
    }
    load.progress()
  })

const sideBySide = (width: number, loop: () => Promise<void>): Promise<unknown> =>
  Promise.all(Array.from({ length: width }, loop))

const echoes = async (seconds: number): Promise<number> => {
  const before = load.received
  for (const connection of connections) connection.send(load.options.depth)
  await sleep(seconds)
  load.running = false
  const answered = until(() => load.inFlight === 0)
  await within(arrivalSeconds, () => `${load.inFlight} messages were not answered`, answered)
  for (const connection of connections) {
    const complaint = connection.complaint()
    if (complaint !== undefined) throw new Error(complaint)
  }
  return (load.received - before) / load.options.size
}

const handshakes = async (seconds: number, width: number): Promise<number> => {
  let count = 0
  const end = performance.now() + seconds * 1000
  await sideBySide(width, async () => {
    while (performance.now() < end) {
      const connection = new Connection(load)
      await connection.opened
      connection.close()
      await connection.closed
      count++
    }
  })
  return count
}

const uploads = async (seconds: number): Promise<number> => {
  const before = load.sent
  for (const connection of connections) connection.pump()
  await sleep(seconds)
  load.running = false
  return load.sent - before
}

const commands = {
  /** Told the server's process, the helper takes it along when the parent is gone without a word. */
  prepare: async ({ server, options }: { readonly server: number; readonly options: LoadOptions }): Promise<void> => {
    process.on("exit", () => process.kill(server, "SIGKILL"))
    const expected = pattern(options.size)
    const message = speaksWebSocket(options.scheme) ? maskedFrame(2, expected) : expected
    const uploadBatch = Math.max(1, Math.floor(uploadBatchBytes / options.size))
    const batch = options.mode === "upload" ? uploadBatch : options.depth
    load = {
      options,
      expected,
      messages: Buffer.concat(Array.from({ length: batch }, () => message)),
      frameLength: message.length,
      batch,
      running: false,
      sent: 0,
      received: 0,
      inFlight: 0,
      progress: () => {},
      fail: (reason) => failed.reject(new Error(reason))
    }
  },
  /** Opens so many connections more, a few at a time. */
  open: async (count: number): Promise<void> => {
    let left = count
    const opening = sideBySide(Math.min(openingsAtOnce, count), async () => {
      while (left-- > 0) {
        const connection = new Connection(load)
        connections.push(connection)
        await connection.opened
      }
    })
    await Promise.race([opening, failed.promise])
  },
  /**
   * Loads the server for so many seconds and then until nothing is in flight. Gives the messages echoed, the handshakes
   * completed (`width` at a time), or the payload bytes sent (upload; the target knows when they have come).
   */
  run: ({ seconds, width }: { readonly seconds: number; readonly width: number }): Promise<number> => {
    load.running = true
    const { mode } = load.options
    const work = mode === "echo" ? echoes(seconds) : mode === "upload" ? uploads(seconds) : handshakes(seconds, width)
    return Promise.race([work, failed.promise])
  },
  /** Waits until so many payload bytes have come since the start, and not one more. */
  received: async (total: number): Promise<void> => {
    const missing = () => `${total - load.received} bytes of ${total} did not come`
    const arrived = within(
      arrivalSeconds,
      missing,
      until(() => load.received >= total)
    )
    await Promise.race([arrived, failed.promise])
    if (load.received > total) throw new Error(`${load.received} bytes came of ${total} sent`)
  },
  /** Waits, failing at once when a connection does. */
  hold: (seconds: number): Promise<void> => Promise.race([sleep(seconds), failed.promise])
}
export type LoadCommands = typeof commands
serve(commands)
