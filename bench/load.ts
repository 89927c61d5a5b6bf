/**
 * The load generator, in its own process: precomputed masked frames and many messages a write over the connections of
 * `connection.ts`, in WebSocket or, for peers that speak no WebSocket, the same bytes over TCP. `open` connections, then
 * `run` any number of times: a run ends with nothing in flight, having counted what came back, and fails when that is
 * not what was sent. What a run sends is in `loads`. Run by `agent.start`.
 */
import { serve, sleep, within } from "./agent.ts"
import { Connection, speaksWebSocket } from "./connection.ts"
import type { Load, LoadOptions } from "./connection.ts"
import { maskedFrame, pattern } from "./frames.ts"
import { Streams } from "./http2.ts"
import { broadcasts } from "./loads/broadcast.ts"
import { compressedMessages } from "./loads/compressed.ts"
import { echoes, exchanges, turns } from "./loads/echo.ts"
import { scheduled, takeLatencies } from "./loads/latency.ts"
import type { Latencies } from "./loads/latency.ts"
import { arrivalSeconds, sideBySide, until } from "./loads/waiting.ts"

export type { LoadOptions } from "./connection.ts"

export interface RunOptions {
  readonly seconds: number
  /** Handshakes at a time. */
  readonly width: number
  /** Handshakes in all, in place of a time. */
  readonly count?: number | undefined
  /** Messages a second on a schedule; without it, each is sent when the one before it is back. */
  readonly rate?: number | undefined
}

const uploadBatchBytes = 1 << 20
const openingsAtOnce = 32
/** Which connections look at all that comes back, where the others count: one in so many. */
const inspectEvery = 50

const failed = Promise.withResolvers<never>()
failed.promise.catch(() => {})
/** Where the streams come from over HTTP/2. */
let streams: Streams | undefined
const connections: Array<Connection> = []
let exchanged = 0
let load: Load

const handshakes = async ({ count, seconds, width }: RunOptions): Promise<number> => {
  let begun = 0
  let done = 0
  const end = performance.now() + seconds * 1000
  const isFramed = speaksWebSocket(load.options.scheme)
  if (!isFramed) load.arrived = (connection, messages) => void (messages > 0 && connection.close())
  const goesOn = () => (count === undefined ? performance.now() < end : begun < count)
  await sideBySide(width, async () => {
    while (goesOn()) {
      begun++
      const connection = new Connection(load, false, await streams?.open())
      await connection.opened
      // who speaks no handshake sees by an answer that the one behind it is done
      if (isFramed) connection.close()
      else connection.send(1)
      await connection.closed
      done++
    }
  })
  return done
}

const uploads = async (seconds: number): Promise<number> => {
  const before = load.sent
  load.running = true
  for (const connection of connections) connection.pump()
  await sleep(seconds)
  load.running = false
  return load.sent - before
}

const work = (options: RunOptions): Promise<number> => {
  const { rate, seconds } = options
  switch (load.options.mode) {
    case "echo":
      return echoes(load, connections, seconds)
    case "turns":
      return turns(load, connections, seconds)
    case "broadcast":
      return broadcasts(load, connections, seconds)
    case "latency":
      return rate === undefined ? echoes(load, connections, seconds) : scheduled(load, connections, seconds, rate)
    case "upload":
      return uploads(seconds)
    case "handshake":
      return handshakes(options)
    default:
      return Promise.reject(new Error(`nothing is sent for ${load.options.mode}`))
  }
}

const commands = {
  /** Told the server's process, the helper takes it along when the parent is gone without a word. */
  prepare: async ({ server, options }: { readonly server: number; readonly options: LoadOptions }): Promise<void> => {
    process.on("exit", () => process.kill(server, "SIGKILL"))
    const { compression, mode, size } = options
    const expected = pattern(size)
    const message = speaksWebSocket(options.scheme) ? maskedFrame(2, expected) : expected
    const uploadBatch = Math.max(1, Math.floor(uploadBatchBytes / size))
    const batch = mode === "upload" ? uploadBatch : options.depth
    load = {
      options,
      expected,
      messages: Buffer.concat(Array.from({ length: batch }, () => message)),
      frameLength: message.length,
      batch,
      compressed: compression === undefined ? undefined : await compressedMessages(size, compression),
      running: false,
      sent: 0,
      received: 0,
      inFlight: 0,
      progress: () => {},
      arrived: () => load.progress(),
      fail: (reason) => failed.reject(new Error(reason))
    }
    if (options.http2 === true) streams = new Streams(options, load.fail)
  },
  /** Opens so many connections more, a few at a time. */
  open: async (count: number): Promise<void> => {
    let left = count
    const opening = sideBySide(Math.min(openingsAtOnce, count), async () => {
      while (left-- > 0) {
        const connection = new Connection(load, connections.length % inspectEvery === 0, await streams?.open())
        connections.push(connection)
        await connection.opened
      }
    })
    await Promise.race([opening, failed.promise])
  },
  /** Has each connection that is new exchange so many messages. */
  exchange: async (messages: number): Promise<void> => {
    const fresh = connections.slice(exchanged)
    exchanged = connections.length
    await Promise.race([exchanges(load, fresh, messages), failed.promise])
  },
  /**
   * Loads the server for so many seconds and then until nothing is in flight. Gives the messages that came, the handshakes
   * completed (`width` at a time), or the payload bytes sent (upload; the target knows when they have come).
   */
  run: (options: RunOptions): Promise<number> => Promise.race([work(options), failed.promise]),
  /** The latencies of all runs on a schedule since this was last asked. */
  latencies: async (): Promise<Latencies> => takeLatencies(),
  /** Waits until so many payload bytes have come since the start, and not one more. */
  received: async (total: number): Promise<void> => {
    const missing = () => `${total - load.received} bytes of ${total} did not come`
    const arrived = within(
      arrivalSeconds,
      missing,
      until(load, () => load.received >= total)
    )
    await Promise.race([arrived, failed.promise])
    if (load.received > total) throw new Error(`${load.received} bytes came of ${total} sent`)
  },
  /** Waits, failing at once when a connection does. */
  hold: (seconds: number): Promise<void> => Promise.race([sleep(seconds), failed.promise])
}
export type LoadCommands = typeof commands
serve(commands)
