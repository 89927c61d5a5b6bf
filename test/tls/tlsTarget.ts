/**
 * Targets that speak TLS: a server in this process, whose connections do what the test says, and `openssl s_server`.
 */
import * as Effect from "effect/Effect"
import type * as Scope from "effect/Scope"
import { spawn } from "node:child_process"
import * as Net from "node:net"
import * as Tls from "node:tls"
import { Target } from "../../src/proxy/Target.ts"
import { TargetConnection } from "../proxy/rawTarget.ts"
import { Watch } from "../proxy/watch.ts"
import { folder, text } from "./openssl.ts"

/** The certificate and the key of these names. */
export const identity = (name: string, ...chain: ReadonlyArray<string>) => ({
  key: text(`${name}.key`),
  cert: [name, ...chain].map((one) => text(`${one}.crt`)).join("")
})

export class TlsConnection extends TargetConnection {
  readonly tls: Tls.TLSSocket
  readonly #raw: Net.Socket
  constructor(tls: Tls.TLSSocket, raw: Net.Socket) {
    super(tls)
    this.tls = tls
    this.#raw = raw
  }
  /** Sends bytes below TLS. */
  writeBelow(bytes: Uint8Array): Effect.Effect<void> {
    return Effect.sync(() => void this.#raw.write(bytes))
  }
  /** RST below TLS. */
  override reset(): Effect.Effect<void> {
    return Effect.sync(() => void this.#raw.resetAndDestroy())
  }
}

export class TlsTarget {
  readonly server: Net.Server
  readonly connections: Array<TlsConnection> = []
  /** What went wrong in handshakes. */
  readonly failures: Array<string> = []
  readonly watch = new Watch(() => `${this.connections.length} connections, failures: ${this.failures.join(", ")}`)
  readonly #raw = new Set<Net.Socket>()
  #taken = 0

  constructor(options: Tls.TLSSocketOptions) {
    this.server = Net.createServer({ allowHalfOpen: true, noDelay: true }, (raw) => {
      this.#raw.add(raw)
      raw.on("error", () => {})
      const tls = new Tls.TLSSocket(raw, { ...options, isServer: true })
      const failed = (error: NodeJS.ErrnoException) => {
        this.failures.push(error.code ?? error.message)
        this.watch.changed()
      }
      tls.once("error", failed)
      tls.once("secure", () => {
        tls.off("error", failed)
        this.connections.push(new TlsConnection(tls, raw))
        this.watch.changed()
      })
    })
  }

  get port(): number {
    // net.Server gives an AddressInfo for a port
    return (this.server.address() as Net.AddressInfo).port
  }
  get target(): Target {
    return new Target({ host: "localhost", port: this.port })
  }
  get accept(): Effect.Effect<TlsConnection> {
    return Effect.suspend(() => {
      const index = this.#taken++
      return this.watch.until(`connection ${index} to the target`, () => this.connections[index])
    })
  }
  close(): void {
    this.server.close()
    for (const raw of this.#raw) raw.destroy()
  }
}

export const listen = (options: Tls.TLSSocketOptions): Effect.Effect<TlsTarget, never, Scope.Scope> =>
  Effect.acquireRelease(
    Effect.callback<TlsTarget>((resume) => {
      const target = new TlsTarget(options)
      target.server.listen({ host: "127.0.0.1", port: 0 }, () => resume(Effect.succeed(target)))
    }),
    (target) => Effect.sync(() => target.close())
  )

export interface Program {
  readonly target: Target
  /** What it has printed. */
  readonly output: () => string
}

/** Runs `openssl s_server` on a port of the system's choice. */
export const sServer = (...args: ReadonlyArray<string>): Effect.Effect<Program, never, Scope.Scope> =>
  Effect.map(
    Effect.acquireRelease(
      Effect.callback<{ readonly stop: () => void; readonly program: Program }>((resume) => {
        const child = spawn("openssl", ["s_server", "-accept", "127.0.0.1:0", ...args], { cwd: folder })
        let output = ""
        const look = (chunk: Buffer) => {
          output += chunk.toString("latin1")
          const port = /ACCEPT [^\n]*:(\d+)\n/.exec(output)?.[1]
          if (port === undefined) return
          const target = new Target({ host: "localhost", port: Number(port) })
          resume(Effect.succeed({ stop: () => void child.kill(), program: { target, output: () => output } }))
        }
        child.stdout.on("data", look)
        child.stderr.on("data", look)
        child.once("exit", () => resume(Effect.die(new Error(`openssl s_server ended: ${output}`))))
      }),
      ({ stop }) => Effect.sync(stop)
    ),
    ({ program }) => program
  )
