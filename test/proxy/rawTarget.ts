/**
 * A TCP service under the control of a test: it accepts, and each connection does what the test says and nothing else. A
 * client's FIN does not end it, so that a test can see what comes, and go, after.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import * as Net from "node:net"
import { binary } from "./frames.ts"
import type { RawClient } from "./rawClient.ts"
import { Tcp } from "./tcp.ts"
import { eventually, Watch } from "./watch.ts"
import { Target } from "../../src/proxy/Target.ts"

let words = 0

export interface Options {
  /** Default: 127.0.0.1, and a port of the system's choice. */
  readonly host?: string | undefined
  readonly port?: number | undefined
  /** Connections read nothing until they are resumed. */
  readonly paused?: boolean | undefined
  /** Called with each connection at once, before anything of it is read. */
  readonly onConnection?: ((connection: TargetConnection) => void) | undefined
}

export class TargetConnection extends Tcp {
  /** Takes what comes in place of `bytes`. */
  sink: ((chunk: Buffer) => void) | undefined
  readonly #chunks: Array<Buffer> = []

  protected override take(chunk: Buffer): void {
    if (this.sink === undefined) this.#chunks.push(chunk)
    else this.sink(chunk)
  }
  /** What came, if no sink took it. */
  get bytes(): Buffer {
    return Buffer.concat(this.#chunks)
  }
  /** What came is over and done with: from here on bytes are counted anew. */
  forget(): void {
    this.#chunks.length = 0
    this.received = 0
  }
  get text(): string {
    return this.bytes.toString()
  }
}

export class RawTarget {
  readonly server: Net.Server
  readonly connections: Array<TargetConnection> = []
  readonly watch = new Watch(() => `${this.connections.length} connections`)
  #taken = 0

  constructor(options: Options) {
    this.server = Net.createServer({ allowHalfOpen: true, pauseOnConnect: true, noDelay: true }, (socket) => {
      const connection = new TargetConnection(socket)
      this.connections.push(connection)
      options.onConnection?.(connection)
      if (options.paused !== true) socket.resume()
      this.watch.changed()
    })
  }

  get port(): number {
    // net.Server gives an AddressInfo for a port
    return (this.server.address() as Net.AddressInfo).port
  }
  get target(): Target {
    // net.Server gives an AddressInfo for a port
    return new Target({ host: (this.server.address() as Net.AddressInfo).address, port: this.port })
  }

  /** The connection that is this client's, where there are many: its first word, which it sends here, says so. */
  meet(client: RawClient): Effect.Effect<TargetConnection> {
    const word = `${++words};`
    return Effect.andThen(
      client.send(binary, word),
      eventually("the client's connection", () => this.connections.find((connection) => connection.text === word))
    )
  }

  /** The next connection that nobody has taken. */
  get accept(): Effect.Effect<TargetConnection> {
    return Effect.suspend(() => {
      const index = this.#taken++
      return this.watch.until(`connection ${index} to the target`, () => this.connections[index])
    })
  }
}

const close = (server: RawTarget) =>
  Effect.callback<void>((resume) => {
    server.server.close(() => resume(Effect.void))
    for (const connection of server.connections) connection.socket.destroy()
  })

/** A target that listens, on a port of the system's choice. */
export const listen = (options: Options = {}): Effect.Effect<RawTarget, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<RawTarget>((resume) => {
      const target = new RawTarget(options)
      const { host = "127.0.0.1", port = 0 } = options
      target.server.listen({ host, port }, () => resume(Effect.succeed(target)))
    }),
    close
  )

/**
 * An address where nobody listens, nor will as long as the scope lasts: the near end of an open connection has it. A port that
 * was only free a moment ago would soon be somebody else's.
 */
export const nobody: Effect.Effect<Target, never, Scope.Scope> = Effect.gen(function* () {
  const { port } = yield* listen()
  const socket = yield* Effect.acquireRelease(
    Effect.callback<Net.Socket>((resume) => {
      const socket = Net.connect({ host: "127.0.0.1", port })
      socket.once("connect", () => resume(Effect.succeed(socket)))
    }),
    (socket) => Effect.sync(() => socket.destroy())
  )
  return new Target({ host: "127.0.0.1", port: socket.localPort! })
})
