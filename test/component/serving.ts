/**
 * A WSServer on a port that the system chooses, and clients of it: `ws`, or one that shows frames. What each event told is
 * logged. All of it ends with the test (`await using`).
 */
import { once } from "node:events"
import { setTimeout } from "node:timers/promises"
import { WebSocket } from "ws"
import { WSServer } from "../../src/component/WSServer.ts"
import type { PingEvent } from "../../src/component/Events.ts"
import type { WSConnection } from "../../src/component/WSConnection.ts"
import * as Pattern from "../proxy/pattern.ts"
import * as Frames from "./frameClient.ts"
import { until } from "./until.ts"

/** More bytes than the system holds for a client that does not read, by far. */
const beyondAll = 2 ** 28

/** Of one connection. */
export interface Opened<C> {
  readonly client: C
  readonly id: string
  readonly connection: WSConnection
}

/** A message as `ws` gives it. */
export interface Received {
  readonly isText: boolean
  readonly payload: Buffer
}

export class Serving {
  readonly server = new WSServer()
  /** `Connected`, `ReadyToSend` and `Disconnected`, each with the id, in their order. */
  readonly log: Array<string> = []
  readonly pings: Array<PingEvent> = []
  readonly errors: Array<number> = []
  private readonly clients: Array<() => void> = []

  /** Begins to listen; `prepare` may set what it likes before. */
  static async start(prepare: (server: WSServer) => void = () => {}): Promise<Serving> {
    const serving = new Serving()
    const { server } = serving
    server.localHost = "127.0.0.1"
    // to read nothing is what many clients here are for
    server.config("PingInterval=0")
    server.config("CloseTimeout=1")
    server
      .on("Connected", (e) => serving.log.push(`Connected ${e.connectionId}`))
      .on("ReadyToSend", (e) => serving.log.push(`ReadyToSend ${e.connectionId}`))
      .on("Disconnected", (e) => serving.log.push(`Disconnected ${e.connectionId}`))
      .on("Ping", (e) => serving.pings.push(e))
      .on("Error", (e) => serving.errors.push(e.errorCode))
    prepare(server)
    await server.startListening()
    return serving
  }

  /** How often ReadyToSend has fired for a connection. */
  readies(id: string): number {
    return this.log.filter((entry) => entry === `ReadyToSend ${id}`).length
  }

  private async opened<C>(client: C, end: () => void, known: ReadonlySet<string>): Promise<Opened<C>> {
    this.clients.push(end)
    const { connections } = this.server
    const id = await until("the connection", () =>
      [...connections.keys()].find((id) => !known.has(id) && this.readies(id) > 0)
    )
    return { client, id, connection: connections.item(id) }
  }

  /** Connects a client that shows frames. */
  async raw(options?: Frames.Options): Promise<Opened<Frames.FrameClient>> {
    const known = new Set(this.server.connections.keys())
    const client = await Frames.FrameClient.open(this.server.localPort, options)
    return this.opened(client, () => client.destroy(), known)
  }

  /** Connects a client of `ws`, without compression unless it is asked for. */
  async ws(perMessageDeflate = false): Promise<Opened<WebSocket> & { readonly received: Array<Received> }> {
    const known = new Set(this.server.connections.keys())
    const client = new WebSocket(`ws://127.0.0.1:${this.server.localPort}`, { perMessageDeflate })
    const received: Array<Received> = []
    client.binaryType = "nodebuffer"
    client.on("message", (data, isBinary) => {
      // of the type that binaryType says
      received.push({ isText: !isBinary, payload: data as Buffer })
    })
    client.on("error", () => {})
    // the server knows of it first
    await once(client, "open")
    return { ...(await this.opened(client, () => client.terminate(), known)), received }
  }

  /**
   * Has a connection with Timeout 0, whose client does not read, take messages of this size until it takes no more for good;
   * gives how many it took.
   */
  async fill(id: string, size = 65536): Promise<number> {
    const connection = this.server.connections.item(id)
    // what cannot be compressed
    const chunk = Pattern.bytes(1, size)
    // what is so large may have to be compressed first, with all that waits for that before it
    const looks = size > 65536 ? 200 : 30
    for (let count = 0; ;) {
      try {
        await this.server.sendBytes(id, chunk)
      } catch {
        // the system may still find room, or what was compressed meanwhile may be small
        for (let i = 0; i < looks && !connection.readyToSend; i++) await setTimeout(5)
        if (!connection.readyToSend) return count
        continue
      }
      if (++count * size > beyondAll) throw new Error(`${count} messages of ${size} bytes were taken, and no end`)
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const end of this.clients) end()
    await this.server.dispose()
  }
}
